//! `TZ`: an IANA name in any notation that other programs accept.

use std::path::Path;

use chrono::{Datelike, Offset, TimeZone, Utc};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};

use super::values::nearest;

/// Zones that are suggested before others with the same offset.
const WELL_KNOWN: [Tz; 12] = [
    Tz::Asia__Shanghai,
    Tz::Asia__Kolkata,
    Tz::Asia__Tokyo,
    Tz::Europe__London,
    Tz::Europe__Berlin,
    Tz::Europe__Athens,
    Tz::America__New_York,
    Tz::America__Chicago,
    Tz::America__Denver,
    Tz::America__Los_Angeles,
    Tz::Australia__Sydney,
    Tz::Pacific__Auckland,
];

/// Parses an IANA name, the path of its file, or a POSIX value (IEEE Std 1003.1, 8.3) of a whole hour without summer time.
pub(super) fn parse_zone(text: &str) -> Result<Tz, String> {
    let text = text.trim();
    // POSIX leaves the text after the colon to the implementation; glibc interprets it as a file name.
    let name = text.strip_prefix(':').unwrap_or(text);
    if name == "/etc/localtime" {
        return local_zone(Path::new(name));
    }
    let name = in_database(name).unwrap_or(name);
    if let Ok(zone) = name.parse() {
        return Ok(zone);
    }
    match Posix::parse(name) {
        Some(posix) => posix.zone(),
        None => Err(unknown(name)),
    }
}

/// Returns the name of a zone from the path of its file, `/usr/share/zoneinfo/Asia/Shanghai`.
fn in_database(path: &str) -> Option<&str> {
    let (_, name) = path.strip_prefix('/')?.split_once("zoneinfo/")?;
    Some(name.strip_prefix("posix/").unwrap_or(name))
}

/// Returns the zone to which a link such as /etc/localtime points.
fn local_zone(link: &Path) -> Result<Tz, String> {
    let file = std::fs::canonicalize(link);
    let name = file.as_ref().ok().and_then(|file| in_database(file.to_str()?));
    name.and_then(|name| name.parse().ok()).ok_or_else(|| {
        let why = match &file {
            Ok(file) if file == link => "is a copy, which does not tell its zone's name".to_owned(),
            Ok(file) => format!("leads to {}, which is no IANA time zone", file.display()),
            Err(error) => format!("cannot be followed ({error})"),
        };
        format!("{} {why}; write the zone's IANA name, such as Asia/Shanghai", link.display())
    })
}

fn unknown(name: &str) -> String {
    let names = TZ_VARIANTS.iter().map(|zone| zone.name());
    // The most frequently requested name that does not exist: China's only zone is named after Shanghai.
    let found = if name.ends_with("Beijing") { Some("Asia/Shanghai") } else { nearest(name, names) };
    let hint = found.map_or_else(String::new, |name| format!("; the nearest one is {name}"));
    format!("no IANA time zone has this name{hint}")
}

/// POSIX time zone: `CST-8` is eight hours ahead of UTC, `EST5EDT` five behind, with summer time.
struct Posix<'a> {
    name: &'a str,
    /// Seconds ahead of UTC.
    ahead: i32,
    summer: Option<&'a str>,
}

impl<'a> Posix<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (name, rest) = split_name(text)?;
        let (ahead, rest) = split_offset(rest)?;
        if rest.is_empty() {
            return Some(Self { name, ahead, summer: None });
        }
        // The offset and the dates of summer time are not compared, because the names determine the zone.
        let (summer, _) = split_name(rest)?;
        Some(Self { name, ahead, summer: Some(summer) })
    }

    fn zone(&self) -> Result<Tz, String> {
        let hours = self.ahead / 3_600;
        let is_utc = matches!(self.name, "UTC" | "GMT" | "UT" | "Z");
        match self.summer {
            // Most people mean the opposite of what POSIX defines.
            None if is_utc && self.ahead != 0 => {
                let zone = |ahead| self.like(ahead).map_or_else(|| "UTC".to_owned(), |zone| zone.name().to_owned());
                let (posix, other) = (zone(self.ahead), zone(-self.ahead));
                Err(format!(
                    "in POSIX {}{:+} is {} h {} UTC: write {posix} for that, {other} for the opposite",
                    self.name,
                    -hours,
                    hours.abs(),
                    if hours > 0 { "ahead of" } else { "behind" },
                ))
            }
            None if self.ahead == 0 => Ok(Tz::UTC),
            // Names in Etc have the signs of POSIX.
            None if self.ahead % 3_600 == 0 => format!("Etc/GMT{:+}", -hours).parse().map_err(|_| self.refuse()),
            _ => Err(self.refuse()),
        }
    }

    fn refuse(&self) -> String {
        let hint = self.like(self.ahead).map_or("Asia/Shanghai", |zone| zone.name());
        format!("a zone that is not a whole hour from UTC, or has summer time, has an IANA name: here probably {hint}")
    }

    /// Returns a zone with this offset from UTC, preferably with the same abbreviations and well known.
    fn like(&self, ahead: i32) -> Option<Tz> {
        let zones = || WELL_KNOWN.iter().chain(&TZ_VARIANTS).copied();
        let fits = |zone: &Tz| is_like(*zone, ahead, self.summer.is_some());
        let named = |zone: &Tz| {
            let names = abbreviations(*zone);
            names.contains(&Some(self.name.to_owned()))
                && self.summer.is_none_or(|summer| names.contains(&Some(summer.to_owned())))
        };
        zones().find(|zone| fits(zone) && named(zone)).or_else(|| zones().find(fits))
    }
}

