//! R12 and R52 to R54: sessions that survive their sockets.

use std::time::{Duration, Instant};

use serde_json::json;

use super::people::{ROOM, Returning, expect_link, pair};
use crate::common::TestServer;
use crate::common::client::Client;
use crate::common::proxy::{Proxy, Weather};
use crate::common::raw::Raw;
use crate::common::within;

#[tokio::test]
async fn r52_who_is_lost_stays_and_the_room_sees_it() {
    let server = TestServer::start(&[]).await;
    let (mut ada, bob) = pair(&server).await;
    let id = bob.id().to_owned();
    let proxy = Proxy::before(server.address).await;
    let mut zoe = Client::connect(proxy.address, "r").await.unwrap();
    zoe.join("Zoe").await;
    ada.expect("peer_joined").await;
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    expect_link(&mut zoe, &id, "lost").await;
    // A snapshot contains the connection state, too.
    let late = server.join("r", "Late").await;
    let peers = late.welcome["peers"].as_array().unwrap().clone();
    assert_eq!(peers.iter().find(|peer| peer["id"] == *id).unwrap()["link"], "lost");
    assert_eq!(peers.iter().filter(|peer| peer.get("link").is_some()).count(), 1, "{peers:?}");
    ada.expect("peer_joined").await;
    // Resets, half-closed connections and close codes without `leave` all have the same effect.
    let zoe_id = zoe.id().to_owned();
    proxy.cut().await;
    expect_link(&mut ada, &zoe_id, "lost").await;
    for half_closed in [true, false] {
        let mut eve = Client::connect(proxy.address, "r").await.unwrap();
        eve.join("Eve").await;
        ada.expect("peer_joined").await;
        proxy.set(Weather { half_closed, cut: !half_closed, ..Weather::default() });
        expect_link(&mut ada, eve.id(), "lost").await;
        proxy.set(Weather::default());
    }
    assert_eq!(server.metric("roundtable_members").await, 6);
}

#[tokio::test]
async fn r52_who_does_not_come_back_in_time_leaves() {
    let server =
        TestServer::start(&[("ROUNDTABLE_RESUME_WINDOW", "300ms"), ("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    let (mut ada, bob) = pair(&server).await;
    let id = bob.id().to_owned();
    let returning = Returning::of(&bob);
    let begun = Instant::now();
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&json!(id), &json!("closed")));
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let mut late = returning.to(&server).await;
    let welcome = late.expect("welcome").await;
    assert_eq!(welcome["not_resumed"], "resume_expired");
    assert_eq!((&welcome["self"], &welcome["resumed"]), (&json!(id), &json!(true)), "the ID changed");
    ada.expect("peer_joined").await;
    drop((ada, late));
    server.metric_becomes("roundtable_rooms", 0).await;
}

#[test]
fn r52_the_window_is_twenty_seconds() {
    assert_eq!(crate::common::config(&[]).resume_window, Duration::from_secs(20));
}

#[tokio::test]
async fn r52_a_goodbye_is_no_loss() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    bob.send(json!({"type": "leave"})).await;
    assert_eq!(ada.expect("peer_left").await["reason"], "left");
    let zoe = server.join("r", "Zoe").await;
    ada.expect("peer_joined").await;
    zoe.close().await;
    assert_eq!(ada.expect("peer_left").await["reason"], "closed");
}

#[tokio::test]
async fn r52_what_waits_for_who_is_lost_is_bounded() {
    let server = TestServer::start(&[("ROUNDTABLE_OUTBOX_MESSAGES", "8"), ("ROUNDTABLE_MESSAGE_RATE", "0")]).await;
    let (mut ada, bob) = pair(&server).await;
    let (id, resume) = (bob.id().to_owned(), bob.welcome["resume"].clone());
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    // The announcement of its own disconnect is the first of eight messages.
    for data in 0..7 {
        ada.send(json!({"type": "signal", "to": id, "data": data})).await;
    }
    ada.expect_nothing().await;
    ada.send(json!({"type": "signal", "to": id, "data": "too much"})).await;
    ada.expect_nothing().await;
    assert_eq!(server.metric("roundtable_slow_consumers_total").await, 1);
    // The member remains, but its session cannot be resumed.
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "Bob", "resume": resume, "last_seq": 0})).await;
    assert_eq!(again.welcome["not_resumed"], "resume_lost");
    assert_eq!(ada.expect("peer_left").await["reason"], "superseded");
}

