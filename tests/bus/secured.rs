//! Redis with passwords and with TLS.

use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};

use roundtable::cluster::bus::Unavailable;
use roundtable::cluster::records::Limits;
use tracing_subscriber::fmt::MakeWriter;

use crate::contract::Engine;
use crate::redis::{Folder, Process, Single, connect, free_ports, memory_only};
use crate::server::{LONG, Server};

struct Secured {
    _process: Process,
    folder: Folder,
    address: String,
}

impl Secured {
    fn start() -> Self {
        let (folder, [port]) = (Folder::new(), free_ports::<1>());
        make_certificates(&folder);
        let port = port.to_string();
        let files = ["ca.pem", "engine.pem", "engine.key"].map(|name| folder.path(name));
        let tls = ["--tls-ca-cert-file", &files[0], "--tls-cert-file", &files[1], "--tls-key-file", &files[2]];
        let arguments = ["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--requirepass", "no@rth"];
        let process = Process::start("redis-server", &folder, &[&memory_only()[..], &tls, &arguments].concat());
        Self { _process: process, folder, address: format!("rediss://:no%40rth@127.0.0.1:{port}") }
    }

    fn ca(&self) -> Vec<u8> {
        std::fs::read(self.folder.path("ca.pem")).unwrap()
    }
}

/// Creates a certificate authority, and a certificate for 127.0.0.1 signed by it.
fn make_certificates(folder: &Folder) {
    std::fs::write(folder.path("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    for line in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=engine -keyout engine.key -out engine.csr",
        "x509 -req -in engine.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out engine.pem",
    ] {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(&folder.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Engine for Secured {
    fn server(&self, limits: Limits) -> Server {
        connect(&self.address, Some(&self.ca()), limits).0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_keeps_all_promises() {
    crate::single::all(&Secured::start()).await;
}

/// Log output that the test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Returns the log of a server that fails to connect, after some attempts and once it contains `why`. (Redis may still
/// be starting at first.)
async fn log_of(address: &str, why: &str) -> String {
    let log = Log::default();
    let lines =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone());
    // Set for this thread only, on which everything runs.
    let _guard = tracing::subscriber::set_default(lines.finish());
    let (server, metrics) = connect(address, None, Limits::default());
    let tried = async {
        while log.text().matches("still cannot be reached").count() < 3 || !log.text().contains(why) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, tried).await.is_ok(), "no {why}: {}", log.text());
    assert_eq!(server.bus.renew(LONG).await, Err(Unavailable));
    assert_eq!(metrics.connected.get(), 0);
    let text = log.text();
    let said = text.lines().filter(|line| line.contains("ERROR") && line.contains(why));
    assert_eq!(said.count(), 1, "not logged exactly once: {text}");
    text
}

#[tokio::test]
async fn a_certificate_of_others_is_not_believed() {
    let engine = Secured::start();
    let log = log_of(&engine.address, "certificate").await;
    assert!(!log.contains("rth"), "{log}");
}

#[tokio::test]
async fn who_does_not_get_in_is_told_why_and_the_password_is_not() {
    let engine = Single::start_with(&["--requirepass", "north"]);
    let address = &engine.address;
    let log = log_of(&format!("{address}?pass=s-e-c-r-e-t"), "WRONGPASS").await;
    assert!(!log.contains("s-e-c-r-e-t"), "{log}");
    let mut right = connect(&format!("{address}?pass=north"), None, Limits::default()).0;
    right.connected().await;
}

#[tokio::test]
async fn what_is_no_engine_is_named() {
    let (folder, [port, bus]) = (Folder::new(), free_ports::<2>());
    let (port, bus) = (port.to_string(), bus.to_string());
    let arguments = ["--port", &port, "--cluster-port", &bus, "--cluster-enabled", "yes"];
    let _process = Process::start("redis-server", &folder, &[&memory_only()[..], &arguments].concat());
    log_of(&format!("redis://127.0.0.1:{port}"), "redis-cluster://").await;
}
