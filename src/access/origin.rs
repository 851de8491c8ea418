//! Origin proofs (R92): a page that this server's own address has served can prove that, whatever a proxy does to
//! `Host`.
//!
//! A proof is an expiry time, a nonce and an HMAC over both. The server stores nothing, and servers with the same
//! resume key accept each other's proofs. Browsers let only scripts of the same origin read the answer with the proof.
//! A program can read it, too: a proof tells where a page comes from and is not a credential.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::time::Instant;

use super::resume::{ResumeKey, hex, is_hex, is_mac};

/// Validity of a proof: longer than any attempt to connect, and than the clocks of two servers may differ.
pub const PROOF_LIFETIME: Duration = Duration::from_secs(120);
/// Time that a WebSocket may wait for its proof. The page has fetched the proof by the time the socket opens.
pub const PROOF_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of WebSockets that wait for their proof. A page on another site can open them in its visitors'
/// browsers.
pub const PENDING_PROOFS: usize = 4_096;

/// Separates the key of proofs from the messages that the resume key signs itself, which are longer than this.
const PURPOSE: &[u8] = b"origin-proof";
/// Hexadecimal digits of the expiry time, and of the nonce.
const DIGITS: usize = 16;
/// Bytes of the nonce.
pub const NONCE_BYTES: usize = 8;

/// Minimum interval between logged rejections: a page can cause any number of them.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Maximum length of a logged header, in characters.
const LOGGED_CHARS: usize = 200;

/// Issues and checks origin proofs, counts the sockets that wait for theirs, and logs rejected origins.
#[derive(Debug)]
pub struct OriginProofs {
    key: ProofKey,
    pending: Arc<AtomicUsize>,
    log: Mutex<LogState>,
}

struct ProofKey(Hmac<Sha256>);

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofKey(…)")
    }
}

#[derive(Debug, Default)]
struct LogState {
    logged_at: Option<Instant>,
    suppressed: u64,
}

/// Reason for rejecting a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OriginRejection {
    /// `Origin` is `null`, or not an origin.
    Opaque,
    /// `ROUNDTABLE_SERVER_NAMES` is set and does not list the host of the page or of the request (R93).
    UnknownName,
    /// The browser says that the request comes from another site (`Sec-Fetch-Site`).
    CrossSite,
    /// The request counts as an attempt, and only pages of this server and allowed pages may make it (R120).
    ForeignPage,
    /// The `join` has no proof.
    NoProof,
    /// The proof was not issued by this server, or by one with the same resume key.
    WrongProof,
    /// The proof has expired.
    ExpiredProof,
}

impl OriginRejection {
    /// Returns the message for the client's developer: what was wrong, and what would be right.
    pub fn message(self) -> &'static str {
        match self {
            Self::Opaque => {
                "This server accepts no connections from pages without an origin (\"null\"); ROUNDTABLE_ALLOWED_ORIGINS \
                 can allow them."
            }
            Self::UnknownName => {
                "This server is not reached under the host name of this page or request: ROUNDTABLE_SERVER_NAMES lists its \
                 names, ROUNDTABLE_ALLOWED_ORIGINS the origins of other pages that may connect."
            }
            Self::CrossSite => "Only pages of this server's own origin get a proof.",
            Self::ForeignPage => {
                "Only pages of this server may ask for this, and those of the origins in ROUNDTABLE_ALLOWED_ORIGINS."
            }
            Self::NoProof => {
                "The page's origin is not the host that this server was asked for: fetch /signal-api/v1/origin-proof and \
                 send it in the join as \"proof\". ROUNDTABLE_ALLOWED_ORIGINS lists other origins that may connect."
            }
            Self::WrongProof => {
                "The proof is not valid at this server: fetch a new one from /signal-api/v1/origin-proof of the same server."
            }
            Self::ExpiredProof => "The proof has expired: fetch a new one from /signal-api/v1/origin-proof.",
        }
    }

    /// Returns the hint for the operator's log: what can be changed.
    fn advice(self) -> &'static str {
        match self {
            Self::UnknownName => {
                "if this is a name of the server, of its metrics or of a proxy's upstream, add it to \
                 ROUNDTABLE_SERVER_NAMES; to let another page connect, add its origin to ROUNDTABLE_ALLOWED_ORIGINS"
            }
            Self::Opaque | Self::CrossSite => "to let this page connect, add its origin to ROUNDTABLE_ALLOWED_ORIGINS",
            Self::ForeignPage | Self::NoProof | Self::WrongProof | Self::ExpiredProof => {
                "if this is the server's own page, let the proxy forward all of /signal-api/, or the Host header \
                 (nginx: proxy_set_header Host $http_host;), and give all servers the same ROUNDTABLE_RESUME_KEY; to let \
                 another page connect, add its origin to ROUNDTABLE_ALLOWED_ORIGINS"
            }
        }
    }
}

