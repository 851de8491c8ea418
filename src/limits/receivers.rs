//! Limit on the signals of one member to each other member (R102).

use std::time::Duration;

use tokio::time::Instant;

use super::Rate;
use crate::protocol::PeerId;

/// One receiver may get one part in this many of what its sender may send at once: with the default rates 200 messages
/// and 128 KiB, nine negotiations.
const BURST_SHARE: u32 = 5;
/// Minimum number of receivers among which the rate is divided.
const MIN_SHARES: usize = 2;

/// Limits on the signals of one member, by receiver.
///
/// A client that answers each offer by asking for another one makes the page of its victim send without end. If each
/// receiver has its share of the sender's rate, the victim's signals to that client are rejected, and all others pass.
#[derive(Debug)]
pub struct SignalLimits {
    rate: Rate,
    /// Receivers, with the time at which their share is free again.
    busy_until: Vec<(PeerId, Instant)>,
}

impl SignalLimits {
    /// Creates the limits of a member that may send at this rate.
    pub fn new(rate: Rate) -> Self {
        Self { rate, busy_until: Vec::new() }
    }

    /// Counts a signal to one of this many receivers. Fails with the time after which it may be sent again.
    pub fn take(&mut self, to: PeerId, receivers: usize, bytes: usize, now: Instant) -> Result<(), Duration> {
        let shares = receivers.max(MIN_SHARES) as u32;
        let cost = self.rate.time_for(1, bytes) * shares;
        if cost.is_zero() {
            return Ok(());
        }
        // A receiver whose share is free has no entry.
        self.busy_until.retain(|(_, until)| *until > now);
        let found = self.busy_until.iter().position(|(id, _)| *id == to);
        let until = found.map_or(now, |at| self.busy_until[at].1) + cost;
        let excess = (until - now).saturating_sub(self.rate.burst / BURST_SHARE * shares);
        if !excess.is_zero() {
            return Err(excess);
        }
        match found {
            Some(at) => self.busy_until[at].1 = until,
            None => self.busy_until.push((to, until)),
        }
        Ok(())
    }

    /// Whether the share of every receiver is free.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.busy_until.iter().all(|(_, until)| *until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate =
        Rate { messages: 200, bytes: 131_072, burst: Duration::from_secs(5), patience: Duration::from_secs(30) };

    fn id(number: u8) -> PeerId {
        PeerId::from_random([number; PeerId::LEN])
    }

    #[test]
    fn r102_each_receiver_has_its_share_of_the_rate() {
        for (receivers, per_second) in [(1, 65_536), (2, 65_536), (8, 16_384)] {
            let (mut limits, begun) = (SignalLimits::new(RATE), Instant::now());
            let (mut now, mut passed) = (begun, 0);
            while now < begun + Duration::from_secs(60) {
                passed += usize::from(limits.take(id(1), receivers, 1_024, now).is_ok());
                now += Duration::from_millis(5);
            }
            let expected = (131_072 + 60 * per_second) / 1_024;
            assert!((expected - 2..=expected + 2).contains(&passed), "{receivers}: {passed}, not {expected}");
            assert!(limits.take(id(2), receivers, 65_536, now).is_ok(), "the others have theirs");
        }
    }

    #[test]
    fn r102_the_hint_says_when_a_signal_passes() {
        let (mut limits, now) = (SignalLimits::new(RATE), Instant::now());
        assert!((0..2).all(|_| limits.take(id(1), 4, 60_000, now).is_ok()));
        let wait = limits.take(id(1), 4, 60_000, now).unwrap_err();
        assert!((1.0..2.0).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(limits.take(id(1), 4, 60_000, now + wait).is_ok());
        let mut lifted = SignalLimits::new(Rate { messages: 0, bytes: 0, ..RATE });
        assert!((0..10_000).all(|_| lifted.take(id(1), 1, 65_536, now).is_ok()));
    }
}
