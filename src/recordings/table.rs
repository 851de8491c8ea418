//! Recordings as this server knows them: from its last look at the folder, and from its own work since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Record;
use super::turn::Turns;
use super::{Summary, Whose};
use crate::protocol::{PeerId, RoomName};

/// Long-term rate limit: one piece per interval. Writing a piece costs two syncs of the disk, however small it is.
const PIECE_INTERVAL: Duration = Duration::from_millis(250);
/// Burst of pieces, as a time at the permitted rate. After an interruption a page sends the pieces that have waited.
const PIECE_BURST: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<String, Entry>,
    /// Records that cannot be read. Each is logged once.
    pub(super) unreadable: BTreeSet<String>,
    /// Set while the folder itself cannot be read, which is also logged once.
    pub(super) is_lost: bool,
    /// Recordings that have ended, until their rooms are informed.
    pub(super) over: Vec<Whose>,
    /// Set if the last look found all recordings.
    pub(super) is_complete: bool,
    /// Set once the table contains what this server found at its start.
    pub(super) is_open: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) whose: Option<Whose>,
    /// Time of the last piece, as far as this server knows.
    pub(super) touched: Instant,
    /// Time at which the host was last in the room, as far as this server knows.
    pub(super) attended: Instant,
    /// Bytes that are being written.
    pub(super) pending: u64,
    pub(super) turns: Turns,
    /// Set if its host has been a host since the start of this server: when the recording began, or later.
    pub(super) seen_as_host: bool,
    /// Time at which all pieces would have arrived at a rate of one per [`PIECE_INTERVAL`].
    paced: Instant,
}

impl Table {
    /// Merges a record from the disk, which may be older than what is known.
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

    /// Removes a recording that is no longer on disk.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id).filter(Entry::grows) {
            self.over.extend(entry.whose);
        }
    }

    pub(super) fn grown(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.grows())
    }

    /// Returns the bytes of all recordings, with those that are being written.
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

    /// Counts a piece, and returns how long it must wait.
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
