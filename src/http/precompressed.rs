//! Precompressed copies (`.br`, `.gz`) beside the frontend's files, used only while they hold the same content.
//!
//! The folder may be edited at any time, and modification times do not show whether a copy is outdated: editors, `cp
//! -p`, rsync, git and image layers preserve them or give all files the same one. So a copy is decompressed once and
//! compared with its file. The result is cached until the inode, size or change time of either file changes; programs
//! cannot set the change time (ctime).

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use percent_encoding::percent_decode_str;

/// Size of the largest file whose copies are used. It bounds the work that one comparison takes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Age of a change before its result is cached. Two changes within one tick of the file system's clock have the same
/// time.
const SETTLED: Duration = Duration::from_secs(2);
const BUFFER_BYTES: usize = 16 * 1024;
/// Number of cached results. A page has some hundred files; the rest would belong to earlier builds.
const MAX_RESULTS: usize = 10_000;

/// Encodings in which a file may be sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Copies {
    pub(super) brotli: bool,
    pub(super) gzip: bool,
}

/// Results by the copy's path. An entry names the versions of both files, so that servers in one process can share it.
static COMPARED: LazyLock<Mutex<HashMap<PathBuf, Compared>>> = LazyLock::new(Mutex::default);

#[derive(Clone, Copy, Debug)]
struct Compared {
    file: Version,
    copy: Version,
    is_same: bool,
}

/// Version of a file. It differs after every change of the content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// Returns the encodings whose copy holds the content of the file at this path of the folder.
pub(super) async fn copies_of(dir: &Path, path: &str) -> Copies {
    let Some(file) = file_path(dir, path) else { return Copies::default() };
    let look = move || Copies { brotli: has_copy(&file, ".br"), gzip: has_copy(&file, ".gz") };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn has_copy(path: &Path, extension: &str) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(extension);
    // An unreadable copy is not used. An unreadable file is reported when it is to be sent.
    compare(path, PathBuf::from(name), extension).unwrap_or(false)
}

fn compare(path: &Path, copy_path: PathBuf, extension: &str) -> io::Result<bool> {
    // Looked up without opening: on a named pipe, opening would wait.
    let (file_metadata, copy_metadata) = (fs::metadata(path)?, fs::metadata(&copy_path)?);
    if !file_metadata.is_file() || !copy_metadata.is_file() || file_metadata.len() > MAX_FILE_BYTES {
        return Ok(false);
    }
    let (file_version, copy_version) = (Version::of(&file_metadata), Version::of(&copy_metadata));
    let known = COMPARED.lock().unwrap_or_else(PoisonError::into_inner).get(&copy_path).copied();
    if let Some(known) = known.filter(|known| known.file == file_version && known.copy == copy_version) {
        return Ok(known.is_same);
    }
    let (file, copy) = (File::open(path)?, File::open(&copy_path)?);
    let is_same = match extension {
        ".br" => is_same(file, brotli_decompressor::Decompressor::new(copy, BUFFER_BYTES)),
        _ => is_same(file, GzDecoder::new(copy)),
    };
    if has_settled(&file_metadata) && has_settled(&copy_metadata) {
        if !is_same {
            tracing::warn!(
                copy = %copy_path.display(),
                "compressed copy of a page file is outdated and not used; delete it or build the page again"
            );
        }
        let compared = Compared { file: file_version, copy: copy_version, is_same };
        let mut all = COMPARED.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_RESULTS {
            all.clear();
        }
        all.insert(copy_path, compared);
    }
    Ok(is_same)
}

impl Version {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn has_settled(metadata: &Metadata) -> bool {
    let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.ctime()).unwrap_or_default());
    // A change time in the future comes from a file system with another clock, and would never settle.
    SystemTime::now().duration_since(changed).map_or(true, |age| age > SETTLED)
}

/// Maps the path of a URL to a file, as `ServeDir` does; `None` where it leads out of the folder.
fn file_path(dir: &Path, path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path.trim_start_matches('/')).decode_utf8().ok()?;
    let relative = Path::new(decoded.as_ref());
    let is_inside = relative.components().all(|component| matches!(component, Component::Normal(_)));
    is_inside.then(|| dir.join(relative))
}

/// Compares two streams in chunks, so that a copy that expands without end is abandoned at the first difference.
fn is_same(mut file: impl Read, mut copy: impl Read) -> bool {
    let (mut ours, mut theirs) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);
    loop {
        let (Ok(read), Ok(copied)) = (fill(&mut file, &mut ours), fill(&mut copy, &mut theirs)) else { return false };
        if ours[..read] != theirs[..copied] {
            return false;
        }
        if read < BUFFER_BYTES {
            return true;
        }
    }
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
