//! What one setting's text may be. Each error is a sentence that says what would be right.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

use super::Secret;

/// The name that is most like `text`.
pub(super) fn nearest<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.max_by(|a, b| strsim::jaro_winkler(text, a).total_cmp(&strsim::jaro_winkler(text, b)))
}

/// The file of a secret that not everybody has: Compose mounts an empty one where there is none.
pub(super) fn filled(path: &Option<PathBuf>) -> Option<&PathBuf> {
    path.as_ref().filter(|path| !std::fs::metadata(path).is_ok_and(|file| file.len() == 0))
}

pub(super) fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        // The most wished name that there is not: China's one zone is called after Shanghai.
        let found = if text.ends_with("Beijing") { Some("Asia/Shanghai") } else { nearest(text, names) };
        let hint = found.map_or_else(String::new, |name| format!("; the nearest one is {name}"));
        format!("no IANA time zone has this name{hint}")
    })
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

/// Of what is kept for longer than anything runs.
pub(super) fn parse_days(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if !time.is_zero() && time <= Duration::from_secs(3_650 * 24 * 60 * 60) => Ok(time),
        Ok(_) => Err("it is more than 0 and up to 3650days".into()),
        Err(_) => Err("a time is a number and a unit, such as 12h, 7days or 4weeks".into()),
    }
}

/// Of what lies on a disk.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes @ 1..=1_000_000_000_000_000) => Ok(bytes),
        _ => Err("it is a whole number of bytes from 1 to 1000000000000000".into()),
    }
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

/// Not a parser: clap would show what it refuses.
pub(super) fn check_token(token: &Secret) -> Result<(), String> {
    let text = token.expose();
    if text.len() >= 16 && text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err("it has at least 16 characters of ASCII, without white space".into())
}

pub(super) fn parse_url(text: &str) -> Result<String, String> {
    let is_http = |uri: &axum::http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    match text.parse::<axum::http::Uri>() {
        Ok(uri) if is_http(&uri) => Ok(text.to_owned()),
        _ => Err("it is an address such as https://app.example/events".into()),
    }
}
