//! Golden messages of tests/fixtures, which Vitest reads too: the server accepts and sends exactly what the frontend is
//! tested with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use roundtable::protocol::client::{Request, parse};
use roundtable::protocol::{PeerName, RoomName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::common::TestServer;
use crate::common::raw::{FIN, Raw, TEXT};
use crate::common::several::two;
use crate::common::tokens::{Keys, later};

fn fixture(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!list.is_empty());
    list
}

fn messages(direction: &str) -> Vec<(String, Value)> {
    let all = fixture("messages.json").into_iter();
    let list: Vec<_> = all.filter(|entry| entry["direction"] == direction).collect();
    assert!(!list.is_empty());
    list.into_iter().map(|mut entry| (entry["name"].as_str().unwrap().to_owned(), entry["message"].take())).collect()
}

#[test]
fn client_messages_are_understood() {
    let (mut kinds, mut acts) = (BTreeSet::new(), BTreeSet::new());
    for (name, message) in messages("client") {
        let text = message.to_string();
        let parsed = parse(&text);
        let request = parsed.request.unwrap_or_else(|bad| panic!("{name}: {bad:?}"));
        assert_eq!(request.kind(), message["type"], "{name}");
        kinds.insert(request.kind());
        let reference = parsed.reference.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
        assert_eq!(reference.as_ref(), message.get("ref"), "{name}");
        match request {
            Request::Signal { data, to } => {
                assert_eq!(to.map(|to| to.to_string()).as_deref(), message["to"].as_str(), "{name}");
                assert_eq!(serde_json::from_str::<Value>(data.get()).unwrap(), message["data"], "{name}");
            }
            Request::Broadcast { data } => {
                assert_eq!(serde_json::from_str::<Value>(data.get()).unwrap(), message["data"], "{name}");
            }
            Request::Join { name: parsed, resume, token, host_key, proof, .. } => {
                assert_eq!(token.as_deref(), message["token"].as_str(), "{name}");
                assert_eq!(host_key.as_deref(), message["host_key"].as_str(), "{name}");
                assert_eq!(proof.as_deref(), message["proof"].as_str(), "{name}");
                assert_eq!(parsed.as_str(), message["name"], "{name}");
                assert_eq!(resume.as_deref(), message["resume"].as_str(), "{name}");
            }
            Request::Moderate(act) => {
                assert_eq!(json!(act)["action"], message["action"], "{name}");
                acts.insert(message["action"].as_str().unwrap().to_owned());
            }
            Request::Renew { token } => assert_eq!(token, message["token"].as_str().unwrap(), "{name}"),
            Request::Quality(links) => assert_eq!(json!(links), message["links"], "{name}"),
            Request::State(_) | Request::Sync | Request::Ping | Request::Ack | Request::Leave => {}
        }
    }
    let all = ["ack", "broadcast", "join", "leave", "moderate", "ping", "quality", "renew", "signal", "state", "sync"];
    assert_eq!(kinds, BTreeSet::from(all), "types missing in the fixtures");
    let all = ["admit", "ask", "end", "refuse", "refuse_all", "remove", "role", "settings", "switch_off"];
    assert!(acts.iter().eq(all), "actions missing in the fixtures: {acts:?}");
}

#[test]
fn r1_room_names_are_told_from_others() {
    for entry in fixture("rooms.json") {
        let name = entry["name"].as_str().unwrap();
        assert_eq!(RoomName::new(name).is_ok(), entry["valid"], "{name:?}");
    }
}

#[test]
fn r6_r96_names_of_people_are_told_from_what_cannot_be_seen() {
    for entry in fixture("names.json") {
        let name = entry["name"].as_str().unwrap();
        let checked = PeerName::new(name);
        assert_eq!(checked.is_ok(), entry["valid"], "{name:?}: {checked:?}");
    }
}

#[test]
fn bad_frames_have_their_code() {
    for entry in fixture("bad.json") {
        let bad = parse(entry["frame"].as_str().unwrap()).request.expect_err(&entry["name"].to_string());
        assert_eq!(json!(bad.code), entry["error"], "{}", entry["name"]);
    }
}

#[tokio::test]
async fn bad_frames_are_answered_and_the_connection_goes_on() {
    let server = TestServer::start(&[]).await;
    let mut member = server.join("r", "Ada").await;
    let mut hello = server.connect("r").await;
    for entry in fixture("bad.json") {
        for client in [&mut member, &mut hello] {
            client.send_text(entry["frame"].as_str().unwrap()).await;
            client.expect_error(entry["error"].as_str().unwrap()).await;
            client.expect_nothing().await;
        }
    }
    hello.join("Grace").await;
}

