//! Checks the invariants of the fuzz targets without a fuzzer: on fuzz/seeds, which keeps every input that ever failed,
//! and on random bytes.

use crate::invariants;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use invariants::TARGETS;

/// Bounds that keep the seeds small and few.
const SEED_BYTES: u64 = 2_048;
const SEEDS: usize = 100;

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_the_fuzzers_have_found_stays_found() {
    for (target, check) in TARGETS {
        let files = seeds(target);
        assert!(!files.is_empty(), "{target} has no seeds");
        for file in files {
            println!("{}", file.display());
            assert!(fs::metadata(&file).unwrap().len() < SEED_BYTES, "{}", file.display());
            check(&fs::read(&file).unwrap());
        }
    }
    assert!(TARGETS.iter().map(|(target, _)| seeds(target).len()).sum::<usize>() <= SEEDS);
}

/// The golden messages are in one file, which is also the fuzzer's corpus (`fuzz/run`).
#[test]
fn golden_messages_are_what_they_are_held_to() {
    for fixture in ["messages.json", "bad.json"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
        let golden: Vec<Value> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for one in golden {
            let text = one["frame"].as_str().map_or_else(|| one["message"].to_string(), str::to_owned);
            invariants::frame::check_text(&text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_will_do(data in prop::collection::vec(any::<u8>(), 0..600)) {
        for (_, check) in TARGETS {
            check(&data);
        }
    }
}
