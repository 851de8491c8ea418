//! Traffic through a server in groups of connections, and its cost.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::process::Process;
use crate::report::{Failures, Latency};

/// Time after which a message counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Resolution of tokio's timer with a reserve. A message that is sent at most this late is timed from its sending; a
/// later one from its due time, so that a slow server cannot hide behind a sender that waited for it.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// Connection of a group: always sends the same message, and knows what the others send.
pub trait Link: Send + 'static {
    /// Sends one message.
    fn send(&mut self) -> impl Future<Output = Result<(), String>> + Send;
    /// Waits for one message. Cancel-safe.
    fn receive(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Parameters of a run.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Time that is not measured, in which the server's memory and this machine's caches warm up.
    pub warm_up: Duration,
    /// Time that is measured.
    pub window: Duration,
    /// Messages per second of all groups together. With `None`, each group sends the next message as soon as everybody
    /// has received the previous one.
    pub rate: Option<f64>,
}

/// Results of a run.
pub struct Report {
    /// Messages that arrived within the window: a message to five recipients counts as five.
    pub arrived: u64,
    /// Length of the window.
    pub elapsed: Duration,
    /// CPU time of the server within the window, if it is on this machine.
    pub cpu: Option<Duration>,
    /// Latency of the messages sent within the window.
    pub latency: Latency,
    /// Failures of the whole run.
    pub failures: Failures,
}

impl Report {
    /// Returns the delivered messages per second.
    pub fn rate(&self) -> f64 {
        self.arrived as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the server's CPU time per delivered message in microseconds.
    pub fn cpu_micros(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.arrived as f64)
    }
}

/// State shared by all tasks of a run.
#[derive(Clone)]
struct Clock {
    from: Instant,
    until: Instant,
    arrived: Arc<AtomicU64>,
}

/// Results of one task.
struct Seen {
    clock: Clock,
    latency: Latency,
    failures: Failures,
}

impl Seen {
    fn new(clock: &Clock) -> Self {
        Self { clock: clock.clone(), latency: Latency::new(), failures: Failures::default() }
    }

    fn arrived(&mut self, sent: Instant, now: Instant) {
        self.clock.arrived.fetch_add(1, Ordering::Relaxed);
        if sent >= self.clock.from {
            self.latency.record(now - sent);
        }
    }
}

/// Sends through all groups, and measures all servers together, if any. Each group has at least two members, of which
/// one sends and all others receive; without a rate they take turns.
pub async fn run<L: Link>(groups: Vec<Vec<L>>, plan: Plan, servers: &[Process]) -> Result<Report, String> {
    let from = Instant::now() + plan.warm_up;
    let clock = Clock { from, until: from + plan.window, arrived: Arc::default() };
    let mut tasks = JoinSet::new();
    let count = groups.len();
    for (index, group) in groups.into_iter().enumerate() {
        match plan.rate {
            None => {
                tasks.spawn(take_turns(group, Seen::new(&clock)));
            }
            Some(rate) => {
                let interval = Duration::from_secs_f64(count as f64 / rate);
                let first = Instant::now() + interval.mul_f64(index as f64 / count as f64);
                keep_rate(group, first, interval, &clock, &mut tasks);
            }
        }
    }
    let before = sample(from, &clock, servers).await?;
    let after = sample(clock.until, &clock, servers).await?;
    let mut seen = Seen::new(&clock);
    while let Some(task) = tasks.join_next().await {
        let task = task.map_err(|error| error.to_string())?;
        seen.latency.merge(&task.latency);
        seen.failures.merge(task.failures);
    }
    Ok(Report {
        arrived: after.arrived - before.arrived,
        elapsed: after.at - before.at,
        cpu: after.cpu.zip(before.cpu).map(|(after, before)| after - before),
        latency: seen.latency,
        failures: seen.failures,
    })
}

struct Sample {
    at: Instant,
    arrived: u64,
    cpu: Option<Duration>,
}

async fn sample(at: Instant, clock: &Clock, servers: &[Process]) -> Result<Sample, String> {
    sleep_until(at).await;
    let cpu: std::io::Result<Duration> = servers.iter().map(|server| server.cpu()).sum();
    let cpu = cpu.map_err(|error| format!("the server's CPU time: {error}"))?;
    let arrived = clock.arrived.load(Ordering::Relaxed);
    Ok(Sample { at: Instant::now(), arrived, cpu: (!servers.is_empty()).then_some(cpu) })
}

/// Closed loop with one message in flight: one member sends, all others receive, then the next one sends.
async fn take_turns<L: Link>(mut group: Vec<L>, mut seen: Seen) -> Seen {
    for turn in (0..group.len()).cycle() {
        let sent = Instant::now();
        if sent >= seen.clock.until {
            break;
        }
        if let Err(failure) = group[turn].send().await {
            seen.failures.add(failure);
            break;
        }
        let others = group.iter_mut().enumerate().filter(|(index, _)| *index != turn);
        let arrivals = join_all(others.map(async |(_, link)| (arrival(link).await, Instant::now()))).await;
        let mut whole = true;
        for (result, now) in arrivals {
            match result {
                Ok(()) => seen.arrived(sent, now),
                Err(failure) => {
                    seen.failures.add(failure);
                    whole = false;
                }
            }
        }
        if !whole {
            break;
        }
    }
    seen
}

async fn arrival<L: Link>(link: &mut L) -> Result<(), String> {
    timeout(LOST_AFTER, link.receive()).await.unwrap_or_else(|_| Err("message lost".into()))
}

/// Open loop: the first member of the group sends each message when it is due, regardless of the others.
fn keep_rate<L: Link>(group: Vec<L>, first: Instant, interval: Duration, clock: &Clock, tasks: &mut JoinSet<Seen>) {
    let mut group = VecDeque::from(group);
    let Some(sender) = group.pop_front() else { return };
    let mut expected = Vec::new();
    for link in group {
        let (announce, announced) = unbounded_channel();
        expected.push(announce);
        tasks.spawn(receive_all(link, announced, Seen::new(clock)));
    }
    tasks.spawn(send_all(sender, first, interval, expected, Seen::new(clock)));
}

async fn send_all<L: Link>(
    mut link: L,
    first: Instant,
    interval: Duration,
    expected: Vec<UnboundedSender<Instant>>,
    mut seen: Seen,
) -> Seen {
    let mut due = first;
    while due < seen.clock.until {
        tokio::select! {
            received = link.receive() => {
                seen.failures.add(received.err().unwrap_or_else(|| "message to its own sender".into()));
                break;
            }
            () = sleep_until(due) => {
                let now = Instant::now();
                let sent = if now - due <= TIMER_SLACK { now } else { due };
                for receiver in &expected {
                    // A receiver that has ended has counted its failure.
                    let _ = receiver.send(sent);
                }
                if let Err(failure) = link.send().await {
                    seen.failures.add(failure);
                    break;
                }
                due += interval;
            }
        }
    }
    seen
}

/// Receives the sent messages in order. Messages after a failure count as lost.
async fn receive_all<L: Link>(mut link: L, mut sent: UnboundedReceiver<Instant>, mut seen: Seen) -> Seen {
    while let Some(at) = sent.recv().await {
        if let Err(failure) = arrival(&mut link).await {
            seen.failures.add(failure);
            break;
        }
        seen.arrived(at, Instant::now());
    }
    while sent.recv().await.is_some() {
        seen.failures.add("message lost");
    }
    seen
}