#[tokio::test]
async fn r53_who_comes_back_gets_exactly_what_it_missed() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let id = bob.id().to_owned();
    bob.send(json!({"type": "broadcast", "data": "mine", "seq": 1})).await;
    ada.expect("broadcast").await;
    ada.send(json!({"type": "signal", "to": id, "data": "before"})).await;
    assert_eq!(bob.expect("signal").await["data"], "before");
    let returning = Returning::of(&bob);
    // Sent but never read.
    ada.send(json!({"type": "signal", "to": id, "data": "sent"})).await;
    ada.expect_nothing().await;
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    ada.send(json!({"type": "broadcast", "data": "while away"})).await;
    ada.send(json!({"type": "state", "state": {"hand": true}})).await;
    ada.expect("state").await;

    // A client may resume repeatedly, from any number that it reports.
    for round in 0..3 {
        let mut bob = returning.to(&server).await;
        let resumed = bob.expect("resumed").await;
        assert_eq!(resumed, json!({"type": "resumed", "self": id, "ack": 1}));
        assert_eq!(bob.expect("signal").await["data"], "sent");
        expect_link(&mut bob, &id, "lost").await;
        assert_eq!(bob.expect("broadcast").await["data"], "while away");
        assert_eq!(bob.expect("state").await["state"]["hand"], true);
        for _ in 0..round {
            expect_link(&mut bob, &id, "ok").await;
            expect_link(&mut bob, &id, "lost").await;
        }
        expect_link(&mut bob, &id, "ok").await;
        expect_link(&mut ada, &id, "ok").await;
        bob.expect_nothing().await;
        // A repeated message is processed once, and a new one is processed.
        bob.send(json!({"type": "broadcast", "data": "mine", "seq": 1})).await;
        bob.send(json!({"type": "ping"})).await;
        bob.expect("pong").await;
        ada.expect_nothing().await;
        drop(bob);
        expect_link(&mut ada, &id, "lost").await;
    }
}

#[tokio::test]
async fn r53_a_connection_that_is_still_there_is_superseded_unseen() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let proxy = Proxy::before(server.address).await;
    let mut bob = Client::connect(proxy.address, "r").await.unwrap();
    bob.join("Bob").await;
    ada.expect("peer_joined").await;
    // The network drops all data, and the server does not notice.
    proxy.set(Weather { deaf_client: true, deaf_server: true, ..Weather::default() });
    bob.send(json!({"type": "broadcast", "data": "swallowed", "seq": 1})).await;
    for data in 0..20 {
        ada.send(json!({"type": "broadcast", "data": data})).await;
    }
    let mut new = Returning::of(&bob).to(&server).await;
    assert_eq!(new.expect("resumed").await["ack"], 0);
    for data in 0..20 {
        assert_eq!(new.expect("broadcast").await["data"], data);
    }
    new.send(json!({"type": "broadcast", "data": "swallowed", "seq": 1})).await;
    assert_eq!(ada.expect("broadcast").await["data"], "swallowed");
    // Data that the network delayed arrives late, from a session that has ended.
    proxy.set(Weather::default());
    assert_eq!(bob.skip_to_close().await, Some(4004));
    drop(bob);
    server.metric_becomes("roundtable_sockets", 2).await;
    ada.expect_nothing().await;
    new.expect_nothing().await;
}

#[tokio::test]
async fn r53_nothing_is_lost_through_a_network_that_cuts_and_delays() {
    const MESSAGES: u64 = 300;
    let server = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "0"), ("ROUNDTABLE_REPLAY_MESSAGES", "1024")]).await;
    let mut ada = server.join("r", "Ada").await;
    let proxy = Proxy::before(server.address).await;
    let mut bob = Client::connect(proxy.address, "r").await.unwrap();
    bob.join("Bob").await;
    ada.expect("peer_joined").await;
    let returning = Returning::of(&bob);
    let to = bob.id().to_owned();
    // Some messages are in transit at each cut; the others are sent between the cuts.
    let (arrived, mut arrivals) = tokio::sync::watch::channel(0);
    let sending = async {
        for data in 0..MESSAGES {
            arrivals.wait_for(|arrived| data < arrived + 10).await.unwrap();
            ada.send(json!({"type": "signal", "to": to, "data": data})).await;
        }
    };
    let receiving = async {
        let (mut next, mut cuts, mut last) = (0, 0_usize, bob.last);
        while next < MESSAGES {
            // Each connection is cut after a few more bytes than the one before, mostly within a frame.
            let delay = Duration::from_millis(cuts as u64 % 3);
            proxy.set(Weather { cut_after: Some(1_000 + 17 * cuts), delay, ..Weather::default() });
            drop(bob);
            cuts += 1;
            let Ok(connected) = Client::connect(proxy.address, "r").await else { panic!("the upgrade is short") };
            bob = Returning { last, resume: returning.resume.clone() }.on(connected).await;
            while next < MESSAGES {
                let Some(message) = bob.next_message().await else { break };
                match message["type"].as_str().unwrap() {
                    "signal" => {
                        assert_eq!(message["data"], next, "lost, repeated or out of order");
                        next += 1;
                        arrived.send_replace(next);
                    }
                    "resumed" | "link" => {}
                    other => panic!("{other}: {message}"),
                }
            }
            last = bob.last;
        }
        cuts
    };
    let ((), cuts) = within("all messages", async { tokio::join!(sending, receiving) }).await;
    assert!(cuts > 10, "only {cuts} cuts");
}

