//! Spans of a server and their contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::collector::{Collector, Mood};
use super::seen::Seen;
use crate::common::client::Client;
use crate::common::folder::Folder;
use crate::common::front::Front;
use crate::common::http::{self, ask};
use crate::common::program::Running;
use crate::common::receiver::{Receiver, SECRET};
use crate::common::upload::media;
use crate::common::{eventually, metric};

const DOCUMENT: &str = include_str!("../../docs/OPERATIONS.md");
const ROOM: &str = "private-room";
/// Trace ID and span ID of a caller.
const CALLER: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

/// Server in which everything that makes spans is in use.
struct Stage {
    collector: Collector,
    webhooks: Receiver,
    folder: Folder,
    engine: Child,
    running: Running,
    /// Server that shares its rooms.
    other: Running,
}

async fn metric_is(server: &Running, name: &str, value: u64) {
    eventually(name, async || metric(server.ops, &format!("roundtable_{name}")).await == value).await;
}

impl Stage {
    async fn start() -> Self {
        let (collector, webhooks, folder) =
            (Collector::start(Mood::Takes).await, Receiver::start(1).await, Folder::new());
        fs::create_dir_all(folder.path()).unwrap();
        let socket = folder.file("engine.sock");
        let engine = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server; tests/tools installs it");
        let recordings = folder.file("recordings");
        let url = format!("unix://{}", socket.display());
        let shared = [
            collector.settings(),
            ("ROUNDTABLE_REDIS_URL", &url),
            ("ROUNDTABLE_RESUME_KEY", "the same for all servers, and long"),
            // The room ends with its last member, which sends a request to the store.
            ("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s"),
        ];
        let other = Running::start(&shared);
        let own = [
            ("ROUNDTABLE_LOG", "info,roundtable::conn=debug"),
            // By name, so that every IP address in the exported data is a client's.
            ("ROUNDTABLE_WEBHOOK_URL", &webhooks.url.replace("127.0.0.1", "localhost")),
            ("ROUNDTABLE_WEBHOOK_SECRET", SECRET),
            ("ROUNDTABLE_RECORDINGS_DIR", recordings.to_str().unwrap()),
            // Two attempts in a burst, and five per second, so that the join after the one that creates a room is
            // delayed.
            ("ROUNDTABLE_ADDRESS_JOINS", "300"),
            ("ROUNDTABLE_ADDRESS_BURST", "400ms"),
            // Shortens the wait for the suspended store.
            ("ROUNDTABLE_DRAIN_TIMEOUT", "1s"),
        ];
        let running = Running::start(&[&shared[..], &own].concat());
        for server in [&running, &other] {
            metric_is(server, "engine_connected", 1).await;
        }
        Self { collector, webhooks, folder, engine, running, other }
    }

