//! Revoked sessions of a room: those that a host or the operator has ended (R56), known to all servers that have the
//! room. Joins with their secrets are refused in the order of the log, so that it does not matter at which server they
//! arrive.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::protocol::CloseCode;

/// Maximum number of sessions that a room remembers.
pub const REMEMBERED: usize = 256;

/// Revoked sessions and their close codes, the latest last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Ended(VecDeque<(u64, CloseCode)>);

impl Ended {
    /// Adds the sessions that one command has revoked, in any order.
    pub(super) fn add(&mut self, mut stays: Vec<(u64, CloseCode)>) {
        // Replicas may iterate over their members in different orders.
        stays.sort_unstable_by_key(|(stay, _)| *stay);
        self.0.extend(stays);
        self.0.drain(..self.0.len().saturating_sub(REMEMBERED));
    }

    /// Returns the close code of a session that was revoked.
    pub fn how(&self, stay: u64) -> Option<CloseCode> {
        self.0.iter().find(|(ended, _)| *ended == stay).map(|(_, code)| *code)
    }

    /// Returns all revoked sessions and their close codes.
    pub fn all(&self) -> impl Iterator<Item = (u64, CloseCode)> {
        self.0.iter().copied()
    }
}
