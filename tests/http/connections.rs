//! HTTP connections: the operations listener, invalid request heads, and timeouts.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dist::{Dist, get};
use crate::common::http::{self, ask};
use crate::common::{TestServer, within};

#[tokio::test]
async fn operators_have_their_own_listener() {
    let dist = Dist::built();
    let server = dist.serve().await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(get(&server, path, &[]).await.text(), "landing", "{path} is not a page on this listener");
        assert_eq!(ask(server.ops, "GET", path, &[]).await.status, 200, "{path}");
    }
    assert_eq!(ask(server.ops, "GET", "/", &[]).await.status, 404);
    assert_eq!(ask(server.ops, "GET", "/signal-api/v1/welcome", &[]).await.status, 404);
}

#[tokio::test]
async fn a_server_may_be_not_ready_without_its_engine() {
    // No server listens there.
    let url = ("ROUNDTABLE_REDIS_URL", "redis://127.0.0.1:1");
    let key = ("ROUNDTABLE_RESUME_KEY", "the same for all of them, and long enough");
    for (settings, status) in [
        (&[url, key][..], 200),
        (&[url, key, ("ROUNDTABLE_READY_WITHOUT_ENGINE", "false")], 503),
        (&[("ROUNDTABLE_READY_WITHOUT_ENGINE", "false")], 200),
    ] {
        let server = TestServer::start(settings).await;
        assert_eq!(ask(server.ops, "GET", "/readyz", &[]).await.status, status, "{settings:?}");
        assert_eq!(ask(server.ops, "GET", "/healthz", &[]).await.status, 200, "not alive");
        let metrics = ask(server.ops, "GET", "/metrics", &[]).await.text();
        let engine = metrics.lines().find(|line| line.starts_with("roundtable_engine_connected"));
        // A server without a store shows no metric of one: it is not disconnected.
        assert_eq!(engine, settings.contains(&url).then_some("roundtable_engine_connected 0"), "{settings:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_no_http_or_too_long_is_refused() {
    let server = TestServer::start(&[]).await;
    let long = format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {}\r\n\r\n", "x".repeat(20_000));
    for request in ["\x16\x03\x01\x02\0", "HELLO\r\n\r\n", "GET / HTTP/1.1\nno colon\r\n\r\n", &long] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an acceptable response.
        let _ = within("the connection to end", tcp.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(&server, "/signal-api/v1/welcome", &[]).await.status, 200);
}

/// Reads until the server closes the connection. Returns the seconds until then.
async fn closed_after(tcp: &mut TcpStream) -> f64 {
    let begun = Instant::now();
    let mut rest = Vec::new();
    // A reset also ends the connection.
    let _ = within("the connection to end", tcp.read_to_end(&mut rest)).await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
    begun.elapsed().as_secs_f64()
}

/// Sends a request over a connection that stays open.
async fn ask_and_stay(tcp: &mut TcpStream) {
    let request = "GET /signal-api/v1/welcome HTTP/1.1\r\nHost: test\r\n\r\n";
    tcp.write_all(request.as_bytes()).await.unwrap();
    let answer = within("the response", http::read(tcp)).await;
    assert_eq!((answer.status, answer.header("connection")), (200, None));
}

/// Load balancers keep connections for longer than a client may take for a head, or a request for its response.
#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_a_head_or_a_request_may_take() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_REQUEST_HEAD_TIMEOUT", "500ms"),
        ("ROUNDTABLE_REQUEST_TIMEOUT", "500ms"),
        ("ROUNDTABLE_HTTP_KEEPALIVE_TIMEOUT", "3s"),
    ])
    .await;
    for address in [server.address, server.ops] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        for _ in 0..2 {
            tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
            within("the response", http::read(&mut tcp)).await;
        }
        let after = closed_after(&mut tcp).await;
        assert!((2.9..10.0).contains(&after), "closed after {after} s");
    }
    // The connection becomes idle after a body as well as after a head.
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let request = "POST /signal-api/v1/leave HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}";
    tcp.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(within("the response", http::read(&mut tcp)).await.status, 400);
    let after = closed_after(&mut tcp).await;
    assert!((2.9..10.0).contains(&after), "closed after {after} s");
}

#[tokio::test]
async fn a_head_has_its_own_time_on_a_connection_that_is_kept() {
    let settings = [("ROUNDTABLE_REQUEST_HEAD_TIMEOUT", "1s"), ("ROUNDTABLE_HTTP_KEEPALIVE_TIMEOUT", "10m")];
    let server = TestServer::start(&settings).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut half = TcpStream::connect(server.address).await.unwrap();
    ask_and_stay(&mut half).await;
    half.write_all(b"GET /signal-api/v1/wel").await.unwrap();
    for tcp in [&mut silent, &mut half] {
        let after = closed_after(tcp).await;
        assert!(after < 10.0, "closed after {after} s");
    }
}

#[tokio::test]
async fn in_a_crowd_idle_connections_make_room() {
    let settings = [
        ("ROUNDTABLE_REQUESTS", "8"),
        ("ROUNDTABLE_REQUEST_HEAD_TIMEOUT", "5s"),
        ("ROUNDTABLE_HTTP_KEEPALIVE_TIMEOUT", "10m"),
    ];
    let server = TestServer::start(&settings).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        ask_and_stay(&mut tcp).await;
        idle.push(tcp);
    }
    // The fifth connection exceeds half of the places, so that a fifth of the head's timeout applies to idle ones.
    let mut fifth = TcpStream::connect(server.address).await.unwrap();
    ask_and_stay(&mut fifth).await;
    // With three of them left, the server is no longer crowded.
    for tcp in &mut idle[..2] {
        let after = closed_after(tcp).await;
        assert!(after < 10.0, "closed after {after} s");
    }
}
