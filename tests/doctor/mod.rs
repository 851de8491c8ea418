//! `roundtable doctor` finds each mistake that is made on purpose, with the real program and what it stands among, and
//! finds nothing where all is well.

mod machine;
mod outside;
mod proxies;
mod relay;
mod stage;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use roundtable::doctor::findings::FINDINGS;

/// All files in these folders, and these files, as one text without comments.
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

/// Whoever can find something has a test that expects it: the program here, the page in a browser.
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
        // In a browser also by its attribute.
        let shown = browser.contains(&format!("[data-finding={name}]"));
        let [found, seen] = [program.contains(&format!("Finding::{finding:?}")), quoted(&page)];
        assert!(found || seen, "nothing finds {name}");
        untested.extend((found && !quoted(&tests)).then(|| format!("{name} by the program")));
        untested.extend((seen && !quoted(&browser) && !shown).then(|| format!("{name} by the page")));
    }
    assert!(untested.is_empty(), "without a test: {untested:?}");
}

/// docs/DOCTOR.md says what the program says.
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
    assert_eq!(rows, FINDINGS.len(), "docs/DOCTOR.md has rows that nothing finds");
}
