//! Real servers, a real store, a proxy between the store and each server, and nginx in front of them.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::sync::MutexGuard;

use crate::common::front::Front;
use crate::common::program::{BINARY, Running, program};
use crate::common::proxy::{Proxy, Weather};
use crate::common::{eventually, http, metric};
use crate::engine::Engine;

/// Serializes the stages, because concurrent ones would slow each other down.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Short enough for tests, and long enough for a busy machine.
const SETTINGS: [(&str, &str); 8] = [
    ("ROUNDTABLE_RESUME_KEY", "the same on all servers, as it has to be"),
    ("ROUNDTABLE_RESUME_WINDOW", "3s"),
    ("ROUNDTABLE_PING_INTERVAL", "1s"),
    ("ROUNDTABLE_LEASE", "1s"),
    ("ROUNDTABLE_ADDRESS_CONNECTIONS", "0"),
    ("ROUNDTABLE_ADDRESS_JOINS", "0"),
    ("ROUNDTABLE_MESSAGE_RATE", "0"),
    ("ROUNDTABLE_BYTE_RATE", "0"),
];

pub struct Stage {
    pub servers: Vec<Server>,
    pub engine: Engine,
    pub front: Front,
    _turn: MutexGuard<'static, ()>,
}

pub struct Server {
    pub address: SocketAddr,
    /// Proxy between the server and the store.
    pub way: Proxy,
    settings: Vec<(String, String)>,
    running: Option<Running>,
}

impl Stage {
    /// Starts servers. `settings` override the stage's defaults.
    pub async fn set(servers: usize, settings: &[(&str, &str)]) -> Self {
        let turn = TURN.lock().await;
        let engine = Engine::start(place()).await;
        let mut all = Vec::new();
        for _ in 0..servers {
            all.push(Server::start(engine.address, settings).await);
        }
        let addresses: Vec<_> = all.iter().map(|server| server.address).collect();
        let front = Front::start([place(), place()], &addresses, "").await;
        Self { servers: all, engine, front, _turn: turn }
    }

    /// Returns all servers, starting with a different one for each number.
    pub fn doors(&self, number: usize) -> Vec<SocketAddr> {
        let count = self.servers.len();
        (0..count).map(|at| self.servers[(number + at) % count].address).collect()
    }

    /// Returns the sum of a metric over all running servers.
    pub async fn sum(&self, name: &str) -> u64 {
        let mut sum = 0;
        for server in &self.servers {
            if let Some(running) = &server.running {
                sum += metric(running.ops, name).await;
            }
        }
        sum
    }

    /// Waits until the servers count exactly this many connections and members.
    pub async fn counts(&self, people: usize) {
        for name in ["roundtable_sockets", "roundtable_members"] {
            eventually(name, async || self.sum(name).await == people as u64).await;
        }
    }
}

impl Server {
    async fn start(engine: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let way = Proxy::before(engine).await;
        let address = place();
        let own =
            [("ROUNDTABLE_LISTEN", address.to_string()), ("ROUNDTABLE_REDIS_URL", format!("redis://{}", way.address))];
        let all = SETTINGS.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = all.chain(own.map(|(name, value)| (name.to_owned(), value))).collect();
        let mut server = Self { address, way, settings, running: None };
        server.begin().await;
        server
    }

    /// Returns the number of members on this server.
    pub async fn members(&self) -> u64 {
        self.metric("roundtable_members").await
    }

    pub async fn metric(&self, name: &str) -> u64 {
        metric(self.running.as_ref().expect("a running server").ops, name).await
    }

    pub fn has_said(&mut self, text: &str) -> bool {
        self.running.as_mut().is_some_and(|running| running.has_said(text))
    }

    /// Starts the server as a new process with the same addresses.
    pub async fn begin(&mut self) {
        let settings: Vec<_> = self.settings.iter().map(|(name, value)| (&**name, &**value)).collect();
        let running = Running::spawn(program(BINARY, &settings));
        let ops = running.ops;
        self.running = Some(running);
        eventually("the server to be ready", async || http::ask(ops, "GET", "/readyz", &[]).await.status == 200).await;
    }

    /// Kills the process, like kill -9.
    pub fn kill(&mut self) {
        self.running.take().expect("a running server");
    }

    /// Stops the server with SIGTERM, like a container, and waits for its end.
    pub async fn stop(&mut self) {
        let mut running = self.running.take().expect("a running server");
        running.signal("TERM");
        assert!(running.ended().await.success());
    }

    /// Suspends the process: connections stay open, and nothing is answered.
    pub fn pause(&self) {
        signal(&self.running.as_ref().expect("a running server").child, "STOP");
    }

    pub fn wake(&self) {
        signal(&self.running.as_ref().expect("a running server").child, "CONT");
    }

    /// Drops all data between the server and the store, without an error.
    pub fn cut_off(&self) {
        self.way.set(Weather { deaf_client: true, deaf_server: true, ..Weather::default() });
    }

    pub fn mend(&self) {
        self.way.set(Weather::default());
    }
}

pub fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Returns a free local address that stays free while its server restarts: below the range of ephemeral ports.
fn place() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }
}
