//! Rate limits by token buckets, with `now` passed in: of one peer, of many senders together, and of one address.

mod allowance;
mod commons;
mod doors;
mod memory;
mod receivers;
mod rejoins;
mod reports;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use allowance::{Allowance, Allowances};
pub use commons::{AllCommons, CommonRate, Commons, Elsewhere, Share};
pub(crate) use doors::network;
pub use doors::{Attempt, DoorRules, Doors, Kind, Visit};
pub use memory::{GUARANTEED_BYTES, Holding, QueueAccount};
pub use receivers::SignalLimits;
pub use reports::{LimitReports, Rejection, SharedAddress};

/// Time without a delay after which earlier delays no longer count (R75).
const CALM: Duration = Duration::from_secs(1);
/// Multiple of its time at the rate by which a rejected message postpones the disconnection of its sender (R102).
const REJECTED_FACTOR: u32 = 4;

/// Long-term rate of one peer, with its burst.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Messages per second; 0 for no limit.
    pub messages: u32,
    /// Bytes per second; 0 for no limit.
    pub bytes: u32,
    /// Burst, as a time at the rate (R31). Joining a room of 16 sends 15 offers of 11 KB and four candidates of 0.3 KB
    /// with each, 182 KB, within a second, and joining one of 50 sends 596 KB (docs/ARCHITECTURE.md). The burst must
    /// fit into an outbox, or one member's burst would disconnect the others.
    pub burst: Duration,
    /// Time for which a peer may be delayed without a break before it is disconnected.
    pub patience: Duration,
}

impl Rate {
    /// Returns the time that this amount takes at this rate.
    fn time_for(&self, messages: u32, bytes: usize) -> Duration {
        let time = |amount: f64, rate: u32| if rate == 0 { 0.0 } else { amount / f64::from(rate) };
        Duration::from_secs_f64(time(messages.into(), self.messages).max(time(bytes as f64, self.bytes)))
    }
}

/// Decision on how to go on reading from a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// Read on.
    Free,
    /// Read on after this time.
    Held(Duration),
    /// Disconnect: the peer has been delayed for longer than [`Rate::patience`], and still sends too much.
    TooMuch,
}

/// Meter of what one peer sends, against its own rate and the rates that it shares with others.
#[derive(Debug)]
pub struct Meter {
    own: Arc<Allowance>,
    of_server: Share,
    /// Set by the join.
    of_room: Option<Share>,
    rate: Rate,
    /// Set if the last message was delayed because of a shared rate (R80).
    in_common: bool,
}

impl Meter {
    /// Creates a meter with full buckets.
    pub fn new(rate: Rate, of_server: Share, now: Instant) -> Self {
        let own = Allowance::new(rate, now);
        Self { own, of_server, of_room: None, rate, in_common: false }
    }

    /// Sets the peer's share of the rate of its room.
    pub fn enter(&mut self, of_room: Share) {
        self.of_room = Some(of_room);
    }

    /// Continues with a member's allowance, less what has been taken so far.
    pub fn resume(&mut self, own: Arc<Allowance>, now: Instant) -> Pace {
        let before = std::mem::replace(&mut self.own, own);
        self.own.take_spent(&before, now)
    }

    /// Postpones the disconnection of a peer whose messages are rejected. While a quarter of what is read is rejected,
    /// it never comes. Reading stays as slow.
    pub fn pardon(&mut self, now: Instant, messages: u32, bytes: usize) {
        if !self.in_common {
            self.own.postpone(now, self.rate.time_for(messages, bytes) * REJECTED_FACTOR);
        }
    }

    /// Counts messages and bytes against the rates of the peer and of the server. Returns whether to wait before the
    /// next read.
    pub fn take(&mut self, now: Instant, messages: u32, bytes: usize) -> Pace {
        let common = self.of_server.take(now, messages, bytes);
        self.in_common = !common.is_zero();
        self.own.take(now, messages, bytes, common)
    }

    /// Counts the load of the last messages on the room.
    pub fn share(&mut self, now: Instant, messages: u32, bytes: usize) -> Pace {
        let wait = self.of_room.as_mut().map_or(Duration::ZERO, |room| room.take(now, messages, bytes));
        self.in_common |= !wait.is_zero();
        self.own.pause(now, wait)
    }
}

