//! R14 to R17: all members see joins and leaves in the same order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;
use crate::common::raw::{FIN, Raw, TEXT};

#[tokio::test]
async fn r14_each_change_raises_the_version_by_one() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    assert_eq!(ada.version(), 1);
    let mut bob = server.join("r", "Bob").await;
    assert_eq!(bob.version(), 2);
    let joined = ada.expect("peer_joined").await;
    let peer = json!({"id": bob.id(), "name": "Bob", "role": "participant", "state": {}});
    assert_eq!(joined, json!({"type": "peer_joined", "version": 2, "peer": peer}));
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    for member in [&mut ada, &mut bob] {
        assert_eq!(member.expect("state").await["version"], 3);
    }
    let id = bob.id().to_owned();
    bob.close().await;
    let left = ada.expect("peer_left").await;
    assert_eq!(left, json!({"type": "peer_left", "version": 4, "id": id, "reason": "closed"}));
}

/// Roster changes that a member received, by version.
type Log = BTreeMap<u64, Value>;

fn record(log: &mut Log, message: Value) {
    let version = message["version"].as_u64().expect("a change of the roster");
    if let Some((last, _)) = log.last_key_value() {
        assert_eq!(version, last + 1, "a gap or a repetition");
    }
    log.insert(version, message);
}

/// Joins, records roster changes during some pings, and leaves.
async fn visit(server: &TestServer, name: String, pings: usize) -> (u64, Log) {
    let mut client = server.join("r", &name).await;
    let mut log = Log::new();
    for _ in 0..pings {
        client.send(json!({"type": "ping"})).await;
        loop {
            let message: Value = serde_json::from_str(&client.next_text().await).unwrap();
            if message["type"] == "pong" {
                break;
            }
            record(&mut log, message);
        }
    }
    client.send(json!({"type": "leave"})).await;
    client.drain().await;
    (client.version(), log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r15_everybody_sees_each_join_and_leave_once_and_in_one_order() {
    const VISITORS: usize = 16;
    const VISITS: usize = 8;
    let server = TestServer::start(&[]).await;
    let mut observer = server.join("r", "Observer").await;
    let visits = futures_util::future::join_all((0..VISITORS).map(|visitor| {
        let server = &server;
        async move {
            let mut visits = Vec::new();
            for number in 0..VISITS {
                visits.push(visit(server, format!("{visitor}-{number}"), visitor % 4).await);
            }
            visits
        }
    }));
    let watching = async {
        let mut all = Log::new();
        while all.len() < 2 * VISITORS * VISITS {
            record(&mut all, serde_json::from_str(&observer.next_text().await).unwrap());
        }
        observer.expect_nothing().await;
        all
    };
    let (all, visits) = tokio::join!(watching, visits);

    assert_eq!(all.first_key_value().map(|(version, _)| *version), Some(observer.version() + 1));
    let mut present: BTreeMap<String, Value> = BTreeMap::new();
    let mut joins = 0;
    for message in all.values() {
        if message["type"] == "peer_joined" {
            joins += 1;
            let id = message["peer"]["id"].as_str().unwrap().to_owned();
            assert!(present.insert(id, message["peer"]["name"].clone()).is_none(), "joined twice");
        } else {
            assert_eq!((&message["type"], &message["reason"]), (&json!("peer_left"), &json!("left")));
            assert!(present.remove(message["id"].as_str().unwrap()).is_some(), "left twice or never joined");
        }
    }
    assert_eq!((joins, present.len()), (VISITORS * VISITS, 0));
    let visits: Vec<_> = visits.into_iter().flatten().collect();
    assert!(visits.iter().any(|(_, log)| log.len() > 3), "the visits do not overlap");
    for (version, log) in visits {
        assert_eq!(all[&version]["type"], "peer_joined", "the version of a `welcome` differs from that of the join");
        for (at, message) in log {
            assert!(at > version);
            assert_eq!(message, all[&at], "members received different changes");
        }
    }
}

#[tokio::test]
async fn r15_nothing_of_a_peer_arrives_before_its_join_or_after_its_leave() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let mut raw = Raw::connect(&server, "r").await;
    // In one write: the server receives the last message together with the first.
    for text in [
        r#"{"type":"join","name":"Bob"}"#,
        r#"{"type":"broadcast","data":"in"}"#,
        r#"{"type":"leave"}"#,
        r#"{"type":"broadcast","data":"out"}"#,
    ] {
        raw.frame(FIN | TEXT, text.as_bytes()).await;
    }
    let id = ada.expect("peer_joined").await["peer"]["id"].clone();
    assert_eq!(ada.expect("broadcast").await, json!({"type": "broadcast", "from": id, "data": "in"}));
    assert_eq!(ada.expect("peer_left").await["id"], id);
    assert_eq!(raw.close_code().await, 1000);
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r16_a_reason_tells_how_a_peer_left() {
    let server = TestServer::start(&[("ROUNDTABLE_RESUME_WINDOW", "50ms")]).await;
    let mut ada = server.join("r", "Ada").await;
    // Timeouts and slow consumers have tests of their own (R26 and R18), as does superseding (R12).
    for reason in ["left", "closed", "closed", "protocol_error", "protocol_error"] {
        let (mut raw, welcome) = Raw::join(&server, "r", "Bob").await;
        ada.expect("peer_joined").await;
        match reason {
            "left" => raw.text(r#"{"type":"leave"}"#).await,
            "closed" => drop(raw),
            // A reserved opcode.
            _ => raw.frame(FIN | 0x3, b"").await,
        }
        if reason == "closed" {
            ada.expect("link").await;
        }
        let left = ada.expect("peer_left").await;
        assert_eq!((&left["reason"], &left["id"]), (&json!(reason), &welcome["self"]));
    }
}

#[tokio::test]
async fn r17_sync_is_answered_with_everybody_else_and_the_version() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    ada.send(json!({"type": "sync"})).await;
    let settings = json!({"locked": false, "lobby": false, "talk": false});
    let roster = json!({"type": "roster", "version": 1, "peers": [], "role": "host", "settings": settings});
    assert_eq!(ada.expect("roster").await, roster);

    let mut others: Vec<Client> = Vec::new();
    for name in ["Bob", "Zoe", "Alan"] {
        others.push(server.join("r", name).await);
        ada.expect("peer_joined").await;
    }
    ada.send(json!({"type": "sync"})).await;
    let roster = ada.expect("roster").await;
    let ids: Vec<_> = roster["peers"].as_array().unwrap().iter().map(|peer| peer["id"].as_str().unwrap()).collect();
    assert_eq!(ids, others.iter().map(Client::id).collect::<Vec<_>>(), "not in the order of joining");
    assert_eq!((&roster["version"], &roster["peers"][2]["name"]), (&json!(4), &json!("Alan")));
}
