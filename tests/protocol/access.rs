//! R57 to R63: who may join, and as what.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use roundtable::access::{Access, AccessMode, Change, Credentials, ResumeKey, TokenRules};
use roundtable::core::TOKENS;
use roundtable::protocol::{ErrorCode, RoomName};
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
async fn r97_a_name_that_a_token_says_is_told_from_one_that_a_person_has_chosen() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let by = |mut claims: Value| {
        claims["room"] = json!(ROOM);
        claims["exp"] = json!(later(3600.0));
        json!({"name": "Ada", "token": keys.token(claims)})
    };
    let mut host = join(&server, ROOM, by(json!({"role": "host", "name": "Ada"}))).await;
    let chosen = join(&server, ROOM, by(json!({}))).await;
    assert_eq!(chosen.welcome["peers"][0]["name_from_token"], true);
    let joined = host.expect("peer_joined").await;
    assert_eq!(joined["peer"]["name"], "Ada");
    assert_eq!(joined["peer"].get("name_from_token"), None, "{joined}");

    host.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    host.expect("settings").await;
    let mut guests = Vec::new();
    for (claims, marked) in [(json!({"name": "Ada"}), Some(&json!(true))), (json!({}), None)] {
        let mut guest = server.connect(ROOM).await;
        guest.send(asked(by(claims))).await;
        guest.expect("waiting").await;
        let lobby = host.expect("lobby").await;
        let waiting = &lobby["waiting"][0];
        assert_eq!((&waiting["name"], waiting.get("name_from_token")), (&json!("Ada"), marked), "{lobby}");
        host.send(json!({"type": "moderate", "action": "admit", "to": waiting["id"]})).await;
        guest.expect("welcome").await;
        host.expect("lobby").await;
        let joined = host.expect("peer_joined").await;
        assert_eq!(joined["peer"].get("name_from_token"), marked, "{joined}");
        // Nobody leaves meanwhile.
        guests.push(guest);
    }
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
    // The others are told, as what goes from browser to browser they have to check themselves (R108).
    assert_eq!(joined["peer"]["permissions"], json!(["camera"]));
    assert_eq!(limited.welcome["peers"][0].get("permissions"), None);
    for (message, re) in [
        (json!({"type": "state", "state": {"mic": true}}), "state"),
        (json!({"type": "state", "state": {"screen": 1}}), "state"),
        (json!({"type": "broadcast", "data": 1}), "broadcast"),
    ] {
        limited.send(message).await;
        assert_eq!(limited.expect_error("not_allowed").await["re"], re);
    }
    // Neither does anybody put words into its state who may not broadcast (R108).
    limited.send(json!({"type": "state", "state": {"note": "buy here"}})).await;
    limited.expect_error("not_allowed").await;
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
async fn r66_a_member_does_not_lock_out_its_address_by_renewals() {
    let keys = Keys::new();
    let limit = [("ROUNDTABLE_ADDRESS_JOINS", "60")];
    let server = TestServer::start(&[&keys.settings("token")[..], &limit].concat()).await;
    let token = json!({"token": keys.token(json!({"room": ROOM, "exp": later(600.0)}))});
    let mut eve = join(&server, ROOM, token.clone()).await;
    eve.expect("token_expiring").await;
    for _ in 0..500 {
        eve.send(json!({"type": "renew", "token": "none"})).await;
        eve.expect_error("token_invalid").await;
    }
    let mut ada = server.connect(ROOM).await;
    ada.send(json!({"type": "join", "name": "Ada", "token": token["token"]})).await;
    // As after joins: 15 s at most, and less on a slow machine.
    let answer = ada.next_message().await.unwrap();
    let wait = answer["retry_after_ms"].as_u64().unwrap_or_default();
    assert!((answer["type"] == "welcome" || answer["code"] == "too_many_attempts") && wait < 20_000, "{answer}");
}

#[tokio::test]
async fn r61_a_token_that_grants_something_else_does_not_renew() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |jti: &str, role: Value, rest: Value| {
        let mut claims = json!({"room": ROOM, "exp": later(600.0), "jti": jti, "name": "Ada", "role": role});
        claims.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        keys.token(claims)
    };
    let mut ada = join(&server, ROOM, json!({"token": token("host", json!("host"), json!({}))})).await;
    ada.expect("token_expiring").await;
    for other in [
        token("other", json!("participant"), json!({})),
        token("other", json!(null), json!({})),
        token("other", json!("host"), json!({"permissions": ["mic"]})),
        token("other", json!("host"), json!({"name": "Bob"})),
    ] {
        ada.send(json!({"type": "renew", "token": other})).await;
        assert_eq!(ada.expect_error("not_allowed").await["re"], "renew");
    }
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"talk": true}})).await;
    ada.expect("settings").await;
    // So the host role ends with the token that grants it.
    keys.write(&["a"], &["host"]);
    ada.expect_error("token_revoked").await;
    assert_eq!(ada.expect_close().await, Some(4010));
}

