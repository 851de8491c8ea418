//! Sessions that somebody else has ended (R45, R46). A client that was disconnected at the time does not learn of it,
//! and would come back as if nothing had happened: the resume secret of such a session is no longer accepted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::protocol::CloseCode;

/// Number of sessions that are kept, which take some hundred KiB.
const REMEMBERED: usize = 4_096;

/// Sessions that were ended, with their close codes.
#[derive(Debug, Default)]
pub(crate) struct Dismissed(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    codes: HashMap<u64, CloseCode>,
    /// The latest is last.
    order: VecDeque<u64>,
}

impl Dismissed {
    /// Records how a session was ended.
    pub(crate) fn add(&self, stay: u64, code: CloseCode) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.codes.insert(stay, code).is_some() {
            return;
        }
        table.order.push_back(stay);
        if table.order.len() > REMEMBERED
            && let Some(oldest) = table.order.pop_front()
        {
            table.codes.remove(&oldest);
        }
    }

    /// Returns the close code of a session that somebody else has ended.
    pub(crate) fn how(&self, stay: u64) -> Option<CloseCode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).codes.get(&stay).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let dismissed = Dismissed::default();
        for stay in 0..=REMEMBERED as u64 {
            dismissed.add(stay, CloseCode::Removed);
        }
        assert_eq!([0, 1, REMEMBERED as u64].map(|stay| dismissed.how(stay).is_some()), [false, true, true]);
    }
}
