//! A load generator for any server that speaks docs/PROTOCOL.md, and the stand on which the
//! numbers of docs/ARCHITECTURE.md are measured.
//!
//! ```text
//! cargo run --release --example load -- join --members 10000 --room-size 4
//! cargo run --release --example load -- relay --pairs 100 --size 200 --seconds 10 [--rate 20000]
//! cargo run --release --example load -- relay --url ws://127.0.0.1:18080/signal-api/ws --url ws://127.0.0.1:28080/signal-api/ws
//! cargo run --release --example load -- broadcast --rooms 10 --room-size 16 --size 200
//! cargo run --release --example load -- compare --server target/release/roundtable
//! ```
//!
//! Sizes are bytes of a message's text as its sender writes it. CPU time and memory are the
//! server's, found by its port where it runs on this machine. The exit code is 1 when a message
//! was lost or a join failed. A server under measurement has its rate limits lifted:
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

/// Files that are open besides the members' sockets, with room to spare.
const OTHER_FILES: u64 = 200;

#[derive(Parser)]
#[command(about = "Puts load on a signaling server and measures what it costs")]
struct Cli {
    #[command(subcommand)]
    command: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Many members that join and stay idle: joins a second, latency, memory per member.
    Join {
        #[command(flatten)]
        server: Server,
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        members: usize,
        /// Members of a room.
        #[arg(long, default_value_t = 4)]
        room_size: usize,
        /// Joins under way at a time.
        #[arg(long, default_value_t = 100)]
        concurrency: usize,
        /// Bytes of a signal that each member sends and gets after all have joined.
        #[arg(long)]
        signal_size: Option<usize>,
    },
    /// Pairs that signal each other: messages a second, latency, CPU time per message.
    Relay {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        traffic: Traffic,
        /// How many.
        #[arg(long, default_value_t = 100)]
        pairs: usize,
    },
    /// Rooms in which everybody gets what one sends: the same per arrived message.
    Broadcast {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        traffic: Traffic,
        /// How many.
        #[arg(long, default_value_t = 10)]
        rooms: usize,
        /// Members of a room.
        #[arg(long, default_value_t = 16)]
        room_size: usize,
    },
    /// The table of costs beside a raw TCP copy, as Markdown; starts the server itself.
    Compare {
        /// The server's binary.
        #[arg(long, default_value = "target/release/roundtable")]
        server: PathBuf,
        /// A further setting of the server, NAME=value; may be given more than once.
        #[arg(long)]
        env: Vec<String>,
        /// Pairs that signal at a time.
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Idle members, in rooms of four.
        #[arg(long, default_value_t = 10_000)]
        members: usize,
        /// Measurements of each cell, of which the median counts.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// Seconds of each measurement.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// The server that only copies bytes, which `compare` starts.
    #[command(hide = true)]
    RawCopy {
        /// Where to listen.
        address: SocketAddr,
    },
}

#[derive(Args)]
struct Server {
    /// The server's WebSocket address, without TLS. Of several servers members take turns.
    #[arg(long, default_value = "ws://127.0.0.1:18080/signal-api/ws")]
    url: Vec<String>,
    /// The server's process id; found by the port where it is not given. Several are measured as one.
    #[arg(long)]
    pid: Vec<i32>,
}

#[derive(Args)]
struct Traffic {
    /// Bytes of a message's text as its sender writes it.
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Seconds that are measured, after one that is not.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Messages a second that are sent in all; without it each pair or room sends the next as
    /// soon as everybody has the one before.
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

/// Whether nothing was lost.
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
