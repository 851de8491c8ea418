//! Compares docs/METRICS.md with the metrics of a running server, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use roundtable::protocol::{CloseCode, ErrorCode};
use serde_json::json;

use crate::common::folder::Folder;
use crate::common::tls::TlsEndpoint;
use crate::common::tokens::Keys;
use crate::common::upload::{Upload, media};
use crate::common::{TestServer, eventually, http, within};

const DOCUMENT: &str = include_str!("../docs/METRICS.md");
const PROTOCOL: &str = include_str!("../docs/PROTOCOL.md");

/// Metric: its type and the values of each label.
#[derive(Debug, Default)]
struct Shown {
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Returns the rows of the tables: name, type, labels, meaning.
fn documented() -> BTreeMap<&'static str, [&'static str; 3]> {
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `roundtable_") || line.starts_with("| `process_"));
    let rows = rows.map(|row| {
        let [_, name, kind, labels, meaning, _] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
        (quoted(name)[0], [kind.trim(), labels.trim(), meaning.trim()])
    });
    rows.collect()
}

/// Parses the subset of OpenMetrics that the server uses.
fn shown(text: &str) -> BTreeMap<String, Shown> {
    let (mut all, mut current) = (BTreeMap::<String, Shown>::new(), String::new());
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap();
            current = match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            };
            let shown = Shown { kind: kind.to_owned(), ..Shown::default() };
            assert!(all.insert(current.clone(), shown).is_none(), "{current} is declared twice");
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.rsplit_once('}').unwrap().0);
            for label in labels.split("\",").filter(|label| !label.is_empty()) {
                let (name, value) = label.split_once("=\"").unwrap();
                if name != "le" {
                    let values = all.get_mut(&current).unwrap().labels.entry(name.to_owned()).or_default();
                    values.insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
    }
    all
}

/// The Accept header that Prometheus sends.
const OPEN_METRICS: (&str, &str) =
    ("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5");

async fn text_of(server: &TestServer) -> String {
    let answer = http::ask(server.ops, "GET", "/metrics", &[OPEN_METRICS]).await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    text
}

/// Starts a server and uses it so that every metric has a sample.
async fn used() -> (TestServer, Folder) {
    let folder = Folder::new();
    let recordings = [("ROUNDTABLE_RECORDINGS_DIR", folder.path()), ("ROUNDTABLE_RECORDINGS_QUOTA", "100000")];
    let server = TestServer::start(&recordings).await;
    let mut ada = server.join("a-room-of-their-own", "Ada").await;
    let mut bob = server.join("a-room-of-their-own", "Bob").await;
    ada.expect("peer_joined").await;
    ada.send(json!({"type": "signal", "to": bob.id(), "data": {"sdp": "x"}})).await;
    bob.expect("signal").await;
    ada.send(json!({"type": "broadcast", "data": 1})).await;
    bob.expect("broadcast").await;
    ada.send(json!({"type": "dance"})).await;
    ada.expect_error("unknown_type").await;
    let mut eve = server.connect("a-room-of-their-own").await;
    eve.send(json!({"type": "join", "name": ""})).await;
    eve.expect_error("name_invalid").await;
    bob.send(json!({"type": "leave"})).await;
    bob.drain().await;
    let first = Upload::new(server.address, "a-room-of-their-own", &ada).await;
    first.put_well(0, media(0, 1_000)).await;
    let second = Upload::new(server.address, "a-room-of-their-own", &ada).await;
    second.put_well(0, media(0, 500)).await;
    for target in [
        "/signal-api/v1/rooms/a-room-of-their-own",
        "/signal-api/v1/nothing",
        "/r/a-room-of-their-own",
        "/signal-api/v1/origin-proof",
        "/ws",
        "/v1/check",
    ] {
        http::ask(server.address, "GET", target, &[]).await;
    }
    http::ask(server.address, "BREW", "/signal-api/v1/welcome", &[]).await;
    server.metric_becomes("roundtable_closes_total{code=\"left\"}", 1).await;
    (server, folder)
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let (server, _folder) = used().await;
    // Store metrics are present if a store is configured, whether it is reachable or not.
    let url = ("ROUNDTABLE_REDIS_URL", "redis://127.0.0.1:1");
    let key = ("ROUNDTABLE_RESUME_KEY", "the same for all of them, and long enough");
    let keys = Keys::new();
    let keys_file = ("ROUNDTABLE_TOKEN_KEYS_FILE", keys.path.to_str().unwrap());
    // Certificate metrics are present if endpoints are probed.
    let endpoint = TlsEndpoint::start(9).await.address.to_string();
    let beside_others = TestServer::start(&[url, key, keys_file, ("ROUNDTABLE_CERTIFICATE_PROBES", &endpoint)]).await;
    beside_others.metric_becomes(&format!("roundtable_certificate_probe_success{{endpoint=\"{endpoint}\"}}"), 1).await;
    let (mut shown, documented) = (shown(&text_of(&beside_others).await), documented());
    shown.extend(self::shown(&text_of(&server).await));
    assert_eq!(shown.keys().map(String::as_str).collect::<Vec<_>>(), documented.keys().copied().collect::<Vec<_>>());
    for (name, Shown { kind, labels }) in &shown {
        let [documented_kind, documented_labels, meaning] = documented[name.as_str()];
        assert_eq!(kind, documented_kind, "{name}");
        let names: BTreeSet<_> = quoted(documented_labels).into_iter().collect();
        assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "{name}");
        for (label, value) in labels.iter().flat_map(|(label, values)| values.iter().map(move |value| (label, value))) {
            let known = match label.as_str() {
                "version" => value == env!("CARGO_PKG_VERSION"),
                "endpoint" => *value == endpoint,
                "status" => value.parse::<u16>().is_ok_and(|status| (100..600).contains(&status)),
                // The routes are listed for one of the two metrics that have them.
                "route" => quoted(documented["roundtable_http_requests_total"][2]).contains(&value.as_str()),
                _ => {
                    quoted(meaning).contains(&value.as_str())
                        || quoted(documented["roundtable_messages_total"][2]).contains(&value.as_str())
                        || PROTOCOL.contains(&format!("`{value}`"))
                        || PROTOCOL.contains(&format!("\"{value}\""))
                }
            };
            assert!(known, "{name}: {label}={value:?} is not documented");
        }
    }
}

