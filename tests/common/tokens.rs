//! Key file and tokens, signed without the server's code.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Secret of the first key in every file.
const SECRET: &[u8] = b"north-north-north-north-north-north";
/// Secret of the second key, for rotation.
const OTHER: &[u8] = b"south-south-south-south-south-south";

/// JWK Set in a temporary file, removed on drop.
pub struct Keys {
    pub path: PathBuf,
}

impl Keys {
    /// Writes a file with the key `a`. The token ID `lost` is revoked.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("roundtable-keys-{}-{}.json", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let keys = Self { path: std::env::temp_dir().join(name) };
        keys.write(&["a"], &["lost"]);
        keys
    }

    /// Replaces the file.
    pub fn write(&self, kids: &[&str], revoked: &[&str]) {
        let jwk = |kid: &&str| json!({"kty": "oct", "kid": kid, "alg": "HS256", "k": BASE64URL.encode(secret(kid))});
        let keys: Vec<_> = kids.iter().map(jwk).collect();
        self.write_text(&json!({"keys": keys, "revoked": revoked}).to_string());
    }

    pub fn write_text(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    /// Returns the settings of a server that requires tokens. It announces a token's expiry immediately, as all tokens
    /// of the tests end within the notice period.
    pub fn settings<'a>(&'a self, access: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("ROUNDTABLE_ACCESS", access),
            ("ROUNDTABLE_TOKEN_KEYS_FILE", self.path.to_str().unwrap()),
            ("ROUNDTABLE_TOKEN_NOTICE", "10m"),
        ]
    }

    pub fn token(&self, claims: Value) -> String {
        self.token_of("a", claims)
    }

    pub fn token_of(&self, kid: &str, claims: Value) -> String {
        let part = |value: &Value| BASE64URL.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "HS256", "kid": kid})), part(&claims));
        let mac = Hmac::<Sha256>::new_from_slice(secret(kid)).unwrap().chain_update(&signed).finalize();
        format!("{signed}.{}", BASE64URL.encode(mac.into_bytes()))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn secret(kid: &str) -> &'static [u8] {
    if kid == "a" { SECRET } else { OTHER }
}

/// Returns the NumericDate (RFC 7519 §2) that is `seconds` from now.
pub fn later(seconds: f64) -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() + seconds
}
