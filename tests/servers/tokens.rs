//! Tokens for one person (R100, R101), where a room is on several servers.

use serde_json::json;

use crate::common::several::two;
use crate::common::tokens::{Keys, later};

#[tokio::test]
async fn r61_a_token_of_somebody_on_another_server_does_not_renew() {
    let keys = Keys::new();
    let single = [("ROUNDTABLE_TOKEN_SINGLE_PERSON", "true"), ("ROUNDTABLE_TOKEN_NOTICE", "1s")];
    let (_engine, a, b) = two(&[&single[..], &keys.settings("token")].concat()).await;
    let token = |jti: &str, role: &str, seconds: f64| {
        keys.token(json!({"room": "r", "exp": later(seconds), "jti": jti, "role": role}))
    };
    let join = |jti, role| json!({"type": "join", "name": jti, "token": token(jti, role, 600.0)});
    let mut host = a.connect("r").await;
    host.join_with(join("host", "host")).await;
    let mut ada = a.connect("r").await;
    ada.join_with(join("ada", "participant")).await;
    let mut bob = b.connect("r").await;
    bob.join_with(join("bob", "participant")).await;
    ada.expect("peer_joined").await;

    let bobs = json!({"type": "renew", "token": token("bob", "participant", 3_600.0)});
    ada.send(bobs.clone()).await;
    assert_eq!(ada.expect_error("token_in_use").await["re"], "renew");
    ada.expect_nothing().await;
    // Her own still renews, and says for how long.
    ada.send(json!({"type": "renew", "token": token("ada", "participant", 700.0), "ref": 7})).await;
    let renewed = ada.expect("renewed").await;
    assert_eq!(renewed["ref"], 7);
    assert!(renewed["expires_in_ms"].as_u64().unwrap() > 600_000);

    host.send(json!({"type": "moderate", "action": "remove", "to": bob.id()})).await;
    ada.expect("peer_left").await;
    ada.send(bobs).await;
    assert_eq!(ada.expect_error("token_revoked").await["re"], "renew");
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r40_a_guest_does_not_renew_and_is_told_without_asking_the_other_servers() {
    let keys = Keys::new();
    let settings = [("ROUNDTABLE_TOKEN_SINGLE_PERSON", "true")];
    let settings: Vec<_> = settings.into_iter().chain(keys.settings("token")).collect();
    let (engine, a, b) = two(&settings).await;
    let token =
        |jti: &str, role: &str| keys.token(json!({"room": "r", "exp": later(3_600.0), "jti": jti, "role": role}));
    let mut host = a.connect("r").await;
    host.join_with(json!({"type": "join", "name": "Host", "token": token("host", "host")})).await;
    host.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    host.expect("settings").await;
    let mut eve = b.connect("r").await;
    eve.send(json!({"type": "join", "name": "Eve", "token": token("eve", "participant")})).await;
    eve.expect("waiting").await;
    engine.set_reachable(false).await;
    eve.send(json!({"type": "renew", "token": token("other", "participant")})).await;
    assert_eq!(eve.expect_error("not_admitted").await["re"], "renew");
}
