//! Roster entry of a member.

use std::ops::Deref;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::Peer;

/// A peer and its JSON, encoded once per change and used in all rosters. A client may request a roster at any time, and
/// it is written under the room's lock.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Entry {
    peer: Peer,
    #[serde(skip)]
    encoded: OnceLock<Box<RawValue>>,
}

impl Entry {
    pub(super) fn new(peer: Peer) -> Self {
        Self { peer, encoded: OnceLock::new() }
    }

    /// Returns the peer for modification, and discards its JSON.
    pub(super) fn change(&mut self) -> &mut Peer {
        self.encoded = OnceLock::new();
        &mut self.peer
    }

    /// Returns the peer as JSON.
    pub(super) fn encoded(&self) -> &RawValue {
        // Serialization cannot fail: a peer contains only values that JSON has.
        self.encoded.get_or_init(|| serde_json::value::to_raw_value(&self.peer).unwrap_or_default())
    }
}

impl Deref for Entry {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.peer == other.peer
    }
}
