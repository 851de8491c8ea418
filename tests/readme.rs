//! The tables of settings in README.md and README.zh-CN.md agree with `roundtable --help`, and no document names a
//! setting that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

/// Files that configure the containers. Their variables are not settings of the program.
const CONTAINERS: [&str; 2] = ["Dockerfile", "docker-compose.yml"];

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the program's environment variables with their defaults, empty if there is none.
fn settings() -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_roundtable")).arg("--help").env_clear().output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    // clap wraps lines anywhere.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    // Some defaults contain brackets: [::]:18080.
    let until = |text: &str| {
        let mut open = 1;
        let end = text.find(|c| {
            open += i32::from(c == '[') - i32::from(c == ']');
            open == 0
        });
        text[..end.unwrap()].to_owned()
    };
    let settings: BTreeMap<_, _> = help
        .split("[env: ")
        .skip(1)
        .map(|setting| (until(setting), setting.split_once("[default: ").map_or_else(String::new, |(_, d)| until(d))))
        .collect();
    assert!(settings.len() > 10, "unexpected format of the help: {help}");
    settings
}

/// Returns the rows whose first cell is one name in capitals: that name, and the second cell without backticks.
fn table(text: &str) -> Vec<(String, String)> {
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    text.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let (name, default) = (cell(cells.next()?), cell(cells.next()?));
            name.chars().all(|c| c.is_ascii_uppercase() || c == '_').then_some((name, default))
        })
        .filter(|(name, _)| name == "TZ" || name.starts_with("ROUNDTABLE_"))
        .collect()
}

/// Returns every `ROUNDTABLE_…` in a text. A bare `ROUNDTABLE_*` is not a name.
fn names(text: &str) -> BTreeSet<String> {
    let parts = text.split("ROUNDTABLE_").skip(1);
    let name = |part: &str| part.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>();
    parts.map(name).filter(|name| !name.is_empty()).map(|name| format!("ROUNDTABLE_{name}")).collect()
}

#[test]
fn the_tables_have_every_setting_once_with_its_default() {
    let settings = settings();
    for readme in READMES {
        let rows = table(&read(readme));
        for (name, default) in &settings {
            let found: Vec<_> = rows.iter().filter(|(row, _)| row == name).map(|(_, default)| default).collect();
            assert_eq!(found, [default], "{readme}: the rows of {name}");
        }
    }
}

#[test]
fn no_setting_is_named_that_is_not_there() {
    let mut known: BTreeSet<String> = settings().into_keys().collect();
    known.extend(CONTAINERS.iter().flat_map(|file| names(&read(file))));
    for readme in READMES {
        let unknown: Vec<_> = names(&read(readme)).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{readme} names {unknown:?}");
    }
}
