//! Lightweight member of a room: a WebSocket client of docs/PROTOCOL.md.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{SinkExt, StreamExt};
use roundtable::protocol::ClientMessage;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::payload::encode;

/// Timeout from the first packet to `welcome`.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Read buffer in bytes. The library's default of 128 KiB is allocated for every socket.
const READ_BUFFER: usize = 4 * 1024;

/// Connections from one source address to one server: well below the 28,000 ephemeral ports that Linux has for one pair
/// of addresses, because closed connections keep theirs for a minute.
const PER_SOURCE: usize = 20_000;

/// Messages after which the member acknowledges, like the page (R48).
const ACKNOWLEDGED: u64 = 32;

/// Servers to connect to in turn, so that neighbours in a room are on different ones.
pub struct Target {
    places: Vec<Place>,
}

/// One server.
pub struct Place {
    url: String,
    /// Socket address of the server.
    pub address: SocketAddr,
}

impl Target {
    /// Resolves each `ws://host:port/path`.
    pub async fn resolve(urls: &[String]) -> Result<Self, String> {
        Ok(Self { places: try_join_all(urls.iter().map(|url| Place::resolve(url))).await? })
    }

    /// Returns the servers.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Returns the server of member `number`.
    fn of(&self, number: usize) -> &Place {
        &self.places[number % self.places.len()]
    }
}

impl Place {
    async fn resolve(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        if uri.scheme_str() != Some("ws") {
            return Err(format!("{url} does not start with ws:// (TLS belongs to the proxy, which is not measured)"));
        }
        let host = uri.host().ok_or_else(|| format!("{url} has no host"))?;
        let name = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
        let mut found = tokio::net::lookup_host(name).await.map_err(|error| format!("{host}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(Self { url: url.to_owned(), address })
    }

    /// Returns the URL of room `number`. The process ID separates concurrent runs.
    fn room(&self, number: usize) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}room=load-{}-{number}", self.url, std::process::id())
    }

    /// Connects to the server. On this machine, every [`PER_SOURCE`] connections have a source address of their own.
    async fn connect(&self, number: usize) -> std::io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.address.is_ipv4() && self.address.ip().is_loopback() {
            let source = Ipv4Addr::new(127, 0, 1, 1 + u8::try_from(number / PER_SOURCE).unwrap_or(u8::MAX - 1));
            socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        }
        socket.set_nodelay(true)?;
        socket.connect(self.address).await
    }
}

/// Fields of server messages that the load generator uses.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(rename = "self")]
    id: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    code: Option<String>,
    seq: Option<u64>,
}

/// Joined member.
pub struct Member {
    /// ID assigned by the server.
    pub id: String,
    socket: WebSocketStream<TcpStream>,
    /// Number of the last message received.
    arrived: u64,
    acknowledged: u64,
}

impl Member {
    /// Connects and joins `room`; `number` counts all members of this process.
    pub async fn join(target: &Target, room: usize, number: usize) -> Result<Self, String> {
        match tokio::time::timeout(JOIN_TIMEOUT, Self::enter(target, room, number)).await {
            Ok(joined) => joined,
            Err(_) => Err(format!("join: no welcome within {} s", JOIN_TIMEOUT.as_secs())),
        }
    }

    async fn enter(target: &Target, room: usize, number: usize) -> Result<Self, String> {
        let place = target.of(number);
        let stream = place.connect(number).await.map_err(|error| format!("connect: {error}"))?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER).write_buffer_size(0);
        let (mut socket, _) = client_async_with_config(place.room(room), stream, Some(config))
            .await
            .map_err(|error| format!("upgrade: {error}"))?;
        let name = format!("load {number}");
        let join = encode(&ClientMessage::Join {
            name: &name,
            state: None,
            resume: None,
            last_seq: None,
            token: None,
            host_key: None,
            settings: None,
            proof: None,
        });
        socket.send(Message::Text(join)).await.map_err(|error| format!("join: {error}"))?;
        let text = next_text(&mut socket).await?;
        let welcome = read(&text)?;
        match welcome.id {
            Some(id) if welcome.kind == "welcome" => Ok(Self { id, socket, arrived: 0, acknowledged: 0 }),
            _ => Err(format!("join: answered with {}", describe(&welcome))),
        }
    }

    /// Sends one message, with an acknowledgement if one is due.
    pub async fn send(&mut self, text: Utf8Bytes) -> Result<(), String> {
        let text = if self.arrived - self.acknowledged < ACKNOWLEDGED {
            text
        } else {
            self.acknowledged = self.arrived;
            format!(r#"{{"ack":{},{}"#, self.arrived, &text[1..]).into()
        };
        self.socket.send(Message::Text(text)).await.map_err(|error| format!("send: {error}"))
    }

    /// Waits for the next `signal` or `broadcast`, whose data must be equal to `data` byte for byte.
    pub async fn receive(&mut self, data: &RawValue) -> Result<(), String> {
        loop {
            let text = next_text(&mut self.socket).await?;
            let incoming = read(&text)?;
            self.arrived = incoming.seq.unwrap_or(self.arrived);
            match &*incoming.kind {
                "signal" | "broadcast" if incoming.data.map(RawValue::get) == Some(data.get()) => return Ok(()),
                "signal" | "broadcast" => return Err("a message's data was altered".into()),
                "error" | "go_away" => return Err(describe(&incoming)),
                _ => {}
            }
        }
    }
}

async fn next_text(socket: &mut WebSocketStream<TcpStream>) -> Result<Utf8Bytes, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(Some(frame)))) => return Err(format!("closed by the server: {}", frame.code)),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(format!("receive: {error}")),
            None => return Err("closed by the server".into()),
        }
    }
}

fn read(text: &str) -> Result<Incoming<'_>, String> {
    serde_json::from_str(text).map_err(|error| format!("the server sent no message of the protocol: {error}"))
}

fn describe(incoming: &Incoming<'_>) -> String {
    match &incoming.code {
        Some(code) => format!("{} {code}", incoming.kind),
        None => incoming.kind.to_string(),
    }
}
