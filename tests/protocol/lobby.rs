//! R39 and R40: locked rooms and the lobby.

use std::time::Instant;

use serde_json::json;

use super::people::{ROOM, act, back, guest, host, knock, leave, member};
use crate::common::TestServer;
use crate::common::http::ask;

#[tokio::test]
async fn r39_a_locked_room_lets_only_those_in_who_were_in() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({})).await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let gone = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    let resume = gone.welcome["resume"].clone();
    leave(gone).await;
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true}})).await;
    for client in [&mut ada, &mut bob] {
        client.expect("peer_left").await;
        client.expect("settings").await;
    }
    let mut eve = knock(&server, "Eve").await;
    let error = eve.expect_error("room_locked").await;
    assert_eq!(error["re"], "join");
    assert_eq!(eve.expect_close().await, Some(4006));
    ada.expect_nothing().await;

    // A member that had left, a member that is still connected, and a host.
    let mut zoe = server.connect(ROOM).await;
    zoe.join_with(json!({"type": "join", "name": "Zoe", "resume": resume})).await;
    back(&server, &bob).await;
    assert_eq!(back(&server, &ada).await.welcome["role"], "host");
}

#[tokio::test]
async fn r39_to_lock_sends_away_who_waits() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, id) = guest(&server, &mut ada, "Eve").await;
    // Even if the lobby is turned off at the same time.
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true, "lobby": false}})).await;
    assert_eq!(eve.expect_close().await, Some(4006));
    ada.expect("settings").await;
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    ada.expect_error("peer_not_found").await;
}

