//! Attacks against the real program over real sockets. Each attack gets the response that docs/PROTOCOL.md specifies,
//! two bystanders in another room are not delayed, and afterwards the server has no leftovers: [`stage::Stage`].
//!
//! `tests/protocol/` proves each rule for a single client; here, many clients break it concurrently and repeatedly.
//! Only one attack runs at a time, so that attacks do not distort each other's measurements.

#[path = "../common/mod.rs"]
mod common;

mod floods;
mod forgery;
mod frames;
mod machine;
mod slowness;
mod stage;
