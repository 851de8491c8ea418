//! The server, its bystanders, and the conditions that hold during an attack and after it.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{MutexGuard, oneshot};

use crate::common::client::Client;
use crate::common::program::{BINARY, Running, program};
use crate::common::raw::Raw;
use crate::common::{eventually, http, metric, tcp_from, within};
use crate::machine::{Usage, cores, cpu};

/// Bound for the round trip of nine in ten messages of the bystanders.
const BOUND: Duration = Duration::from_millis(50);
/// Minimum duration of an attack.
const WINDOW: Duration = Duration::from_secs(1);
/// Maximum number of measurements on a machine that is busy with other processes.
const WINDOWS: usize = 8;
/// Concurrent attackers.
pub const MANY: usize = if cfg!(debug_assertions) { 8 } else { 32 };
/// Concurrent attackers for attacks that saturate a server without optimisations.
pub const FEW: usize = if cfg!(debug_assertions) { 2 } else { 32 };
/// Interval between two messages of the bystanders.
const EVERY: Duration = Duration::from_millis(10);
/// Room of the bystanders.
const ROOM: &str = "bystanders";

/// Serializes the attacks.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The real program with two bystanders in a room.
pub struct Stage {
    /// Declared before the server, because the bystanders must leave first.
    bystanders: Bystanders,
    server: Running,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    /// Starts a server that counts each address for itself and drops disconnected members soon.
    pub async fn set(settings: &[(&str, &str)]) -> Self {
        let turn = TURN.lock().await;
        let own = [
            ("ROUNDTABLE_TRUSTED_PROXIES", "192.0.2.1"),
            ("ROUNDTABLE_RESUME_WINDOW", "200ms"),
            ("ROUNDTABLE_EMPTY_ROOM_GRACE", "200ms"),
        ];
        let mut program = program(BINARY, &[&own, settings].concat());
        program.stderr(Stdio::piped());
        let server = Running::spawn(program);
        let bystanders = Bystanders::join(server.address, server.child.id()).await;
        Self { bystanders, server, _turn: turn }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn ops(&self) -> SocketAddr {
        self.server.ops
    }

    /// Returns the ID of a bystander.
    pub fn bystander(&self) -> &str {
        &self.bystanders.id
    }

    /// Connects over TCP from an address that was never used.
    pub async fn tcp(&self) -> TcpStream {
        tcp_from(stranger(), self.address()).await.unwrap()
    }

    /// Opens a WebSocket from a new address.
    pub async fn raw(&self, room: &str) -> Raw {
        Raw::over(self.tcp().await, room, "", b"").await
    }

    /// Opens a well-behaved client from a new address.
    pub async fn client(&self, room: &str) -> Client {
        Client::over(self.tcp().await, room).await.unwrap()
    }

    /// Joins a room from a new address.
    pub async fn member(&self, room: &str) -> Client {
        let mut client = self.client(room).await;
        client.join("Eve").await;
        client
    }

    /// Repeats an attack while the bystanders are measured, and checks that it leaves nothing behind.
    pub async fn under(self, what: &str, attack: impl AsyncFn(&Self)) {
        let (mut worst, mut tries) = (Duration::MAX, 0);
        let mut shared = true;
        // Measured again only if other processes may have caused the delay.
        while worst >= BOUND && shared && tries < WINDOWS {
            self.bystanders.forget();
            let (begun, mut attacks) = (Instant::now(), 0);
            let usage = Usage::now(self.server.child.id());
            while begun.elapsed() < WINDOW {
                attack(&self).await;
                attacks += 1;
            }
            let trips = self.bystanders.trips(begun).await;
            shared = usage.was_shared(self.server.child.id());
            let (took, worked) = (percentiles(&trips, |trip| trip.took), percentiles(&trips, |trip| trip.worked));
            worst = if shared { took[1].min(worked[1]) } else { took[1] };
            tries += 1;
            println!(
                "{what}: {attacks} attacks in {:.1} s; there and back for a bystander, {} times: median, 90 %, all within \
                 {took:?}; the server worked for {worked:?}; machine shared: {shared}",
                begun.elapsed().as_secs_f64(),
                trips.len(),
            );
        }
        assert!(
            worst < BOUND,
            "{what}: 90 % took at most {worst:?} instead of {BOUND:?}, in the best of {tries} windows"
        );
        self.unharmed().await;
    }

    /// Checks that only the undisturbed bystanders remain, and that nothing has panicked.
    async fn unharmed(mut self) {
        let ops = self.server.ops;
        for (name, value) in [("roundtable_sockets", 2), ("roundtable_members", 2), ("roundtable_rooms", 1)] {
            eventually(name, async || metric(ops, name).await == value).await;
        }
        assert_eq!(http::ask(ops, "GET", "/readyz", &[]).await.status, 200);
        self.bystanders.part().await;
        assert!(self.server.child.try_wait().unwrap().is_none(), "the server has exited");
        self.server.child.kill().unwrap();
        let mut told = String::new();
        self.server.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(told, "", "the server has written to stderr, where panics appear");
    }
}

/// Runs attackers, `at_once` of them concurrently.
pub async fn crowd<F: Future<Output = ()>>(at_once: usize, attackers: impl IntoIterator<Item = F>) {
    futures_util::stream::iter(attackers).for_each_concurrent(at_once, |attacker| attacker).await;
}

/// Returns an unused local address, so that no per-address limit is reached by chance.
pub fn stranger() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    Ipv4Addr::from_bits(u32::from_be_bytes([127, 1, 0, 1]) + NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns a new room.
pub fn room() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("hostile-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the 50th, 90th and 100th percentiles.
fn percentiles(trips: &[Trip], what: impl Fn(&Trip) -> Duration) -> [Duration; 3] {
    let mut values: Vec<_> = trips.iter().map(what).collect();
    values.sort_unstable();
    [50, 90, 100].map(|percent| values[(values.len() * percent).div_ceil(100) - 1])
}

/// Round trip of one message of the bystanders.
#[derive(Clone, Copy, Debug)]
struct Trip {
    due: Instant,
    took: Duration,
    /// Processor time of the server during the trip, as if it had all processors. If other processes use them, a
    /// message that waits for those does not wait because of the attacker.
    worked: Duration,
}

/// Two members that exchange messages continuously, on a thread of their own, so that the attacker's computations are
/// not measured.
struct Bystanders {
    id: String,
    trips: Arc<Mutex<Vec<Trip>>>,
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bystanders {
    async fn join(server: SocketAddr, process: u32) -> Self {
        let (trips, leave) = (Arc::default(), Arc::default());
        let (tell, told) = oneshot::channel();
        let (kept, until) = (Arc::clone(&trips), Arc::clone(&leave));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(talk(server, process, tell, &kept, &until));
        });
        let id = within("the bystanders to join", told).await.unwrap();
        Self { id, trips, leave, thread: Some(thread) }
    }

    fn forget(&self) {
        self.trips.lock().unwrap().clear();
    }

    /// Returns the trips that were due since then.
    async fn trips(&self, since: Instant) -> Vec<Trip> {
        let now = Instant::now();
        // Including those in progress.
        let through = || self.trips.lock().unwrap().last().is_some_and(|trip| trip.due >= now);
        eventually("the bystanders' next message", async || through() || self.is_over()).await;
        assert!(!self.is_over(), "the bystanders were disturbed");
        self.trips.lock().unwrap().iter().filter(|trip| trip.due >= since).copied().collect()
    }

    fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    async fn part(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        eventually("the bystanders to leave", async || self.is_over()).await;
        self.thread.take().unwrap().join().expect("undisturbed bystanders");
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        // Only if the test has already failed.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Sends each message at its due time, whether or not the previous one has returned. A server that stalls for a second
/// is therefore late for a hundred messages.
async fn talk(
    server: SocketAddr,
    process: u32,
    tell: oneshot::Sender<String>,
    trips: &Mutex<Vec<Trip>>,
    leave: &AtomicBool,
) {
    let mut ada = Client::connect(server, ROOM).await.unwrap();
    ada.join("Ada").await;
    let mut bob = Client::connect(server, ROOM).await.unwrap();
    bob.join("Bob").await;
    ada.expect("peer_joined").await;
    let (one, other) = (ada.id().to_owned(), bob.id().to_owned());
    tell.send(one.clone()).unwrap();
    let mut due = Instant::now();
    // Processor time of the server at these times.
    let mut work = vec![(due, cpu(process))];
    for number in 0_u64.. {
        if leave.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        ada.send(json!({"type": "signal", "to": other, "data": number})).await;
        let there = bob.expect("signal").await;
        assert_eq!((&there["from"], &there["data"]), (&json!(one), &json!(number)));
        bob.send(json!({"type": "signal", "to": one, "data": number})).await;
        let back = ada.expect("signal").await;
        assert_eq!((&back["from"], &back["data"]), (&json!(other), &json!(number)));
        let (now, until) = (Instant::now(), cpu(process));
        let from = work[work.partition_point(|(at, _)| *at <= due).saturating_sub(1)].1;
        trips.lock().unwrap().push(Trip { due, took: now - due, worked: (until - from) / cores() });
        work.push((now, until));
        due += EVERY;
    }
}
