//! One room on several servers: the engine (Valkey, Redis) orders, the servers decide alike.
//!
//! [`Room::handle`](crate::core::Room::handle) does the same with the same, so every server that has members in a room
//! holds a copy of it, a [`Replica`]. What is done to a shared room is an [`Act`](crate::core::Act): the engine gives it
//! a number, keeps it in a short log and publishes it to the servers in the room; each carries it out in that order,
//! and out of what follows only what concerns its own members. Frames between members are not ordered like that: they
//! go straight from server to server on a [`Link`](link::Link).
//!
//! - [`wire`]: what servers and the engine say to each other
//! - [`bus`]: what the engine can do, and what it promises
//! - [`records`]: the same, done in memory
//! - [`local`]: an engine within the process
//! - [`engine`]: Valkey and Redis
//! - [`ended`]: whose stay was ended by somebody else
//! - [`replica`]: a copy of a room, and how an entry of the log changes it
//! - [`link`]: frames from one server to another, none lost, none twice, in order
//! - [`share`]: what one server does about one room: comes in, catches up, appends, goes
//! - [`watch`]: which servers are gone
//! - [`founding`]: when a server may make a room, after Redis may have lost its data
//!
//! All of it but the ways to an engine is pure: time comes in as a value, nothing waits.
//! See docs/ARCHITECTURE.md, "Many servers".

pub mod bus;
pub mod ended;
pub mod engine;
pub mod founding;
pub mod link;
pub mod local;
pub mod records;
pub mod replica;
pub mod share;
pub mod watch;
pub mod wire;

pub use replica::{Replica, Way};
pub use share::{Output, Share};
pub use wire::{Post, ServerId};
