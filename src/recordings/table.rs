//! What is known of the recordings in the folder: as of the last look at it, and of what this server has done since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Record;
use super::turn::Turns;
use super::{Summary, Whose};
use crate::protocol::{PeerId, RoomName};

/// The rate of pieces, in the long run, is one in this time: writing one costs two waits for the disk, however small it is.
const PIECE_INTERVAL: Duration = Duration::from_millis(250);
/// Burst of pieces, as a time at the permitted rate: a page sends what has waited during an interruption.
const PIECE_BURST: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<String, Entry>,
    /// Records that cannot be read; each is told once.
    pub(super) unreadable: BTreeSet<String>,
    /// The folder itself cannot be read; told once, too.
    pub(super) is_lost: bool,
    /// Whose recordings are over, until somebody tells their rooms.
    pub(super) over: Vec<Whose>,
    /// The last look has found all that there are.
    pub(super) is_complete: bool,
    /// Set once the table has what this server found at its start.
    pub(super) is_open: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) whose: Option<Whose>,
    /// The last time that a piece came, and that its host was there, as far as it is to be seen here.
    pub(super) touched: Instant,
    pub(super) attended: Instant,
    /// Bytes on their way to the disk.
    pub(super) pending: u64,
    pub(super) turns: Turns,
    /// Set if its host was a host since the start of this server: when it began, or later.
    pub(super) seen_as_host: bool,
    /// When all pieces would have come, had they kept to [`PIECE_INTERVAL`].
    paced: Instant,
}

impl Table {
    /// Takes over what the disk says, which may be older than what is known.
    pub(super) fn learn(&mut self, id: &str, record: Record, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else {
            self.entries.insert(id.to_owned(), Entry { seen_as_host: self.is_open, ..Entry::new(record, now) });
            return;
        };
        if !entry.grows() {
            return;
        }
        if record.bytes > entry.record.bytes {
            entry.touched = now;
        }
        if record.attended > entry.record.attended {
            entry.attended = now;
        }
        if record.ended.is_some() {
            self.over.extend(entry.whose.clone());
        }
        if record.ended.is_some() || record.bytes >= entry.record.bytes {
            entry.record = record;
        }
    }

    pub(super) fn pending(&mut self, id: &str, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.pending = bytes;
        }
    }

    /// It is on the disk no more.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id).filter(Entry::grows) {
            self.over.extend(entry.whose);
        }
    }

    pub(super) fn grown(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.grows())
    }

    /// Bytes of all, with those on their way.
    pub(super) fn used(&self) -> u64 {
        self.entries.values().map(|entry| entry.record.bytes + entry.pending).sum()
    }
}

impl Entry {
    pub(super) fn new(record: Record, now: Instant) -> Self {
        let whose = RoomName::new(&record.room).ok().zip(PeerId::parse(&record.host));
        let whose = whose.map(|(room, host)| Whose { room, host });
        Self {
            record,
            whose,
            touched: now,
            attended: now,
            pending: 0,
            turns: Turns::default(),
            seen_as_host: false,
            paced: now,
        }
    }

    pub(super) fn grows(&self) -> bool {
        self.record.ended.is_none()
    }

    /// Counts a piece, and returns how long it has to wait.
    pub(super) fn pace(&mut self, now: Instant) -> Duration {
        self.paced = self.paced.max(now) + PIECE_INTERVAL;
        (self.paced - now).saturating_sub(PIECE_BURST)
    }

    pub(super) fn summary(&self, id: &str) -> Summary {
        let Record { room, begun, ended, bytes, .. } = self.record.clone();
        Summary { id: id.to_owned(), room, begun, ended, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_at_a_bounded_rate() {
        let begun = Instant::now();
        let record = Record {
            room: "r".into(),
            host: "0123456789abcdefghij".into(),
            begun: String::new(),
            ended: None,
            bytes: 0,
            attended: 0,
            upload: String::new(),
        };
        let mut entry = Entry::new(record, begun);
        assert!((0..60).all(|_| entry.pace(begun).is_zero()), "a page catches up after an interruption");
        let mut now = begun;
        for _ in 0..400 {
            now += entry.pace(now);
        }
        let seconds = (now - begun).as_secs_f64();
        assert!((99.0..=101.0).contains(&seconds), "400 pieces took {seconds} s");
    }
}
