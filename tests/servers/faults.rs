//! Servers die, and the store becomes unreachable and reachable again.

use std::time::Duration;

use serde_json::json;

use super::rooms::{until, until_each};
use crate::common::eventually;
use crate::common::several::{Node, two};

#[tokio::test]
async fn of_a_server_that_is_killed_all_are_lost_and_gone_after_the_window() {
    // The lease lasts 6 s and is checked every two.
    let (_engine, a, b) = two(&[("ROUNDTABLE_RESUME_WINDOW", "4s")]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    let mut eve = b.join("r", "Eve").await;
    until(&mut ada, "peer_joined").await;
    until(&mut ada, "peer_joined").await;
    b.kill();
    let mut lost = Vec::new();
    for _ in 0..2 {
        let link = until(&mut ada, "link").await;
        assert_eq!(link["link"], "lost");
        lost.push(link["id"].clone());
    }
    assert_eq!((lost.contains(&bob.welcome["self"]), lost.contains(&eve.welcome["self"])), (true, true));
    // One of them returns in time. It keeps its ID but starts a new session, because missed messages were lost with the
    // server.
    let (_back, answer) = a.come_back("r", &bob.welcome["resume"], bob.last).await;
    assert_eq!((&answer["not_resumed"], &answer["self"]), (&json!("resume_lost"), &bob.welcome["self"]));
    loop {
        let left = until(&mut ada, "peer_left").await;
        if left["reason"] != "superseded" {
            assert_eq!((&left["id"], &left["reason"]), (&eve.welcome["self"], &json!("closed")));
            break;
        }
    }
    bob.drain().await;
    eve.drain().await;
}

#[tokio::test]
async fn without_the_engine_shared_rooms_are_degraded_and_whole_again_after_it() {
    let (engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    // In a room that is not shared, nobody notices.
    let mut alone = a.join("alone", "Zoe").await;
    let mut with = a.join("alone", "Max").await;
    alone.expect("peer_joined").await;
    until(&mut ada, "peer_joined").await;
    engine.set_reachable(false).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.expect("degraded").await["active"], true);
    }
    ada.send(json!({"type": "state", "state": {"mic": true}})).await;
    ada.send(json!({"type": "broadcast", "data": 1})).await;
    ada.expect_nothing().await;
    with.send(json!({"type": "state", "state": {"mic": true}})).await;
    with.send(json!({"type": "broadcast", "data": 2})).await;
    alone.expect("state").await;
    alone.expect("broadcast").await;
    let mut late = a.join("alone", "Late").await;
    alone.expect("peer_joined").await;
    late.expect_nothing().await;
    engine.set_reachable(true).await;
    // Queued changes are applied, before or after this notification.
    for (client, waited) in [(&mut ada, "state"), (&mut bob, "broadcast")] {
        let [whole, _] = until_each(client, ["degraded", waited]).await;
        assert_eq!(whole["active"], false);
    }
    alone.expect_nothing().await;
    // Servers restore their rooms in a store that has lost all data.
    engine.set_reachable(false).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(until(client, "degraded").await["active"], true);
    }
    engine.forget();
    engine.set_reachable(true).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(until(client, "degraded").await["active"], false);
    }
    ada.send(json!({"type": "signal", "to": bob.id(), "data": "whole"})).await;
    assert_eq!(until(&mut bob, "signal").await["data"], "whole");
}

