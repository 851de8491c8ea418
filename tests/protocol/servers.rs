//! R77, R78 and R81: rooms that several servers share. `tests/servers/` tests behaviour beyond the protocol.

use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::http::ask;
use crate::common::receiver::Receiver;
use crate::common::several::two;
use crate::common::{TestServer, eventually};

/// Skips messages until one has this type.
async fn until(client: &mut Client, kind: &str) -> Value {
    loop {
        let message = client.next_message().await.unwrap_or_else(|| panic!("expected {kind}, not the end"));
        if message["type"] == kind {
            return message;
        }
    }
}

#[tokio::test]
async fn r77_members_are_told_when_their_servers_are_cut_off_and_when_that_is_over() {
    let (engine, a, b) = two(&[]).await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    engine.set_reachable(false).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.expect("degraded").await, json!({"type": "degraded", "active": true}));
    }
    // Changes to the room are queued, as are messages to the other server.
    ada.send(json!({"type": "state", "state": {"mic": true}})).await;
    ada.send(json!({"type": "signal", "to": bob.id(), "data": 1})).await;
    ada.expect_nothing().await;
    bob.expect_nothing().await;
    // A client that resumes its session has missed nothing.
    let (resume, last) = (bob.welcome["resume"].clone(), bob.last);
    drop(bob);
    let (mut bob, answer) = b.come_back("r", &resume, last - 1).await;
    assert_eq!(answer["type"], "resumed");
    assert_eq!(bob.expect("degraded").await["active"], true);
    engine.set_reachable(true).await;
    assert_eq!(until(&mut bob, "degraded").await["active"], false);
    assert_eq!(until(&mut ada, "degraded").await["active"], false);
    assert_eq!(until(&mut bob, "signal").await["data"], 1);
    until(&mut ada, "state").await;
}

#[tokio::test]
async fn r77_a_room_on_one_server_is_never_degraded() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    ada.expect("broadcast").await;
    ada.expect_nothing().await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r78_what_cannot_be_decided_is_refused_to_be_tried_again() {
    let lifted = [("ROUNDTABLE_MESSAGE_RATE", "0"), ("ROUNDTABLE_BYTE_RATE", "0"), ("ROUNDTABLE_JOIN_TIMEOUT", "1s")];
    let (engine, a, b) = two(&lifted).await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    engine.set_reachable(false).await;
    until(&mut ada, "degraded").await;
    for number in 0..1_030 {
        ada.send(json!({"type": "signal", "to": bob.id(), "data": number, "ref": number})).await;
    }
    for number in 1_024..1_030 {
        let error = ada.expect_error("busy").await;
        assert_eq!((&error["re"], &error["ref"]), (&json!("signal"), &json!(number)));
        assert!((2_000..=2_500).contains(&error["retry_after_ms"].as_u64().unwrap()), "{error}");
    }
    for number in 0..1_025 {
        ada.send(json!({"type": "state", "state": {"at": number}, "ref": number})).await;
    }
    let error = ada.expect_error("busy").await;
    assert_eq!((&error["re"], &error["ref"]), (&json!("state"), &json!(1_024)));
    ada.expect_nothing().await;
    let mut late = b.connect("r").await;
    late.send(json!({"type": "join", "name": "Late", "ref": "x"})).await;
    let error = late.expect_error("busy").await;
    assert_eq!((&error["re"], &error["ref"]), (&json!("join"), &json!("x")));
    assert_eq!(late.expect_close().await, Some(4011));
    // Accepted messages are processed in order.
    engine.set_reachable(true).await;
    let (mut signals, mut state) = (0, 0.0);
    while signals < 1_024 || state < 1_023.0 {
        let message = bob.next_message().await.unwrap();
        match message["type"].as_str().unwrap() {
            "signal" => {
                assert_eq!(message["data"], signals);
                signals += 1;
            }
            "state" => state = message["state"]["at"].as_f64().unwrap(),
            "degraded" => {}
            // Nothing else is announced, not even that a client was rejected.
            _ => panic!("{message}"),
        }
    }
}

