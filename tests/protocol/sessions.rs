//! R47 to R55: numbers, acknowledgements, and sessions that outlive their sockets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::http;
use crate::common::proxy::{Proxy, Weather};
use crate::common::raw::Raw;
use crate::common::{TestServer, within};

async fn pair(server: &TestServer) -> (Client, Client) {
    let mut ada = server.join("r", "Ada").await;
    let bob = server.join("r", "Bob").await;
    ada.expect("peer_joined").await;
    (ada, bob)
}

/// Who has a client's secret and knows up to where it got.
struct Returning {
    resume: Value,
    last: u64,
}

impl Returning {
    fn of(client: &Client) -> Self {
        Self { resume: client.welcome["resume"].clone(), last: client.last }
    }

    /// Joins anew; the answer is the next message.
    async fn on(&self, mut client: Client) -> Client {
        client.last = self.last;
        let join = json!({"type": "join", "name": "Again", "resume": self.resume, "last_seq": self.last});
        client.send(join).await;
        client
    }

    async fn to(&self, server: &TestServer) -> Client {
        self.on(server.connect("r").await).await
    }
}

/// What one expects to be told of somebody's link.
async fn expect_link(client: &mut Client, id: &str, link: &str) {
    let message = client.expect("link").await;
    assert_eq!((&message["id"], &message["link"]), (&json!(id), &json!(link)));
}

#[tokio::test]
async fn r47_every_message_from_the_welcome_on_is_numbered_without_a_gap() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    bob.send(json!({"type": "signal", "to": ada.id(), "data": 2})).await;
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    // `Client` demands the next number of each.
    for kind in ["broadcast", "signal", "state"] {
        ada.expect(kind).await;
    }
    assert_eq!(ada.last, 4, "peer_joined was the first");
    ada.send(json!({"type": "dance"})).await;
    ada.expect("error").await;
    assert_eq!(ada.last, 5);
    // Outside the count: what a client that comes back does not miss.
    ada.expect_nothing().await;
    assert_eq!(ada.last, 5);
    assert!(ada.welcome.get("seq").is_none());
}

#[tokio::test]
async fn r48_what_is_acknowledged_is_not_sent_again() {
    let server = TestServer::start(&[("ROUNDTABLE_REPLAY_MESSAGES", "4")]).await;
    let (mut ada, mut bob) = pair(&server).await;
    // Twice as many as are kept, acknowledged one by one: with a message of their own, or with any other.
    for data in 0..8 {
        bob.send(json!({"type": "broadcast", "data": data})).await;
        assert_eq!(ada.expect("broadcast").await["data"], data);
        let mut ack = json!({"type": if data % 2 == 0 { "ack" } else { "ping" }});
        ack["ack"] = json!(ada.last);
        ada.send(ack).await;
        if data % 2 == 1 {
            ada.expect("pong").await;
        }
    }
    let returning = Returning { last: ada.last - 1, ..Returning::of(&ada) };
    let mut late = returning.to(&server).await;
    let welcome = late.expect("welcome").await;
    assert_eq!(welcome["not_resumed"], "resume_lost", "it says it has not got what it acknowledged");
}

#[tokio::test]
async fn r48_an_acknowledgement_of_what_was_never_sent_is_refused() {
    let server = TestServer::start(&[]).await;
    let (mut ada, _bob) = pair(&server).await;
    for text in [r#"{"type":"ack","ack":2}"#, r#"{"type":"ack","ack":18446744073709551615}"#] {
        ada.send_text(text).await;
        assert_eq!(ada.expect_error("out_of_sequence").await["re"], "ack");
        ada.send(json!({"type": "ack", "ack": 1})).await;
        ada.expect_nothing().await;
    }
}

