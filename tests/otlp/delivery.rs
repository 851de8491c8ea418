//! Delivery of spans to a collector, and behaviour while it accepts none.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::collector::{Collector, Mood};
use crate::common::program::{BINARY, Running, program, run, text};
use crate::common::{eventually, http, metric, within};

/// Maximum spans that the server keeps: in its queue, and in the batch that is being sent
/// (src/telemetry/traces/delivery.rs).
const KEPT: u64 = 2_048 + 512;

async fn spans(running: &Running, outcome: &str) -> u64 {
    metric(running.ops, &format!("roundtable_otlp_spans_total{{outcome=\"{outcome}\"}}")).await
}

async fn become_(running: &Running, outcome: &str, count: u64) {
    eventually(outcome, async || spans(running, outcome).await == count).await;
}

async fn ask(running: &Running) {
    assert_eq!(http::ask(running.address, "GET", "/signal-api/v1/welcome", &[]).await.status, 200);
}

/// Counts the log lines that contain this text.
fn said(running: &mut Running, what: &str) -> usize {
    running.has_said("");
    running.seen.iter().filter(|line| line.contains(what)).count()
}

const AWAY: &str = "traces do not reach the collector";
const BACK: &str = "traces reach the collector again";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_end_is_sent_with_the_headers_that_are_asked_for_and_never_logged() {
    let collector = Collector::start(Mood::Takes).await;
    let mut running = Running::start(&[
        collector.settings(),
        ("ROUNDTABLE_OTLP_HEADERS", "authorization=Basic%20northnorth,x-scope-orgid=team"),
        ("ROUNDTABLE_LOG", "trace"),
    ]);
    ask(&running).await;
    running.signal("TERM");
    assert!(running.ended().await.success());
    let asked = collector.asked();
    let (headers, _) = &asked[0];
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((header("authorization"), header("x-scope-orgid")), ("Basic northnorth", "team"));
    assert_eq!(header("content-type"), "application/x-protobuf");
    assert_eq!(collector.taken().len(), 1);
    assert!(!running.has_said("northnorth"), "{:#?}", running.seen);
    assert!(running.has_said("traces are sent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_says_which_one_it_is() {
    let collector = Collector::start(Mood::Takes).await;
    let own = Running::start(&[collector.settings()]);
    ask(&own).await;
    let span = collector.named("GET /signal-api/v1/welcome").await;
    let of = |name: &str| span.resource[name].clone();
    assert_eq!((of("service.name"), of("service.version")), ("roundtable".into(), env!("CARGO_PKG_VERSION").into()));
    assert_eq!(of("service.instance.id").len(), 32);

    let collector = Collector::start(Mood::Takes).await;
    let more = ("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one,deployment.environment.name=test");
    let named = Running::start(&[collector.settings(), ("OTEL_SERVICE_NAME", "meetings"), more]);
    ask(&named).await;
    let span = collector.named("GET /signal-api/v1/welcome").await;
    let of = |name: &str| span.resource[name].as_str();
    assert_eq!((of("service.name"), of("service.instance.id")), ("meetings", "one"));
    assert_eq!(of("deployment.environment.name"), "test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_takes_nothing_for_now_is_asked_again() {
    let collector = Collector::start(Mood::Answers(503)).await;
    let mut running = Running::start(&[collector.settings()]);
    ask(&running).await;
    collector.is_asked(3).await;
    collector.is_to(Mood::Takes);
    running.line(BACK);
    become_(&running, "exported", 1).await;
    let asked = collector.asked();
    assert!(asked.iter().all(|(_, body)| *body == asked[0].1), "a retry with another batch");
    assert_eq!((said(&mut running, AWAY), spans(&running, "failed").await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_wants_to_be_asked_in_ages_is_given_up_until_the_next_batch() {
    let collector = Collector::start(Mood::Later).await;
    let running = Running::start(&[collector.settings()]);
    ask(&running).await;
    become_(&running, "failed", 1).await;
    assert_eq!(collector.asked().len(), 1);
    collector.is_to(Mood::Takes);
    ask(&running).await;
    become_(&running, "exported", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_is_told_of_once_and_so_is_its_return() {
    // The port is reserved, but refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let mut running = Running::start(&[("ROUNDTABLE_OTLP_ENDPOINT", &endpoint), ("ROUNDTABLE_LOG", "debug")]);
    ask(&running).await;
    running.line(AWAY);
    // The retried batch may be any of them.
    for _ in 0..3 {
        ask(&running).await;
        running.line("traces still do not reach");
    }
    let collector = Collector::on(socket.listen(16).unwrap(), Mood::Takes);
    running.line(BACK);
    become_(&running, "exported", 4).await;
    assert_eq!(collector.taken().len(), 4, "spans were lost while the collector was down");
    assert_eq!((said(&mut running, AWAY), said(&mut running, BACK)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_refuses_is_given_up_and_counted() {
    let collector = Collector::start(Mood::Answers(400)).await;
    let mut running = Running::start(&[collector.settings()]);
    ask(&running).await;
    become_(&running, "failed", 1).await;
    assert!(running.line(AWAY)["why"].as_str().unwrap().contains("400"));
    collector.is_to(Mood::RefusesOne);
    ask(&running).await;
    become_(&running, "failed", 2).await;
    collector.is_to(Mood::Takes);
    ask(&running).await;
    become_(&running, "exported", 1).await;
    running.line(BACK);
    assert_eq!(collector.asked().len(), 3, "not sent exactly once");
    assert_eq!((said(&mut running, AWAY), said(&mut running, BACK)), (1, 1));
}

/// Sends this many requests over one connection, and checks that all are answered.
async fn ask_many(address: SocketAddr, count: usize) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let (mut reads, mut writes) = tcp.split();
    let request = "GET /signal-api/v1/welcome HTTP/1.1\r\nHost: test\r\n";
    let mut all = format!("{request}\r\n").repeat(count - 1);
    all.push_str(&format!("{request}Connection: close\r\n\r\n"));
    let mut answers = Vec::new();
    let (wrote, read) = tokio::join!(writes.write_all(all.as_bytes()), reads.read_to_end(&mut answers));
    wrote.unwrap();
    read.unwrap();
    assert_eq!(text(&answers).matches("HTTP/1.1 200").count(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_nobody_up_and_what_does_not_fit_is_dropped() {
    let collector = Collector::start(Mood::Hangs).await;
    let mut running = Running::start(&[collector.settings()]);
    ask(&running).await;
    collector.is_asked(1).await;
    within("the responses to many requests", ask_many(running.address, 4_000)).await;
    // The queue is full, and the batch being sent holds only the first request.
    let dropped = spans(&running, "dropped").await;
    assert_eq!(dropped, 4_000 - (KEPT - 512), "expected one span in the batch and a full queue");
    let mut ada = running.join("r").await;
    let mut bob = running.join("r").await;
    ada.expect("peer_joined").await;
    ada.send(json!({"type": "signal", "to": bob.id(), "data": 1})).await;
    bob.expect("signal").await;
    assert!(spans(&running, "dropped").await > dropped);

    let begun = Instant::now();
    running.signal("TERM");
    assert!(running.ended().await.success());
    // Docker's stop timeout is 15 s (docker-compose.yml).
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(running.has_said("the last traces were not sent in time"), "{:#?}", running.seen);
    assert_eq!(collector.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_come_from_a_file_which_may_be_empty() {
    let folder = crate::common::folder::Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.file("headers");
    std::fs::write(&file, "x-key=northnorth\n").unwrap();
    let collector = Collector::start(Mood::Takes).await;
    let from_file = ("ROUNDTABLE_OTLP_HEADERS_FILE", file.to_str().unwrap());
    let running = Running::start(&[collector.settings(), from_file]);
    ask(&running).await;
    collector.is_asked(1).await;
    assert_eq!(collector.asked()[0].0["x-key"], "northnorth");
    std::fs::write(&file, "").unwrap();
    let collector = Collector::start(Mood::Takes).await;
    let running = Running::spawn({
        let mut server = program(BINARY, &[from_file]);
        server.env("ROUNDTABLE_OTLP_ENDPOINT", &collector.endpoint);
        server
    });
    ask(&running).await;
    collector.is_asked(1).await;
    assert!(collector.asked()[0].0.get("x-key").is_none());

    std::fs::write(&file, "northnorth\n").unwrap();
    let output = run(&[], &[("ROUNDTABLE_OTLP_ENDPOINT", "http://127.0.0.1:1"), from_file]);
    let error = text(&output.stderr);
    assert!(error.contains("ROUNDTABLE_OTLP_HEADERS") && !error.contains("northnorth"), "{error}");
    assert_eq!(output.status.code(), Some(2));
}
