//! R33 to R35: information over HTTP. `tests/http.rs` covers the rest of HTTP.

use serde_json::{Value, json};

use crate::common::client::encode;
use crate::common::{TestServer, http::ask};

#[tokio::test]
async fn r33_every_answer_is_in_the_envelope() {
    let server = TestServer::start(&[]).await;
    for (method, path, status, code) in [
        ("GET", "/signal-api/v1/welcome", 200, "SUCCESS"),
        ("GET", "/signal-api/v1/rooms/a", 200, "SUCCESS"),
        ("GET", "/signal-api/v1/rooms/a%2Fb", 400, "ROOM_INVALID"),
        ("GET", "/signal-api/v1/rooms/%FF", 400, "ROOM_INVALID"),
        ("GET", "/signal-api/ws", 426, "UPGRADE_REQUIRED"),
        ("POST", "/signal-api/v1/rooms", 200, "SUCCESS"),
        ("POST", "/signal-api/v1/check", 200, "SUCCESS"),
        ("GET", "/signal-api/v1/check", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/signal-api/v1/rooms", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/signal-api/v1/rooms/", 404, "NOT_FOUND"),
        ("GET", "/signal-api/v1/rooms/a/b", 404, "NOT_FOUND"),
        ("GET", "/signal-api/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/signal-api/v1/", 404, "NOT_FOUND"),
        ("GET", "/signal-api/v1", 404, "NOT_FOUND"),
        ("GET", "/signal-api/", 404, "NOT_FOUND"),
        ("GET", "/signal-api", 404, "NOT_FOUND"),
        ("GET", "/signal-api/ws/", 404, "NOT_FOUND"),
        ("POST", "/signal-api/v1/welcome", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/signal-api/v1/rooms/a", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/signal-api/ws?room=a", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = ask(server.address, method, path, &[]).await;
        let body = answer.json();
        assert_eq!((answer.status, body["code"].as_str()), (status, Some(code)), "{method} {path}");
        let other = if code == "SUCCESS" { "data" } else { "message" };
        let keys: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["code", other], "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
    }
}

#[tokio::test]
async fn r34_welcome_tells_what_this_server_is() {
    let server = TestServer::start(&[("TZ", "Asia/Kathmandu")]).await;
    let mut body = server.get("/signal-api/v1/welcome").await.json();
    let time = body["data"]["time"].take();
    assert!(time.as_str().unwrap().ends_with("+05:45"), "{time}");
    let instance = body["data"]["instance"].take();
    assert!(instance.as_str().is_some_and(|id| id.len() == 16), "{instance}");
    let again = server.get("/signal-api/v1/welcome?room=r").await.json();
    assert_eq!(again["data"]["instance"], instance, "the instance changed while the server runs");
    let data = json!({
        "name": "roundtable",
        "version": env!("CARGO_PKG_VERSION"),
        "features": ["hosts", "resume", "session", "state", "sync"],
        "time": null,
        "instance": null,
        "cluster": false,
    });
    assert_eq!(body, json!({"code": "SUCCESS", "data": data}));
}

#[tokio::test]
async fn r35_a_room_tells_whether_one_could_join_and_not_who_is_there() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "3"), ("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    let room = "圆桌 v1.2";
    let ask = async |server: &TestServer| -> Value {
        let answer = server.get(&format!("/signal-api/v1/rooms/{}", encode(room))).await;
        assert_eq!(answer.json()["code"], "SUCCESS");
        answer.json()["data"].clone()
    };
    let closed =
        json!({"room": room, "open": false, "locked": false, "members": 0, "members_max": 3, "recorded": false});
    assert_eq!(ask(&server).await, closed);
    let ada = server.join(room, "Ada").await;
    let _bob = server.join(room, "Bob").await;
    let open = json!({"room": room, "open": true, "locked": false, "members": 2, "members_max": 3, "recorded": false});
    assert_eq!(ask(&server).await, open);
    ada.close().await;
    crate::common::eventually("a departure", async || ask(&server).await["members"] == 1).await;
    let host = json!({"type": "join", "name": "Eve", "settings": {"locked": true}});
    let mut eve = server.connect("locked").await;
    eve.join_with(host).await;
    assert_eq!(server.get("/signal-api/v1/rooms/locked").await.json()["data"]["locked"], true);
    eve.close().await;
    server.metric_becomes("roundtable_rooms", 1).await;
    // A query for a room does not create it.
    server.get("/signal-api/v1/rooms/never").await;
    assert_eq!(server.metric("roundtable_rooms").await, 1);
}
