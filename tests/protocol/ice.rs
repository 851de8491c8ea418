//! R73: the way through every network stays open in a long meeting.

use std::time::Instant;

use serde_json::Value;

use crate::common::TestServer;

fn expiry(servers: &Value, id: &str) -> u64 {
    let username = servers[1]["username"].as_str().unwrap();
    let (expiry, of) = username.split_once(':').unwrap();
    assert_eq!(of, id, "each has credentials of its own");
    expiry.parse().unwrap()
}

#[tokio::test]
async fn r73_credentials_are_renewed_before_they_end() {
    let server = TestServer::start(&[
        ("ROUNDTABLE_ICE_URLS", "stun:s.example,turn:t.example:3478,turn:t.example?transport=tcp,turns:t.example:443"),
        ("ROUNDTABLE_TURN_SECRET", "north"),
        ("ROUNDTABLE_TURN_LIFETIME", "8s"),
    ])
    .await;
    let begun = Instant::now();
    let (mut ada, bob) = (server.join("r", "Ada").await, server.join("other", "Bob").await);
    let mut before = expiry(&ada.welcome["ice_servers"], ada.id());
    let urls = ada.welcome["ice_servers"][1]["urls"].clone();
    assert_eq!(urls.as_array().map(Vec::len), Some(3));
    for _ in 0..2 {
        let fresh = ada.expect("ice_servers").await;
        assert_eq!(fresh["ice_servers"][1]["urls"], urls);
        let after = expiry(&fresh["ice_servers"], ada.id());
        assert!(after > before, "{after} after {before}");
        before = after;
    }
    assert!(begun.elapsed().as_secs() < 8, "both before the first ones ended");
    drop(bob);
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
