//! Invariants of credentials: only those that this server or a holder of a key has issued are accepted.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use arbitrary::{Arbitrary, Unstructured};
use roundtable::access::{Access, AccessMode, Credentials, KeySet, Pass, ResumeKey, TokenRules, check as check_token};
use roundtable::protocol::{PeerId, RoomName};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Keys of this test: both algorithms, and one revoked key.
const KEYS: &str = r#"{"keys":[
    {"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    {"kty":"oct","kid":"old","k":"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA"},
    {"kty":"OKP","crv":"Ed25519","kid":"ed","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}],"revoked":["old"]}"#;

static BENCH: LazyLock<Bench> = LazyLock::new(Bench::new);

/// Keys and valid credentials, made once.
struct Bench {
    room: RoomName,
    keys: KeySet,
    secrets: ResumeKey,
    access: Access,
    /// Valid credentials; all others are invalid.
    tokens: Vec<String>,
    resume: String,
    host_key: String,
}

/// One attempt.
#[derive(Arbitrary, Debug)]
enum Try<'a> {
    /// Any text as every kind of credential.
    Text { text: &'a str },
    /// A valid credential with one byte replaced.
    Forged { which: u8, at: u16, byte: u8 },
    /// A valid credential with text inserted or removed.
    Spliced { which: u8, at: u16, out: u8, text: &'a str },
    /// A token of these three parts.
    Parts { header: &'a str, claims: &'a str, signature: &'a [u8] },
    /// A token with any claims, signed by a key.
    Signed { kid: Option<bool>, claims: &'a str },
    /// A key file.
    Keys { text: &'a str },
}

/// Interprets the bytes as one attempt.
pub fn check(data: &[u8]) {
    let Ok(tried) = Try::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let bench = &*BENCH;
    match tried {
        Try::Text { text } => bench.only_the_good(text),
        Try::Forged { which, at, byte } => {
            let mut text = bench.good(which).as_bytes().to_vec();
            let at = usize::from(at) % text.len();
            text[at] = byte & 0x7f;
            bench.only_the_good(std::str::from_utf8(&text).unwrap());
        }
        Try::Spliced { which, at, out, text } => {
            let mut forged = bench.good(which).to_owned();
            let at = usize::from(at) % forged.len();
            forged.replace_range(at..forged.len().min(at + usize::from(out)), text);
            bench.only_the_good(&forged);
        }
        Try::Parts { header, claims, signature } => {
            let [header, claims] = [header, claims].map(|part| encode(part.as_bytes()));
            bench.only_the_good(&format!("{header}.{claims}.{}", encode(signature)));
        }
        Try::Signed { kid, claims } => bench.signed(kid.map(|hs| if hs { "a" } else { "ed" }), claims),
        Try::Keys { text } => keys(text),
    }
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl Bench {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("roundtable-invariants-{}.json", std::process::id()));
        std::fs::write(&path, KEYS).unwrap();
        let secrets = ResumeKey::new(b"of the invariants");
        let notice = Duration::from_secs(60);
        let access =
            Access::new(AccessMode::Token, secrets.clone(), Some(path.clone()), TokenRules::default(), notice).unwrap();
        std::fs::remove_file(path).unwrap();
        let (room, keys) = (RoomName::new("r").unwrap(), KeySet::parse(KEYS).unwrap());
        let claims = json!({"room": "r", "exp": 253_402_300_799_u64});
        let sign = |kid| keys.signer(Some(kid)).unwrap().1.sign(Some(kid), &claims).unwrap();
        let tokens = vec![sign("a"), sign("ed")];
        let resume = secrets.issue(&room, PeerId::from_random([7; PeerId::LEN]), 7);
        let host_key = secrets.host_key(&room);
        Self { room, keys, secrets, access, tokens, resume, host_key }
    }

    fn good(&self, which: u8) -> &str {
        let credentials = [&self.tokens[0], &self.tokens[1], &self.resume, &self.host_key];
        credentials[usize::from(which) % credentials.len()]
    }

    fn only_the_good(&self, text: &str) {
        let now = SystemTime::now();
        let is_good = self.tokens.iter().any(|token| token == text);
        assert_eq!(check_token(&self.keys, text, &self.room, now).is_ok(), is_good, "{text}");
        let shown = |token| Credentials { token: Some(token), host_key: Some(text) };
        assert_eq!(self.access.admit(&self.room, shown(text), now).is_ok(), is_good, "{text}");
        assert_eq!(self.pass().check_renewal(text).is_ok(), is_good, "{text}");
        assert_eq!(self.secrets.check(&self.room, text).is_some(), text == self.resume, "{text}");
        assert_eq!(self.secrets.is_host_key(&self.room, text), text == self.host_key, "{text}");
        let elsewhere = RoomName::new("s").unwrap();
        assert!(check_token(&self.keys, text, &elsewhere, now).is_err(), "{text}");
        assert!(self.secrets.check(&elsewhere, text).is_none() && !self.secrets.is_host_key(&elsewhere, text));
    }

    fn pass(&self) -> Box<Pass> {
        let shown = Credentials { token: Some(&self.tokens[0]), host_key: None };
        self.access.admit(&self.room, shown, SystemTime::now()).unwrap().pass.unwrap()
    }

    /// Checks that a signed token is accepted exactly if its claims are valid.
    fn signed(&self, kid: Option<&str>, claims: &str) {
        let Ok(raw) = serde_json::from_str::<&RawValue>(claims) else { return };
        let (now, key) = (SystemTime::now(), self.keys.signer(kid).unwrap().1);
        let token = key.sign(kid, &raw).unwrap();
        match check_token(&self.keys, &token, &self.room, now) {
            Ok(granted) => {
                let said: Value = serde_json::from_str(claims).unwrap();
                assert!(said["room"] == "r" || said["room"] == "*", "{claims}");
                assert!(granted.until > now && said["exp"].is_number(), "{claims}");
                assert_eq!(granted.name.is_some(), said["name"].is_string(), "{claims}");
            }
            Err(denied) => assert!(!denied.message.is_empty()),
        }
    }
}

/// Checks that a key file is either rejected with an explanation, or its keys sign valid tokens.
fn keys(text: &str) {
    match KeySet::parse(text) {
        Err(why) => assert!(!why.is_empty()),
        Ok(keys) => {
            let room = RoomName::new("r").unwrap();
            let (kid, key) = keys.signer(None).unwrap();
            let claims = json!({"room": "*", "exp": 253_402_300_799_u64});
            let Ok(token) = key.sign(kid, &claims) else { return };
            let good = check_token(&keys, &token, &room, SystemTime::now()).is_ok();
            assert_eq!(good, !keys.is_revoked(kid), "{text}");
        }
    }
}
