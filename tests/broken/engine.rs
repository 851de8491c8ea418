//! A real redis-server without persistence.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::eventually;
use crate::stage::signal;

pub struct Engine {
    pub address: SocketAddr,
    process: Child,
}

impl Engine {
    pub async fn start(address: SocketAddr) -> Self {
        let engine = Self { address, process: spawn(address) };
        engine.answers().await;
        engine
    }

    /// Kills the server, which loses all data.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server at the same address without data.
    pub async fn restart(&mut self) {
        self.process = spawn(self.address);
        self.answers().await;
    }

    /// Suspends the process: connections stay open, and nothing is answered.
    pub fn pause(&self) {
        signal(&self.process, "STOP");
    }

    pub fn wake(&self) {
        signal(&self.process, "CONT");
    }

    /// Counts the calls of a command by all clients and scripts.
    pub async fn calls(&self, command: &str) -> u64 {
        let text = self.ask("INFO commandstats").await.expect("a running Redis");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
    }

    /// Counts all commands.
    pub async fn all_calls(&self) -> u64 {
        let text = self.ask("INFO stats").await.expect("a running Redis");
        let line = text.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.unwrap_or_else(|| panic!("no total in {text}")).parse().unwrap()
    }

    async fn answers(&self) {
        eventually("the store's response", async || self.ask("PING").await.is_some()).await;
    }

    /// Returns the response to one command line.
    async fn ask(&self, line: &str) -> Option<String> {
        let mut tcp = TcpStream::connect(self.address).await.ok()?;
        tcp.write_all(format!("{line}\r\nQUIT\r\n").as_bytes()).await.ok()?;
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.ok()?;
        Some(text)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(address: SocketAddr) -> Child {
    let mut program = Command::new("redis-server");
    program.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
    program.args(["--save", "", "--appendonly", "no", "--dir", "/tmp", "--loglevel", "warning"]);
    program.stdin(Stdio::null()).stdout(Stdio::null());
    program.spawn().expect("redis-server is missing: tests/tools installs it")
}
