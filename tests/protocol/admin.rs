//! R68 to R70: what whoever runs the server sees and does. tests/openapi.rs holds the answers against their document.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::encode;
use crate::common::http::{Answer, ask};

const TOKEN: &str = "north-north-north-north";

async fn admin(settings: &[(&str, &str)]) -> TestServer {
    TestServer::start(&[settings, &[("ROUNDTABLE_ADMIN_TOKEN", TOKEN)]].concat()).await
}

async fn call(server: &TestServer, method: &str, path: &str, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let path = format!("/signal-api/v1/admin{path}");
    ask(server.address, method, &path, &[("Authorization", &authorization)]).await
}

/// The data of an answer that is one.
async fn data(server: &TestServer, method: &str, path: &str) -> Value {
    let answer = call(server, method, path, TOKEN).await;
    assert_eq!((answer.status, &answer.json()["code"]), (200, &json!("SUCCESS")), "{method} {path}");
    answer.json()["data"].clone()
}

async fn refused(server: &TestServer, method: &str, path: &str, status: u16, code: &str) {
    let answer = call(server, method, path, TOKEN).await;
    assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{method} {path}");
}

#[tokio::test]
async fn r68_without_the_token_there_is_nothing_to_see() {
    let server = admin(&[("ROUNDTABLE_ADDRESS_JOINS", "60")]).await;
    let without = ask(server.address, "GET", "/signal-api/v1/admin/rooms", &[]).await;
    assert_eq!((without.status, without.header("www-authenticate")), (401, Some("Bearer")));
    let basic = [("Authorization", "Basic bm9ydGg6")];
    assert_eq!(ask(server.address, "GET", "/signal-api/v1/admin/rooms", &basic).await.status, 401);
    for (method, path) in [("GET", "/rooms"), ("GET", "/nothing"), ("PUT", "/rooms"), ("POST", "/drain")] {
        let answer = call(&server, method, path, "north-north-north-nort").await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("UNAUTHORIZED")), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(!server.app.is_draining());
    refused(&server, "GET", "/nothing", 404, "NOT_FOUND").await;
    refused(&server, "PUT", "/rooms", 405, "METHOD_NOT_ALLOWED").await;
    // Guesses are slowed like those at the door: 120 are free, each takes ten; then one waits, and the next is refused.
    for _ in 0..8 {
        call(&server, "GET", "/rooms", "guess").await;
    }
    refused(&server, "GET", "/rooms", 429, "TOO_MANY_ATTEMPTS").await;

    let off = TestServer::start(&[]).await;
    refused(&off, "GET", "/rooms", 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn r69_rooms_are_listed_by_name_in_pages() {
    let server = admin(&[]).await;
    let mut members = Vec::new();
    for room in ["b", "圆桌", "a", "c d", "a"] {
        members.push(server.join(room, "Ada").await);
    }
    assert_eq!(
        data(&server, "GET", "/rooms?limit=2").await,
        json!({"total": 4, "next": "b", "rooms": [
            {"room": "a", "members": 2, "waiting": 0, "settings": {"locked": false, "lobby": false, "talk": false}},
            {"room": "b", "members": 1, "waiting": 0, "settings": {"locked": false, "lobby": false, "talk": false}},
        ]})
    );
    let rest = data(&server, "GET", "/rooms?limit=2&after=b").await;
    let names: Vec<_> = rest["rooms"].as_array().unwrap().iter().map(|room| room["room"].clone()).collect();
    assert_eq!((names, rest.get("next")), (vec![json!("c d"), json!("圆桌")], None));
    assert_eq!(data(&server, "GET", &format!("/rooms?after={}", encode("圆桌"))).await["rooms"], json!([]));
    for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1"] {
        refused(&server, "GET", &format!("/rooms?{bad}"), 400, "PARAMETER_INVALID").await;
    }

    members[0].send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    members[0].expect("settings").await;
    let mut guest = server.connect("b").await;
    guest.send(json!({"type": "join", "name": "Grace"})).await;
    guest.expect("waiting").await;
    let shown = members[0].expect("lobby").await["waiting"].clone();
    assert_eq!(
        data(&server, "GET", "/rooms/b").await,
        json!({"room": "b", "version": 2, "settings": {"locked": false, "lobby": true, "talk": false},
            "members": [{"id": members[0].id(), "name": "Ada", "role": "host", "state": {}}], "waiting": shown})
    );
    refused(&server, "GET", "/rooms/never", 404, "ROOM_NOT_FOUND").await;
    refused(&server, "GET", "/rooms/a%2Fb", 400, "ROOM_INVALID").await;
}

#[tokio::test]
async fn r70_peers_are_removed_rooms_closed_and_the_server_drained() {
    let server = admin(&[]).await;
    let (mut ada, mut eve) = (server.join("r", "Ada").await, server.join("r", "Eve").await);
    ada.expect("peer_joined").await;
    let peer = |id: &str| format!("/rooms/r/peers/{id}");
    data(&server, "DELETE", &peer(eve.id())).await;
    assert_eq!(ada.expect("peer_left").await["reason"], "removed");
    assert_eq!(eve.expect_close().await, Some(4008));
    refused(&server, "DELETE", &peer(eve.id()), 404, "PEER_NOT_FOUND").await;
    refused(&server, "DELETE", &peer("nobody"), 404, "PEER_NOT_FOUND").await;
    refused(&server, "DELETE", &format!("/rooms/never/peers/{}", ada.id()), 404, "ROOM_NOT_FOUND").await;

    // Who waits may be sent away as well.
    ada.send(json!({"type": "moderate", "action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    let mut guest = server.connect("r").await;
    guest.send(json!({"type": "join", "name": "Grace"})).await;
    guest.expect("waiting").await;
    let shown = ada.expect("lobby").await;
    data(&server, "DELETE", &peer(shown["waiting"][0]["id"].as_str().unwrap())).await;
    assert_eq!(guest.expect_close().await, Some(4007));
    ada.expect("lobby").await;

    data(&server, "DELETE", "/rooms/r").await;
    assert_eq!(ada.expect_close().await, Some(4009));
    refused(&server, "DELETE", "/rooms/r", 404, "ROOM_NOT_FOUND").await;
    assert_eq!(server.metric("roundtable_rooms").await, 0);

    let mut zoe = server.join("z", "Zoe").await;
    // Those that are closed and still held open by their clients count as well.
    assert!(data(&server, "POST", "/drain").await["connections"].as_u64().unwrap() >= 1);
    zoe.expect("go_away").await;
    assert_eq!(zoe.expect_close().await, Some(1012));
    assert_eq!(ask(server.ops, "GET", "/readyz", &[]).await.status, 503);
}
