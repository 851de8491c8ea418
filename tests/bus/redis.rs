//! Real Redis servers from Debian's package redis-server. They end with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roundtable::cluster::bus::Bus;
use roundtable::cluster::engine::{Address, Redis};
use roundtable::cluster::records::Limits;
use roundtable::telemetry::EngineMetrics;
use tokio::sync::mpsc;

use crate::contract::Engine;
use crate::server::{LONG, Server, new_id};

static FOLDERS: AtomicU64 = AtomicU64::new(0);
static PORTS: AtomicU32 = AtomicU32::new(0);

/// Temporary directory, removed on drop.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let name = format!("roundtable-bus-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns ports below the ephemeral range, which the kernel assigns to nobody else.
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    [(); COUNT].map(|()| {
        loop {
            let begin = 20_000 + std::process::id() % 100 * 100;
            let port = (begin + PORTS.fetch_add(1, Ordering::Relaxed)) as u16;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

/// Process that is killed on drop.
pub struct Process {
    program: &'static str,
    arguments: Vec<String>,
    folder: PathBuf,
    child: Child,
}

impl Process {
    pub fn start(program: &'static str, folder: &Folder, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = Self::spawn(program, &folder.0, &arguments);
        Self { program, arguments, folder: folder.0.clone(), child }
    }

    fn spawn(program: &str, folder: &PathBuf, arguments: &[String]) -> Child {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; tests/tools installs it"))
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.child = Self::spawn(self.program, &self.folder, &self.arguments);
    }

    /// Sends a signal, such as STOP or CONT.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Single server without a cluster.
pub struct Single {
    pub process: Process,
    pub address: String,
    _folder: Folder,
}

impl Single {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with additional arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = Folder::new();
        let socket = folder.path("engine.sock");
        let process = Process::start(
            "redis-server",
            &folder,
            &[&memory_only(), arguments, &["--port", "0", "--unixsocket", &socket]].concat(),
        );
        Self { process, address: format!("unix://{socket}"), _folder: folder }
    }
}

/// Arguments that disable persistence.
pub fn memory_only() -> [&'static str; 4] {
    ["--save", "", "--appendonly", "no"]
}

impl Engine for Single {
    fn server(&self, limits: Limits) -> Server {
        connect(&self.address, None, limits).0
    }
}

/// Connects a server to an address. Returns it with its metrics.
pub fn connect(address: &str, ca: Option<&[u8]>, limits: Limits) -> (Server, EngineMetrics) {
    let (id, (sender, events), metrics) = (new_id(), mpsc::channel(4096), EngineMetrics::default());
    let address = Address::parse(address, ca).unwrap();
    let bus: Arc<dyn Bus> = Arc::new(Redis::connect(address, limits, id, sender, metrics.clone()));
    (Server::new(id, bus, events), metrics)
}

/// Repeats a redis-cli command until its output satisfies the condition.
pub async fn until(arguments: &[&str], says: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let output = Command::new("redis-cli").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if says(&text) {
            return text;
        }
        assert!(began.elapsed() < LONG, "redis-cli {arguments:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
