//! R57 to R63: who may join, and as what.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;
use crate::common::http::ask;
use crate::common::tokens::{Keys, later};

const ROOM: &str = "r";

/// Joins with whatever is to be shown at the door.
async fn join(server: &TestServer, room: &str, shown: Value) -> Client {
    let mut client = server.connect(room).await;
    client.join_with(asked(shown)).await;
    client
}

/// Tries to, and is refused with this code.
async fn refused(server: &TestServer, shown: Value, code: &str) {
    let mut client = server.connect(ROOM).await;
    client.send(asked(shown)).await;
    let error = client.expect_error(code).await;
    assert_eq!(error["re"], "join");
    assert_eq!(client.expect_close().await, Some(4010), "{code}");
}

fn asked(mut shown: Value) -> Value {
    shown["type"] = json!("join");
    if shown["name"].is_null() {
        shown["name"] = json!("Ada");
    }
    shown
}

async fn new_room(server: &TestServer) -> Value {
    let answer = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await;
    assert_eq!((answer.status, &answer.json()["code"]), (200, &json!("SUCCESS")));
    answer.json()["data"].clone()
}

#[tokio::test]
async fn r57_who_asked_for_a_room_is_its_host_whoever_came_first() {
    let server = TestServer::start(&[]).await;
    let made = new_room(&server).await;
    let (room, key) = (made["room"].as_str().unwrap(), &made["host_key"]);
    let words: Vec<_> = room.split('-').collect();
    assert!(words.len() == 4 && words.iter().all(|word| word.len() == 5), "{room}");
    assert_ne!(new_room(&server).await["room"], *room);
    assert_eq!(server.metric("roundtable_rooms").await, 0, "nothing is kept of it");

    let mut first = server.join(room, "Eve").await;
    first.send(json!({"type": "moderate", "action": "settings", "settings": {"locked": true, "lobby": true}})).await;
    first.expect("settings").await;
    for wrong in [json!("0123456789abcdef0123456789abcdef"), new_room(&server).await["host_key"].clone()] {
        let mut eve = server.connect(room).await;
        eve.send(asked(json!({"host_key": wrong}))).await;
        eve.expect_error("room_locked").await;
    }
    let maker = join(&server, room, json!({"host_key": key})).await;
    assert_eq!(maker.welcome["role"], "host");
    // A key of a server before this one is no error: it would be one for ever.
    let elsewhere = join(&server, "elsewhere", json!({"host_key": key})).await;
    let guest = join(&server, "elsewhere", json!({"host_key": key})).await;
    assert_eq!((&elsewhere.welcome["role"], &guest.welcome["role"]), (&json!("host"), &json!("participant")));
}

#[tokio::test]
async fn r58_where_tokens_are_asked_for_nobody_joins_without_a_good_one() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |claims: Value| json!({"token": keys.token(claims)});
    refused(&server, json!({}), "token_missing").await;
    refused(&server, json!({"host_key": "0123456789abcdef0123456789abcdef"}), "token_missing").await;
    refused(&server, json!({"token": "none"}), "token_invalid").await;
    refused(&server, json!({"token": keys.token_of("b", json!({"room": ROOM, "exp": later(60.0)}))}), "token_invalid")
        .await;
    refused(&server, token(json!({"room": ROOM, "exp": later(-1.0)})), "token_expired").await;
    refused(&server, token(json!({"room": ROOM, "exp": later(90.0), "nbf": later(60.0)})), "token_not_yet_valid").await;
    refused(&server, token(json!({"room": "other", "exp": later(60.0)})), "token_wrong_room").await;
    refused(&server, token(json!({"room": ROOM, "exp": later(60.0), "jti": "lost"})), "token_revoked").await;
    assert_eq!(server.metric("roundtable_rooms").await, 0);
    for room in [ROOM, "*"] {
        let mut ada = join(&server, ROOM, token(json!({"room": room, "exp": later(60.0)}))).await;
        assert_eq!(ada.welcome["features"], json!(["hosts", "resume", "session", "state", "sync", "tokens"]));
        ada.send(json!({"type": "leave"})).await;
        ada.drain().await;
    }
    // Who comes back needs one as well.
    let ada = join(&server, ROOM, token(json!({"room": ROOM, "exp": later(60.0)}))).await;
    refused(&server, json!({"resume": ada.welcome["resume"]}), "token_missing").await;
}