    fn signal_engine(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.engine.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    async fn end(&mut self) {
        self.running.signal("TERM");
        assert!(self.running.ended().await.success());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

/// Uses every feature once. The spans must not reveal who took part.
async fn used(stage: &mut Stage) -> Vec<Seen> {
    let address = stage.running.address;
    for (method, target) in
        [("GET", "/signal-api/v1/nothing"), ("GET", "/r/private-room"), ("BREW", "/signal-api/v1/rooms")]
    {
        ask(address, method, target, &[]).await;
    }
    let mut ada = Client::enter(address, ROOM, "Ada").await;
    let mut bob = Client::enter(address, ROOM, "Bob").await;
    for _ in 0..20 {
        bob.send(json!({"type": "signal", "to": ada.id(), "data": "private-offer"})).await;
        ada.send(json!({"type": "broadcast", "data": "private-words"})).await;
    }
    bob.expect_nothing_but(&["broadcast"]).await;
    let again = json!({"type": "join", "name": "Bob", "resume": bob.welcome["resume"], "last_seq": bob.last});
    drop(bob);
    let mut bob = Client::connect(address, ROOM).await.unwrap();
    bob.send(again).await;
    while bob.next_message().await.unwrap()["type"] != "resumed" {}

    let recordings = "/signal-api/v1/recordings";
    let begin = json!({"room": ROOM, "resume": ada.welcome["resume"]}).to_string();
    let begun = http::send(address, "POST", recordings, &[], begin).await.json();
    let data = &begun["data"];
    let (id, secret) = (data["id"].as_str().unwrap(), format!("Bearer {}", data["upload"].as_str().unwrap()));
    let piece = [&media(0, 36)[..], b"private-piece"].concat();
    let put = async |offset| {
        let target = format!("{recordings}/{id}?offset={offset}");
        http::send(address, "PUT", &target, &[("Authorization", &secret)], &piece).await.status
    };
    assert_eq!(put(0).await, 200);
    let media = stage.folder.file("recordings").join(format!("{id}.webm.part"));
    fs::remove_file(&media).unwrap();
    fs::create_dir(media).unwrap();
    assert_eq!(put(piece.len()).await, 500);

    // The store is suspended when the last member leaves.
    stage.signal_engine("STOP");
    for mut client in [bob, ada] {
        client.send(json!({"type": "leave"})).await;
        assert_eq!(client.skip_to_close().await, Some(1000));
    }
    let unanswered = |span: &Seen| span.name.starts_with("EVALSHA") && span.failed;
    eventually("the span of an unanswered request", async || stage.collector.taken().iter().any(unanswered)).await;
    stage.signal_engine("CONT");
    metric_is(&stage.running, "sockets", 0).await;
    while stage.webhooks.next().await["event"] != "peer_joined" {}
    stage.end().await;
    stage.collector.taken()
}

/// Returns the documentation's row for a span.
fn row(span: &Seen) -> &str {
    match (&*span.kind, span.name.split_once(' ')) {
        ("server", _) => "{method} {route}",
        (_, Some(("EVALSHA", _))) => "EVALSHA {script}",
        _ => &span.name,
    }
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_span_is_documented_with_all_that_it_says_and_every_documented_span_is_there() {
    let table = DOCUMENT.split("| span | kind |").nth(1).unwrap().lines().skip(2);
    let mut documented = BTreeMap::new();
    for line in table.take_while(|line| line.starts_with('|')) {
        let [_, names, kind, _, attributes, _] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let attributes: BTreeSet<_> = quoted(attributes).map(str::to_owned).collect();
        for name in quoted(names) {
            documented.insert(name.to_owned(), (kind.trim().to_owned(), attributes.clone()));
        }
    }
    let mut stage = Stage::start().await;
    let mut seen = BTreeMap::new();
    for span in used(&mut stage).await {
        let (_, attributes) = seen.entry(row(&span).to_owned()).or_insert((span.kind, BTreeSet::new()));
        attributes.extend(span.attributes.into_keys());
    }
    // Documented and recorded spans agree in names, kinds and attributes.
    assert_eq!(seen, documented);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_says_who_or_where_and_what_is_passed_on_has_no_span() {
    let mut stage = Stage::start().await;
    let spans = used(&mut stage).await;
    for (headers, body) in stage.collector.asked() {
        let sent = format!("{headers:?} {}", String::from_utf8_lossy(&body));
        // The Host header contains the collector's own address.
        let sent = sent.replace(&stage.collector.address.to_string(), "");
        for private in [ROOM, "Ada", "Bob", "private", "127.0.0.1", "BREW", "north", "/r/"] {
            assert!(!sent.contains(private), "{private} is in the exported data: {sent}");
        }
    }
    let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((count("join"), count("resume"), count("end")), (2, 1, 3), "{spans:#?}");
    // Forty messages were forwarded, and each of the three connections has three spans of its own.
    let of_connections = spans.iter().filter(|span| !span.get("roundtable.conn").is_empty());
    assert_eq!(of_connections.count(), 3 + 2 + 1 + 3);
    assert!(spans.len() < 40, "{} spans", spans.len());
    let said = stage.running.seen.join("\n");
    assert!(!said.contains("private-offer"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_one_trace_from_its_request_to_the_program_that_is_told() {
    let mut stage = Stage::start().await;
    let mut ada = Client::connect(stage.running.address, ROOM).await.unwrap();
    ada.join("Ada").await;
    let joined = stage.running.line("joined");
    let lines: Vec<Value> = stage.running.seen.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let connected = lines.iter().find(|line| line["message"] == "connected").unwrap();
    let conn = joined["span"]["conn"].as_str().unwrap();
    let of_conn = |name: &'static str| move |span: &Seen| span.name == name && span.get("roundtable.conn") == conn;

    let join = stage.collector.span("the join", of_conn("join")).await;
    let upgrade = stage.collector.span("the upgrade", of_conn("GET /signal-api/ws")).await;
    assert_eq!((&*upgrade.parent, upgrade.get("http.response.status_code")), ("", "101"));
    assert!(join.is_of(&upgrade), "{join:?} {upgrade:?}");
    assert_eq!((join.get("roundtable.outcome"), join.get("roundtable.peer")), ("joined", ada.id()));
    assert_eq!((&joined["trace_id"], &joined["span_id"]), (&json!(join.trace), &json!(join.id)));
    assert_eq!((&connected["trace_id"], &connected["span_id"]), (&json!(upgrade.trace), &json!(upgrade.id)));
    let decided = stage.collector.named("join.decided").await;
    let attach = stage.collector.named("EVALSHA attach").await;
    assert!(decided.is_of(&join) && attach.is_of(&join), "{decided:?} {attach:?}");
    assert!(attach.nanoseconds <= join.nanoseconds && decided.nanoseconds <= join.nanoseconds);

    // The first attempt fails. Each attempt sends the ID of its own span to the receiver.
    let (event, headers) = stage.webhooks.next_with_headers().await;
    assert_eq!(event["event"], "room_opened");
    let again = |span: &Seen| {
        span.get("roundtable.event") == "room_opened" && !span.get("http.request.resend_count").is_empty()
    };
    let told = stage.collector.span("the second attempt", again).await;
    assert_eq!(headers["traceparent"].to_str().unwrap(), format!("00-{}-{}-01", told.trace, told.id));
    let first = |span: &Seen| span.get("roundtable.event") == "room_opened" && span.failed;
    let refused = stage.collector.span("the first attempt", first).await;
    assert_eq!((refused.get("http.response.status_code"), refused.get("error.type")), ("503", "503"));
    assert_eq!(told.get("http.request.resend_count"), "1");

    // The end of a connection starts a new trace, with a link to the upgrade's.
    ada.send(json!({"type": "leave"})).await;
    ada.skip_to_close().await;
    drop(ada);
    let closed = stage.running.line("closed");
    let end = stage.collector.span("the end", of_conn("end")).await;
    assert_eq!((&*end.parent, end.get("roundtable.reason")), ("", "left"));
    assert_ne!(end.trace, upgrade.trace);
    assert_eq!(end.links, [(upgrade.trace, upgrade.id)]);
    assert_eq!(closed["trace_id"], json!(end.trace));
    assert_eq!(
        stage.running.seen.iter().filter(|line| line.contains("\"left\"")).count(),
        2,
        "two ends with their reason"
    );
    assert!(lines[0].get("trace_id").is_none(), "{}", lines[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_servers_put_in_order_for_a_join_is_of_its_trace() {
    let stage = Stage::start().await;
    let _ada = stage.running.join(ROOM).await;
    let _bob = stage.other.join(ROOM).await;
    let carl = stage.running.join(ROOM).await;
    let join = stage.collector.span("Carl's join", |span| span.get("roundtable.peer") == carl.id()).await;
    let append = |span: &Seen| span.name == "EVALSHA append" && span.is_of(&join);
    let append = stage.collector.span("the appended act", append).await;
    let decided = stage
        .collector
        .span("the wait for the decision", |span| span.name == "join.decided" && span.is_of(&join))
        .await;
    assert!(append.nanoseconds <= join.nanoseconds && decided.nanoseconds <= join.nanoseconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_join_and_a_defect_say_by_which_code() {
    let collector = Collector::start(Mood::Takes).await;
    let running = Running::start(&[collector.settings()]);
    let mut eve = Client::connect(running.address, ROOM).await.unwrap();
    eve.send(json!({"type": "join", "name": ""})).await;
    eve.expect_error("name_invalid").await;
    assert_eq!(collector.named("join").await.get("roundtable.outcome"), "name_invalid");
    ask(running.address, "GET", "/signal-api/ws?room=r", &[]).await;
    let refused = collector.span("a rejected request", |span| !span.get("roundtable.code").is_empty()).await;
    assert_eq!((refused.get("roundtable.code"), refused.failed), ("UPGRADE_REQUIRED", false));
    ask(running.address, "GET", "/r/private-room", &[]).await;
    let missing = collector.named("GET").await;
    assert_eq!((missing.get("error.type"), missing.failed), ("503", true), "{missing:?}");
}

/// Sends a request with this `traceparent` flag, as a caller about which nothing else is known.
async fn call(address: SocketAddr, flags: &str) {
    let traceparent = format!("00-{}-{}-{flags}", CALLER.0, CALLER.1);
    let headers = [("traceparent", &*traceparent), ("tracestate", "vendor=1")];
    assert_eq!(ask(address, "GET", "/signal-api/v1/welcome", &headers).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_s_trace_goes_on_and_a_stranger_s_is_linked_to() {
    let collector = Collector::start(Mood::Takes).await;
    let trusting = Running::start(&[collector.settings()]);
    call(trusting.address, "01").await;
    let span = collector.named("GET /signal-api/v1/welcome").await;
    assert_eq!((&*span.trace, &*span.parent, &span.links[..]), (CALLER.0, CALLER.1, &[][..]));

    let collector = Collector::start(Mood::Takes).await;
    let wary = Running::start(&[collector.settings(), ("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1")]);
    // Its sampling flag is ignored, too.
    call(wary.address, "00").await;
    let span = collector.named("GET /signal-api/v1/welcome").await;
    assert_eq!(&*span.parent, "");
    assert_ne!(span.trace, CALLER.0);
    assert_eq!(span.links, [(CALLER.0.to_owned(), CALLER.1.to_owned())]);
}

/// The image's nginx in front of a server that trusts it.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_a_trace_on_from_proxies_that_it_is_told_of_and_from_nobody_else() {
    for (proxies, goes_on) in [("192.0.2.1", false), ("127.0.0.0/8,192.0.2.1", true), ("", false)] {
        let collector = Collector::start(Mood::Takes).await;
        let running = Running::start(&[collector.settings()]);
        let places = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let places = places.map(|listener| listener.local_addr().unwrap());
        let front = Front::start(places, &[running.address], proxies).await;
        call(front.address, "01").await;
        let span = collector.named("GET /signal-api/v1/welcome").await;
        assert!(span.links.is_empty(), "{span:?}");
        assert_eq!((span.trace == CALLER.0, span.parent == CALLER.1), (goes_on, goes_on), "{proxies}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_more_kept_than_the_share_and_a_proxy_may_have_less() {
    for (flags, share) in [("01", "0"), ("00", "1")] {
        let collector = Collector::start(Mood::Takes).await;
        let settings = [collector.settings(), ("ROUNDTABLE_OTLP_SAMPLE", share), ("ROUNDTABLE_LOG", "debug")];
        let mut running = Running::start(&settings);
        for _ in 0..20 {
            call(running.address, flags).await;
        }
        running.signal("TERM");
        assert!(running.ended().await.success());
        assert_eq!(collector.asked().len(), 0, "{flags} {share}: {:#?}", collector.taken());
        assert!(!running.has_said("trace_id"), "{:#?}", running.seen);
    }
    let collector = Collector::start(Mood::Takes).await;
    let mut running = Running::start(&[collector.settings(), ("ROUNDTABLE_OTLP_SAMPLE", "0.5")]);
    for _ in 0..200 {
        call(running.address, "01").await;
    }
    running.signal("TERM");
    assert!(running.ended().await.success());
    // Fails by chance once in 10^12 runs.
    assert!((50..150).contains(&collector.taken().len()), "{}", collector.taken().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_there_is_nothing() {
    let mut webhooks = Receiver::start(0).await;
    let [url, secret] = webhooks.settings();
    let mut running = Running::start(&[url, secret, ("ROUNDTABLE_LOG", "debug")]);
    let mut ada = running.join(ROOM).await;
    let (_, headers) = webhooks.next_with_headers().await;
    assert!(headers.get("traceparent").is_none());
    ada.send(json!({"type": "leave"})).await;
    ada.skip_to_close().await;
    running.signal("TERM");
    assert!(running.ended().await.success());
    assert!(!running.has_said("trace"), "{:#?}", running.seen);
}
