//! R5 to R13: from the upgrade to membership.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::common::client::Client;
use crate::common::http::ask;
use crate::common::raw::{CLOSE, Raw};
use crate::common::{TestServer, eventually, within};

#[tokio::test]
async fn r5_before_join_there_is_only_ping_and_leave() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    for message in [
        json!({"type": "signal", "to": "AAAAAAAAAAAAAAAAAAAA", "data": 1, "ref": 1}),
        json!({"type": "broadcast", "data": 1, "ref": 2}),
        json!({"type": "state", "state": {}, "ref": 3}),
        json!({"type": "sync", "ref": 4}),
    ] {
        ada.send(message.clone()).await;
        let error = ada.expect_error("join_first").await;
        assert_eq!((&error["re"], &error["ref"]), (&message["type"], &message["ref"]));
    }
    ada.send(json!({"type": "ping", "ref": 5})).await;
    assert_eq!(ada.expect("pong").await["ref"], 5);
    ada.join("Ada").await;

    let mut bob = server.connect("r").await;
    bob.send(json!({"type": "leave"})).await;
    assert_eq!(bob.expect_close().await, Some(1000));
}

#[tokio::test]
async fn r6_white_space_around_a_name_is_removed() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    for (name, shown) in [(" Grace\t\n", "Grace"), ("\u{3000}圆 桌\u{a0}", "圆 桌"), ("👩‍👩‍👧", "👩‍👩‍👧")]
    {
        let bob = server.join("r", name).await;
        assert_eq!(ada.expect("peer_joined").await["peer"]["name"], shown);
        bob.close().await;
        ada.expect("peer_left").await;
    }
}

#[tokio::test]
async fn r6_a_bad_name_may_be_tried_again() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    let long = "圆".repeat(65);
    let bad = [
        "",
        "  ",
        "A\u{0}",
        "A\u{7f}",
        "A\u{85}a",
        "A\u{2028}a",
        "A\u{2029}a",
        "A\u{202a}",
        "A\u{202e}",
        "A\u{2066}",
        "A\u{2069}",
        &long,
    ];
    for name in bad {
        ada.send(json!({"type": "join", "name": name, "ref": name.len()})).await;
        let error = ada.expect_error("name_invalid").await;
        assert_eq!((&error["re"], &error["ref"]), (&json!("join"), &json!(name.len())), "{name:?}");
    }
    ada.join(&"圆".repeat(64)).await;
}

/// The complete lists are tests/fixtures/names.json and rooms.json, which the page's tests read too.
#[tokio::test]
async fn r96_a_name_that_cannot_be_seen_is_rejected_for_rooms_and_people() {
    let server = TestServer::start(&[]).await;
    let mut eve = server.connect("r").await;
    let stacked = format!("a{}", "\u{301}".repeat(5));
    for name in ["\u{200b}", "\u{3164}", "\u{2800}", "\u{200d}", "A\u{2060}da", "A\u{200f}da", &stacked] {
        eve.send(json!({"type": "join", "name": name})).await;
        eve.expect_error("name_invalid").await;
        let path: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let room = ask(server.address, "GET", &format!("/signal-api/v1/rooms/{path}"), &[]).await;
        assert_eq!((room.status, &room.json()["code"]), (400, &json!("ROOM_INVALID")), "{name:?}");
    }
    eve.join("👩\u{200d}💻").await;
}

