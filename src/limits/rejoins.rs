//! Limit on the new sessions of one peer (R121). Each of them is announced to everybody in its room.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Bucket;
use super::doors::LONGEST_WAIT;
use crate::protocol::PeerId;

/// Long-term rate of a peer's new sessions, per second.
const RATE: f32 = 0.5;
/// Burst of new sessions, as a time at that rate.
const BURST: Duration = Duration::from_secs(20);

/// Peers that have begun new sessions recently.
#[derive(Debug, Default)]
pub(super) struct Rejoins {
    peers: HashMap<PeerId, Bucket>,
    /// Size at which peers whose bucket is full again are removed.
    look_at: usize,
}

impl Rejoins {
    /// Counts a new session, and returns how long it must wait. Fails with that time if it is too long; then nothing is
    /// counted.
    pub(super) fn take(&mut self, id: PeerId, now: Instant) -> Result<Duration, Duration> {
        if self.peers.len() >= self.look_at.max(1_024) {
            self.peers.retain(|_, bucket| !bucket.is_full(now));
            self.look_at = self.peers.len() * 2;
        }
        let bucket = self.peers.entry(id).or_insert_with(|| Bucket::new(RATE, BURST, now));
        let wait = bucket.wait_for(now, 1.0);
        if wait > LONGEST_WAIT {
            return Err(wait);
        }
        Ok(bucket.take(now, 1.0))
    }

    /// Takes back the count of a session by [`Rejoins::take`].
    pub(super) fn put_back(&mut self, id: PeerId) {
        if let Some(bucket) = self.peers.get_mut(&id) {
            bucket.put_back(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> PeerId {
        let mut random = [0; PeerId::LEN];
        random[..4].copy_from_slice(&number.to_be_bytes());
        PeerId::from_random(random)
    }

    #[test]
    fn r121_a_peer_begins_ten_sessions_at_once_and_then_one_every_two_seconds() {
        let (mut rejoins, mut now) = (Rejoins::default(), Instant::now());
        assert!((0..10).all(|_| rejoins.take(id(1), now) == Ok(Duration::ZERO)));
        assert_eq!(rejoins.take(id(1), now), Ok(Duration::from_secs(2)));
        assert_eq!(rejoins.take(id(1), now), Ok(Duration::from_secs(4)));
        assert_eq!(rejoins.take(id(1), now), Err(Duration::from_secs(6)));
        now += Duration::from_secs(6);
        assert_eq!(rejoins.take(id(1), now), Ok(Duration::ZERO));
        // A session that is resumed does not count.
        rejoins.put_back(id(1));
        assert_eq!(rejoins.take(id(1), now), Ok(Duration::ZERO));
        assert_eq!(rejoins.take(id(1), now), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn peers_are_forgotten() {
        let (mut rejoins, mut now) = (Rejoins::default(), Instant::now());
        for number in 0..100_000 {
            now += Duration::from_millis(10);
            assert!(rejoins.take(id(number), now).is_ok());
        }
        assert!(rejoins.peers.len() < 2_048, "{}", rejoins.peers.len());
    }
}
