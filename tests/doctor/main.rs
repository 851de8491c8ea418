//! `roundtable doctor` finds each mistake that is made on purpose, with the real program and what it stands among, and
//! finds nothing where all is well.

#[path = "../common/mod.rs"]
mod common;

mod machine;
mod outside;
mod relay;
mod stage;

use roundtable::doctor::findings::FINDINGS;

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
