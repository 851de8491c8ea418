//! Recordings that hosts' browsers send here piece by piece, and that whoever runs the server fetches (R84 to R89).
//!
//! All of it is blocking: it waits for the disk. What is going on is in memory under a short lock, what lies on the disk
//! is [`disk`]'s; time is passed in.

mod disk;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::protocol::{PeerId, RoomName};
use disk::{Disk, Record};

/// The longest piece in bytes: ten seconds of a recording.
pub const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// With the smallest ones, too, the table stays small.
const MOST: usize = 10_000;

/// What holds for all recordings.
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
    /// A piece that leaves a gap; up to here there is something.
    Gap(u64),
    /// It would be larger than one may be; as large as that.
    TooLarge(u64),
    /// All together have as much as they may.
    Quota,
    /// As many grow as may.
    TooMany,
    /// The disk takes no more.
    DiskFull,
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

/// All recordings of this server.
#[derive(Debug)]
pub struct Recordings {
    rules: Rules,
    disk: Disk,
    table: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    record: Record,
    whose: Option<Whose>,
    /// The last time that a piece came, and that its host was there.
    touched: SystemTime,
    attended: SystemTime,
    /// Bytes on their way to the disk.
    pending: u64,
    /// Whoever has this changes its files.
    files: Arc<Mutex<()>>,
    /// Whoever has this reads a piece from its client: one of a recording is in memory at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
}

type Table<'a> = MutexGuard<'a, BTreeMap<String, Entry>>;

