//! Load generator for servers that implement docs/PROTOCOL.md. It measures the figures in docs/ARCHITECTURE.md.
//!
//! ```text
//! cargo run --release --example load -- join --members 10000 --room-size 4
//! cargo run --release --example load -- relay --pairs 100 --size 200 --seconds 10 [--rate 20000]
//! cargo run --release --example load -- relay --url ws://127.0.0.1:18080/signal-api/ws --url ws://127.0.0.1:28080/signal-api/ws
//! cargo run --release --example load -- broadcast --rooms 10 --room-size 16 --size 200
//! cargo run --release --example load -- compare --server target/release/roundtable
//! ```
//!
//! Sizes are the bytes of a message's text as the sender encodes it. CPU time and memory are those of the server
//! process, which is found by its port if it runs on this machine. The exit code is 1 if a message was lost or a join
//! failed. A measured server must run without rate limits:
//! `ROUNDTABLE_{,ROOM_,SERVER_}{MESSAGE,BYTE}_RATE=0 ROUNDTABLE_ADDRESS_{CONNECTIONS,JOINS}=0`.

mod compare;
mod join;
mod member;
mod payload;
mod process;
mod raw;
mod report;
mod speaker;
mod traffic;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::compare::Comparison;
use crate::member::{Place, Target};
use crate::process::{Process, allow_open_files};
use crate::traffic::Link;

/// Open files besides the members' sockets, with a reserve.
const OTHER_FILES: u64 = 200;

#[derive(Parser)]
#[command(about = "Puts load on a signaling server and measures what it costs")]
struct Cli {
    #[command(subcommand)]
    command: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Idle members: joins per second, latency, memory per member.
    Join {
        #[command(flatten)]
        server: Server,
        /// Total members.
        #[arg(long, default_value_t = 10_000)]
        members: usize,
        /// Members of a room.
        #[arg(long, default_value_t = 4)]
        room_size: usize,
        /// Concurrent joins.
        #[arg(long, default_value_t = 100)]
        concurrency: usize,
        /// Bytes of a signal that each member sends and receives after all have joined.
        #[arg(long)]
        signal_size: Option<usize>,
    },
    /// Pairs that exchange signals: messages per second, latency, CPU time per message.
    Relay {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        traffic: Traffic,
        /// Number of pairs.
        #[arg(long, default_value_t = 100)]
        pairs: usize,
    },
    /// Rooms in which one member's broadcasts reach all others: the same figures per delivered message.
    Broadcast {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        traffic: Traffic,
        /// Number of rooms.
        #[arg(long, default_value_t = 10)]
        rooms: usize,
        /// Members of a room.
        #[arg(long, default_value_t = 16)]
        room_size: usize,
    },
    /// Prints the cost table of a server and of a raw TCP copy as Markdown. Starts the server itself.
    Compare {
        /// Path of the server's binary.
        #[arg(long, default_value = "target/release/roundtable")]
        server: PathBuf,
        /// Additional setting of the server as NAME=value; may be repeated.
        #[arg(long)]
        env: Vec<String>,
        /// Pairs that exchange signals concurrently.
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Idle members, in rooms of four.
        #[arg(long, default_value_t = 10_000)]
        members: usize,
        /// Measurements of each cell; the median is printed.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// Seconds of each measurement.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Server that only copies bytes, started by `compare`.
    #[command(hide = true)]
    RawCopy {
        /// Address to listen on.
        address: SocketAddr,
    },
}

#[derive(Args)]
struct Server {
    /// WebSocket URL of the server, without TLS. With several URLs, members are distributed in turn.
    #[arg(long, default_value = "ws://127.0.0.1:18080/signal-api/ws")]
    url: Vec<String>,
    /// Process ID of the server; found by its port if absent. Several processes are measured together.
    #[arg(long)]
    pid: Vec<i32>,
}

#[derive(Args)]
struct Traffic {
    /// Bytes of a message's text as the sender encodes it.
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Seconds to measure, after one second of warm-up.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Messages per second in total. Without it, each pair or room sends the next message as soon as the previous one
    /// has arrived everywhere.
    #[arg(long)]
    rate: Option<f64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::from(1)
        }
    }
}

/// Runs a command. Returns whether nothing was lost.
async fn run(work: Work) -> Result<bool, String> {
    match work {
        Work::Join { server, members, room_size, concurrency, signal_size } => {
            open_files(members)?;
            let (target, processes) = server.find().await?;
            let plan = join::Plan { members, room_size, concurrency, signal_size };
            Ok(print_join(join::run(target, plan, &processes).await?))
        }
        Work::Relay { server, traffic, pairs } => {
            open_files(2 * pairs)?;
            let (target, processes) = server.find().await?;
            measure(speaker::pairs(&target, pairs, traffic.size).await?, traffic, processes).await
        }
        Work::Broadcast { server, traffic, rooms, room_size } => {
            open_files(rooms * room_size)?;
            let (target, processes) = server.find().await?;
            measure(speaker::broadcasters(&target, rooms, room_size, traffic.size).await?, traffic, processes).await
        }
        Work::Compare { server, env, pairs, members, rounds, seconds } => {
            open_files(members.max(2 * pairs))?;
            let rounds = rounds.into();
            Comparison { server, env, pairs, members, rounds, seconds }.run().await.map(|()| true)
        }
        Work::RawCopy { address } => raw::serve(address).await.map(|()| true).map_err(|error| error.to_string()),
    }
}

impl Server {
    async fn find(&self) -> Result<(Target, Vec<Process>), String> {
        let target = Target::resolve(&self.url).await?;
        let found = |place: &Place| Process::listening_on(place.address.port());
        let processes: Vec<_> = match &self.pid[..] {
            [] => target.places().iter().map(found).collect::<Option<_>>().unwrap_or_default(),
            given => given.iter().copied().map(Process).collect(),
        };
        if processes.is_empty() {
            eprintln!("load: no process found that listens there, so neither CPU time nor memory: give --pid");
        }
        Ok((target, processes))
    }
}

fn open_files(sockets: usize) -> Result<(), String> {
    allow_open_files(sockets as u64 + OTHER_FILES)
        .map_err(|error| format!("{sockets} sockets need a higher limit of open files (ulimit -n): {error}"))
}

fn print_join(report: join::Report) -> bool {
    println!("joined       {}", report.joined);
    println!("joins/s      {:.0}", report.rate());
    println!("latency      {}", report.latency);
    if let Some(kib) = report.idle_kib {
        println!("memory       {kib:.2} KiB per idle member");
    }
    if let Some(kib) = report.after_signal_kib {
        println!("             {kib:.2} KiB after a signal each");
    }
    println!("failures     {}", report.failures);
    report.failures.is_empty()
}

async fn measure<L: Link>(groups: Vec<Vec<L>>, traffic: Traffic, servers: Vec<Process>) -> Result<bool, String> {
    let plan = traffic::Plan {
        warm_up: Duration::from_secs(1),
        window: Duration::from_secs(traffic.seconds),
        rate: traffic.rate,
    };
    let report = traffic::run(groups, plan, &servers).await?;
    println!("messages/s   {:.0}", report.rate());
    println!("latency      {}", report.latency);
    if let Some(micros) = report.cpu_micros() {
        println!("server CPU   {micros:.2} µs per message");
    }
    println!("failures     {}", report.failures);
    Ok(report.failures.is_empty())
}
