//! Server behaviour with stalled clients, with many rooms, and at shutdown.

use std::time::{Duration, Instant};

use roundtable::protocol::RoomName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::raw::{CLOSE, FIN, Raw};
use crate::common::{TestServer, http, within};

#[tokio::test]
async fn a_room_is_forgotten_when_its_last_member_is_gone() {
    let server = TestServer::start(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    let room = RoomName::new("r").unwrap();
    let members = || server.app.hub.occupancy(&room).map(|occupancy| occupancy.members);
    assert_eq!(members(), None);
    let mut ada = server.join("r", "Ada").await;
    let mut bob = server.join("r", "Bob").await;
    assert_eq!(members(), Some(2));
    bob.send(json!({"type": "leave"})).await;
    bob.drain().await;
    assert_eq!(members(), Some(1));
    ada.send(json!({"type": "leave"})).await;
    ada.drain().await;
    assert_eq!(members(), None);
    let mut eve = server.connect("r").await;
    eve.send(json!({"type": "join", "name": ""})).await;
    eve.expect_error("name_invalid").await;
    assert_eq!(members(), None);
}

#[tokio::test]
async fn a_join_that_is_refused_makes_no_room() {
    let server = TestServer::start(&[]).await;
    let mut eve = server.connect("r").await;
    let keys: serde_json::Map<_, _> = (0..17).map(|i| (format!("k{i}"), json!(true))).collect();
    eve.send(json!({"type": "join", "name": "Eve", "state": keys})).await;
    eve.expect_error("state_invalid").await;
    assert_eq!(server.metric("roundtable_rooms").await, 0);
}

#[tokio::test]
async fn a_stalled_member_delays_neither_its_room_nor_any_other() {
    let server = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "0"), ("ROUNDTABLE_BYTE_RATE", "0")]).await;
    let mut ada = server.join("r", "Ada").await;
    let mut bob = server.join("r", "Bob").await;
    let (_stalled, _) = Raw::connect_small(&server, "r").await.joined("Slow").await;
    for member in [&mut ada, &mut bob] {
        while member.next_text().await.contains("Bob") {}
    }
    let mut elsewhere = server.join("s", "Eve").await;
    let data = "x".repeat(20_000);
    let mut slowest = Duration::ZERO;
    // Fills the kernel's buffers for the stalled member, then its outbox, until the server closes the connection.
    for _ in 0..500 {
        let begun = Instant::now();
        ada.send(json!({"type": "broadcast", "data": data})).await;
        bob.next_text().await;
        elsewhere.expect_nothing().await;
        slowest = slowest.max(begun.elapsed());
    }
    assert_eq!(server.metric("roundtable_slow_consumers_total").await, 1);
    // Far above scheduling delays of the machine and far below any timeout of the server.
    assert!(slowest < Duration::from_secs(1), "another member waited {slowest:?}");
}

#[tokio::test]
async fn a_member_that_says_nothing_is_not_forgotten_while_it_answers_pings() {
    let server = TestServer::start(&[("ROUNDTABLE_PING_INTERVAL", "50ms")]).await;
    let mut ada = server.join("r", "Ada").await;
    let begun = Instant::now();
    // The client library answers pings while it waits for a close, which must not come.
    let quiet = tokio::time::timeout(Duration::from_millis(600), ada.next_text()).await;
    assert!(quiet.is_err(), "{quiet:?} after {:?}", begun.elapsed());
    ada.expect_nothing().await;
}

/// Shuts the server down and returns how long that took.
async fn stop(server: TestServer) -> Duration {
    let begun = Instant::now();
    within("the end of the server", server.shut_down()).await.expect("no panic");
    begun.elapsed()
}

const DRAIN: [(&str, &str); 1] = [("ROUNDTABLE_DRAIN_TIMEOUT", "1s")];

#[tokio::test]
async fn a_shutdown_without_clients_is_at_once() {
    let elapsed = stop(TestServer::start(&[]).await).await;
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

#[tokio::test]
async fn a_shutdown_waits_for_goodbyes_and_no_longer() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let goodbye = async move {
        ada.drain().await;
        drop(ada);
    };
    let (elapsed, ()) = tokio::join!(stop(server), goodbye);
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
}

