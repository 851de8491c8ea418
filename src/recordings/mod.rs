//! Recordings that hosts' browsers upload piece by piece, and that the operator downloads (R84 to R89).
//!
//! Several servers may share the folder. The disk is authoritative ([`disk`]); memory holds what the last look at the
//! folder found, under a short lock ([`table`]). All methods block, because they wait for the disk: requests use
//! [`Recordings::run`]. Time is passed in.

mod disk;
mod lanes;
mod sweep;
mod table;
mod turn;
mod webm;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::core::FolderId;
use crate::hub::HostPresence;
use crate::protocol::{PeerId, RoomName};
use crate::telemetry::{Ended, RecordingMetrics};
use disk::{Disk, Grip, Record};
use lanes::Lanes;
use sweep::WallClock;
use table::Table;

pub use turn::Turn;

/// Longest piece in bytes, about ten seconds of a recording.
pub const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Maximum number of recordings, so that the table stays small even if all of them are tiny.
const MOST: usize = 10_000;

/// Time of an operation, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Wall clock, for the names and the retention of recordings.
    pub wall: SystemTime,
    /// Monotonic clock, for the time without pieces or without the host.
    pub tick: Instant,
}

/// Settings of all recordings, the same on all servers that share the folder.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Folder of the recordings.
    pub dir: PathBuf,
    /// Maximum bytes of all recordings.
    pub quota: u64,
    /// Maximum bytes of one recording.
    pub largest: u64,
    /// Maximum number of growing recordings.
    pub at_a_time: usize,
    /// Bytes that must stay free on the disk; 0 for no limit.
    pub min_free: u64,
    /// Time without a piece, or without the host, after which a recording is finished.
    pub silence: Duration,
    /// Time for which a finished recording is kept.
    pub keep: Duration,
    /// Time zone of the times in the records.
    pub zone: Tz,
}

/// Reason why an operation was rejected.
#[derive(Debug)]
pub enum Refused {
    /// There is no recording with this ID and this secret.
    Unknown,
    /// The recording is finished.
    Over,
    /// Another piece arrived while this one was being received.
    Replaced,
    /// The piece would leave a gap after this many bytes.
    Gap(u64),
    /// The file would not begin as WebM.
    NotWebm,
    /// The recording would exceed this maximum size.
    TooLarge(u64),
    /// The quota of all recordings is used up.
    Quota,
    /// As many recordings grow as are allowed.
    TooMany,
    /// The disk is full, or would have less free space than [`Rules::min_free`].
    DiskFull,
    /// Another request writes the recording, here or on another server, or too many requests wait for it.
    Busy,
    /// Any other error of the disk.
    Broken(io::Error),
}

/// Room and host of a recording: the room shows that it goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whose {
    /// The room.
    pub room: RoomName,
    /// The host who records.
    pub host: PeerId,
}

/// Recording that has begun, with what its client needs to upload it.
#[derive(Debug)]
pub struct Begun {
    /// Its ID.
    pub id: String,
    /// The secret for uploading it, which allows nothing else.
    pub secret: String,
}

/// A recording in a list.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Its ID. IDs sort in the order in which recordings began.
    pub id: String,
    /// The room's name.
    pub room: String,
    /// Time of its beginning, by RFC 3339.
    pub begun: String,
    /// Time of its end, by RFC 3339; `None` while it grows.
    pub ended: Option<String>,
    /// Its size.
    pub bytes: u64,
}

/// Store of all recordings in the folder.
#[derive(Debug)]
pub struct Recordings {
    rules: Rules,
    disk: Disk,
    table: Mutex<Table>,
    lanes: Lanes,
    wall_clock: Mutex<WallClock>,
    metrics: RecordingMetrics,
}

