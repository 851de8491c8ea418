//! Several servers have the room.

use serde_json::json;

use crate::common::TestServer;

#[tokio::test]
async fn r77_a_room_on_one_server_is_never_degraded() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    ada.expect("broadcast").await;
    ada.expect_nothing().await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r78_nobody_is_busy_where_there_is_one_server() {
    let server = TestServer::start(&[]).await;
    let (mut ada, mut bob) = (server.join("r", "Ada").await, server.join("r", "Bob").await);
    ada.expect("peer_joined").await;
    for at in 0..200 {
        ada.send(json!({"type": "state", "state": {"at": at}})).await;
    }
    ada.send(json!({"type": "sync"})).await;
    loop {
        let message = ada.next_message().await.unwrap();
        match message["type"].as_str() {
            Some("state") => {}
            Some("roster") => break,
            _ => panic!("{message}"),
        }
    }
    bob.expect("state").await;
}
