//! Which servers are gone: those whose lease was missing twice while one's own way to the engine was fine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::wire::ServerId;

/// How long a server is taken for alive after it has said so.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often it says so, and looks at the others.
pub const RENEW: Duration = Duration::from_secs(2);

/// So many looks after an interruption count for nothing: others come back to an engine up to some seconds later.
const GRACE: u32 = 2;

/// What one server knows of the others' leases.
#[derive(Debug, Default)]
pub struct Watch {
    /// How many looks in a row have not found it.
    missing: BTreeMap<ServerId, u32>,
    /// How many looks do not count yet.
    grace: u32,
}

impl Watch {
    /// Takes one look at those that share a room with this server: who is gone.
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

    /// The engine could not be reached, or was begun anew: what was missing may have been missing for that reason.
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
