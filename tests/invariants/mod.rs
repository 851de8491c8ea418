//! What holds whatever comes from outside, as functions of any bytes: the fuzz targets (fuzz/) call them with what
//! libFuzzer makes up, and tests/fuzzed.rs with random bytes and with everything in fuzz/seeds.

#![allow(dead_code, unused_imports, reason = "each program uses its own part")]

pub mod absence;
mod ends;
pub mod frame;
pub mod moderation;
pub mod room;
pub mod session;
pub mod token;

/// A target's name and what it holds bytes to.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 4] =
    [("frame", frame::check), ("room", room::check), ("session", session::check), ("token", token::check)];
