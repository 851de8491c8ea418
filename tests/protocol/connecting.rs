//! R1 to R4: the URL, the upgrade, and the format of messages.

use serde_json::json;

use crate::common::client::encode;
use crate::common::http::{Answer, ask};
use crate::common::{TestServer, client::Client};

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

async fn upgrade(server: &TestServer, target: &str) -> Answer {
    ask(server.address, "GET", target, &UPGRADE).await
}

#[tokio::test]
async fn r1_a_room_is_named_by_percent_encoded_text() {
    let server = TestServer::start(&[]).await;
    for room in ["a", "圆桌", "v1.2", "...", "a b", "50%", "a+b&c=d", "🙂", &"圆".repeat(64), "👩\u{200d}💻"] {
        let client = server.join(room, "Ada").await;
        assert_eq!(client.welcome["room"], *room);
    }
}

#[tokio::test]
async fn r1_the_same_characters_are_the_same_room_and_others_are_not() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("Caf\u{e9}", "Ada").await;
    for other in ["Cafe\u{301}", "caf\u{e9}", "Cafe"] {
        assert_eq!(server.join(other, "Eve").await.welcome["peers"], json!([]), "{other:?}");
    }
    // The same characters, some of them percent-encoded unnecessarily.
    assert_eq!(upgrade(&server, "/signal-api/ws?room=%43%61%66%C3%A9").await.status, 101);
    assert_eq!(server.join("Caf\u{e9}", "Grace").await.welcome["peers"][0]["name"], "Ada");
    ada.expect("peer_joined").await;
}

#[tokio::test]
async fn r1_a_bad_name_is_refused_before_the_upgrade() {
    let server = TestServer::start(&[]).await;
    let long = "圆".repeat(65);
    for room in
        ["", ".", "..", " a", "a ", "\u{3000}a", "a/b", "a\\b", "a?b", "a#b", "a\u{7}b", "a\nb", "\u{85}", &long]
    {
        let answer = upgrade(&server, &format!("/signal-api/ws?room={}", encode(room))).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("ROOM_INVALID")), "{room:?}");
    }
}

#[tokio::test]
async fn r1_an_address_names_one_room_in_utf8() {
    let server = TestServer::start(&[]).await;
    for query in ["", "?", "?rooms=a", "?room", "?room=a&room=b", "?room=a&room=a", "?room=%FF", "?room=%C3%28"] {
        let answer = upgrade(&server, &format!("/signal-api/ws{query}")).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("ROOM_INVALID")), "{query:?}");
    }
    assert_eq!(upgrade(&server, "/signal-api/ws?later=1&room=a&more=%FF").await.status, 101);
}

#[tokio::test]
async fn r2_a_request_without_an_upgrade_is_told_so() {
    let server = TestServer::start(&[]).await;
    let mut wrong = vec![vec![]];
    for missing in 0..UPGRADE.len() {
        let mut headers = UPGRADE.to_vec();
        headers.remove(missing);
        wrong.push(headers);
    }
    let mut old = UPGRADE.to_vec();
    old[2].1 = "8";
    wrong.push(old);
    for headers in wrong {
        let answer = ask(server.address, "GET", "/signal-api/ws?room=a", &headers).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (426, Some("UPGRADE_REQUIRED")), "{headers:?}");
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
}

#[tokio::test]
async fn r3_fields_that_the_server_does_not_know_are_ignored() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "colour": {"r": 1}, "badge": 7, "role": []})).await;
    ada.send_text(r#" { "later" : [ { } ] , "type" : "ping" , "type2" : null } "#).await;
    ada.expect("pong").await;
}

#[tokio::test]
async fn r4_a_ref_comes_back_as_it_was() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    let longest = format!("\"{}\"", "r".repeat(64));
    for reference in ["0", "-1.50e3", "18446744073709551617", "\"\"", "\"\\u00e9 \\\"\"", "\"圆\"", &longest] {
        ada.send_text(&format!(r#"{{"ref":{reference},"type":"ping"}}"#)).await;
        assert_eq!(ada.next_text().await, format!(r#"{{"type":"pong","ref":{reference}}}"#));
        for bad in [r#""type":"dance""#, r#""type":"signal","to":5"#, r#""type":"join","name":"Ada""#] {
            ada.send_text(&format!(r#"{{{bad},"ref":{reference}}}"#)).await;
            let error = ada.next_text().await;
            assert!(error.ends_with(&format!(r#","ref":{reference}}}"#)), "{error}");
        }
    }
    ada.send_text(r#"{"type":"ping"}"#).await;
    assert_eq!(ada.next_text().await, r#"{"type":"pong"}"#);
}

#[tokio::test]
async fn r4_a_ref_of_another_kind_is_a_bad_field_and_is_not_echoed() {
    let server = TestServer::start(&[]).await;
    let mut ada: Client = server.join("r", "Ada").await;
    let long = format!("\"{}\"", "r".repeat(65));
    for reference in ["{}", "[1]", "true", "false", &long] {
        ada.send_text(&format!(r#"{{"type":"ping","ref":{reference}}}"#)).await;
        let error = ada.expect_error("bad_field").await;
        assert_eq!((error["re"].as_str(), error.get("ref")), (Some("ping"), None), "{reference}");
    }
}