#[tokio::test]
async fn r7_welcome_brings_everything_to_start_with() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ROOM_MEMBERS", "7"),
        ("ROUNDTABLE_ICE_URLS", "stun:s.example:3478, turn:t.example:3478?transport=udp"),
        ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north"),
        ("TZ", "Asia/Shanghai"),
    ])
    .await;
    for name in ["Ada", "Grace", "Alan"] {
        let mut member = server.connect("圆桌").await;
        member.join_with(json!({"type": "join", "name": name, "state": {"mic": name == "Ada", "level": 0.5}})).await;
        // Kept open until the end of the test.
        std::mem::forget(member);
    }
    let zoe = server.join("圆桌", "Zoe").await;
    let mut welcome = zoe.welcome.clone();
    let names: Vec<_> = welcome["peers"].as_array().unwrap().iter().map(|peer| &peer["name"]).collect();
    assert_eq!(names, ["Ada", "Grace", "Alan"], "not in the order of joining");
    let ada = &welcome["peers"][0];
    assert_eq!(*ada, json!({"id": ada["id"], "name": "Ada", "role": "host", "state": {"mic": true, "level": 0.5}}));

    let instance = welcome["server"]["instance"].take();
    assert!(instance.as_str().is_some_and(|id| id.len() == 16), "{instance}");
    let time = welcome["server"]["time"].take();
    let time = time.as_str().unwrap();
    assert!(time.len() == "2026-01-02T11:04:05.678+08:00".len() && time.ends_with("+08:00"), "{time}");
    let turn = welcome["ice_servers"][1].take();
    assert_eq!(turn["urls"], json!(["turn:t.example:3478?transport=udp"]));
    assert!(turn["username"].as_str().unwrap().contains(':') && turn["credential"].is_string(), "{turn}");
    for unknown in ["peers", "resume", "self"] {
        welcome[unknown].take();
    }
    let expected = json!({
        "type": "welcome", "self": null, "room": "圆桌", "version": 4, "peers": null, "role": "participant",
        "settings": {"locked": false, "lobby": false, "talk": false}, "resume": null, "resumed": false,
        "ice_servers": [{"urls": ["stun:s.example:3478"]}, null],
        "limits": {"message_bytes": 65536, "name_chars": 64, "state_keys": 16, "room_members": 7},
        "heartbeat_seconds": 25, "quality_seconds": 10, "features": ["hosts", "resume", "session", "state", "sync"],
        "server": {"name": "roundtable", "version": env!("CARGO_PKG_VERSION"), "time": null,
            "instance": null, "cluster": false},
    });
    assert_eq!(welcome, expected);
}

#[tokio::test]
async fn r8_ids_are_twenty_characters_and_never_the_same() {
    let settings = [("ROUNDTABLE_ROOM_MEMBERS", "500"), ("ROUNDTABLE_ADDRESS_JOINS", "0")];
    let server = TestServer::start(&settings).await;
    let mut ids = HashSet::new();
    let mut characters = HashSet::new();
    for _ in 0..200 {
        let client = server.join("r", "Ada").await;
        assert!(
            client.id().len() == 20 && client.id().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        characters.extend(client.id().chars());
        assert!(ids.insert(client.id().to_owned()), "{} twice", client.id());
    }
    // The probability that 4,000 random characters lack one of 64 is below 10^-25.
    assert_eq!(characters.len(), 64);
}

#[tokio::test]
async fn r9_a_second_join_is_refused_and_the_first_one_stands() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    bob.send(json!({"type": "join", "name": "Robert", "state": {"mic": true}, "ref": "again"})).await;
    let error = bob.expect_error("already_joined").await;
    assert_eq!((&error["re"], &error["ref"]), (&json!("join"), &json!("again")));
    ada.send(json!({"type": "sync"})).await;
    let roster = ada.expect("roster").await;
    assert_eq!(roster["peers"], json!([{"id": bob.id(), "name": "Bob", "role": "participant", "state": {}}]));
}

#[tokio::test]
async fn r10_a_full_room_refuses_and_has_a_place_again_when_somebody_leaves() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "2")]).await;
    let (mut ada, bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    let mut eve = server.connect("r").await;
    eve.send(json!({"type": "join", "name": "Eve", "ref": 1})).await;
    let error = eve.expect_error("room_full").await;
    assert_eq!((&error["re"], &error["ref"]), (&json!("join"), &json!(1)));
    assert_eq!(eve.expect_close().await, Some(4003));
    ada.expect_nothing().await;

    // A reconnecting member takes no second place.
    let mut again = server.connect("r").await;
    again.join_with(json!({"type": "join", "name": "Bob", "resume": bob.welcome["resume"]})).await;
    assert_eq!(again.welcome["resumed"], true);
    ada.expect("peer_left").await;
    ada.expect("peer_joined").await;
    again.close().await;
    ada.expect("peer_left").await;
    server.join("r", "Eve").await;
}

#[tokio::test]
async fn r10_a_full_server_refuses_the_upgrade() {
    let server = TestServer::start(&[("ROUNDTABLE_CONNECTIONS", "1")]).await;
    let ada = server.join("r", "Ada").await;
    match Client::connect(server.address, "s").await.map(drop) {
        Err(Error::Http(answer)) => {
            let body: Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
            assert_eq!((answer.status().as_u16(), body["code"].as_str()), (503, Some("SERVER_FULL")));
            assert!(answer.headers().contains_key("retry-after"));
        }
        other => panic!("{other:?}"),
    }
    // The sample existed before with the value 0: see tests/metrics.rs.
    let refused = r#"roundtable_http_requests_total{route="/signal-api/ws",method="GET",status="503"}"#;
    assert_eq!(server.metric(refused).await, 1);
    ada.close().await;
    eventually("a place", async || Client::connect(server.address, "s").await.is_ok()).await;
}

