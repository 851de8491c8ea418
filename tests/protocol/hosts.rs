//! R36, R37 and R42: the host role and its exclusive rights.

use serde_json::json;

use super::people::{ROOM, act, back, expect_link, guest, host, knock, leave, member};
use crate::common::TestServer;
use crate::common::raw::Raw;

#[tokio::test]
async fn r36_who_makes_a_room_is_its_host_and_the_eldest_inherits() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    assert_eq!(ada.welcome["role"], "host");
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let mut zoe = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    assert_eq!((&zoe.welcome["role"], &zoe.welcome["peers"][0]["role"]), (&json!("participant"), &json!("host")));
    let before = ada.welcome["resume"].clone();
    leave(ada).await;
    for client in [&mut bob, &mut zoe] {
        assert_eq!(client.expect("peer_left").await["version"], 4);
    }
    for client in [&mut zoe, &mut bob] {
        let role = client.expect("role").await;
        assert_eq!((&role["version"], &role["role"]), (&json!(5), &json!("host")));
    }
    act(&mut bob, json!({"action": "settings", "settings": {"talk": true}})).await;
    assert_eq!(bob.expect("settings").await["version"], 6);

    // A reconnecting member keeps its role, even in a talk.
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "Ada", "resume": before})).await;
    assert_eq!((&again.welcome["role"], &again.welcome["resumed"]), (&json!("host"), &json!(true)));
}

#[tokio::test]
async fn r113_a_listener_does_not_become_host_by_waiting() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut listener = member(&server, "Elder", &mut [&mut ada]).await;
    let mut speaker = member(&server, "Younger", &mut [&mut ada, &mut listener]).await;
    act(&mut ada, json!({"action": "role", "to": speaker.id(), "role": "participant"})).await;
    leave(ada).await;
    for client in [&mut speaker, &mut listener] {
        client.expect("role").await;
        client.expect("peer_left").await;
    }
    let role = listener.expect("role").await;
    assert_eq!((&role["id"], &role["role"]), (&json!(speaker.id()), &json!("host")));
    leave(speaker).await;
    listener.expect("peer_left").await;
    act(&mut listener, json!({"action": "settings", "settings": {"talk": false}})).await;
    listener.expect_error("not_allowed").await;
    // A newcomer is not promoted either, because it joins as a listener.
    let newcomer = member(&server, "Newcomer", &mut [&mut listener]).await;
    assert_eq!(newcomer.welcome["role"], "listener");
    listener.expect_nothing().await;
}

#[tokio::test]
async fn r36_a_superseded_host_stays_host_and_has_no_heir() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let mut again = back(&server, &ada).await;
    assert_eq!(again.welcome["role"], "host");
    assert_eq!(ada.expect_close().await, Some(4004));
    bob.expect("peer_left").await;
    assert_eq!(bob.expect("peer_joined").await["peer"]["role"], "host");
    bob.expect_nothing().await;
    act(&mut bob, json!({"action": "end"})).await;
    bob.expect_error("not_allowed").await;
    again.expect_nothing().await;
}