#[tokio::test]
async fn a_client_that_never_confirms_holds_no_shutdown_up() {
    let server = TestServer::start(&DRAIN).await;
    let (mut raw, _) = Raw::join(&server, "r", "Ada").await;
    let (elapsed, code) = tokio::join!(stop(server), raw.close_code());
    assert_eq!(code, 1012);
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

#[tokio::test]
async fn a_client_that_never_reads_holds_no_shutdown_up() {
    let mut settings = DRAIN.to_vec();
    settings.push(("ROUNDTABLE_OUTBOX_BYTES", "1073741824"));
    settings.push(("ROUNDTABLE_OUTBOX_MESSAGES", "1000000"));
    settings.push(("ROUNDTABLE_BYTE_RATE", "0"));
    settings.push(("ROUNDTABLE_MESSAGE_RATE", "0"));
    let server = TestServer::start(&settings).await;
    let mut ada = server.join("r", "Ada").await;
    let (_stalled, _) = Raw::connect_small(&server, "r").await.joined("Slow").await;
    ada.expect("peer_joined").await;
    // More than any kernel buffers for one connection.
    for _ in 0..300 {
        ada.send(json!({"type": "broadcast", "data": "x".repeat(60_000)})).await;
    }
    ada.expect_nothing().await;
    let (elapsed, ()) = tokio::join!(stop(server), ada.drain());
    assert!(elapsed >= Duration::from_secs(1), "the client had no time to read: {elapsed:?}");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
}

#[tokio::test]
async fn who_reads_nothing_and_is_superseded_gives_its_place_back() {
    let settings = [("ROUNDTABLE_OUTBOX_BYTES", "1073741824"), ("ROUNDTABLE_BYTE_RATE", "0")];
    let server = TestServer::start(&settings).await;
    let mut ada = server.join("r", "Ada").await;
    let (_stalled, welcome) = Raw::connect_small(&server, "r").await.joined("Slow").await;
    for _ in 0..300 {
        ada.send(json!({"type": "broadcast", "data": "x".repeat(60_000)})).await;
    }
    let mut back = server.connect("r").await;
    back.join_with(json!({"type": "join", "name": "Slow", "resume": welcome["resume"]})).await;
    // Long before two ping intervals have passed.
    server.metric_becomes("roundtable_sockets", 2).await;
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_cut() {
    let server = TestServer::start(&[]).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(within("the connection to end", silent.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn http_connections_that_are_kept_alive_hold_no_shutdown_up() {
    let server = TestServer::start(&[]).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /signal-api/v1/welcome HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    assert_eq!(within("the response", http::read(&mut idle)).await.status, 200);
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut operator = TcpStream::connect(server.ops).await.unwrap();
    operator.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    assert_eq!(within("the response", http::read(&mut operator)).await.status, 200);
    let elapsed = stop(server).await;
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
    assert_eq!(within("the connection to end", idle.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn half_a_request_holds_no_shutdown_up() {
    let server = TestServer::start(&DRAIN).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"GET /signal-api/v1/wel").await.unwrap();
    let elapsed = stop(server).await;
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

#[tokio::test]
async fn while_it_drains_a_server_is_not_ready_and_lets_nobody_in() {
    let server = TestServer::start(&[]).await;
    // Connected before the shutdown, so that it can still send a request.
    let mut ready = TcpStream::connect(server.ops).await.unwrap();
    let mut late = server.connect("r").await;
    let (mut raw, _) = Raw::join(&server, "r", "Ada").await;
    let app = std::sync::Arc::clone(&server.app);
    let ops = server.ops;
    assert_eq!(http::ask(ops, "GET", "/readyz", &[]).await.text(), "ready\n");
    let mut draining = app.draining();
    // Acknowledges nothing, so that the drain lasts.
    let running = server.shut_down();
    within("a drain", draining.wait_for(|draining| *draining)).await.unwrap();
    ready.write_all(b"GET /readyz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
    let answer = within("the response", http::read(&mut ready)).await;
    assert_eq!((answer.status, answer.text().as_str()), (503, "draining\n"));
    assert_eq!(http::ask(ops, "GET", "/healthz", &[]).await.status, 200, "not alive while draining");

    late.send(json!({"type": "join", "name": "Late"})).await;
    let away: Value = serde_json::from_str(&late.next_text().await).unwrap();
    assert_eq!(away["type"], "go_away");
    assert_eq!(late.expect_close().await, Some(1012));
    assert_eq!(raw.close_code().await, 1012);
    drop((raw, late));
    within("the end of the server", running).await.unwrap();
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn metrics_tell_how_connections_ended() {
    let server = TestServer::start(&[]).await;
    server.join("r", "Ada").await.close().await;
    let mut bob = server.join("r", "Bob").await;
    bob.send(json!({"type": "leave"})).await;
    bob.drain().await;
    let (mut raw, _) = Raw::join(&server, "r", "Zoe").await;
    raw.frame(FIN | 0x3, b"").await;
    while raw.read().await.is_some_and(|(opcode, _)| opcode != CLOSE) {}
    drop(raw);
    server.metric_becomes("roundtable_sockets", 0).await;
    for (code, count) in [("client", 1), ("left", 1), ("protocol_error", 1)] {
        server.metric_becomes(&format!("roundtable_closes_total{{code=\"{code}\"}}"), count).await;
    }
    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let text = http::ask(server.ops, "GET", "/metrics", &accept).await;
    assert!(text.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(text.text().ends_with("# EOF\n"));
    assert!(!text.text().contains("room=") && !text.text().contains("Ada"), "a label names a room or a person");
}
