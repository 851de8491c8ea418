//! Who may join, and as what (R57 to R63).
//!
//! A leaf of the shell: it decides, and [`crate::conn`] carries out. [`resume`] has the secrets that this server
//! makes for itself, [`token`] what others sign for it with the keys of [`keys`] in the form of [`jwt`]. [`origin`] has
//! what a page shows to prove that this server's own address served it.

mod admin;
mod jwt;
mod keys;
mod origin;
mod pass;
mod resume;
mod token;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use prometheus_client::metrics::gauge::Gauge;
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::core::Grant;
use crate::protocol::{ErrorCode, PeerName, Role, RoomName};

pub use admin::AdminToken;
pub use keys::{Algorithm, KeySet, add_key};
pub use origin::{
    NONCE_BYTES, OriginProofs, OriginRejection, PENDING_PROOFS, PROOF_LIFETIME, PROOF_TIMEOUT, PendingProof,
    RequestOrigin,
};
pub use pass::{Change, Pass};
pub use resume::ResumeKey;
pub use token::{Audience, Claims, Denied, Granted, TokenRules, check, seconds};

/// How often the file with the keys is read again. It is small, and what it revokes should not stay.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Who may join.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum AccessMode {
    /// Whoever knows a room's name. Who makes a room is its host.
    Open,
    /// Nobody without a token.
    Token,
    /// Whoever knows a room's name; hosts are made by tokens alone.
    OpenHostsByToken,
}

impl AccessMode {
    /// Whether a room makes hosts of those who are in it (R36).
    pub fn makes_hosts(self) -> bool {
        self == Self::Open
    }
}

/// The credentials of a `join`, none of them checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// A token.
    pub token: Option<&'a str>,
    /// The secret of whoever made the room.
    pub host_key: Option<&'a str>,
}

/// What somebody is let in with.
#[derive(Debug, Default)]
pub struct Admission {
    /// What the room is told.
    pub grant: Grant,
    /// What it is called, whatever it says itself.
    pub name: Option<PeerName>,
    /// What has to be watched as long as it stays; in a box, because most have none.
    pub pass: Option<Box<Pass>>,
}

type Digest = [u8; 32];

/// Decides who may join.
#[derive(Debug)]
pub struct Access {
    mode: AccessMode,
    resume_key: ResumeKey,
    file: Option<PathBuf>,
    /// Of the text in the file as it was read first.
    digest: Option<Digest>,
    /// Replaced as a whole, and whoever holds a pass is told.
    keys: watch::Sender<Arc<KeySet>>,
    /// 1 while the file with the keys is readable and valid.
    keys_valid: Gauge,
    notice: Duration,
    clock: fn() -> SystemTime,
}

impl Access {
    /// `keys` is a JWK Set, `notice` how long before its end a token's holder is told. The error is a sentence for
    /// the operator.
    pub fn new(
        mode: AccessMode,
        resume_key: ResumeKey,
        keys: Option<PathBuf>,
        rules: TokenRules,
        notice: Duration,
    ) -> Result<Self, String> {
        let (mut digest, mut set) = (None, KeySet::default());
        if let Some(path) = &keys {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            digest = text.as_ref().ok().map(digest_of);
            set = text
                .and_then(|text| KeySet::parse(&text))
                .map_err(|why| format!("ROUNDTABLE_TOKEN_KEYS_FILE (--token-keys-file): {}: {why}.", path.display()))?;
        }
        let keys_of_tokens = watch::Sender::new(Arc::new(set.with_rules(rules)));
        let (keys_valid, clock) = (Gauge::default(), SystemTime::now);
        keys_valid.set(1);
        Ok(Self { mode, resume_key, file: keys, digest, keys: keys_of_tokens, keys_valid, notice, clock })
    }

    /// Reports in this gauge whether the file with the keys is valid.
    pub fn with_gauge(self, keys_valid: Gauge) -> Self {
        keys_valid.set(1);
        Self { keys_valid, ..self }
    }

    /// Tokens end by this clock.
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// Decides on a `join`.
    pub fn admit(&self, room: &RoomName, shown: Credentials<'_>, now: SystemTime) -> Result<Admission, Denied> {
        match (self.mode, shown.token) {
            (AccessMode::Open, _) => {
                let made = self.is_maker(room, shown.host_key);
                let grant = Grant { role: made.then_some(Role::Host), ..Grant::default() };
                Ok(Admission { grant, ..Admission::default() })
            }
            (AccessMode::OpenHostsByToken, None) => Ok(Admission::default()),
            (AccessMode::Token, None) => Err(Denied::new(
                ErrorCode::TokenMissing,
                "This server lets nobody in without a token: \"join\" needs the field \"token\".",
            )),
            (_, Some(token)) => {
                let keys = self.keys.subscribe();
                let granted = check(&keys.borrow(), token, room, now)?;
                let (grant, name) = (granted.grant(), granted.name.clone());
                let pass = Pass::new(room.clone(), token, granted, keys, self.notice, self.clock);
                Ok(Admission { grant, name, pass: Some(Box::new(pass)) })
            }
        }
    }

    /// Whether somebody shows the key of whoever made that room (R57).
    pub fn is_maker(&self, room: &RoomName, host_key: Option<&str>) -> bool {
        host_key.is_some_and(|key| self.resume_key.is_host_key(room, key))
    }

    /// The secret with which the maker of a room is its host; where tokens make hosts there is none.
    pub fn host_key(&self, room: &RoomName) -> Option<String> {
        self.mode.makes_hosts().then(|| self.resume_key.host_key(room))
    }

    /// Reads the file with the keys again whenever it changes, and at once when `asked`, as long as it is polled.
    /// A file that is wrong changes nothing but the log.
    pub async fn follow_keys(&self, mut asked: Option<Signal>) {
        let Some(path) = &self.file else { return std::future::pending().await };
        let mut last = self.digest;
        loop {
            let by_hand = tokio::select! {
                () = tokio::time::sleep(RELOAD_INTERVAL) => false,
                Some(()) = async { asked.as_mut()?.recv().await } => true,
            };
            let text = tokio::fs::read_to_string(path).await;
            let digest = text.as_ref().ok().map(digest_of);
            if !by_hand && digest == last {
                continue;
            }
            let keys = text.map_err(|error| error.to_string()).and_then(|text| KeySet::parse(&text));
            self.keys_valid.set(keys.is_ok().into());
            match keys {
                Ok(keys) => {
                    let rules = self.keys.borrow().rules().clone();
                    self.keys.send_replace(Arc::new(keys.with_rules(rules)));
                    tracing::info!(file = %path.display(), "the keys of tokens were read again");
                }
                Err(why) => {
                    tracing::error!(file = %path.display(), %why, "the keys of tokens stay as they were");
                }
            }
            last = digest;
        }
    }
}

fn digest_of(text: &String) -> Digest {
    Sha256::digest(text).into()
}