#[tokio::test]
async fn a_room_that_the_engine_has_lost_keeps_its_lock_whoever_comes_first() {
    let (engine, a, b) = two(&[]).await;
    let c = Node::start(&engine, &[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"locked": true}})).await;
    until(&mut bob, "settings").await;
    let mut zoe = c.join("other", "Zoe").await;
    let _max = a.join("other", "Max").await;
    until(&mut zoe, "peer_joined").await;
    for node in [&a, &b, &c] {
        node.cut_off(true).await;
    }
    for client in [&mut ada, &mut bob, &mut zoe] {
        until(client, "degraded").await;
    }
    engine.forget();
    let mut eve = c.connect("r").await;
    eve.send(json!({"type": "join", "name": "Eve"})).await;
    eventually("her server to have the room", async || c.app.metrics.rooms.get() == 2).await;
    // The server without a replica reaches the store first.
    c.cut_off(false).await;
    assert_eq!(until(&mut zoe, "degraded").await["active"], false);
    a.cut_off(false).await;
    b.cut_off(false).await;
    eve.expect_error("room_locked").await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(until(client, "degraded").await["active"], false);
    }
}

#[tokio::test]
async fn who_joins_while_the_engine_is_away_is_told_to_try_again() {
    let (engine, a, _b) = two(&[("ROUNDTABLE_JOIN_TIMEOUT", "1s")]).await;
    engine.set_reachable(false).await;
    let mut ada = a.connect("r").await;
    ada.send(json!({"type": "join", "name": "Ada", "ref": 3})).await;
    let error = ada.expect_error("busy").await;
    assert_eq!((&error["re"], &error["ref"]), (&json!("join"), &json!(3)));
    assert!((2_000..=2_500).contains(&error["retry_after_ms"].as_u64().unwrap()), "{error}");
    assert_eq!(ada.expect_close().await, Some(4011));
    engine.set_reachable(true).await;
    let again = tokio::time::timeout(Duration::from_secs(5), a.join("r", "Ada")).await.expect("a room");
    assert_eq!(again.welcome["peers"], json!([]), "members of the old room are left");
}

#[tokio::test]
async fn a_server_that_begins_before_its_engine_waits_for_it() {
    let engine = roundtable::cluster::local::LocalEngine::default();
    engine.set_reachable(false).await;
    let a = Node::start(&engine, &[]).await;
    let mut ada = a.connect("r").await;
    ada.send(json!({"type": "join", "name": "Ada"})).await;
    engine.set_reachable(true).await;
    ada.expect("welcome").await;
}

#[tokio::test]
async fn a_server_that_was_cut_off_and_put_out_does_not_speak_for_who_is_gone() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_RESUME_WINDOW", "1s")]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    let mut eve = b.join("r", "Eve").await;
    until(&mut ada, "peer_joined").await;
    until(&mut ada, "peer_joined").await;
    b.cut_off(true).await;
    assert_eq!(until(&mut bob, "degraded").await["active"], true);
    bob.send(json!({"type": "broadcast", "data": "from the other side"})).await;
    assert_eq!(until(&mut eve, "broadcast").await["data"], "from the other side");
    // The others have waited for its lease, and then for the resume window.
    let (first, second) = (until(&mut ada, "peer_left").await, until(&mut ada, "peer_left").await);
    assert_ne!(first["id"], second["id"]);
    b.cut_off(false).await;
    for client in [&mut bob, &mut eve] {
        until(client, "go_away").await;
        assert_eq!(client.expect_close().await, Some(1012));
    }
    ada.expect_nothing().await;
    let mut back = Vec::new();
    for client in [&bob, &eve] {
        let (again, answer) = b.come_back("r", &client.welcome["resume"], client.last).await;
        assert_eq!((&answer["not_resumed"], &answer["self"]), (&json!("resume_expired"), &client.welcome["self"]));
        assert_eq!(ada.expect("peer_joined").await["peer"]["id"], client.welcome["self"]);
        back.push(again);
    }
}

#[tokio::test]
async fn rooms_that_could_not_begin_leave_nothing() {
    let (engine, a, _b) = two(&[]).await;
    engine.set_reachable(false).await;
    for number in 0..20 {
        let mut client = a.connect(&format!("room-{number}")).await;
        client.send(json!({"type": "join", "name": "Ada"})).await;
        client.close().await;
    }
    eventually("the room to end", async || a.app.metrics.rooms.get() == 0).await;
}