/// Token bucket that goes into debt instead of refusing: what has been read is carried out, and the debt is waited for
/// before the next read.
#[derive(Debug)]
struct Bucket {
    rate: f32,
    /// Capacity in tokens.
    size: f32,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Creates a full bucket with the capacity that is earned in the time `burst`.
    fn new(rate: f32, burst: Duration, now: Instant) -> Self {
        let size = rate * burst.as_secs_f32();
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

    /// Returns what is missing from a full bucket.
    fn spent(&mut self, now: Instant) -> f64 {
        self.earn(now);
        f64::from(self.size) - self.tokens
    }

    /// Returns the time until this amount is available.
    fn wait_for(&mut self, now: Instant, amount: f64) -> Duration {
        self.earn(now);
        Duration::from_secs_f64((amount - self.tokens).max(0.0) / f64::from(self.rate))
    }

    /// Takes an amount, down to a debt of one full bucket.
    fn charge(&mut self, now: Instant, amount: f64) {
        self.take(now, amount);
        self.tokens = self.tokens.max(-f64::from(self.size));
    }

    fn put_back(&mut self, amount: f64) {
        self.tokens = (self.tokens + amount).min(f64::from(self.size));
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

    const RATE: Rate =
        Rate { messages: 200, bytes: 0, burst: Duration::from_secs(5), patience: Duration::from_secs(30) };

    /// Returns the meter of a peer that has the server for itself.
    fn meter(rate: Rate, now: Instant) -> Meter {
        let lifted = CommonRate { messages: 0, bytes: 0, free_messages: 0, free_bytes: 0 };
        Meter::new(rate, Commons::new(lifted, now).share(Elsewhere::default(), now), now)
    }

    #[test]
    fn r31_a_burst_is_free_and_the_rate_is_kept_afterwards() {
        let start = Instant::now();
        let mut meter = meter(RATE, start);
        assert!((0..1_000).all(|_| meter.take(start, 1, 10_000) == Pace::Free), "the burst is free");
        let mut now = start;
        for _ in 0..2_000 {
            if let Pace::Held(wait) = meter.take(now, 1, 10_000) {
                now += wait;
            }
        }
        let seconds = (now - start).as_secs_f64();
        assert!((9.9..=10.1).contains(&seconds), "2,000 messages at 200 a second took {seconds} s");
    }

    #[test]
    fn zero_is_no_limit() {
        let start = Instant::now();
        let mut meter = meter(Rate { messages: 0, patience: Duration::ZERO, ..RATE }, start);
        assert!((0..1_000_000).all(|_| meter.take(start, 1, 65_536) == Pace::Free));
    }

    /// Sends at this rate for this time, as far as the meter allows. Returns the time after which it was too much.
    fn too_much_after(meter: &mut Meter, now: &mut Instant, rate: u32, seconds: u32) -> Option<Duration> {
        let begun = *now;
        for at in 0..rate * seconds {
            *now = (*now).max(begun + Duration::from_secs(1) * at / rate);
            match meter.take(*now, 1, 100) {
                Pace::Free => {}
                Pace::Held(wait) => *now += wait,
                Pace::TooMuch => return Some(*now - begun),
            }
        }
        None
    }

    #[test]
    fn r75_who_is_held_up_without_a_break_is_too_much_in_the_end() {
        let mut now = Instant::now();
        let mut meter = meter(RATE, now);
        // At 400 a second the burst lasts 5 s.
        let after = too_much_after(&mut meter, &mut now, 400, 120).unwrap().as_secs_f64();
        assert!((35.0..35.2).contains(&after), "{after}");
    }

    #[test]
    fn r102_rejected_messages_slow_their_sender_and_do_not_end_it() {
        let mut now = Instant::now();
        let mut meter = meter(RATE, now);
        let mut held = 0;
        // Everything read in five minutes at twice the rate. Every other message is rejected.
        for number in 0..60_000 {
            match meter.take(now, 1, 100) {
                Pace::Free => now += Duration::from_micros(2_500),
                Pace::Held(wait) => {
                    held += 1;
                    now += wait;
                }
                Pace::TooMuch => panic!("after {number}"),
            }
            if number % 2 == 0 {
                meter.pardon(now, 1, 100);
            }
        }
        assert!(held > 50_000, "{held}");
        assert!(too_much_after(&mut meter, &mut now, 400, 120).is_some(), "what is not rejected counts");
    }

    #[test]
    fn r102_a_few_rejected_messages_do_not_keep_a_flooding_sender() {
        let mut now = Instant::now();
        let mut meter = meter(RATE, now);
        let begun = now;
        for number in 0.. {
            match meter.take(now, 1, 100) {
                Pace::Free => now += Duration::from_micros(2_500),
                Pace::Held(wait) => now += wait,
                Pace::TooMuch => break,
            }
            if number % 20 == 0 {
                meter.pardon(now, 1, 100);
            }
            assert!(now < begun + RATE.patience * 2, "it goes on");
        }
    }

    #[test]
    fn r75_a_pause_or_the_right_rate_begins_anew() {
        let mut now = Instant::now();
        let mut meter = meter(RATE, now);
        for _ in 0..10 {
            // Delayed for some 25 s, then quiet for two.
            assert_eq!(too_much_after(&mut meter, &mut now, 400, 15), None);
            now += CALM * 2;
        }
        // Just below the rate with an empty bucket, for an hour.
        assert_eq!(too_much_after(&mut meter, &mut now, 199, 3_600), None);
    }
}
