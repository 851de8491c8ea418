//! What one member may still send (R31, R75, R102). It belongs to the member and not to its connection: a session that is
//! resumed on another socket goes on with the allowance that it had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Bucket, CALM, Pace, Rate, SignalLimits};
use crate::protocol::PeerId;

/// Number of allowances below which settled ones are not looked for.
const SWEEP_FROM: usize = 1_024;

/// Allowance of one member, shared by the connections that follow one another.
#[derive(Debug)]
pub struct Allowance(Mutex<State>);

#[derive(Debug)]
struct State {
    messages: Bucket,
    bytes: Bucket,
    signals: SignalLimits,
    patience: Duration,
    /// Start and end of the time in which reading is paused without a break.
    paused: Option<(Instant, Instant)>,
}

impl Allowance {
    /// Full buckets.
    pub(super) fn new(rate: Rate, now: Instant) -> Arc<Self> {
        let bucket = |per_second: u32| Bucket::new(per_second as f32, rate.burst, now);
        Arc::new(Self(Mutex::new(State {
            messages: bucket(rate.messages),
            bytes: bucket(rate.bytes),
            signals: SignalLimits::new(rate),
            patience: rate.patience,
            paused: None,
        })))
    }

    /// Takes messages and bytes. Pauses until the debt is paid, and for at least `wait`.
    pub(super) fn take(&self, now: Instant, messages: u32, bytes: usize, wait: Duration) -> Pace {
        let mut state = self.lock();
        let own = state.take(now, f64::from(messages), bytes as f64);
        state.pause(now, own.max(wait))
    }

    /// Takes what another allowance has spent. Pauses until the debt is paid; a pause that is running goes on.
    pub(super) fn take_spent(&self, other: &Self, now: Instant) -> Pace {
        let mut other = other.lock();
        let (messages, bytes) = (other.messages.spent(now), other.bytes.spent(now));
        let mut state = self.lock();
        let wait = state.take(now, messages, bytes);
        let left = state.paused.map_or(Duration::ZERO, |(_, until)| until.saturating_duration_since(now));
        state.pause(now, wait.max(left))
    }

    /// Pauses for `wait`.
    pub(super) fn pause(&self, now: Instant, wait: Duration) -> Pace {
        self.lock().pause(now, wait)
    }

    /// Moves the start of the current pause forward by `time`.
    pub(super) fn postpone(&self, now: Instant, time: Duration) {
        if let Some((since, _)) = &mut self.lock().paused {
            *since = now.min(*since + time);
        }
    }

    /// Takes a signal to one of so many receivers. Fails with the time after which it may be sent again (R102).
    pub(crate) fn take_signal(&self, to: PeerId, receivers: usize, bytes: usize, now: Instant) -> Result<(), Duration> {
        self.lock().signals.take(to, receivers, bytes, now)
    }

    /// Whether it equals a new one.
    fn is_settled(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.messages.is_full(now)
            && state.bytes.is_full(now)
            && state.signals.is_settled(now)
            && state.paused.is_none_or(|(_, until)| until + CALM < now)
    }

    /// Nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the time until the debt is paid.
    fn take(&mut self, now: Instant, messages: f64, bytes: f64) -> Duration {
        self.messages.take(now, messages).max(self.bytes.take(now, bytes))
    }

    /// Too much is a pause that has lasted longer than the patience, without a break of [`CALM`] (R75).
    fn pause(&mut self, now: Instant, wait: Duration) -> Pace {
        if wait.is_zero() {
            return Pace::Free;
        }
        let (since, until) = self.paused.filter(|(_, until)| now <= *until + CALM).unwrap_or((now, now));
        self.paused = Some((since, until.max(now + wait)));
        if now - since > self.patience { Pace::TooMuch } else { Pace::Held(wait) }
    }
}

/// Allowances of the members of a server, by peer ID. One without a connection is kept until it is settled.
#[derive(Debug)]
pub struct Allowances {
    rate: Rate,
    peers: Mutex<Peers>,
}

#[derive(Debug, Default)]
struct Peers {
    allowances: HashMap<PeerId, Arc<Allowance>>,
    /// Number of entries at which settled ones are dropped.
    sweep_at: usize,
}

impl Allowances {
    /// Allowances at this rate.
    pub fn new(rate: Rate) -> Self {
        Self { rate, peers: Mutex::default() }
    }

    /// Returns the allowance of a member.
    pub fn of(&self, id: PeerId) -> Arc<Allowance> {
        let now = Instant::now();
        // Nothing panics under this lock.
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.allowances.len() >= peers.sweep_at.max(SWEEP_FROM) {
            peers.allowances.retain(|_, one| Arc::strong_count(one) > 1 || !one.is_settled(now));
            peers.sweep_at = peers.allowances.len() * 2;
            let room = peers.sweep_at;
            peers.allowances.shrink_to(room);
        }
        let new = || Allowance::new(self.rate, now);
        Arc::clone(peers.allowances.entry(id).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate =
        Rate { messages: 200, bytes: 0, burst: Duration::from_secs(5), patience: Duration::from_secs(30) };

    fn id(number: u32) -> PeerId {
        let mut random = [0; PeerId::LEN];
        random[..4].copy_from_slice(&number.to_be_bytes());
        PeerId::from_random(random)
    }

    #[tokio::test(start_paused = true)]
    async fn settled_allowances_without_a_connection_are_dropped() {
        let allowances = Allowances::new(RATE);
        let here = allowances.of(id(0));
        allowances.of(id(1)).take(Instant::now(), 100_000, 0, Duration::ZERO);
        for number in 2..100_000 {
            allowances.of(id(number)).take(Instant::now(), 1, 0, Duration::ZERO);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let peers = allowances.peers.lock().unwrap();
        assert!(peers.allowances.len() < 2 * SWEEP_FROM + 2, "{}", peers.allowances.len());
        assert!(peers.allowances.contains_key(&id(1)), "in debt");
        assert!(Arc::ptr_eq(&peers.allowances[&id(0)], &here), "connected");
    }
}
