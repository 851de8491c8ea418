//! A recording on the disk: `<id>.webm`, which ends in `.part` while it grows, and `<id>.json` beside it, its record.
//!
//! What was acknowledged survives the machine, not only the program: a piece is on the disk before its record says so,
//! and the record is on the disk before the answer. A piece that was torn lies behind the length of the record, and is
//! cut off. The record has one kilobyte, whatever it says, and is overwritten in its place: a full disk has room for it,
//! and a block of a disk is written whole.
//!
//! Several servers may have the folder. Whoever changes a recording holds the lock of its record ([`Grip`]), and whoever
//! begins one that of the folder; the kernel lets go what a program held that was killed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock, statvfs};
use serde::{Deserialize, Serialize};

use crate::core::FolderId;

/// Longer than any record: a room's name has up to 256 bytes, escaped at most twice as many.
const RECORD_BYTES: usize = 1024;
/// Nobody else on the machine reads them.
const MODE: u32 = 0o600;
/// Longest time that the start waits for another server that holds the lock of the folder.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts.
const RETRY: Duration = Duration::from_millis(5);

/// What is known of a recording: nobody's name.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) room: String,
    /// The id of its host's peer, which is in no other file.
    pub(super) host: String,
    /// RFC 3339, with the zone's offset.
    pub(super) begun: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<String>,
    /// What of it is acknowledged.
    pub(super) bytes: u64,
    /// Counts how often its host was seen in the room, for servers that do not have the room.
    #[serde(default)]
    pub(super) attended: u64,
    /// The SHA-256 of the secret by which it is uploaded.
    pub(super) upload: String,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    pub(super) id: FolderId,
}

/// A recording that nobody else changes, here or in another server.
#[derive(Debug)]
pub(super) struct Grip<'a> {
    disk: &'a Disk,
    id: &'a str,
    file: File,
    pub(super) record: Record,
}

