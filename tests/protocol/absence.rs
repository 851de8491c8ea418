//! Disconnected members: expiring tokens, decisions of hosts and operators, limits, and webhooks while they are away.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;
use crate::common::http::{ask, post};
use crate::common::raw::Raw;
use crate::common::receiver::Receiver;
use crate::common::tokens::{Keys, later};

const ROOM: &str = "r";
const OPERATOR: &str = "north-north-north-north-north-north";

/// Credentials of a disconnected client.
struct Bookmark {
    id: String,
    resume: Value,
    last: u64,
}

impl Bookmark {
    /// Drops the connection and waits until `witness` is notified.
    async fn after_loss(client: Client, witness: &mut Client) -> Self {
        let bookmark = Self { id: client.id().to_owned(), resume: client.welcome["resume"].clone(), last: client.last };
        drop(client);
        let lost = witness.expect("link").await;
        assert_eq!((&lost["id"], &lost["link"]), (&json!(bookmark.id), &json!("lost")));
        bookmark
    }

    /// Reconnects with these credentials. The response is the next message.
    async fn back(&self, server: &TestServer, mut shown: Value) -> Client {
        let mut client = server.connect(ROOM).await;
        client.last = self.last;
        shown["type"] = json!("join");
        shown["name"] = json!("Again");
        shown["resume"] = self.resume.clone();
        shown["last_seq"] = json!(self.last);
        client.send(shown).await;
        client
    }
}

async fn join(server: &TestServer, name: &str, mut shown: Value) -> Client {
    let mut client = server.connect(ROOM).await;
    shown["type"] = json!("join");
    shown["name"] = json!(name);
    client.join_with(shown).await;
    client
}

async fn operate(server: &TestServer, method: &str, path: &str) {
    let authorization = format!("Bearer {OPERATOR}");
    let path = format!("/signal-api/v1/admin{path}");
    let answer = ask(server.address, method, &path, &[("Authorization", &authorization)]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn expect_left(client: &mut Client, id: &str, reason: &str) {
    let left = client.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&json!(id), &json!(reason)));
}

/// Returns a host and a disconnected member.
async fn pair(server: &TestServer) -> (Client, Bookmark) {
    let (mut ada, bob) = (server.join(ROOM, "Ada").await, server.join(ROOM, "Bob").await);
    ada.expect("peer_joined").await;
    let bob = Bookmark::after_loss(bob, &mut ada).await;
    (ada, bob)
}

#[tokio::test]
async fn r62_who_is_lost_leaves_when_its_token_ends() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |seconds: f64| json!({"token": keys.token(json!({"room": ROOM, "exp": later(seconds)}))});
    let mut ada = join(&server, "Ada", token(60.0)).await;
    ada.expect("token_expiring").await;
    let short = token(2.0);
    let mut bob = join(&server, "Bob", short.clone()).await;
    bob.expect("token_expiring").await;
    ada.expect("peer_joined").await;
    let bob = Bookmark::after_loss(bob, &mut ada).await;
    // Long before the resume window ends.
    expect_left(&mut ada, &bob.id, "unauthorized").await;
    let mut again = bob.back(&server, short).await;
    again.expect_error("token_expired").await;
    assert_eq!(again.expect_close().await, Some(4010));
    // With another token the client joins as a new session.
    let mut new = bob.back(&server, token(60.0)).await;
    assert_eq!(new.expect("welcome").await["not_resumed"], "resume_expired");
}