#[tokio::test]
async fn r49_a_gap_is_refused_and_the_number_that_would_be_right_is_told() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    for (seq, right) in [(2, 1), (0, 0), (u64::MAX, 1)] {
        bob.send(json!({"type": "broadcast", "data": seq, "seq": seq, "ref": "x"})).await;
        if right > 0 {
            let error = bob.expect_error("out_of_sequence").await;
            assert_eq!((&error["re"], &error["ref"]), (&json!("broadcast"), &json!("x")));
            assert!(error["message"].as_str().unwrap().contains(&format!("is {right}.")), "{error}");
        }
    }
    bob.send(json!({"type": "broadcast", "data": "right", "seq": 1})).await;
    assert_eq!(ada.expect("broadcast").await["data"], "right");
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r50_what_comes_twice_is_carried_out_once() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let to = ada.id().to_owned();
    for round in 0..3 {
        for seq in 1..=round + 1_u64 {
            bob.send(json!({"type": "signal", "to": to, "data": seq, "seq": seq})).await;
        }
        assert_eq!(ada.expect("signal").await["data"], round + 1);
        ada.expect_nothing().await;
    }
    // What could not be carried out counts all the same, and is answered once.
    for _ in 0..2 {
        bob.send(json!({"type": "dance", "seq": 4})).await;
        bob.send(json!({"type": "ping", "seq": 5})).await;
    }
    bob.expect_error("unknown_type").await;
    bob.expect("pong").await;
    assert_eq!(bob.expect("ack").await["ack"], 5);
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r51_the_server_acknowledges_many_messages_at_once() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let begun = Instant::now();
    for seq in 1..=100 {
        bob.send(json!({"type": "broadcast", "data": seq, "seq": seq})).await;
        ada.expect("broadcast").await;
    }
    let mut acks = Vec::new();
    while acks.last() != Some(&100) {
        acks.push(bob.expect("ack").await["ack"].as_u64().unwrap());
    }
    let most = 4 + begun.elapsed().as_millis() / 500;
    assert!(acks.is_sorted() && acks.len() as u128 <= most, "{acks:?}");
    // A client that numbers nothing is told nothing.
    ada.send(json!({"type": "broadcast", "data": 1})).await;
    let quiet = tokio::time::timeout(Duration::from_millis(700), ada.next_text()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

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
    // A snapshot says it, too.
    let late = server.join("r", "Late").await;
    let peers = late.welcome["peers"].as_array().unwrap().clone();
    assert_eq!(peers.iter().find(|peer| peer["id"] == *id).unwrap()["link"], "lost");
    assert_eq!(peers.iter().filter(|peer| peer.get("link").is_some()).count(), 1, "{peers:?}");
    ada.expect("peer_joined").await;
    // Cut, half closed, or closed with a code that is no goodbye: all the same.
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
    let server = TestServer::start(&[("ROUNDTABLE_RESUME_WINDOW", "300ms")]).await;
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
    assert_eq!((&welcome["self"], &welcome["resumed"]), (&json!(id), &json!(true)), "the id stays");
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
    let id = bob.id().to_owned();
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    // The news of its own loss is the first of eight.
    for data in 0..7 {
        ada.send(json!({"type": "signal", "to": id, "data": data})).await;
    }
    ada.expect_nothing().await;
    ada.send(json!({"type": "signal", "to": id, "data": "too much"})).await;
    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&json!(id), &json!("slow_consumer")));
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
    // Sent, and never read.
    ada.send(json!({"type": "signal", "to": id, "data": "sent"})).await;
    ada.expect_nothing().await;
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    ada.send(json!({"type": "broadcast", "data": "while away"})).await;
    ada.send(json!({"type": "state", "state": {"hand": true}})).await;
    ada.expect("state").await;

    // As often as it likes, from where it says it is.
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
        // What it says again counts once, what is new is carried out.
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
    // The network swallows everything, and the server does not know.
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
    // What the network still had comes late, in the name of a session that is over.
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
    // Some are on their way at each cut, the rest is sent between the cuts.
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
            // Each connection ends after some more bytes than the one before, within a frame mostly.
            let delay = Duration::from_millis(cuts as u64 % 3);
            proxy.set(Weather { cut_after: Some(700 + 17 * cuts), delay, ..Weather::default() });
            drop(bob);
            cuts += 1;
            let Ok(connected) = Client::connect(proxy.address, "r").await else { panic!("the upgrade is short") };
            bob = Returning { last, resume: returning.resume.clone() }.on(connected).await;
            while next < MESSAGES {
                let Some(message) = bob.next_message().await else { break };
                match message["type"].as_str().unwrap() {
                    "signal" => {
                        assert_eq!(message["data"], next, "each once, in order");
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
    // One more than is kept; or more than was ever sent.
    for last in [returning.last, bob.last + 1] {
        let mut again = Returning { last, resume: returning.resume.clone() }.to(&server).await;
        let welcome = again.expect("welcome").await;
        assert_eq!((&welcome["self"], &welcome["resumed"]), (&json!(id), &json!(true)));
        let why = &welcome["not_resumed"];
        // The second time the secret is of a stay that has ended.
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
    // Who did not wish to go on is told nothing; nor is who is new.
    let mut plain = server.connect("r").await;
    plain.join_with(json!({"type": "join", "name": "Bob", "resume": returning.resume})).await;
    assert_eq!((plain.id(), plain.welcome.get("not_resumed")), (&*id, None));
    assert_eq!(ada.welcome.get("not_resumed"), None);
}

#[tokio::test]
async fn r54_another_server_with_the_same_key_keeps_the_id_alone() {
    let settings = [("ROUNDTABLE_RESUME_KEY", "a key for both")];
    let (one, two) = (TestServer::start(&settings).await, TestServer::start(&settings).await);
    let ada = one.join("r", "Ada").await;
    let mut again = Returning::of(&ada).to(&two).await;
    let welcome = again.expect("welcome").await;
    assert_eq!((&welcome["self"], &welcome["not_resumed"]), (&json!(ada.id()), &json!("resume_expired")));
    // Its welcome got lost: the numbers that it has are of the first server, and must not fit by chance.
    let mut more = two.join("r", "Bob").await;
    more.send(json!({"type": "broadcast", "data": 1})).await;
    more.expect_nothing().await;
    let mut third = Returning::of(&ada).to(&two).await;
    assert_eq!(third.expect("welcome").await["not_resumed"], "resume_lost");
}

#[tokio::test]
async fn r54_who_had_to_wait_is_told_too() {
    let settings = [("ROUNDTABLE_RESUME_KEY", "a key for both")];
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

async fn post(server: &TestServer, body: &str) -> http::Answer {
    http::post(server.address, "/signal-api/v1/leave", body).await
}

#[tokio::test]
async fn r55_a_goodbye_over_http_is_a_leave_at_once() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = pair(&server).await;
    let goodbye = json!({"room": "r", "resume": bob.welcome["resume"]}).to_string();
    let answer = post(&server, &goodbye).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"code": "SUCCESS", "data": {"left": true}})));
    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&json!(bob.id()), &json!("left")));
    assert_eq!(bob.expect_close().await, Some(1000));
    // Once more, and after a loss.
    assert_eq!(post(&server, &goodbye).await.json()["data"]["left"], false);
    let zoe = server.join("r", "Zoe").await;
    ada.expect("peer_joined").await;
    let (id, goodbye) = (zoe.id().to_owned(), json!({"room": "r", "resume": zoe.welcome["resume"]}).to_string());
    drop(zoe);
    expect_link(&mut ada, &id, "lost").await;
    assert_eq!(post(&server, &goodbye).await.json()["data"]["left"], true);
    assert_eq!(ada.expect("peer_left").await["reason"], "left");
    // A goodbye that comes late is none to who has come back since.
    let mut back = server.connect("r").await;
    let resume = serde_json::from_str::<Value>(&goodbye).unwrap()["resume"].clone();
    back.join_with(json!({"type": "join", "name": "Zoe", "resume": resume})).await;
    ada.expect("peer_joined").await;
    assert_eq!(post(&server, &goodbye).await.json()["data"]["left"], false);
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r55_a_goodbye_that_is_none_has_its_code() {
    let server = TestServer::start(&[]).await;
    let (mut ada, bob) = pair(&server).await;
    let resume = bob.welcome["resume"].as_str().unwrap();
    for (body, status, code) in [
        (String::new(), 400, "BODY_INVALID"),
        ("{}".into(), 400, "BODY_INVALID"),
        ("x".repeat(4_000), 400, "BODY_INVALID"),
        (json!({"room": "", "resume": resume}).to_string(), 400, "ROOM_INVALID"),
        (json!({"room": "s", "resume": resume}).to_string(), 403, "RESUME_INVALID"),
        (json!({"room": "r", "resume": "guessed"}).to_string(), 403, "RESUME_INVALID"),
    ] {
        let answer = post(&server, &body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{body}");
    }
    assert_eq!(server.get("/signal-api/v1/leave").await.status, 405);
    ada.expect_nothing().await;
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