impl Recordings {
    /// Takes up what is there; the error is a sentence for the operator.
    pub fn open(rules: Rules, now: SystemTime) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("ROUNDTABLE_RECORDINGS_DIR: {}: {error}", rules.dir.display());
        let disk = Disk::open(&rules.dir).map_err(wrong)?;
        let found = disk.load().map_err(wrong)?;
        let table: BTreeMap<_, _> = found.into_iter().map(|(id, record)| (id, Entry::new(record, now))).collect();
        tracing::info!(dir = %rules.dir.display(), recordings = table.len(), "recordings are kept");
        Ok(Self { rules, disk, table: Mutex::new(table) })
    }

    /// What holds for them.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Begins one, and ends another one of the same host's, which a page that was closed has left behind.
    pub fn begin(&self, whose: Whose, now: SystemTime) -> Result<Begun, Refused> {
        for id in self.grown(|entry| entry.whose.as_ref() == Some(&whose)) {
            self.end(&id, now)?;
        }
        let mut random = [0; 38];
        getrandom::fill(&mut random).map_err(|error| Refused::Broken(io::Error::other(error)))?;
        let (name, secret) = random.split_at(6);
        let id = format!("{}-{}", DateTime::<Utc>::from(now).format("%Y%m%dT%H%M%SZ"), hex(name));
        let secret = hex(secret);
        let record = Record {
            room: whose.room.as_str().to_owned(),
            host: whose.host.as_str().to_owned(),
            begun: self.time(now),
            ended: None,
            bytes: 0,
            upload: digest(&secret),
        };
        {
            let mut table = self.table();
            if table.values().filter(|entry| entry.grows()).count() >= self.rules.at_a_time {
                return Err(Refused::TooMany);
            }
            if table.len() >= MOST || used(&table) >= self.rules.quota {
                return Err(Refused::Quota);
            }
            table.insert(id.clone(), Entry::new(record.clone(), now));
        }
        self.disk.create(&id, &record).map_err(|error| {
            self.table().remove(&id);
            Refused::from(error)
        })?;
        Ok(Begun { id, secret })
    }

    /// How much of it there is, and whether it is finished, for whoever has its secret.
    pub fn length(&self, id: &str, secret: &str) -> Result<(u64, bool), Refused> {
        let table = self.table();
        let entry = table.get(id).filter(|entry| entry.record.upload == digest(secret)).ok_or(Refused::Unknown)?;
        Ok((entry.record.bytes, !entry.grows()))
    }

    /// What one has to hold while a piece of it is read from its client and written.
    pub fn turn(&self, id: &str) -> Result<Arc<tokio::sync::Mutex<()>>, Refused> {
        self.table().get(id).map(|entry| Arc::clone(&entry.turn)).ok_or(Refused::Unknown)
    }

    /// Adds a piece at its end, and tells how much there is then. What has been here already, or a part of it, is not
    /// written again.
    pub fn append(&self, id: &str, offset: u64, piece: &[u8], now: SystemTime) -> Result<u64, Refused> {
        let files = self.files(id)?;
        let _files = lock(&files);
        let record = {
            let mut table = self.table();
            let (all, entry) = (used(&table), table.get_mut(id).ok_or(Refused::Unknown)?);
            let (here, more) = (entry.record.bytes, piece.len() as u64);
            if !entry.grows() {
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
            if all + more > self.rules.quota {
                return Err(Refused::Quota);
            }
            entry.pending = more;
            entry.record.clone()
        };
        let written = self.disk.append(id, &record, piece);
        let mut table = self.table();
        // Nobody deletes it meanwhile.
        let entry = table.get_mut(id).ok_or(Refused::Unknown)?;
        entry.pending = 0;
        entry.record = written?;
        entry.touched = now;
        Ok(entry.record.bytes)
    }

    /// Whose it is, while it grows.
    pub fn whose(&self, id: &str) -> Option<Whose> {
        self.table().get(id).filter(|entry| entry.grows())?.whose.clone()
    }

    /// It is whole. Done once more, it changes nothing. One with nothing in it is not kept.
    pub fn end(&self, id: &str, now: SystemTime) -> Result<u64, Refused> {
        let files = self.files(id)?;
        let _files = lock(&files);
        let record = {
            let table = self.table();
            let entry = table.get(id).ok_or(Refused::Unknown)?;
            if !entry.grows() {
                return Ok(entry.record.bytes);
            }
            Record { ended: Some(self.time(now)), ..entry.record.clone() }
        };
        let bytes = record.bytes;
        if bytes == 0 {
            self.remove(id)?;
            return Ok(0);
        }
        self.disk.finish(id, &record)?;
        tracing::info!(id, bytes, "a recording is finished");
        self.table().get_mut(id).ok_or(Refused::Unknown)?.record = record;
        Ok(bytes)
    }

    /// Those behind `after`, `limit` at most; how many and how large all are, and whether there are more behind.
    pub fn list(&self, after: Option<&str>, limit: usize) -> (Vec<Summary>, usize, u64, bool) {
        let table = self.table();
        let behind = table.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let mut found: Vec<Summary> = behind.take(limit + 1).map(|(id, entry)| entry.summary(id)).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, table.len(), used(&table), more)
    }

    /// Where its file is at the moment.
    pub fn path(&self, id: &str) -> Option<PathBuf> {
        self.table().get(id).map(|entry| self.disk.media(id, !entry.grows()))
    }

    /// Takes it off the disk.
    pub fn delete(&self, id: &str) -> Result<(), Refused> {
        let files = self.files(id)?;
        let _files = lock(&files);
        self.remove(id)?;
        tracing::info!(id, "a recording was deleted");
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<(), Refused> {
        self.disk.remove(id)?;
        self.table().remove(id);
        Ok(())
    }

    fn files(&self, id: &str) -> Result<Arc<Mutex<()>>, Refused> {
        self.table().get(id).map(|entry| Arc::clone(&entry.files)).ok_or(Refused::Unknown)
    }

    /// Finishes those that nobody goes on with, or whose host is gone, and deletes those whose time is over. Whose they
    /// were that are finished.
    pub fn sweep(&self, now: SystemTime, is_there: impl Fn(&Whose) -> bool) -> Vec<Whose> {
        let passed = |since: SystemTime| now.duration_since(since).unwrap_or_default();
        let (mut silent, mut old) = (Vec::new(), Vec::new());
        let hosts: Vec<(String, Whose)> = {
            let table = self.table();
            table
                .iter()
                .filter(|(_, entry)| entry.grows())
                .filter_map(|(id, entry)| Some((id.clone(), entry.whose.clone()?)))
                .collect()
        };
        // Without the lock: it asks the rooms.
        let there: Vec<String> = hosts.into_iter().filter(|(_, whose)| is_there(whose)).map(|(id, _)| id).collect();
        for (id, entry) in self.table().iter_mut() {
            match &entry.record.ended {
                Some(ended) if passed(read(ended).unwrap_or(now)) > self.rules.keep => old.push(id.clone()),
                Some(_) => {}
                None => {
                    if there.contains(id) {
                        entry.attended = now;
                    }
                    if passed(entry.touched.min(entry.attended)) > self.rules.silence {
                        silent.push((id.clone(), entry.whose.clone()));
                    }
                }
            }
        }
        let failed =
            |id: &str, error: Refused| tracing::error!(id, ?error, "a recording cannot be finished or deleted");
        for id in old {
            let _ = self.delete(&id).map_err(|error| failed(&id, error));
        }
        let ended = silent.into_iter().filter_map(|(id, whose)| {
            self.end(&id, now).map_err(|error| failed(&id, error)).ok()?;
            whose
        });
        ended.collect()
    }

    fn grown(&self, which: impl Fn(&Entry) -> bool) -> Vec<String> {
        self.table().iter().filter(|(_, entry)| entry.grows() && which(entry)).map(|(id, _)| id.clone()).collect()
    }

    fn table(&self) -> Table<'_> {
        lock(&self.table)
    }

    fn time(&self, now: SystemTime) -> String {
        DateTime::<Utc>::from(now).with_timezone(&self.rules.zone).to_rfc3339_opts(SecondsFormat::Millis, false)
    }
}

impl Entry {
    fn new(record: Record, now: SystemTime) -> Self {
        let whose = RoomName::new(&record.room).ok().zip(PeerId::parse(&record.host));
        let whose = whose.map(|(room, host)| Whose { room, host });
        Self { record, whose, touched: now, attended: now, pending: 0, files: Arc::default(), turn: Arc::default() }
    }

    fn grows(&self) -> bool {
        self.record.ended.is_none()
    }

    fn summary(&self, id: &str) -> Summary {
        let Record { room, begun, ended, bytes, .. } = self.record.clone();
        Summary { id: id.to_owned(), room, begun, ended, bytes }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The last one: a limit of the process (RLIMIT_FSIZE), or of the file system.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::DiskFull,
            _ => Self::Broken(error),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn used(table: &BTreeMap<String, Entry>) -> u64 {
    table.values().map(|entry| entry.record.bytes + entry.pending).sum()
}

fn read(time: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(time).ok().map(SystemTime::from)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// To compare digests tells nobody, by the time it takes, how much of a guess is right.
fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}
