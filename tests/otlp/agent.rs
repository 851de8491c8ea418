//! Interoperability with Rotel, a collector of another project, so that the encoding is not only checked by this
//! project's reading of OTLP.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tokio::net::TcpStream;

use super::seen::Seen;
use crate::common::client::Client;
use crate::common::eventually;
use crate::common::folder::Folder;
use crate::common::program::Running;

/// Installed there by tests/tools.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/collector/bin/rotel-agent");

/// Collector that logs the spans it receives.
struct Agent {
    child: Child,
    address: SocketAddr,
    output: PathBuf,
    _folder: Folder,
}

impl Agent {
    async fn start() -> Self {
        // Ports that were free a moment ago.
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, grpc] = free.map(|listener| listener.local_addr().unwrap());
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path()).unwrap();
        let output = folder.file("output");
        let child = Command::new(PROGRAM)
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            .args(["--otlp-http-endpoint", &address.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()])
            .arg("--pid-file")
            .arg(folder.file("pid"))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output).unwrap())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{PROGRAM}: {error}. `make tools` installs it, from PyPI's package rotel: for Linux on x86-64, Python 3.10 to 3.13")
        });
        eventually("the collector to listen", async || TcpStream::connect(address).await.is_ok()).await;
        Self { child, address, output, _folder: folder }
    }

    /// Parses the spans from the collector's log.
    fn spans(&self) -> Vec<Seen> {
        let text = std::fs::read_to_string(&self.output).unwrap();
        let (mut spans, mut resource, mut part) = (Vec::<Seen>::new(), HashMap::new(), "");
        for line in text.lines() {
            if line.starts_with("ResourceSpans #") {
                resource.clear();
            }
            if line.starts_with("Span #") {
                let resource = resource.clone().into_iter().collect();
                spans.push(Seen { resource, ..Seen::default() });
            }
            // Headings start at the beginning of a line.
            if !line.starts_with(' ') {
                part = line.split(['#', ':']).next().unwrap().trim();
            }
            let line = line.trim();
            if let Some((name, value)) = line.strip_prefix("-> ").and_then(|line| line.split_once(": ")) {
                let value = value.split_once('(').map_or(value, |(_, value)| value.trim_end_matches(')'));
                match (part, spans.last_mut()) {
                    ("Resource attributes", _) => drop(resource.insert(name.to_owned(), value.to_owned())),
                    ("Attributes", Some(span)) => drop(span.attributes.insert(name.to_owned(), value.to_owned())),
                    ("SpanLink", Some(span)) if name == "Trace ID" => {
                        span.links.push((value.to_owned(), String::new()))
                    }
                    ("SpanLink", Some(span)) if name == "ID" => value.clone_into(&mut span.links.last_mut().unwrap().1),
                    _ => {}
                }
            } else if let (Some(span), Some((name, value))) = (spans.last_mut(), line.split_once(':')) {
                let value = value.trim().to_owned();
                match name.trim() {
                    "Trace ID" => span.trace = value,
                    "Parent ID" => span.parent = value,
                    "ID" => span.id = value,
                    "Name" => span.name = value,
                    "Kind" => span.kind = value.trim_start_matches("SPAN_KIND_").to_lowercase(),
                    _ => {}
                }
            }
        }
        spans
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_collector_of_another_project_finds_a_connection_by_its_id() {
    let agent = Agent::start().await;
    let endpoint = format!("http://{}", agent.address);
    let mut running = Running::start(&[
        ("ROUNDTABLE_OTLP_ENDPOINT", &endpoint),
        ("ROUNDTABLE_LOG", "info,roundtable::conn=debug"),
        ("OTEL_SERVICE_NAME", "meetings"),
    ]);
    let mut ada = Client::enter(running.address, "private-room", "Ada").await;
    ada.send(json!({"type": "leave"})).await;
    ada.skip_to_close().await;
    let id = ada.id().to_owned();
    drop(ada);
    let closed = running.line("closed");
    running.signal("TERM");
    assert!(running.ended().await.success());

    let mut found = Vec::new();
    eventually("the collector to receive all spans", async || {
        found = agent.spans();
        found.retain(|span| span.get("roundtable.conn") == closed["span"]["conn"].as_str().unwrap());
        // The link of the last span is at its end.
        found.len() == 3 && found.iter().any(|span| span.name == "end" && !span.links.is_empty())
    })
    .await;
    let named =
        |name: &str| found.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {found:#?}"));
    let (upgrade, join, end) = (named("GET /signal-api/ws"), named("join"), named("end"));
    assert_eq!([&*upgrade.kind, &*join.kind, &*end.kind], ["server", "internal", "internal"]);
    assert!(join.is_of(upgrade) && upgrade.parent.is_empty() && end.parent.is_empty(), "{found:#?}");
    assert_eq!(end.links, [(upgrade.trace.clone(), upgrade.id.clone())]);
    assert_eq!((upgrade.get("http.route"), upgrade.get("http.response.status_code")), ("/signal-api/ws", "101"));
    assert_eq!((join.get("roundtable.outcome"), join.get("roundtable.peer")), ("joined", &*id));
    assert_eq!(closed["trace_id"], json!(end.trace));
    assert_eq!(join.resource["service.name"], "meetings");
    let said = std::fs::read_to_string(&agent.output).unwrap();
    assert!(!said.contains("private-room") && !said.contains("Ada"), "{said}");
}
