//! What a room is, decided without tokio, clock, randomness or locks: time, ids and the ways to
//! the members come in as values, everything that has to happen goes out as [`Effect`]s.

mod act;
mod door;
mod lost;
mod moderation;
mod replica;
mod room;
pub mod session;

pub use act::Act;
pub use room::{Comeback, Effect, Grant, Input, Refusal, Room, STATE_INTERVAL, Seat};
