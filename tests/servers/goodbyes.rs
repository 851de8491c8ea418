//! What is known at one server is told by it, or to it, whatever becomes of the others.

use std::collections::BTreeMap;

use roundtable::cluster::share::PENDING;
use roundtable::protocol::{PeerId, RoomName};
use serde_json::{Value, json};

use super::rooms::until;
use crate::common::client::Client;
use crate::common::eventually;
use crate::common::http::post;
use crate::common::receiver::Receiver;
use crate::common::several::{Node, two};

#[tokio::test]
async fn a_goodbye_reaches_the_room_from_a_server_that_does_not_have_it() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, a.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    let body = json!({"room": "r", "resume": bob.welcome["resume"]}).to_string();
    let goodbye = async || post(b.address, "/signal-api/v1/leave", &body).await.json();
    assert_eq!(goodbye().await, json!({"code": "SUCCESS", "data": {"left": true}}));
    let left = until(&mut ada, "peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&bob.welcome["self"], &json!("left")));
    assert_eq!(bob.skip_to_close().await, Some(1000));
    assert_eq!(goodbye().await["data"]["left"], false);
    // It is in the room no more, nor in one that there is not.
    let nobody = a.join("s", "Eve").await;
    let body = json!({"room": "s", "resume": nobody.welcome["resume"]}).to_string();
    nobody.close().await;
    eventually("an end", async || a.app.metrics.rooms.get() == 1).await;
    assert_eq!(post(b.address, "/signal-api/v1/leave", &body).await.json()["data"]["left"], false);
    eventually("an end", async || b.app.metrics.rooms.get() == 0).await;
}

#[tokio::test]
async fn r66_a_goodbye_for_which_the_room_is_fetched_counts_as_a_whole_attempt() {
    let (engine, a, _) = two(&[]).await;
    // Two are free: two minutes' worth.
    let settings = [("ROUNDTABLE_ADDRESS_JOINS", "1")];
    let (b, c) = (Node::start(&engine, &settings).await, Node::start(&engine, &settings).await);
    let (_ada, mut bob) = (a.join("r", "Ada").await, a.join("r", "Bob").await);
    bob.send(json!({"type": "leave"})).await;
    bob.drain().await;
    let body = json!({"room": "r", "resume": bob.welcome["resume"]}).to_string();
    for status in [200, 200, 429] {
        assert_eq!(post(b.address, "/signal-api/v1/leave", &body).await.status, status);
        eventually("an end", async || b.app.metrics.rooms.get() == 0).await;
    }
    let _eve = c.join("r", "Eve").await;
    for _ in 0..5 {
        assert_eq!(post(c.address, "/signal-api/v1/leave", &body).await.status, 200, "a tenth where the room is");
    }
}

#[tokio::test]
async fn what_a_server_that_died_has_not_told_is_told_by_the_next_one() {
    let mut receiver = Receiver::start(0).await;
    let settings = receiver.settings().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    let (engine, a, b) = two(&settings).await;
    let c = Node::start(&engine, &settings).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    let _carl = c.join("r", "Carl").await;
    receiver.expect("room_opened").await;
    let mut told: BTreeMap<String, Value> = BTreeMap::new();
    for _ in 0..3 {
        let event = receiver.expect("peer_joined").await;
        told.insert(event["id"].as_str().unwrap().to_owned(), event);
    }
    assert_eq!(told.len(), 3);
    a.kill();
    // The one that tells is dead, and nobody knows it yet.
    let eve = b.join("r", "Eve").await;
    until(&mut bob, "link").await;
    loop {
        let event = receiver.expect("peer_joined").await;
        let before = told.insert(event["id"].as_str().unwrap().to_owned(), event.clone());
        match before {
            // Once more, and the same.
            Some(before) => assert_eq!(before["peer"], event["peer"]),
            None => {
                assert_eq!(event["peer"]["id"], eve.id());
                break;
            }
        }
    }
    // By one of the two alone, and no other that is there now.
    let late = c.join("r", "Late").await;
    assert_eq!(receiver.expect("peer_joined").await["peer"]["id"], late.id());
    ada.drain().await;
}

/// What a goodbye of this client names.
fn session(node: &Node, client: &Client) -> (RoomName, PeerId, u64) {
    let room = RoomName::new("r").unwrap();
    let (id, stay) = node.app.resume_key.check(&room, client.welcome["resume"].as_str().unwrap()).unwrap();
    (room, id, stay)
}

#[tokio::test]
async fn r55_goodbyes_that_repeat_one_without_an_answer_share_its_answer() {
    let (_engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    let (room, id, stay) = session(&b, &bob);
    // This test waits for nothing in between, so that none is answered.
    let goodbyes: Vec<_> = (0..3).map(|_| b.app.hub.leave(&room, id, stay)).collect();
    for goodbye in goodbyes {
        assert!(goodbye.heard().await, "one of them was carried out for itself");
    }
    assert_eq!(until(&mut ada, "peer_left").await["id"], bob.id());
    assert!(!b.app.hub.leave(&room, id, stay).heard().await);
}

#[tokio::test]
async fn r55_repeated_goodbyes_take_one_place_among_the_acts_that_wait_for_the_engine() {
    let (engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let bob = a.join("r", "Bob").await;
    let mut eve = b.join("r", "Eve").await;
    until(&mut ada, "peer_joined").await;
    until(&mut ada, "peer_joined").await;
    engine.set_reachable(false).await;
    until(&mut ada, "degraded").await;
    let (room, id, stay) = session(&a, &bob);
    for _ in 0..PENDING {
        assert!(a.app.hub.leave(&room, id, stay).heard().await);
    }
    ada.send(json!({"type": "state", "state": {"mic": true}})).await;
    ada.expect_nothing().await;
    engine.set_reachable(true).await;
    let left = until(&mut eve, "peer_left").await;
    assert_eq!((left["id"].as_str(), &left["reason"]), (Some(bob.id()), &json!("left")));
    until(&mut eve, "state").await;
}
