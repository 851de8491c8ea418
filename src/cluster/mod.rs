//! Rooms on several servers: the store (Valkey or Redis) orders the commands, and all servers apply them in that order.
//!
//! [`Room::handle`](crate::core::Room::handle) is deterministic, so every server that has members in a room holds a
//! [`Replica`] of it. A change of a shared room is an [`Act`](crate::core::Act). The store numbers it, keeps it in a
//! short log and publishes it to the servers in the room. Each server applies it in that order, and carries out the
//! effects that concern its own members. Frames between members are not ordered: they go directly from server to server
//! on a [`Link`](link::Link).
//!
//! - [`wire`]: log entries and messages between servers
//! - [`bus`]: interface to the store, and its guarantees
//! - [`records`]: the store's data in memory
//! - [`local`]: a store within the process
//! - [`engine`]: Valkey and Redis as the store
//! - [`ended`]: revoked sessions
//! - [`replica`]: replica of a room, and how log entries change it
//! - [`link`]: reliable transport from one server to another
//! - [`share`]: one server's part in one room: attaching, catching up, submitting commands, detaching
//! - [`watch`]: detection of dead servers
//! - [`founding`]: when a server may create a room, after the store may have lost its data
//!
//! Everything but the connections to a store is free of I/O: time is passed as a value, and nothing waits. See
//! docs/ARCHITECTURE.md, "Many servers".

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