impl Recordings {
    /// Opens the folder, and takes over the recordings in it. The error is a sentence for the operator.
    pub fn open(rules: Rules, metrics: RecordingMetrics, now: Now) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("ROUNDTABLE_RECORDINGS_DIR: {}: {error}", rules.dir.display());
        let disk = Disk::open(&rules.dir).map_err(wrong)?;
        for id in disk.ids().map_err(wrong)? {
            // Locking a recording repairs it. One that another server has locked now needs no repair.
            match disk.grip(&id) {
                Err(error) if !(is_gone(&error) || is_held(&error)) => {
                    tracing::error!(id, %error, "a recording cannot be opened");
                }
                _ => {}
            }
        }
        metrics.quota.set(gauge(rules.quota));
        let wall_clock = Mutex::new(WallClock::new(now));
        let recordings = Self { disk, table: Mutex::default(), lanes: Lanes::default(), wall_clock, metrics, rules };
        recordings.look(now).map_err(|refused| format!("ROUNDTABLE_RECORDINGS_DIR: {refused:?}"))?;
        recordings.table().is_open = true;
        let count = recordings.table().entries.len();
        tracing::info!(dir = %recordings.rules.dir.display(), recordings = count, "recordings are kept");
        Ok(recordings)
    }

    /// Returns the settings.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Returns the folder's ID, by which rooms tell its recordings from those of servers with a folder of their own.
    pub fn folder(&self) -> FolderId {
        self.disk.id
    }

    /// Begins a recording. Another one of the same host, left behind by a page that was closed, is ended.
    pub fn begin(&self, whose: Whose, now: Now) -> Result<Begun, Refused> {
        // Holds off all other servers, so that the counts stay valid.
        let _lock = self.disk.lock().map_err(of_folder)?;
        self.look(now)?;
        for id in self.growing_of(&whose) {
            match self.end(&id, Ended::Replaced, now) {
                // It has just been deleted.
                Ok(_) | Err(Refused::Unknown) => {}
                Err(refused) => return Err(refused),
            }
        }
        {
            let table = self.table();
            if table.grown().count() >= self.rules.at_a_time {
                return Err(Refused::TooMany);
            }
            if table.entries.len() >= MOST || table.used() >= self.rules.quota {
                return Err(Refused::Quota);
            }
        }
        self.check_free(0)?;
        let mut random = [0; 38];
        getrandom::fill(&mut random).map_err(|error| Refused::Broken(io::Error::other(error)))?;
        let (name, secret) = random.split_at(6);
        let id = format!("{}-{}", DateTime::<Utc>::from(now.wall).format("%Y%m%dT%H%M%S%3fZ"), hex(name));
        let secret = hex(secret);
        let record = Record {
            room: whose.room.as_str().to_owned(),
            host: whose.host.as_str().to_owned(),
            begun: self.time(now),
            ended: None,
            bytes: 0,
            attended: 0,
            upload: digest(&secret),
        };
        self.disk.create(&id, &record).map_err(of_folder)?;
        self.change(|table| table.learn(&id, record, now.tick));
        Ok(Begun { id, secret })
    }

    /// Returns whether this is the secret of a recording that this server knows. A recording that another server has
    /// begun may be unknown yet.
    pub fn has_known_secret(&self, id: &str, secret: &str) -> bool {
        self.table().entries.get(id).is_some_and(|entry| entry.record.upload == digest(secret))
    }

    /// Returns the length of a recording, and whether it is finished, given its secret. Read from the disk, because
    /// another server may write it.
    pub fn length(&self, id: &str, secret: &str, now: Now) -> Result<(u64, bool), Refused> {
        let record = self.read(id)?;
        if record.upload != digest(secret) {
            return Err(Refused::Unknown);
        }
        let known = (record.bytes, record.ended.is_some());
        self.change(|table| table.learn(id, record, now.tick));
        Ok(known)
    }

    /// Returns the turn to receive a piece. The piece before it is read no further.
    pub fn turn(&self, id: &str) -> Result<Turn, Refused> {
        self.table().entries.get_mut(id).map(|entry| entry.turns.next()).ok_or(Refused::Unknown)
    }

    /// Appends a piece, and returns the new length. A piece of which even a part is already there is not written again.
    pub fn append(&self, id: &str, offset: u64, piece: &[u8], now: Now) -> Result<u64, Refused> {
        let mut grip = self.grip(id)?;
        let (here, more) = (grip.record.bytes, piece.len() as u64);
        if grip.record.ended.is_some() {
            return Err(Refused::Over);
        }
        if offset > here {
            return Err(Refused::Gap(here));
        }
        if offset < here {
            return Ok(here);
        }
        if here + more > self.rules.largest {
            return Err(Refused::TooLarge(self.rules.largest));
        }
        if here < webm::BEGINNING && !webm::may_be_webm(&grip.beginning(piece, webm::BEGINNING)?) {
            return Err(Refused::NotWebm);
        }
        self.check_free(more)?;
        self.change(|table| {
            table.learn(id, grip.record.clone(), now.tick);
            if table.used() + more > self.rules.quota {
                return Err(Refused::Quota);
            }
            table.pending(id, more);
            Ok(())
        })?;
        let written = grip.append(piece);
        self.change(|table| {
            table.pending(id, 0);
            table.learn(id, grip.record.clone(), now.tick);
        });
        written?;
        self.metrics.pieces.inc();
        self.metrics.bytes.inc_by(more);
        Ok(grip.record.bytes)
    }

    /// Returns room and host of a recording that grows.
    pub fn whose(&self, id: &str) -> Option<Whose> {
        self.table().entries.get(id).filter(|entry| entry.grows())?.whose.clone()
    }

    /// Returns whether the last look found all recordings. Another server may have locked some of them.
    pub fn knows_all(&self) -> bool {
        self.table().is_complete
    }

    /// Returns whether its host may not continue the recording. A member that is not a host counts as one until it has
    /// been seen as a host since the start of this server: rooms that begin again after a restart assign the roles
    /// again.
    pub fn has_role_ended(&self, id: &str, presence: HostPresence) -> bool {
        let mut table = self.table();
        let Some(entry) = table.entries.get_mut(id) else { return false };
        match presence {
            HostPresence::Host => entry.seen_as_host = true,
            HostPresence::Demoted => return entry.seen_as_host,
            HostPresence::Removed => return true,
            HostPresence::Absent => {}
        }
        false
    }

    /// Returns the IDs of the host's growing recordings.
    pub fn growing_of(&self, whose: &Whose) -> Vec<String> {
        let table = self.table();
        let same = table.grown().filter(|(_, entry)| entry.whose.as_ref() == Some(whose));
        same.map(|(id, _)| id.clone()).collect()
    }

    /// Finishes a recording, and returns its length. Repeating this changes nothing. An empty recording is removed.
    pub fn end(&self, id: &str, how: Ended, now: Now) -> Result<u64, Refused> {
        let mut grip = self.grip(id)?;
        let bytes = grip.record.bytes;
        if grip.record.ended.is_some() {
            return Ok(bytes);
        }
        if bytes == 0 {
            grip.remove()?;
            self.change(|table| table.forget(id));
        } else {
            grip.finish(self.time(now))?;
            self.change(|table| table.learn(id, grip.record.clone(), now.tick));
            tracing::info!(id, bytes, "a recording is finished");
        }
        self.metrics.ended(how);
        Ok(bytes)
    }

    /// Lists up to `limit` recordings after the ID `after`. Also returns the number and the size of all, and whether
    /// more follow.
    pub fn list(
        &self,
        after: Option<&str>,
        limit: usize,
        now: Now,
    ) -> Result<(Vec<Summary>, usize, u64, bool), Refused> {
        self.look(now)?;
        let table = self.table();
        let behind = table.entries.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let mut found: Vec<Summary> = behind.take(limit + 1).map(|(id, entry)| entry.summary(id)).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, table.entries.len(), table.used(), more))
    }

    /// Returns the path that its file has at the moment.
    pub fn path(&self, id: &str) -> Result<PathBuf, Refused> {
        self.read(id).map(|record| self.disk.media(id, record.ended.is_some()))
    }

    /// Deletes a recording.
    pub fn delete(&self, id: &str) -> Result<(), Refused> {
        let grip = self.grip(id)?;
        grip.remove()?;
        tracing::info!(id, "a recording was deleted");
        if grip.record.ended.is_none() {
            self.metrics.ended(Ended::Deleted);
        }
        self.change(|table| table.forget(id));
        Ok(())
    }

    /// Returns room and host of the recordings that ended since the last call, on any server: the rooms may not know.
    /// Those that record again are left out.
    pub fn over(&self) -> Vec<Whose> {
        let mut table = self.table();
        let over = std::mem::take(&mut table.over);
        over.into_iter().filter(|whose| table.grown().all(|(_, entry)| entry.whose.as_ref() != Some(whose))).collect()
    }

    /// Updates the table with what other servers have done.
    fn look(&self, now: Now) -> Result<(), Refused> {
        let (known, mut fresh): (BTreeSet<String>, Vec<String>) = {
            let table = self.table();
            (table.entries.keys().cloned().collect(), table.grown().map(|(id, _)| id.clone()).collect())
        };
        let there = self.disk.ids();
        let was_lost = std::mem::replace(&mut self.table().is_lost, there.is_err());
        let there = there.inspect_err(|error| {
            if !was_lost {
                tracing::error!(%error, "the folder of the recordings cannot be read");
            }
        });
        let there = there.map_err(of_folder)?;
        fresh.extend(there.difference(&known).cloned());
        let mut gone: Vec<&String> = known.difference(&there).collect();
        let mut is_complete = true;
        for id in &fresh {
            match self.disk.read(id) {
                Ok(record) => self.table().learn(id, record, now.tick),
                Err(error) if is_gone(&error) => gone.push(id),
                Err(error) if is_held(&error) => is_complete &= known.contains(id),
                Err(error) => {
                    if self.table().unreadable.insert(id.clone()) {
                        tracing::error!(id, %error, "the record of a recording cannot be read: it is not counted");
                    }
                }
            }
        }
        self.change(|table| {
            table.is_complete = is_complete;
            gone.into_iter().for_each(|id| table.forget(id));
        });
        if let Ok(free) = self.disk.free() {
            self.metrics.disk_free.set(gauge(free));
        }
        Ok(())
    }

    /// Rejects a write that would leave less free space on the disk than the minimum.
    fn check_free(&self, more: u64) -> Result<(), Refused> {
        let Rules { min_free, .. } = self.rules;
        // If the disk does not report its free space, writing will show it.
        let is_short = min_free > 0 && self.disk.free().is_ok_and(|free| free < min_free.saturating_add(more));
        if is_short { Err(Refused::DiskFull) } else { Ok(()) }
    }

    fn read(&self, id: &str) -> Result<Record, Refused> {
        if is_id(id) { Ok(self.disk.read(id)?) } else { Err(Refused::Unknown) }
    }

    fn grip<'a>(&'a self, id: &'a str) -> Result<Grip<'a>, Refused> {
        if is_id(id) { Ok(self.disk.grip(id)?) } else { Err(Refused::Unknown) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table and updates the metrics.
    fn change<R>(&self, does: impl FnOnce(&mut Table) -> R) -> R {
        let mut table = self.table();
        let result = does(&mut table);
        let growing = table.grown().count();
        self.metrics.show(growing, table.entries.len() - growing, table.used());
        result
    }

    fn time(&self, now: Now) -> String {
        DateTime::<Utc>::from(now.wall).with_timezone(&self.rules.zone).to_rfc3339_opts(SecondsFormat::Millis, false)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // `FileTooLarge`: a limit of the process (RLIMIT_FSIZE) or of the file system.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::DiskFull,
            _ if is_gone(&error) || is_unreadable(&error) => Self::Unknown,
            _ if is_held(&error) => Self::Busy,
            _ => Self::Broken(error),
        }
    }
}

/// Converts an error of the folder. If the folder is missing, that does not make a recording unknown.
fn of_folder(error: io::Error) -> Refused {
    if is_gone(&error) { Refused::Broken(error) } else { error.into() }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn is_held(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn is_unreadable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Returns whether this can be the ID of a recording, and so names nothing outside of the folder.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the SHA-256 digest of a secret, so that comparing takes the same time for every guess.
fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}