/// Returns a zone's offsets in seconds and abbreviations in January and July.
fn halves(zone: Tz) -> [(i32, Option<String>); 2] {
    let year = Utc::now().year();
    [1, 7].map(|month| {
        let noon = Utc.with_ymd_and_hms(year, month, 1, 12, 0, 0).single().unwrap_or_else(Utc::now);
        let offset = zone.offset_from_utc_datetime(&noon.naive_utc());
        (offset.fix().local_minus_utc(), offset.abbreviation().map(str::to_owned))
    })
}

fn is_like(zone: Tz, ahead: i32, has_summer: bool) -> bool {
    let [(january, _), (july, _)] = halves(zone);
    january.min(july) == ahead && (january != july) == has_summer
}

fn abbreviations(zone: Tz) -> [Option<String>; 2] {
    halves(zone).map(|(_, name)| name)
}

/// Splits off a name of at least three letters, or a name between `<` and `>`.
fn split_name(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('<') {
        return quoted.split_once('>').filter(|(name, _)| name.len() >= 3);
    }
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    (end >= 3).then(|| text.split_at(end))
}

/// Splits off `[+-]hh[:mm[:ss]]`. Returns seconds ahead of UTC; POSIX counts them behind.
fn split_offset(text: &str) -> Option<(i32, &str)> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (1, digits),
        None => (-1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(digits.len());
    let (time, rest) = digits.split_at(end);
    let mut seconds = 0;
    for (part, unit) in time.splitn(3, ':').zip([3_600, 60, 1]) {
        seconds += part.parse::<i32>().ok().filter(|number| *number < 60)? * unit;
    }
    (seconds <= 24 * 3_600).then_some((sign * seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_posix_values_are_zones() {
        for (text, zone) in [
            ("Asia/Shanghai", Tz::Asia__Shanghai),
            (":Asia/Shanghai", Tz::Asia__Shanghai),
            ("/usr/share/zoneinfo/Asia/Shanghai", Tz::Asia__Shanghai),
            (":/usr/share/zoneinfo/posix/Asia/Shanghai", Tz::Asia__Shanghai),
            ("CST-8", Tz::Etc__GMTMinus8),
            ("<+08>-8", Tz::Etc__GMTMinus8),
            ("BRT+3", Tz::Etc__GMTPlus3),
            ("JST-09:00", Tz::Etc__GMTMinus9),
            ("UTC0", Tz::UTC),
            ("UTC", Tz::UTC),
            ("GMT0", Tz::GMT0),
            ("EST5EDT", Tz::EST5EDT),
            ("Etc/GMT-8", Tz::Etc__GMTMinus8),
        ] {
            assert_eq!(parse_zone(text), Ok(zone), "{text}");
        }
    }

    #[test]
    fn other_values_are_refused_with_the_name_to_write() {
        for (text, says) in [
            ("Asia/Shangai", "Asia/Shanghai"),
            ("Asia/Beijing", "Asia/Shanghai"),
            ("asia/shanghai", "Asia/Shanghai"),
            (":/usr/share/zoneinfo/Asia/Shangai", "Asia/Shanghai"),
            ("IST-5:30", "Asia/Kolkata"),
            ("NST3:30NDT", "America/St_Johns"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "Europe/Berlin"),
            ("EST5EDT,M3.2.0,M11.1.0", "America/New_York"),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", "Australia/Sydney"),
            ("UTC+8", "8 h behind UTC"),
            ("UTC+8", "Asia/Shanghai for the opposite"),
            ("GMT-8", "write Asia/Shanghai for that"),
            ("XYZ-23", "IANA"),
            ("\"UTC\"", "IANA"),
            ("/etc/zone", "IANA"),
        ] {
            let error = parse_zone(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_zone_of_the_machine_is_where_its_link_leads() {
        let folder = std::env::temp_dir().join(format!("roundtable-zone-{}", std::process::id()));
        let file = folder.join("zoneinfo/Asia/Shanghai");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        let link = folder.join("localtime");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(local_zone(&link), Ok(Tz::Asia__Shanghai));
        std::fs::remove_file(&link).unwrap();
        for (says, made) in [("cannot be followed", false), ("zone's IANA name, such as Asia/Shanghai", true)] {
            if made {
                std::fs::write(&link, "").unwrap();
            }
            let error = local_zone(&link).unwrap_err();
            assert!(error.contains(says) && error.contains("localtime"), "{error}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
