//! R26 and R27: liveness.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::TestServer;
use crate::common::raw::{FIN, PING, PONG, Raw, TEXT};

const FAST: [(&str, &str); 2] = [("ROUNDTABLE_PING_INTERVAL", "100ms"), ("ROUNDTABLE_RESUME_WINDOW", "50ms")];

async fn next_ping(raw: &mut Raw) {
    while !matches!(raw.read().await.expect("an open connection"), (PING, payload) if payload.is_empty()) {}
}

#[tokio::test]
async fn r26_who_answers_no_pings_is_dead_after_two() {
    let server = TestServer::start(&FAST).await;
    let (mut raw, welcome) = Raw::join(&server, "r", "Bob").await;
    let begun = Instant::now();
    // The client library answers pings while it waits.
    let mut ada = server.join("r", "Ada").await;
    ada.expect("link").await;
    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&welcome["self"], &json!("timeout")));
    assert!(begun.elapsed() >= Duration::from_millis(250), "closed before two pings and the time to answer the second");
    let mut pings = 0;
    while let Some((opcode, _)) = raw.read().await {
        pings += u32::from(opcode == PING);
    }
    assert_eq!(pings, 2);
    assert_eq!(ada.expect("role").await["role"], "host");
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r26_a_dead_peer_is_closed_with_4002() {
    let server = TestServer::start(&FAST).await;
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    assert_eq!(raw.close_code().await, 4002);
}

#[tokio::test]
async fn r26_whatever_arrives_is_a_sign_of_life() {
    let server = TestServer::start(&FAST).await;
    let (mut bob, _) = Raw::join(&server, "r", "Bob").await;
    let begun = Instant::now();
    for round in 0..12 {
        next_ping(&mut bob).await;
        // Every second ping stays unanswered, never two in a row.
        match round {
            _ if round % 2 == 1 => {}
            0 | 6 => bob.frame(FIN | PONG, b"").await,
            2 | 8 => bob.frame(FIN | PING, b"x").await,
            4 => bob.text(r#"{"type":"sync"}"#).await,
            _ => bob.text("not even JSON").await,
        }
    }
    // Eleven intervals, as the first ping may have been read late.
    assert!(begun.elapsed() >= Duration::from_millis(1_000), "pinged too often: {:?}", begun.elapsed());
    bob.text(r#"{"type":"broadcast"}"#).await;
    while bob.message().await["code"] != "missing_field" {}
}

#[tokio::test]
async fn r26_a_message_that_takes_long_is_a_sign_of_life_as_it_comes() {
    let server = TestServer::start(&FAST).await;
    let (mut bob, _) = Raw::join(&server, "r", "Bob").await;
    // A pong cannot be sent between the bytes of a frame.
    let text = br#"{"type":"ping","ref":7}"#;
    let mut frame = vec![FIN | TEXT, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text);
    for piece in frame.chunks(5) {
        next_ping(&mut bob).await;
        bob.bytes(piece).await;
    }
    assert_eq!(bob.message().await, json!({"type": "pong", "ref": 7}));
}

#[tokio::test]
async fn r26_the_interval_is_told_and_fits_below_the_read_timeouts_of_proxies() {
    let settings = crate::common::config(&[]);
    assert_eq!(settings.ping_interval, Duration::from_secs(20));
    assert_eq!(settings.heartbeat_seconds(), 25);
    let server = TestServer::start(&[("ROUNDTABLE_PING_INTERVAL", "8s")]).await;
    assert_eq!(server.join("r", "Ada").await.welcome["heartbeat_seconds"], 10);
}

#[tokio::test]
async fn r27_ping_is_answered_at_any_time() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    ada.send(json!({"type": "ping", "ref": 1})).await;
    assert_eq!(ada.next_text().await, r#"{"type":"pong","ref":1}"#);
    ada.join("Ada").await;
    ada.send(json!({"type": "ping"})).await;
    assert_eq!(ada.next_text().await, r#"{"type":"pong"}"#);
}

#[tokio::test]
async fn r27_websocket_pings_are_answered_with_what_they_carry() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    for payload in [&b""[..], b"\xff\x00binary", &[7; 125]] {
        ada.send_frame(Message::Ping(payload.to_vec().into())).await;
        assert_eq!(ada.expect_pong_frame().await, payload);
    }
    ada.join("Ada").await;
    ada.send_frame(Message::Ping("joined".into())).await;
    assert_eq!(ada.expect_pong_frame().await, b"joined");
}
