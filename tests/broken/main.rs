//! Fault injection with several servers in production form, a real Redis and a real nginx. After every fault, all
//! rosters are equal and list exactly the members that are present, and the messages between two people whose sessions
//! lasted have arrived once and in order: [`crowd::Crowd::whole`].
//!
//! `tests/cluster/` covers the replication of rooms in depth on a virtual clock; these tests run the real programs.

#[path = "../common/mod.rs"]
mod common;

mod cost;
mod crowd;
mod engine;
mod faults;
mod load;
mod person;
mod pieces;
mod stage;
mod view;