#[tokio::test]
async fn r62_a_loss_is_no_second_life_for_a_token() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |seconds: f64| json!({"token": keys.token(json!({"room": ROOM, "exp": later(seconds)}))});
    let mut ada = join(&server, "Ada", token(60.0)).await;
    ada.expect("token_expiring").await;
    let short = token(3.0);
    let mut bob = join(&server, "Bob", short.clone()).await;
    bob.expect("token_expiring").await;
    ada.expect("peer_joined").await;
    let bob = Bookmark::after_loss(bob, &mut ada).await;
    let mut back = bob.back(&server, short).await;
    back.expect("resumed").await;
    back.expect("link").await;
    assert_eq!(ada.expect("link").await["link"], "ok");
    back.expect("link").await;
    // Announced again, numbered like every other message, and still due at the same time.
    back.expect("token_expiring").await;
    back.expect_error("token_expired").await;
    assert_eq!(back.expect_close().await, Some(4010));
    expect_left(&mut ada, &bob.id, "unauthorized").await;
}

#[tokio::test]
async fn r63_who_is_lost_leaves_when_its_token_is_revoked() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |jti: &str| json!({"token": keys.token(json!({"room": ROOM, "exp": later(60.0), "jti": jti}))});
    let mut ada = join(&server, "Ada", token("ada")).await;
    ada.expect("token_expiring").await;
    let bob = join(&server, "Bob", token("bob")).await;
    ada.expect("peer_joined").await;
    let bob = Bookmark::after_loss(bob, &mut ada).await;
    keys.write(&["a"], &["bob"]);
    expect_left(&mut ada, &bob.id, "unauthorized").await;
    let mut again = bob.back(&server, token("bob")).await;
    again.expect_error("token_revoked").await;
    assert_eq!(again.expect_close().await, Some(4010));
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r74_where_tokens_are_asked_for_a_session_is_none() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("token")).await;
    let token = |seconds: f64| keys.token(json!({"room": ROOM, "exp": later(seconds)}));
    let good = token(60.0);
    let mut ada = join(&server, "Ada", json!({"token": good})).await;
    ada.expect("token_expiring").await;
    let mut bob = join(&server, "Bob", json!({"token": good})).await;
    bob.expect("token_expiring").await;
    ada.expect("peer_joined").await;
    let bob = Bookmark::after_loss(bob, &mut ada).await;
    for (shown, code) in [
        (json!({}), "token_missing"),
        (json!({"token": token(-60.0)}), "token_expired"),
        (json!({"token": keys.token(json!({"room": "other", "exp": later(60.0)}))}), "token_wrong_room"),
    ] {
        let mut refused = bob.back(&server, shown).await;
        refused.expect_error(code).await;
        assert_eq!(refused.expect_close().await, Some(4010));
    }
    ada.expect_nothing().await;
    // The member remains disconnected, and resumes with a valid token, which may be a different one.
    let mut back = bob.back(&server, json!({"token": token(120.0)})).await;
    back.expect("resumed").await;
    assert_eq!(ada.expect("link").await["link"], "ok");
    for kind in ["link", "link", "token_expiring"] {
        back.expect(kind).await;
    }
}

