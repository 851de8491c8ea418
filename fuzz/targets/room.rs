#![no_main]
#![allow(dead_code, unused_imports, reason = "of the property tests only the worlds are wanted")]

#[path = "../../tests/core_properties.rs"]
mod core_properties;
#[path = "../../tests/moderation_properties.rs"]
mod moderation_properties;
#[path = "../../tests/invariants/room.rs"]
mod room;

libfuzzer_sys::fuzz_target!(|data: &[u8]| room::check(data));
