//! A well-behaved client: a WebSocket library over TCP.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::DEADLINE;

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// What `join` was answered with.
    pub welcome: Value,
    /// The number of the last message: R47 is checked in every test.
    pub last: u64,
    /// Everything that has arrived, for the messages of failures.
    seen: Vec<String>,
    pings: u32,
}

/// `?room=` as browsers write it.
pub fn encode(room: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    room.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

/// A WebSocket to a room over a connection that is there already.
pub async fn upgrade(tcp: TcpStream, room: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    // As browsers do: two messages in a row would wait 40 ms for the delayed acknowledgement of the first.
    tcp.set_nodelay(true)?;
    let address = tcp.peer_addr()?;
    let request = format!("ws://{address}/signal-api/ws?room={}", encode(room)).into_client_request()?;
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let (socket, _) = tokio_tungstenite::client_async_with_config(request, tcp, Some(config)).await?;
    Ok(socket)
}

impl Client {
    pub async fn connect(address: SocketAddr, room: &str) -> Result<Self, Error> {
        Self::over(TcpStream::connect(address).await?, room).await
    }

    /// The same over a connection that is there already.
    pub async fn over(tcp: TcpStream, room: &str) -> Result<Self, Error> {
        let socket = super::within("an upgrade", upgrade(tcp, room)).await?;
        Ok(Self { socket, welcome: Value::Null, last: 0, seen: Vec::new(), pings: 0 })
    }

    /// Somebody who is in the room.
    pub async fn enter(address: SocketAddr, room: &str, name: &str) -> Self {
        let mut client = Self::connect(address, room).await.expect("an upgrade");
        client.join(name).await;
        client
    }

    pub fn id(&self) -> &str {
        self.welcome["self"].as_str().expect("a joined client")
    }

    pub fn version(&self) -> u64 {
        self.welcome["version"].as_u64().expect("a joined client")
    }

    pub async fn join(&mut self, name: &str) -> &Value {
        self.join_with(json!({"type": "join", "name": name})).await
    }

    pub async fn join_with(&mut self, join: Value) -> &Value {
        self.send(join).await;
        self.welcome = self.expect("welcome").await;
        &self.welcome
    }

    pub async fn send(&mut self, message: Value) {
        self.send_frame(Message::text(message.to_string())).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.send_frame(Message::text(text)).await;
    }

    pub async fn send_frame(&mut self, message: Message) {
        super::within("a send", self.socket.send(message)).await.unwrap_or_else(|error| self.fail(&error.to_string()));
    }

    /// The next message as it came over the wire, without its number, which must be the next one.
    pub async fn next_text(&mut self) -> String {
        match self.next_frame().await {
            Some(Message::Text(text)) => self.without_number(&text),
            other => self.fail(&format!("a message was expected, not {other:?}")),
        }
    }

    fn without_number(&mut self, text: &str) -> String {
        let Some(rest) = text.strip_prefix("{\"seq\":") else { return text.to_owned() };
        let (number, rest) = rest.split_once(',').expect("a message after the number");
        if number != (self.last + 1).to_string() {
            self.fail(&format!("the number after {} was expected", self.last));
        }
        self.last += 1;
        format!("{{{rest}")
    }

    /// The next message; `None` where the connection ends first.
    pub async fn next_message(&mut self) -> Option<Value> {
        match self.next_frame().await {
            Some(Message::Text(text)) => Some(serde_json::from_str(&self.without_number(&text)).expect("JSON")),
            _ => None,
        }
    }

    /// The next message, which must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let text = self.next_text().await;
        let message: Value = serde_json::from_str(&text).unwrap_or_else(|error| self.fail(&error.to_string()));
        if message["type"] != kind {
            self.fail(&format!("{kind:?} was expected"));
        }
        message
    }

    /// The next message, which must be an error with this code.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error").await;
        if error["code"] != code || error["message"].as_str().is_none_or(str::is_empty) {
            self.fail(&format!("the error {code:?} was expected"));
        }
        error
    }

    /// Proves that nothing else has arrived: what the server queued for this client before it
    /// read the ping comes before the pong.
    pub async fn expect_nothing(&mut self) {
        self.pings += 1;
        let mark = format!("nothing-{}", self.pings);
        self.send(json!({"type": "ping", "ref": mark})).await;
        let pong = self.expect("pong").await;
        assert_eq!(pong["ref"], mark);
    }

    /// The same, whatever of these types has arrived before it.
    pub async fn expect_nothing_but(&mut self, kinds: &[&str]) {
        self.pings += 1;
        let mark = format!("nothing-{}", self.pings);
        self.send(json!({"type": "ping", "ref": mark})).await;
        loop {
            let message = self.next_message().await.expect("a pong");
            if message["type"] == "pong" && message["ref"] == mark {
                return;
            }
            assert!(kinds.iter().any(|kind| message["type"] == *kind), "{message}");
        }
    }

    /// The connection's end, which must be next: the close code, `None` without a close frame.
    pub async fn expect_close(&mut self) -> Option<u16> {
        match self.next_frame().await {
            Some(Message::Close(frame)) => frame.map(|frame| frame.code.into()),
            None => None,
            Some(_) => self.fail("the connection's end was expected"),
        }
    }

    /// The close code, whatever comes before it.
    pub async fn skip_to_close(&mut self) -> Option<u16> {
        loop {
            match self.next_frame().await {
                Some(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                None => return None,
                Some(_) => {}
            }
        }
    }

    /// The next frame that is neither ping nor pong.
    async fn next_frame(&mut self) -> Option<Message> {
        loop {
            let frame = match tokio::time::timeout(DEADLINE, self.socket.next()).await {
                Ok(frame) => frame,
                Err(_) => self.fail("nothing came"),
            };
            match frame {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => {
                    self.seen.push(format!("{message:?}"));
                    return Some(message);
                }
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The payload of the next WebSocket pong.
    pub async fn expect_pong_frame(&mut self) -> Vec<u8> {
        match super::within("a pong", self.socket.next()).await {
            Some(Ok(Message::Pong(payload))) => payload.to_vec(),
            other => self.fail(&format!("a pong frame was expected, not {other:?}")),
        }
    }

    /// Closes with the handshake of RFC 6455 and returns when it is through.
    pub async fn close(mut self) {
        super::within("a close", self.socket.close(None)).await.expect("an open connection");
        self.drain().await;
    }

    /// Reads, unseen, to the connection's end: to drop one that has something unread resets it,
    /// which may overtake what was sent last.
    pub async fn drain(&mut self) {
        while self.next_frame().await.is_some() {}
    }

    /// Reads to the connection's end and keeps the messages.
    pub async fn drain_into(&mut self, messages: &mut Vec<Value>) {
        while let Some(frame) = self.next_frame().await {
            if let Message::Text(text) = frame {
                messages.push(serde_json::from_str(&self.without_number(&text)).expect("JSON"));
            }
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}; so far came {:#?}", self.seen)
    }
}
