//! Credentials of removed participants. They stay invalid for as long as the room exists (R45).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::protocol::PeerId;

/// Removed participants that a room remembers. Beyond that number, it rejects the secrets of all participants that it
/// does not know.
pub const REMOVED: usize = 512;
/// Holders of the host key that a room remembers. Beyond that number, each removal invalidates the key.
const KEY_HOLDERS: usize = 256;

/// The removals in one room.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Removals {
    ids: VecDeque<PeerId>,
    /// Set once the oldest of `ids` was dropped.
    overflowed: bool,
    /// Participants who joined with the host key, the latest last.
    key_holders: VecDeque<PeerId>,
    /// Set once the oldest of `key_holders` was dropped: any participant may have the host key.
    key_holders_overflowed: bool,
    /// Set once a participant with the host key was removed.
    host_key: bool,
}

impl Removals {
    /// Remembers that this participant has the room's host key.
    pub(super) fn note_host_key(&mut self, id: PeerId) {
        self.key_holders_overflowed |= push(&mut self.key_holders, id, KEY_HOLDERS);
    }

    /// Invalidates the credentials of a removed participant.
    pub(super) fn add(&mut self, id: PeerId) {
        self.host_key |= self.key_holders_overflowed || self.key_holders.contains(&id);
        self.overflowed |= push(&mut self.ids, id, REMOVED);
    }

    /// Returns whether the resume secret of a participant that the room does not know otherwise is invalid.
    pub(super) fn rejects_secrets_of(&self, id: PeerId) -> bool {
        self.overflowed || self.ids.contains(&id)
    }

    /// Returns whether the room's host key is invalid.
    pub(super) fn has_host_key(&self) -> bool {
        self.host_key
    }
}

/// Adds an ID unless it is there. Returns whether the oldest one was dropped.
fn push(ids: &mut VecDeque<PeerId>, id: PeerId, most: usize) -> bool {
    if ids.contains(&id) {
        return false;
    }
    ids.push_back(id);
    ids.len() > most && ids.pop_front().is_some()
}