#[tokio::test]
async fn r59_who_comes_back_has_no_more_than_the_token_says_now() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |role: &str| keys.token(json!({"room": ROOM, "exp": later(6_000.0), "role": role}));
    let mut host = join(&server, ROOM, json!({"token": token("host")})).await;
    let ada = join(&server, ROOM, json!({"token": token("participant")})).await;
    host.expect("peer_joined").await;
    // In place of the old connection, and after it has left.
    let mut shown = json!({"token": token("listener"), "resume": ada.welcome["resume"]});
    for _ in 0..2 {
        let mut again = join(&server, ROOM, shown.clone()).await;
        assert_eq!((&again.welcome["resumed"], &again.welcome["role"]), (&json!(true), &json!("listener")));
        shown["resume"] = again.welcome["resume"].clone();
        again.send(json!({"type": "leave"})).await;
        again.drain().await;
    }
    // A role that the room took stays taken.
    let again = join(&server, ROOM, json!({"token": token("participant"), "resume": shown["resume"]})).await;
    assert_eq!(again.welcome["role"], "listener");
}

#[tokio::test]
async fn r100_a_token_for_another_audience_or_by_another_issuer_is_rejected() {
    let keys = Keys::new();
    let token = |claims: Value| {
        let mut all = json!({"room": ROOM, "exp": later(600.0)});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        json!({"token": keys.token(all)})
    };
    let server = TestServer::start(&keys.settings("token")).await;
    for aud in [json!("other"), json!([]), json!(["roundtable"]), json!(7)] {
        refused(&server, token(json!({"aud": aud})), "token_invalid").await;
    }
    join(&server, ROOM, token(json!({"iss": "anybody"}))).await;

    let rules = [("ROUNDTABLE_TOKEN_AUDIENCE", "meet"), ("ROUNDTABLE_TOKEN_ISSUER", "https://app.example")];
    let server = TestServer::start(&[&keys.settings("token")[..], &rules].concat()).await;
    for claims in [
        json!({}),
        json!({"aud": "meet"}),
        json!({"iss": "https://app.example"}),
        json!({"aud": "other", "iss": "https://app.example"}),
        json!({"aud": "meet", "iss": "https://evil.example"}),
    ] {
        refused(&server, token(claims), "token_invalid").await;
    }
    for aud in [json!("meet"), json!(["other", "meet"])] {
        join(&server, ROOM, token(json!({"aud": aud, "iss": "https://app.example"}))).await;
    }
}

#[tokio::test]
async fn r101_a_token_for_one_person_lets_nobody_else_in() {
    let keys = Keys::new();
    let single = [("ROUNDTABLE_TOKEN_SINGLE_PERSON", "true"), ("ROUNDTABLE_TOKEN_NOTICE", "1s")];
    let server = TestServer::start(&[&single[..], &keys.settings("token")].concat()).await;
    let token =
        |jti: &str, role: &str| keys.token(json!({"room": ROOM, "exp": later(600.0), "jti": jti, "role": role}));
    refused(&server, json!({"token": keys.token(json!({"room": ROOM, "exp": later(600.0)}))}), "token_invalid").await;
    let mut host = join(&server, ROOM, json!({"token": token("host", "host")})).await;
    let shown = json!({"token": token("ada", "participant")});
    let mut ada = join(&server, ROOM, shown.clone()).await;
    host.expect("peer_joined").await;
    refused(&server, shown.clone(), "token_in_use").await;
    // Also a token by which she goes on, and the one before it. Of somebody else's she has none.
    ada.send(json!({"type": "renew", "token": token("bob", "participant")})).await;
    ada.expect("renewed").await;
    for jti in ["ada", "bob"] {
        refused(&server, json!({"token": token(jti, "participant")}), "token_in_use").await;
    }
    let mut zoe = join(&server, ROOM, json!({"token": token("zoe", "participant")})).await;
    ada.expect("peer_joined").await;
    zoe.send(json!({"type": "renew", "token": token("ada", "participant")})).await;
    assert_eq!(zoe.expect_error("token_in_use").await["re"], "renew");
    // By her secret she comes back; after she has left, the token is free.
    let mut again = shown.clone();
    again["resume"] = ada.welcome["resume"].clone();
    let mut ada = join(&server, ROOM, again).await;
    assert_eq!(ada.welcome["resumed"], true);
    ada.send(json!({"type": "leave"})).await;
    ada.drain().await;
    let mut ada = join(&server, ROOM, shown.clone()).await;
    assert_eq!(ada.welcome["resumed"], false);
    // A removal takes all of them.
    host.send(json!({"type": "moderate", "action": "remove", "to": ada.id()})).await;
    assert_eq!(ada.skip_to_close().await, Some(4008));
    let mut back = server.connect(ROOM).await;
    back.send(asked(shown)).await;
    assert_eq!(back.expect_close().await, Some(4008));
}

