//! The STUN and TURN servers that a `welcome` brings, with short-lived credentials by the TURN
//! REST scheme (draft-uberti-behave-turn-rest): the username is `<expiry>:<peer>`, the
//! credential its HMAC-SHA1 under a secret shared with the TURN server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::config::Secret;
use crate::protocol::{IceServer, PeerId};

/// How long a credential is good: a long meeting.
const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Where clients find a way to each other.
#[derive(Clone, Debug, Default)]
pub struct IceServers {
    stun: Vec<String>,
    turn: Vec<String>,
    secret: Option<Secret>,
}

impl IceServers {
    /// Sorts URLs by scheme; the error says what is wrong with one.
    pub fn new(urls: &[String], secret: Option<Secret>) -> Result<Self, String> {
        let mut servers = Self { secret, ..Self::default() };
        for url in urls {
            match url.split_once(':') {
                Some(("stun" | "stuns", host)) if !host.is_empty() => servers.stun.push(url.clone()),
                Some(("turn" | "turns", host)) if !host.is_empty() => servers.turn.push(url.clone()),
                _ => return Err(format!("{url:?} is not stun:host:port, turn:host:port or turns:host:port")),
            }
        }
        if !servers.turn.is_empty() && servers.secret.is_none() {
            return Err("a turn: URL needs the secret of its server, ROUNDTABLE_TURN_SECRET".into());
        }
        Ok(servers)
    }

    /// The servers for one peer, with credentials from `now` on.
    pub fn for_peer(&self, peer: PeerId, now: SystemTime) -> Vec<IceServer> {
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(IceServer { urls: self.stun.clone(), username: None, credential: None });
        }
        if let (Some(secret), false) = (&self.secret, self.turn.is_empty()) {
            let expiry = (now + CREDENTIAL_LIFETIME).duration_since(UNIX_EPOCH).unwrap_or_default();
            let username = format!("{}:{peer}", expiry.as_secs());
            let credential = credential(secret, &username);
            servers.push(IceServer { urls: self.turn.clone(), username: Some(username), credential: Some(credential) });
        }
        servers
    }
}

fn credential(secret: &Secret, username: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    mac.update(username.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_openssl_makes_of_the_username() {
        // printf %s "$username" | openssl dgst -sha1 -hmac north -binary | base64
        let urls = ["turn:relay.example:3478".to_owned(), "stun:relay.example:3478".to_owned()];
        let servers = IceServers::new(&urls, Some(Secret::new("north"))).unwrap();
        let peer = PeerId::from_random([0; 20]);
        let list = servers.for_peer(peer, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!(list[0].urls, ["stun:relay.example:3478"]);
        assert_eq!(list[1].username.as_deref(), Some("1700043200:AAAAAAAAAAAAAAAAAAAA"));
        assert_eq!(list[1].credential.as_deref(), Some("w59IZEz9c70+3EvvMquTMnG7fBg="));
    }

    #[test]
    fn what_could_not_work_is_refused() {
        for bad in ["relay.example", "http://relay.example", "turn:"] {
            assert!(IceServers::new(&[bad.to_owned()], None).is_err(), "{bad}");
        }
        assert!(IceServers::new(&["turn:relay.example".to_owned()], None).is_err());
    }
}
