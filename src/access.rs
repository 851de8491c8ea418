//! Who may come back as whom: resume secrets (R11).
//!
//! A secret is the peer's id, the number of its stay and an HMAC over both and the room, so that the server keeps
//! nothing for peers that are gone, and any server with the same key can check it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::protocol::{PeerId, RoomName};

/// Bytes of the HMAC that a secret carries: 128 bits cannot be guessed.
const MAC_BYTES: usize = 16;

/// Makes and checks resume secrets.
#[derive(Clone)]
pub struct ResumeKey(Hmac<Sha256>);

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeKey(…)")
    }
}

impl ResumeKey {
    /// A key from any bytes; 32 random ones are right.
    pub fn new(key: &[u8]) -> Self {
        // HMAC takes keys of any length (RFC 2104 §2), so that the error cannot occur.
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// A key of this process alone: its secrets end with it.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self::new(&key))
    }

    /// The secret with which a peer comes back to this room, and to this stay in it.
    pub fn issue(&self, room: &RoomName, id: PeerId, stay: u64) -> String {
        let mac = self.mac(room, id, stay).finalize().into_bytes();
        let hex = mac[..MAC_BYTES].iter().map(|byte| format!("{byte:02x}"));
        format!("{id}.{stay:016x}{}", hex.collect::<String>())
    }

    /// Whose secret for this room this is, and of which stay; `None` for any other text.
    pub fn check(&self, room: &RoomName, secret: &str) -> Option<(PeerId, u64)> {
        let (id, hex) = secret.split_once('.')?;
        let id = PeerId::parse(id)?;
        // One writing alone: neither a sign nor capitals.
        if hex.len() != 16 + 2 * MAC_BYTES || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let (stay, hex) = hex.split_at(16);
        let stay = u64::from_str_radix(stay, 16).ok()?;
        let mac: Option<Vec<u8>> =
            (0..MAC_BYTES).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()).collect();
        self.mac(room, id, stay).verify_truncated_left(&mac?).ok()?;
        Some((id, stay))
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
}
