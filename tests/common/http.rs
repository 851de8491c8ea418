//! HTTP client that sends one request per connection, exactly as written.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Header names are in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request without a body. `target` is sent unchanged, even if it is invalid.
pub async fn ask(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in [("Host", "test"), ("Connection", "close")] {
        if !headers.iter().any(|(given, _)| *given == name) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    within(target, read(&mut tcp)).await
}

/// Sends a request with a body, written at once.
pub async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    let body = body.as_ref();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(head.as_bytes()).await.unwrap();
    // The server may reject a request by its head alone, before it has read all of the body.
    let _ = tcp.write_all(body).await;
    within(target, read(&mut tcp)).await
}

/// Posts a body as a page does when it closes.
pub async fn post(address: SocketAddr, target: &str, body: &str) -> Answer {
    post_over(TcpStream::connect(address).await.unwrap(), "", target, body).await
}

/// Posts a body through a proxy, which names the client in `X-Forwarded-For`.
pub async fn post_for(client: &str, address: SocketAddr, target: &str, body: &str) -> Answer {
    let header = format!("X-Forwarded-For: {client}\r\n");
    post_over(TcpStream::connect(address).await.unwrap(), &header, target, body).await
}

/// Posts a body with additional headers over an existing connection.
pub async fn post_over(mut tcp: TcpStream, headers: &str, target: &str, body: &str) -> Answer {
    let length = body.len();
    let text = format!(
        "POST {target} HTTP/1.1\r\nHost: test\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    tcp.write_all(text.as_bytes()).await.unwrap();
    within(target, read(&mut tcp)).await
}

/// Sends the first part of a request, as over a slow line. [`finish`] sends the rest.
pub async fn begin(address: SocketAddr, method: &str, target: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n").as_bytes()).await.unwrap();
    tcp
}

/// Sends the rest of a request and returns its response.
pub async fn finish(mut tcp: TcpStream) -> Answer {
    tcp.write_all(b"Connection: close\r\n\r\n").await.unwrap();
    within("the answer", read(&mut tcp)).await
}

/// Reads one response and leaves the connection open.
pub async fn read(tcp: &mut TcpStream) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    match answer.header("content-length").map(|len| len.parse().unwrap()) {
        // A response to HEAD ends with the connection, regardless of its Content-Length.
        Some(len) => drop(tcp.take(len).read_to_end(&mut answer.body).await),
        None if answer.header("connection") == Some("close") => drop(tcp.read_to_end(&mut answer.body).await),
        None => {}
    }
    answer
}
