//! Key file for tokens: a JWK Set (RFC 7517 §5), which any program can generate, with one additional field. `revoked`
//! lists the `kid`s and `jti`s that are no longer valid.
//!
//! The last key signs, and all of them verify. To rotate keys, add one, and remove the old one when the last token that
//! it signed has expired.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::jwt::{Key, SECRET_BYTES, Unverified};
use super::token::TokenRules;
use crate::secret_file;

/// Maximum number of keys in a file. A token without `kid` is tried with each.
const KEYS_MAX: usize = 32;

/// A key in the file (RFC 7518 §6.4, RFC 8037 §2). Unknown fields are ignored and not written back.
#[derive(Clone, Default, Deserialize, Serialize)]
struct Jwk {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    /// Secret of HS256.
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    /// Public half of Ed25519.
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    /// Private half of Ed25519, which the server does not need.
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
struct File {
    keys: Vec<Jwk>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    revoked: Vec<String>,
}

/// Algorithm of a new key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Algorithm {
    /// One secret makes and checks tokens.
    #[value(name = "HS256")]
    Hs256,
    /// Ed25519: a private half makes tokens, a public one checks them.
    #[value(name = "EdDSA", alias = "Ed25519")]
    EdDsa,
}

/// Keys and revocations of a file.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<(Option<String>, Key)>,
    revoked: Vec<String>,
    rules: TokenRules,
}

impl KeySet {
    /// Reads a file. The error is a sentence for the operator and contains no secret.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        Self::parse(&text)
    }

    /// Parses a JWK Set.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file = parse_file(text)?;
        let keys: Vec<_> = file
            .keys
            .iter()
            .enumerate()
            .map(|(at, jwk)| {
                let key =
                    key(jwk).map_err(|why| format!("key {}: {why}", jwk.kid.clone().unwrap_or(at.to_string())))?;
                Ok::<_, String>((jwk.kid.clone(), key))
            })
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("there is no key in it".into());
        }
        if keys.len() > KEYS_MAX {
            return Err(format!("there are {} keys in it, of {KEYS_MAX} at most", keys.len()));
        }
        for (at, (kid, _)) in keys.iter().enumerate() {
            if kid.is_some() && keys[..at].iter().any(|(other, _)| other == kid) {
                return Err(format!("two keys have the kid {kid:?}"));
            }
        }
        Ok(Self { keys, revoked: file.revoked, rules: TokenRules::default() })
    }

    /// Sets the claims that tokens must have.
    #[must_use]
    pub fn with_rules(self, rules: TokenRules) -> Self {
        Self { rules, ..self }
    }

    /// Returns the claims that tokens must have.
    pub fn rules(&self) -> &TokenRules {
        &self.rules
    }

    /// Returns whether a key of this set has signed the token. A token without `kid` may be signed with any of them.
    pub fn verifies(&self, token: &Unverified<'_>) -> bool {
        let is_named = |kid: &Option<String>| token.kid.is_none() || *kid == token.kid;
        self.keys.iter().any(|(kid, key)| is_named(kid) && !self.is_revoked(kid.as_deref()) && key.verifies(token))
    }

    /// Returns whether this `kid` or `jti` is revoked.
    pub fn is_revoked(&self, id: Option<&str>) -> bool {
        id.is_some_and(|id| self.revoked.iter().any(|revoked| revoked == id))
    }

    /// Returns the key that signs: the one with this `kid`, or the last one.
    pub fn signer(&self, kid: Option<&str>) -> Result<(Option<&str>, &Key), String> {
        let mut keys = self.keys.iter().rev();
        let found = keys.find(|(known, _)| kid.is_none() || known.as_deref() == kid);
        let (kid, key) = found.ok_or_else(|| format!("there is no key with the kid {:?}", kid.unwrap_or_default()))?;
        Ok((kid.as_deref(), key))
    }
}

/// Adds a new key to a file and returns its `kid`. A missing file is created, readable by its owner alone.
pub fn add_key(path: &Path, algorithm: Algorithm, kid: Option<String>) -> Result<String, String> {
    let present = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.to_string()),
    };
    let mut file = present.as_deref().map(parse_file).transpose()?.unwrap_or_default();
    let mut random = [0; SECRET_BYTES + 6];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    let (secret, name) = random.split_at(SECRET_BYTES);
    let kid = kid.unwrap_or_else(|| name.iter().map(|byte| format!("{byte:02x}")).collect());
    let new = Jwk { kid: Some(kid.clone()), ..jwk(algorithm, secret)? };
    file.keys.push(new);
    let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())? + "\n";
    KeySet::parse(&text)?;
    // A server that reads it meanwhile sees the old one or the new one.
    secret_file::write_whole(path, &text, |aside| std::fs::rename(aside, path)).map_err(|error| error.to_string())?;
    Ok(kid)
}

fn parse_file(text: &str) -> Result<File, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("it is no JWK Set (RFC 7517), {{\"keys\":[…]}}: line {}", error.line()))
}

