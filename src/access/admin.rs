//! Token of the operator, for the admin API (R68).

use std::fmt;

use sha2::{Digest, Sha256};

/// Stored as a SHA-256 digest. Comparing digests does not reveal, by the time it takes, how much of a guess is right.
pub struct AdminToken([u8; 32]);

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl AdminToken {
    /// Creates a token from its text.
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Returns whether this is the operator's token.
    pub fn is(&self, token: &str) -> bool {
        self.0 == <[u8; 32]>::from(Sha256::digest(token))
    }
}
