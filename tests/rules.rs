//! Every numbered rule of docs/PROTOCOL.md has a test that cites its number, and every cited number is a rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    digits.parse().ok()
}

/// Returns the numbers of the document's rules, each of which starts with its number in bold.
fn rules() -> BTreeSet<u32> {
    let document = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROTOCOL.md"));
    let numbers: Vec<u32> = document.split("**R").skip(1).filter_map(number).collect();
    let rules: BTreeSet<u32> = numbers.iter().copied().collect();
    assert_eq!(numbers.len(), rules.len(), "a rule is defined twice: {numbers:?}");
    rules
}

/// Returns the rules that test functions cite in their names.
fn cited() -> BTreeSet<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    let mut cited = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = read(&entry.unwrap().path());
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let is_test = pair[0].trim() == "#[test]" || pair[0].trim().starts_with("#[tokio::test");
            let name = pair[1].trim().trim_start_matches("async ").strip_prefix("fn r");
            if let (true, Some(rule)) = (is_test, name.and_then(number)) {
                cited.insert(rule);
            }
        }
    }
    cited
}

#[test]
fn every_rule_has_a_test_and_every_test_a_rule() {
    let (rules, cited) = (rules(), cited());
    // Numbers are never reused, so that there are gaps.
    assert_eq!(rules.first(), Some(&1));
    let untested: Vec<_> = rules.difference(&cited).collect();
    assert!(untested.is_empty(), "rules without a test: {untested:?}");
    let unknown: Vec<_> = cited.difference(&rules).collect();
    assert!(unknown.is_empty(), "tests cite unknown rules: {unknown:?}");
}