/// Returns the paths of a message with their JSON types. All elements of a list share one path. Free-form values count
/// as `free`.
fn shape(message: &Value) -> BTreeMap<String, &'static str> {
    fn walk(value: &Value, path: String, shape: &mut BTreeMap<String, &'static str>) {
        let free = path == ".data" || path.ends_with(".state");
        match value {
            _ if free => {
                shape.insert(path, "free");
            }
            Value::Object(map) => {
                shape.insert(path.clone(), "object");
                for (key, value) in map {
                    walk(value, format!("{path}.{key}"), shape);
                }
            }
            Value::Array(list) => {
                shape.insert(path.clone(), "array");
                for value in list {
                    walk(value, format!("{path}[]"), shape);
                }
            }
            Value::String(_) => drop(shape.insert(path, "string")),
            Value::Number(_) => drop(shape.insert(path, "number")),
            Value::Bool(_) => drop(shape.insert(path, "boolean")),
            Value::Null => drop(shape.insert(path, "null")),
        }
    }
    let mut result = BTreeMap::new();
    // The client chooses the type of `ref`.
    let mut message = message.clone();
    if let Some(reference) = message.get_mut("ref") {
        *reference = json!("any");
    }
    walk(&message, String::new(), &mut result);
    result
}

/// Captures one message of each variant from a running server.
async fn captured() -> Vec<Value> {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "stun:s.example:3478,turn:t.example:3478"),
        ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north"),
        ("ROUNDTABLE_ROOM_MEMBERS", "2"),
    ])
    .await;
    let plain = TestServer::start(&[]).await;
    let mut seen = vec![plain.join("r", "Ada").await.welcome.clone()];

    let mut ada = server.connect("r").await;
    for early in [json!({"type": "sync"}), json!({"type": "join", "name": ""})] {
        ada.send(early).await;
        seen.push(ada.expect("error").await);
    }
    ada.join("Ada").await;
    ada.send(json!({"type": "sync"})).await;
    seen.push(ada.expect("roster").await);
    let mut bob = server.join("r", "Bob").await;
    seen.push(bob.welcome.clone());
    seen.push(ada.expect("peer_joined").await);
    let mut full = server.connect("r").await;
    full.send(json!({"type": "join", "name": "Eve"})).await;
    seen.push(full.expect("error").await);

    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    seen.push(ada.expect("state").await);
    bob.expect("state").await;
    bob.send(json!({"type": "signal", "to": ada.id(), "data": null})).await;
    seen.push(ada.expect("signal").await);
    bob.send(json!({"type": "broadcast", "data": "hello"})).await;
    seen.push(ada.expect("broadcast").await);
    for (request, answer) in [
        (json!({"type": "sync"}), "roster"),
        (json!({"type": "ping"}), "pong"),
        (json!({"type": "ping", "ref": 1}), "pong"),
        (json!({"type": "signal", "to": "x", "data": 1, "ref": 4}), "error"),
        (json!({"type": "signal", "to": ada.id(), "data": 1}), "error"),
        (json!({"type": "signal", "to": "x"}), "error"),
        (json!({"type": "state", "state": 5}), "error"),
        (json!({"type": "join", "name": 7}), "error"),
        (json!({"type": "join", "name": "Ada"}), "error"),
        (json!({"type": "dance", "ref": "a"}), "error"),
        (json!([]), "error"),
    ] {
        ada.send(request).await;
        seen.push(ada.expect(answer).await);
    }
    ada.send(json!({"type": "broadcast", "data": 1, "seq": 8})).await;
    seen.push(ada.expect("error").await);
    ada.send_frame(Message::Binary(vec![0].into())).await;
    seen.push(ada.expect("error").await);
    bob.close().await;
    seen.push(ada.expect("peer_left").await);

    seen.extend(moderated(&plain).await);
    seen.extend(lost(&plain).await);
    seen.extend(with_tokens().await);
    seen.push(renewed().await);
    for (setting, joins) in [("ROUNDTABLE_ADDRESS_JOINS", 1), ("ROUNDTABLE_ROOMS", 1)] {
        // A rate of one attempt a minute has a burst of two, and creating a room costs ten attempts.
        let small = TestServer::start(&[(setting, "1")]).await;
        for at in 0..joins {
            let mut first = small.connect(&format!("r{at}")).await;
            first.join("Ada").await;
            std::mem::forget(first);
        }
        let mut late = small.connect("late").await;
        late.send(json!({"type": "join", "name": "Late"})).await;
        seen.push(late.expect("error").await);
    }
    let strict = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "10"), ("ROUNDTABLE_RATE_PATIENCE", "100ms")]).await;
    let (mut flood, _) = Raw::join(&strict, "r", "Eve").await;
    // The burst covers half of them.
    for _ in 0..100 {
        flood.text(r#"{"type":"sync"}"#).await;
    }
    seen.push(loop {
        let message = flood.message().await;
        if message["type"] == "error" {
            break message;
        }
    });
    // The burst to one recipient is ten signals.
    let limited = TestServer::start(&[("ROUNDTABLE_MESSAGE_RATE", "10")]).await;
    let (mut sender, receiver) = (limited.join("r", "Ada").await, limited.join("r", "Bob").await);
    sender.expect("peer_joined").await;
    for _ in 0..11 {
        sender.send(json!({"type": "signal", "to": receiver.id(), "data": 1, "ref": 7})).await;
    }
    seen.push(sender.expect("error").await);
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut page = Raw::over(tcp, "page", "Origin: https://elsewhere.example\r\n", b"").await;
    page.text(r#"{"type":"join","name":"Eve"}"#).await;
    seen.push(page.message().await);
    let (mut raw, _) = Raw::join(&server, "other", "Zoe").await;
    raw.frame(FIN | TEXT, &[b' '; 65_537]).await;
    seen.push(raw.message().await);

    server.shut_down();
    ada.drain_into(&mut seen).await;
    seen.extend(between_servers().await);
    seen
}

/// Captures messages that only a cluster sends.
async fn between_servers() -> Vec<Value> {
    let (engine, a, b) = two(&[("ROUNDTABLE_JOIN_TIMEOUT", "1s")]).await;
    let (mut ada, _bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    engine.set_reachable(false).await;
    let mut seen = vec![ada.expect("degraded").await];
    let mut late = a.connect("r").await;
    late.send(json!({"type": "join", "name": "Late"})).await;
    seen.push(late.expect("error").await);
    seen
}

/// Captures messages that follow a lost connection.
async fn lost(server: &TestServer) -> Vec<Value> {
    let mut seen = Vec::new();
    let (mut ada, mut bob) = (server.join("lost", "Ada").await, server.join("lost", "Bob").await);
    ada.expect("peer_joined").await;
    bob.send(json!({"type": "broadcast", "data": 1, "seq": 1})).await;
    ada.expect("broadcast").await;
    seen.push(bob.expect("ack").await);
    let (resume, last) = (bob.welcome["resume"].clone(), bob.last);
    drop(bob);
    seen.push(ada.expect("link").await);
    ada.send(json!({"type": "sync"})).await;
    seen.push(ada.expect("roster").await);
    let join = json!({"type": "join", "name": "Bob", "resume": resume, "last_seq": last});
    let mut bob = server.connect("lost").await;
    bob.send(join.clone()).await;
    seen.push(bob.expect("resumed").await);
    seen.push(ada.expect("link").await);
    let mut elsewhere = TestServer::start(&[]).await.connect("lost").await;
    elsewhere.send(join).await;
    seen.push(elsewhere.expect("welcome").await);
    seen
}

/// Captures messages that follow moderation.
async fn moderated(server: &TestServer) -> Vec<Value> {
    let mut seen = Vec::new();
    let (mut ada, mut bob) = (server.join("hosts", "Ada").await, server.join("hosts", "Bob").await);
    seen.push(ada.expect("peer_joined").await);
    for act in [
        json!({"action": "ask", "to": bob.id(), "ask": "mute"}),
        json!({"action": "switch_off", "to": bob.id(), "what": "mic"}),
        json!({"action": "role", "to": bob.id(), "role": "listener"}),
        json!({"action": "settings", "settings": {"lobby": true}}),
    ] {
        let mut message = act;
        message["type"] = json!("moderate");
        ada.send(message.clone()).await;
        bob.send(message).await;
    }
    for kind in ["role", "settings"] {
        seen.push(ada.expect(kind).await);
    }
    let mut guest = server.connect("hosts").await;
    guest.send(json!({"type": "join", "name": "Alan"})).await;
    seen.push(guest.expect("waiting").await);
    guest.send(json!({"type": "broadcast", "data": 1})).await;
    seen.push(guest.expect("error").await);
    seen.push(ada.expect("lobby").await);
    guest.send(json!({"type": "leave"})).await;
    seen.push(ada.expect("lobby").await);
    ada.send(json!({"type": "moderate", "action": "remove", "to": bob.id()})).await;
    seen.push(ada.expect("peer_left").await);
    bob.drain_into(&mut seen).await;
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"locked": true}})).await;
    seen.push(ada.expect("settings").await);
    let mut late = server.connect("hosts").await;
    late.send(json!({"type": "join", "name": "Eve"})).await;
    seen.push(late.expect("error").await);
    let (mut host, mut heir) = (server.join("absent", "Ada").await, server.join("absent", "Bob").await);
    seen.push(host.expect("peer_joined").await);
    host.send(json!({"type": "leave"})).await;
    seen.push(heir.expect("peer_left").await);
    seen.push(heir.expect("role").await);
    seen
}