#[tokio::test]
async fn r74_a_session_goes_on_by_the_same_grant_alone() {
    let keys = Keys::new();
    let server = TestServer::start(&keys.settings("open-hosts-by-token")).await;
    let token = |claims: Value| {
        let mut claims = claims;
        claims["room"] = json!(ROOM);
        claims["exp"] = json!(later(60.0));
        json!({"token": keys.token(claims)})
    };
    let host = token(json!({"role": "host", "name": "Ada"}));
    let mut eve = join(&server, "Eve", json!({})).await;
    let mut ada = join(&server, "Ada", host.clone()).await;
    ada.expect("token_expiring").await;
    eve.expect("peer_joined").await;
    let first = Bookmark::after_loss(ada, &mut eve).await;
    let mut back = first.back(&server, host.clone()).await;
    back.expect("resumed").await;
    eve.expect("link").await;
    for kind in ["link", "link", "token_expiring"] {
        back.expect(kind).await;
    }
    // A role granted by a host survives as well.
    back.send(json!({"type": "moderate", "action": "role", "to": eve.id(), "role": "host"})).await;
    back.expect("role").await;
    eve.expect("role").await;
    let made = Bookmark::after_loss(eve, &mut back).await;
    let mut eve = made.back(&server, json!({})).await;
    eve.expect("resumed").await;
    back.expect("link").await;
    for _ in 0..2 {
        eve.expect("link").await;
    }
    eve.send(json!({"type": "sync"})).await;
    assert_eq!(eve.expect("roster").await["role"], "host");
    back.send(json!({"type": "leave"})).await;
    expect_left(&mut eve, &first.id, "left").await;
    // Without the token, or with a lesser or different grant, the client starts a new session with its ID and the grant
    // that it presents now.
    for (shown, role, name) in [
        (json!({}), "participant", "Again"),
        (token(json!({"role": "host", "name": "Ada", "permissions": ["mic"]})), "host", "Ada"),
        (token(json!({"role": "host", "name": "Grace"})), "host", "Grace"),
    ] {
        let mut ada = join(&server, "Ada", host.clone()).await;
        ada.expect("token_expiring").await;
        assert_eq!(eve.expect("peer_joined").await["peer"]["role"], "host");
        let lost = Bookmark::after_loss(ada, &mut eve).await;
        let mut changed = lost.back(&server, shown).await;
        let welcome = changed.expect("welcome").await;
        let told = (&welcome["self"], &welcome["not_resumed"], &welcome["role"]);
        assert_eq!(told, (&json!(lost.id), &json!("grant_changed"), &json!(role)));
        expect_left(&mut eve, &lost.id, "superseded").await;
        assert_eq!(eve.expect("peer_joined").await["peer"]["name"], name);
        changed.send(json!({"type": "leave"})).await;
        expect_left(&mut eve, &lost.id, "left").await;
    }
}

#[tokio::test]
async fn r56_who_is_removed_while_it_is_lost_hears_of_it_and_is_not_let_in_by_its_secret() {
    let server = TestServer::start(&[("ROUNDTABLE_ADMIN_TOKEN", OPERATOR)]).await;
    let (mut ada, bob) = pair(&server).await;
    ada.send(json!({"type": "moderate", "action": "remove", "to": bob.id})).await;
    expect_left(&mut ada, &bob.id, "removed").await;
    let eve = server.join(ROOM, "Eve").await;
    ada.expect("peer_joined").await;
    let eve = Bookmark::after_loss(eve, &mut ada).await;
    operate(&server, "DELETE", &format!("/rooms/r/peers/{}", eve.id)).await;
    expect_left(&mut ada, &eve.id, "removed").await;
    for removed in [&bob, &eve, &bob] {
        assert_eq!(removed.back(&server, json!({})).await.expect_close().await, Some(4008));
    }
    ada.expect_nothing().await;
    // Without the secret the client is a stranger with another ID.
    let new = server.join(ROOM, "Bob").await;
    assert_ne!(new.id(), bob.id);
}

#[tokio::test]
async fn r56_who_is_removed_while_it_is_there_is_not_let_in_by_its_secret_either() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join(ROOM, "Ada").await, server.join(ROOM, "Bob").await);
    ada.expect("peer_joined").await;
    ada.send(json!({"type": "moderate", "action": "remove", "to": bob.id()})).await;
    assert_eq!(bob.expect_close().await, Some(4008));
    expect_left(&mut ada, bob.id(), "removed").await;
    let mut again = server.connect(ROOM).await;
    again.send(json!({"type": "join", "name": "Bob", "resume": bob.welcome["resume"]})).await;
    assert_eq!(again.expect_close().await, Some(4008), "with a session or without");
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r56_who_is_lost_when_the_meeting_is_ended_does_not_open_the_room_again() {
    let server = TestServer::start(&[("ROUNDTABLE_ADMIN_TOKEN", OPERATOR)]).await;
    for by_operator in [true, false] {
        let (mut ada, bob) = pair(&server).await;
        if by_operator {
            operate(&server, "DELETE", "/rooms/r").await;
        } else {
            ada.send(json!({"type": "moderate", "action": "end"})).await;
        }
        assert_eq!(ada.expect_close().await, Some(4009));
        server.metric_becomes("roundtable_members", 0).await;
        assert_eq!(bob.back(&server, json!({})).await.expect_close().await, Some(4009));
        assert_eq!(server.metric("roundtable_rooms").await, 0);
    }
}