fn jwk(algorithm: Algorithm, secret: &[u8]) -> Result<Jwk, String> {
    Ok(match algorithm {
        Algorithm::Hs256 => Jwk {
            kty: "oct".to_owned(),
            alg: Some("HS256".to_owned()),
            k: Some(BASE64URL.encode(secret)),
            ..Jwk::default()
        },
        Algorithm::EdDsa => {
            let key = SigningKey::from_bytes(secret.try_into().map_err(|_| "a seed has 32 bytes")?);
            Jwk {
                kty: "OKP".to_owned(),
                alg: Some("EdDSA".to_owned()),
                crv: Some("Ed25519".to_owned()),
                x: Some(BASE64URL.encode(key.verifying_key())),
                d: Some(BASE64URL.encode(secret)),
                ..Jwk::default()
            }
        }
    })
}

fn key(jwk: &Jwk) -> Result<Key, String> {
    let bytes = |field: &Option<String>, name: &str| {
        let text = field.as_ref().ok_or_else(|| format!("it has no {name:?}"))?;
        BASE64URL.decode(text.trim_end_matches('=')).map_err(|_| format!("its {name:?} is not base64url"))
    };
    let of_32 = |field, name: &str| {
        <[u8; 32]>::try_from(bytes(field, name)?).map_err(|_| format!("its {name:?} has not 32 bytes"))
    };
    match (jwk.kty.as_str(), jwk.alg.as_deref(), jwk.crv.as_deref()) {
        ("oct", None | Some("HS256"), _) => Key::hs256(&bytes(&jwk.k, "k")?),
        ("OKP", None | Some("EdDSA" | "Ed25519"), Some("Ed25519")) if jwk.d.is_some() => {
            let key = SigningKey::from_bytes(&of_32(&jwk.d, "d")?);
            if jwk.x.is_some() && of_32(&jwk.x, "x")? != key.verifying_key().to_bytes() {
                return Err("its \"x\" and its \"d\" are not of one key".into());
            }
            Ok(Key::EdDsaPrivate(key))
        }
        ("OKP", None | Some("EdDSA" | "Ed25519"), Some("Ed25519")) => {
            let x = of_32(&jwk.x, "x")?;
            VerifyingKey::from_bytes(&x).map(Key::EdDsa).map_err(|_| "its \"x\" is no key of Ed25519".into())
        }
        _ => Err("it is neither {\"kty\":\"oct\",\"alg\":\"HS256\"} nor {\"kty\":\"OKP\",\"crv\":\"Ed25519\"}".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_added_and_the_last_one_signs() {
        let path = std::env::temp_dir().join(format!("roundtable-keys-{}.json", std::process::id()));
        let first = add_key(&path, Algorithm::Hs256, None).unwrap();
        let old = KeySet::read(&path).unwrap();
        let token = old.signer(None).unwrap().1.sign(Some(&first), &json!({})).unwrap();
        assert_eq!(add_key(&path, Algorithm::EdDsa, Some("new".into())).unwrap(), "new");
        assert!(add_key(&path, Algorithm::EdDsa, Some("new".into())).unwrap_err().contains("two keys"));
        let both = KeySet::read(&path).unwrap();
        assert_eq!(both.signer(None).unwrap().0, Some("new"));
        assert_eq!(both.signer(Some(&first)).unwrap().0, Some(&*first));
        let newer = both.signer(None).unwrap().1.sign(None, &json!({})).unwrap();
        for (token, by_old) in [(&token, true), (&newer, false)] {
            let token = Unverified::parse(token).unwrap();
            assert_eq!((old.verifies(&token), both.verifies(&token)), (by_old, true));
        }
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_wrong_is_told_without_its_secrets() {
        let long = "A".repeat(43);
        for (text, says) in [
            ("", "JWK Set"),
            ("north-secret", "JWK Set"),
            (r#"{"keys":"north-secret"}"#, "JWK Set"),
            (r#"{"keys":[]}"#, "no key"),
            (r#"{"keys":[{"kty":"oct","k":"bm9ydGg"}]}"#, "32 bytes"),
            (r#"{"keys":[{"kty":"oct","kid":"a","k":"north secret"}]}"#, "key a: its \"k\" is not base64url"),
            (r#"{"keys":[{"kty":"oct","alg":"HS512","k":"bm9ydGg"}]}"#, "HS256"),
            (r#"{"keys":[{"kty":"RSA"}]}"#, "Ed25519"),
            (r#"{"keys":[{"kty":"OKP","crv":"Ed25519"}]}"#, "\"x\""),
            (&format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{long}","d":"{long}"}}]}}"#), "not of one key"),
            (
                &format!(
                    r#"{{"keys":[{{"kty":"oct","kid":"a","k":"{long}"}},{{"kty":"oct","kid":"a","k":"{long}"}}]}}"#
                ),
                "two keys",
            ),
        ] {
            let error = KeySet::parse(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("north") && !error.contains("bm9ydGg"), "{error}");
        }
    }
}
