//! R20 to R23: member states.

use std::time::Instant;

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;

async fn change(client: &mut Client, state: Value) {
    client.send(json!({"type": "state", "state": state, "ref": 1})).await;
}

#[tokio::test]
async fn r20_a_state_is_a_small_map_of_plain_values() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let longest = "圆".repeat(64);
    let key = "k".repeat(32);
    let state = json!({"mic": true, "a_1": false, "level": -0.5, "count": 3, "status": longest, key: ""});
    change(&mut ada, state.clone()).await;
    let announced = ada.expect("state").await;
    assert_eq!(announced["state"].as_object().unwrap().len(), 6);
    for (key, value) in state.as_object().unwrap() {
        let same = value.as_f64().map_or(announced["state"][key] == *value, |number| announced["state"][key] == number);
        assert!(same, "{key}: {announced}");
    }
    let full: serde_json::Map<_, _> = (0..16).map(|i| (format!("k{i}"), json!(i % 2 == 0))).collect();
    let mut bob = server.connect("r").await;
    bob.join_with(json!({"type": "join", "name": "Bob", "state": full})).await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["state"], json!(full));
}

#[tokio::test]
async fn r20_what_does_not_fit_changes_nothing() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.connect("r").await);
    let full: serde_json::Map<_, _> = (0..16).map(|i| (format!("k{i}"), json!(true))).collect();
    bob.join_with(json!({"type": "join", "name": "Bob", "state": full})).await;
    ada.expect("peer_joined").await;
    let long = "x".repeat(65);
    let long_key = "k".repeat(33);
    for state in [
        json!({"k0": false, "seventeenth": true}),
        json!({"k0": false, "Mic": true}),
        json!({"k0": false, "": true}),
        json!({"k0": false, "1st": true}),
        json!({"k0": false, "mic-1": true}),
        json!({"k0": false, "k1": long}),
        json!({"k0": false, long_key: null}),
        json!({"k0": false, "k1": "a\u{202e}b"}),
        json!({"k0": false, "k1": [1]}),
        json!({"k0": false, "k1": {}}),
        json!([]),
        json!("mic"),
    ] {
        change(&mut bob, state.clone()).await;
        let error = bob.expect_error("state_invalid").await;
        assert_eq!((&error["re"], &error["ref"]), (&json!("state"), &json!(1)), "{state}");
    }
    bob.send_text(r#"{"type":"state","state":{"k0":false,"k1":1e400}}"#).await;
    bob.expect_error("state_invalid").await;
    ada.send(json!({"type": "sync"})).await;
    assert_eq!(ada.expect("roster").await["peers"][0]["state"], json!(full));

    let mut eve = server.connect("r").await;
    eve.send(json!({"type": "join", "name": "Eve", "state": {"Mic": true}})).await;
    assert_eq!(eve.expect_error("state_invalid").await["re"], "join");
    eve.join("Eve").await;
}

#[tokio::test]
async fn r21_a_change_is_merged_and_announced_whole_to_everyone() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.connect("r").await);
    bob.join_with(json!({"type": "join", "name": "Bob", "state": {"mic": true, "camera": true}})).await;
    ada.expect("peer_joined").await;
    for (version, (patch, whole)) in [
        (json!({"mic": false, "hand": true}), json!({"mic": false, "camera": true, "hand": true})),
        (json!({"hand": null, "never": null}), json!({"mic": false, "camera": true})),
        (json!({"mic": null, "camera": null}), json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        change(&mut bob, patch).await;
        let announced = json!({"type": "state", "version": version + 3, "id": bob.id(), "state": whole});
        assert_eq!(ada.expect("state").await, announced);
        assert_eq!(bob.expect("state").await, announced);
    }
}

/// Returns the next message of this type, skipping others. For states, the next one about the client itself.
async fn next(client: &mut Client, kind: &str) -> Value {
    loop {
        let message = client.next_message().await.expect(kind);
        if message["type"] == kind && message.get("id").is_none_or(|id| id == client.id()) {
            return message;
        }
    }
}

