//! In-process server and clients on real sockets. Every wait has a deadline, after which the test fails and shows what
//! was received. No test sleeps for a fixed time.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod client;
pub mod folder;
pub mod front;
pub mod http;
pub mod kernel;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod receiver;
pub mod several;
pub mod tls;
pub mod tokens;
pub mod upload;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use roundtable::app::App;
use roundtable::config::{Cli, Config};
use roundtable::server::Server;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use client::Client;
use http::Answer;

/// Deadline of each step, generous enough for slow machines.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Parses settings as environment variables. By default, ports are chosen by the kernel, and no frontend is served.
pub fn config(settings: &[(&str, &str)]) -> Config {
    let defaults = [
        ("ROUNDTABLE_LISTEN", "127.0.0.1:0"),
        ("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:0"),
        ("ROUNDTABLE_STATIC_DIR", "/nonexistent"),
    ];
    // The first occurrence of a name takes effect.
    let env: Vec<_> =
        settings.iter().chain(&defaults).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Cli::load(["roundtable".to_owned()], &env).expect("settings of a test").config
}

/// Running server. Ends with the test's runtime or by [`TestServer::shut_down`].
pub struct TestServer {
    pub address: SocketAddr,
    pub ops: SocketAddr,
    pub app: Arc<App>,
    shutdown: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl TestServer {
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let server = Server::bind(config(settings)).await.expect("free ports");
        let (address, ops) = (server.address().unwrap(), server.ops_address().unwrap());
        let app = Arc::clone(server.app());
        let (shutdown, asked) = oneshot::channel();
        let running = tokio::spawn(server.run(async move {
            // A dropped sender means that the test ends without a shutdown.
            if asked.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { address, ops, app, shutdown, running }
    }

    /// Opens a connection that has not joined.
    pub async fn connect(&self, room: &str) -> Client {
        Client::connect(self.address, room).await.expect("an upgrade")
    }

    /// Opens a connection that has joined.
    pub async fn join(&self, room: &str, name: &str) -> Client {
        Client::enter(self.address, room, name).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        http::ask(self.address, "GET", path, &[]).await
    }

    /// Returns one sample of `/metrics`.
    pub async fn metric(&self, name: &str) -> u64 {
        metric(self.ops, name).await
    }

    /// Waits until a sample has a value, for effects that follow the server's last response.
    pub async fn metric_becomes(&self, name: &str, value: u64) {
        eventually(name, async || self.metric(name).await == value).await;
    }

    /// Starts the shutdown. The handle completes when `Server::run` returns.
    pub fn shut_down(self) -> JoinHandle<()> {
        self.shutdown.send(()).expect("a running server");
        self.running
    }
}

/// Returns one sample of `/metrics` from the operations listener at `ops`.
pub async fn metric(ops: SocketAddr, name: &str) -> u64 {
    let text = http::ask(ops, "GET", "/metrics", &[]).await.text();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)).unwrap_or_else(|| panic!("no {name} in {text}"));
    value.parse().unwrap()
}

/// Connects from this loopback address; all of 127.0.0.0/8 is local.
pub async fn tcp_from(source: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(to).await
}

/// Polls a condition until it is true.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, poll).await;
}

/// Returns a future's result, or fails the test at the deadline.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
