//! Invariants for arbitrary input, as functions of bytes. The fuzz targets (fuzz/) call them with libFuzzer's input,
//! and tests/fuzzed.rs with random bytes and with everything in fuzz/seeds.

#![allow(dead_code, unused_imports, reason = "each program uses its own part")]

pub mod absence;
mod ends;
pub mod frame;
pub mod moderation;
pub mod room;
pub mod session;
pub mod token;

/// Name and check of a fuzz target.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz targets.
pub const TARGETS: [Target; 4] =
    [("frame", frame::check), ("room", room::check), ("session", session::check), ("token", token::check)];