#[tokio::test]
async fn r54_why_a_session_does_not_go_on_is_told() {
    let server = TestServer::start(&[("ROUNDTABLE_REPLAY_MESSAGES", "4")]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let returning = Returning::of(&bob);
    for data in 0..5 {
        ada.send(json!({"type": "broadcast", "data": data})).await;
        bob.expect("broadcast").await;
    }
    let id = bob.id().to_owned();
    let mut kept = Vec::new();
    // One more than the replay buffer holds, and one more than was ever sent.
    for last in [returning.last, bob.last + 1] {
        let mut again = Returning { last, resume: returning.resume.clone() }.to(&server).await;
        let welcome = again.expect("welcome").await;
        assert_eq!((&welcome["self"], &welcome["resumed"]), (&json!(id), &json!(true)));
        let why = &welcome["not_resumed"];
        // The second time, the secret belongs to a session that has ended.
        assert_eq!(why, "resume_lost");
        assert_eq!(ada.expect("peer_left").await["reason"], "superseded");
        ada.expect("peer_joined").await;
        kept.push(again);
    }
    let mut stranger = server.connect("r").await;
    stranger.join_with(json!({"type": "join", "name": "Eve", "resume": "no secret", "last_seq": 3})).await;
    assert_eq!(
        (&stranger.welcome["not_resumed"], &stranger.welcome["resumed"]),
        (&json!("resume_invalid"), &json!(false))
    );
    ada.expect("peer_joined").await;
    // Clients that did not request to resume get no reason, and neither do new ones.
    let mut plain = server.connect("r").await;
    plain.join_with(json!({"type": "join", "name": "Bob", "resume": returning.resume})).await;
    assert_eq!((plain.id(), plain.welcome.get("not_resumed")), (&*id, None));
    assert_eq!(ada.welcome.get("not_resumed"), None);
}

#[tokio::test]
async fn r54_another_server_with_the_same_key_keeps_the_id_alone() {
    let settings = [("ROUNDTABLE_RESUME_KEY", "a key for both of them, long enough")];
    let (one, two) = (TestServer::start(&settings).await, TestServer::start(&settings).await);
    let ada = one.join("r", "Ada").await;
    let mut again = Returning::of(&ada).to(&two).await;
    let welcome = again.expect("welcome").await;
    assert_eq!((&welcome["self"], &welcome["not_resumed"]), (&json!(ada.id()), &json!("resume_expired")));
    // The client never received this `welcome`: its numbers refer to the first server and must not match by chance.
    let mut more = two.join("r", "Bob").await;
    more.send(json!({"type": "broadcast", "data": 1})).await;
    more.expect_nothing().await;
    let mut third = Returning::of(&ada).to(&two).await;
    assert_eq!(third.expect("welcome").await["not_resumed"], "resume_lost");
}

#[tokio::test]
async fn r54_who_had_to_wait_is_told_too() {
    let settings = [("ROUNDTABLE_RESUME_KEY", "a key for both of them, long enough")];
    let (one, two) = (TestServer::start(&settings).await, TestServer::start(&settings).await);
    let bob = one.join("r", "Bob").await;
    let mut ada = two.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "settings": {"lobby": true}})).await;
    let mut again = Returning::of(&bob).to(&two).await;
    again.expect("waiting").await;
    ada.expect("lobby").await;
    ada.send(json!({"type": "moderate", "action": "admit", "to": bob.id()})).await;
    let welcome = again.expect("welcome").await;
    let told = (&welcome["self"], &welcome["resumed"], &welcome["not_resumed"]);
    assert_eq!(told, (&json!(bob.id()), &json!(true), &json!("resume_expired")));
}

#[tokio::test]
async fn r12_who_is_lost_is_superseded_by_a_plain_client() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let (raw, welcome) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    drop(raw);
    ada.expect("link").await;
    let mut new = server.connect("r").await;
    new.join_with(json!({"type": "join", "name": "Bob", "resume": welcome["resume"]})).await;
    assert_eq!(ada.expect("peer_left").await["reason"], "superseded");
    assert_eq!(ada.expect("peer_joined").await["peer"]["id"], welcome["self"]);
    ada.expect_nothing().await;
}