/// Returns the days until the date that a certificate metric has as Unix seconds.
async fn days_left(server: &TestServer, metric: &str) -> Option<i64> {
    let text = text_of(server).await;
    let line =
        text.lines().find(|line| line.starts_with(&format!("roundtable_certificate_{metric}_timestamp_seconds{{")))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let left = line.rsplit(' ').next()?.parse::<i64>().unwrap() - now;
    // Rounded, as a day may end while the test runs.
    Some((left + 43_200).div_euclid(86_400))
}

#[tokio::test]
async fn certificate_dates_follow_a_renewal_and_a_failed_handshake_is_shown() {
    let endpoint = TlsEndpoint::start(10).await;
    let probes = endpoint.address.to_string();
    let settings = [("ROUNDTABLE_CERTIFICATE_PROBES", &probes[..]), ("ROUNDTABLE_CERTIFICATE_PROBE_INTERVAL", "50ms")];
    let server = TestServer::start(&settings).await;
    let success = format!("roundtable_certificate_probe_success{{endpoint=\"{probes}\"}}");
    server.metric_becomes(&success, 1).await;
    assert_eq!((days_left(&server, "not_before").await, days_left(&server, "not_after").await), (Some(0), Some(10)));

    endpoint.renew(90);
    eventually("the new date", async || days_left(&server, "not_after").await == Some(90)).await;

    endpoint.stop();
    server.metric_becomes(&success, 0).await;
    assert_eq!(days_left(&server, "not_after").await, Some(90), "the last known date was not kept");
    let without = TestServer::start(&[]).await;
    assert!(!text_of(&without).await.contains("roundtable_certificate"));
}

#[tokio::test]
async fn names_follow_the_conventions_and_nothing_says_who_or_where() {
    let (server, _folder) = used().await;
    let text = text_of(&server).await;
    for (name, Shown { kind, .. }) in shown(&text) {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        let unit = ["_seconds", "_bytes", "_messages", "_ratio", "_pixels", "_bits_per_second", "_frames_per_second"];
        // Without the last bucket, Prometheus computes no quantile.
        assert!(
            kind != "histogram" || text.contains(&format!("{name}_bucket{{le=\"+Inf\"")),
            "{name} has no last bucket"
        );
        assert!(kind != "histogram" || unit.iter().any(|unit| name.ends_with(unit)), "{name} has no unit");
    }
    for private in ["a-room-of-their-own", "Ada", "127.0.0.1", "BREW"] {
        assert!(!text.contains(private), "{private} is in the metrics");
    }
}

