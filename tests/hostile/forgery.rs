//! Impersonation: forged senders, stolen and outdated secrets, and IDs from other rooms.

use std::time::{Duration, SystemTime};

use roundtable::access::{OriginProofs, PROOF_LIFETIME, ResumeKey};
use roundtable::protocol::{PeerId, RoomName};
use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::http;
use crate::common::raw::Raw;
use crate::stage::{MANY, Stage, crowd, room};

/// Joins with a secret, claiming to have received nothing since the start of the session.
async fn come(stage: &Stage, room: &str, secret: &str) -> Client {
    let mut client = stage.client(room).await;
    client.send(json!({"type": "join", "name": "Eve", "resume": secret, "last_seq": 0})).await;
    client
}

fn secret(client: &Client) -> String {
    client.welcome["resume"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn forged_senders() {
    Stage::set(&[])
        .await
        .under("forged senders", async |stage| {
            let room = room();
            let (mut eve, mut ada) = (stage.member(&room).await, stage.member(&room).await);
            eve.expect("peer_joined").await;
            let (own, to, other) = (eve.id().to_owned(), ada.id().to_owned(), stage.bystander());
            for text in [
                format!(r#"{{"type":"signal","from":"{other}","to":"{to}","data":1}}"#),
                format!(r#"{{"from":"{to}","type":"signal","to":"{to}","data":1,"self":"{other}"}}"#),
                format!(r#"{{"type":"broadcast","from":"{other}","data":1,"seq_from":"{other}"}}"#),
                format!(r#"{{"type":"broadcast","data":1,"peer":{{"id":"{other}"}},"from":null}}"#),
                format!(r#"{{"type":"broadcast","data":1}}{{"type":"broadcast","from":"{other}","data":1}}"#),
            ] {
                eve.send_text(&text).await;
            }
            for kind in ["signal", "signal", "broadcast", "broadcast"] {
                assert_eq!(ada.expect(kind).await, json!({"type": kind, "from": own, "data": 1}));
            }
            eve.expect_error("bad_json").await;
            // The state is attributed to its sender, regardless of the forged ID.
            eve.send(json!({"type": "state", "id": to, "state": {"hand": true}})).await;
            assert_eq!(ada.expect("state").await["id"], own);
            ada.expect_nothing().await;
        })
        .await;
}

#[tokio::test]
async fn ids_of_another_room() {
    Stage::set(&[])
        .await
        .under("IDs of another room", async |stage| {
            // The creator of a room is its host, but has no rights in other rooms.
            let room = room();
            let mut eve = stage.member(&room).await;
            let id = stage.bystander();
            for message in [
                json!({"type": "signal", "to": id, "data": 1}),
                json!({"type": "moderate", "action": "remove", "to": id}),
                json!({"type": "moderate", "action": "role", "to": id, "role": "listener"}),
                json!({"type": "moderate", "action": "switch_off", "to": id, "what": "mic"}),
                json!({"type": "moderate", "action": "ask", "to": id, "ask": "mute"}),
                json!({"type": "moderate", "action": "admit", "to": id}),
                json!({"type": "moderate", "action": "refuse", "to": id}),
            ] {
                eve.send(message).await;
                eve.expect_error("peer_not_found").await;
            }
            let goodbye = async |room: &str, resume: &str| {
                let body = json!({"room": room, "resume": resume}).to_string();
                http::post_over(stage.tcp().await, "", "/signal-api/v1/leave", &body).await.status
            };
            let own = secret(&eve);
            assert_eq!(goodbye("bystanders", &own).await, 403);
            assert_eq!(goodbye(&room, &own.replace(eve.id(), id)).await, 403);
            eve.expect_nothing().await;
        })
        .await;
}

#[tokio::test]
async fn secrets_of_others_and_of_earlier() {
    Stage::set(&[]).await.under("replayed secrets", async |stage| replayed(stage).await).await;
}

async fn replayed(stage: &Stage) {
    let (here, there) = (room(), room());
    let mut host = stage.member(&here).await;
    let mut ada = stage.member(&here).await;
    host.expect("peer_joined").await;
    let eve = stage.member(&there).await;

    // None of these is Ada's secret: whoever presents one joins as a stranger with a new ID, and Ada is not affected.
    let (own, foreign) = (secret(&ada), secret(&eve));
    let id: PeerId = serde_json::from_value(json!(ada.id())).unwrap();
    let other_key = ResumeKey::new(b"another server").issue(&RoomName::new(&here).unwrap(), id, 1);
    let (body, last) = own.split_at(own.len() - 1);
    for forged in [
        foreign.clone(),
        foreign.replace(eve.id(), ada.id()),
        other_key,
        format!("{body}{}", if last == "0" { "1" } else { "0" }),
        own.to_uppercase(),
        format!("{}.", ada.id()),
    ] {
        let mut thief = come(stage, &here, &forged).await;
        let welcome = thief.expect("welcome").await;
        assert_eq!(
            (&welcome["resumed"], &welcome["not_resumed"]),
            (&json!(false), &json!("resume_invalid")),
            "{forged}"
        );
        assert!(welcome["self"] != ada.id() && welcome["self"] != eve.id() && welcome["self"] != host.id());
        for member in [&mut ada, &mut host] {
            assert_eq!(member.expect("peer_joined").await["peer"]["id"], welcome["self"]);
        }
        thief.send(json!({"type": "leave"})).await;
        for member in [&mut ada, &mut host] {
            assert_eq!(member.expect("peer_left").await["id"], welcome["self"]);
        }
    }

    // An ended session stays ended: its secret returns none of its messages.
    host.send(json!({"type": "signal", "to": ada.id(), "data": "for the first stay"})).await;
    ada.expect("signal").await;
    ada.send(json!({"type": "leave"})).await;
    assert_eq!(ada.expect_close().await, Some(1000));
    host.expect("peer_left").await;
    let mut again = come(stage, &here, &own).await;
    fresh(&again.expect("welcome").await, ada.id(), "resume_expired");
    host.expect("peer_joined").await;

    // The secret of an earlier session does not give access to messages of the next one.
    let mut second = come(stage, &here, &own).await;
    let welcome = second.expect("welcome").await;
    fresh(&welcome, ada.id(), "resume_lost");
    assert_eq!(again.skip_to_close().await, Some(4004));
    host.expect("peer_left").await;
    host.expect("peer_joined").await;
    second.expect_nothing().await;

    // A removed member is not admitted by its secret.
    host.send(json!({"type": "moderate", "action": "remove", "to": ada.id()})).await;
    assert_eq!(second.skip_to_close().await, Some(4008));
    host.expect("peer_left").await;
    let mut back = come(stage, &here, welcome["resume"].as_str().unwrap()).await;
    assert_eq!(back.expect_close().await, Some(4008));
    host.expect_nothing().await;
}

fn fresh(welcome: &Value, id: &str, why: &str) {
    assert_eq!((&welcome["self"], &welcome["not_resumed"]), (&json!(id), &json!(why)));
}

/// A malicious website in its visitors' browsers, which send its origin and cannot read a proof (R92).
#[tokio::test]
async fn pages_of_another_site() {
    const KEY: &str = "the key of all resume secrets of this server";
    let proof =
        |key: &str, age| OriginProofs::new(&ResumeKey::new(key.as_bytes())).issue(SystemTime::now() - age, [7; 8]);
    let expired = proof(KEY, PROOF_LIFETIME + Duration::from_secs(1));
    let foreign = proof("another key", Duration::ZERO);
    let later = format!("ffffffffffffffff{}", &expired[16..]);
    let huge = "f".repeat(60_000);
    Stage::set(&[("ROUNDTABLE_RESUME_KEY", KEY)])
        .await
        .under("pages of another site", async |stage| {
            let member = stage.member(&room()).await;
            let resume = secret(&member);
            let proofs = [None, Some(&*expired), Some(&foreign), Some(&later), Some(&huge), Some(&resume), Some("")];
            crowd(
                MANY,
                proofs.iter().cycle().take(10 * proofs.len()).map(|proof| async move {
                    let headers = "Origin: https://evil.example\r\nCookie: a=b\r\n";
                    let mut page = Raw::over(stage.tcp().await, "bystanders", headers, b"").await;
                    page.text(&json!({"type": "join", "name": "Eve", "proof": proof}).to_string()).await;
                    assert_eq!(page.message().await["code"], "origin_not_allowed");
                    assert_eq!(page.close_code().await, 4012);
                }),
            )
            .await;
        })
        .await;
}