/// Captures renewed credentials for the same servers.
async fn renewed() -> Value {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "stun:s.example:3478,turn:t.example:3478"),
        ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north"),
        ("ROUNDTABLE_TURN_LIFETIME", "1s"),
    ])
    .await;
    server.join("r", "Ada").await.expect("ice_servers").await
}

/// Captures messages about tokens.
async fn with_tokens() -> Vec<Value> {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let mut seen = Vec::new();
    for token in [
        None,
        Some("none".to_owned()),
        Some(keys.token(json!({"room": "r", "exp": 1}))),
        Some(keys.token(json!({"room": "other", "exp": later(60.0)}))),
        Some(keys.token(json!({"room": "r", "exp": later(90.0), "nbf": later(60.0)}))),
        Some(keys.token(json!({"room": "r", "exp": later(60.0), "jti": "lost"}))),
    ] {
        let mut ada = server.connect("r").await;
        ada.send(json!({"type": "join", "name": "Ada", "token": token})).await;
        seen.push(ada.expect("error").await);
    }
    let limited = keys.token(json!({"room": "r", "exp": later(60.0), "permissions": ["mic"]}));
    let mut ada = server.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "token": limited})).await;
    seen.push(ada.welcome.clone());
    seen.push(ada.expect("token_expiring").await);
    ada.send(json!({"type": "renew", "token": limited, "ref": 7})).await;
    seen.push(ada.expect("renewed").await);
    let free = keys.token(json!({"room": "r", "exp": later(60.0)}));
    let mut grace = server.connect("r").await;
    grace.join_with(json!({"type": "join", "name": "Grace", "token": free})).await;
    grace.expect("token_expiring").await;
    let mut alan = server.connect("r").await;
    alan.join_with(json!({"type": "join", "name": "Alan", "token": limited})).await;
    seen.push(grace.expect("peer_joined").await);
    let plain = TestServer::start(&[]).await;
    let mut bob = plain.join("r", "Bob").await;
    bob.send(json!({"type": "renew", "token": limited})).await;
    seen.push(bob.expect("error").await);
    let single = [("ROUNDTABLE_TOKEN_SINGLE_PERSON", "true")];
    let server = TestServer::start(&[&keys.settings("token")[..], &single].concat()).await;
    let join = json!({"type": "join", "name": "Ada", "token": keys.token(json!({"room": "r", "exp": later(60.0), "jti": "a"}))});
    let (mut ada, mut eve) = (server.connect("r").await, server.connect("r").await);
    ada.join_with(join.clone()).await;
    eve.send(join).await;
    seen.push(eve.expect("error").await);
    seen
}

