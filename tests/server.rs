//! Server tests in one program, because compiling their shared code once is much faster than once per test program.
//!
//! `cargo test --test server protocol::` runs the tests of a directory or file. The other test programs need a process
//! of their own: they count allocations, attack a server, or use whole processors.

mod binary;
mod common;
mod doctor;
mod documents;
mod fuzzed;
mod golden;
mod http;
mod hub;
mod invariants;
mod logs;
mod metrics;
mod monitoring;
mod openapi;
mod otlp;
mod parse_properties;
mod protocol;
mod readme;
mod rules;
mod servers;
mod session_properties;
mod tokens;
