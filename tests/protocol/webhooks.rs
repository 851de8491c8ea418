//! R71 and R72: webhooks to a real receiver that fails at first.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::people::leave;
use crate::common::receiver::{Receiver, SECRET};
use crate::common::{TestServer, within};

#[tokio::test]
async fn r71_another_program_is_told_in_order() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let ada = server.join("圆桌", "Ada").await;
    let mut bob = server.join("圆桌", "Bob").await;
    let opened = other.expect("room_opened").await;
    assert_eq!((&opened["room"], opened.get("peer")), (&json!("圆桌"), None));
    assert!(opened["time"].as_str().unwrap().ends_with("+00:00"));
    let joined = other.expect("peer_joined").await;
    assert_eq!(joined["peer"], json!({"id": ada.id(), "name": "Ada", "role": "host"}));
    assert_ne!(joined["id"], opened["id"]);
    assert_eq!(other.expect("peer_joined").await["peer"]["name"], "Bob");
    leave(ada).await;
    let left = other.expect("peer_left").await;
    assert_eq!((&left["peer"]["name"], &left["reason"]), (&json!("Ada"), &json!("left")));
    bob.expect("peer_left").await;
    bob.expect("role").await;
    bob.send(json!({"type": "moderate", "action": "end"})).await;
    assert_eq!(bob.expect_close().await, Some(4009));
    let left = other.expect("peer_left").await;
    assert_eq!(
        (&left["peer"], &left["reason"]),
        (&json!({"id": bob.id(), "name": "Bob", "role": "host"}), &json!("ended"))
    );
    assert_eq!(other.expect("room_closed").await["room"], "圆桌");
    // A rejected join does not open a room.
    let mut eve = server.connect("refused").await;
    let keys: serde_json::Map<_, _> = (0..17).map(|i| (format!("k{i}"), json!(true))).collect();
    eve.send(json!({"type": "join", "name": "Eve", "state": keys})).await;
    eve.expect_error("state_invalid").await;
    let _zoe = server.join("next", "Zoe").await;
    assert_eq!(other.expect("room_opened").await["room"], "next");
}

#[tokio::test]
async fn r66_of_rooms_in_which_the_way_is_tried_nobody_is_told() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let trial = "check-0123456789abcdef0123456789abcdef";
    let mut tried = server.join(trial, "path check").await;
    let second = server.join(trial, "path check").await;
    tried.expect("peer_joined").await;
    // A trial room admits no second person.
    let mut third = server.connect(trial).await;
    third.send(json!({"type": "join", "name": "Eve"})).await;
    third.expect_error("room_full").await;
    tried.send(json!({"type": "moderate", "action": "remove", "to": second.id()})).await;
    tried.expect("peer_left").await;
    leave(tried).await;
    server.metric_becomes("roundtable_rooms", 0).await;
    // Events are in order: an event about the trial would arrive first.
    let _ada = server.join("r", "Ada").await;
    assert_eq!(other.expect("room_opened").await["room"], "r");
    assert_eq!(other.expect("peer_joined").await["peer"]["name"], "Ada");
    server.metric_becomes("roundtable_webhooks_delivered_total", 2).await;
}

#[tokio::test]
async fn r72_what_is_not_taken_is_sent_again_and_nothing_is_lost_or_doubled() {
    let mut other = Receiver::start(3).await;
    let server = other.server().await;
    leave(server.join("r", "Ada").await).await;
    for kind in ["room_opened", "peer_joined", "peer_left", "room_closed"] {
        other.expect(kind).await;
    }
    assert_eq!(other.asked.load(Ordering::Relaxed), 7, "the first three deliveries did not fail");
    server.metric_becomes("roundtable_webhooks_delivered_total", 4).await;
    assert_eq!(server.metric("roundtable_webhooks_dropped_total").await, 0);
}

#[tokio::test]
async fn r72_a_program_that_takes_nothing_holds_nobody_up() {
    let other = Receiver::start(u32::MAX).await;
    let settings = [
        ("ROUNDTABLE_WEBHOOK_URL", &*other.url),
        ("ROUNDTABLE_WEBHOOK_SECRET", SECRET),
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
    ];
    let server = TestServer::start(&settings).await;
    for _ in 0..300 {
        leave(server.join("r", "Ada").await).await;
    }
    // Of 1,200 events, 1,024 are queued and one is being sent; the others are counted as dropped.
    let dropped = server.metric("roundtable_webhooks_dropped_total").await;
    assert!((174..=176).contains(&dropped), "{dropped}");
    let ended = server.shut_down();
    within("a shutdown", ended).await.unwrap();
}

