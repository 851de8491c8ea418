//! R18 and R19: signals and broadcasts.

use serde_json::{Value, json};

use super::people::pair;
use crate::common::TestServer;
use crate::common::raw::Raw;

/// JSON that decoding and encoding would change.
const EXOTIC: &[&str] = &[
    "null",
    "true",
    "\"\"",
    "{}",
    "[ ]",
    " [1 , 2\t]",
    "1e400",
    "-0.0",
    "1.000",
    "123456789012345678901234567890",
    r#""é\u00e9\/\n\ud83d\ude42🙂""#,
    r#""\ud800""#,
    r#"{"a":1,"a":2,"":3}"#,
    r#"{"type":"leave","from":"me"}"#,
    "\"\u{2028}\u{202e}\u{7f}\"",
];

#[tokio::test]
async fn r19_a_signal_reaches_its_peer_alone_byte_for_byte() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let mut zoe = server.join("r", "Zoe").await;
    ada.expect("peer_joined").await;
    bob.expect("peer_joined").await;
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for data in EXOTIC.iter().chain([&&*deep]) {
        ada.send_text(&format!(r#"{{"type":"signal","data":{data},"to":"{}"}}"#, bob.id())).await;
        let expected = format!(r#"{{"type":"signal","from":"{}","data":{}}}"#, ada.id(), data.trim());
        assert_eq!(bob.next_text().await, expected);
    }
    ada.expect_nothing().await;
    zoe.expect_nothing().await;
}

#[tokio::test]
async fn r19_a_broadcast_reaches_everybody_else_byte_for_byte() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let mut zoe = server.join("r", "Zoe").await;
    let mut elsewhere = server.join("s", "Eve").await;
    ada.expect("peer_joined").await;
    bob.expect("peer_joined").await;
    for data in EXOTIC {
        ada.send_text(&format!(r#"{{"data":{data},"type":"broadcast"}}"#)).await;
        let expected = format!(r#"{{"type":"broadcast","from":"{}","data":{}}}"#, ada.id(), data.trim());
        assert_eq!(bob.next_text().await, expected);
        assert_eq!(zoe.next_text().await, expected);
    }
    ada.expect_nothing().await;
    elsewhere.expect_nothing().await;
}

#[tokio::test]
async fn r19_the_sender_is_stamped_by_the_server() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    ada.send(json!({"type": "signal", "to": bob.id(), "from": bob.id(), "data": 1})).await;
    assert_eq!(bob.expect("signal").await, json!({"type": "signal", "from": ada.id(), "data": 1}));
}

#[tokio::test]
async fn r19_a_signal_to_a_stranger_is_answered() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let mut elsewhere = server.join("s", "Eve").await;
    let gone = server.join("r", "Zoe").await;
    let gone_id = gone.id().to_owned();
    gone.close().await;
    for kind in ["peer_joined", "peer_left"] {
        ada.expect(kind).await;
        bob.expect(kind).await;
    }
    for to in [&gone_id, elsewhere.id(), "AAAAAAAAAAAAAAAAAAAA", "", "short", "圆桌圆桌圆桌圆", &"x".repeat(1000)]
    {
        ada.send(json!({"type": "signal", "to": to, "data": 1, "ref": 4})).await;
        let error = ada.expect_error("peer_not_found").await;
        assert_eq!((&error["re"], &error["ref"]), (&json!("signal"), &json!(4)), "{to:?}");
    }
    ada.send(json!({"type": "signal", "to": ada.id(), "data": 1, "ref": 5})).await;
    let error = ada.expect_error("signal_to_self").await;
    assert_eq!((&error["re"], &error["ref"]), (&json!("signal"), &json!(5)));
    bob.expect_nothing().await;
    elsewhere.expect_nothing().await;
}

#[tokio::test]
async fn r19_a_signal_or_broadcast_without_its_fields_is_answered() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    for message in [
        json!({"type": "signal", "data": 1}),
        json!({"type": "signal", "to": bob.id()}),
        json!({"type": "signal"}),
        json!({"type": "broadcast"}),
    ] {
        ada.send(message.clone()).await;
        assert_eq!(ada.expect_error("missing_field").await["re"], message["type"]);
    }
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r18_messages_keep_their_order() {
    let server = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "0")]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let to = bob.id().to_owned();
    let sending = async {
        for number in 0..3_000 {
            let message = if number % 2 == 0 {
                json!({"type": "signal", "to": to, "data": number})
            } else {
                json!({"type": "broadcast", "data": number})
            };
            ada.send(message).await;
            // Bob's queue holds 1,024 messages. This is no test of slow members, so wait for him now and then.
            if number % 500 == 499 {
                assert_eq!(ada.expect("broadcast").await["data"], number);
            }
        }
    };
    let receiving = async {
        for number in 0..3_000 {
            let message: Value = serde_json::from_str(&bob.next_text().await).unwrap();
            assert_eq!(message["data"], number);
            if number % 500 == 499 {
                bob.send(json!({"type": "broadcast", "data": number})).await;
            }
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn r18_who_does_not_read_is_closed_and_the_others_go_on() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_OUTBOX_BYTES", "262144"),
        ("ROUNDTABLE_MESSAGE_RATE", "0"),
        ("ROUNDTABLE_BYTE_RATE", "0"),
        ("ROUNDTABLE_RESUME_WINDOW", "1s"),
    ])
    .await;
    let (mut ada, mut bob) = pair(&server).await;
    let (mut stalled, welcome) = Raw::connect_small(&server, "r").await.joined("Slow").await;
    ada.expect("peer_joined").await;
    bob.expect("peer_joined").await;

    let data = "x".repeat(60_000);
    let mut sent = 0;
    let lost = loop {
        assert!(sent < 2_000, "the queue is unbounded");
        ada.send(json!({"type": "broadcast", "data": data})).await;
        sent += 1;
        // Bob receives each message immediately, regardless of the stalled member.
        let message: Value = serde_json::from_str(&bob.next_text().await).unwrap();
        if message["type"] == "link" {
            break message;
        }
        assert_eq!((&message["type"], message["data"].as_str()), (&json!("broadcast"), Some(&*data)));
    };
    assert_eq!((&lost["id"], &lost["link"]), (&welcome["self"], &json!("lost")));
    assert_eq!(ada.expect("link").await, lost);
    assert_eq!(stalled.close_code().await, 4005);
    assert_eq!(server.metric("roundtable_slow_consumers_total").await, 1);
    // The broadcast that overflowed one queue still reaches the other member.
    assert_eq!(bob.expect("broadcast").await["from"], ada.id());
    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&welcome["self"], &json!("slow_consumer")));
    assert_eq!(bob.expect("peer_left").await, left);
    ada.expect_nothing().await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r18_the_queue_is_bounded_in_messages_too() {
    let server = TestServer::start(&[("ROUNDTABLE_OUTBOX_MESSAGES", "8"), ("ROUNDTABLE_MESSAGE_RATE", "0")]).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut stalled, _) = Raw::connect_small(&server, "r").await.joined("Slow").await;
    ada.expect("peer_joined").await;
    let data = "x".repeat(20_000);
    for _ in 0..2_000 {
        ada.send(json!({"type": "broadcast", "data": data})).await;
        ada.send(json!({"type": "ping"})).await;
        let message: Value = serde_json::from_str(&ada.next_text().await).unwrap();
        if message["type"] == "link" {
            assert_eq!(message["link"], "lost");
            assert_eq!(stalled.close_code().await, 4005);
            // Messages that were never sent count as queued, too.
            let waited =
                async |most: &str| server.metric(&format!("roundtable_outbox_messages_bucket{{le={most:?}}}")).await;
            assert_eq!((waited("4.0").await, waited("8.0").await), (0, 1));
            return;
        }
    }
    panic!("the queue is unbounded");
}

#[tokio::test]
async fn r18_who_does_not_read_what_it_asks_for_is_closed_too() {
    let settings = ["ROUNDTABLE_MESSAGE_RATE", "ROUNDTABLE_BYTE_RATE"].map(|rate| (rate, "0"));
    let server = TestServer::start(&[&settings[..], &[("ROUNDTABLE_OUTBOX_MESSAGES", "8")]].concat()).await;
    let (mut stalled, _) = Raw::connect_small(&server, "r").await.joined("Slow").await;
    let dance = format!(r#"{{"type":"dance","ref":"{}"}}"#, "x".repeat(64));
    let mut asked = 0;
    // There is no other member: the responses go to the same connection.
    while server.metric("roundtable_slow_consumers_total").await == 0 {
        assert!(asked < 100_000, "the queue is unbounded");
        for _ in 0..200 {
            stalled.text(&dance).await;
        }
        asked += 200;
    }
    assert_eq!(stalled.close_code().await, 4005);
    assert_eq!(server.metric("roundtable_slow_consumers_total").await, 1);
}
