//! Whose stay in a room was ended by somebody else (R45, R46). Who has lost its socket then does not hear of it, and
//! would come back as if nothing were: the secret of such a stay opens no door any more.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::protocol::CloseCode;

/// The latest that are kept in mind: some hundred KiB.
const REMEMBERED: usize = 4_096;

/// The stays that were ended, and how.
#[derive(Debug, Default)]
pub(crate) struct Dismissed(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    codes: HashMap<u64, CloseCode>,
    /// The latest last.
    order: VecDeque<u64>,
}

impl Dismissed {
    /// Keeps in mind how a stay was ended.
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

    /// How a stay was ended, where somebody else has done that.
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
