//! Client that sends WebSocket frames byte by byte, including malformed ones.

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{TestServer, client, within};

pub const FIN: u8 = 0x80;
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

pub struct Raw {
    tcp: TcpStream,
    /// Head of the response to the upgrade.
    pub head: String,
}

impl Raw {
    pub async fn connect(server: &TestServer, room: &str) -> Self {
        Self::connect_with(server, room, None, &[]).await
    }

    /// Connects with a minimal receive buffer, so that the kernel buffers little unread data.
    pub async fn connect_small(server: &TestServer, room: &str) -> Self {
        Self::connect_with(server, room, Some(4096), &[]).await
    }

    /// Connects and sends the first message without waiting for the upgrade's response.
    pub async fn connect_eager(server: &TestServer, room: &str, text: &str) -> Self {
        Self::connect_with(server, room, None, &masked(FIN | TEXT, text.as_bytes())).await
    }

    async fn connect_with(server: &TestServer, room: &str, receive_buffer: Option<u32>, behind: &[u8]) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        Self::over(socket.connect(server.address).await.unwrap(), room, "", behind).await
    }

    /// Connects over an existing TCP connection with additional headers. `behind` follows the request immediately.
    pub async fn over(mut tcp: TcpStream, room: &str, headers: &str, behind: &[u8]) -> Self {
        let request = format!(
            "GET /signal-api/ws?room={} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n",
            client::encode(room)
        );
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(&[request.as_bytes(), behind].concat()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("an upgrade", tcp.read_u8()).await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // `Sec-WebSocket-Accept` that RFC 6455 §1.3 gives for this key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self { tcp, head }
    }

    pub async fn join(server: &TestServer, room: &str, name: &str) -> (Self, Value) {
        let raw = Self::connect(server, room).await;
        raw.joined(name).await
    }

    pub async fn joined(mut self, name: &str) -> (Self, Value) {
        self.text(&format!(r#"{{"type":"join","name":"{name}"}}"#)).await;
        let welcome = self.message().await;
        assert_eq!(welcome["type"], "welcome");
        (self, welcome)
    }

    pub async fn text(&mut self, text: &str) {
        self.frame(FIN | TEXT, text.as_bytes()).await;
    }

    /// Sends a masked frame with this first byte.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&masked(first, payload)).await;
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        // The server may close after the first half of what it rejects.
        let _ = within("a send", self.tcp.write_all(bytes)).await;
    }

    /// Returns the opcode and the payload of the next frame, or `None` at the end of the connection.
    pub async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        within("a frame", read_frame(&mut self.tcp)).await
    }

    /// Returns the next text message. Pings are not answered.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.read().await {
                Some((TEXT, payload)) => {
                    let mut message: Value = serde_json::from_slice(&payload).unwrap();
                    // `Client` and the tests of R47 check message numbers.
                    message.as_object_mut().unwrap().remove("seq");
                    return message;
                }
                Some((PING, _)) => {}
                other => panic!("expected a message, not {other:?}"),
            }
        }
    }

    /// Skips frames until a close frame arrives, and returns its code.
    pub async fn close_code(&mut self) -> u16 {
        within("a close frame", read_close(&mut self.tcp)).await
    }

    /// Sends the same bytes repeatedly and reads until the server closes. Returns the close code.
    pub async fn flood(&mut self, bytes: &[u8]) -> u16 {
        let (mut from, mut to) = self.tcp.split();
        let write = async {
            while to.write_all(bytes).await.is_ok() {}
            std::future::pending().await
        };
        tokio::select! {
            code = within("a close frame", read_close(&mut from)) => code,
            code = write => code,
        }
    }

    /// Shuts down the write half.
    pub async fn half_close(&mut self) {
        self.tcp.shutdown().await.unwrap();
    }
}

async fn read_frame(tcp: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = tcp.read_u8().await.ok()?;
    assert_eq!(first & 0xf0, FIN, "a fragmented frame or reserved bits");
    let len = match tcp.read_u8().await.ok()? {
        126 => u64::from(tcp.read_u16().await.ok()?),
        127 => tcp.read_u64().await.ok()?,
        len => u64::from(len),
    };
    let mut payload = vec![0; len as usize];
    tcp.read_exact(&mut payload).await.ok()?;
    Some((first & 0x0f, payload))
}

async fn read_close(tcp: &mut (impl AsyncRead + Unpin)) -> u16 {
    loop {
        match read_frame(tcp).await {
            Some((CLOSE, payload)) => return u16::from_be_bytes([payload[0], payload[1]]),
            Some(_) => {}
            None => panic!("the connection ended without a close frame"),
        }
    }
}

/// Builds a masked client frame with this first byte.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
