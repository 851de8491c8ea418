//! Files with secrets, which no other user reads, makes or opens.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Makes a file that only this user reads, and fails where there is one already.
pub(crate) fn create(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file beside `path`, which `publish` then links or renames to `path`, so that nobody reads half of it.
pub(crate) fn write_whole(path: &Path, text: &str, publish: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let aside = temporary_path(path)?;
    let published = create(&aside).and_then(|file| write(file, text)).and_then(|()| publish(&aside));
    // Not there any more where it was renamed.
    let _ = std::fs::remove_file(&aside);
    published
}

/// Writes the text and waits until the disk has it.
pub(crate) fn write(mut file: File, text: &str) -> Result<()> {
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())
}

/// Returns a path beside `path` that nobody can guess, so that no other user of the folder can make or open it first.
fn temporary_path(path: &Path) -> Result<PathBuf> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(path.with_extension(format!("{:032x}", u128::from_be_bytes(random))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_has_a_name_of_128_random_bits() {
        let path = Path::new("/var/lib/roundtable/resume.key");
        let names: Vec<_> = (0..100).map(|_| temporary_path(path).unwrap()).collect();
        let unique: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        for name in names {
            let (parent, random) = (name.parent(), name.extension().and_then(|part| part.to_str()).unwrap());
            assert_eq!((parent, random.len()), (path.parent(), 32), "{}", name.display());
        }
    }
}