/// Fills the queue of somebody who is lost.
async fn overrun(server: &TestServer, from: &mut Client, to: &Bookmark) {
    let before = server.metric("roundtable_slow_consumers_total").await;
    for data in 0..9 {
        from.send(json!({"type": "signal", "to": to.id, "data": data})).await;
    }
    from.expect_nothing().await;
    assert_eq!(server.metric("roundtable_slow_consumers_total").await, before + 1);
}

#[tokio::test]
async fn r56_who_is_removed_after_its_queue_was_full_is_not_let_in_by_its_secret_either() {
    let server = TestServer::start(&[("ROUNDTABLE_OUTBOX_MESSAGES", "8")]).await;
    for (action, code) in [("remove", 4008), ("end", 4009)] {
        let (mut ada, bob) = pair(&server).await;
        overrun(&server, &mut ada, &bob).await;
        ada.send(json!({"type": "moderate", "action": action, "to": bob.id})).await;
        if action == "end" {
            assert_eq!(ada.expect_close().await, Some(code));
        } else {
            expect_left(&mut ada, &bob.id, "removed").await;
        }
        assert_eq!(bob.back(&server, json!({})).await.expect_close().await, Some(code));
        if action == "remove" {
            ada.send(json!({"type": "moderate", "action": "end"})).await;
            ada.drain().await;
        }
    }
    // And it may say goodbye by that secret.
    let (mut ada, bob) = pair(&server).await;
    overrun(&server, &mut ada, &bob).await;
    let goodbye = json!({"room": ROOM, "resume": bob.resume}).to_string();
    let answer = post(server.address, "/signal-api/v1/leave", &goodbye).await.json();
    assert_eq!(answer["data"]["left"], true);
    expect_left(&mut ada, &bob.id, "left").await;
}

#[tokio::test]
async fn r56_who_did_not_read_when_the_meeting_was_ended_does_not_open_the_room_again() {
    let settings = ["MESSAGE_RATE", "BYTE_RATE"].map(|rate| format!("ROUNDTABLE_{rate}"));
    let [messages, bytes] = settings.each_ref().map(|rate| (rate.as_str(), "0"));
    let server = TestServer::start(&[messages, bytes, ("ROUNDTABLE_OUTBOX_MESSAGES", "40")]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let (mut stalled, welcome) = Raw::connect_small(&server, ROOM).await.joined("Slow").await;
    ada.expect("peer_joined").await;
    for _ in 0..2_000 {
        ada.send(json!({"type": "broadcast", "data": "x".repeat(20_000)})).await;
        if server.metric("roundtable_slow_consumers_total").await > 0 {
            break;
        }
    }
    assert_eq!(ada.expect("link").await["link"], "lost");
    assert_eq!(stalled.close_code().await, 4005);
    ada.send(json!({"type": "moderate", "action": "end"})).await;
    assert_eq!(ada.expect_close().await, Some(4009));
    let mut again = server.connect(ROOM).await;
    again.send(json!({"type": "join", "name": "Slow", "resume": welcome["resume"]})).await;
    assert_eq!(again.expect_close().await, Some(4009));
}

#[tokio::test]
async fn r66_who_comes_back_by_a_good_secret_is_hardly_counted() {
    let key = ("ROUNDTABLE_RESUME_KEY", "the same after a restart, long enough");
    let before = TestServer::start(&[key]).await;
    let mut secrets = Vec::new();
    for _ in 0..40 {
        secrets.push(before.join(ROOM, "Ada").await.welcome["resume"].clone());
    }
    // The burst of four attempts is used up by 40 reconnects, one of which creates the room.
    let after = TestServer::start(&[key, ("ROUNDTABLE_ADDRESS_JOINS", "2")]).await;
    let begun = std::time::Instant::now();
    let mut back = Vec::new();
    for resume in secrets {
        let mut client = after.connect(ROOM).await;
        client.join_with(json!({"type": "join", "name": "Ada", "resume": resume, "last_seq": 0})).await;
        assert_eq!(client.welcome["resumed"], true);
        back.push(client);
    }
    assert!(begun.elapsed().as_secs() < 5, "reconnects were delayed: {:?}", begun.elapsed());
    // A new client is rejected, because the burst is used up.
    let mut late = after.connect(ROOM).await;
    late.send(json!({"type": "join", "name": "Eve"})).await;
    late.expect_error("too_many_attempts").await;
}

#[tokio::test]
async fn r67_who_is_lost_has_its_place_on_a_full_server() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOMS", "1"), ("ROUNDTABLE_MEMBERS", "2")]).await;
    let (mut ada, bob) = pair(&server).await;
    let mut late = server.connect(ROOM).await;
    late.send(json!({"type": "join", "name": "Late"})).await;
    late.expect_error("server_full").await;
    bob.back(&server, json!({})).await.expect("resumed").await;
    assert_eq!(ada.expect("link").await["link"], "ok");
}

