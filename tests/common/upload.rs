//! Recording uploads as made by a host's page.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Client;
use super::http::{Answer, ask, send};
use super::within;

pub const TOKEN: &str = "north-north-north-north-north-north";
pub const RECORDINGS: &str = "/signal-api/v1/recordings";

pub async fn begin(address: SocketAddr, room: &str, resume: &Value) -> Answer {
    let target = format!("{RECORDINGS}?room={room}");
    send(address, "POST", &target, &[], json!({"room": room, "resume": resume}).to_string()).await
}

/// Recording that is being uploaded.
#[derive(Clone)]
pub struct Upload {
    pub address: SocketAddr,
    pub id: String,
    pub secret: String,
    pub room: String,
}

impl Upload {
    pub async fn new(address: SocketAddr, room: &str, host: &Client) -> Self {
        let answer = begin(address, room, &host.welcome["resume"]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let data = &answer.json()["data"];
        assert_eq!(data["piece_bytes"], 4 * 1024 * 1024);
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        Self { address, id: text("id"), secret: text("upload"), room: room.to_owned() }
    }

    pub async fn call(&self, method: &str, more: &str, body: impl AsRef<[u8]>) -> Answer {
        let authorization = format!("Bearer {}", self.secret);
        let and = if more.contains('?') { '&' } else { '?' };
        let target = format!("{RECORDINGS}/{}{more}{and}room={}", self.id, self.room);
        send(self.address, method, &target, &[("Authorization", &authorization)], body).await
    }

    pub async fn put(&self, offset: usize, piece: impl AsRef<[u8]>) -> Answer {
        self.call("PUT", &format!("?offset={offset}"), piece).await
    }

    /// Sends the first half of a piece, after the server has asked for the body (100 Continue).
    pub async fn half(&self, offset: usize, piece: &[u8]) -> TcpStream {
        let head = format!(
            "PUT {RECORDINGS}/{}?offset={offset}&room={} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            self.id,
            self.room,
            self.secret,
            piece.len()
        );
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut answer = *b"HTTP/1.1 100 Continue\r\n\r\n";
        within("the server to ask for the body", tcp.read_exact(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 100 "), "{}", answer.escape_ascii());
        tcp.write_all(&piece[..piece.len() / 2]).await.unwrap();
        tcp
    }

    /// Uploads a piece and returns the length that the server confirms.
    pub async fn put_well(&self, offset: usize, piece: impl AsRef<[u8]>) -> Value {
        length(&self.put(offset, piece).await)
    }
}

pub fn length(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"]["length"].clone()
}

pub fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{}", answer.text());
}

/// Sends a request to the admin API.
pub async fn admin(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let target = format!("/signal-api/v1/admin{path}");
    ask(address, method, &target, &[headers, &[("Authorization", authorization.as_str())]].concat()).await
}

/// The EBML header of a WebM file (RFC 8794 §8), as browsers write it.
const HEADER: &[u8] =
    b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02";

/// Makes a part of a WebM file: the header, then bytes that depend on their position.
pub fn media(from: usize, to: usize) -> Vec<u8> {
    (from..to).map(|at| HEADER.get(at).copied().unwrap_or((at * 31 + (at >> 8)) as u8)).collect()
}