#[tokio::test]
async fn r59_a_token_says_what_its_holder_is_called_and_may_do() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let exp = later(60.0);
    let by = |mut claims: Value| {
        claims["room"] = json!(ROOM);
        claims["exp"] = json!(exp);
        json!({"name": "Chosen", "token": keys.token(claims), "state": {"mic": true, "camera": true, "hand": true}})
    };
    let mut host = join(&server, ROOM, by(json!({"role": "host", "name": "Ada"}))).await;
    host.expect("token_expiring").await;
    assert_eq!((&host.welcome["role"], &host.welcome["permissions"]), (&json!("host"), &Value::Null));
    let mut limited = join(&server, ROOM, by(json!({"permissions": ["camera"]}))).await;
    limited.expect("token_expiring").await;
    assert_eq!(limited.welcome["permissions"], json!(["camera"]));
    assert_eq!(limited.welcome["peers"][0]["name"], "Ada");
    let joined = host.expect("peer_joined").await;
    assert_eq!((&joined["peer"]["name"], &joined["peer"]["role"]), (&json!("Chosen"), &json!("participant")));
    assert_eq!(joined["peer"]["state"], json!({"camera": true, "hand": true}));
    for (message, re) in [
        (json!({"type": "state", "state": {"mic": true}}), "state"),
        (json!({"type": "state", "state": {"screen": 1}}), "state"),
        (json!({"type": "broadcast", "data": 1}), "broadcast"),
    ] {
        limited.send(message).await;
        assert_eq!(limited.expect_error("not_allowed").await["re"], re);
    }
    limited.send(json!({"type": "signal", "to": host.id(), "data": 1})).await;
    host.expect("signal").await;
    limited.send(json!({"type": "state", "state": {"camera": false, "mic": false}})).await;
    assert_eq!(host.expect("state").await["state"]["camera"], false);

    let mut listener = join(&server, ROOM, by(json!({"role": "listener"}))).await;
    listener.expect("token_expiring").await;
    assert_eq!(listener.welcome["role"], "listener");
    let mut tame = join(&server, ROOM, by(json!({"role": "host", "permissions": ["mic"]}))).await;
    tame.expect("token_expiring").await;
    tame.send(json!({"type": "moderate", "action": "end"})).await;
    tame.expect_error("not_allowed").await;
}

#[tokio::test]
async fn r60_where_only_tokens_make_hosts_a_room_makes_none() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("open-hosts-by-token")).await;
    assert_eq!(new_room(&server).await.get("host_key"), None);
    let mut ada = join(&server, ROOM, json!({"settings": {"lobby": true}})).await;
    assert_eq!(ada.welcome["role"], "participant");
    assert_eq!(ada.welcome["settings"]["lobby"], false, "nobody could let anybody in");
    refused(&server, json!({"token": keys.token(json!({"room": "other", "exp": later(60.0)}))}), "token_wrong_room")
        .await;
    let token = keys.token(json!({"room": ROOM, "role": "host", "exp": later(60.0)}));
    let mut host = join(&server, ROOM, json!({"token": token})).await;
    host.expect("token_expiring").await;
    assert_eq!(host.welcome["role"], "host");
    host.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    host.expect("settings").await;
    let secret = host.welcome["resume"].clone();
    host.send(json!({"type": "leave"})).await;
    host.drain().await;
    for kind in ["peer_joined", "settings", "peer_left"] {
        ada.expect(kind).await;
    }
    // Nobody inherits, and without its token the host is not one.
    ada.expect_nothing().await;
    let back = join(&server, ROOM, json!({"resume": secret})).await;
    assert_eq!((&back.welcome["resumed"], &back.welcome["role"]), (&json!(true), &json!("participant")));
    let again = join(&server, ROOM, json!({"token": token})).await;
    assert_eq!(again.welcome["role"], "host", "past the lobby");
}

