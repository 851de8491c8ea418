//! Several servers as they are run, with a real engine and a real nginx, and broken on purpose. Whatever happens, once
//! it is over all rosters are the same, nobody is in a room who is not there, and what two said to each other who both
//! stayed has come once and in order: [`crowd::Crowd::whole`].
//!
//! What a room decides over several servers is tried at length in `tests/cluster/`, in a time that is made up; here it
//! is seen that the programs do it.

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
