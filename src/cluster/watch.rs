//! Detection of dead servers: their lease was missing at two consecutive checks while this server's connection to the
//! store was fine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::wire::ServerId;

/// Duration of a lease: a server counts as dead if it does not renew its lease for so long.
pub const LEASE: Duration = Duration::from_secs(6);
/// Interval at which a server renews its lease and checks the others.
pub const RENEW: Duration = Duration::from_secs(2);

/// Checks after an interruption that do not count: other servers may reconnect to the store some seconds later.
const GRACE: u32 = 2;

/// One server's record of the others' leases.
#[derive(Debug, Default)]
pub struct Watch {
    /// Number of consecutive checks that have not found the server's lease.
    missing: BTreeMap<ServerId, u32>,
    /// Number of further checks that do not count.
    grace: u32,
}

impl Watch {
    /// Checks the servers that share a room with this one. Returns those that are dead.
    pub fn look(&mut self, known: &BTreeSet<ServerId>, living: &BTreeSet<ServerId>) -> Vec<ServerId> {
        if self.grace > 0 {
            self.grace -= 1;
            return Vec::new();
        }
        self.missing.retain(|server, _| known.contains(server) && !living.contains(server));
        for server in known.difference(living) {
            *self.missing.entry(*server).or_default() += 1;
        }
        self.missing.iter().filter(|(_, looks)| **looks >= 2).map(|(server, _)| *server).collect()
    }

    /// Starts over after the store could not be reached, or was restarted: leases may have been missing for that
    /// reason.
    pub fn interrupted(&mut self) {
        self.missing.clear();
        self.grace = GRACE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gone_is_who_was_missing_twice_in_a_row() {
        let (mut watch, all) = (Watch::default(), BTreeSet::from([ServerId(1), ServerId(2)]));
        let one = BTreeSet::from([ServerId(1)]);
        assert_eq!(watch.look(&all, &one), []);
        assert_eq!(watch.look(&all, &all), []);
        assert_eq!(watch.look(&all, &one), []);
        watch.interrupted();
        for _ in 0..=GRACE {
            assert_eq!(watch.look(&all, &one), []);
        }
        assert_eq!(watch.look(&all, &one), [ServerId(2)]);
    }
}
