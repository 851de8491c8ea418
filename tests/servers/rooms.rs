//! One room, decided once.

use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::http::ask;
use crate::common::several::{Node, two};
use crate::common::{eventually, metric, within};

/// The roster as a client that asks for it sees it, with itself.
async fn roster(client: &mut Client) -> (u64, Vec<String>) {
    client.send(json!({"type": "sync"})).await;
    loop {
        let message = client.next_message().await.expect("a roster");
        if message["type"] == "roster" {
            let peers = message["peers"].as_array().unwrap().iter();
            let ids = peers.map(|peer| peer["id"].as_str().unwrap().to_owned());
            return (message["version"].as_u64().unwrap(), ids.collect());
        }
    }
}

/// Waits for a message of this type, whatever comes before it.
pub async fn until(client: &mut Client, kind: &str) -> Value {
    loop {
        let message = client.next_message().await.unwrap_or_else(|| panic!("{kind} was expected, not the end"));
        if message["type"] == kind {
            return message;
        }
    }
}

/// Waits for one of each kind, in whichever order they come.
pub async fn until_each<const N: usize>(client: &mut Client, kinds: [&str; N]) -> [Value; N] {
    let mut found = kinds.map(|_| Value::Null);
    while found.iter().any(Value::is_null) {
        let message = client.next_message().await.unwrap_or_else(|| panic!("{kinds:?} were expected, not the end"));
        if let Some(at) = kinds.iter().position(|kind| message["type"] == *kind) {
            found[at] = message;
        }
    }
    found
}

async fn try_join(node: &Node, name: &str) -> (Client, Value) {
    let mut client = node.connect("r").await;
    client.send(json!({"type": "join", "name": name})).await;
    let answer = client.next_message().await.expect("an answer");
    client.welcome = answer.clone();
    (client, answer)
}

#[tokio::test]
async fn two_who_join_the_last_seat_at_once_get_one() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_ROOM_MEMBERS", "3")]).await;
    let (_ada, _bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    let ((mut eve, to_eve), (mut zoe, to_zoe)) = tokio::join!(try_join(&a, "Eve"), try_join(&b, "Zoe"));
    let won = [&to_eve, &to_zoe].iter().filter(|answer| answer["type"] == "welcome").count();
    assert_eq!(won, 1, "{to_eve} {to_zoe}");
    let (lost, answer) = if to_eve["type"] == "welcome" { (&mut zoe, to_zoe) } else { (&mut eve, to_eve) };
    assert_eq!((&answer["code"], lost.expect_close().await), (&json!("room_full"), Some(4003)));
}

#[tokio::test]
async fn two_who_come_first_at_once_have_one_host_and_one_roster() {
    for _ in 0..5 {
        let (_engine, a, b) = two(&[]).await;
        let ((mut ada, to_ada), (mut bob, to_bob)) = tokio::join!(try_join(&a, "Ada"), try_join(&b, "Bob"));
        let mut roles = [to_ada["role"].as_str().unwrap(), to_bob["role"].as_str().unwrap()];
        roles.sort_unstable();
        assert_eq!(roles, ["host", "participant"]);
        let mut eve = b.join("r", "Eve").await;
        for client in [&mut ada, &mut bob, &mut eve] {
            while client.version() < 3 {
                client.welcome["version"] = until(client, "peer_joined").await["version"].clone();
            }
        }
        let ((seen, by_ada), (_, by_bob), (_, by_eve)) =
            (roster(&mut ada).await, roster(&mut bob).await, roster(&mut eve).await);
        assert_eq!(seen, 3);
        let all: Vec<String> = eve.welcome["peers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|peer| peer["id"].as_str().unwrap().to_owned())
            .chain([eve.id().to_owned()])
            .collect();
        for (own, others) in [(ada.id(), by_ada), (bob.id(), by_bob), (eve.id(), by_eve)] {
            let expected: Vec<_> = all.iter().filter(|id| *id != own).cloned().collect();
            assert_eq!(others, expected, "the order in which they came");
        }
    }
}

/// A room that is set so, and that a member on each server has left: Ada, its host, the last one.
async fn deserted(a: &Node, b: &Node, setting: &str) -> Value {
    let (mut ada, mut bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {setting: true}})).await;
    until(&mut bob, "settings").await;
    bob.send(json!({"type": "leave"})).await;
    until(&mut ada, "peer_left").await;
    ada.send(json!({"type": "leave"})).await;
    ada.drain().await;
    ada.welcome["resume"].clone()
}

