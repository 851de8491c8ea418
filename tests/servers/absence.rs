//! Disconnected members reconnect at any server.

use roundtable::cluster::local::LocalEngine;
use serde_json::json;

use super::rooms::until;
use crate::common::several::{Node, two};
use crate::common::tokens::{Keys, later};
use crate::common::{eventually, metric};

#[tokio::test]
async fn who_comes_back_on_another_server_gets_what_it_missed_once() {
    let (engine, a, b) = two(&[]).await;
    let c = Node::start(&engine, &[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    let mut eve = c.join("r", "Eve").await;
    until(&mut bob, "peer_joined").await;
    bob.send(json!({"type": "broadcast", "data": "before", "seq": 1})).await;
    until(&mut ada, "broadcast").await;
    until(&mut eve, "broadcast").await;
    let (resume, mut last, id) = (bob.welcome["resume"].clone(), bob.last, bob.id().to_owned());
    drop(bob);
    until(&mut ada, "link").await;
    let mut said = 0;
    // At another server that has the room, at the first one, at one that has no members in it, and back again.
    for node in [&a, &b, &c, &b] {
        for _ in 0..20 {
            for client in [&mut ada, &mut eve] {
                client.send(json!({"type": "signal", "to": id, "data": said})).await;
            }
            said += 1;
        }
        let (mut back, answer) = node.come_back("r", &resume, last).await;
        assert_eq!((&answer["type"], &answer["self"], &answer["ack"]), (&json!("resumed"), &json!(id), &json!(1)));
        let (mut by_ada, mut by_eve) = (said - 20, said - 20);
        while by_ada < said || by_eve < said {
            // `Client` checks that the numbers are contiguous.
            let message = back.next_message().await.unwrap();
            if message["type"] == "signal" {
                let count = if message["from"] == ada.id() { &mut by_ada } else { &mut by_eve };
                assert_eq!(message["data"], *count, "lost, repeated or out of order");
                *count += 1;
            }
        }
        // Its messages are received here, and the server knows which ones have arrived before.
        back.send(json!({"type": "broadcast", "data": "twice", "seq": 1})).await;
        back.expect_nothing_but(&["link"]).await;
        last = back.last;
        drop(back);
    }
}

#[tokio::test]
async fn who_comes_while_its_old_socket_is_open_supersedes_it() {
    let (_engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    let (mut back, answer) = b.come_back("r", &bob.welcome["resume"], bob.last).await;
    assert_eq!(answer["type"], "resumed");
    assert_eq!(bob.skip_to_close().await, Some(4004));
    back.send(json!({"type": "broadcast", "data": 1})).await;
    assert_eq!(ada.expect("broadcast").await["data"], 1, "another message in between");
}

#[tokio::test]
async fn who_comes_twice_while_its_session_is_on_its_way_gets_it_by_the_later_socket() {
    let (_engine, a, b) = two(&[]).await;
    let mut bob = a.join("r", "Bob").await;
    let mut ada = b.join("r", "Ada").await;
    until(&mut bob, "peer_joined").await;
    let (resume, last, id) = (bob.welcome["resume"].clone(), bob.last, bob.id().to_owned());
    drop(bob);
    assert_eq!(until(&mut ada, "link").await["link"], "lost");
    ada.send(json!({"type": "signal", "to": id, "data": "missed"})).await;
    ada.expect_nothing().await;
    // Its old server does not respond for now, so that the session stays in transit.
    a.cut_off(true).await;
    let join = json!({"type": "join", "name": "Back", "resume": resume, "last_seq": last});
    let mut first = b.connect("r").await;
    first.send(join.clone()).await;
    assert_eq!(until(&mut ada, "link").await["link"], "ok", "the member is not shown as reconnected");
    let mut second = b.connect("r").await;
    second.send(join).await;
    assert_eq!(first.expect_close().await, Some(4004));
    a.cut_off(false).await;
    assert_eq!(second.expect("resumed").await["self"], id);
    second.last = last;
    while second.next_message().await.unwrap()["data"] != "missed" {}
    ada.send(json!({"type": "signal", "to": id, "data": "heard"})).await;
    assert_eq!(until(&mut second, "signal").await["data"], "heard");
}

#[tokio::test]
async fn a_session_that_does_not_go_on_is_begun_afresh_with_the_reason() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_REPLAY_MESSAGES", "5")]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    for number in 0..50 {
        ada.send(json!({"type": "broadcast", "data": number})).await;
        until(&mut bob, "broadcast").await;
    }
    let (mut back, answer) = b.come_back("r", &bob.welcome["resume"], 3).await;
    assert_eq!(
        (&answer["type"], &answer["not_resumed"], &answer["self"], &answer["resumed"]),
        (&json!("welcome"), &json!("resume_lost"), &bob.welcome["self"], &json!(true))
    );
    back.expect_nothing().await;
    // Messages that are sent before their server learns of the new session belong to the old one.
    assert_eq!(until(&mut ada, "peer_joined").await["peer"]["id"], bob.welcome["self"]);
    ada.send(json!({"type": "broadcast", "data": "again"})).await;
    assert_eq!(back.expect("broadcast").await["data"], "again");
}

#[tokio::test]
async fn a_server_that_is_drained_hands_everybody_on() {
    let (_engine, mut a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    a.shut_down();
    let mut back = Vec::new();
    for client in [&mut ada, &mut bob] {
        let away = until(client, "go_away").await;
        assert!(away["reconnect_ms"].is_u64());
        assert_eq!(client.expect_close().await, Some(1012));
    }
    for client in [&ada, &bob] {
        let (again, answer) = b.come_back("r", &client.welcome["resume"], client.last).await;
        assert_eq!((&answer["type"], &answer["self"]), (&json!("resumed"), &client.welcome["self"]), "{answer}");
        back.push(again);
    }
    back[0].send(json!({"type": "broadcast", "data": 1})).await;
    assert_eq!(until(&mut back[1], "broadcast").await["data"], 1);
    // The draining server is not delayed, and leaves nothing behind: the room belongs to the other server alone.
    let address = a.ops;
    eventually("the server to end", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    b.cut_off(true).await;
    for client in &mut back {
        client.expect_nothing_but(&["link"]).await;
    }
}

#[tokio::test]
async fn who_waits_to_come_in_while_the_server_drains_is_sent_on() {
    let (_engine, mut a, b) = two(&[]).await;
    let mut bob = b.join("r", "Bob").await;
    let mut ada = a.connect("r").await;
    // Its request to the store hangs.
    a.cut_off(true).await;
    ada.send(json!({"type": "join", "name": "Ada"})).await;
    eventually("the request to be sent", async || metric(a.ops, "roundtable_rooms").await == 1).await;
    a.shut_down();
    assert!(ada.expect("go_away").await["reconnect_ms"].is_u64());
    assert_eq!(ada.expect_close().await, Some(1012));
    let ada = b.join("r", "Ada").await;
    assert_eq!(bob.expect("peer_joined").await["peer"]["id"], *ada.id(), "another peer joined before");
}

#[tokio::test]
async fn a_session_on_another_server_is_no_way_around_a_token() {
    let keys = Keys::new();
    let engine = LocalEngine::default();
    let settings = keys.settings("open-hosts-by-token");
    let (a, b, c) = (
        Node::start(&engine, &settings).await,
        Node::start(&engine, &settings).await,
        Node::start(&engine, &settings).await,
    );
    let token = keys.token(json!({"room": "r", "role": "host", "exp": later(60.0)}));
    let mut bob = b.join("r", "Bob").await;
    // One server already has the room, and the other must request it first.
    for node in [&b, &c] {
        let mut ada = a.connect("r").await;
        ada.join_with(json!({"type": "join", "name": "Ada", "token": token})).await;
        assert_eq!(until(&mut bob, "peer_joined").await["peer"]["role"], "host");
        let (mut back, answer) = node.come_back("r", &ada.welcome["resume"], ada.last).await;
        assert_eq!(
            (&answer["type"], &answer["not_resumed"], &answer["role"], &answer["self"]),
            (&json!("welcome"), &json!("grant_changed"), &json!("participant"), &ada.welcome["self"])
        );
        until(&mut bob, "peer_joined").await;
        back.send(json!({"type": "leave"})).await;
        assert_eq!(back.skip_to_close().await, Some(1000));
    }
}

#[tokio::test]
async fn who_comes_back_when_everybody_has_gone_begins_afresh_and_stays() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    for node in [&a, &b] {
        let mut ada = a.join("r", "Ada").await;
        ada.send(json!({"type": "leave"})).await;
        ada.expect_close().await;
        eventually("the room to end", async || a.app.metrics.rooms.get() == 0).await;
        let (mut back, answer) = node.come_back("r", &ada.welcome["resume"], ada.last).await;
        assert_eq!((&answer["type"], &answer["not_resumed"]), (&json!("welcome"), &json!("resume_expired")));
        back.expect_nothing().await;
        back.send(json!({"type": "leave"})).await;
        back.expect_close().await;
        eventually("the room to end", async || node.app.metrics.rooms.get() == 0).await;
    }
}
