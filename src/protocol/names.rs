//! Names and IDs that are valid by construction: [`RoomName`], [`PeerName`] and [`PeerId`].

use std::fmt;
use std::sync::Arc;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, VariationSelector};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde::{Deserialize, Serialize, Serializer};

/// Maximum characters of a room name (R1).
pub const ROOM_CHARS: usize = 64;
/// Maximum characters of a peer name (R6).
pub const NAME_CHARS: usize = 64;

/// Maximum combining marks in a row in a name (UTS #39 §5.4).
const STACKED_MARKS: usize = 4;

/// Name of a room (R1).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Validates a name against R1. The error is a sentence that says what would be valid.
    pub fn new(name: &str) -> Result<Self, String> {
        let chars = name.chars().count();
        if !(1..=ROOM_CHARS).contains(&chars) {
            return Err(format!("A room name has 1 to {ROOM_CHARS} characters; this one has {chars}."));
        }
        check_visible(name).map_err(|why| format!("A room name {why}."))?;
        // Decoders replace broken UTF-8 by U+FFFD, so that different names would lead to one room.
        if let Some(bad) = name.chars().find(|c| c.is_control() || "/\\?#\u{fffd}".contains(*c)) {
            return Err(format!(
                "A room name has no control characters and none of / \\ ? # U+FFFD; this one has {bad:?}."
            ));
        }
        if name.trim() != name {
            return Err("A room name has no white space at its ends.".into());
        }
        if name == "." || name == ".." {
            return Err("A room name is neither . nor .. : browsers take those out of addresses.".into());
        }
        Ok(Self(name.into()))
    }

    /// Makes an unguessable name of 64 random bits that is easy to read aloud: four proquints (words of five letters
    /// for 16 bits each), such as `lusab-babad-gutih-tugad`.
    pub fn from_random(random: [u16; 4]) -> Self {
        const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
        const VOWELS: &[u8; 4] = b"aiou";
        let consonant = |word: u16, shift: u8| char::from(CONSONANTS[usize::from(word >> shift & 15)]);
        let vowel = |word: u16, shift: u8| char::from(VOWELS[usize::from(word >> shift & 3)]);
        let word =
            |word: u16| [consonant(word, 12), vowel(word, 10), consonant(word, 6), vowel(word, 4), consonant(word, 0)];
        Self(random.map(|bits| String::from_iter(word(bits))).join("-").into())
    }

    /// Makes an unguessable name for a connectivity check before a meeting (R109).
    pub fn of_trial(random: u128) -> Self {
        Self(format!("check-{random:032x}").into())
    }

    /// Returns whether the name was made by [`RoomName::of_trial`]. No meeting takes place in such a room.
    pub fn is_trial(&self) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.0.strip_prefix("check-").is_some_and(|random| random.len() == 32 && random.bytes().all(is_digit))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Display name of a peer (R6).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct PeerName(Box<str>);

impl<'de> Deserialize<'de> for PeerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl PeerName {
    /// Trims a name and validates it against R6. The error is a sentence that says what would be valid.
    pub fn new(name: &str) -> Result<Self, String> {
        let name = name.trim();
        let chars = name.chars().count();
        if !(1..=NAME_CHARS).contains(&chars) {
            return Err(format!("A name has 1 to {NAME_CHARS} characters; this one has {chars}."));
        }
        check_visible(name).map_err(|why| format!("A name {why}."))?;
        if let Some(bad) = name.chars().find(|c| !is_displayable(*c)) {
            return Err(format!("A name has no control characters or line separators; this one has {bad:?}."));
        }
        Ok(Self(name.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks that a name is visible and distinguishable (R96). The error continues a sentence about the name.
fn check_visible(name: &str) -> Result<(), String> {
    if let Some(bad) = name.chars().find(|c| is_invisible(*c) && !is_part_of_a_picture(*c)) {
        return Err(format!("has no invisible or bidirectional control characters; this one has {bad:?}"));
    }
    if name.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err("has a character that can be seen; this one has none".into());
    }
    let marks = CodePointMapData::<GeneralCategory>::new();
    let is_mark = |c| matches!(marks.get(c), GeneralCategory::NonspacingMark | GeneralCategory::EnclosingMark);
    let mut stacked = 0;
    for c in name.chars() {
        stacked = if is_mark(c) { stacked + 1 } else { 0 };
        if stacked > STACKED_MARKS {
            return Err(format!("has at most {STACKED_MARKS} combining marks in a row; this one has more"));
        }
    }
    Ok(())
}

/// Returns whether nothing is drawn for a character: the ignorable ones (UAX #44), all bidirectional controls among them,
/// and five more that fonts leave blank: the Braille blank, interlinear annotations, the object replacement character, and
/// the null notehead.
pub(crate) fn is_invisible(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || matches!(c, '\u{2800}' | '\u{fff9}'..='\u{fffc}' | '\u{1d159}')
}

/// Returns whether emoji or a script need this invisible character within a name: joiners, variation selectors, and the
/// tags of flags.
fn is_part_of_a_picture(c: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(c)
        || matches!(c, '\u{200c}' | '\u{200d}' | '\u{e0020}'..='\u{e007f}')
}

/// Returns whether a character is neither a control character nor one that reorders the text around it (Unicode TR 36
/// §3).
pub(crate) fn is_displayable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// ID of a peer (R8): 120 random bits as 20 characters of base64url. Stored as text, because IDs are compared and
/// copied far more often than generated.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId([u8; PeerId::LEN]);

impl PeerId {
    /// Length of an ID in characters, which are also bytes.
    pub const LEN: usize = 20;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    /// Makes an ID of 120 random bits. The top two bits of each byte are ignored.
    pub fn from_random(random: [u8; Self::LEN]) -> Self {
        Self(random.map(|byte| Self::ALPHABET[usize::from(byte & 63)]))
    }

    /// Parses an ID. Returns `None` if the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).then_some(Self(bytes))
    }

    /// Returns the ID as text.
    pub fn as_str(&self) -> &str {
        // The alphabet is ASCII, and both constructors allow nothing else.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("an id has 20 characters of A-Z a-z 0-9 - _"))
    }
}
