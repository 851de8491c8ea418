//! A recording on disk: `<id>.webm`, which ends in `.part` while it grows, and `<id>.json` beside it, its record.
//!
//! What was acknowledged survives a crash of the machine, not only of the process: a piece is synced before its record,
//! and the record before the response. A torn piece lies beyond the length in the record, and is cut off. The record
//! takes one kilobyte, whatever it contains, and is overwritten in place: a full disk has room for it, and a disk
//! writes a block as a whole.
//!
//! Several servers may share the folder. Whoever changes a recording holds the lock of its record ([`Grip`]), and
//! whoever begins one holds that of the folder. The kernel releases the locks of a process that was killed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock, statvfs};
use serde::{Deserialize, Serialize};

use crate::core::FolderId;

/// Size of a record's file, more than any record needs: a room's name has up to 256 bytes, and up to twice as many if
/// escaped.
const RECORD_BYTES: usize = 1024;
/// No other user of the machine may read the files.
const MODE: u32 = 0o600;
/// Time that the start waits for another server to release the lock of the folder.
const PATIENCE: Duration = Duration::from_secs(2);
/// Delay between two attempts.
const RETRY: Duration = Duration::from_millis(5);

/// Metadata of a recording. It contains nobody's name.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Record {
    pub(super) room: String,
    /// Peer ID of its host, which is in no other file.
    pub(super) host: String,
    /// RFC 3339, with the zone's offset.
    pub(super) begun: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<String>,
    /// Number of acknowledged bytes.
    pub(super) bytes: u64,
    /// Number of times that its host was seen in the room, for servers that do not have the room.
    #[serde(default)]
    pub(super) attended: u64,
    /// SHA-256 digest of the upload secret.
    pub(super) upload: String,
}

/// Folder of the recordings.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    pub(super) id: FolderId,
}

/// Recording under an exclusive lock: no other request, here or on another server, changes it.
#[derive(Debug)]
pub(super) struct Grip<'a> {
    disk: &'a Disk,
    id: &'a str,
    file: File,
    pub(super) record: Record,
}

impl Disk {
    /// Creates the folder if it is missing, checks that it is writable, and removes what a process that was killed has
    /// left between two files.
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

    /// Locks the folder, so that no other server begins a recording. Like all of the following methods, fails with
    /// [`io::ErrorKind::WouldBlock`] if somebody else holds the lock.
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

    /// Locks the folder at the start, on a thread that may block.
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

    /// Lists the IDs of all recordings.
    pub(super) fn ids(&self) -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&self.dir)? {
            ids.extend(entry?.file_name().to_str().and_then(|name| name.strip_suffix(".json")).map(str::to_owned));
        }
        Ok(ids)
    }

    /// Reads a record as it is at the moment. [`io::ErrorKind::InvalidData`] if it cannot be parsed.
    pub(super) fn read(&self, id: &str) -> io::Result<Record> {
        let mut file = File::open(self.record(id))?;
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        parse(&mut file)
    }

    /// Locks a recording, and repairs what the end of a process or a crash of the machine has left behind.
    pub(super) fn grip<'a>(&'a self, id: &'a str) -> io::Result<Grip<'a>> {
        let mut file = OpenOptions::new().read(true).write(true).open(self.record(id))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        // It may have been deleted in between. No ID is used twice.
        fs::metadata(self.record(id))?;
        let record = parse(&mut file)?;
        let mut grip = Grip { disk: self, id, file, record };
        match grip.recover() {
            // The process that deleted it was killed between its files.
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
            // Renamed when it is complete, so that nobody reads half of it.
            fs::rename(&whole, &named)?;
            self.sync()
        });
        made.inspect_err(|_| {
            for path in [&self.media(id, false), &whole, &named] {
                let _ = fs::remove_file(path);
            }
        })
    }

    /// Returns the number of free bytes on the disk.
    pub(super) fn free(&self) -> io::Result<u64> {
        let disk = statvfs(&self.dir)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Syncs the folder, so that new files and new names survive a crash.
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

    /// Returns the first `length` bytes that the file has with this piece at its end.
    pub(super) fn beginning(&self, piece: &[u8], length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.media())?.take(self.record.bytes.min(length)).read_to_end(&mut bytes)?;
        let missing = usize::try_from(length).unwrap_or(usize::MAX) - bytes.len();
        bytes.extend(piece.iter().take(missing));
        Ok(bytes)
    }

    /// Appends a piece, and then updates the record. After an error everything is as before.
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut media = OpenOptions::new().write(true).open(self.media())?;
        let end = self.record.bytes;
        media.seek(SeekFrom::Start(end))?;
        let longer = Record { bytes: end + piece.len() as u64, ..self.record.clone() };
        let written = media.write_all(piece).and_then(|()| media.sync_data()).and_then(|()| self.note(longer));
        if written.is_err() {
            // What is left of the piece lies beyond the record's length. A further error would help nobody.
            let _ = media.set_len(end);
        }
        written
    }

    /// Records that the host is in the room. Not synced: after a restart every server looks again.
    pub(super) fn attend(&mut self) -> io::Result<()> {
        self.record.attended += 1;
        self.write()
    }

    /// Marks the recording as complete, and gives the file its final name.
    pub(super) fn finish(&mut self, ended: String) -> io::Result<()> {
        let part = self.media();
        self.note(Record { ended: Some(ended), ..self.record.clone() })?;
        fs::rename(part, self.media())?;
        self.disk.sync()
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        // The record is removed last: without it, nothing finds the other files.
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

/// Returns the folder's ID, which is in the lock file. The first server creates it.
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
    // A full disk must not keep a server from starting. With an ID of its own, it leaves what others show in rooms as
    // it is.
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
    // Trailing white space does not change JSON.
    text.resize(text.len().max(RECORD_BYTES - 1), b' ');
    text.push(b'\n');
    Ok(text)
}