#[tokio::test]
async fn what_is_counted_is_what_happened() {
    let (server, _folder) = used().await;
    for (metric, expected) in [
        ("roundtable_joins_total{outcome=\"joined\"}", 2),
        ("roundtable_joins_total{outcome=\"name_invalid\"}", 1),
        ("roundtable_resumes_total{outcome=\"resumed\"}", 0),
        ("roundtable_errors_total{code=\"unknown_type\"}", 1),
        ("roundtable_messages_total{direction=\"received\",type=\"signal\"}", 1),
        ("roundtable_messages_total{direction=\"sent\",type=\"signal\"}", 1),
        ("roundtable_messages_total{direction=\"received\",type=\"invalid\"}", 1),
        ("roundtable_messages_total{direction=\"sent\",type=\"other\"}", 0),
        ("roundtable_message_bytes_total{direction=\"received\",type=\"broadcast\"}", 29),
        ("roundtable_relay_duration_seconds_count{type=\"signal\"}", 1),
        ("roundtable_closes_total{code=\"left\"}", 1),
        ("roundtable_http_requests_total{route=\"/signal-api/ws\",method=\"GET\",status=\"101\"}", 3),
        ("roundtable_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"}", 1),
        ("roundtable_http_requests_total{route=\"page\",method=\"GET\",status=\"503\"}", 1),
        ("roundtable_http_errors_total{code=\"METHOD_NOT_ALLOWED\"}", 1),
        ("roundtable_recordings{state=\"growing\"}", 1),
        ("roundtable_recordings{state=\"finished\"}", 1),
        ("roundtable_recordings_ended_total{reason=\"replaced\"}", 1),
        ("roundtable_recordings_ended_total{reason=\"silent\"}", 0),
        ("roundtable_recordings_pieces_total", 2),
        ("roundtable_recordings_received_bytes_total", 1_500),
        ("roundtable_recordings_used_bytes", 1_500),
        ("roundtable_recordings_quota_bytes", 100_000),
    ] {
        server.metric_becomes(metric, expected).await;
    }
}

/// Counters start at zero. Otherwise the first burst would be no increase, and alerts on increases would miss it.
#[tokio::test]
async fn what_may_go_wrong_is_shown_before_it_does() {
    let server = TestServer::start(&[]).await;
    let text = text_of(&server).await;
    let codes = |metric: &'static str, codes: &[&str]| {
        codes.iter().map(|code| format!("roundtable_{metric}_total{{code=\"{code}\"}} 0")).collect::<Vec<_>>()
    };
    let errors: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let closes: Vec<_> = CloseCode::ALL.iter().map(|code| code.as_str()).chain(["client"]).collect();
    let failed = ["joined", "server_full", "busy", "going_away"]
        .map(|outcome| format!("roundtable_joins_total{{outcome=\"{outcome}\"}} 0"));
    let refused = [("/signal-api/ws", "GET"), ("/signal-api/v1/check", "POST")].map(|(route, method)| {
        format!("roundtable_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"503\"}} 0")
    });
    let all = [
        codes("errors", &errors),
        codes("closes", &closes),
        codes("http_errors", &["SERVER_FULL", "DRAINING", "INTERNAL"]),
        failed.to_vec(),
        refused.to_vec(),
    ];
    for line in all.concat() {
        assert!(text.lines().any(|shown| shown == line), "no {line}");
    }
}

#[tokio::test]
async fn a_session_that_goes_on_and_one_that_does_not_are_told_apart() {
    let server = TestServer::start(&[]).await;
    let ada = server.join("r", "Ada").await;
    let resume = ada.welcome["resume"].clone();
    let _bob = server.join("r", "Bob").await;
    drop(ada);
    let mut again = server.connect("r").await;
    again.send(json!({"type": "join", "name": "Ada", "resume": resume, "last_seq": 0})).await;
    again.expect("resumed").await;
    let mut forged = server.connect("r").await;
    forged.send(json!({"type": "join", "name": "Ada", "resume": "forged", "last_seq": 0})).await;
    forged.expect("welcome").await;
    for outcome in ["resumed", "resume_invalid"] {
        server.metric_becomes(&format!("roundtable_resumes_total{{outcome=\"{outcome}\"}}"), 1).await;
    }
    server.metric_becomes("roundtable_joins_total{outcome=\"joined\"}", 4).await;
}

