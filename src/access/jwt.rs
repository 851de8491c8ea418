//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, with two algorithms: HS256 (RFC 7518 §3.2), where the
//! issuer shares a secret with the server, and EdDSA with Ed25519 (RFC 8037 §3.1), where the server cannot issue
//! tokens.
//!
//! The key determines the algorithm. The token's header has to match it and decides nothing.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Minimum length of an HS256 key: that of the hash (RFC 7518 §3.2).
pub(super) const SECRET_BYTES: usize = 32;

/// A key that signs or verifies tokens.
#[derive(Clone)]
pub enum Key {
    /// HS256: one secret signs and verifies.
    Hs256(Hmac<Sha256>),
    /// Public half of an Ed25519 key: verifies only.
    EdDsa(VerifyingKey),
    /// Ed25519 key with both halves.
    EdDsaPrivate(SigningKey),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, …)", self.algorithm())
    }
}

#[derive(Deserialize, Serialize)]
struct Header {
    alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515 §4.1.11). None are supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// A token that was parsed and not verified.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// ID of the key that it claims to be signed with.
    pub kid: Option<String>,
    alg: String,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl Key {
    /// Creates an HS256 key. The error says what would be right.
    pub fn hs256(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES {
            return Err(format!("a secret of HS256 has at least {SECRET_BYTES} bytes; this one has {}", secret.len()));
        }
        Hmac::new_from_slice(secret).map(Self::Hs256).map_err(|error| error.to_string())
    }

    /// Returns the name of the algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::EdDsa(_) | Self::EdDsaPrivate(_) => "EdDSA",
        }
    }

    /// Signs a token. The error says why this key cannot.
    pub fn sign(&self, kid: Option<&str>, claims: &impl Serialize) -> Result<String, String> {
        let header = Header {
            alg: self.algorithm().to_owned(),
            typ: Some("JWT".to_owned()),
            kid: kid.map(str::to_owned),
            crit: None,
        };
        let signed = format!("{}.{}", encode(&header)?, encode(claims)?);
        let signature = match self {
            Self::Hs256(mac) => mac.clone().chain_update(&signed).finalize().into_bytes().to_vec(),
            Self::EdDsaPrivate(key) => key.sign(signed.as_bytes()).to_bytes().to_vec(),
            Self::EdDsa(_) => return Err("this is the public half of a key: it checks tokens and makes none".into()),
        };
        Ok(format!("{signed}.{}", BASE64URL.encode(signature)))
    }

    /// Returns whether this key has signed the token.
    pub fn verifies(&self, token: &Unverified<'_>) -> bool {
        // RFC 9864 §2.2 names Ed25519 on its own and deprecates the name that it shares with Ed448.
        let is_ed25519 = self.algorithm() == "EdDSA" && token.alg == "Ed25519";
        if token.alg != self.algorithm() && !is_ed25519 {
            return false;
        }
        let public = match self {
            // Compares in constant time.
            Self::Hs256(mac) => {
                return mac.clone().chain_update(token.signed).verify_slice(&token.signature).is_ok();
            }
            Self::EdDsa(key) => *key,
            Self::EdDsaPrivate(key) => key.verifying_key(),
        };
        Signature::from_slice(&token.signature)
            // Strict: nobody can derive a second valid signature from one that they have seen.
            .is_ok_and(|signature| public.verify_strict(token.signed.as_bytes(), &signature).is_ok())
    }
}

impl<'a> Unverified<'a> {
    /// Parses a token. The error says what is wrong with it.
    pub fn parse(token: &'a str) -> Result<Self, String> {
        let (signed, signature) = token.rsplit_once('.').ok_or("it has not three parts with dots between them")?;
        let (header, claims) = signed.split_once('.').ok_or("it has not three parts with dots between them")?;
        let header: Header = decode(header).map_err(|why| format!("its header is {why}"))?;
        if header.crit.is_some() {
            return Err("its header has \"crit\", and no extension is known here".into());
        }
        let signature = BASE64URL.decode(signature).map_err(|_| "its signature is not base64url")?;
        Ok(Self { kid: header.kid, alg: header.alg, signed, claims, signature })
    }

