//! R41 and R42: talks and their listeners.

use serde_json::json;

use super::people::{ROOM, act, guest, host, member};
use crate::common::TestServer;

#[tokio::test]
async fn r41_newcomers_of_a_talk_are_listeners() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true, "lobby": true})).await;
    assert_eq!(ada.welcome["role"], "host");
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    assert_eq!(bob.expect("welcome").await["role"], "listener");
    act(&mut ada, json!({"action": "settings", "settings": {"talk": false, "lobby": false}})).await;
    ada.expect("lobby").await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["role"], "listener");
    // Existing members keep their roles.
    bob.expect("settings").await;
    bob.expect_nothing().await;
    assert_eq!(server.join(ROOM, "Zoe").await.welcome["role"], "participant");
}

#[tokio::test]
async fn r42_a_listener_sends_nothing_until_a_host_lets_it() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut bob = server.connect(ROOM).await;
    bob.join_with(json!({"type": "join", "name": "Bob", "state": {"mic": true, "screen": 1, "hand": false}})).await;
    let joined = ada.expect("peer_joined").await;
    assert_eq!((&joined["peer"]["role"], &joined["peer"]["state"]), (&json!("listener"), &json!({"hand": false})));
    let mut zoe = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    for message in [
        json!({"type": "broadcast", "data": 1}),
        json!({"type": "signal", "to": zoe.id(), "data": 1}),
        json!({"type": "state", "state": {"mic": true}}),
        json!({"type": "state", "state": {"camera": "on"}}),
        json!({"type": "state", "state": {"hand": true, "screen": 1}}),
    ] {
        bob.send(message.clone()).await;
        assert_eq!(bob.expect_error("not_allowed").await["re"], message["type"]);
    }
    for client in [&mut ada, &mut zoe] {
        client.expect_nothing().await;
    }
    // A listener connects to hosts and raises its hand to speak.
    bob.send(json!({"type": "signal", "to": ada.id(), "data": "offer"})).await;
    assert_eq!(ada.expect("signal").await["data"], "offer");
    bob.send(json!({"type": "state", "state": {"hand": true, "mic": false}})).await;
    for client in [&mut ada, &mut bob, &mut zoe] {
        assert_eq!(client.expect("state").await["state"]["hand"], true);
    }
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "participant"})).await;
    for client in [&mut ada, &mut bob, &mut zoe] {
        let role = json!({"type": "role", "version": 5, "id": joined["peer"]["id"], "role": "participant"});
        assert_eq!(client.expect("role").await, role);
    }
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    bob.send(json!({"type": "state", "state": {"mic": true, "camera": true}})).await;
    for client in [&mut ada, &mut zoe] {
        client.expect("broadcast").await;
        client.expect("state").await;
    }
    bob.expect("state").await;
    // The host makes Bob a listener again.
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "listener"})).await;
    for client in [&mut ada, &mut bob, &mut zoe] {
        assert_eq!(client.expect("role").await["role"], "listener");
        let state = json!({"mic": false, "camera": false, "hand": true});
        assert_eq!(client.expect("state").await["state"], state);
    }
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    bob.expect_error("not_allowed").await;
    // An attempt to bypass it by reconnecting.
    let mut again = server.connect(ROOM).await;
    let resume = bob.welcome["resume"].clone();
    again.join_with(json!({"type": "join", "name": "Bob", "resume": resume, "state": {"mic": true}})).await;
    assert_eq!(again.welcome["role"], "listener");
    ada.expect("peer_left").await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["state"], json!({}));
}

#[tokio::test]
async fn r108_a_listener_puts_nothing_into_its_state_but_signs() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut bob = server.connect(ROOM).await;
    let words = json!({"hand": true, "recording": "buy", "note": "buy here", "pitch": 3, "shown": true, "mic": "buy"});
    bob.join_with(json!({"type": "join", "name": "Bob", "state": words})).await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["state"], json!({"hand": true}));
    for state in [
        json!({"note": "buy here"}),
        json!({"pitch": 3}),
        json!({"shown": true}),
        json!({"hand": "buy here"}),
        json!({"recording": "buy here"}),
        json!({"hand": false, "note": "buy here"}),
    ] {
        bob.send(json!({"type": "state", "state": state})).await;
        assert_eq!(bob.expect_error("not_allowed").await["re"], "state");
    }
    // Signs that pages show, and devices that are off, may be published.
    bob.send(json!({"type": "state", "state": {"hand": false, "recording": true, "mic": false}})).await;
    let state = ada.expect("state").await["state"].clone();
    assert_eq!(state, json!({"hand": false, "recording": true, "mic": false}));
    bob.expect("state").await;

    // State that the member published as a participant is removed with that role.
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "participant"})).await;
    ada.expect("role").await;
    bob.expect("role").await;
    bob.send(json!({"type": "state", "state": {"note": "hello", "mic": true}})).await;
    assert_eq!(ada.expect("state").await["state"]["note"], "hello");
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "listener"})).await;
    ada.expect("role").await;
    loop {
        let state = ada.expect("state").await["state"].clone();
        if state == json!({"hand": false, "recording": true, "mic": false}) {
            break;
        }
    }
}
