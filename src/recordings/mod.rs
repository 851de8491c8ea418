//! Recordings that hosts' browsers send here piece by piece, and that whoever runs the server fetches (R84 to R89).
//!
//! Several servers may have the folder: what is true lies on the disk ([`disk`]), and in memory is what was seen there at
//! the last look, under a short lock ([`table`]). All of it is blocking, as it waits for the disk: requests use
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

/// The longest piece in bytes: ten seconds of a recording.
pub const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// With the smallest ones, too, the table stays small.
const MOST: usize = 10_000;

/// The moment at which something is done.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time of day, by which recordings are named and kept.
    pub wall: SystemTime,
    /// A time that nobody sets, by which they are silent.
    pub tick: Instant,
}

/// What holds for all recordings: the same for all servers that have the folder.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where they are.
    pub dir: PathBuf,
    /// Bytes of all of them.
    pub quota: u64,
    /// Bytes of one.
    pub largest: u64,
    /// How many may grow at a time.
    pub at_a_time: usize,
    /// Bytes that stay free on the disk; 0 for none.
    pub min_free: u64,
    /// How long one may be without a piece, or without its host.
    pub silence: Duration,
    /// How long it is kept.
    pub keep: Duration,
    /// The zone of its times.
    pub zone: Tz,
}

/// Why something was not done.
#[derive(Debug)]
pub enum Refused {
    /// No recording with this id, or not with this secret.
    Unknown,
    /// It is finished.
    Over,
    /// Another piece has come while this one was on its way.
    Replaced,
    /// A piece that leaves a gap; up to here there is something.
    Gap(u64),
    /// It would not begin as a WebM file.
    NotWebm,
    /// It would be larger than one may be; as large as that.
    TooLarge(u64),
    /// All together have as much as they may.
    Quota,
    /// As many grow as may.
    TooMany,
    /// The disk takes no more, or would have less free than [`Rules::min_free`].
    DiskFull,
    /// Another request writes the recording, here or on another server, or too many requests wait for it.
    Busy,
    /// Something else is wrong with the disk.
    Broken(io::Error),
}

/// Whose a recording is: where everybody is to see that it goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Whose {
    /// The room.
    pub room: RoomName,
    /// The host who makes it.
    pub host: PeerId,
}

/// What a client needs to upload one.
#[derive(Debug)]
pub struct Begun {
    /// Its name.
    pub id: String,
    /// What opens it, and nothing else.
    pub secret: String,
}

/// A recording in a list.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Its name; by these they are in the order in which they began.
    pub id: String,
    /// The room's name.
    pub room: String,
    /// RFC 3339.
    pub begun: String,
    /// The same; `None` while it grows.
    pub ended: Option<String>,
    /// How large it is.
    pub bytes: u64,
}

/// All recordings in the folder.
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
    /// Takes up what is there; the error is a sentence for the operator.
    pub fn open(rules: Rules, metrics: RecordingMetrics, now: Now) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("ROUNDTABLE_RECORDINGS_DIR: {}: {error}", rules.dir.display());
        let disk = Disk::open(&rules.dir).map_err(wrong)?;
        for id in disk.ids().map_err(wrong)? {
            // To hold one mends it. What another server holds now needs none.
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

    /// What holds for them.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The folder, by which rooms tell its recordings from those of servers with a folder of their own.
    pub fn folder(&self) -> FolderId {
        self.disk.id
    }

    /// Begins one, and ends another one of the same host's, which a page that was closed has left behind.
    pub fn begin(&self, whose: Whose, now: Now) -> Result<Begun, Refused> {
        // One at a time, on all servers: what is counted stays so.
        let _lock = self.disk.lock().map_err(of_folder)?;
        self.look(now)?;
        for id in self.growing_of(&whose) {
            match self.end(&id, Ended::Replaced, now) {
                // Somebody deleted it in this moment.
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

    /// Checks the secret of a recording that this server knows. A recording that another server has begun may be
    /// unknown yet.
    pub fn has_known_secret(&self, id: &str, secret: &str) -> bool {
        self.table().entries.get(id).is_some_and(|entry| entry.record.upload == digest(secret))
    }

    /// How much of it there is, and whether it is finished, for whoever has its secret. Read from the disk: it may be
    /// another server's.
    pub fn length(&self, id: &str, secret: &str, now: Now) -> Result<(u64, bool), Refused> {
        let record = self.read(id)?;
        if record.upload != digest(secret) {
            return Err(Refused::Unknown);
        }
        let known = (record.bytes, record.ended.is_some());
        self.change(|table| table.learn(id, record, now.tick));
        Ok(known)
    }

    /// By which a piece of it is read from its client; the one before it is read no further.
    pub fn turn(&self, id: &str) -> Result<Turn, Refused> {
        self.table().entries.get_mut(id).map(|entry| entry.turns.next()).ok_or(Refused::Unknown)
    }

    /// Adds a piece at its end, and tells how much there is then. What has been here already, or a part of it, is not
    /// written again.
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

    /// Whose it is, while it grows.
    pub fn whose(&self, id: &str) -> Option<Whose> {
        self.table().entries.get(id).filter(|entry| entry.grows())?.whose.clone()
    }

    /// Returns whether the last look found all recordings. Another server may have locked some of them.
    pub fn knows_all(&self) -> bool {
        self.table().is_complete
    }

    /// Returns whether its host may not go on with it. Somebody who is no host counts as one until it has been seen as a host since
    /// the start of this server: rooms that begin again after a restart give the roles again.
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

    /// Those that grow, of this host.
    pub fn growing_of(&self, whose: &Whose) -> Vec<String> {
        let table = self.table();
        let same = table.grown().filter(|(_, entry)| entry.whose.as_ref() == Some(whose));
        same.map(|(id, _)| id.clone()).collect()
    }

    /// It is whole. Done once more, it changes nothing. One with nothing in it is not kept.
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

    /// Those behind `after`, `limit` at most; how many and how large all are, and whether there are more behind.
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

    /// Where its file is at the moment.
    pub fn path(&self, id: &str) -> Result<PathBuf, Refused> {
        self.read(id).map(|record| self.disk.media(id, record.ended.is_some()))
    }

    /// Takes it off the disk.
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

    /// Whose recordings are over, by whichever server, since this was asked last: their rooms may not know. Who makes another
    /// one is not among them.
    pub fn over(&self) -> Vec<Whose> {
        let mut table = self.table();
        let over = std::mem::take(&mut table.over);
        over.into_iter().filter(|whose| table.grown().all(|(_, entry)| entry.whose.as_ref() != Some(whose))).collect()
    }

    /// Looks at what other servers have done.
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

    /// Refuses what would leave less free on the disk than has to stay.
    fn check_free(&self, more: u64) -> Result<(), Refused> {
        let Rules { min_free, .. } = self.rules;
        // Where the disk does not say what is free, writing shows it.
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

    /// The same, and what is counted is shown.
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
            // The last one: a limit of the process (RLIMIT_FSIZE), or of the file system.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::DiskFull,
            _ if is_gone(&error) || is_unreadable(&error) => Self::Unknown,
            _ if is_held(&error) => Self::Busy,
            _ => Self::Broken(error),
        }
    }
}

/// An error of the folder: that nothing is there says of no recording that it is unknown.
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

/// Whether it can be the name of a recording, and of nothing outside of the folder.
fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// To compare digests tells nobody, by the time it takes, how much of a guess is right.
fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}
