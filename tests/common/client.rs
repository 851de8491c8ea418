//! Well-behaved client: a WebSocket library over TCP.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::DEADLINE;

pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// Response to `join`.
    pub welcome: Value,
    /// Number of the last message received. Every test checks the numbering (R47).
    pub last: u64,
    /// All messages received, shown when a test fails.
    seen: Vec<String>,
    pings: u32,
}

/// Encodes the value of `?room=` as browsers do.
pub fn encode(room: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    room.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

/// Opens a WebSocket to a room over an existing TCP connection.
pub async fn upgrade(tcp: TcpStream, room: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    // As in browsers. With Nagle's algorithm, the second of two messages would wait 40 ms for the delayed
    // acknowledgement of the first.
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

    /// Connects over an existing TCP connection.
    pub async fn over(tcp: TcpStream, room: &str) -> Result<Self, Error> {
        let socket = super::within("an upgrade", upgrade(tcp, room)).await?;
        Ok(Self { socket, welcome: Value::Null, last: 0, seen: Vec::new(), pings: 0 })
    }

    /// Connects and joins a room.
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

    /// Returns the next message as text without its number, which must be the next in sequence.
    pub async fn next_text(&mut self) -> String {
        match self.next_frame().await {
            Some(Message::Text(text)) => self.without_number(&text),
            other => self.fail(&format!("expected a message, not {other:?}")),
        }
    }

    fn without_number(&mut self, text: &str) -> String {
        let Some(rest) = text.strip_prefix("{\"seq\":") else { return text.to_owned() };
        let (number, rest) = rest.split_once(',').expect("a message after the number");
        if number != (self.last + 1).to_string() {
            self.fail(&format!("expected the number after {}", self.last));
        }
        self.last += 1;
        format!("{{{rest}")
    }

    /// Returns the next message, or `None` if the connection ends first.
    pub async fn next_message(&mut self) -> Option<Value> {
        match self.next_frame().await {
            Some(Message::Text(text)) => Some(serde_json::from_str(&self.without_number(&text)).expect("JSON")),
            _ => None,
        }
    }

    /// Returns the next message, which must have this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let text = self.next_text().await;
        let message: Value = serde_json::from_str(&text).unwrap_or_else(|error| self.fail(&error.to_string()));
        if message["type"] != kind {
            self.fail(&format!("expected {kind:?}"));
        }
        message
    }

    /// Returns the next message, which must be an error with this code.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error").await;
        if error["code"] != code || error["message"].as_str().is_none_or(str::is_empty) {
            self.fail(&format!("expected the error {code:?}"));
        }
        error
    }

    /// Asserts that no other message has arrived: messages that the server queued for this client before it read the
    /// ping are sent before the pong.
    pub async fn expect_nothing(&mut self) {
        self.pings += 1;
        let mark = format!("nothing-{}", self.pings);
        self.send(json!({"type": "ping", "ref": mark})).await;
        let pong = self.expect("pong").await;
        assert_eq!(pong["ref"], mark);
    }

    /// Asserts that only messages of these types have arrived.
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

    /// Asserts that the connection ends next. Returns the close code, or `None` without a close frame.
    pub async fn expect_close(&mut self) -> Option<u16> {
        match self.next_frame().await {
            Some(Message::Close(frame)) => frame.map(|frame| frame.code.into()),
            None => None,
            Some(_) => self.fail("expected the end of the connection"),
        }
    }

    /// Skips messages until the connection ends. Returns the close code.
    pub async fn skip_to_close(&mut self) -> Option<u16> {
        loop {
            match self.next_frame().await {
                Some(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                None => return None,
                Some(_) => {}
            }
        }
    }

    /// Returns the next frame that is neither a ping nor a pong.
    async fn next_frame(&mut self) -> Option<Message> {
        loop {
            let frame = match tokio::time::timeout(DEADLINE, self.socket.next()).await {
                Ok(frame) => frame,
                Err(_) => self.fail("no frame arrived"),
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

    /// Returns the payload of the next WebSocket pong.
    pub async fn expect_pong_frame(&mut self) -> Vec<u8> {
        match super::within("a pong", self.socket.next()).await {
            Some(Ok(Message::Pong(payload))) => payload.to_vec(),
            other => self.fail(&format!("expected a pong frame, not {other:?}")),
        }
    }

    /// Closes with the handshake of RFC 6455 and waits for its completion.
    pub async fn close(mut self) {
        super::within("a close", self.socket.close(None)).await.expect("an open connection");
        self.drain().await;
    }

    /// Closes with this code, as a page or its browser does.
    pub async fn close_with(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        super::within("a close", self.socket.close(Some(frame))).await.expect("an open connection");
        self.drain().await;
    }

    /// Reads to the end of the connection and discards the messages. Dropping a socket with unread data resets the
    /// connection, and the reset may overtake data that was sent last.
    pub async fn drain(&mut self) {
        while self.next_frame().await.is_some() {}
    }

    /// Reads to the end of the connection and collects the messages.
    pub async fn drain_into(&mut self, messages: &mut Vec<Value>) {
        while let Some(frame) = self.next_frame().await {
            if let Message::Text(text) = frame {
                messages.push(serde_json::from_str(&self.without_number(&text)).expect("JSON"));
            }
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}; received so far: {:#?}", self.seen)
    }
}