#[tokio::test]
async fn server_messages_have_the_shape_of_what_the_server_sends() {
    let kind = |message: &Value| (message["type"].to_string(), message["code"].to_string());
    let captured = captured().await;
    let mut golden_kinds = BTreeSet::new();
    for (name, message) in messages("server") {
        golden_kinds.insert(kind(&message));
        let golden = shape(&message);
        let same = captured.iter().filter(|real| kind(real) == kind(&message));
        let real: Vec<_> = same.map(shape).collect();
        assert!(real.contains(&golden), "{name}: {golden:#?}\nmatches no message of the server: {real:#?}");
    }
    let real_kinds: BTreeSet<_> = captured.iter().map(kind).collect();
    assert_eq!(golden_kinds, real_kinds, "messages and errors of the fixtures differ from the server's");
}

/// The frontend applies the messages of roster.json; the server must be able to send each of them.
#[tokio::test]
async fn roster_scripts_are_made_of_real_messages() {
    let mut real: Vec<_> = captured().await.iter().map(shape).collect();
    real.extend(messages("server").iter().map(|(_, message)| shape(message)));
    for entry in fixture("roster.json") {
        for frame in entry["frames"].as_array().unwrap() {
            let mut shape = shape(frame);
            // Golden `welcome` messages have ICE servers or none; these scripts are only about peers.
            shape.retain(|path, _| !path.starts_with(".ice_servers[]"));
            let fits = real.iter().any(|real| shape.iter().all(|(path, kind)| real.get(path) == Some(kind)));
            assert!(fits, "{}: {frame}", entry["name"]);
        }
    }
}
