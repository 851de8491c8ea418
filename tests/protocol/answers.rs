//! R66, R81, R102 and R103: the cost of large responses, of many signals to one peer, and of unacknowledged messages.

use roundtable::limits::GUARANTEED_BYTES;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::common::client::Client;
use crate::common::raw::{CONTINUATION, FIN, Raw, TEXT, masked};
use crate::common::{TestServer, eventually};

/// Returns a state of the largest size, about 5 KB.
fn large_state() -> Value {
    let text = "\u{1f600}".repeat(64);
    (0..16).map(|at| (format!("{}{at:02}", "k".repeat(30)), json!(text))).collect::<serde_json::Map<_, _>>().into()
}

/// Joins members with states of the largest size.
async fn large_room(server: &TestServer, members: usize) -> Vec<Client> {
    let mut all = Vec::new();
    for _ in 0..members {
        let mut member = server.connect("large").await;
        member.join_with(json!({"type": "join", "name": "Ada", "state": large_state()})).await;
        all.push(member);
    }
    all
}

#[tokio::test]
async fn r81_a_sync_counts_by_the_size_of_its_answer() {
    // The burst is 64 KiB, which is one second's worth.
    let settings =
        [("ROUNDTABLE_BYTE_RATE", "65536"), ("ROUNDTABLE_RATE_BURST", "1s"), ("ROUNDTABLE_RATE_PATIENCE", "500ms")];
    let server = TestServer::start(&settings).await;
    let _members = large_room(&server, 10).await;
    let mut eve = server.join("large", "Eve").await;
    for _ in 0..40 {
        eve.send(json!({"type": "sync"})).await;
    }
    let mut rosters = 0;
    let error = loop {
        let message = eve.next_message().await.unwrap();
        if message["type"] != "roster" {
            break message;
        }
        rosters += 1;
    };
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("rate_limited")), "{error}");
    assert!((1..10).contains(&rosters), "{rosters} rosters of 48 KB");
    assert_eq!(eve.expect_close().await, Some(4011));
}

#[tokio::test]
async fn r66_a_join_counts_by_the_size_of_its_answer() {
    // The burst is 80 attempts. A join with a valid secret costs a tenth, and its `welcome` of 140 KB costs 1.2 more.
    let server = TestServer::start(&[("ROUNDTABLE_ADDRESS_JOINS", "40")]).await;
    let members = large_room(&server, 30).await;
    // Each of them rejoins less often than R121 allows.
    let secrets: Vec<_> = members.iter().map(|member| &member.welcome["resume"]).collect();
    let answers = futures_util::future::join_all((0..100).map(|at| {
        let (server, resume) = (&server, secrets[at % secrets.len()]);
        async move {
            let tcp = TcpStream::connect(server.address).await.unwrap();
            let mut raw = Raw::over(tcp, "large", "X-Forwarded-For: 203.0.113.9\r\n", b"").await;
            let join = json!({"type": "join", "name": "Ada", "resume": resume, "state": large_state()});
            raw.text(&join.to_string()).await;
            // Each supersedes the previous one, which has received its response by then.
            raw.message().await
        }
    }));
    let refused = answers.await.iter().filter(|answer| answer["code"] == "too_many_attempts").count();
    // Without the charge for size, none would be rejected. Responses in progress are not charged yet, so that the
    // number varies.
    assert!((1..70).contains(&refused), "{refused} of 100 were refused");
    drop(members);
}

#[tokio::test]
async fn r102_signals_to_a_peer_that_is_sent_too_much_are_rejected_and_the_sender_stays() {
    // The burst to one recipient is 20, and the rate 50 a second. A sender that exceeds 100 a second is closed after
    // half a second.
    let settings =
        [("ROUNDTABLE_MESSAGE_RATE", "100"), ("ROUNDTABLE_RATE_BURST", "1s"), ("ROUNDTABLE_RATE_PATIENCE", "500ms")];
    let server = TestServer::start(&settings).await;
    let (mut ada, mut eve, mut bob) =
        (server.join("r", "Ada").await, server.join("r", "Eve").await, server.join("r", "Bob").await);
    eve.expect("peer_joined").await;
    for number in 0..250 {
        ada.send(json!({"type": "signal", "to": eve.id(), "data": number, "ref": number})).await;
    }
    // Signals to Bob are still forwarded.
    ada.send(json!({"type": "signal", "to": bob.id(), "data": "last"})).await;
    assert_eq!(bob.expect("signal").await["data"], "last");
    ada.send(json!({"type": "ping"})).await;
    ada.expect("peer_joined").await;
    ada.expect("peer_joined").await;
    let mut rejected = Vec::new();
    loop {
        let message = ada.next_message().await.unwrap();
        if message["type"] == "pong" {
            break;
        }
        let told = (&message["code"], &message["re"]);
        assert_eq!(told, (&json!("too_many_signals"), &json!("signal")), "{message}");
        assert!((1..5_000).contains(&message["retry_after_ms"].as_u64().unwrap()), "{message}");
        rejected.push(message["ref"].as_u64().unwrap());
    }
    assert!((100..230).contains(&rejected.len()), "{}", rejected.len());
    let passed: Vec<u64> = (0..250).filter(|number| !rejected.contains(number)).collect();
    for number in passed {
        assert_eq!(eve.expect("signal").await["data"], number);
    }
    eve.expect_nothing().await;
}

