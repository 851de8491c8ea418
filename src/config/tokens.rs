//! `roundtable token` and `roundtable token-key`: their arguments and implementation. Secrets are in files, because any
//! process on the machine can read command lines.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::values::parse_time;
use crate::access::{Algorithm, Audience, Claims, KeySet, TokenRules, add_key, seconds};
use crate::protocol::{PeerName, Permissions, Role, RoomName};

/// Claims and key of a new token.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenOrder {
    /// The room's name, or * for all rooms.
    #[arg(long, value_name = "ROOM", allow_hyphen_values = true, value_parser = parse_room)]
    pub room: String,

    /// What its holder is called; where nothing is said, they choose.
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, value_parser = parse_name)]
    pub name: Option<String>,

    /// What its holder is: host, participant or listener; where nothing is said, the room decides.
    #[arg(long, value_name = "ROLE", value_parser = parse_role)]
    pub role: Option<Role>,

    /// The only things its holder may do, separated by commas; everything that the role may, where nothing is said.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_permission)]
    pub permissions: Option<Vec<String>>,

    /// How long it is good.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time)]
    pub ttl: Duration,

    /// How long from now until it is good.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub starts_in: Option<Duration>,

    /// Its own name, by which it can be revoked; a random one where tokens are for one person.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub jti: Option<String>,

    /// The key that signs; the last one of the file, where nothing is said.
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    pub kid: Option<String>,

    /// The file with the keys; the server's own (ROUNDTABLE_TOKEN_KEYS_FILE), where nothing is said.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// Algorithm and name of a new key.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyOrder {
    /// HS256: one secret makes and checks tokens. EdDSA: a private half makes them, a public one checks them.
    #[arg(long, value_name = "NAME", default_value = "HS256")]
    pub algorithm: Algorithm,

    /// The key's name; a random one, where nothing is said.
    #[arg(long, value_name = "KID", allow_hyphen_values = true)]
    pub kid: Option<String>,

    /// The file with the keys; the server's own (ROUNDTABLE_TOKEN_KEYS_FILE), where nothing is said.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

impl TokenOrder {
    /// Makes a token that a server with these rules accepts. The error is a sentence.
    pub fn make(self, server_keys: Option<PathBuf>, rules: TokenRules, now: SystemTime) -> Result<String, String> {
        let path = key_file(self.key_file, server_keys)?;
        let from = now + self.starts_in.unwrap_or_default();
        let claims = Claims {
            room: self.room,
            name: self.name,
            role: self.role,
            permissions: self.permissions,
            exp: seconds(from + self.ttl),
            nbf: self.starts_in.map(|_| seconds(from)),
            jti: self.jti.or_else(|| rules.single_person.then(random_jti)),
            iss: rules.issuer,
            aud: rules.audience.map(Audience::One),
        };
        let keys = KeySet::read(&path);
        let signed = keys.and_then(|keys| {
            let (kid, key) = keys.signer(self.kid.as_deref())?;
            key.sign(kid, &claims)
        });
        signed.map_err(|why| format!("{}: {why}", path.display()))
    }
}

impl KeyOrder {
    /// Makes the key. Returns its name.
    pub fn make(self, server_keys: Option<PathBuf>) -> Result<String, String> {
        let path = key_file(self.key_file, server_keys)?;
        add_key(&path, self.algorithm, self.kid).map_err(|why| format!("{}: {why}", path.display()))
    }
}

fn random_jti() -> String {
    format!("{:032x}", fastrand::u128(..))
}

fn key_file(own: Option<PathBuf>, server: Option<PathBuf>) -> Result<PathBuf, String> {
    own.or(server).ok_or_else(|| "which keys? Say --key-file, or set ROUNDTABLE_TOKEN_KEYS_FILE".into())
}

fn parse_room(text: &str) -> Result<String, String> {
    if text != "*" {
        RoomName::new(text)?;
    }
    Ok(text.to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    PeerName::new(text).map(|name| name.as_str().to_owned())
}

fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "host" => Ok(Role::Host),
        "participant" => Ok(Role::Participant),
        "listener" => Ok(Role::Listener),
        _ => Err("a role is host, participant or listener".into()),
    }
}

fn parse_permission(text: &str) -> Result<String, String> {
    let known = Permissions::all().names();
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("it is one of {}", known.join(", "))) }
}
