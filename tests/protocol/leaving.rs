//! R24, R25, R32 and R55: the ends of a session, of a room, and of a server.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::people::{expect_link, pair};
use crate::common::client::Client;
use crate::common::{TestServer, http, within};

#[tokio::test]
async fn r24_leave_is_at_once_and_closes_with_1000() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    bob.send(json!({"type": "leave"})).await;
    assert_eq!(ada.expect("peer_left").await["reason"], "left");
    assert_eq!(bob.expect_close().await, Some(1000));
}

#[tokio::test]
async fn r25_a_room_ends_with_its_last_member_and_nothing_is_kept() {
    let settings = [
        ("ROUNDTABLE_RESUME_WINDOW", "50ms"),
        ("ROUNDTABLE_EMPTY_ROOM_GRACE", "50ms"),
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
    ];
    let server = TestServer::start(&settings).await;
    let room = |name: &str| format!("/signal-api/v1/rooms/{name}");
    for _ in 0..3 {
        let mut members = Vec::new();
        for number in 0..200 {
            members.push(server.join(&format!("r{}", number / 2), "Ada").await);
        }
        assert_eq!(server.get(&room("r99")).await.json()["data"]["members"], 2);
        assert_eq!(server.metric("roundtable_rooms").await, 100);
        assert_eq!(server.metric("roundtable_members").await, 200);
        for (number, member) in members.iter_mut().enumerate() {
            // Some members send `leave`, the others just disconnect.
            if number % 3 == 0 {
                member.send(json!({"type": "leave"})).await;
            }
        }
        drop(members);
        for gauge in ["roundtable_rooms", "roundtable_members", "roundtable_sockets"] {
            server.metric_becomes(gauge, 0).await;
        }
        assert_eq!(server.get(&room("r99")).await.json()["data"]["open"], false);
    }
    // A new room with the same name has no state of the earlier one.
    let ada = server.join("r0", "Ada").await;
    assert_eq!((ada.version(), &ada.welcome["peers"]), (1, &json!([])));
}

#[tokio::test]
async fn r32_a_shutdown_is_told_to_everyone_with_hints_that_differ() {
    let server = TestServer::start(&[]).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(server.join(&format!("r{}", number % 3), "Ada").await);
    }
    for client in &mut clients[..17] {
        // Others joined its room later.
        client.expect("peer_joined").await;
    }
    for _ in 0..5 {
        clients.push(server.connect("r").await);
    }
    let address = server.address;
    let running = server.shut_down();
    let mut hints = BTreeSet::new();
    for client in &mut clients {
        let away = loop {
            let message: serde_json::Value = serde_json::from_str(&client.next_text().await).unwrap();
            if message["type"] != "peer_joined" {
                break message;
            }
        };
        assert_eq!((&away["type"], &away["reason"]), (&json!("go_away"), &json!("shutdown")));
        let hint = away["reconnect_ms"].as_u64().unwrap();
        assert!((500..=5_000).contains(&hint), "{hint}");
        hints.insert(hint);
        // Leaving members are not announced, because all members leave.
        assert_eq!(client.expect_close().await, Some(1012));
    }
    // 25 draws from 4,501 values are practically never equal in more than a few cases.
    assert!(hints.len() >= 20, "{hints:?}");
    drop(clients);
    within("the end of the server", running).await.unwrap();
    assert!(matches!(Client::connect(address, "r").await.map(drop), Err(Error::Io(_))), "the server still listens");
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
    // A second request, and one after a disconnect.
    assert_eq!(post(&server, &goodbye).await.json()["data"]["left"], false);
    let zoe = server.join("r", "Zoe").await;
    ada.expect("peer_joined").await;
    let (id, goodbye) = (zoe.id().to_owned(), json!({"room": "r", "resume": zoe.welcome["resume"]}).to_string());
    drop(zoe);
    expect_link(&mut ada, &id, "lost").await;
    assert_eq!(post(&server, &goodbye).await.json()["data"]["left"], true);
    assert_eq!(ada.expect("peer_left").await["reason"], "left");
    // A late request does not affect the member that has reconnected meanwhile.
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