#[tokio::test]
async fn r70_who_is_lost_when_the_server_is_drained_leaves_at_once() {
    let mut other = Receiver::start(0).await;
    let settings = [&other.settings()[..], &[("ROUNDTABLE_ADMIN_TOKEN", OPERATOR)]].concat();
    let server = TestServer::start(&settings).await;
    let (mut ada, bob) = pair(&server).await;
    for kind in ["room_opened", "peer_joined", "peer_joined"] {
        other.expect(kind).await;
    }
    operate(&server, "POST", "/drain").await;
    ada.expect("go_away").await;
    assert_eq!(ada.skip_to_close().await, Some(1012));
    drop(ada);
    for _ in 0..2 {
        other.expect("peer_left").await;
    }
    other.expect("room_closed").await;
    server.metric_becomes("roundtable_members", 0).await;
    drop(bob);
}

#[tokio::test]
async fn r71_who_is_lost_has_left_only_when_the_window_is_over() {
    let mut other = Receiver::start(0).await;
    let settings = [&other.settings()[..], &[("ROUNDTABLE_RESUME_WINDOW", "700ms")]].concat();
    let server = TestServer::start(&settings).await;
    let (mut ada, bob) = pair(&server).await;
    for kind in ["room_opened", "peer_joined", "peer_joined"] {
        other.expect(kind).await;
    }
    let mut back = bob.back(&server, json!({})).await;
    back.expect("resumed").await;
    ada.expect("link").await;
    let begun = std::time::Instant::now();
    drop(back);
    ada.expect("link").await;
    // Neither the first disconnect nor the reconnect was reported.
    let left = other.expect("peer_left").await;
    assert_eq!((&left["peer"]["id"], &left["reason"]), (&json!(bob.id), &json!("closed")));
    assert!(begun.elapsed().as_millis() >= 700, "{:?}", begun.elapsed());
    expect_left(&mut ada, &bob.id, "closed").await;
}

#[tokio::test]
async fn r73_fresh_credentials_wait_for_who_is_lost() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "turn:t.example"),
        ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north"),
        ("ROUNDTABLE_TURN_LIFETIME", "2s"),
    ])
    .await;
    let (mut ada, bob) = pair(&server).await;
    ada.expect("ice_servers").await;
    let mut back = bob.back(&server, json!({})).await;
    back.expect("resumed").await;
    // `Client` checks that the numbers are contiguous.
    assert_eq!(back.expect("link").await["link"], "lost");
    let fresh = back.expect("ice_servers").await;
    assert!(fresh["ice_servers"][0]["username"].is_string(), "{fresh}");
}
