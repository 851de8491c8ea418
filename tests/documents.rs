//! Checks of the documentation: docs/PROTOCOL.md lists every code and every limit, and each promise of docs/SECURITY.md
//! names tests that exist.

use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the variants of an enum as they are sent, from its generated TypeScript type (`make protocol`).
fn variants(name: &str) -> Vec<String> {
    let types = read("static/src/protocol/messages.ts");
    let line = types.lines().find(|line| line.starts_with(&format!("export type {name} = "))).expect(name);
    let variants: Vec<_> = line.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(variants.len() > 1, "{line}");
    variants
}

/// Returns the first cells of all tables. A cell that lists several names is split.
fn rows(document: &str) -> Vec<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    cells.flat_map(|cell| cell.split(", ")).map(|cell| cell.trim_matches('`').to_owned()).collect()
}

#[test]
fn the_protocol_has_a_row_for_every_code() {
    let rows = rows(&read("docs/PROTOCOL.md"));
    for name in ["ErrorCode", "LeaveReason", "NotResumed"] {
        for code in variants(name) {
            assert!(rows.contains(&code), "{name} {code} has no row in docs/PROTOCOL.md");
        }
    }
    let codes = read("src/protocol/codes.rs");
    let closes: Vec<&str> = codes
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "))
        .map(|(_, code)| code)
        .collect();
    assert!(closes.len() > 10, "{closes:?}");
    for code in closes {
        assert!(rows.iter().any(|row| row == code), "close code {code} has no row in docs/PROTOCOL.md");
    }
}

#[test]
fn the_protocol_has_every_code_of_the_http_api() {
    let protocol = read("docs/PROTOCOL.md");
    let line = protocol.lines().find(|line| line.starts_with("Codes: `SUCCESS`")).expect("the list of R33");
    let rest = protocol.split(line).nth(1).unwrap().lines().nth(1).unwrap();
    let listed = format!("{line} {rest}");
    let mut found = 0;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let files = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    for file in files(&folder).into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }) {
        let text = fs::read_to_string(file).unwrap();
        for text in text.split("StatusCode::").skip(1).filter_map(|text| text.split('"').nth(1)) {
            if text.len() > 5 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                assert!(listed.contains(&format!("`{text}`")), "{text} is not in the list of R33");
                found += 1;
            }
        }
    }
    assert!(found > 8, "{found}");
}

#[test]
fn the_protocol_has_a_row_for_every_limit() {
    let protocol = read("docs/PROTOCOL.md");
    let table = crate::common::config(&[]).limits_table();
    let mut lines = table.lines();
    let heads = lines.next().unwrap();
    let column = |name: &str| heads.find(name).unwrap();
    for line in lines {
        let cell = |from: &str, to: &str| line[column(from)..column(to)].trim();
        let row = match cell("SETTING", "NOW") {
            "-" => format!("| – | {} |", cell("UNIT", "FOR")),
            setting => format!("| `{setting}` | {} |", cell("DEFAULT", "UNIT")),
        };
        assert!(protocol.contains(&row), "docs/PROTOCOL.md has no row {row}");
    }
}

/// A test is cited as `tests/protocol/limits.rs: r65_…`, or as `tests/e2e/turn.spec.js: …` with its title.
#[test]
fn every_test_that_proves_a_promise_is_there() {
    let security = read("docs/SECURITY.md");
    let mut proofs = 0;
    for promise in security.lines().filter(|line| line.starts_with("| **")) {
        let cells: Vec<&str> = promise.split(" | ").collect();
        let [_, _, proven] = cells[..] else { panic!("a row without three cells: {promise}") };
        let names: Vec<&str> = proven.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test for: {promise}");
        let mut file = "";
        for name in names {
            if name.contains('/') {
                file = name;
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).is_file(), "no {file}");
                continue;
            }
            let text = read(file);
            let rust = text.lines().collect::<Vec<_>>().windows(2).any(|pair| {
                pair[0].contains("test") && pair[0].trim().starts_with("#[") && pair[1].contains(&format!("fn {name}("))
            });
            // Property tests are inside a macro, and may run one case per line of a table.
            let property = text.contains("proptest!") && text.contains(&format!("fn {name}("));
            let script = text.contains(&format!("'{name}'")) || text.contains(&format!("`{name}`"));
            let python = text.contains(&format!("def {name}(self)"));
            assert!(rust || property || script || python, "no test {name:?} in {file}");
            proofs += 1;
        }
    }
    assert!(proofs > 40, "{proofs}");
}
