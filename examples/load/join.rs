//! Measures members that join and stay idle, and their cost to the server.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use roundtable::protocol::ClientMessage;
use serde_json::value::RawValue;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::member::{Member, Target};
use crate::payload;
use crate::process::Process;
use crate::report::{Failures, Latency};

/// Delay before the server's memory is read, because allocators return freed memory late.
const SETTLE: Duration = Duration::from_secs(2);

/// Concurrent signals: as many as a busy server may have, but not one per member, because memory for those would count
/// as memory of idle members.
const SIGNALS_IN_FLIGHT: usize = 100;

/// Silence after which the missing signals count as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Parameters of a run.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Total members, a multiple of `room_size`.
    pub members: usize,
    /// Members of each room.
    pub room_size: usize,
    /// Concurrent joins.
    pub concurrency: usize,
    /// Bytes of the `signal` that each member sends and receives after all have joined; `None` for no signals.
    pub signal_size: Option<usize>,
}

/// Results of a run.
pub struct Report {
    /// Members that joined.
    pub joined: usize,
    /// Time from the first connection to the last `welcome`.
    pub elapsed: Duration,
    /// Time from connecting to `welcome`.
    pub latency: Latency,
    /// Server memory per idle member in KiB, if the server is on this machine.
    pub idle_kib: Option<f64>,
    /// Server memory per member after the signals, in KiB.
    pub after_signal_kib: Option<f64>,
    /// Failures of the whole run.
    pub failures: Failures,
}

impl Report {
    /// Returns the joins per second.
    pub fn rate(&self) -> f64 {
        self.joined as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// State that all members share after they have joined.
struct Signals {
    data: Box<RawValue>,
    /// IDs of all members, set before the first permit is granted.
    ids: OnceLock<Vec<String>>,
    permits: Semaphore,
    arrived: watch::Sender<usize>,
}

/// Joins members to `target`, keeps them connected, and measures all servers together, if any.
pub async fn run(target: Target, plan: Plan, servers: &[Process]) -> Result<Report, String> {
    if plan.room_size < 2 || !plan.members.is_multiple_of(plan.room_size) {
        return Err("a room has at least two members, and all rooms are full".into());
    }
    let signals = Arc::new(Signals {
        data: payload::signal_data(plan.signal_size.unwrap_or(200))?,
        ids: OnceLock::new(),
        permits: Semaphore::new(0),
        arrived: watch::Sender::new(0),
    });
    let failures = Arc::new(Mutex::new(Failures::default()));
    let memory = Memory::before(servers)?;
    let mut report = Report {
        joined: 0,
        elapsed: Duration::ZERO,
        latency: Latency::new(),
        idle_kib: None,
        after_signal_kib: None,
        failures: Failures::default(),
    };

    // Dropping it at the end disconnects the members.
    let mut members = JoinSet::new();
    let ids = join_all(target, plan, &signals, &failures, &mut members, &mut report).await;
    tokio::time::sleep(SETTLE).await;
    report.idle_kib = memory.per_member(report.joined)?;
    if let (Some(_), Some(ids)) = (plan.signal_size, ids) {
        // It is not set anywhere else.
        let _ = signals.ids.set(ids);
        let lost = plan.members - exchange(&signals, plan.members).await;
        lock(&failures).add_many("message lost", lost as u64);
        tokio::time::sleep(SETTLE).await;
        report.after_signal_kib = memory.per_member(report.joined)?;
    }
    report.failures = std::mem::take(&mut *lock(&failures));
    Ok(report)
}

/// Joins all members. Returns their IDs if all have joined.
async fn join_all(
    target: Target,
    plan: Plan,
    signals: &Arc<Signals>,
    failures: &Arc<Mutex<Failures>>,
    members: &mut JoinSet<()>,
    report: &mut Report,
) -> Option<Vec<String>> {
    let target = Arc::new(target);
    let gate = Arc::new(Semaphore::new(plan.concurrency));
    let (announce, mut joined) = unbounded_channel();
    let start = Instant::now();
    for number in 0..plan.members {
        let (target, gate, announce) = (target.clone(), gate.clone(), announce.clone());
        let (signals, failures) = (signals.clone(), failures.clone());
        members.spawn(async move {
            let result = live(&target, plan.room_size, number, &gate, announce, &signals).await;
            if let Err(failure) = result {
                lock(&failures).add(failure);
            }
        });
    }
    drop(announce);
    let mut ids = vec![String::new(); plan.members];
    while let Some(Joined { number, id, latency }) = joined.recv().await {
        report.joined += 1;
        report.latency.record(latency);
        report.elapsed = start.elapsed();
        ids[number] = id;
    }
    (report.joined == plan.members).then_some(ids)
}

struct Joined {
    number: usize,
    id: String,
    latency: Duration,
}

/// Runs one member from its join until it is dropped.
async fn live(
    target: &Target,
    room_size: usize,
    number: usize,
    gate: &Semaphore,
    announce: UnboundedSender<Joined>,
    signals: &Signals,
) -> Result<(), String> {
    let permit = gate.acquire().await.map_err(|error| error.to_string())?;
    let start = Instant::now();
    let mut member = Member::join(target, number / room_size, number).await?;
    // The receiver outlives the last sender.
    let _ = announce.send(Joined { number, id: member.id.clone(), latency: start.elapsed() });
    drop((permit, announce));

    let mut sent = false;
    loop {
        tokio::select! {
            received = member.receive(&signals.data) => {
                received?;
                signals.arrived.send_modify(|arrived| *arrived += 1);
                signals.permits.add_permits(1);
            }
            permit = signals.permits.acquire(), if !sent => {
                permit.map_err(|error| error.to_string())?.forget();
                sent = true;
                let ids = signals.ids.get().ok_or("a permit before the ids")?;
                let to = &ids[neighbour(number, room_size)];
                member.send(payload::encode(&ClientMessage::Signal { to, data: &signals.data })).await?;
            }
        }
    }
}

/// Returns the next member of the same room, cyclically.
fn neighbour(number: usize, room_size: usize) -> usize {
    let first = number - number % room_size;
    first + (number + 1 - first) % room_size
}

/// Makes every member send one signal. Returns how many arrived.
async fn exchange(signals: &Signals, members: usize) -> usize {
    let mut arrived = signals.arrived.subscribe();
    signals.permits.add_permits(SIGNALS_IN_FLIGHT);
    loop {
        let so_far = *arrived.borrow_and_update();
        let more = tokio::time::timeout(LOST_AFTER, arrived.changed());
        if so_far == members || !matches!(more.await, Ok(Ok(()))) {
            return so_far;
        }
    }
}

/// Memory of the servers before the first join.
struct Memory<'a> {
    servers: &'a [Process],
    before_kib: u64,
}

impl<'a> Memory<'a> {
    fn before(servers: &'a [Process]) -> Result<Self, String> {
        Ok(Self { servers, before_kib: rss(servers)?.unwrap_or(0) })
    }

    fn per_member(&self, members: usize) -> Result<Option<f64>, String> {
        let now = rss(self.servers)?;
        Ok(now.map(|now| (now as f64 - self.before_kib as f64) / members.max(1) as f64))
    }
}

fn rss(servers: &[Process]) -> Result<Option<u64>, String> {
    let sum: std::io::Result<u64> = servers.iter().map(|server| server.rss_kib()).sum();
    let sum = sum.map_err(|error| format!("the server's memory: {error}"))?;
    Ok((!servers.is_empty()).then_some(sum))
}

fn lock(failures: &Mutex<Failures>) -> std::sync::MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}
