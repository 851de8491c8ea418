//! Parsers for the values of settings. Each error is a sentence that says what would be valid.

use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// Returns the name that is most similar to `text`.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by(|a, b| strsim::jaro_winkler(text, a).total_cmp(&strsim::jaro_winkler(text, b)))
}

/// Splits a list at its commas. A list that is written and names nothing, such as ",", is rejected: it was to restrict
/// something, and an empty list often allows everything.
pub(crate) fn list_items(text: &str) -> Result<Vec<&str>, String> {
    let items: Vec<_> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if items.is_empty() && !text.trim().is_empty() {
        return Err("the list names nothing: remove the setting, or write what the list should have".into());
    }
    Ok(items)
}

/// Returns a setting's value for an error message, without what may be a credential: the part before an @, and the query
/// of a URL.
pub(crate) fn without_credentials(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").unwrap_or(("", value));
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
    if scheme.is_empty() {
        return rest;
    }
    let rest = rest.split_once('?').map_or(rest.clone(), |(path, _)| format!("{path}?…"));
    format!("{scheme}://{rest}")
}

/// Returns the file of an optional secret, unless it is empty: Compose mounts an empty file if there is none.
pub(super) fn filled(path: &Option<PathBuf>) -> Option<&PathBuf> {
    path.as_ref().filter(|path| !std::fs::metadata(path).is_ok_and(|file| file.len() == 0))
}

pub(super) fn parse_filter(text: &str) -> Result<String, String> {
    let is_level = |part: &str| part.parse::<tracing::level_filters::LevelFilter>().is_ok();
    match text.split(',').find(|part| !is_level(part.rsplit('=').next().unwrap_or_default())) {
        None => Ok(text.to_owned()),
        Some(part) => {
            Err(format!("{part:?} is neither a level (error, warn, info, debug, trace, off) nor module=level"))
        }
    }
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(24 * 60 * 60) => Ok(time),
        Ok(_) => Err("a time is more than 0 and up to 24h".into()),
        Err(_) => Err("a time is a number and a unit, such as 500ms, 20s or 2m".into()),
    }
}

/// Parses the lifetime of TURN credentials. It is limited because credentials stay valid after their holder's removal.
pub(super) fn parse_turn_lifetime(text: &str) -> Result<Duration, String> {
    match parse_time(text)? {
        time if time <= Duration::from_secs(60 * 60) => Ok(time),
        _ => Err("it is up to 1h".into()),
    }
}

/// Parses a retention time, which may exceed the limit of other durations.
pub(super) fn parse_days(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(3_650 * 24 * 60 * 60) => Ok(time),
        Ok(_) => Err("it is more than 0 and up to 3650days".into()),
        Err(_) => Err("a time is a number and a unit, such as 12h, 7days or 4weeks".into()),
    }
}

/// Parses a size on disk.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes @ 1..=1_000_000_000_000_000) => Ok(bytes),
        _ => Err("it is a whole number of bytes from 1 to 1000000000000000".into()),
    }
}

pub(super) fn parse_bytes_or_none(text: &str) -> Result<u64, String> {
    if text == "0" { Ok(0) } else { parse_bytes(text).map_err(|why| format!("{why}, or 0 for none")) }
}

pub(super) fn parse_lease(text: &str) -> Result<Duration, String> {
    match parse_time(text)? {
        time if (Duration::from_secs(1)..=Duration::from_secs(5 * 60)).contains(&time) => Ok(time),
        _ => Err("it is from 1s to 5m".into()),
    }
}

pub(super) fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=10_000_000) => Ok(count),
        _ => Err("a count is a whole number from 1 to 10000000".into()),
    }
}

pub(super) fn parse_outbox_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes @ 262_144..=1_073_741_824) => Ok(bytes),
        _ => Err("it is a whole number from 262144 (a full room's welcome) to 1073741824".into()),
    }
}

/// Minimum characters of a secret: 128 bits in hexadecimal digits.
const SECRET_CHARS: usize = 32;

/// Rejects guessable secrets. This is not a clap parser, because clap would show the rejected value.
pub(super) fn check_secret(secret: &Secret) -> Result<(), String> {
    match secret.expose().chars().count() {
        SECRET_CHARS.. => Ok(()),
        count => Err(format!(
            "a secret has at least {SECRET_CHARS} characters, this one has {count}; `openssl rand -hex 32` makes one"
        )),
    }
}

/// Rejects guessable tokens, and characters that are not valid in a request header.
pub(super) fn check_token(token: &Secret) -> Result<(), String> {
    check_secret(token)?;
    let is_clean = token.expose().chars().all(|c| c.is_ascii_graphic());
    is_clean.then_some(()).ok_or_else(|| "it has characters of ASCII alone, without white space".into())
}

pub(super) fn parse_url(text: &str) -> Result<String, String> {
    let is_http = |uri: &axum::http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    match text.parse::<axum::http::Uri>() {
        Ok(uri) if is_http(&uri) => Ok(text.to_owned()),
        _ => Err("it is an address such as https://app.example/events".into()),
    }
}
