//! Access control: who may join, and with which role and permissions (R57 to R63).
//!
//! This module decides, and [`crate::conn`] acts on it. [`resume`] has the secrets that this server issues itself.
//! [`token`] has the tokens that others sign, with the keys of [`keys`] in the format of [`jwt`]. [`origin`] has the
//! proofs by which a page shows that this server's own address has served it.

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

/// Interval at which the key file is read again. It is small, and a revocation should take effect soon.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Access mode of a server.
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
    /// Returns whether rooms make hosts of their members (R36).
    pub fn makes_hosts(self) -> bool {
        self == Self::Open
    }
}

/// Credentials of a `join`, not yet checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// Token.
    pub token: Option<&'a str>,
    /// Secret of the room's creator.
    pub host_key: Option<&'a str>,
}

/// Result of an admitted `join`.
#[derive(Debug, Default)]
pub struct Admission {
    /// Role and permissions for the room.
    pub grant: Grant,
    /// Name that the token specifies. It replaces the name in the `join`.
    pub name: Option<PeerName>,
    /// Token to watch while the participant stays. Boxed, because most participants have none.
    pub pass: Option<Box<Pass>>,
}

type Digest = [u8; 32];

/// Access control of a server.
#[derive(Debug)]
pub struct Access {
    mode: AccessMode,
    resume_key: ResumeKey,
    file: Option<PathBuf>,
    /// Digest of the key file as it was first read.
    digest: Option<Digest>,
    /// Replaced as a whole. Each [`Pass`] is notified.
    keys: watch::Sender<Arc<KeySet>>,
    /// 1 while the file with the keys is readable and valid.
    keys_valid: Gauge,
    notice: Duration,
    clock: fn() -> SystemTime,
}

impl Access {
    /// Creates the access control. `keys` is the path of a JWK Set, and `notice` the time before a token's end at which
    /// its holder is notified. The error is a sentence for the operator.
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

    /// Sets the gauge that reports whether the key file is valid.
    pub fn with_gauge(self, keys_valid: Gauge) -> Self {
        keys_valid.set(1);
        Self { keys_valid, ..self }
    }

    /// Sets the clock by which tokens expire.
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

    /// Returns whether this is the key of the room's creator (R57).
    pub fn is_maker(&self, room: &RoomName, host_key: Option<&str>) -> bool {
        host_key.is_some_and(|key| self.resume_key.is_host_key(room, key))
    }

    /// Returns the secret that makes the room's creator its host, or `None` if tokens make hosts.
    pub fn host_key(&self, room: &RoomName) -> Option<String> {
        self.mode.makes_hosts().then(|| self.resume_key.host_key(room))
    }

    /// Reads the key file again whenever it changes, and at once when `asked`, until the future is dropped. An invalid
    /// file is logged, and the keys stay as they are.
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