#[tokio::test]
async fn r111_the_last_server_keeps_an_empty_room_for_all() {
    let (_engine, a, b) = two(&[]).await;
    let resume = deserted(&a, &b, "locked").await;
    for node in [&a, &b] {
        assert_eq!(try_join(node, "Eve").await.1["code"], "room_locked");
    }
    let mut again = b.connect("r").await;
    again.join_with(json!({"type": "join", "name": "Ada", "resume": resume})).await;
    assert_eq!((&again.welcome["role"], &again.welcome["settings"]["locked"]), (&json!("host"), &json!(true)));
}

#[tokio::test]
async fn r111_servers_let_an_empty_room_go_when_its_time_is_over() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "3s")]).await;
    deserted(&a, &b, "lobby").await;
    let (mut eve, answer) = try_join(&b, "Eve").await;
    assert_eq!(answer["type"], "waiting");
    assert_eq!(eve.expect_close().await, Some(4013));
    for node in [&a, &b] {
        eventually("the end of the room", async || metric(node.ops, "roundtable_rooms").await == 0).await;
    }
    assert_eq!(try_join(&b, "Eve").await.1["role"], "host");
}

#[tokio::test]
async fn frames_and_states_go_across() {
    let (_engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    let mut eve = a.join("r", "Eve").await;
    until(&mut ada, "peer_joined").await;
    until(&mut ada, "peer_joined").await;
    until(&mut bob, "peer_joined").await;
    for number in 0..200 {
        ada.send(json!({"type": "signal", "to": bob.id(), "data": number, "seq": number + 1})).await;
        eve.send(json!({"type": "broadcast", "data": number})).await;
    }
    let (mut signals, mut broadcasts) = (0, 0);
    while signals < 200 || broadcasts < 200 {
        let message = bob.next_message().await.unwrap();
        let (count, from) = if message["type"] == "signal" { (&mut signals, &ada) } else { (&mut broadcasts, &eve) };
        assert_eq!((&message["data"], &message["from"]), (&json!(*count), &json!(from.id())), "once and in order");
        *count += 1;
    }
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    for client in [&mut ada, &mut bob, &mut eve] {
        assert_eq!(until(client, "state").await["state"], json!({"mic": true}));
    }
    ada.send(json!({"type": "signal", "to": "nobody", "data": 1, "ref": 5})).await;
    assert_eq!(until(&mut ada, "error").await["code"], "peer_not_found");
}

#[tokio::test]
async fn hosts_decide_for_all_servers() {
    let (_engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    // Refused when it is decided, by the message's type and ref.
    bob.send(json!({"type": "moderate", "action": "settings", "settings": {"locked": true}, "ref": "x", "seq": 1}))
        .await;
    let error = until(&mut bob, "error").await;
    assert_eq!((&error["code"], &error["re"], &error["ref"]), (&json!("not_allowed"), &json!("moderate"), &json!("x")));
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    until(&mut bob, "settings").await;
    let mut guest = b.connect("r").await;
    guest.send(json!({"type": "join", "name": "Guest"})).await;
    guest.expect("waiting").await;
    let lobby = until(&mut ada, "lobby").await;
    let id = lobby["waiting"][0]["id"].clone();
    ada.send(json!({"type": "moderate", "action": "admit", "to": id})).await;
    guest.welcome = guest.expect("welcome").await;
    assert_eq!(guest.id(), id.as_str().unwrap());
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": false, "locked": true}})).await;
    until(&mut bob, "settings").await;
    let (mut late, answer) = try_join(&b, "Late").await;
    assert_eq!((&answer["code"], late.expect_close().await), (&json!("room_locked"), Some(4006)));
    ada.send(json!({"type": "moderate", "action": "remove", "to": bob.id()})).await;
    assert_eq!(bob.skip_to_close().await, Some(4008));
    // Nowhere does its secret open a door again.
    for node in [&a, &b] {
        let mut back = node.connect("r").await;
        back.send(json!({"type": "join", "name": "Bob", "resume": bob.welcome["resume"]})).await;
        assert_eq!(within("a close", back.skip_to_close()).await, Some(4008));
    }
    ada.send(json!({"type": "moderate", "action": "end"})).await;
    assert_eq!((ada.skip_to_close().await, guest.skip_to_close().await), (Some(4009), Some(4009)));
}

#[tokio::test]
async fn who_was_removed_is_known_to_a_server_that_gets_the_room_later() {
    let (engine, a, b) = two(&[]).await;
    let c = Node::start(&engine, &[]).await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, a.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    ada.send(json!({"type": "moderate", "action": "remove", "to": bob.id()})).await;
    assert_eq!(bob.skip_to_close().await, Some(4008));
    // One gets the room now, and has it for itself soon.
    let mut eve = b.join("r", "Eve").await;
    ada.send(json!({"type": "leave"})).await;
    assert_eq!(ada.skip_to_close().await, Some(1000));
    assert_eq!(until(&mut eve, "role").await["role"], "host");
    eventually("an end", async || a.app.metrics.rooms.get() == 0).await;
    // The other gets it by this very attempt.
    for node in [&b, &c] {
        for last in [None, Some(bob.last)] {
            let mut back = node.connect("r").await;
            back.send(json!({"type": "join", "name": "Bob", "resume": bob.welcome["resume"], "last_seq": last})).await;
            assert_eq!(within("a close", back.skip_to_close()).await, Some(4008));
        }
    }
    // Nobody has seen him come.
    eve.expect_nothing().await;
}

#[tokio::test]
async fn r45_a_removal_holds_on_every_server_for_every_credential() {
    let (engine, a, b) = two(&[]).await;
    let c = Node::start(&engine, &[]).await;
    let answer = ask(a.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
    let (room, key) = (answer["data"]["room"].as_str().unwrap(), &answer["data"]["host_key"]);
    let mut maker = a.connect(room).await;
    maker.join_with(json!({"type": "join", "name": "Eve", "host_key": key})).await;
    let earlier = maker.welcome["resume"].clone();
    let mut maker = b.connect(room).await;
    maker.join_with(json!({"type": "join", "name": "Eve", "resume": earlier})).await;
    let mut ada = a.join(room, "Ada").await;
    maker.send(json!({"type": "moderate", "action": "role", "to": ada.id(), "role": "host"})).await;
    until(&mut ada, "role").await;
    ada.send(json!({"type": "moderate", "action": "remove", "to": maker.id()})).await;
    assert_eq!(maker.skip_to_close().await, Some(4008));
    for node in [&a, &b, &c] {
        for credentials in [
            json!({"resume": earlier}),
            json!({"resume": earlier, "last_seq": 1}),
            json!({"resume": maker.welcome["resume"], "host_key": key}),
            json!({"host_key": key}),
        ] {
            let mut join = json!({"type": "join", "name": "Eve"});
            join.as_object_mut().unwrap().extend(credentials.as_object().unwrap().clone());
            let mut back = node.connect(room).await;
            back.send(join).await;
            assert_eq!(within("a close", back.expect_close()).await, Some(4008), "{credentials}");
        }
    }
}

#[tokio::test]
async fn who_hangs_up_before_there_is_an_answer_leaves_nobody() {
    let (engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    engine.set_reachable(false).await;
    until(&mut ada, "degraded").await;
    until(&mut bob, "degraded").await;
    let mut eve = b.connect("r").await;
    eve.send(json!({"type": "join", "name": "Eve"})).await;
    eve.close().await;
    eventually("an end", async || b.app.metrics.sockets.get() == 1).await;
    engine.set_reachable(true).await;
    assert_eq!(ada.expect("degraded").await["active"], false);
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    ada.expect("state").await;
    let (_, others) = roster(&mut ada).await;
    assert_eq!(others, [bob.id()]);
}

#[tokio::test]
async fn others_are_counted_on_whichever_server_they_are() {
    let (_engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let _bob = b.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    ada.send(json!({"type": "quality", "links": [{}, {}]})).await;
    ada.expect_error("bad_field").await;
    ada.send(json!({"type": "quality", "links": [{}]})).await;
    eventually("a report", async || metric(a.ops, "roundtable_quality_reports_total").await == 1).await;
}

#[tokio::test]
async fn r40_guests_of_a_room_on_several_servers_are_refused_without_asking_the_others() {
    let (engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    until(&mut ada, "settings").await;
    let (mut eve, waiting) = try_join(&b, "Eve").await;
    assert_eq!(waiting["type"], "waiting");
    // What has to be put in order would wait now.
    engine.set_reachable(false).await;
    until(&mut ada, "degraded").await;
    for message in [
        json!({"type": "state", "state": {"hand": true}}),
        json!({"type": "moderate", "action": "settings", "settings": {"lobby": false}}),
        json!({"type": "sync"}),
        json!({"type": "broadcast", "data": 1}),
    ] {
        eve.send(message.clone()).await;
        assert_eq!(eve.expect_error("not_admitted").await["re"], message["type"]);
    }
}
