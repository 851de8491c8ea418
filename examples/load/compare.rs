//! Compares a server's costs with those of a process that only copies bytes. Both are measured alternately and
//! repeatedly, so that other load of the machine affects both.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::member::Target;
use crate::process::{Running, free_address};
use crate::traffic::{self, Plan, Report};
use crate::{join, raw, speaker};

/// Message sizes in bytes: a candidate and an offer.
const SIZES: [usize; 2] = [200, 5_000];

/// Parameters of a comparison.
pub struct Comparison {
    /// Path of the server's binary.
    pub server: PathBuf,
    /// Additional settings of the server as `NAME=value`.
    pub env: Vec<String>,
    /// Pairs that exchange signals concurrently.
    pub pairs: usize,
    /// Idle members, in rooms of four.
    pub members: usize,
    /// Measurements of each cell.
    pub rounds: usize,
    /// Seconds of each measurement.
    pub seconds: u64,
}

impl Comparison {
    /// Measures and prints the table. Any failure is an error, because it would distort the table.
    pub async fn run(&self) -> Result<(), String> {
        let mut relayed = Vec::new();
        for size in SIZES {
            relayed.push(self.relayed(size).await?);
        }
        let (idle, after_signal) = self.memory().await?;
        println!("| server | 200 B | 5 KB | KiB per idle member | the same after a 5 KB signal each |");
        println!("|---|---|---|---|---|");
        println!("| raw TCP copy | {:.1} µs | {:.1} µs | – | – |", relayed[0].copy, relayed[1].copy);
        let [small, large] = [0, 1].map(|index| {
            let Cell { server, ratio, .. } = relayed[index];
            format!("{server:.1} µs ({ratio:.2} ×)")
        });
        println!("| roundtable | {small} | {large} | {idle:.1} | {after_signal:.1} |");
        println!();
        println!(
            "Server CPU time per relayed message: {} pairs, one message in flight each, median of {} runs of {} s; {} members in rooms of 4.",
            self.pairs, self.rounds, self.seconds, self.members
        );
        Ok(())
    }

    /// Measures messages of one size. Returns the medians.
    async fn relayed(&self, size: usize) -> Result<Cell, String> {
        let (copy, copy_address) = raw::start().await?;
        let (server, url) = self.start().await?;
        let target = Target::resolve(&[url]).await?;
        let plan = Plan { warm_up: Duration::from_secs(1), window: Duration::from_secs(self.seconds), rate: None };
        let (mut copies, mut servers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=self.rounds {
            let pairs = raw::pairs(copy_address, self.pairs, size).await.map_err(|error| error.to_string())?;
            let of_copy = micros(traffic::run(pairs, plan, &[copy.process]).await?)?;
            let pairs = speaker::pairs(&target, self.pairs, size).await?;
            let of_server = micros(traffic::run(pairs, plan, &[server.process]).await?)?;
            eprintln!("{size} B, round {round}: copy {of_copy:.2} µs, server {of_server:.2} µs");
            copies.push(of_copy);
            servers.push(of_server);
            ratios.push(of_server / of_copy);
        }
        Ok(Cell { copy: median(copies), server: median(servers), ratio: median(ratios) })
    }

    /// Measures the KiB per member after all have joined, and after each has sent and received a signal.
    async fn memory(&self) -> Result<(f64, f64), String> {
        let (server, url) = self.start().await?;
        let plan = join::Plan { members: self.members, room_size: 4, concurrency: 100, signal_size: Some(SIZES[1]) };
        let report = join::run(Target::resolve(&[url]).await?, plan, &[server.process]).await?;
        match (report.idle_kib, report.after_signal_kib) {
            (Some(idle), Some(after_signal)) if report.failures.is_empty() => Ok((idle, after_signal)),
            _ => Err(format!("failures: {}", report.failures)),
        }
    }

    /// Starts the server without rate limits.
    async fn start(&self) -> Result<(Running, String), String> {
        let listen = free_address().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.server);
        command
            .env("ROUNDTABLE_LISTEN", listen.to_string())
            .env("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:0")
            .env("ROUNDTABLE_MESSAGE_RATE", "0")
            .env("ROUNDTABLE_BYTE_RATE", "0")
            .env("ROUNDTABLE_ROOM_MESSAGE_RATE", "0")
            .env("ROUNDTABLE_ROOM_BYTE_RATE", "0")
            .env("ROUNDTABLE_SERVER_MESSAGE_RATE", "0")
            .env("ROUNDTABLE_SERVER_BYTE_RATE", "0")
            .env("ROUNDTABLE_ADDRESS_CONNECTIONS", "0")
            .env("ROUNDTABLE_ADDRESS_JOINS", "0");
        for setting in &self.env {
            let (name, value) = setting.split_once('=').ok_or_else(|| format!("{setting} is not NAME=value"))?;
            command.env(name, value);
        }
        let running = Running::start(&mut command, listen.port()).await?;
        Ok((running, format!("ws://{listen}/signal-api/ws")))
    }
}

struct Cell {
    copy: f64,
    server: f64,
    /// Median of each round's ratio, which varies less than the ratio of the medians.
    ratio: f64,
}

/// Returns the CPU time per message, or an error if the run had failures.
fn micros(report: Report) -> Result<f64, String> {
    match report.cpu_micros() {
        Some(micros) if report.failures.is_empty() => Ok(micros),
        _ => Err(format!("failures: {}", report.failures)),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
