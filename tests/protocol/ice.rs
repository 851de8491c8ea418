//! R73: TURN credentials stay valid in a long meeting.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::common::TestServer;
use crate::common::raw::Raw;

/// Returns the user name of the first credentials, and the Unix second at which they expire.
fn user(servers: &Value) -> (String, u64) {
    let username = servers.as_array().unwrap().iter().find_map(|server| server["username"].as_str()).unwrap();
    let (expiry, name) = username.split_once(':').unwrap();
    (name.to_owned(), expiry.parse().unwrap())
}

/// Joins through a proxy that names this client address.
async fn join_from(server: &TestServer, address: &str, room: &str) -> Value {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    Raw::over(tcp, room, &format!("X-Forwarded-For: {address}\r\n"), b"").await.joined("Ada").await.1
}

#[tokio::test]
async fn r73_credentials_are_renewed_before_they_end() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "stun:s.example,turn:t.example:3478,turn:t.example?transport=tcp,turns:t.example:443"),
        ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north"),
        ("ROUNDTABLE_TURN_LIFETIME", "8s"),
    ])
    .await;
    let begun = Instant::now();
    let (mut ada, bob) = (server.join("r", "Ada").await, server.join("other", "Bob").await);
    let (name, mut before) = user(&ada.welcome["ice_servers"]);
    let urls = ada.welcome["ice_servers"][1]["urls"].clone();
    assert_eq!(urls.as_array().map(Vec::len), Some(3));
    for _ in 0..2 {
        let fresh = ada.expect("ice_servers").await;
        assert_eq!(fresh["ice_servers"][1]["urls"], urls);
        let (again, after) = user(&fresh["ice_servers"]);
        assert_eq!(again, name);
        assert!(after > before, "{after} after {before}");
        before = after;
    }
    assert!(begun.elapsed().as_secs() < 8, "renewals came after the first credentials expired");
    drop(bob);
}

#[tokio::test]
async fn r73_credentials_count_against_the_quota_of_an_address_however_often_it_joins() {
    let settings =
        [("ROUNDTABLE_ICE_URLS", "turn:t.example"), ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north")];
    let server = TestServer::start(&settings).await;
    let mut names = Vec::new();
    for (address, room) in [("203.0.113.7", "a"), ("203.0.113.7", "a"), ("203.0.113.7", "b"), ("203.0.113.8", "a")] {
        let (name, expiry) = user(&join_from(&server, address, room).await["ice_servers"]);
        let in_an_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3_600;
        assert!((in_an_hour - 60..=in_an_hour).contains(&expiry), "valid for more than an hour");
        names.push(name);
    }
    assert!(names[0] == names[1] && names[1] == names[2] && names[2] != names[3], "{names:?}");
}

#[tokio::test]
async fn r73_whoever_was_removed_gets_no_further_credentials() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "turn:t.example"),
        ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north"),
        ("ROUNDTABLE_TURN_LIFETIME", "1s"),
    ])
    .await;
    let (mut ada, mut eve) = (server.join("r", "Ada").await, server.join("r", "Eve").await);
    ada.send(json!({"type": "moderate", "action": "remove", "to": eve.id()})).await;
    // Its connection is closed, and a reconnect with the secret of that session gets none either.
    assert_eq!(eve.skip_to_close().await, Some(4008));
    let mut back = server.connect("r").await;
    back.send(json!({"type": "join", "name": "Eve", "resume": eve.welcome["resume"]})).await;
    let mut answers = Vec::new();
    back.drain_into(&mut answers).await;
    assert!(answers.iter().all(|answer| answer.get("ice_servers").is_none()), "{answers:?}");
}

#[tokio::test]
async fn r106_where_the_server_says_so_a_welcome_asks_for_relays_only() {
    let turn =
        [("ROUNDTABLE_ICE_URLS", "turn:t.example"), ("ROUNDTABLE_TURN_SECRET", "north-north-north-north-north-north")];
    let server = TestServer::start(&turn).await;
    assert_eq!(server.join("r", "Ada").await.welcome.get("relay_only"), None);
    let relayed = TestServer::start(&[turn[0], turn[1], ("ROUNDTABLE_RELAY_ONLY", "true")]).await;
    assert_eq!(relayed.join("r", "Ada").await.welcome["relay_only"], true);
}

#[tokio::test]
async fn r73_what_does_not_end_is_not_renewed() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "turn:t.example"),
        ("ROUNDTABLE_TURN_USERNAME", "ada"),
        ("ROUNDTABLE_TURN_PASSWORD", "south"),
        ("ROUNDTABLE_TURN_LIFETIME", "100ms"),
    ])
    .await;
    let mut ada = server.join("r", "Ada").await;
    assert_eq!(ada.welcome["ice_servers"][0]["credential"], "south");
    assert_eq!(server.app.hub.renew_ice_every(), None);
    ada.expect_nothing().await;
}
