//! R28 to R31: rejected messages and their cost.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::TestServer;
use crate::common::raw::{CONTINUATION, FIN, Raw, TEXT};

#[tokio::test]
async fn r28_an_error_disturbs_nobody_else_and_the_connection_goes_on() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    for (text, code, re) in [
        ("", "bad_json", None),
        ("{", "bad_json", None),
        ("[]", "bad_json", None),
        (r#"["ping"]"#, "bad_json", None),
        (r#"["ping",null,null,null,null,null,null]"#, "bad_json", None),
        (r#"{"type":"ping"}{}"#, "bad_json", None),
        ("{}", "missing_field", None),
        (r#"{"type":null}"#, "missing_field", None),
        (r#"{"type":"signal"}"#, "missing_field", Some("signal")),
        (r#"{"type":"state"}"#, "missing_field", Some("state")),
        (r#"{"type":7}"#, "bad_field", None),
        (r#"{"type":"signal","to":{},"data":1}"#, "bad_field", Some("signal")),
        (r#"{"type":"sync","ref":{}}"#, "bad_field", Some("sync")),
        (r#"{"type":"dance"}"#, "unknown_type", None),
        (r#"{"type":"welcome"}"#, "unknown_type", None),
        (r#"{"type":"state","state":{"Mic":true}}"#, "state_invalid", Some("state")),
        (r#"{"type":"join","name":"Bob"}"#, "already_joined", Some("join")),
    ] {
        bob.send_text(text).await;
        let error = bob.expect_error(code).await;
        assert_eq!(error["re"].as_str(), re, "{text}");
        bob.send(json!({"type": "broadcast", "data": text})).await;
        assert_eq!(ada.expect("broadcast").await["data"], *text, "the connection ended, or another message arrived");
    }
}

#[tokio::test]
async fn r28_a_binary_frame_is_refused_before_and_after_join() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    ada.send_frame(Message::Binary(vec![0xff; 1000].into())).await;
    ada.expect_error("binary_unsupported").await;
    ada.join("Ada").await;
    ada.send_frame(Message::Binary(r#"{"type":"ping"}"#.into())).await;
    ada.expect_error("binary_unsupported").await;
    ada.expect_nothing().await;
}

fn ping_of(bytes: usize) -> String {
    let frame = r#"{"type":"ping","pad":""}"#;
    frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
}

#[tokio::test]
async fn r29_a_message_has_up_to_64_kib() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let mut bob = server.join("r", "Bob").await;
    ada.expect("peer_joined").await;
    bob.send_text(&ping_of(65_536)).await;
    bob.expect("pong").await;
    bob.send_text(&ping_of(65_537)).await;
    bob.expect_error("message_too_large").await;
    assert_eq!(bob.expect_close().await, Some(1009));
    assert_eq!(ada.expect("peer_left").await["reason"], "protocol_error");
}

#[tokio::test]
async fn r29_an_oversize_message_is_refused_by_its_header() {
    let server = TestServer::start(&[]).await;
    for len in [65_537_u64, 1 << 40, u64::MAX >> 1] {
        let (mut raw, _) = Raw::join(&server, "r", "Ada").await;
        let mut header = vec![FIN | TEXT, 0x80 | 127];
        header.extend(len.to_be_bytes());
        header.extend([0; 4]);
        raw.bytes(&header).await;
        assert_eq!(raw.message().await["code"], "message_too_large", "{len}");
        assert_eq!(raw.close_code().await, 1009);
    }
}

#[tokio::test]
async fn r29_fragments_count_together() {
    let server = TestServer::start(&[]).await;
    let (mut raw, _) = Raw::join(&server, "r", "Ada").await;
    raw.frame(TEXT, &[b' '; 40_000]).await;
    raw.frame(0, &[b' '; 40_000]).await;
    assert_eq!(raw.message().await["code"], "message_too_large");
    assert_eq!(raw.close_code().await, 1009);
}

#[tokio::test]
async fn r31_who_sends_too_fast_is_slowed_and_loses_nothing() {
    const SENT: u64 = 70;
    let server = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "10")]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    let begun = Instant::now();
    for number in 0..SENT {
        bob.send(json!({"type": "broadcast", "data": number})).await;
    }
    // Ada has a rate limit of her own.
    ada.send(json!({"type": "ping"})).await;
    let mut free = 0;
    for number in 0..SENT {
        let message: serde_json::Value = serde_json::from_str(&ada.next_text().await).unwrap();
        if message["type"] == "pong" {
            free = number;
            assert_eq!(ada.expect("broadcast").await["data"], number);
        } else {
            assert_eq!(message["data"], number);
        }
    }
    // The burst is 50 messages, including the join; the others take two seconds.
    assert!(begun.elapsed() >= Duration::from_millis(1_950), "not slowed: {:?}", begun.elapsed());
    assert!(free < SENT - 1, "another member was delayed until message {free}");
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r31_bytes_count_as_well_as_messages() {
    let server = TestServer::start(&[("ROUNDTABLE_BYTE_RATE", "50000")]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    let begun = Instant::now();
    // The burst is 250,000 bytes. The eighth message is read after the debt of the seventh has been paid.
    for _ in 0..8 {
        bob.send(json!({"type": "broadcast", "data": "x".repeat(50_000)})).await;
    }
    for _ in 0..8 {
        ada.expect("broadcast").await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "not slowed: {:?}", begun.elapsed());
}

#[tokio::test]
async fn r31_messages_that_are_refused_count_too() {
    let server = TestServer::start(&[("ROUNDTABLE_BYTE_RATE", "50000")]).await;
    let mut ada = server.join("r", "Ada").await;
    let begun = Instant::now();
    for _ in 0..8 {
        ada.send_frame(Message::Binary(vec![0; 50_000].into())).await;
    }
    for _ in 0..8 {
        ada.expect_error("binary_unsupported").await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "not slowed: {:?}", begun.elapsed());
}

#[tokio::test]
async fn r31_what_is_no_whole_message_counts_too() {
    let server = TestServer::start(&[("ROUNDTABLE_BYTE_RATE", "50000")]).await;
    let (mut raw, _) = Raw::join(&server, "r", "Ada").await;
    let begun = Instant::now();
    raw.frame(TEXT, b"{\"type\":").await;
    // The burst is 250,000 bytes, and these are 480,000, consisting only of headers and masks.
    for _ in 0..80_000 {
        raw.frame(CONTINUATION, b"").await;
    }
    raw.frame(FIN | CONTINUATION, b"\"ping\"}").await;
    assert_eq!(raw.message().await["type"], "pong");
    // The next read waits until the bytes of this one are paid for.
    raw.text(r#"{"type":"ping"}"#).await;
    assert_eq!(raw.message().await["type"], "pong");
    assert!(begun.elapsed() >= Duration::from_secs(4), "not slowed: {:?}", begun.elapsed());
}

#[test]
fn r31_the_rate_is_200_messages_or_128_kib_a_second() {
    let rates = crate::common::config(&[]).rates;
    assert_eq!((rates.message_rate, rates.byte_rate), (200, 131_072));
}
