//! When this server may make a room of which it has no copy: not shortly after Redis may have lost its data, because servers
//! that have a copy of the room put it back first.
//!
//! The evidence is this server's own lease. It is missing after Redis was started empty, and after an outage that was longer
//! than the lease.

use std::time::Duration;

/// How long the others have: they reconnect within 3 s, and their first request takes a second at most.
pub const HOLD: Duration = Duration::from_secs(5);

/// Knowledge of one server about its own lease.
#[derive(Debug, Default)]
pub struct Founding {
    /// Redis has had this server's lease. One that has just started has none to miss.
    had_lease: bool,
    /// End of the hold after the lease was missing.
    missing: Duration,
    /// End of the hold until the lease is looked at, after a reconnect.
    unknown: Duration,
}

impl Founding {
    /// Redis can be reached again.
    pub fn connected(&mut self, now: Duration) {
        if self.had_lease {
            self.unknown = now + HOLD;
        }
    }

    /// The lease was renewed. `lived` tells whether it was still there. Returns whether it was missing.
    pub fn renewed(&mut self, now: Duration, lived: bool) -> bool {
        let is_missing = !lived && self.had_lease;
        if is_missing {
            self.missing = now + HOLD;
        }
        (self.had_lease, self.unknown) = (true, Duration::ZERO);
        is_missing
    }

    /// From when on this server makes rooms.
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
        // The next renewal and another interruption do not end it.
        founding.connected(at(121));
        assert!(!founding.renewed(at(122), true));
        assert_eq!(founding.from(), at(120) + HOLD);
    }
}