#[tokio::test]
async fn r101_renewals_of_one_person_do_not_make_a_room_forget_tokens_of_others() {
    let keys = Keys::new();
    let single = [("ROUNDTABLE_TOKEN_SINGLE_PERSON", "true"), ("ROUNDTABLE_TOKEN_NOTICE", "1s")];
    let rates = [("ROUNDTABLE_MESSAGE_RATE", "0"), ("ROUNDTABLE_BYTE_RATE", "0")];
    let server = TestServer::start(&[&single[..], &rates, &keys.settings("token")].concat()).await;
    let token = |jti: &str| json!({"token": keys.token(json!({"room": ROOM, "exp": later(600.0), "jti": jti}))});
    let ada = join(&server, ROOM, token("ada")).await;
    let mut bob = join(&server, ROOM, token("bob")).await;
    let mut eve = join(&server, ROOM, token("eve")).await;
    let renew = async |client: &mut Client, jti: &str| {
        client.send(json!({"type": "renew", "token": token(jti)["token"]})).await;
        while client.next_message().await.expect("an answer")["type"] != "renewed" {}
    };
    renew(&mut bob, "bob again").await;
    for number in 0..=TOKENS {
        renew(&mut eve, &format!("eve {number}")).await;
    }
    // Neither the only token of somebody, nor one before the last, nor the last one of who has most of them.
    for jti in ["ada", "bob", "bob again", &format!("eve {TOKENS}")] {
        refused(&server, token(jti), "token_in_use").await;
    }
    drop(ada);
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

#[tokio::test(start_paused = true)]
async fn r62_a_token_ends_soon_after_the_clock_is_set_past_its_end() {
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let clock = || SystemTime::now() + Duration::from_secs(AHEAD.load(Ordering::Relaxed));
    let (keys, notice) = (Keys::new(), Duration::from_secs(60));
    let (secrets, file) = (ResumeKey::new(b"of this test"), Some(keys.path.clone()));
    let access =
        Access::new(AccessMode::Token, secrets, file, TokenRules::default(), notice).unwrap().with_clock(clock);
    let token = keys.token(json!({"room": ROOM, "exp": later(7_200.0)}));
    let shown = Credentials { token: Some(&token), host_key: None };
    let admission = access.admit(&RoomName::new(ROOM).unwrap(), shown, clock()).unwrap();
    let (mut pass, begun) = (admission.pass.unwrap(), tokio::time::Instant::now());
    let (change, ()) = tokio::join!(pass.changed(), async { AHEAD.store(3 * 3_600, Ordering::Relaxed) });
    assert!(matches!(change, Change::Ended(denied) if denied.code == ErrorCode::TokenExpired));
    assert!(begun.elapsed() <= Duration::from_secs(60), "by the runtime's own clock, which jumps");
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

    // A file that is wrong changes nothing, but for what operators are told; then the old key goes, and all it signed.
    assert_eq!(server.metric("roundtable_token_keys_valid").await, 1);
    keys.write_text("{");
    server.metric_becomes("roundtable_token_keys_valid", 0).await;
    keys.write(&["b"], &[]);
    ada.expect_error("token_revoked").await;
    assert_eq!(ada.expect_close().await, Some(4010));
    assert_eq!(bob.expect("peer_left").await["reason"], "unauthorized");
    bob.expect_nothing().await;
    refused(&server, by("a", "ada"), "token_invalid").await;
    assert_eq!(server.metric("roundtable_token_keys_valid").await, 1);
}