#[tokio::test]
async fn r36_a_secret_of_an_earlier_life_of_a_room_gives_no_privilege() {
    let server = TestServer::start(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    let first = server.join(ROOM, "Ada").await;
    let resume = first.welcome["resume"].clone();
    leave(first).await;
    let mut bob = host(&server, json!({"locked": true})).await;
    assert_eq!(bob.version(), 1);
    let mut ada = server.connect(ROOM).await;
    ada.send(json!({"type": "join", "name": "Ada", "resume": resume})).await;
    ada.expect_error("room_locked").await;
    act(&mut bob, json!({"action": "settings", "settings": {"locked": false}})).await;
    bob.expect("settings").await;
    let mut ada = server.connect(ROOM).await;
    ada.join_with(json!({"type": "join", "name": "Ada", "resume": resume})).await;
    assert_eq!(ada.welcome["role"], "participant");
}

#[tokio::test]
async fn r37_only_hosts_moderate_and_only_who_is_there() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    bob.welcome = bob.expect("welcome").await;
    assert_eq!((bob.id(), &ada.expect("lobby").await["waiting"]), (&*id, &json!([])));
    ada.expect("peer_joined").await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    let acts = |to: &str| {
        vec![
            json!({"action": "role", "to": to, "role": "host"}),
            json!({"action": "ask", "to": to, "ask": "mute"}),
            json!({"action": "switch_off", "to": to, "what": "mic"}),
            json!({"action": "remove", "to": to}),
            json!({"action": "admit", "to": to}),
            json!({"action": "refuse", "to": to}),
        ]
    };
    // Forged actions of a participant or of a guest change nothing, whoever the target is.
    for target in [ada.id().to_owned(), id.clone(), eve_id] {
        for (client, code) in [(&mut bob, "not_allowed"), (&mut eve, "not_admitted")] {
            let everyone = [json!({"action": "end"}), json!({"action": "settings", "settings": {"locked": true}})];
            for mut forged in acts(&target).into_iter().chain(everyone) {
                forged["ref"] = json!(7);
                act(client, forged).await;
                let error = client.expect_error(code).await;
                assert_eq!((&error["re"], &error["ref"]), (&json!("moderate"), &json!(7)));
            }
        }
    }
    for missing in acts("AAAAAAAAAAAAAAAAAAAA") {
        act(&mut ada, missing).await;
        ada.expect_error("peer_not_found").await;
    }
    // A member cannot be admitted again, and a person in the lobby cannot be removed.
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    ada.expect_error("peer_not_found").await;
    for client in [&mut ada, &mut bob, &mut eve] {
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn r42_the_last_host_hands_over_before_it_steps_down() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let own = json!({"action": "role", "to": ada.id(), "role": "participant"});
    act(&mut ada, own.clone()).await;
    ada.expect_error("not_allowed").await;
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "host"})).await;
    act(&mut ada, own).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.expect("role").await["version"], 3);
        assert_eq!(client.expect("role").await["version"], 4);
    }
    act(&mut ada, json!({"action": "end"})).await;
    ada.expect_error("not_allowed").await;
    act(&mut bob, json!({"action": "remove", "to": ada.id()})).await;
    assert_eq!(ada.expect_close().await, Some(4008));
}

/// An overflowing queue ends the session but not the membership. Otherwise, filling the host's queue would make the
/// attacker the next host.
#[tokio::test]
async fn r36_a_host_whose_queue_is_filled_stays_host() {
    let settings = ["ROUNDTABLE_MESSAGE_RATE", "ROUNDTABLE_BYTE_RATE"].map(|rate| (rate, "0"));
    let server = TestServer::start(&[&settings[..], &[("ROUNDTABLE_OUTBOX_MESSAGES", "40")]].concat()).await;
    let (mut stalled, welcome) = Raw::connect_small(&server, ROOM).await.joined("Slow").await;
    assert_eq!(welcome["role"], "host");
    let id = welcome["self"].as_str().unwrap();
    let mut bob = server.join(ROOM, "Bob").await;
    for _ in 0..2_000 {
        bob.send(json!({"type": "broadcast", "data": "x".repeat(20_000)})).await;
        if server.metric("roundtable_slow_consumers_total").await > 0 {
            break;
        }
    }
    expect_link(&mut bob, id, "lost").await;
    assert_eq!(stalled.close_code().await, 4005);
    act(&mut bob, json!({"action": "remove", "to": id})).await;
    bob.expect_error("not_allowed").await;
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "Slow", "resume": welcome["resume"], "last_seq": 0})).await;
    assert_eq!((&again.welcome["role"], &again.welcome["not_resumed"]), (&json!("host"), &json!("resume_lost")));
}

#[tokio::test]
async fn r36_a_lost_host_whose_queue_is_filled_stays_host() {
    let settings = [("ROUNDTABLE_OUTBOX_MESSAGES", "20"), ("ROUNDTABLE_ADDRESS_JOINS", "0")];
    let server = TestServer::start(&settings).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let resume = ada.welcome["resume"].clone();
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    bob.expect("welcome").await;
    drop(ada);
    bob.expect("link").await;
    for _ in 0..30 {
        bob.send(json!({"type": "broadcast", "data": 1})).await;
    }
    bob.send(json!({"type": "ping"})).await;
    bob.expect("pong").await;
    assert_eq!(server.metric("roundtable_slow_consumers_total").await, 1);
    knock(&server, "Mallory").await.expect("waiting").await;
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "Ada", "resume": resume, "last_seq": 0})).await;
    assert_eq!((&again.welcome["role"], &again.welcome["settings"]["lobby"]), (&json!("host"), &json!(true)));
}
