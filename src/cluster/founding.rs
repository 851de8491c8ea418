//! Decides when this server may create a room of which it has no replica. It waits after the store may have lost its
//! data, so that servers with a replica restore the room first.
//!
//! The evidence is this server's own lease. It is missing after Redis was started empty, and after an outage that was
//! longer than the lease.

use std::time::Duration;

/// Time for the other servers: they reconnect within 3 s, and their first request takes a second at most.
pub const HOLD: Duration = Duration::from_secs(5);

/// State of a server's own lease.
#[derive(Debug, Default)]
pub struct Founding {
    /// Set once the store has had this server's lease. A server that has just started has none to miss.
    had_lease: bool,
    /// End of the hold after the lease was missing.
    missing: Duration,
    /// End of the hold after a reconnect, while the lease is not yet known.
    unknown: Duration,
}

impl Founding {
    /// Starts a hold after a reconnect, until the lease is renewed.
    pub fn connected(&mut self, now: Duration) {
        if self.had_lease {
            self.unknown = now + HOLD;
        }
    }

    /// Records a renewal. `lived` is set if the lease was still there. Returns whether it was missing.
    pub fn renewed(&mut self, now: Duration, lived: bool) -> bool {
        let is_missing = !lived && self.had_lease;
        if is_missing {
            self.missing = now + HOLD;
        }
        (self.had_lease, self.unknown) = (true, Duration::ZERO);
        is_missing
    }

    /// Returns the time from which on this server may create rooms.
    pub fn from(&self) -> Duration {
        self.missing.max(self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_made_at_once_unless_the_lease_is_missing() {
        let (mut founding, at) = (Founding::default(), Duration::from_secs);
        founding.connected(at(100));
        assert!(!founding.renewed(at(100), false), "a server that has just started");
        assert_eq!(founding.from(), at(0));
        founding.connected(at(110));
        assert_eq!(founding.from(), at(110) + HOLD, "until the lease is looked at");
        assert!(!founding.renewed(at(111), true));
        assert_eq!(founding.from(), at(0));
        assert!(founding.renewed(at(120), false));
        // The next renewal and another interruption do not end the hold.
        founding.connected(at(121));
        assert!(!founding.renewed(at(122), true));
        assert_eq!(founding.from(), at(120) + HOLD);
    }
}
