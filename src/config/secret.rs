//! Settings that are never shown, and the files that they stand in.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::load::Refused;
use crate::secret_file;

/// A setting that is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text, for use and not for show.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a secret is not empty".into());
        }
        Ok(Self::new(text))
    }
}

/// Longest wait for the key that another server is writing.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two attempts to read the key.
const WRITE_POLL: Duration = Duration::from_millis(10);

/// Reads the key in a file, which is made where there is none, for this user's eyes only. Of several servers that share
/// the file and start at once, all read what one of them has made.
pub(super) fn keep_key(path: &Path) -> Result<Secret, String> {
    let told = |error: Error| format!("{}: {error}", path.display());
    let mut value = None;
    match make_key(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(told(error)),
        _ => {}
    }
    let until = Instant::now() + WRITE_PATIENCE;
    while std::fs::metadata(path).map_err(told)?.len() == 0 {
        if Instant::now() > until {
            return Err(format!("{} is empty; delete it, and the server makes a key", path.display()));
        }
        std::thread::sleep(WRITE_POLL);
    }
    let Err(refused) = read_secret("ROUNDTABLE_RESUME_KEY", &mut value, Some(&path.to_owned())) else {
        return value.ok_or_else(|| format!("{} has no key", path.display()));
    };
    match refused {
        Refused::Wrong(text) => Err(text),
        Refused::Shown(error) => Err(error.to_string()),
    }
}

/// Makes a file with a random key, unless there is one.
fn make_key(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Ok(());
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let text = BASE64_STANDARD.encode(key);
    match secret_file::write_whole(path, &text, |aside| std::fs::hard_link(aside, path)) {
        Err(_) if !path.exists() => {
            // File systems such as FAT, and some shared folders, have no links. There others see an empty file for a
            // moment, and wait (`keep_key`).
            let file = secret_file::create(path)?;
            secret_file::write(file, &text).inspect_err(|_| drop(std::fs::remove_file(path)))
        }
        // Another server was first.
        _ => Ok(()),
    }
}

/// A secret that stands in a file, in place of one that is set directly.
pub(super) fn read_secret(name: &str, value: &mut Option<Secret>, file: Option<&PathBuf>) -> Result<(), Refused> {
    let Some(path) = file else { return Ok(()) };
    let wrong = |why: String| Refused::Wrong(format!("{name}_FILE: {}: {why}.", path.display()));
    if value.is_some() {
        return Err(wrong(format!("{name} is set too; set one of the two")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => wrong(format!(
            "{error}; make it readable for the server's user (10001 in the image): chmod a+r, in a folder of mode 700"
        )),
        _ => wrong(error.to_string()),
    })?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let secret = text.trim_end_matches(['\r', '\n']).parse().map_err(wrong)?;
    *value = Some(secret);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;
    use super::*;

    const NORTH: &str = "north-north-north-north-north-no";

    #[test]
    fn secrets_shorter_than_32_characters_are_rejected_and_not_shown() {
        let path = std::env::temp_dir().join(format!("roundtable-short-{}", std::process::id()));
        let short = &NORTH[1..];
        std::fs::write(&path, short).unwrap();
        let file = path.to_str().unwrap();
        let hook = ("ROUNDTABLE_WEBHOOK_URL", "https://app.example/events");
        let names = ["RESUME_KEY", "TURN_SECRET", "WEBHOOK_SECRET", "ADMIN_TOKEN"];
        for name in names.map(|name| format!("ROUNDTABLE_{name}")) {
            let in_file = format!("{name}_FILE");
            for setting in [(&*name, short), (&*in_file, file)] {
                let error = load(&[], &[setting, hook]).unwrap_err();
                assert!(error.starts_with(&name) && error.contains("openssl rand -hex 32"), "{error}");
                assert!(error.contains("31") && !error.contains("north"), "{error}");
            }
            let more = [(&*name, NORTH), hook, ("ROUNDTABLE_WEBHOOK_SECRET", NORTH)];
            assert!(load(&[], &more[..if name.ends_with("WEBHOOK_SECRET") { 2 } else { 3 }]).is_ok(), "{name}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_resume_key_is_made_once_and_kept() {
        let path = std::env::temp_dir().join(format!("roundtable-key-{}", std::process::id()));
        let key = |path: &Path| {
            let cli = load(&[], &[("ROUNDTABLE_RESUME_KEY_FILE", path.to_str().unwrap())]).unwrap();
            cli.config.obtain_resume_key().unwrap().map(|key| key.expose().to_owned())
        };
        let made = key(&path);
        assert_eq!(made.as_ref().map(String::len), Some(44));
        assert_eq!(key(&path), made);
        std::fs::remove_file(&path).unwrap();
        for _ in 0..20 {
            let keys: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| key(&path))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert!(
                keys.iter().all(|key| key.as_ref().is_some_and(|key| key.len() == 44) && *key == keys[0]),
                "{keys:?}"
            );
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(key(Path::new("/proc/no/key")), None);
    }

    #[test]
    fn secrets_come_from_files_and_are_never_shown() {
        let path = std::env::temp_dir().join(format!("roundtable-secret-{}", std::process::id()));
        std::fs::write(&path, format!("{NORTH}\n")).unwrap();
        let file = path.to_str().unwrap();
        let cli = load(&[], &[("ROUNDTABLE_TURN_SECRET_FILE", file)]).unwrap();
        assert_eq!(cli.config.relays.turn_secret.as_ref().map(Secret::expose), Some(NORTH));
        assert!(!format!("{cli:?}").contains("north"));
        let none = ("ROUNDTABLE_TURN_SECRET_FILE", "/dev/null");
        assert!(load(&[], &[none]).unwrap().config.relays.turn_secret.is_none());
        let error = load(&[], &[none, ("ROUNDTABLE_TURN_HOST", "relay.example")]).unwrap_err();
        assert!(error.contains("ROUNDTABLE_TURN_SECRET"), "{error}");
        let none = [("ROUNDTABLE_ADMIN_TOKEN_FILE", "/dev/null"), ("ROUNDTABLE_WEBHOOK_SECRET_FILE", "/dev/null")];
        let config = load(&[], &none).unwrap().config;
        assert!(config.admin_token.is_none() && config.webhook_target().is_none());
        let both = [("ROUNDTABLE_TURN_SECRET_FILE", file), ("ROUNDTABLE_TURN_SECRET", "south")];
        let error = load(&[], &both).unwrap_err();
        assert!(error.contains("one of the two") && !error.contains("south"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = load(&[], &[("ROUNDTABLE_TURN_SECRET_FILE", file)]).unwrap_err();
        assert!(error.contains(file), "{error}");
        let alone = load(&[], &[("ROUNDTABLE_REDIS_URL", "redis://:north@cache")]).unwrap_err();
        assert!(alone.contains("ROUNDTABLE_RESUME_KEY") && !alone.contains("north"), "{alone}");
        for url in ["redis://:north@a,b", "http://:north@cache", "north"] {
            let error = load(&[], &[("ROUNDTABLE_REDIS_URL", url)]).unwrap_err();
            assert!(error.contains("ROUNDTABLE_REDIS_URL") && !error.contains("north"), "{error}");
        }
        let help = load(&["--help"], &[("ROUNDTABLE_TURN_SECRET", "north")]).unwrap_err();
        assert!(help.contains("ROUNDTABLE_TURN_SECRET") && !help.contains("north"), "{help}");
    }
}
