//! The log lines of connections, of the real program: each is of one connection, and says nothing that opens a door.

mod common;

use serde_json::{Value, json};

use common::client::Client;
use common::program::Running;
use common::tokens::{Keys, later};

/// As docs/OPERATIONS.md says.
const LEVELS: (&str, &str) = ("ROUNDTABLE_LOG", "info,roundtable::conn=debug");

/// A connection, and the id that its lines have.
async fn connect(running: &mut Running) -> (Client, Value) {
    let client = Client::connect(running.address, "private-room").await.unwrap();
    let id = running.line("connected")["span"]["conn"].take();
    assert!(id.as_str().is_some_and(|id| id.len() == 8), "{id}");
    (client, id)
}

/// What is said of one connection, in its order.
fn said<'a>(lines: &'a [Value], conn: &Value) -> Vec<&'a str> {
    let own = lines.iter().filter(|line| line["span"]["conn"] == *conn);
    own.map(|line| line["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_line_of_a_connection_has_its_id_and_no_secret() {
    let keys = Keys::new();
    let mut settings = keys.settings("token").to_vec();
    settings.push(LEVELS);
    let mut running = Running::start(&settings);
    let token = keys.token(json!({"room": "private-room", "exp": later(600.0)}));
    let join = json!({"type": "join", "name": "Ada", "token": token});

    let (mut ada, ada_id) = connect(&mut running).await;
    ada.join_with(join.clone()).await;
    assert_eq!(running.line("joined")["peer"], *ada.id());
    let (mut bob, bob_id) = connect(&mut running).await;
    assert_ne!(ada_id, bob_id);
    bob.join_with(join.clone()).await;
    running.line("joined");
    let (peer, resume) = (ada.id().to_owned(), ada.welcome["resume"].clone());
    let last = ada.last;
    // Without a goodbye: it comes back to its session, by another connection.
    drop(ada);
    let lost = running.line("lost");
    assert_eq!((&lost["span"]["conn"], &lost["reason"]), (&ada_id, &json!("closed")));
    let closed = running.line("closed");
    assert_eq!(
        (&closed["span"]["conn"], &closed["code"], &closed["reason"]),
        (&ada_id, &Value::Null, &json!("client"))
    );
    assert!(closed["lasted_ms"].is_u64() && closed["messages"] == 1, "{closed}");
    let (mut back, back_id) = connect(&mut running).await;
    let mut again = join.clone();
    (again["resume"], again["last_seq"]) = (resume.clone(), json!(last));
    back.send(again).await;
    let resumed = running.line("resumed");
    assert_eq!((&resumed["span"]["conn"], &resumed["peer"]), (&back_id, &json!(peer)));

    let (mut eve, eve_id) = connect(&mut running).await;
    eve.send(json!({"type": "join", "name": "Eve", "token": "guess-at-a-token"})).await;
    let refused = running.line("refused");
    assert_eq!((&refused["span"]["conn"], &refused["code"]), (&eve_id, &json!("token_invalid")));
    assert_eq!(eve.skip_to_close().await, Some(4010));

    bob.send(json!({"type": "leave"})).await;
    assert_eq!(bob.skip_to_close().await, Some(1000));
    drop((bob, eve, back));
    for _ in 0..3 {
        running.line("closed");
    }
    running.signal("TERM");
    assert!(running.ended().await.success());

    let lines: Vec<Value> = running.seen.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said(&lines, &ada_id), ["connected", "joined", "lost", "closed"]);
    assert_eq!(said(&lines, &bob_id), ["connected", "joined", "left", "closed"]);
    assert_eq!(said(&lines, &back_id), ["connected", "resumed", "lost", "closed"]);
    assert_eq!(said(&lines, &eve_id), ["connected", "refused", "closed"]);
    let close = |conn: &Value| {
        let own = lines.iter().find(|line| line["span"]["conn"] == *conn && line["message"] == "closed");
        own.map(|line| (line["code"].clone(), line["reason"].clone())).unwrap()
    };
    assert_eq!(close(&bob_id), (json!(1000), json!("left")));
    assert_eq!(close(&eve_id), (json!(4010), json!("unauthorized")));
    let log = running.seen.join("\n");
    for secret in [&token, resume.as_str().unwrap(), "guess-at-a-token", "private-room", "Eve"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn of_a_connection_nothing_is_said_by_default() {
    let mut running = Running::start(&[]);
    let mut ada = running.join("r").await;
    ada.send(json!({"type": "leave"})).await;
    ada.skip_to_close().await;
    running.signal("TERM");
    assert!(running.ended().await.success());
    assert!(!running.seen.iter().any(|line| line.contains("roundtable::conn")), "{:#?}", running.seen);
}
