//! Monitoring of `docker compose --profile monitoring`, with a real Prometheus and a real server under load: each panel
//! of each dashboard has data, and the metrics of all alerts exist. promtool tests when alerts fire, with series that a
//! server exports. Grafana itself is not run; its files are checked as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::client::encode;
use crate::common::folder::Folder;
use crate::common::tls::TlsEndpoint;
use crate::common::tokens::Keys;
use crate::common::upload::{TOKEN, Upload, admin, assert_refused, media};
use crate::common::{TestServer, eventually, http, within};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/monitoring");

/// Background process and its directory. Killed on drop.
struct Program {
    child: Child,
    folder: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Program {
    fn start(name: &str, folder: PathBuf, args: &[&str]) -> Self {
        let child = Command::new(name).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{name}: {error} (make tools installs it)")), folder }
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("roundtable-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Returns a port that was free a moment ago.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

/// Returns the arguments with which Compose starts a service, with the host's root file system at `root`.
fn arguments(service: &str, root: &str) -> Vec<String> {
    let services = text("services.yml");
    let own = services.split(&format!("\n  {service}:\n")).nth(1).unwrap().split("\n\n").next().unwrap();
    let words = own.split([' ', '\n', '[', ']', ',']).filter(|word| word.starts_with("--"));
    words.map(|word| word.replace("/host", root).replace("$$", "$")).collect()
}

fn dashboards() -> Vec<Value> {
    let files = fs::read_dir(Path::new(FOLDER).join("grafana/dashboards")).unwrap();
    files.map(|file| serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
}

/// Returns each query with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for board in dashboards() {
        for panel in board["panels"].as_array().unwrap() {
            let title = format!("{}: {}", board["title"], panel["title"]);
            for target in panel["targets"].as_array().unwrap() {
                all.push((title.clone(), target["expr"].as_str().unwrap().replace("$__rate_interval", "10s")));
            }
        }
    }
    all
}

fn promtool(args: &[&str]) {
    let output = Command::new("promtool").current_dir(FOLDER).args(args).output().expect("promtool (make tools)");
    assert!(
        output.status.success(),
        "{}{}",
        crate::common::program::text(&output.stdout),
        crate::common::program::text(&output.stderr)
    );
}

#[test]
fn alerts_fire_where_they_should_and_nowhere_else() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "alerts.test.yml"]);
    let (rules, tests) = (text("alerts.yml"), text("alerts.test.yml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test that it fires");
        assert!(
            tests.contains(&format!("alertname: {alert}, exp_alerts: []")),
            "{alert} has no test that it does not fire"
        );
        for document in ["../../docs/OPERATIONS.md", "../../docs/OPERATIONS.zh-CN.md"] {
            assert!(text(document).contains(&format!("`{alert}`")), "{document} does not describe {alert}");
        }
    }
}

/// The test below covers OpenMetrics, which Prometheus reads; promtool checks the older format.
#[tokio::test]
async fn the_older_text_format_is_without_fault() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join("r", "Ada").await;
    ada.send(json!({"type": "dance"})).await;
    ada.expect_error("unknown_type").await;
    let plain = http::ask(server.ops, "GET", "/metrics", &[("Accept", "text/plain")]).await.body;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool (make tools)");
    promtool.stdin.take().unwrap().write_all(&plain).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| crate::common::program::text(&bytes)).concat();
    // The only exception: bandwidth is measured in bits.
    assert_eq!(told.trim(), "roundtable_quality_received_bits_per_second use base unit \"bytes\" instead of \"bits\"");
}

