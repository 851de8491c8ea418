//! What `docker compose --profile monitoring` shows, with a real Prometheus and a real server under load: each panel of
//! each dashboard has something to show, and each alert fires. Grafana itself is not run: its files are checked as JSON.

mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use common::client::encode;
use common::folder::Folder;
use common::upload::{TOKEN, Upload, admin, assert_refused, media};
use common::{TestServer, http, within};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/monitoring");

/// A program in the background, ended with the test, and its folder.
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

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn dashboards() -> Vec<Value> {
    let files = fs::read_dir(Path::new(FOLDER).join("grafana/dashboards")).unwrap();
    files.map(|file| serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
}

/// Each query with the panel that it is of.
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
        common::program::text(&output.stdout),
        common::program::text(&output.stderr)
    );
}

#[test]
fn alerts_fire_where_they_should_and_nowhere_else() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "alerts.test.yml"]);
    let (rules, tests) =
        ["alerts.yml", "alerts.test.yml"].map(|name| fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()).into();
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert_eq!(tests.matches(&format!("alertname: {alert}\n")).count(), 1, "{alert} is seen to fire");
        assert!(tests.contains(&format!("alertname: {alert}, exp_alerts: []")), "{alert} is seen not to");
    }
}

#[test]
fn dashboards_are_what_grafana_reads() {
    let source = fs::read_to_string(Path::new(FOLDER).join("grafana/provisioning/datasources/prometheus.yml")).unwrap();
    assert!(source.contains("uid: prometheus,"));
    let boards = dashboards();
    assert_eq!(boards.len(), 3, "containers, application and calls");
    for board in boards {
        assert!(board["uid"].is_string() && board["title"].is_string() && board["schemaVersion"].is_u64());
        let mut taken = std::collections::BTreeSet::new();
        for panel in board["panels"].as_array().unwrap() {
            assert_eq!(panel["datasource"]["uid"], "prometheus", "{panel}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
            assert!(x + w <= 24, "{panel}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{} lies on another panel", panel["title"]);
            }
        }
    }
}

/// People who come, talk, report, err and go, for as long as it is polled.
async fn load(server: &TestServer) {
    let link = json!({
        "round_trip_ms": 42, "loss_percent": 0.5, "jitter_ms": 3, "freezes": 1, "frozen_ms": 640, "width": 1280,
        "height": 720, "fps": 30, "kbps": 1250, "relayed": false, "first_frame_ms": 812,
    });
    loop {
        let mut ada = server.join("load", "Ada").await;
        let mut bob = server.join("load", "Bob").await;
        ada.send(json!({"type": "signal", "to": bob.id(), "data": 1})).await;
        bob.expect("signal").await;
        bob.send(json!({"type": "broadcast", "data": 1})).await;
        bob.send(json!({"type": "quality", "links": [link]})).await;
        bob.send(json!({"type": "dance"})).await;
        bob.expect_error("unknown_type").await;
        for mut person in [ada, bob] {
            person.send(json!({"type": "leave"})).await;
            person.drain().await;
        }
        server.get("/signal-api/v1/welcome").await;
    }
}

/// A host who records, and asks for more than there is room for.
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

/// The values of a query; the error is what Prometheus says of it.
async fn ask(prometheus: SocketAddr, query: &str) -> Result<Vec<f64>, String> {
    let answer = http::ask(prometheus, "GET", &format!("/api/v1/query?query={}", encode(query)), &[]).await.json();
    if answer["status"] != "success" {
        return Err(answer.to_string());
    }
    let samples = answer["data"]["result"].as_array().unwrap();
    Ok(samples.iter().map(|sample| sample["value"][1].as_str().unwrap().parse().unwrap()).collect())
}

async fn is_ready(prometheus: SocketAddr) {
    // It listens before it can answer.
    while tokio::net::TcpStream::connect(prometheus).await.is_err()
        || http::ask(prometheus, "GET", "/-/ready", &[]).await.status != 200
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn every_panel_shows_something() {
    let recordings = Folder::new();
    let server = TestServer::start(&[
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
        ("ROUNDTABLE_ADDRESS_CONNECTIONS", "0"),
        ("ROUNDTABLE_ADMIN_TOKEN", TOKEN),
        ("ROUNDTABLE_RECORDINGS_DIR", recordings.path()),
        ("ROUNDTABLE_RECORDINGS_MAX_BYTES", "2000"),
    ])
    .await;
    let (machine, prometheus) = (free(), free());
    let node = folder("node-exporter");
    let _node = Program::start(
        "prometheus-node-exporter",
        node,
        &[&format!("--web.listen-address={machine}"), "--log.level=error"],
    );
    let data = folder("prometheus");
    let config = json!({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {"job_name": "roundtable", "static_configs": [{"targets": [server.ops.to_string()]}]},
            {"job_name": "node", "static_configs": [{"targets": [machine.to_string()]}]},
        ],
    });
    // YAML has all of JSON in it.
    fs::write(data.join("prometheus.yml"), config.to_string()).unwrap();
    let at = |name: &str| data.join(name).display().to_string();
    let args = [
        format!("--config.file={}", at("prometheus.yml")),
        format!("--storage.tsdb.path={}", at("data")),
        format!("--web.listen-address={prometheus}"),
    ];
    let _prometheus = Program::start("prometheus", data.clone(), &args.each_ref().map(String::as_str));
    let checks = async {
        within("Prometheus is ready", is_ready(prometheus)).await;
        for (panel, query) in queries() {
            // Nothing here has containers: such a query has to be understood, and finds nothing.
            let may_be_empty = query.contains("container_");
            let shows = async {
                loop {
                    let values = ask(prometheus, &query).await.unwrap_or_else(|why| panic!("{panel}: {query}: {why}"));
                    if may_be_empty || values.iter().any(|value| value.is_finite()) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(250)).await;
                }
            };
            within(&format!("{panel}: {query}"), shows).await;
        }
    };
    tokio::select! {
        () = checks => {}
        () = load(&server) => unreachable!("it goes on for ever"),
        () = record(&server) => unreachable!("the same"),
    }
}
