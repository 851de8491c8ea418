//! `roundtable doctor` detects each deliberate mistake, running the real programs, and reports nothing if everything is
//! right.

mod machine;
mod outside;
mod proxies;
mod relay;
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use roundtable::doctor::findings::FINDINGS;

/// Returns the text of files, and of all files in directories, without comments.
fn code(paths: &[&str]) -> String {
    let mut text = String::new();
    for path in paths.iter().map(Path::new) {
        let inner: Vec<_> = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        for file in if inner.is_empty() { vec![path.to_owned()] } else { inner } {
            let whole = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let lines = whole.lines().map(|line| line.split(" // ").next().unwrap_or_default());
            text.extend(lines.filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")));
        }
    }
    text
}

/// Every finding of the program has a test here, and every finding of the page has a test in a browser.
#[test]
fn every_finding_is_made_on_purpose_in_a_test() {
    let program = ["outside", "own", "proxies", "relays", "web"].map(|name| format!("src/doctor/{name}.rs"));
    let program = code(&program.each_ref().map(String::as_str));
    let page = code(&["static/src/core/examination.ts"]);
    let tests = ["machine", "outside", "proxies", "relay"].map(|name| format!("tests/doctor/{name}.rs"));
    let tests = code(&tests.each_ref().map(String::as_str));
    let browser = code(&["tests/e2e/diag.spec.js"]);
    let mut untested = BTreeSet::new();
    for finding in FINDINGS {
        let name = finding.name();
        let quoted = |text: &str| text.contains(&format!("\"{name}\"")) || text.contains(&format!("'{name}'"));
        // Browser tests may also select a finding by its attribute.
        let shown = browser.contains(&format!("[data-finding={name}]"));
        let [found, seen] = [program.contains(&format!("Finding::{finding:?}")), quoted(&page)];
        assert!(found || seen, "{name} is never reported");
        untested.extend((found && !quoted(&tests)).then(|| format!("{name} by the program")));
        untested.extend((seen && !quoted(&browser) && !shown).then(|| format!("{name} by the page")));
    }
    assert!(untested.is_empty(), "findings without a test: {untested:?}");
}

/// docs/DOCTOR.md has the same texts as the program.
#[test]
fn the_document_has_a_row_for_every_finding() {
    let document = std::fs::read_to_string("docs/DOCTOR.md").unwrap();
    let cell = |text: &str| text.replace('|', "\\|");
    for finding in FINDINGS {
        let (what, fix) = finding.texts();
        let row = format!("| `{}` | {} | {} |", finding.name(), cell(what), cell(fix));
        assert!(document.contains(&row), "docs/DOCTOR.md has no row {row}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, FINDINGS.len(), "docs/DOCTOR.md has rows without a finding");
}
