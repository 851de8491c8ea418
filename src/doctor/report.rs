//! Report of checks, findings, and checks that were not possible. People see it as it proceeds; programs get it at the
//! end.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::findings::Finding;
use crate::protocol::{is_displayable, is_invisible};

/// Characters that are kept of one text.
const CHARS: usize = 400;

/// A problem and its place.
#[derive(Clone, Debug)]
pub(super) struct Found {
    finding: Finding,
    about: String,
    detail: String,
}

impl Found {
    /// Makes a finding. `about` is the address, file or setting, and `detail` what was observed, without secrets.
    pub(super) fn new(finding: Finding, about: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { finding, about: clean(&about.into()), detail: clean(&detail.into()) }
    }

    /// Returns the finding with the address at which it was first found.
    pub(super) fn about(self, about: &str) -> Self {
        Self { about: clean(about), ..self }
    }

    /// Returns whether no connection was made at all.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self.finding, Finding::NameNotFound | Finding::PortClosed)
    }

    /// Replaces a closed port by what it means for the service behind it. Other findings stay unchanged.
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

/// Result of one run.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    looks: Vec<Look>,
    found: Vec<Found>,
    missed: Vec<Look>,
}

impl Report {
    /// Makes a report as JSON, or as text for people.
    pub(super) fn new(json: bool) -> Self {
        Self { json, looks: Vec::new(), found: Vec::new(), missed: Vec::new() }
    }

    /// Reports a successful check, or a neutral observation.
    pub(super) fn well(&mut self, look: &'static str, said: impl Into<String>) {
        let said = clean(&said.into());
        self.say(&format!("  ok  {look}: {said}"));
        self.looks.push(Look { look, said });
    }

    /// Reports that a slow check is in progress.
    pub(super) fn busy(&self, what: &str) {
        self.say(&format!("  ..  {}", clean(what)));
    }

    /// Reports a finding. The same finding for the same place is reported once.
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

    /// Reports that a check was not possible.
    pub(super) fn missed(&mut self, look: &'static str, said: impl Into<String>) {
        let said = clean(&said.into());
        self.say(&format!("  ??  {look}: not looked at: {said}"));
        self.missed.push(Look { look, said });
    }

    /// Prints the summary. Returns the exit code: 0 without findings, 1 with findings, 2 if a check was not possible.
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

/// Prints a line. Errors are ignored, because the reader may have closed the pipe.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
