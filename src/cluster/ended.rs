//! Whose stay in a room was ended by somebody else (R56), as all servers that have the room know it: whoever comes with
//! the secret of such a stay is refused by the order of what was done, wherever it comes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::protocol::CloseCode;

/// The latest that a room keeps in mind.
pub const REMEMBERED: usize = 256;

/// The stays, and how each was ended; the latest last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Ended(VecDeque<(u64, CloseCode)>);

impl Ended {
    /// Those that one act has ended, in whatever order.
    pub(super) fn add(&mut self, mut stays: Vec<(u64, CloseCode)>) {
        // Copies may go through their members in different orders.
        stays.sort_unstable_by_key(|(stay, _)| *stay);
        self.0.extend(stays);
        self.0.drain(..self.0.len().saturating_sub(REMEMBERED));
    }

    /// How a stay was ended, where somebody else has done that.
    pub fn how(&self, stay: u64) -> Option<CloseCode> {
        self.0.iter().find(|(ended, _)| *ended == stay).map(|(_, code)| *code)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (u64, CloseCode)> {
        self.0.iter().copied()
    }
}
