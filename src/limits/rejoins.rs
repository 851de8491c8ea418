//! Limit on the sessions that one peer begins again (R121). Everybody in its room is told of each.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Bucket;
use super::doors::LONGEST_WAIT;
use crate::protocol::PeerId;

/// Sessions that a peer may begin again in a second, for long.
const RATE: f32 = 0.5;
/// Time in which the sessions are earned that it may begin at once.
const BURST: Duration = Duration::from_secs(20);

/// Peers that have begun sessions again of late.
#[derive(Debug, Default)]
pub(super) struct Rejoins {
    peers: HashMap<PeerId, Bucket>,
    /// Size at which the peers are forgotten that are free again.
    look_at: usize,
}

impl Rejoins {
    /// Counts a session and returns how long it waits. Fails with the time that is too long to wait; then nothing is counted.
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

    /// Does not count a session that [`Rejoins::take`] has counted.
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
        // A session that goes on does not count.
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