#[test]
fn dashboards_are_what_grafana_reads() {
    assert!(text("grafana/provisioning/datasources/prometheus.yml").contains("uid: prometheus,"));
    let boards = dashboards();
    assert_eq!(boards.len(), 3, "containers, application and calls");
    for board in boards {
        assert!(board["uid"].is_string() && board["title"].is_string() && board["schemaVersion"].is_u64());
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in board["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{} has the ID of another panel", panel["title"]);
            assert_eq!(panel["datasource"]["uid"], "prometheus", "{panel}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
            assert!(x + w <= 24, "{panel}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{} overlaps another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn every_metric_is_in_a_panel() {
    let queries: Vec<_> = queries().into_iter().map(|(_, query)| query).collect();
    let metrics = text("../../docs/METRICS.md");
    let names = metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for metric in names.filter(|name| name.starts_with("roundtable_") || name.starts_with("process_")) {
        assert!(queries.iter().any(|query| query.contains(metric)), "{metric} is in no panel");
    }
}

/// Records as a host and exceeds the recording's limit.
async fn record(server: &TestServer) {
    let host = server.join("recorded", "Ada").await;
    loop {
        let upload = Upload::new(server.address, "recorded", &host).await;
        upload.put_well(0, media(0, 1_000)).await;
        assert_refused(&upload.put(1_000, media(0, 1_001)).await, 413, "RECORDING_TOO_LARGE");
        upload.call("POST", "/finish", "").await;
        let path = format!("/recordings/{}", upload.id);
        admin(server.address, "DELETE", &path, &[]).await;
    }
}

/// Simulates people who join, talk, report call quality, cause errors and leave, for as long as it is polled.
async fn load(server: &TestServer) {
    let link = json!({
        "round_trip_ms": 42, "loss_percent": 0.5, "jitter_ms": 3, "freezes": 1, "frozen_ms": 640, "width": 1280,
        "height": 720, "fps": 30, "kbps": 1250, "relayed": false, "first_frame_ms": 812,
    });
    for room in (0..).map(|n| format!("load-{n}")) {
        let mut ada = server.join(&room, "Ada").await;
        let mut bob = server.join(&room, "Bob").await;
        ada.send(json!({"type": "signal", "to": bob.id(), "data": 1})).await;
        bob.expect("signal").await;
        bob.send(json!({"type": "broadcast", "data": 1})).await;
        bob.send(json!({"type": "quality", "links": [link]})).await;
        bob.send(json!({"type": "dance"})).await;
        bob.expect_error("unknown_type").await;
        let mut nobody = server.connect(&room).await;
        nobody.send(json!({"type": "join", "name": ""})).await;
        nobody.expect_error("name_invalid").await;
        for mut person in [ada, bob] {
            person.send(json!({"type": "leave"})).await;
            person.drain().await;
        }
        server.get("/signal-api/v1/welcome").await;
        server.get("/").await;
    }
}

/// Returns a response of Prometheus, including its head.
async fn fetch(prometheus: SocketAddr, target: &str) -> std::io::Result<String> {
    let mut tcp = TcpStream::connect(prometheus).await?;
    // HTTP/1.1 would send long responses in chunks.
    tcp.write_all(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn get(prometheus: SocketAddr, target: &str) -> Value {
    let answer = within(target, fetch(prometheus, target)).await.unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|why| panic!("{why}: {answer}"))
}

/// Returns the values of a query. The error is Prometheus' response.
async fn ask(prometheus: SocketAddr, query: &str) -> Result<Vec<f64>, String> {
    let answer = get(prometheus, &format!("/api/v1/query?query={}", encode(query))).await;
    if answer["status"] != "success" {
        return Err(answer.to_string());
    }
    let samples = answer["data"]["result"].as_array().unwrap();
    Ok(samples.iter().map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap()).collect())
}

/// Waits until a query has a finite value.
async fn shows(prometheus: SocketAddr, of: &str, query: &str) {
    let shows = async {
        loop {
            let values = ask(prometheus, query).await.unwrap_or_else(|why| panic!("{of}: {query}: {why}"));
            if values.iter().any(|value| value.is_finite()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    within(&format!("{of}: {query}"), shows).await;
}

/// Returns the queries of the alerts by name, after Prometheus has evaluated each.
async fn alerts(prometheus: SocketAddr) -> BTreeMap<String, String> {
    let mut alerts = BTreeMap::new();
    eventually("each rule to be evaluated", async || {
        let answer = get(prometheus, "/api/v1/rules").await;
        let rules: Vec<_> =
            answer["data"]["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap()).collect();
        let words = |rule: &Value, name: &str| rule[name].as_str().unwrap().to_owned();
        alerts = rules.iter().map(|rule| (words(rule, "name"), words(rule, "query"))).collect();
        rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
    alerts
}

/// Returns the server's metrics in a query, with their label matchers.
fn selectors(query: &str) -> impl Iterator<Item = &str> {
    query.match_indices("roundtable_").map(|(at, _)| {
        let rest = &query[at..];
        let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let labels = if rest[end..].starts_with('{') { rest[end..].find('}').unwrap() + 1 } else { 0 };
        &rest[..end + labels]
    })
}

/// Starts the Prometheus of `deploy/monitoring` with other addresses and short intervals, and the exporters that it
/// scrapes.
async fn watch(server: &TestServer) -> (SocketAddr, Vec<Program>) {
    let mut programs = Vec::new();
    let exporters = [("node-exporter", "/"), ("node-network", "")].map(|(service, root)| {
        let (address, folder) = (free(), folder(service));
        let root = if root.is_empty() { folder.display().to_string() } else { root.to_owned() };
        // A different machine's proc file system: devices of the exporter's own network must not appear.
        fs::create_dir_all(folder.join("proc/1/net")).unwrap();
        let device = |name: &str| format!("{name}: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        let devices = ["lo", "eth7", "veth1a2b", "br-1a2b", "docker0"].map(device).concat();
        fs::write(folder.join("proc/1/net/dev"), format!("Inter-| Receive | Transmit\n face |bytes |bytes\n{devices}"))
            .unwrap();
        let mut all = arguments(service, &root);
        all.push(format!("--web.listen-address={address}"));
        let args: Vec<_> = all.iter().map(String::as_str).collect();
        programs.push(Program::start("prometheus-node-exporter", folder, &args));
        address.to_string()
    });
    let (data, address) = (folder("prometheus"), free());
    let config = text("prometheus.yml")
        .replace("15s", "1s")
        .replace("node-exporter:9100", &exporters[0])
        .replace("node-network:9100", &exporters[1]);
    fs::write(data.join("prometheus.yml"), config).unwrap();
    // The name of a stopped container no longer resolves.
    let servers = format!("{}\", \"stopped.invalid:18081", server.ops);
    fs::write(data.join("servers.yml"), text("servers.yml").replace("server:18081", &servers)).unwrap();
    fs::write(data.join("alerts.yml"), text("alerts.yml")).unwrap();
    let at = |name: &str| data.join(name).display().to_string();
    let args = [
        format!("--config.file={}", at("prometheus.yml")),
        format!("--storage.tsdb.path={}", at("data")),
        format!("--web.listen-address={address}"),
    ];
    programs.push(Program::start("prometheus", data.clone(), &args.each_ref().map(String::as_str)));
    let is_ready = async || fetch(address, "/-/ready").await.is_ok_and(|answer| answer.starts_with("HTTP/1.0 200"));
    eventually("Prometheus to be ready", is_ready).await;
    (address, programs)
}

#[tokio::test]
async fn every_panel_shows_something_and_alerts_see_what_they_are_for() {
    let home = folder("redis");
    let socket = home.join("engine.sock").display().to_string();
    let nothing_kept = ["--save", "", "--appendonly", "no", "--port", "0", "--unixsocket", &socket];
    let mut redis = Program::start("redis-server", home, &nothing_kept);
    let recordings = Folder::new();
    let endpoint = TlsEndpoint::start(9).await.address.to_string();
    let keys = Keys::new();
    let server = TestServer::start(&[
        ("ROUNDTABLE_TOKEN_KEYS_FILE", keys.path.to_str().unwrap()),
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
        ("ROUNDTABLE_ADDRESS_CONNECTIONS", "0"),
        ("ROUNDTABLE_ADMIN_TOKEN", TOKEN),
        ("ROUNDTABLE_RECORDINGS_DIR", recordings.path()),
        ("ROUNDTABLE_RECORDINGS_MAX_BYTES", "2000"),
        ("ROUNDTABLE_REDIS_URL", &format!("unix://{socket}")),
        ("ROUNDTABLE_RESUME_KEY", "the same for all of them, and long enough"),
        ("ROUNDTABLE_CERTIFICATE_PROBES", &endpoint),
    ])
    .await;
    server.metric_becomes("roundtable_engine_connected", 1).await;
    let (prometheus, _programs) = watch(&server).await;
    let checks = async {
        for (panel, query) in queries() {
            // There are no containers here: such a query must be valid, and has no result.
            if query.contains("container_") {
                ask(prometheus, &query).await.unwrap_or_else(|why| panic!("{panel}: {query}: {why}"));
            } else {
                shows(prometheus, &panel, &query).await;
            }
        }
        let alerts = alerts(prometheus).await;
        for (alert, query) in &alerts {
            for selector in selectors(query) {
                shows(prometheus, alert, selector).await;
            }
        }
        let tests = ["nginx", "twenty", "six", "short-lived", "expired", "future"]
            .iter()
            .fold(text("alerts.test.yml"), |tests, host| {
                tests.replace(&format!("{host}:443"), &endpoint).replace(&format!("{host}:19003"), &endpoint)
            });
        for series in tests.lines().filter_map(|line| line.split("series: '").nth(1)?.split('\'').next()) {
            let (before, instance) = series.split_once("instance=\"").unwrap_or((series, "\""));
            let series = format!("{}{}", before.trim_end_matches(','), instance.split_once('"').unwrap().1);
            shows(prometheus, "alerts.test.yml", &series).await;
        }
        let devices = ask(prometheus, "count by (device) (node_network_receive_bytes_total)").await.unwrap();
        assert_eq!(devices, [1.0], "expected only eth7, from one of the two exporters");
        shows(prometheus, "its name", "node_network_receive_bytes_total{device=\"eth7\"}").await;
        alerts
    };
    let alerts = tokio::select! {
        alerts = checks => alerts,
        () = load(&server) => unreachable!("the load never ends"),
        () = record(&server) => unreachable!("the recording never ends"),
    };
    let (down, away) = (&alerts["RoundtableDown"], &alerts["RoundtableEngineAway"]);
    // A late scrape makes both appear down for a moment.
    eventually("one of the two servers to be down", async || ask(prometheus, down).await == Ok(vec![0.0])).await;
    assert_eq!(ask(prometheus, away).await, Ok(vec![]));
    redis.child.kill().unwrap();
    shows(prometheus, "without an engine", away).await;
}
