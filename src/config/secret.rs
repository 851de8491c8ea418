//! Settings that are never shown, and the files that they stand in.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::load::Refused;

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

/// Makes a key where there is none, for this user's eyes only. Where it cannot be kept, the server
/// runs all the same, with a key that ends with it. It appears as a whole: of several servers that share the file and
/// start at once, all read what one of them has made.
pub(super) fn make_key(path: &Path) {
    if path.exists() {
        return;
    }
    let mut key = [0; 32];
    let made = getrandom::fill(&mut key).map_err(std::io::Error::from).and_then(|()| {
        let text = BASE64_STANDARD.encode(key);
        // Names of two that are made at a time differ as their keys do.
        let half = path.with_extension(format!("{:02x}{:02x}{:02x}{:02x}", key[0], key[1], key[2], key[3]));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        let linked = file.write_all(text.as_bytes()).and_then(|()| std::fs::hard_link(&half, path));
        std::fs::remove_file(&half).and(linked)
    });
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            eprintln!("roundtable: no key is kept in {}: {error}; it ends with this process", path.display());
        }
        _ => {}
    }
}

/// A secret that stands in a file, in place of one that is set directly.
pub(super) fn read_secret(name: &str, value: &mut Option<Secret>, file: Option<&PathBuf>) -> Result<(), Refused> {
    let Some(path) = file else { return Ok(()) };
    let wrong = |why: String| Refused::Wrong(format!("{name}_FILE: {}: {why}.", path.display()));
    if value.is_some() {
        return Err(wrong(format!("{name} is set too; set one of the two")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let secret = text.trim_end_matches(['\r', '\n']).parse().map_err(wrong)?;
    *value = Some(secret);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;
    use super::*;

    #[test]
    fn a_resume_key_is_made_once_and_kept() {
        let path = std::env::temp_dir().join(format!("roundtable-key-{}", std::process::id()));
        let key = |path: &Path| {
            let cli = load(&[], &[("ROUNDTABLE_RESUME_KEY_FILE", path.to_str().unwrap())]).unwrap();
            cli.config.resume_key.map(|key| key.expose().to_owned())
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
        std::fs::write(&path, "north\n").unwrap();
        let file = path.to_str().unwrap();
        let cli = load(&[], &[("ROUNDTABLE_TURN_SECRET_FILE", file)]).unwrap();
        assert_eq!(cli.config.relays.turn_secret.as_ref().map(Secret::expose), Some("north"));
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
