//! Tests of the server in one program: compiling the parts that they share once is much quicker than once for each.
//!
//! `cargo test --test server protocol::` runs those of a folder or file. The test programs beside this one need a process
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
