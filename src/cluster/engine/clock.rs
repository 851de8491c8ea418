//! The Redis server's clock, estimated from its answers.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// This machine's clock, and the lead of the Redis server's clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// This machine's clock at that instant. It is read only once, because it may be set.
    began: (Instant, i64),
    /// Lead in microseconds.
    ahead: AtomicI64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: (Instant::now(), micros(unix)), ahead: AtomicI64::new(0) }
    }

    /// Returns the Redis server's clock since 1970, in microseconds.
    pub(super) fn now(&self) -> i64 {
        self.at(Instant::now()) + self.ahead.load(Ordering::Relaxed)
    }

    /// Takes the time `engine` (in microseconds) that the Redis server's clock had between these two instants. This
    /// bounds the lead, which is changed only if it is out of bounds. A slow answer narrows it down little.
    pub(super) fn heard(&self, sent: Instant, received: Instant, engine: i64) {
        let (least, most) = (engine - self.at(received), engine - self.at(sent));
        let ahead = self.ahead.load(Ordering::Relaxed);
        self.ahead.store(ahead.clamp(least.min(most), most), Ordering::Relaxed);
    }

    /// Returns this machine's clock at an instant, in microseconds.
    fn at(&self, instant: Instant) -> i64 {
        self.began.1 + micros(instant.saturating_duration_since(self.began.0))
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_an_answer_allows_is_believed() {
        let clock = Clock::new();
        let began = clock.now();
        let second = Duration::from_secs(1);
        // The clock is five seconds ahead. The answer takes one second.
        let sent = Instant::now();
        tokio::time::advance(second).await;
        clock.heard(sent, Instant::now(), began + 5_000_000);
        assert_eq!(clock.now(), began + 5_000_000);
        // An answer that took two seconds and is consistent changes nothing.
        let sent = Instant::now();
        tokio::time::advance(2 * second).await;
        clock.heard(sent, Instant::now(), began + 6_000_000);
        assert_eq!(clock.now(), began + 7_000_000);
        // The clock was set back.
        clock.heard(Instant::now(), Instant::now(), began);
        assert_eq!(clock.now(), began);
    }
}
