//! Many members that join and then do nothing, and what each of them costs the server.

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

/// After which the server's memory is read: allocators give back what was freed with a delay.
const SETTLE: Duration = Duration::from_secs(2);

/// Signals on their way at a time: as many as a busy server may have, but not all members' at once,
/// since memory for that would be measured as memory for being idle.
const SIGNALS_IN_FLIGHT: usize = 100;

/// Without any signal arriving for so long, those that have not arrived are lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Clone, Copy)]
pub struct Plan {
    /// A multiple of `room_size`.
    pub members: usize,
    /// Members of each room.
    pub room_size: usize,
    /// Joins under way at a time.
    pub concurrency: usize,
    /// Bytes of the `signal` that each member sends, and gets, after all have joined; `None` to
    /// leave that out.
    pub signal_size: Option<usize>,
}

/// What a run found.
pub struct Report {
    /// Members that joined.
    pub joined: usize,
    /// From the first connection to the last welcome.
    pub elapsed: Duration,
    /// From connecting to `welcome`.
    pub latency: Latency,
    /// The server's memory per idle member in KiB, where the server is on this machine.
    pub idle_kib: Option<f64>,
    /// The same after the signals.
    pub after_signal_kib: Option<f64>,
    /// Of the whole run.
    pub failures: Failures,
}

impl Report {
    /// Joins a second.
    pub fn rate(&self) -> f64 {
        self.joined as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// What all members share once all of them have joined.
struct Signals {
    data: Box<RawValue>,
    /// Everybody's id, set before the first permit is given.
    ids: OnceLock<Vec<String>>,
    permits: Semaphore,
    arrived: watch::Sender<usize>,
}

/// Joins members to `target`, keeps them, and measures the servers together, if any.
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

    // Dropped at the end, which ends the members.
    let mut members = JoinSet::new();
    let ids = join_all(target, plan, &signals, &failures, &mut members, &mut report).await;
    tokio::time::sleep(SETTLE).await;
    report.idle_kib = memory.per_member(report.joined)?;
    if let (Some(_), Some(ids)) = (plan.signal_size, ids) {
        // The only place that sets it.
        let _ = signals.ids.set(ids);
        let lost = plan.members - exchange(&signals, plan.members).await;
        lock(&failures).add_many("message lost", lost as u64);
        tokio::time::sleep(SETTLE).await;
        report.after_signal_kib = memory.per_member(report.joined)?;
    }
    report.failures = std::mem::take(&mut *lock(&failures));
    Ok(report)
}

/// Joins everybody; the ids are there only where all have one.
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

/// One member, from its join until it is dropped.
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
    // The receiver stays until the last sender is gone.
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

/// The next member of the same room, in a circle.
fn neighbour(number: usize, room_size: usize) -> usize {
    let first = number - number % room_size;
    first + (number + 1 - first) % room_size
}

/// Lets everybody send one signal; how many arrived.
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

/// The servers' memory before anybody joined.
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
