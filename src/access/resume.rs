//! Secrets that the server issues itself: for a peer to reconnect (R11), and for a room's creator to be its host (R57).
//!
//! Each is an HMAC over what it is valid for: the room, and in a resume secret the peer and the session. The server
//! stores nothing for peers that have left, and any server with the same key can check it. A resume secret is for one
//! session of a peer, and contains its session ID.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::protocol::{PeerId, RoomName};

/// Bytes of the HMAC in a secret: 128 bits cannot be guessed.
const MAC_BYTES: usize = 16;
/// Hexadecimal digits of the session ID.
const STAY_DIGITS: usize = 16;

/// Prefix of the room's name in the HMAC of a host key. A peer's ID contains no colon, so that no host key is a resume
/// secret.
const HOST: &[u8] = b"host:";

/// Issues and checks resume secrets and host keys.
#[derive(Clone)]
pub struct ResumeKey(Hmac<Sha256>);

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeKey(…)")
    }
}

impl ResumeKey {
    /// Creates a key from any bytes. Use 32 random ones.
    pub fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length (RFC 2104 §2), so that the error cannot occur.
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// Creates a random key. Its secrets become invalid when this process ends.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self::new(&key))
    }

    /// Returns the secret with which a peer resumes this session in this room.
    pub fn issue(&self, room: &RoomName, id: PeerId, stay: u64) -> String {
        format!("{id}.{stay:016x}{}", hex(self.mac(room, id, stay)))
    }

    /// Returns the peer and the session ID of a secret for this room, or `None` for any other text.
    pub fn check(&self, room: &RoomName, secret: &str) -> Option<(PeerId, u64)> {
        let (id, hex) = secret.split_once('.')?;
        let id = PeerId::parse(id)?;
        let (stay, mac) = hex.split_at_checked(STAY_DIGITS)?;
        if !is_hex(stay) {
            return None;
        }
        let stay = u64::from_str_radix(stay, 16).ok()?;
        is_mac(self.mac(room, id, stay), mac).then_some((id, stay))
    }

    /// Returns the key that makes the creator of this room its host.
    pub fn host_key(&self, room: &RoomName) -> String {
        hex(self.host_mac(room))
    }

    /// Returns whether this is the host key of the room.
    pub fn is_host_key(&self, room: &RoomName, key: &str) -> bool {
        is_mac(self.host_mac(room), key)
    }

    /// Derives the key for another kind of secret. `purpose` must be shorter than the HMAC input of a resume secret,
    /// and must not begin as that of a host key does.
    pub(super) fn derive(&self, purpose: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(purpose);
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        Hmac::new_from_slice(&mac.finalize().into_bytes()).expect("HMAC takes keys of any length")
    }

    fn host_mac(&self, room: &RoomName) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(HOST);
        mac.update(room.as_str().as_bytes());
        mac
    }

    fn mac(&self, room: &RoomName, id: PeerId, stay: u64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // The first two have a fixed length, so that they cannot run into the third.
        mac.update(id.as_str().as_bytes());
        mac.update(&stay.to_be_bytes());
        mac.update(room.as_str().as_bytes());
        mac
    }
}

pub(super) fn hex(mac: Hmac<Sha256>) -> String {
    mac.finalize().into_bytes()[..MAC_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns whether the text consists of digits as [`hex`] writes them. Each secret has only one spelling, without signs
/// and capitals.
pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Compares a text with an HMAC in constant time.
pub(super) fn is_mac(mac: Hmac<Sha256>, hex: &str) -> bool {
    if hex.len() != 2 * MAC_BYTES || !is_hex(hex) {
        return false;
    }
    let bytes: Option<Vec<u8>> = (0..MAC_BYTES).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
    bytes.is_some_and(|bytes| mac.verify_truncated_left(&bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_a_secret_is_good_for_its_room_and_key_alone() {
        let (key, other) = (ResumeKey::new(b"a"), ResumeKey::new(b"b"));
        let (room, id) = (RoomName::new("r").unwrap(), PeerId::from_random([7; 20]));
        let secret = key.issue(&room, id, 7);
        assert_eq!(key.check(&room, &secret), Some((id, 7)));
        assert_eq!(key.check(&RoomName::new("s").unwrap(), &secret), None);
        assert_eq!(other.check(&room, &secret), None);
        for at in 0..secret.len() {
            let mut forged = secret.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(key.check(&room, &String::from_utf8(forged).unwrap()), None, "at {at}");
        }
        for text in ["", ".", "é", &"é".repeat(40), &format!("{id}.{}", "é".repeat(16))] {
            assert_eq!(key.check(&room, text), None);
        }
    }

    #[test]
    fn r57_a_host_key_is_good_for_its_room_and_key_alone() {
        let (key, other) = (ResumeKey::new(b"a"), ResumeKey::new(b"b"));
        let (room, neighbour) = (RoomName::new("r").unwrap(), RoomName::new("s").unwrap());
        let host_key = key.host_key(&room);
        assert!(key.is_host_key(&room, &host_key));
        assert!(!key.is_host_key(&neighbour, &host_key) && !other.is_host_key(&room, &host_key));
        let resume = key.issue(&room, PeerId::from_random([7; 20]), 7);
        assert_ne!(host_key, host_key.to_uppercase());
        for wrong in ["", "é", &host_key[1..], &host_key.to_uppercase(), &resume, &resume[21..]] {
            assert!(!key.is_host_key(&room, wrong), "{wrong}");
        }
    }
}
