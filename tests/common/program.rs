//! The roundtable binary in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use serde_json::Value;

use super::client::Client;
use super::{DEADLINE, eventually};

pub const BINARY: &str = env!("CARGO_BIN_EXE_roundtable");

/// Builds a command that inherits nothing from the test's environment.
pub fn program(command: &str, settings: &[(&str, &str)]) -> Command {
    let mut program = Command::new(command);
    program.env_clear().envs(settings.iter().copied()).stdin(Stdio::null());
    program
}

/// Runs the binary to completion.
pub fn run(args: &[&str], settings: &[(&str, &str)]) -> Output {
    program(BINARY, settings).args(args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Running server process with its log lines. Killed on drop.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
    pub seen: Vec<String>,
    pub address: SocketAddr,
    pub ops: SocketAddr,
}

impl Running {
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::spawn(program(BINARY, settings))
    }

    pub fn spawn(mut program: Command) -> Self {
        program.env("ROUNDTABLE_LOG_FORMAT", "json");
        // Defaults, unless the test set its own: a server that restarts at the same address or serves a page does.
        for (name, value) in [
            ("ROUNDTABLE_STATIC_DIR", "/nonexistent"),
            ("ROUNDTABLE_LISTEN", "127.0.0.1:0"),
            ("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:0"),
        ] {
            if !program.get_envs().any(|(known, _)| known == name) {
                program.env(name, value);
            }
        }
        let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut running = Self { child, lines, seen: Vec::new(), address: nowhere, ops: nowhere };
        let serving = running.line("serving");
        // The first address, if there are several.
        let address = |field: &str| serving[field].as_str().unwrap().split(", ").next().unwrap().parse().unwrap();
        (running.address, running.ops) = (address("listen"), address("ops"));
        running
    }

    /// Waits for a log line whose message contains this text.
    pub fn line(&mut self, message: &str) -> Value {
        let begun = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(begun.elapsed());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("no {message:?} ({error}) in {:#?}", self.seen));
            let parsed: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            self.seen.push(line);
            if parsed["message"].as_str().is_some_and(|text| text.contains(message)) {
                return parsed;
            }
        }
    }

    /// Returns whether any log line has contained this text.
    pub fn has_said(&mut self, text: &str) -> bool {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().any(|line| line.contains(text))
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the program's end", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        self.seen.extend(self.lines.iter());
        status.unwrap()
    }

    pub async fn join(&self, room: &str) -> Client {
        Client::enter(self.address, room, "Ada").await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
