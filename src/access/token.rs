//! Claims of a token, and its validity for a room (R58 to R60).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::jwt::Unverified;
use super::keys::KeySet;
use crate::core::{Grant, TokenId};
use crate::protocol::{ErrorCode, PeerName, Permissions, Role, RoomName};

/// Tolerated lead of the token issuer's clock.
const CLOCK_SKEW: Duration = Duration::from_secs(10);
/// Latest accepted time in seconds since 1970: the end of the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// Claims of a token (RFC 7519 §4). Other claims are ignored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Claims {
    /// Name of the room, or `*` for all.
    pub room: String,
    /// Name of the holder. It replaces the name in the `join`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Role of the holder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Permissions of the holder. Without this claim, the role alone limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// Expiry time, in seconds since 1970.
    pub exp: f64,
    /// Start of validity, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<f64>,
    /// Identifier of the token, by which it can be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Issuer of the token (RFC 7519 §4.1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Recipients of the token (RFC 7519 §4.1.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
}

/// Recipients of a token: one, or a list (RFC 7519 §4.1.3).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Audience {
    /// A single recipient.
    One(String),
    /// Several recipients.
    Many(Vec<String>),
}

impl Audience {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::One(own) => own == name,
            Self::Many(all) => all.iter().any(|own| own == name),
        }
    }
}

/// Claims that a server requires of tokens, in addition to a valid signature.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenRules {
    /// The server's name in `aud`, which every token must carry; without one a token must have no `aud`.
    pub audience: Option<String>,
    /// The only valid `iss`.
    pub issuer: Option<String>,
    /// Each token is for one person at a time, and must have a `jti` to identify it.
    pub single_person: bool,
}

impl TokenRules {
    /// Checks the claims. The error continues "The token is not valid: ".
    fn check(&self, claims: &Claims) -> Result<(), String> {
        match (&self.audience, &claims.aud) {
            (None, None) => {}
            (Some(own), Some(audience)) if audience.has(own) => {}
            (Some(_), None) => return Err("it has no \"aud\", which has to name this server".into()),
            (_, Some(_)) => return Err("its \"aud\" does not name this server".into()),
        }
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err("its \"iss\" is not the issuer that this server trusts".into());
        }
        if self.single_person && claims.jti.is_none() {
            return Err("it has no \"jti\", by which this server knows whose it is".into());
        }
        Ok(())
    }

    fn id(&self, claims: &Claims) -> Option<TokenId> {
        let digest = Sha256::digest(claims.jti.as_ref().filter(|_| self.single_person)?);
        let half = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| digest[at + byte]));
        Some(TokenId(half(0), half(8)))
    }
}

/// Rights that a valid token grants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Granted {
    /// Name of the holder.
    pub name: Option<PeerName>,
    /// Role of the holder.
    pub role: Option<Role>,
    /// Permissions of the holder.
    pub permissions: Permissions,
    /// Expiry time.
    pub until: SystemTime,
    /// Identifier of the token for the room, if each token is for one person.
    pub id: Option<TokenId>,
}

impl Granted {
    /// Returns the role and permissions for the room.
    pub(super) fn grant(&self) -> Grant {
        let name_from_token = self.name.is_some();
        Grant { role: self.role, permissions: self.permissions, token: self.id, name_from_token }
    }

    /// Returns whether another token grants the same, so that it may replace this one.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same_name = other.name.is_none() || other.name == self.name;
        same_name && self.role == other.role && self.permissions == other.permissions
    }
}

/// Reason why a participant may not join, or not stay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Denied {
    /// Error code for programs.
    pub code: ErrorCode,
    /// Message for developers.
    pub message: String,
}