#[tokio::test]
async fn r71_the_last_events_are_sent_before_the_server_ends() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let mut ada = server.join("r", "Ada").await;
    let ended = server.shut_down();
    ada.drain().await;
    within("a shutdown", ended).await.unwrap();
    for kind in ["room_opened", "peer_joined", "peer_left", "room_closed"] {
        other.expect(kind).await;
    }
}

#[tokio::test]
async fn r109_a_meeting_whose_name_looks_like_a_trial_is_reported() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    for name in
        ["check-in", "check-1", "check-0123456789abcdef0123456789abcde", "check-0123456789ABCDEF0123456789ABCDEF"]
    {
        let _ada = server.join(name, "Ada").await;
        assert_eq!(other.expect("room_opened").await["room"], name);
        other.expect("peer_joined").await;
    }
}

#[tokio::test]
async fn r71_a_session_that_supersedes_another_one_is_no_event() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let mut ada = server.join("r", "Ada").await;
    for _ in 0..5 {
        let mut again = server.connect("r").await;
        again.join_with(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
        assert_eq!(again.welcome["resumed"], true);
        ada = again;
    }
    let _bob = server.join("r", "Bob").await;
    other.expect("room_opened").await;
    for name in ["Ada", "Bob"] {
        assert_eq!(other.expect("peer_joined").await["peer"]["name"], name);
    }
    // Nor is the end suppressed.
    leave(ada).await;
    assert_eq!(other.expect("peer_left").await["peer"]["name"], "Ada");
}

#[tokio::test]
async fn r72_events_of_one_room_do_not_displace_those_of_others() {
    let closed = 1_000_000;
    let mut other = Receiver::start(closed).await;
    let own = [("ROUNDTABLE_WEBHOOK_QUEUE", "16"), ("ROUNDTABLE_ADDRESS_JOINS", "0")];
    let server = TestServer::start(&[other.settings(), own].concat()).await;
    for _ in 0..20 {
        leave(server.join("loud", "Ada").await).await;
    }
    let _eve = server.join("quiet", "Eve").await;
    // From now on the receiver accepts events.
    other.asked.store(closed, Ordering::Relaxed);
    let mut quiet = Vec::new();
    for _ in 0..6 {
        let event = other.next().await;
        if event["room"] == "quiet" {
            quiet.push(event["event"].clone());
        }
    }
    assert_eq!(quiet, ["room_opened", "peer_joined"], "the rooms did not take turns");
}

#[tokio::test]
async fn r72_short_meetings_of_many_rooms_do_not_displace_the_events_of_a_meeting() {
    let closed = 1_000_000;
    let mut other = Receiver::start(closed).await;
    let settings = [&other.settings()[..], &[("ROUNDTABLE_ADDRESS_JOINS", "0")]].concat();
    let server = TestServer::start(&settings).await;
    // Its event is being sent while the receiver rejects everything.
    leave(server.join("first", "Eve").await).await;
    let mut people = Vec::new();
    for number in 0..20 {
        people.push(server.join("board", &format!("Person {number}")).await);
    }
    for number in 0..250 {
        leave(server.join(&format!("short {number}"), "Eve").await).await;
    }
    for person in people.drain(..10) {
        leave(person).await;
    }
    for number in 250..500 {
        leave(server.join(&format!("short {number}"), "Eve").await).await;
    }
    // Whole meetings were dropped, each with its four events: 2,035 events occurred, and 1,023 are queued in addition
    // to the one being sent.
    let dropped = server.metric("roundtable_webhooks_dropped_total").await;
    assert_eq!((dropped, server.metric("roundtable_webhooks_queued").await), (1_012, 1_023));
    other.asked.store(closed, Ordering::Relaxed);
    let (mut board, mut rooms) = (Vec::new(), BTreeMap::<String, Vec<String>>::new());
    for _ in 0..1_023 {
        let event = other.next().await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        if event["room"] == "board" {
            board.push((text(&event["event"]), event["peer"]["name"].as_str().map(str::to_owned)));
        } else {
            rooms.entry(text(&event["room"])).or_default().push(text(&event["event"]));
        }
    }
    let who = |event: &str, number: usize| (event.to_owned(), Some(format!("Person {number}")));
    let mut expected = vec![("room_opened".to_owned(), None)];
    expected.extend((0..20).map(|number| who("peer_joined", number)));
    expected.extend((0..10).map(|number| who("peer_left", number)));
    assert_eq!(board, expected);
    // The remaining ones are complete, and the latest.
    assert!(rooms.values().all(|events| *events == ["room_opened", "peer_joined", "peer_left", "room_closed"]));
    assert!(rooms.contains_key("first") && rooms.contains_key("short 499") && !rooms.contains_key("short 0"));
}
