//! Member state: a small map that each peer publishes (R20 to R23).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names::is_displayable;

/// Maximum keys in a peer's state (R20). The recording marker is not counted.
pub const STATE_KEYS: usize = 16;
/// Key and value of the recording marker, by which the server publishes that a recording is uploaded to it (R87).
pub(crate) const SIGN: (&str, &str) = ("recording", "server");
/// Maximum characters of a key.
pub(crate) const KEY_CHARS: usize = 32;
/// Maximum characters of a text value.
pub(crate) const TEXT_CHARS: usize = 64;

/// Value of one key of a state.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum StateValue {
    /// A flag, such as `mic`, `camera`, `screen` and `hand`.
    Flag(bool),
    /// A finite number.
    Number(f64),
    /// A text of up to 64 characters.
    Text(Box<str>),
}

/// State of a peer. An empty map does not allocate.
pub type State = BTreeMap<Box<str>, StateValue>;

/// Change of a state: a value sets a key, `None` removes it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub struct StatePatch(BTreeMap<Box<str>, Option<StateValue>>);

impl StatePatch {
    /// Parses and validates a patch. The error is a sentence that says what would be valid.
    pub fn parse(json: &str) -> Result<Self, String> {
        let raw: BTreeMap<Box<str>, Value> =
            serde_json::from_str(json).map_err(|_| "A state is an object.".to_owned())?;
        if raw.len() > STATE_KEYS {
            return Err(format!("A state has up to {STATE_KEYS} keys; this one has {}.", raw.len()));
        }
        let entries = raw.into_iter().map(|(key, value)| {
            check_key(&key)?;
            let value = check_value(&key, value)?;
            Ok((key, value))
        });
        entries.collect::<Result<_, String>>().map(Self)
    }

    /// Returns the change of a key: `Some(None)` removes it, `None` leaves it unchanged.
    pub fn get(&self, key: &str) -> Option<Option<&StateValue>> {
        self.0.get(key).map(Option::as_ref)
    }

    /// Sets a key.
    pub fn set(&mut self, key: &str, value: StateValue) {
        self.0.insert(key.into(), Some(value));
    }

    /// Removes the change of a key, which leaves the key unchanged.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Returns `state` with this patch applied. The error is a sentence that says that the result has too many keys.
    pub fn apply(self, state: &State) -> Result<State, String> {
        let mut merged = state.clone();
        for (key, value) in self.0 {
            match value {
                Some(value) => merged.insert(key, value),
                None => merged.remove(&key),
            };
        }
        let keys = merged.len() - usize::from(has_sign(&merged));
        if keys > STATE_KEYS {
            return Err(format!("A state has up to {STATE_KEYS} keys; this one would have {keys}."));
        }
        Ok(merged)
    }
}

/// Returns whether a state has the recording marker.
pub(crate) fn has_sign(state: &State) -> bool {
    state.get(SIGN.0).is_some_and(is_sign)
}

/// Returns whether a value of the marker's key is the recording marker.
pub(crate) fn is_sign(value: &StateValue) -> bool {
    matches!(value, StateValue::Text(text) if **text == *SIGN.1)
}

impl<const N: usize> From<[(&str, Option<StateValue>); N]> for StatePatch {
    /// Makes a patch of known keys, for tests and Rust programs. Nothing is validated.
    fn from(entries: [(&str, Option<StateValue>); N]) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let fits = key.len() <= KEY_CHARS
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits {
        return Ok(());
    }
    let shown: String = key.chars().take(KEY_CHARS).collect();
    Err(format!(
        "A key of a state has 1 to {KEY_CHARS} characters of a-z 0-9 _ and starts with a letter; this one is {shown:?}."
    ))
}

fn check_value(key: &str, value: Value) -> Result<Option<StateValue>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(StateValue::Flag(flag))),
        Value::Number(number) => number
            .as_f64()
            .filter(|number| number.is_finite())
            .map(|number| Some(StateValue::Number(number)))
            .ok_or_else(|| format!("The number of {key:?} is too large.")),
        Value::String(text) if text.chars().count() <= TEXT_CHARS && text.chars().all(is_displayable) => {
            Ok(Some(StateValue::Text(text.into())))
        }
        _ => Err(format!(
            "The value of {key:?} is neither a boolean, a number, null, nor a text of up to {TEXT_CHARS} displayable characters."
        )),
    }
}