/// `Origin` and `Host` of a request for the log, shortened and in printable ASCII without spaces.
#[derive(Clone, Debug)]
pub struct RequestOrigin {
    origin: Box<str>,
    host: Box<str>,
}

impl RequestOrigin {
    /// Takes the bytes of both headers, whatever they are.
    pub fn new(origin: &[u8], host: &[u8]) -> Self {
        // A space would look like the start of another field in the log line.
        let printable = |c: char| if c.is_ascii_graphic() { c } else { char::REPLACEMENT_CHARACTER };
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.chars().take(LOGGED_CHARS).map(printable).collect::<String>().into()
        };
        Self { origin: text(origin), host: text(host) }
    }
}

/// A WebSocket whose `join` must contain a proof. Dropping it frees its place.
#[derive(Debug)]
pub struct PendingProof {
    from: RequestOrigin,
    pending: Arc<AtomicUsize>,
}

impl Drop for PendingProof {
    fn drop(&mut self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PendingProof {
    /// Returns the origin and host of the request.
    pub fn from(&self) -> &RequestOrigin {
        &self.from
    }
}

impl OriginProofs {
    /// Derives the key from that of the resume secrets, which all servers of a cluster share.
    pub fn new(resume_key: &ResumeKey) -> Self {
        Self { key: ProofKey(resume_key.derive(PURPOSE)), pending: Arc::default(), log: Mutex::default() }
    }

    /// Issues a proof.
    pub fn issue(&self, now: SystemTime, nonce: [u8; NONCE_BYTES]) -> String {
        let (expires, nonce) = (seconds(now + PROOF_LIFETIME), u64::from_be_bytes(nonce));
        format!("{expires:016x}{nonce:016x}{}", hex(self.mac(expires, nonce)))
    }

    /// Checks the proof of a `join`.
    pub fn check(&self, proof: Option<&str>, now: SystemTime) -> Result<(), OriginRejection> {
        let proof = proof.ok_or(OriginRejection::NoProof)?;
        let expires = self.expiry(proof).ok_or(OriginRejection::WrongProof)?;
        if seconds(now) < expires { Ok(()) } else { Err(OriginRejection::ExpiredProof) }
    }

    /// Returns when a proof of this key expires, in seconds since 1970, or `None` for any other text.
    fn expiry(&self, proof: &str) -> Option<u64> {
        let (expires, rest) = proof.split_at_checked(DIGITS)?;
        let (nonce, mac) = rest.split_at_checked(DIGITS)?;
        let number = |digits: &str| is_hex(digits).then(|| u64::from_str_radix(digits, 16).ok()).flatten();
        let (expires, nonce) = (number(expires)?, number(nonce)?);
        is_mac(self.mac(expires, nonce), mac).then_some(expires)
    }

    fn mac(&self, expires: u64, nonce: u64) -> Hmac<Sha256> {
        let mut mac = self.key.0.clone();
        mac.update(&expires.to_be_bytes());
        mac.update(&nonce.to_be_bytes());
        mac
    }

    /// Reserves a place for a socket that waits for its proof, or returns `None` if all are taken.
    pub fn wait(&self, from: RequestOrigin) -> Option<PendingProof> {
        let before = self.pending.fetch_add(1, Ordering::Relaxed);
        // Created in any case: dropping it restores the count.
        let pending = PendingProof { from, pending: Arc::clone(&self.pending) };
        (before < PENDING_PROOFS).then_some(pending)
    }

    /// Logs that a page was rejected, at most once a minute.
    pub fn log_rejection(&self, from: &RequestOrigin, why: OriginRejection, now: Instant) {
        let Some(suppressed) = self.log_slot(now) else { return };
        tracing::warn!(
            origin = %from.origin,
            host = %from.host,
            reason = ?why,
            suppressed,
            "rejected a page of another origin: {}",
            why.advice()
        );
    }

    /// Returns the number of rejections since the last logged one, or `None` if none may be logged now.
    fn log_slot(&self, now: Instant) -> Option<u64> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.logged_at.is_some_and(|at| now - at < LOG_INTERVAL) {
            log.suppressed += 1;
            return None;
        }
        log.logged_at = Some(now);
        Some(std::mem::take(&mut log.suppressed))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{PeerId, RoomName};

    fn proofs(key: &[u8]) -> OriginProofs {
        OriginProofs::new(&ResumeKey::new(key))
    }

    #[test]
    fn r92_a_proof_is_valid_for_its_time_and_its_key_alone() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (ours, same, other) = (proofs(b"a"), proofs(b"a"), proofs(b"b"));
        let proof = ours.issue(now, [7; NONCE_BYTES]);
        assert_ne!(proof, ours.issue(now, [8; NONCE_BYTES]));
        for at in [now, now + PROOF_LIFETIME - Duration::from_secs(1)] {
            assert_eq!((ours.check(Some(&proof), at), same.check(Some(&proof), at)), (Ok(()), Ok(())));
        }
        assert_eq!(ours.check(Some(&proof), now + PROOF_LIFETIME), Err(OriginRejection::ExpiredProof));
        assert_eq!(other.check(Some(&proof), now), Err(OriginRejection::WrongProof));
        assert_eq!(ours.check(None, now), Err(OriginRejection::NoProof));
        for at in 0..proof.len() {
            let mut forged = proof.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(ours.check(Some(&forged), now), Err(OriginRejection::WrongProof), "at {at}");
        }
        let (upper, longer) = (proof.to_uppercase(), format!("{proof}0"));
        for text in ["", "é", &"é".repeat(32), &proof[1..], &upper, &longer, &"0".repeat(64_000)] {
            assert_eq!(ours.check(Some(text), now), Err(OriginRejection::WrongProof));
        }
    }

    #[test]
    fn r92_no_secret_of_another_kind_is_a_proof_and_no_proof_is_such_a_secret() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let (key, ours) = (ResumeKey::new(b"a"), proofs(b"a"));
        let (room, id) = (RoomName::new("origin-proof").unwrap(), PeerId::from_random([7; 20]));
        let resume = key.issue(&room, id, 7);
        let host = key.host_key(&room);
        let later = format!("{:016x}", u64::MAX);
        for text in [&resume, &host, &format!("{later}{later}{host}"), &format!("{later}{later}{}", &resume[37..])] {
            assert_eq!(ours.check(Some(text), now), Err(OriginRejection::WrongProof), "{text}");
        }
        let proof = ours.issue(now, [7; NONCE_BYTES]);
        let mac = &proof[2 * DIGITS..];
        assert!(!key.is_host_key(&room, &proof) && !key.is_host_key(&room, mac));
        for text in [&proof, &format!("{id}.{proof}"), &format!("{id}.{}{mac}", &proof[..DIGITS])] {
            assert_eq!(key.check(&room, text), None, "{text}");
        }
    }