impl Disk {
    /// Makes the folder where there is none, finds out now whether it can be written to, and takes away what the end of a
    /// program has left between two files.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut disk = Self { dir: dir.to_owned(), id: FolderId(0) };
        let mut lock = disk.wait_for_lock()?;
        disk.id = identify(&mut lock)?;
        let probe = dir.join(".probe");
        File::create(&probe).and_then(|_| fs::remove_file(&probe))?;
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = dir.join(name);
            let orphan = |id: &str| !disk.record(id).exists() && fs::metadata(&path).is_ok_and(|file| file.len() == 0);
            if name.ends_with(".json.new") || name.strip_suffix(".webm.part").is_some_and(orphan) {
                fs::remove_file(&path)?;
            }
        }
        Ok(disk)
    }

    /// Locks the folder, so that no other server begins a recording. [`io::ErrorKind::WouldBlock`] where somebody else does, as in all that
    /// follows.
    pub(super) fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(self.dir.join(".lock"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// The same at the start, on a thread that may wait.
    fn wait_for_lock(&self) -> io::Result<File> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lock() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                    std::thread::sleep(RETRY);
                }
                locked => return locked,
            }
        }
    }

    pub(super) fn media(&self, id: &str, finished: bool) -> PathBuf {
        self.dir.join(if finished { format!("{id}.webm") } else { format!("{id}.webm.part") })
    }

    fn record(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// What there is.
    pub(super) fn ids(&self) -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            ids.extend(entry?.file_name().to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        Ok(ids)
    }

    /// The record of one, as it is at the moment; [`io::ErrorKind::InvalidData`] where it cannot be understood.
    pub(super) fn read(&self, id: &str) -> io::Result<Record> {
        let mut file = File::open(self.record(id))?;
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        parse(&mut file)
    }

    /// Holds one, and puts right what the end of a program or of a machine has left behind.
    pub(super) fn grip<'a>(&'a self, id: &'a str) -> io::Result<Grip<'a>> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.record(id))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // It may have been deleted in between; an id comes once.
        fs::metadata(self.record(id))?;
        let record = parse(&mut file)?;
        let mut grip = Grip { disk: self, id, file, record };
        match grip.recover() {
            // Whoever deleted it was ended between its files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => grip.remove().and(Err(error)),
            recovered => recovered.map(|()| grip),
        }
    }

    pub(super) fn create(&self, id: &str, record: &Record) -> io::Result<()> {
        let new = |path| OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        let (whole, named) = (self.dir.join(format!("{id}.json.new")), self.record(id));
        let made = new(self.media(id, false)).and_then(|_| {
            let mut file = new(whole.clone())?;
            file.write_all(&padded(record)?)?;
            file.sync_all()?;
            // Nobody reads half of it.
            fs::rename(&whole, &named)?;
            self.sync()
        });
        made.inspect_err(|_| {
            for path in [&self.media(id, false), &whole, &named] {
                let _ = fs::remove_file(path);
            }
        })
    }

    /// Bytes that the disk takes yet.
    pub(super) fn free(&self) -> io::Result<u64> {
        let disk = statvfs(&self.dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// That a file is there, or has another name, is in its folder.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

impl Grip<'_> {
    fn media(&self) -> PathBuf {
        self.disk.media(self.id, self.record.ended.is_some())
    }

    fn recover(&mut self) -> io::Result<()> {
        let part = self.disk.media(self.id, false);
        if self.record.ended.is_some() && part.exists() {
            fs::rename(part, self.media())?;
        }
        let (recorded, about) = (self.record.bytes, fs::metadata(self.media())?);
        if !about.is_file() || about.len() == recorded {
            return Ok(());
        }
        if about.len() > recorded {
            return OpenOptions::new().write(true).open(self.media())?.set_len(recorded);
        }
        tracing::error!(
            id = self.id,
            length = about.len(),
            recorded,
            "a recording is shorter than what was acknowledged"
        );
        self.record.bytes = about.len();
        Ok(())
    }

    /// The first `length` bytes that the file has with a piece at its end.
    pub(super) fn beginning(&self, piece: &[u8], length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.media())?.take(self.record.bytes.min(length)).read_to_end(&mut bytes)?;
        let missing = usize::try_from(length).unwrap_or(usize::MAX) - bytes.len();
        bytes.extend(piece.iter().take(missing));
        Ok(bytes)
    }

    /// Writes a piece at its end, and then its record. After an error all is as before.
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut media = OpenOptions::new().write(true).open(self.media())?;
        let end = self.record.bytes;
        media.seek(SeekFrom::Start(end))?;
        let longer = Record { bytes: end + piece.len() as u64, ..self.record.clone() };
        let written = media.write_all(piece).and_then(|()| media.sync_data()).and_then(|()| self.note(longer));
        if written.is_err() {
            // What is left of it lies behind the record's length; nobody is served by another error.
            let _ = media.set_len(end);
        }
        written
    }

    /// Its host is in the room. Not synced: after a restart everybody looks anew.
    pub(super) fn attend(&mut self) -> io::Result<()> {
        self.record.attended += 1;
        self.write()
    }

    /// It is whole: only now it has its name.
    pub(super) fn finish(&mut self, ended: String) -> io::Result<()> {
        let part = self.media();
        self.note(Record { ended: Some(ended), ..self.record.clone() })?;
        fs::rename(part, self.media())?;
        self.disk.sync()
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        // The record last: what has none is nobody's.
        let (part, whole) = (self.disk.media(self.id, false), self.disk.media(self.id, true));
        for path in [part, whole, self.disk.record(self.id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn note(&mut self, record: Record) -> io::Result<()> {
        let before = std::mem::replace(&mut self.record, record);
        let noted = self.write().and_then(|()| self.file.sync_data());
        if noted.is_err() {
            self.record = before;
        }
        noted
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(&padded(&self.record)?)
    }
}

/// Returns the number of the folder, which is in the file of its lock. The first server makes it.
fn identify(lock: &mut File) -> io::Result<FolderId> {
    let mut text = Vec::new();
    lock.read_to_end(&mut text)?;
    if let Some(id) = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()) {
        return Ok(FolderId(id));
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let id = u32::from_ne_bytes(random);
    let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{id}"));
    // A full disk keeps no server from starting. With a number of its own it leaves the signs of others as they are.
    if let Err(error) = written.and_then(|()| lock.sync_all()) {
        tracing::error!(%error, "the number of the recordings' folder cannot be written");
    }
    Ok(FolderId(id))
}

fn parse(file: &mut File) -> io::Result<Record> {
    let mut text = Vec::with_capacity(RECORD_BYTES);
    file.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn padded(record: &Record) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(record)?;
    // JSON with white space behind it is the same.
    text.resize(text.len().max(RECORD_BYTES - 1), b' ');
    text.push(b'\n');
    Ok(text)
}
