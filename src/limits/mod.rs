//! Token buckets, with `now` passed in: what one peer may send, and what one address may try.

mod doors;

use std::time::Duration;

use tokio::time::Instant;

pub use doors::{Attempt, DoorRules, Doors, Kind, Visit};

/// How many seconds' worth of tokens a peer's bucket holds: the burst that is free (R31). Joining a
/// room of 16 sends 15 offers of 11 KB and four candidates of 0.3 KB with each, 182 KB, within a second, and
/// joining one of 50 596 KB (docs/ARCHITECTURE.md). What is
/// free must fit into an outbox, or one member's burst would close the others.
const BURST_SECONDS: f64 = 5.0;

/// What one peer may send for long.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Messages a second; 0 for no limit.
    pub messages: u32,
    /// Bytes a second; 0 for no limit.
    pub bytes: u32,
}

/// Measures what one peer sends.
#[derive(Debug)]
pub struct Meter {
    messages: Bucket,
    bytes: Bucket,
}

impl Meter {
    /// Full buckets.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { messages: Bucket::new(rate.messages, now), bytes: Bucket::new(rate.bytes, now) }
    }

    /// Counts bytes, and the message that they complete, if any; says how long to wait before the
    /// next read.
    pub fn take(&mut self, now: Instant, is_message: bool, bytes: usize) -> Option<Duration> {
        let messages = self.messages.take(now, f64::from(u8::from(is_message)));
        let wait = messages.max(self.bytes.take(now, bytes as f64));
        (!wait.is_zero()).then_some(wait)
    }
}

/// Goes into debt rather than refuse: what has been read is carried out, and the debt is waited
/// for before the next read.
#[derive(Debug)]
struct Bucket {
    rate: f32,
    /// In tokens.
    size: f32,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: u32, now: Instant) -> Self {
        Self::holding(rate as f32, BURST_SECONDS, now)
    }

    /// A full bucket that holds so many seconds' worth.
    fn holding(rate: f32, seconds: f64, now: Instant) -> Self {
        let size = rate * seconds as f32;
        Self { rate, size, tokens: f64::from(size), at: now }
    }

    fn earn(&mut self, now: Instant) {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(self.rate);
        self.tokens = (self.tokens + earned).min(f64::from(self.size));
        self.at = self.at.max(now);
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.earn(now);
        self.tokens >= f64::from(self.size)
    }

    /// How long until there is so much.
    fn wait_for(&mut self, now: Instant, amount: f64) -> Duration {
        self.earn(now);
        Duration::from_secs_f64((amount - self.tokens).max(0.0) / f64::from(self.rate))
    }

    fn take(&mut self, now: Instant, amount: f64) -> Duration {
        let rate = f64::from(self.rate);
        if rate == 0.0 {
            return Duration::ZERO;
        }
        self.earn(now);
        self.tokens -= amount;
        Duration::from_secs_f64((-self.tokens).max(0.0) / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r31_a_burst_is_free_and_the_rate_is_kept_afterwards() {
        let start = Instant::now();
        let mut meter = Meter::new(Rate { messages: 200, bytes: 0 }, start);
        assert!((0..1_000).all(|_| meter.take(start, true, 10_000).is_none()), "the burst is free");
        let mut now = start;
        for _ in 0..2_000 {
            if let Some(wait) = meter.take(now, true, 10_000) {
                now += wait;
            }
        }
        let seconds = (now - start).as_secs_f64();
        assert!((9.9..=10.1).contains(&seconds), "2,000 messages at 200 a second took {seconds} s");
    }

    #[test]
    fn zero_is_no_limit() {
        let start = Instant::now();
        let mut meter = Meter::new(Rate { messages: 0, bytes: 0 }, start);
        assert!((0..1_000_000).all(|_| meter.take(start, true, 65_536).is_none()));
    }
}