#[tokio::test]
async fn r40_guests_who_come_and_go_do_not_flood_the_hosts() {
    let server = TestServer::start(&[("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let begun = Instant::now();
    for _ in 0..200 {
        let mut eve = knock(&server, "Eve").await;
        eve.expect("waiting").await;
        eve.send(json!({"type": "leave"})).await;
        eve.expect_close().await;
    }
    let mut bob = knock(&server, "Bob").await;
    bob.expect("waiting").await;
    let mut lists = 0;
    loop {
        lists += 1;
        let waiting = ada.expect("lobby").await["waiting"].clone();
        if waiting[0]["name"] == "Bob" {
            break assert_eq!(waiting.as_array().unwrap().len(), 1);
        }
    }
    // Ten a second.
    assert!(lists <= begun.elapsed().as_millis() / 100 + 2, "{lists} lists in {:?}", begun.elapsed());
}

#[tokio::test]
async fn r40_a_guest_waits_until_a_host_admits_it() {
    let server = TestServer::start(&[("ROUNDTABLE_JOIN_TIMEOUT", "300ms")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    for message in [
        json!({"type": "signal", "to": ada.id(), "data": 1, "ref": 1}),
        json!({"type": "signal", "to": "nobody", "data": 1, "ref": 1}),
        json!({"type": "broadcast", "data": 1, "ref": 1}),
        json!({"type": "state", "state": {"hand": true}, "ref": 1}),
        json!({"type": "sync", "ref": 1}),
    ] {
        bob.send(message.clone()).await;
        assert_eq!(bob.expect_error("not_admitted").await["re"], message["type"]);
    }
    bob.send(json!({"type": "join", "name": "Bob"})).await;
    bob.expect_error("already_joined").await;
    // Nothing from the room reaches the guest, and members cannot address it.
    ada.send(json!({"type": "broadcast", "data": "secret"})).await;
    ada.send(json!({"type": "signal", "to": id, "data": "secret"})).await;
    ada.expect_error("peer_not_found").await;
    ada.send(json!({"type": "state", "state": {"mic": true}})).await;
    ada.expect("state").await;
    bob.expect_nothing().await;
    assert_eq!(server.metric("roundtable_members").await, 1);
    // Longer than the join timeout.
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(500), bob.next_text()).await;
    assert!(quiet.is_err(), "{quiet:?}");

    act(&mut ada, json!({"action": "admit", "to": id})).await;
    bob.welcome = bob.expect("welcome").await;
    assert_eq!((bob.id(), &bob.welcome["role"], bob.version()), (&*id, &json!("participant"), 3));
    assert_eq!(bob.welcome["peers"][0]["state"], json!({"mic": true}));
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    assert_eq!(ada.expect("peer_joined").await["version"], 3);
    assert_eq!(server.metric("roundtable_members").await, 2);
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    ada.expect("broadcast").await;
    // A former member need not wait again.
    back(&server, &bob).await;
}

#[tokio::test]
async fn r40_a_guest_is_refused_or_goes_by_itself() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, bob_id) = guest(&server, &mut ada, "Bob").await;
    let (zoe, _) = guest(&server, &mut ada, "Zoe").await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    act(&mut ada, json!({"action": "refuse", "to": bob_id})).await;
    assert_eq!(bob.expect_close().await, Some(4007));
    assert_eq!(ada.expect("lobby").await["waiting"].as_array().unwrap().len(), 2);
    // The connection closes without `leave`.
    drop(zoe);
    assert_eq!(ada.expect("lobby").await["waiting"], json!([{"id": eve_id, "name": "Eve"}]));
    eve.send(json!({"type": "leave"})).await;
    assert_eq!(eve.expect_close().await, Some(1000));
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    ada.expect_nothing().await;
    assert_eq!(server.metric("roundtable_members").await, 1);
}

#[tokio::test]
async fn r98_hosts_get_into_a_full_room_and_clear_its_lobby_at_once() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "3")]).await;
    let answer = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
    let (room, key) = (answer["data"]["room"].as_str().unwrap(), &answer["data"]["host_key"]);
    let mut eves = Vec::new();
    for _ in 0..3 {
        eves.push(server.join(room, "Eve").await);
    }
    act(&mut eves[0], json!({"action": "settings", "settings": {"lobby": true}})).await;
    let host_join = json!({"type": "join", "name": "Ada", "host_key": key});
    let mut ada = server.connect(room).await;
    ada.join_with(host_join.clone()).await;
    assert_eq!((&ada.welcome["role"], ada.welcome["peers"].as_array().unwrap().len()), (&json!("host"), 3));
    // There is only one such additional place, and it is taken.
    let mut second = server.connect(room).await;
    second.send(host_join).await;
    second.expect_error("room_full").await;
    for eve in &eves {
        act(&mut ada, json!({"action": "remove", "to": eve.id()})).await;
        ada.expect("peer_left").await;
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut eve = server.connect(room).await;
        eve.send(json!({"type": "join", "name": "Eve"})).await;
        eve.expect("waiting").await;
        ada.expect("lobby").await;
        waiting.push(eve);
    }
    act(&mut ada, json!({"action": "refuse_all"})).await;
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    for eve in &mut waiting {
        assert_eq!(eve.expect_close().await, Some(4007));
    }
    // The lobby is empty, so that nothing happens.
    act(&mut ada, json!({"action": "refuse_all"})).await;
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r40_an_open_door_admits_as_many_as_there_are_places() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "2")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, _) = guest(&server, &mut ada, "Bob").await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    let mut third = knock(&server, "Zoe").await;
    third.expect_error("room_full").await;
    assert_eq!(third.expect_close().await, Some(4003));
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": false}})).await;
    assert_eq!(bob.expect("welcome").await["peers"].as_array().unwrap().len(), 1);
    assert_eq!(eve.expect_close().await, Some(4003));
    ada.expect("settings").await;
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    ada.expect("peer_joined").await;
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r40_in_a_full_room_admit_is_refused_and_the_guest_stays() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "2")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, bob_id) = guest(&server, &mut ada, "Bob").await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    act(&mut ada, json!({"action": "admit", "to": bob_id})).await;
    bob.expect("welcome").await;
    ada.expect("lobby").await;
    ada.expect("peer_joined").await;
    act(&mut ada, json!({"action": "admit", "to": eve_id})).await;
    ada.expect_error("room_full").await;
    leave(bob).await;
    ada.expect("peer_left").await;
    act(&mut ada, json!({"action": "admit", "to": eve_id})).await;
    eve.expect("welcome").await;
}

#[tokio::test]
async fn r40_a_new_host_is_shown_who_waits() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    bob.expect("settings").await;
    let (_eve, id) = guest(&server, &mut ada, "Eve").await;
    bob.expect_nothing().await;
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "host"})).await;
    bob.expect("role").await;
    assert_eq!(bob.expect("lobby").await["waiting"], json!([{"id": id, "name": "Eve"}]));
    bob.expect_nothing().await;
    ada.expect("role").await;
    ada.expect_nothing().await;
    // This also applies to a reconnecting host.
    let mut again = back(&server, &ada).await;
    assert_eq!(again.expect("lobby").await["waiting"][0]["name"], "Eve");
}

#[tokio::test]
async fn r40_who_waits_is_told_of_a_shutdown() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, _) = guest(&server, &mut ada, "Bob").await;
    let running = server.shut_down();
    for client in [&mut bob, &mut ada] {
        client.expect("go_away").await;
        assert_eq!(client.expect_close().await, Some(1012));
    }
    drop((ada, bob));
    crate::common::within("the end of the server", running).await.unwrap();
}
