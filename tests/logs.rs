//! Log lines about connections, from the real binary: each line has its connection's ID, and none contains a secret.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::common::client::Client;
use crate::common::folder::Folder;
use crate::common::http::send;
use crate::common::program::Running;
use crate::common::raw::Raw;
use crate::common::tokens::{Keys, later};
use crate::common::{eventually, metric};

/// Log level that docs/OPERATIONS.md recommends.
const LEVELS: (&str, &str) = ("ROUNDTABLE_LOG", "info,roundtable::conn=debug");

/// Opens a connection. Returns it with the ID that its log lines have.
async fn connect(running: &mut Running) -> (Client, Value) {
    let client = Client::connect(running.address, "private-room").await.unwrap();
    let id = running.line("connected")["span"]["conn"].take();
    assert!(id.as_str().is_some_and(|id| id.len() == 8), "{id}");
    (client, id)
}

/// Returns the messages about one connection in their order.
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
    // The socket closes without `leave`, and the client resumes its session over another connection.
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
async fn a_page_that_cannot_be_read_is_logged_without_the_room() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.file("r")).unwrap();
    for page in ["index.html", "r/index.html"] {
        // A symbolic link to itself.
        std::os::unix::fs::symlink(folder.file(page), folder.file(page)).unwrap();
    }
    let mut running = Running::start(&[("ROUNDTABLE_STATIC_DIR", folder.path())]);
    assert_eq!(send(running.address, "GET", "/r/private-room", &[], Vec::new()).await.status, 500);
    let line = running.line("cannot read a file of the frontend");
    assert!(!line.to_string().contains("private-room"), "{line}");
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

#[tokio::test]
async fn rejected_pages_are_logged_once_a_minute_with_what_to_change() {
    let mut running = Running::start(&[]);
    for room in ["private-room", "other-room"] {
        let tcp = TcpStream::connect(running.address).await.unwrap();
        let mut page = Raw::over(tcp, room, "Origin: https://elsewhere.example\r\n", b"").await;
        page.text(r#"{"type":"join","name":"Eve","proof":"guess-at-a-proof"}"#).await;
        assert_eq!(page.message().await["code"], "origin_not_allowed");
        assert_eq!(page.close_code().await, 4012);
    }
    let line = running.line("rejected a page of another origin");
    let told = (&line["level"], &line["origin"], &line["host"], &line["suppressed"]);
    assert_eq!(told, (&json!("WARN"), &json!("https://elsewhere.example"), &json!("test"), &json!(0)), "{line}");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("proxy_set_header Host") && message.contains("ROUNDTABLE_ALLOWED_ORIGINS"), "{line}");
    running.signal("TERM");
    assert!(running.ended().await.success());
    let warned = running.seen.iter().filter(|line| line.contains("rejected a page")).count();
    assert_eq!(warned, 1, "{:#?}", running.seen);
    assert!(!running.has_said("guess-at-a-proof") && !running.has_said("-room"), "{:#?}", running.seen);
}

/// A proxy on an internal address that the server does not trust: all its clients count as one address, and some are
/// rejected.
#[tokio::test]
async fn joins_rejected_behind_a_proxy_are_logged_with_the_setting_that_fixes_it() {
    // The burst is 20 attempts, which is enough to create two rooms.
    let mut running =
        Running::start(&[("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1"), ("ROUNDTABLE_ADDRESS_JOINS", "10")]);
    let mut rejected = 0;
    for number in 0..12 {
        let mut member = Client::connect(running.address, &format!("room-{number}")).await.unwrap();
        member.send(json!({"type": "join", "name": "Ada"})).await;
        let answer = member.next_message().await.unwrap();
        rejected += u32::from(answer["code"] == "too_many_attempts");
    }
    assert!(rejected > 5, "{rejected}");
    let line = running.line("attempts to join are rejected");
    assert_eq!(
        (&line["level"], &line["address"], &line["limit"], &line["rejected"]),
        (&json!("WARN"), &json!("127.0.0.1"), &json!("ROUNDTABLE_ADDRESS_JOINS"), &json!(1))
    );
    let message = line["message"].as_str().unwrap();
    for part in [
        "looks like a proxy",
        "ROUNDTABLE_TRUSTED_PROXIES=192.0.2.1/32,127.0.0.1",
        "proxy_set_header X-Forwarded-For $remote_addr;",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let counted = metric(running.ops, "roundtable_shared_addresses_total{cause=\"limit\"}").await;
    assert_eq!(counted, u64::from(rejected));
    running.signal("TERM");
    assert!(running.ended().await.success());
    let lines = running.seen.iter().filter(|line| line.contains("are rejected")).count();
    assert_eq!(lines, 1, "more than one line per minute: {:#?}", running.seen);
}

/// Every limit that rejects people is logged, even if no proxy causes it.
#[tokio::test]
async fn every_limit_that_rejects_people_is_logged() {
    let settings = [("ROUNDTABLE_CONNECTIONS", "3"), ("ROUNDTABLE_ROOM_MEMBERS", "1"), ("ROUNDTABLE_ROOMS", "1")];
    let mut running = Running::start(&settings);
    let _ada = running.join("r").await;
    let join = async |room: &str| {
        let mut late = Client::connect(running.address, room).await.unwrap();
        late.send(json!({"type": "join", "name": "Late"})).await;
        let code = late.next_message().await.unwrap()["code"].clone();
        late.drain().await;
        eventually("its connection to be released", async || metric(running.ops, "roundtable_sockets").await == 1)
            .await;
        code
    };
    assert_eq!(join("r").await, "room_full");
    assert_eq!(join("other").await, "server_full");
    let held = [running.address; 2].map(|address| Client::connect(address, "r"));
    let [one, two] = held;
    let _held = (one.await.unwrap(), two.await.unwrap());
    assert!(Client::connect(running.address, "r").await.is_err());
    for limit in ["ROUNDTABLE_ROOM_MEMBERS", "ROUNDTABLE_ROOMS, ROUNDTABLE_MEMBERS", "ROUNDTABLE_CONNECTIONS"] {
        assert_eq!(running.line("rejected")["limit"], limit);
    }
}