    /// Returns the claims. Only to be used after verification.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, String> {
        decode(self.claims)
    }
}

fn encode(value: &impl Serialize) -> Result<String, String> {
    serde_json::to_vec(value).map(|json| BASE64URL.encode(json)).map_err(|error| error.to_string())
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, String> {
    let json = BASE64URL.decode(part).map_err(|_| "not base64url")?;
    serde_json::from_slice(&json).map_err(|error| format!("not as it should be: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claims(key: &Key, token: &str) -> Option<Value> {
        let token = Unverified::parse(token).ok()?;
        key.verifies(&token).then(|| token.claims().ok())?
    }

    #[test]
    fn the_example_of_rfc_7515_is_verified() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6\
                     Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = Key::hs256(&BASE64URL.decode(key).unwrap()).unwrap();
        assert_eq!(claims(&key, token).unwrap()["iss"], "joe");
    }

    #[test]
    fn the_example_of_rfc_8037_is_made_and_verified() {
        let seed = BASE64URL.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = SigningKey::from_bytes(&seed.try_into().unwrap());
        assert_eq!(BASE64URL.encode(key.verifying_key()), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let signature = key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(
            BASE64URL.encode(signature.to_bytes()),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn r58_both_names_of_the_algorithm_are_read_for_keys_of_ed25519_alone() {
        let ed = SigningKey::from_bytes(&[7; 32]);
        let (public, hs) = (Key::EdDsa(ed.verifying_key()), Key::hs256(&[7; 32]).unwrap());
        let body = json!({"room": "r"});
        for (alg, verified) in [("EdDSA", true), ("Ed25519", true), ("Ed448", false), ("ed25519", false)] {
            let signed = format!("{}.{}", encode(&json!({"alg": alg})).unwrap(), encode(&body).unwrap());
            let token = format!("{signed}.{}", BASE64URL.encode(ed.sign(signed.as_bytes()).to_bytes()));
            assert_eq!(claims(&public, &token).is_some(), verified, "{alg}");
            let mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap().chain_update(&signed).finalize().into_bytes();
            assert_eq!(claims(&hs, &format!("{signed}.{}", BASE64URL.encode(mac))), None, "{alg}");
        }
    }

    #[test]
    fn a_token_is_good_for_its_key_alone_and_for_no_other_algorithm() {
        let ed = SigningKey::from_bytes(&[7; 32]);
        let public = Key::EdDsa(ed.verifying_key());
        // The public half as a secret: a known attack on servers that trust the header's `alg`.
        let confused = Key::hs256(ed.verifying_key().as_bytes()).unwrap();
        let (private, hs) = (Key::EdDsaPrivate(ed), Key::hs256(&[7; 32]).unwrap());
        let body = json!({"room": "r"});
        let keys = [&private, &hs, &confused];
        for (at, key) in keys.iter().enumerate() {
            let token = key.sign(Some("a"), &body).unwrap();
            assert_eq!(claims(key, &token), Some(body.clone()));
            for (other, wrong) in keys.iter().enumerate() {
                assert_eq!(claims(wrong, &token).is_some(), at == other);
            }
            assert_eq!(claims(&public, &token).is_some(), at == 0);
            for at in 0..token.len() {
                let mut forged = token.clone().into_bytes();
                forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(forged).unwrap();
                assert_ne!(forged, token);
                assert_eq!(claims(key, &forged), None, "at {at}");
            }
        }
        let none = format!("{}.{}.", BASE64URL.encode(r#"{"alg":"none"}"#), BASE64URL.encode(r#"{"room":"*"}"#));
        assert!(keys.iter().all(|key| claims(key, &none).is_none()));
        assert!(public.sign(None, &body).is_err() && Key::hs256(&[1; 31]).is_err());
        for text in ["", ".", "..", "a.b", "a.b.c", "é.é.é"] {
            assert!(Unverified::parse(text).is_err(), "{text}");
        }
        let critical = format!("{}.e30.", BASE64URL.encode(r#"{"alg":"HS256","crit":["b64"]}"#));
        assert!(Unverified::parse(&critical).unwrap_err().contains("crit"));
    }
}
