//! Runs libFuzzer on one of the invariants in `tests/invariants/`, chosen by `ROUNDTABLE_FUZZ_TARGET`. `fuzz/run`
//! builds and starts it.

#![no_main]

use std::sync::OnceLock;

#[path = "../tests/invariants/mod.rs"]
mod invariants;

type Check = fn(&[u8]);

static CHECK: OnceLock<Check> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let wanted = std::env::var("ROUNDTABLE_FUZZ_TARGET").unwrap_or_default();
        let check = invariants::TARGETS.iter().find(|(name, _)| *name == wanted).map(|(_, check)| *check);
        CHECK.get_or_init(|| check.unwrap_or_else(|| panic!("ROUNDTABLE_FUZZ_TARGET={wanted:?} is not a target")));
    },
    |data: &[u8]| CHECK.wait()(data)
);
