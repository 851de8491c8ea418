//! A client that speaks WebSocket byte by byte, as badly as a test wants.

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
    /// How the server has answered the upgrade.
    pub head: String,
}

impl Raw {
    pub async fn connect(server: &TestServer, room: &str) -> Self {
        Self::connect_with(server, room, None, &[]).await
    }

    /// A client whose kernel takes hardly anything that it does not read.
    pub async fn connect_small(server: &TestServer, room: &str) -> Self {
        Self::connect_with(server, room, Some(4096), &[]).await
    }

    /// A client that does not wait for the upgrade with its first message.
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

    /// Over a connection that is there already, with further headers and what follows the request at once.
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
        // The answer that RFC 6455 §1.3 gives for this key.
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

    /// A masked frame with this first byte.
    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&masked(first, payload)).await;
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        // A server that has refused the first half need not take the second.
        let _ = within("a send", self.tcp.write_all(bytes)).await;
    }

    /// The next frame: opcode and payload; `None` at the connection's end.
    pub async fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        within("a frame", read_frame(&mut self.tcp)).await
    }

    /// The next text message; pings in between go unanswered.
    pub async fn message(&mut self) -> Value {
        loop {
            match self.read().await {
                Some((TEXT, payload)) => {
                    let mut message: Value = serde_json::from_slice(&payload).unwrap();
                    // Numbers are the affair of `Client`, and of the tests of R47.
                    message.as_object_mut().unwrap().remove("seq");
                    return message;
                }
                Some((PING, _)) => {}
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    /// The code of the close frame that must come, whatever comes before it.
    pub async fn close_code(&mut self) -> u16 {
        within("a close frame", read_close(&mut self.tcp)).await
    }

    /// Sends this again and again, and listens, until the server closes: the code of its close frame.
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

    /// Says that nothing more will be sent.
    pub async fn half_close(&mut self) {
        self.tcp.shutdown().await.unwrap();
    }
}

async fn read_frame(tcp: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = tcp.read_u8().await.ok()?;
    assert_eq!(first & 0xf0, FIN, "the server sends whole frames without reserved bits");
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

/// A frame as a client sends it, with this first byte.
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