#[tokio::test]
async fn r103_members_of_one_address_that_acknowledge_nothing_hold_bounded_memory() {
    const LIMIT: u64 = 1 << 20;
    const DEAF: u64 = 40;
    let settings = [
        ("ROUNDTABLE_MAX_QUEUED_BYTES_PER_IP", "1048576"),
        ("ROUNDTABLE_RESUME_WINDOW", "5s"),
        ("ROUNDTABLE_BYTE_RATE", "0"),
        ("ROUNDTABLE_ROOM_BYTE_RATE", "0"),
    ];
    let server = TestServer::start(&settings).await;
    let mut ada = server.join("r", "Ada").await;
    let enter = async |address: &str, join: Value| {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let mut raw = Raw::over(tcp, "r", &format!("X-Forwarded-For: {address}\r\n"), b"").await;
        raw.text(&join.to_string()).await;
        let answer = raw.message().await;
        (raw, answer)
    };
    let join = json!({"type": "join", "name": "Eve"});
    let (bob, bobs) = enter("203.0.113.2", join.clone()).await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(enter("203.0.113.1", join.clone()).await);
    }
    // As many bytes as the replay buffers hold: 10 MB in total.
    let data = "x".repeat(10_000);
    for _ in 0..25 {
        ada.send(json!({"type": "broadcast", "data": data})).await;
    }
    ada.expect_nothing_but(&["peer_joined"]).await;
    let held = server.metric("roundtable_queued_bytes").await;
    let bound = LIMIT + DEAF * GUARANTEED_BYTES as u64 + 300_000;
    assert!((LIMIT..bound).contains(&held), "{held} bytes are held, of {bound}");
    // The replay buffers of other addresses are complete, and those of this address are not.
    let come_back =
        |welcome: &Value| json!({"type": "join", "name": "Eve", "resume": welcome["resume"], "last_seq": 0});
    drop(bob);
    assert_eq!(enter("203.0.113.2", come_back(&bobs)).await.1["type"], "resumed");
    let (eve, welcome) = deaf.pop().unwrap();
    drop(eve);
    let again = enter("203.0.113.1", come_back(&welcome)).await.1;
    assert_eq!(again["not_resumed"], "resume_lost", "{}", again["type"]);
    deaf.clear();
    drop(ada);
    server.metric_becomes("roundtable_queued_bytes", 0).await;
}

/// Each message has two frames and occupies a buffer of its own in the server.
#[tokio::test]
async fn r103_unfinished_messages_of_one_address_hold_bounded_memory() {
    const LIMIT: u64 = 1 << 20;
    const SENDERS: u64 = 40;
    let settings = [
        ("ROUNDTABLE_MAX_QUEUED_BYTES_PER_IP", "1048576"),
        ("ROUNDTABLE_RESUME_WINDOW", "1s"),
        ("ROUNDTABLE_BYTE_RATE", "0"),
        ("ROUNDTABLE_ROOM_BYTE_RATE", "0"),
    ];
    let server = TestServer::start(&settings).await;
    let enter = async |address: &str, name: &str| {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let (raw, welcome) =
            Raw::over(tcp, "r", &format!("X-Forwarded-For: {address}\r\n"), b"").await.joined(name).await;
        (raw, welcome["self"].clone())
    };
    let (mut bob, bobs) = enter("203.0.113.2", "Bob").await;
    let mut ada = server.join("r", "Ada").await;
    let message = json!({"type": "broadcast", "data": "x".repeat(60_000)}).to_string();
    let (begin, end) = message.split_at(55_000);
    bob.frame(TEXT, begin.as_bytes()).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let (mut eve, _) = enter("203.0.113.1", "Eve").await;
        eve.frame(TEXT, begin.as_bytes()).await;
        senders.push(eve);
    }
    // Senders whose first frame arrived before the limit was reached are closed when they continue: a part of the rest
    // is enough.
    for eve in &mut senders {
        eve.bytes(&masked(FIN | CONTINUATION, end.as_bytes())[..100]).await;
    }
    let bound = LIMIT + SENDERS * GUARANTEED_BYTES as u64 + 60_000;
    let held = async || server.metric("roundtable_queued_bytes").await;
    eventually("bounded memory", async || (60_000..bound).contains(&held().await)).await;
    let last = senders.last_mut().unwrap();
    assert_eq!(last.close_code().await, 4011);
    // A sender with another address can complete its message.
    bob.frame(FIN | CONTINUATION, end.as_bytes()).await;
    loop {
        let message = ada.next_message().await.unwrap();
        if message["type"] == "broadcast" {
            break assert_eq!((message["data"].as_str().unwrap().len(), &message["from"]), (60_000, &bobs));
        }
    }
    drop((senders, bob, ada));
    server.metric_becomes("roundtable_queued_bytes", 0).await;
}

#[tokio::test]
async fn r103_buffers_that_large_messages_have_grown_are_bounded() {
    const LIMIT: u64 = 1 << 20;
    const SENDERS: u64 = 40;
    let settings = [("ROUNDTABLE_MAX_QUEUED_BYTES_PER_IP", "1048576"), ("ROUNDTABLE_RESUME_WINDOW", "1s")];
    let server = TestServer::start(&settings).await;
    let message = json!({"type": "broadcast", "data": "x".repeat(60_000)}).to_string();
    let mut senders = Vec::new();
    for at in 0..SENDERS {
        let (mut eve, _) = Raw::join(&server, &format!("r{at}"), "Eve").await;
        eve.text(&message).await;
        senders.push(eve);
    }
    let held = async || server.metric("roundtable_queued_bytes").await;
    eventually("bounded memory", async || (LIMIT / 2..LIMIT + 70_000).contains(&held().await)).await;
    assert_eq!(senders.last_mut().unwrap().close_code().await, 4011);
}
