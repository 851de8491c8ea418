//! R30: strict conformance to RFC 6455, tested by a client that writes every byte itself.

use serde_json::json;

use crate::common::TestServer;
use crate::common::raw::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Raw, TEXT};

/// First bytes and payloads of frames.
type Frames = &'static [(u8, &'static [u8])];

/// Makes disconnected members leave soon.
const SHORT: [(&str, &str); 1] = [("ROUNDTABLE_RESUME_WINDOW", "50ms")];

#[tokio::test]
async fn r30_text_that_is_not_utf8_closes_with_1007() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    for bytes in
        [&b"\xff"[..], b"{\"type\":\"ping\",\"ref\":\"\xc3\x28\"}", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe5\x9c"]
    {
        let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
        raw.frame(FIN | TEXT, bytes).await;
        assert_eq!(raw.close_code().await, 1007, "{bytes:x?}");
        ada.expect("peer_joined").await;
        assert_eq!(ada.expect("peer_left").await["reason"], "protocol_error");
    }
    // In the second fragment.
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    raw.frame(TEXT, b"{\"type\":\"ping\",\"pad\":\"\xe5").await;
    raw.frame(FIN | CONTINUATION, b"x\"}").await;
    assert_eq!(raw.close_code().await, 1007);
}

#[tokio::test]
async fn r30_what_breaks_the_framing_closes_with_1002() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let cases: [(&str, Frames); 10] = [
        ("first reserved bit", &[(FIN | 0x40 | TEXT, b"{}")]),
        ("second reserved bit", &[(FIN | 0x20 | TEXT, b"{}")]),
        ("third reserved bit", &[(FIN | 0x10 | TEXT, b"{}")]),
        ("reserved data opcode", &[(FIN | 0x3, b"{}")]),
        ("reserved control opcode", &[(FIN | 0xb, b"")]),
        ("a fragmented ping", &[(PING, b"")]),
        ("a ping of 126 bytes", &[(FIN | PING, &[0; 126])]),
        ("a continuation of nothing", &[(FIN | CONTINUATION, b"{}")]),
        ("a message within a message", &[(TEXT, b"{"), (FIN | TEXT, b"{}")]),
        ("a close frame of one byte", &[(FIN | CLOSE, b"\x03")]),
    ];
    for (what, frames) in cases {
        let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
        for (first, payload) in frames {
            raw.frame(*first, payload).await;
        }
        assert_eq!(raw.close_code().await, 1002, "{what}");
        ada.expect("peer_joined").await;
        assert_eq!(ada.expect("peer_left").await["reason"], "protocol_error", "{what}");
    }
}

#[tokio::test]
async fn r30_an_unmasked_frame_closes_with_1002() {
    let server = TestServer::start(&[]).await;
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    raw.bytes(b"\x81\x02{}").await;
    assert_eq!(raw.close_code().await, 1002);
}

#[tokio::test]
async fn r30_a_broken_frame_before_join_closes_too() {
    let server = TestServer::start(&[]).await;
    let mut raw = Raw::connect(&server, "r").await;
    raw.frame(FIN | 0x7, b"").await;
    assert_eq!(raw.close_code().await, 1002);
}

#[tokio::test]
async fn r30_a_message_may_come_in_fragments_with_pings_between() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut raw, welcome) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    let text = r#"{"type":"broadcast","data":"圆桌"}"#.as_bytes();
    // Every split position, including those within characters.
    for cut in 0..=text.len() {
        raw.frame(TEXT, &text[..cut]).await;
        raw.frame(FIN | PING, b"between").await;
        raw.frame(CONTINUATION, b"").await;
        raw.frame(FIN | CONTINUATION, &text[cut..]).await;
        assert_eq!(raw.read().await, Some((PONG, b"between".to_vec())));
        assert_eq!(
            ada.expect("broadcast").await,
            json!({"type": "broadcast", "from": welcome["self"], "data": "圆桌"})
        );
    }
    // A binary message in fragments is also assembled, and rejected once.
    raw.frame(BINARY, b"\x00").await;
    raw.frame(FIN | CONTINUATION, b"\xff").await;
    assert_eq!(raw.message().await["code"], "binary_unsupported");
    raw.text(r#"{"type":"ping"}"#).await;
    assert_eq!(raw.message().await["type"], "pong");
}

#[tokio::test]
async fn r30_frames_may_arrive_byte_by_byte_and_many_at_once() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    // The mask is zero, so that the payload appears here as it is on the wire.
    let text = br#"{"type":"broadcast","data":1}"#;
    let mut frame = vec![FIN | TEXT, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text);
    for byte in &frame {
        raw.bytes(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    raw.bytes(&frame.repeat(200)).await;
    for _ in 0..201 {
        assert_eq!(ada.expect("broadcast").await["data"], 1);
    }
}

#[tokio::test]
async fn r30_frames_may_come_right_behind_the_request_for_the_upgrade() {
    let server = TestServer::start(&[]).await;
    let mut raw = Raw::connect_eager(&server, "r", r#"{"type":"join","name":"Ada"}"#).await;
    assert_eq!(raw.message().await["type"], "welcome");
    raw.text(r#"{"type":"ping"}"#).await;
    assert_eq!(raw.message().await["type"], "pong");
}

#[tokio::test]
async fn r30_a_close_is_answered_with_its_code() {
    let server = TestServer::start(&SHORT).await;
    let mut ada = server.join("r", "Ada").await;
    for code in [1000_u16, 1001, 3000, 4999] {
        let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
        ada.expect("peer_joined").await;
        raw.frame(FIN | CLOSE, &code.to_be_bytes()).await;
        assert_eq!(raw.read().await, Some((CLOSE, code.to_be_bytes().to_vec())));
        assert_eq!(raw.read().await, None, "the server closes the TCP connection first (RFC 6455 §7.1.1)");
        if code != 1000 {
            assert_eq!(ada.expect("link").await["link"], "lost", "closing without `leave` disconnects (R52)");
        }
        assert_eq!(ada.expect("peer_left").await["reason"], "closed");
    }
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    raw.frame(FIN | CLOSE, b"").await;
    assert_eq!(raw.read().await, Some((CLOSE, Vec::new())));
}

#[tokio::test]
async fn r30_what_follows_a_close_is_ignored() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    raw.frame(FIN | CLOSE, b"\x03\xe8").await;
    raw.text(r#"{"type":"broadcast","data":1}"#).await;
    ada.expect("peer_left").await;
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r30_who_closes_only_its_half_is_lost() {
    let server = TestServer::start(&SHORT).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    // Messages before the end of the stream count.
    raw.text(r#"{"type":"broadcast","data":"last"}"#).await;
    raw.half_close().await;
    assert_eq!(ada.expect("broadcast").await["data"], "last");
    ada.expect("link").await;
    assert_eq!(ada.expect("peer_left").await["reason"], "closed");
    server.metric_becomes("roundtable_sockets", 1).await;
}

#[tokio::test]
async fn r30_a_connection_cut_within_a_frame_is_closed() {
    let server = TestServer::start(&SHORT).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut raw, _) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    raw.bytes(b"\x81\xfe\x10").await;
    drop(raw);
    ada.expect("link").await;
    assert_eq!(ada.expect("peer_left").await["reason"], "closed");
}
