//! A recording on the disk: `<id>.webm`, which ends in `.part` while it grows, and `<id>.json` beside it, its record.
//!
//! What was acknowledged survives the machine, not only the program: a piece is on the disk before its record says so,
//! and the record is on the disk before the answer. A piece that was torn lies behind the length of the record, and is
//! cut off. The record has one kilobyte, whatever it says, and is overwritten in its place: a full disk has room for it,
//! and a block of a disk is written whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Longer than any record: a room's name has up to 256 bytes, escaped at most twice as many.
const RECORD_BYTES: usize = 1024;
/// Nobody else on the machine reads them.
const MODE: u32 = 0o600;

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
    /// The SHA-256 of the secret by which it is uploaded.
    pub(super) upload: String,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Disk(PathBuf);

impl Disk {
    /// Makes the folder where there is none, and finds out now whether it can be written to.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let probe = dir.join(".probe");
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(Self(dir.to_owned()))
    }

    pub(super) fn media(&self, id: &str, finished: bool) -> PathBuf {
        self.0.join(if finished { format!("{id}.webm") } else { format!("{id}.webm.part") })
    }

    fn record(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    /// Ids with their records, as far as these can be read; what was begun and has nothing is gone then.
    pub(super) fn load(&self) -> io::Result<Vec<(String, Record)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            let record = fs::read(self.record(id))?;
            let Ok(record) = serde_json::from_slice::<Record>(&record) else {
                tracing::error!(id, "the record of a recording cannot be read: it is left as it is, and not counted");
                continue;
            };
            match self.recover(id, record) {
                Ok(record) => found.push((id.to_owned(), record)),
                // The program ended between its two files.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.remove(id)?,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Puts right what the end of a program or of a machine has left behind.
    fn recover(&self, id: &str, mut record: Record) -> io::Result<Record> {
        if record.ended.is_some() && self.media(id, false).exists() {
            fs::rename(self.media(id, false), self.media(id, true))?;
        }
        let media = OpenOptions::new().write(true).open(self.media(id, record.ended.is_some()))?;
        let length = media.metadata()?.len();
        if length > record.bytes {
            media.set_len(record.bytes)?;
        } else if length < record.bytes {
            tracing::error!(id, length, recorded = record.bytes, "a recording is shorter than what was acknowledged");
            record.bytes = length;
        }
        Ok(record)
    }

    pub(super) fn create(&self, id: &str, record: &Record) -> io::Result<()> {
        let new = |path| OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
        let made = new(self.media(id, false)).and_then(|_| {
            let mut file = new(self.record(id))?;
            file.write_all(&padded(record)?)?;
            file.sync_all()?;
            self.sync()
        });
        made.inspect_err(|_| drop(self.remove(id)))
    }

    /// Writes a piece behind `record.bytes`, and then the record with it. After an error all is as before.
    pub(super) fn append(&self, id: &str, record: &Record, piece: &[u8]) -> io::Result<Record> {
        let mut media = OpenOptions::new().write(true).open(self.media(id, false))?;
        media.seek(SeekFrom::Start(record.bytes))?;
        let longer = Record { bytes: record.bytes + piece.len() as u64, ..record.clone() };
        let written = media.write_all(piece).and_then(|()| media.sync_data()).and_then(|()| self.note(id, &longer));
        if let Err(error) = written {
            // What is left of it lies behind the record's length; nobody is served by another error.
            let _ = media.set_len(record.bytes);
            return Err(error);
        }
        Ok(longer)
    }

    /// It is whole: only now it has its name.
    pub(super) fn finish(&self, id: &str, record: &Record) -> io::Result<()> {
        self.note(id, record)?;
        fs::rename(self.media(id, false), self.media(id, true))?;
        self.sync()
    }

    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        // The record last: what has none is nobody's.
        for path in [self.media(id, false), self.media(id, true), self.record(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn note(&self, id: &str, record: &Record) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.record(id))?;
        file.write_all(&padded(record)?)?;
        file.sync_data()
    }

    /// That a file is there, or has another name, is in its folder.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

fn padded(record: &Record) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(record)?;
    // JSON with white space behind it is the same.
    text.resize(text.len().max(RECORD_BYTES - 1), b' ');
    text.push(b'\n');
    Ok(text)
}