#[tokio::test]
async fn r61_who_renews_in_time_stays() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |seconds: f64| keys.token(json!({"room": ROOM, "exp": later(seconds)}));
    let mut ada = join(&server, ROOM, json!({"token": token(1.5)})).await;
    let left = ada.expect("token_expiring").await["expires_in_ms"].as_u64().unwrap();
    assert!(left <= 1_500, "{left}");
    for (bad, code) in [
        (json!("none"), "token_invalid"),
        (json!(keys.token(json!({"room": "other", "exp": later(60.0)}))), "token_wrong_room"),
    ] {
        ada.send(json!({"type": "renew", "token": bad, "ref": 1})).await;
        let error = ada.expect_error(code).await;
        assert_eq!((&error["re"], &error["ref"]), (&json!("renew"), &json!(1)));
    }
    ada.send(json!({"type": "renew"})).await;
    ada.expect_error("missing_field").await;
    ada.send(json!({"type": "renew", "token": token(700.0), "ref": 2})).await;
    let renewed = ada.expect("renewed").await;
    assert!(renewed["ref"] == 2 && renewed["expires_in_ms"].as_u64().unwrap() > 690_000, "{renewed}");
    // Told anew, when the new one ends; and the end of the first one is not the end.
    ada.send(json!({"type": "renew", "token": token(2.0)})).await;
    ada.expect("renewed").await;
    ada.expect("token_expiring").await;
    ada.expect_error("token_expired").await;
    assert_eq!(ada.expect_close().await, Some(4010));

    let open = TestServer::start(&[]).await;
    let mut bob = open.join(ROOM, "Bob").await;
    bob.send(json!({"type": "renew", "token": token(60.0)})).await;
    bob.expect_error("no_token").await;
}

#[tokio::test]
async fn r62_who_does_not_renew_is_out() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |seconds: f64| keys.token(json!({"room": ROOM, "exp": later(seconds)}));
    let mut bob = join(&server, ROOM, json!({"name": "Bob", "token": token(60.0)})).await;
    bob.expect("token_expiring").await;
    let mut ada = join(&server, ROOM, json!({"token": token(0.8)})).await;
    bob.expect("peer_joined").await;
    ada.expect("token_expiring").await;
    ada.expect_error("token_expired").await;
    assert_eq!(ada.expect_close().await, Some(4010));
    let left = bob.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&ada.welcome["self"], &json!("unauthorized")));
}

#[tokio::test]
async fn r63_keys_are_rotated_and_revoked_while_people_talk() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let claims = |jti: &str| json!({"room": ROOM, "exp": later(600.0), "jti": jti});
    let by = |kid: &str, jti: &str| json!({"token": keys.token_of(kid, claims(jti))});
    let mut ada = join(&server, ROOM, by("a", "ada")).await;
    ada.expect("token_expiring").await;
    let mut eve = join(&server, ROOM, by("a", "eve")).await;
    eve.expect("token_expiring").await;
    ada.expect("peer_joined").await;

    keys.write(&["a", "b"], &["eve"]);
    eve.expect_error("token_revoked").await;
    assert_eq!(eve.expect_close().await, Some(4010));
    assert_eq!(ada.expect("peer_left").await["reason"], "unauthorized");
    refused(&server, by("a", "eve"), "token_revoked").await;
    let mut bob = join(&server, ROOM, by("b", "bob")).await;
    bob.expect("token_expiring").await;
    ada.expect("peer_joined").await;

    // A file that is wrong changes nothing; then the old key goes, and all it signed.
    keys.write_text("{");
    keys.write(&["b"], &[]);
    ada.expect_error("token_revoked").await;
    assert_eq!(ada.expect_close().await, Some(4010));
    assert_eq!(bob.expect("peer_left").await["reason"], "unauthorized");
    bob.expect_nothing().await;
    refused(&server, by("a", "ada"), "token_invalid").await;
}