/// promtool validates the syntax: tests/monitoring.rs.
#[tokio::test]
async fn whoever_does_not_ask_for_open_metrics_gets_the_older_text_format_with_the_same_samples() {
    let (server, _folder) = used().await;
    for accept in [&[][..], &[("Accept", "*/*")], &[("Accept", "text/plain;version=0.0.4;q=0.6,*/*;q=0.5")]] {
        let answer = http::ask(server.ops, "GET", "/metrics", accept).await;
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"), "{accept:?}");
        let (plain, open) = (answer.text(), text_of(&server).await);
        // Samples of the process and of the requests themselves keep changing.
        let samples = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(samples(&plain), samples(&open));
        assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"));
        for line in [
            "# TYPE roundtable_joins_total counter",
            "# TYPE roundtable_build_info gauge",
            "# TYPE roundtable_relay_duration_seconds histogram",
            "# TYPE roundtable_sockets gauge",
            "# TYPE process_cpu_seconds_total counter",
            "roundtable_joins_total{outcome=\"joined\"} 2",
        ] {
            assert!(plain.lines().any(|shown| shown == line), "no {line} in {plain}");
        }
    }
}

#[tokio::test]
async fn limits_are_shown_beside_what_they_limit_and_none_where_there_is_none() {
    let settings = [
        ("ROUNDTABLE_CONNECTIONS", "7"),
        ("ROUNDTABLE_ROOMS", "0"),
        ("ROUNDTABLE_REQUESTS", "5"),
        ("ROUNDTABLE_MEMBERS", "6"),
    ];
    let server = TestServer::start(&settings).await;
    let _ada = server.join("r", "Ada").await;
    for (name, value) in [
        ("roundtable_sockets", 1),
        ("roundtable_sockets_limit", 7),
        ("roundtable_members", 1),
        ("roundtable_members_limit", 6),
        // Only the request for the metrics itself. The connection of a WebSocket no longer counts.
        ("roundtable_http_connections{listener=\"ops\"}", 1),
        ("roundtable_http_connections{listener=\"public\"}", 0),
        ("roundtable_http_connections_limit", 5),
        ("roundtable_webhooks_queued_limit", 1_024),
    ] {
        server.metric_becomes(name, value).await;
    }
    let mut tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    server.metric_becomes("roundtable_http_connections{listener=\"public\"}", 1).await;
    tokio::io::AsyncWriteExt::shutdown(&mut tcp).await.unwrap();
    server.metric_becomes("roundtable_http_connections{listener=\"public\"}", 0).await;
    assert!(!text_of(&server).await.contains("roundtable_rooms_limit"));
}

#[tokio::test]
async fn the_process_is_measured_as_the_kernel_has_it() {
    let server = TestServer::start(&[]).await;
    let sample = async |name: &str| {
        let text = text_of(&server).await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse::<f64>().unwrap()
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kernel = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    let resident = sample("process_resident_memory_bytes").await;
    assert!((0.5..2.0).contains(&(resident / (kernel("VmRSS:") * 1_024.0))), "{resident}");
    let reserved = sample("process_virtual_memory_bytes").await;
    assert!((0.5..2.0).contains(&(reserved / (kernel("VmSize:") * 1_024.0))), "{reserved}");
    assert!(sample("process_threads").await >= 1.0);
    assert_eq!(sample("process_max_fds").await, rlimit::Resource::NOFILE.get().unwrap().0 as f64);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - sample("process_start_time_seconds").await;
    assert!((-2.0..3_600.0).contains(&age), "uptime of {age} s");
    let before = sample("process_open_fds").await;
    let open: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    // Other tests of this process open and close files concurrently.
    assert!(sample("process_open_fds").await > before + 50.0);
    drop(open);
    let worked = sample("process_cpu_seconds_total").await;
    within("CPU time to grow", async { while sample("process_cpu_seconds_total").await <= worked {} }).await;
}
