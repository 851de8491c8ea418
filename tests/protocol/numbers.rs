//! R47 to R51: messages are numbered, acknowledged, and processed once.

use std::time::{Duration, Instant};

use serde_json::json;

use super::people::{Returning, pair};
use crate::common::TestServer;

#[tokio::test]
async fn r47_every_message_from_the_welcome_on_is_numbered_without_a_gap() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    bob.send(json!({"type": "signal", "to": ada.id(), "data": 2})).await;
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    // `Client` checks that the numbers are contiguous.
    for kind in ["broadcast", "signal", "state"] {
        ada.expect(kind).await;
    }
    assert_eq!(ada.last, 4, "counted from `peer_joined`");
    ada.send(json!({"type": "dance"})).await;
    ada.expect("error").await;
    assert_eq!(ada.last, 5);
    // Messages that a resuming client does not miss are not counted.
    ada.expect_nothing().await;
    assert_eq!(ada.last, 5);
    assert!(ada.welcome.get("seq").is_none());
}

#[tokio::test]
async fn r48_what_is_acknowledged_is_not_sent_again() {
    let server = TestServer::start(&[("ROUNDTABLE_REPLAY_MESSAGES", "4")]).await;
    let (mut ada, mut bob) = pair(&server).await;
    // Twice as many as the replay buffer holds, acknowledged one by one, with an `ack` or with another message.
    for data in 0..8 {
        bob.send(json!({"type": "broadcast", "data": data})).await;
        assert_eq!(ada.expect("broadcast").await["data"], data);
        let mut ack = json!({"type": if data % 2 == 0 { "ack" } else { "ping" }});
        ack["ack"] = json!(ada.last);
        ada.send(ack).await;
        if data % 2 == 1 {
            ada.expect("pong").await;
        }
    }
    let returning = Returning { last: ada.last - 1, ..Returning::of(&ada) };
    let mut late = returning.to(&server).await;
    let welcome = late.expect("welcome").await;
    assert_eq!(welcome["not_resumed"], "resume_lost", "the client claims to lack messages that it acknowledged");
}

#[tokio::test]
async fn r48_an_acknowledgement_of_what_was_never_sent_is_refused() {
    let server = TestServer::start(&[]).await;
    let (mut ada, _bob) = pair(&server).await;
    for text in [r#"{"type":"ack","ack":2}"#, r#"{"type":"ack","ack":18446744073709551615}"#] {
        ada.send_text(text).await;
        assert_eq!(ada.expect_error("out_of_sequence").await["re"], "ack");
        ada.send(json!({"type": "ack", "ack": 1})).await;
        ada.expect_nothing().await;
    }
}

#[tokio::test]
async fn r49_a_gap_is_refused_and_the_number_that_would_be_right_is_told() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    for (seq, right) in [(2, 1), (0, 0), (u64::MAX, 1)] {
        bob.send(json!({"type": "broadcast", "data": seq, "seq": seq, "ref": "x"})).await;
        if right > 0 {
            let error = bob.expect_error("out_of_sequence").await;
            assert_eq!((&error["re"], &error["ref"]), (&json!("broadcast"), &json!("x")));
            assert!(error["message"].as_str().unwrap().contains(&format!("is {right}.")), "{error}");
        }
    }
    bob.send(json!({"type": "broadcast", "data": "right", "seq": 1})).await;
    assert_eq!(ada.expect("broadcast").await["data"], "right");
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r50_what_comes_twice_is_carried_out_once() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let to = ada.id().to_owned();
    for round in 0..3 {
        for seq in 1..=round + 1_u64 {
            bob.send(json!({"type": "signal", "to": to, "data": seq, "seq": seq})).await;
        }
        assert_eq!(ada.expect("signal").await["data"], round + 1);
        ada.expect_nothing().await;
    }
    // A message that fails counts nevertheless, and is answered once.
    for _ in 0..2 {
        bob.send(json!({"type": "dance", "seq": 4})).await;
        bob.send(json!({"type": "ping", "seq": 5})).await;
    }
    bob.expect_error("unknown_type").await;
    bob.expect("pong").await;
    assert_eq!(bob.expect("ack").await["ack"], 5);
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r51_the_server_acknowledges_many_messages_at_once() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let begun = Instant::now();
    for seq in 1..=100 {
        bob.send(json!({"type": "broadcast", "data": seq, "seq": seq})).await;
        ada.expect("broadcast").await;
    }
    let mut acks = Vec::new();
    while acks.last() != Some(&100) {
        acks.push(bob.expect("ack").await["ack"].as_u64().unwrap());
    }
    let most = 4 + begun.elapsed().as_millis() / 500;
    assert!(acks.is_sorted() && acks.len() as u128 <= most, "{acks:?}");
    // A client that does not number its messages receives no acknowledgement.
    ada.send(json!({"type": "broadcast", "data": 1})).await;
    let quiet = tokio::time::timeout(Duration::from_millis(700), ada.next_text()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
