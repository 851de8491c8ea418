//! Leaving and webhooks across servers, even if other servers fail.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rooms::until;
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
    // Nobody can leave a room that has ended, either.
    let nobody = a.join("s", "Eve").await;
    let body = json!({"room": "s", "resume": nobody.welcome["resume"]}).to_string();
    nobody.close().await;
    eventually("the room to end", async || a.app.metrics.rooms.get() == 1).await;
    assert_eq!(post(b.address, "/signal-api/v1/leave", &body).await.json()["data"]["left"], false);
    eventually("the room to end", async || b.app.metrics.rooms.get() == 0).await;
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
    // The server that reports events is dead, which nobody has noticed yet.
    let eve = b.join("r", "Eve").await;
    until(&mut bob, "link").await;
    loop {
        let event = receiver.expect("peer_joined").await;
        let before = told.insert(event["id"].as_str().unwrap().to_owned(), event.clone());
        match before {
            // The repeated event is equal.
            Some(before) => assert_eq!(before["peer"], event["peer"]),
            None => {
                assert_eq!(event["peer"]["id"], eve.id());
                break;
            }
        }
    }
    // Reported by only one of the two remaining servers, and not by the new one.
    let late = c.join("r", "Late").await;
    assert_eq!(receiver.expect("peer_joined").await["peer"]["id"], late.id());
    ada.drain().await;
}