#[tokio::test]
async fn r21_a_snapshot_says_since_which_version_each_hand_is_up() {
    let server = TestServer::start(&[]).await;
    let mut clients = Vec::new();
    for name in ["Ada", "Bob", "Eve"] {
        clients.push(server.join("r", name).await);
    }
    // Hands are raised in another order than that of joining, and Bob lowers his once.
    let mut raised = json!({});
    for (at, hand) in [(2, true), (1, true), (0, true), (1, false), (1, true)] {
        let client = &mut clients[at];
        change(client, json!({"hand": hand, "mic": false})).await;
        raised[client.id()] = next(client, "state").await["version"].clone();
        // Other changes of the state keep its position.
        change(client, json!({"mic": true})).await;
        next(client, "state").await;
    }
    let mut zoe = server.connect("r").await;
    zoe.join_with(json!({"type": "join", "name": "Zoe", "state": {"hand": true}})).await;
    assert_eq!(zoe.welcome["hand_since"], zoe.version());
    clients.push(zoe);
    raised[clients[3].id()] = clients[3].version().into();
    let since = |snapshot: &Value| {
        let peers = snapshot["peers"].as_array().unwrap().iter();
        peers.map(|peer| peer["hand_since"].as_u64()).collect::<Vec<_>>()
    };
    let expected: Vec<_> = clients.iter().map(|client| raised[client.id()].as_u64()).collect();
    assert_eq!(since(&clients[3].welcome), expected[..3]);
    assert!(expected[2] < expected[0] && expected[0] < expected[1] && expected[1] < expected[3], "{raised}");

    for hand in [json!(false), Value::Null, json!("up")] {
        let eve = &mut clients[2];
        change(eve, json!({"hand": hand, "n": 1})).await;
        next(eve, "state").await;
        change(eve, json!({"n": 2})).await;
        eve.send(json!({"type": "sync"})).await;
        let snapshot = next(eve, "roster").await;
        assert_eq!(snapshot.get("hand_since"), None, "{hand}");
        assert_eq!(since(&snapshot), [expected[0], expected[1], expected[3]], "{hand}");
        clients[0].send(json!({"type": "sync"})).await;
        let snapshot = next(&mut clients[0], "roster").await;
        assert_eq!((snapshot["hand_since"].as_u64(), since(&snapshot)[1]), (expected[0], None), "{hand}");
    }
}

#[tokio::test]
async fn r22_changes_that_follow_fast_are_announced_together_and_the_last_arrives() {
    let server = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "0")]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    let begun = Instant::now();
    for number in 1..=2_000 {
        change(&mut bob, json!({"number": number, "seen": number % 2 == 0})).await;
    }
    let mut announced = 0_u128;
    loop {
        announced += 1;
        if ada.expect("state").await["state"]["number"] == 2_000.0 {
            break;
        }
    }
    let possible = begun.elapsed().as_millis() / 100 + 2;
    assert!(announced <= possible, "{announced} announcements instead of at most {possible}");
}

#[tokio::test]
async fn r22_a_change_that_changes_nothing_is_not_announced() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "state": {"mic": true}})).await;
    for patch in [json!({"mic": true}), json!({}), json!({"hand": null})] {
        change(&mut ada, patch).await;
    }
    // A roster would include the pending change and have its version.
    ada.send(json!({"type": "sync"})).await;
    assert_eq!(ada.expect("roster").await["version"], 1);
}

#[tokio::test]
async fn r23_a_snapshot_has_what_was_announced_up_to_its_version_and_no_more() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    for round in 0..5 {
        // The first change is announced immediately; the others wait for the end of the interval or for a newcomer.
        for step in 0..4 {
            change(&mut ada, json!({"round": round, "step": step})).await;
        }
        // Read before Bob joins, because the server processes messages in order.
        let mut last = Value::Null;
        ada.send(json!({"type": "ping"})).await;
        loop {
            let message: Value = serde_json::from_str(&ada.next_text().await).unwrap();
            if message["type"] == "pong" {
                break;
            }
            last = message;
        }
        let mut bob = server.join("r", "Bob").await;
        loop {
            let message: Value = serde_json::from_str(&ada.next_text().await).unwrap();
            if message["type"] == "peer_joined" {
                assert_eq!(message["version"], bob.welcome["version"]);
                break;
            }
            last = message;
        }
        assert_eq!(last["state"], json!({"round": f64::from(round), "step": 3.0}));
        assert_eq!(
            bob.welcome["peers"][0]["state"], last["state"],
            "the snapshot contains a state that was not announced"
        );
        bob.expect_nothing().await;
        bob.close().await;
        ada.expect("peer_left").await;
    }
}

#[tokio::test]
async fn r23_a_roster_has_what_was_announced_up_to_its_version_and_no_more() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    change(&mut bob, json!({"step": 1})).await;
    change(&mut bob, json!({"step": 2})).await;
    bob.send(json!({"type": "ping"})).await;
    bob.expect("state").await;
    bob.expect("pong").await;
    ada.send(json!({"type": "sync"})).await;
    assert_eq!(ada.expect("state").await["state"]["step"], 1.0);
    let announced = ada.expect("state").await;
    let roster = ada.expect("roster").await;
    assert_eq!((&roster["version"], &roster["peers"][0]["state"]), (&announced["version"], &json!({"step": 2.0})));
}