    #[test]
    fn places_for_sockets_that_wait_are_bounded_and_freed() {
        let proofs = proofs(b"a");
        let from = RequestOrigin::new(b"https://meet.example", b"10.0.0.1:18080");
        let mut waiting: Vec<_> = (0..PENDING_PROOFS).map(|_| proofs.wait(from.clone()).unwrap()).collect();
        assert!(proofs.wait(from.clone()).is_none() && proofs.wait(from.clone()).is_none());
        waiting.pop();
        assert!(proofs.wait(from).is_some(), "a refusal took no place");
    }

    #[test]
    fn rejections_are_logged_once_a_minute_with_the_number_of_the_others() {
        let (proofs, now) = (proofs(b"a"), Instant::now());
        let at = |seconds| proofs.log_slot(now + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61), at(120)], [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn a_logged_header_is_short_whatever_it_was() {
        let from = RequestOrigin::new(&b"\xff".repeat(16_000), "é".repeat(500).as_bytes());
        assert_eq!((from.origin.chars().count(), from.host.chars().count()), (LOGGED_CHARS, LOGGED_CHARS));
        let from = RequestOrigin::new("https://a\u{9b}31m".as_bytes(), b"a\tb");
        assert_eq!((&*from.origin, &*from.host), ("https://a\u{fffd}31m", "a\u{fffd}b"));
    }
}
