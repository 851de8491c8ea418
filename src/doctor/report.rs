//! What was looked at, what was found, and what could not be looked at: told at once to people, at the end to programs.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::findings::Finding;
use crate::protocol::{is_displayable, is_invisible};

/// Characters that are kept of one text.
const CHARS: usize = 400;

/// Something that is wrong, and where.
#[derive(Clone, Debug)]
pub(super) struct Found {
    finding: Finding,
    about: String,
    detail: String,
}

impl Found {
    /// `about` is the address, file or setting; `detail` what was seen, without secrets.
    pub(super) fn new(finding: Finding, about: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { finding, about: clean(&about.into()), detail: clean(&detail.into()) }
    }

    /// The same at the address where it was met first.
    pub(super) fn about(self, about: &str) -> Self {
        Self { about: clean(about), ..self }
    }

    /// Tells whether no connection was made at all.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.finding, Finding::NameNotFound | Finding::PortClosed)
    }

    /// What a closed port means for what is behind it; anything else stays what it is.
    pub(super) fn behind(self, finding: Finding, about: &str) -> Self {
        let finding = if self.finding == Finding::PortClosed { finding } else { self.finding };
        Self { finding, ..self.about(about) }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.detail)
    }
}

#[derive(Debug, Serialize)]
struct Look {
    look: &'static str,
    said: String,
}

/// All that one run has to say.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    looks: Vec<Look>,
    found: Vec<Found>,
    missed: Vec<Look>,
}

impl Report {
    /// For programs, or for people.
    pub(super) fn new(json: bool) -> Self {
        Self { json, looks: Vec::new(), found: Vec::new(), missed: Vec::new() }
    }

    /// Something is well, or is what it is.
    pub(super) fn well(&mut self, look: &'static str, said: impl Into<String>) {
        let said = clean(&said.into());
        self.say(&format!("  ok  {look}: {said}"));
        self.looks.push(Look { look, said });
    }

    /// Something is under way that takes its time.
    pub(super) fn busy(&self, what: &str) {
        self.say(&format!("  ..  {}", clean(what)));
    }

    /// Something is wrong. The same thing at the same place is said once.
    pub(super) fn found(&mut self, found: Found) {
        if self.found.iter().any(|known| known.finding == found.finding && known.about == found.about) {
            return;
        }
        let (what, fix) = found.finding.texts();
        let name = found.finding.name();
        let Found { about, detail, .. } = &found;
        self.say(&format!("FOUND {name}: {about}\n      {what} ({detail})\n      Fix: {fix}"));
        self.found.push(found);
    }

    /// Something could not be looked at.
    pub(super) fn missed(&mut self, look: &'static str, said: impl Into<String>) {
        let said = clean(&said.into());
        self.say(&format!("  ??  {look}: not looked at: {said}"));
        self.missed.push(Look { look, said });
    }

    /// The last word, and the exit code: 0 all well, 1 something found, 2 something not looked at.
    pub(super) fn end(self) -> ExitCode {
        let code: u8 = match (self.found.is_empty(), self.missed.is_empty()) {
            (false, _) => 1,
            (true, false) => 2,
            (true, true) => 0,
        };
        if self.json {
            let findings = self.found.iter().map(|found| {
                let (what, fix) = found.finding.texts();
                json!({
                    "name": found.finding.name(), "about": found.about, "detail": found.detail, "what": what, "fix": fix,
                })
            });
            let findings: Vec<_> = findings.collect();
            print(&json!({"findings": findings, "looked_at": self.looks, "not_looked_at": self.missed}).to_string());
        } else {
            print(match code {
                0 => "All well.",
                1 => "See what was found above. docs/DOCTOR.md has all findings.",
                _ => "Nothing wrong was found, but not everything could be looked at.",
            });
        }
        ExitCode::from(code)
    }

    fn say(&self, line: &str) {
        if !self.json {
            print(line);
        }
    }
}

/// Returns the beginning of a text, with spaces in place of characters that control a terminal, change the direction of
/// the text or are not seen (R96): a server may have sent it.
fn clean(text: &str) -> String {
    let is_plain = |c| is_displayable(c) && !is_invisible(c);
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).take(CHARS).collect()
}

/// Whoever has hung up hears nothing more.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