#[tokio::test]
async fn r11_a_resume_secret_gives_the_same_id_again() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let bob = server.join("r", "Bob").await;
    let (id, secret) = (bob.id().to_owned(), bob.welcome["resume"].clone());
    ada.expect("peer_joined").await;
    bob.close().await;
    assert_eq!(ada.expect("peer_left").await["id"], *id);

    let mut again = server.connect("r").await;
    again.join_with(json!({"type": "join", "name": "Robert", "state": {"mic": true}, "resume": secret})).await;
    assert_eq!((again.id(), &again.welcome["resumed"]), (&*id, &json!(true)));
    let peer = json!({"id": id, "name": "Robert", "role": "participant", "state": {"mic": true}});
    assert_eq!(ada.expect("peer_joined").await["peer"], peer);
}

#[tokio::test]
async fn r11_a_secret_that_is_not_valid_is_a_fresh_join() {
    let server = TestServer::start(&[]).await;
    let elsewhere = server.join("s", "Ada").await;
    let right = elsewhere.welcome["resume"].as_str().unwrap().to_owned();
    let long = "x".repeat(60_000);
    for secret in ["", ".", "no", &right, &right.to_uppercase(), &right[1..], &long] {
        let mut ada = server.connect("r").await;
        ada.join_with(json!({"type": "join", "name": "Ada", "resume": secret})).await;
        assert_eq!(ada.welcome["resumed"], false);
        assert_ne!(ada.id(), elsewhere.id());
    }
}

#[tokio::test]
async fn r11_with_a_key_of_its_own_a_secret_outlives_the_server() {
    let settings = [("ROUNDTABLE_RESUME_KEY", "a key for both of them, long enough")];
    let (one, two) = (TestServer::start(&settings).await, TestServer::start(&settings).await);
    let ada = one.join("r", "Ada").await;
    let mut again = two.connect("r").await;
    again.join_with(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
    assert_eq!((again.id(), &again.welcome["resumed"]), (ada.id(), &json!(true)));

    let mut stranger = TestServer::start(&[]).await.connect("r").await;
    stranger.join_with(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
    assert_eq!(stranger.welcome["resumed"], false);
}

#[tokio::test]
async fn r12_the_new_connection_supersedes_the_old_one() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let (mut old, welcome) = Raw::join(&server, "r", "Bob").await;
    ada.expect("peer_joined").await;
    let mut new = server.connect("r").await;
    new.join_with(json!({"type": "join", "name": "Bob", "resume": welcome["resume"]})).await;
    assert_eq!(new.welcome["self"], welcome["self"]);
    assert_eq!(new.welcome["peers"].as_array().unwrap().len(), 1, "the member's own entry is in the roster");

    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&welcome["self"], &json!("superseded")));
    assert_eq!(ada.expect("peer_joined").await["peer"]["id"], welcome["self"]);

    // From now on, messages and the end of the old connection have no effect.
    for text in [r#"{"type":"broadcast","data":1}"#, r#"{"type":"state","state":{"mic":true}}"#, r#"{"type":"leave"}"#]
    {
        old.text(text).await;
    }
    assert_eq!(old.close_code().await, 4004);
    assert_eq!(old.read().await, None);
    drop(old);
    server.metric_becomes("roundtable_sockets", 2).await;
    ada.expect_nothing().await;
    new.expect_nothing().await;
}

#[tokio::test]
async fn r13_who_does_not_join_in_time_is_closed() {
    let server = TestServer::start(&[("ROUNDTABLE_JOIN_TIMEOUT", "200ms")]).await;
    let begun = Instant::now();
    let mut ada = server.join("r", "Ada").await;
    let mut silent = Raw::connect(&server, "r").await;
    let mut busy = Raw::connect(&server, "r").await;
    assert_eq!(silent.close_code().await, 4001);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    // Other messages do not extend the time to join.
    within("the end of a connection that only pings", async {
        loop {
            busy.text(r#"{"type":"ping"}"#).await;
            if busy.read().await.is_none_or(|(opcode, _)| opcode == CLOSE) {
                break;
            }
        }
    })
    .await;
    ada.expect_nothing().await;
}

#[test]
fn r13_the_time_to_join_is_ten_seconds() {
    assert_eq!(crate::common::config(&[]).join_timeout, Duration::from_secs(10));
}