#[tokio::test]
async fn r81_what_servers_have_to_put_in_order_counts_as_ten() {
    // The burst is a hundred messages.
    let settings =
        [("ROUNDTABLE_MESSAGE_RATE", "20"), ("ROUNDTABLE_RATE_BURST", "5s"), ("ROUNDTABLE_RATE_PATIENCE", "1s")];
    let (_engine, a, b) = two(&settings).await;
    let mut zoe = a.join("alone", "Zoe").await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    let say = async |client: &mut Client, kind: &str| {
        for number in 0..60 {
            client.send(json!({"type": kind, "state": {"at": number}})).await;
        }
        client.send(json!({"type": "ping"})).await;
    };
    // In a room that is not shared, and for a roster, a message counts once.
    for (client, kind) in [(&mut zoe, "state"), (&mut bob, "sync")] {
        say(client, kind).await;
        until(client, "pong").await;
    }
    say(&mut ada, "state").await;
    loop {
        let message = ada.next_message().await.expect("an error");
        assert_ne!(message["type"], "pong", "60 state changes did not count as 600 messages");
        if message["type"] == "error" {
            assert_eq!(message["code"], "rate_limited", "{message}");
            break;
        }
    }
    assert_eq!(ada.skip_to_close().await, Some(4011));
}

#[tokio::test]
async fn r81_a_roster_is_shown_while_servers_are_cut_off() {
    let (engine, a, b) = two(&[]).await;
    let (mut ada, bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    engine.set_reachable(false).await;
    until(&mut ada, "degraded").await;
    ada.send(json!({"type": "sync"})).await;
    let roster = ada.expect("roster").await;
    assert_eq!((&roster["version"], &roster["peers"][0]["id"]), (&json!(2), &bob.welcome["self"]));
}

#[tokio::test]
async fn r71_of_all_servers_one_tells_what_happens() {
    let mut receiver = Receiver::start(0).await;
    let (_engine, a, b) = two(&[&receiver.settings()[..], &[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]].concat()).await;
    let mut ada = a.join("r", "Ada").await;
    let bob = b.join("r", "Bob").await;
    let eve = b.join("r", "Eve").await;
    until(&mut ada, "peer_joined").await;
    until(&mut ada, "peer_joined").await;
    receiver.expect("room_opened").await;
    for id in [ada.id(), bob.id(), eve.id()] {
        assert_eq!(receiver.expect("peer_joined").await["peer"]["id"], id);
    }
    for mut client in [ada, bob, eve] {
        client.send(json!({"type": "leave"})).await;
        assert_eq!(client.skip_to_close().await, Some(1000));
        let left = receiver.expect("peer_left").await;
        assert_eq!((&left["peer"]["id"], &left["reason"]), (&client.welcome["self"], &json!("left")));
    }
    receiver.expect("room_closed").await;
    for node in [&a, &b] {
        eventually("the room to end", async || {
            node.app.metrics.rooms.get() == 0 && node.app.metrics.members.get() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn r70_operators_see_and_end_a_room_from_any_server_that_has_it() {
    let token = "north-north-north-north-north-north";
    let (_engine, a, b) = two(&[("ROUNDTABLE_ADMIN_TOKEN", token)]).await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    let authorization = format!("Bearer {token}");
    let call = async |address, method: &str, path: &str| {
        let path = format!("/signal-api/v1/admin/rooms{path}");
        ask(address, method, &path, &[("Authorization", &authorization)]).await
    };
    for address in [a.address, b.address] {
        let seen = call(address, "GET", "/r").await.json()["data"].clone();
        let ids: Vec<_> = seen["members"].as_array().unwrap().iter().map(|member| member["id"].clone()).collect();
        assert_eq!(ids, [ada.welcome["self"].clone(), bob.welcome["self"].clone()]);
        assert_eq!(call(address, "GET", "").await.json()["data"]["total"], 1);
        let nobody = call(address, "DELETE", "/r/peers/AdaAdaAdaAdaAdaAda-1").await;
        assert_eq!((nobody.status, &nobody.json()["code"]), (404, &json!("PEER_NOT_FOUND")));
    }
    assert_eq!(call(a.address, "DELETE", &format!("/r/peers/{}", bob.id())).await.status, 200);
    assert_eq!(bob.skip_to_close().await, Some(4008));
    assert_eq!(until(&mut ada, "peer_left").await["reason"], "removed");
    let mut eve = b.join("r", "Eve").await;
    assert_eq!(call(b.address, "DELETE", "/r").await.status, 200);
    assert_eq!((ada.skip_to_close().await, eve.skip_to_close().await), (Some(4009), Some(4009)));
}