impl Denied {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Checks a token for a room at a given time.
pub fn check(keys: &KeySet, token: &str, room: &RoomName, now: SystemTime) -> Result<Granted, Denied> {
    let invalid = |why: String| Denied::new(ErrorCode::TokenInvalid, format!("The token is not valid: {why}."));
    let parsed = Unverified::parse(token).map_err(invalid)?;
    if keys.is_revoked(parsed.kid.as_deref()) {
        return Err(Denied::new(ErrorCode::TokenRevoked, "The token's key is good no more."));
    }
    if !keys.verifies(&parsed) {
        return Err(invalid("no key that this server knows has made it".into()));
    }
    // The token is verified from here on.
    let claims: Claims = parsed.claims().map_err(|why| invalid(format!("what it claims is {why}")))?;
    if keys.is_revoked(claims.jti.as_deref()) {
        return Err(Denied::new(ErrorCode::TokenRevoked, "The token is good no more."));
    }
    keys.rules().check(&claims).map_err(invalid)?;
    let until = time(claims.exp).ok_or_else(|| invalid("\"exp\" is no time".into()))?;
    if until <= now {
        return Err(Denied::new(
            ErrorCode::TokenExpired,
            "The token has expired; ask whoever gave it for another one.",
        ));
    }
    if let Some(from) = claims.nbf {
        let from = time(from).ok_or_else(|| invalid("\"nbf\" is no time".into()))?;
        if from > now + CLOCK_SKEW {
            return Err(Denied::new(ErrorCode::TokenNotYetValid, "The token is not valid yet."));
        }
    }
    if claims.room != "*" && claims.room != room.as_str() {
        return Err(Denied::new(ErrorCode::TokenWrongRoom, "The token is for another room."));
    }
    let id = keys.rules().id(&claims);
    let name = claims.name.map(|name| PeerName::new(&name)).transpose().map_err(invalid)?;
    let permissions = claims.permissions.map_or_else(Permissions::all, |names| Permissions::of(&names));
    Ok(Granted { name, role: claims.role, permissions, until, id })
}

fn time(seconds: f64) -> Option<SystemTime> {
    (0.0..=LAST_SECOND).contains(&seconds).then(|| UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

/// Converts a time to seconds since 1970, as tokens have it.
pub fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const KEYS: &str = r#"{"keys":[{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"kty":"oct","kid":"old","k":"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA"}],"revoked":["old","lost"]}"#;

    fn checked(kid: Option<&str>, claims: &Value) -> Result<Granted, ErrorCode> {
        let keys = KeySet::parse(KEYS).unwrap();
        let key = keys.signer(kid.or(Some("a"))).unwrap().1;
        let token = key.sign(kid, claims).unwrap();
        check(&keys, &token, &RoomName::new("r").unwrap(), UNIX_EPOCH + NOW).map_err(|denied| denied.code)
    }

    #[test]
    fn r58_each_fault_of_a_token_has_its_code() {
        let now = NOW.as_secs();
        for (claims, expected) in [
            (json!({"room": "r", "exp": now + 1}), None),
            (json!({"room": "*", "exp": now + 1}), None),
            (json!({"room": "r", "exp": now as f64 + 0.5, "nbf": now - 1}), None),
            (json!({"room": "r", "exp": now + 99, "nbf": now + 10}), None),
            (json!({"room": "r", "exp": now + 99, "nbf": now + 11}), Some(ErrorCode::TokenNotYetValid)),
            (json!({"room": "r", "exp": now}), Some(ErrorCode::TokenExpired)),
            (json!({"room": "r", "exp": 0}), Some(ErrorCode::TokenExpired)),
            (json!({"room": "r", "exp": -1}), Some(ErrorCode::TokenInvalid)),
            (json!({"room": "r", "exp": 1e300}), Some(ErrorCode::TokenInvalid)),
            (json!({"room": "r"}), Some(ErrorCode::TokenInvalid)),
            (json!({"exp": now + 1}), Some(ErrorCode::TokenInvalid)),
            (json!({"room": "R", "exp": now + 1}), Some(ErrorCode::TokenWrongRoom)),
            (json!({"room": "", "exp": now + 1}), Some(ErrorCode::TokenWrongRoom)),
            (json!({"room": "r", "exp": now + 1, "role": "king"}), Some(ErrorCode::TokenInvalid)),
            (json!({"room": "r", "exp": now + 1, "name": "\u{0}"}), Some(ErrorCode::TokenInvalid)),
            (json!({"room": "r", "exp": now + 1, "jti": "lost"}), Some(ErrorCode::TokenRevoked)),
        ] {
            assert_eq!(checked(None, &claims).err(), expected, "{claims}");
        }
        let good = json!({"room": "r", "exp": now + 1});
        assert_eq!(checked(Some("a"), &good).err(), None);
        assert_eq!(checked(Some("old"), &good).err(), Some(ErrorCode::TokenRevoked));
        // A revoked key is not tried for a token without `kid` either.
        let keys = KeySet::parse(KEYS).unwrap();
        let token = keys.signer(Some("old")).unwrap().1.sign(None, &good).unwrap();
        let denied = check(&keys, &token, &RoomName::new("r").unwrap(), UNIX_EPOCH + NOW).unwrap_err();
        assert_eq!(denied.code, ErrorCode::TokenInvalid);
    }

    #[test]
    fn r59_a_token_says_who_its_holder_is_and_what_it_may() {
        let exp = NOW.as_secs() + 60;
        let granted = checked(
            None,
            &json!({"room": "r", "exp": exp, "name": " Ada ", "role": "listener", "permissions": ["mic", "fly"]}),
        );
        let granted = granted.unwrap();
        assert_eq!(granted.name.unwrap().as_str(), "Ada");
        assert_eq!((granted.role, granted.until), (Some(Role::Listener), UNIX_EPOCH + Duration::from_secs(exp)));
        assert_eq!(granted.permissions.names(), ["mic"]);
    }
}
