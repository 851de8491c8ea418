//! Roundtable: a WebRTC signaling server and the browser meeting it serves.
//!
//! There are two halves. The pure one uses neither sockets nor clocks:
//!
//! - [`protocol`]: the messages on the wire (docs/PROTOCOL.md)
//! - [`core`]: the state machine of a room
//! - [`cluster`]: rooms that several servers share
//!
//! The shell around it carries out what the core decides:
//!
//! - [`server`]: accepts connections, and shuts down
//! - [`http`]: routes and layers; upgrades WebSockets
//! - [`conn`]: handles the messages of one connection, over a link of [`socket`], [`outbox`] and timers
//! - [`hub`]: all rooms, under short locks
//!
//! [`greeter`] writes `welcome` messages, [`webhooks`] sends events to another program, [`recordings`] stores what
//! hosts record. [`config`], [`access`], [`ice`], [`limits`] and [`telemetry`] are leaves. [`app`] is the state that
//! all connections share. Dependencies run one way: server → http → conn → hub → core → protocol. [`doctor`] is a
//! client of all of it.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![warn(clippy::unwrap_used, clippy::expect_used)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod access;
mod activity;
mod addresses;
pub mod app;
mod certificates;
pub mod cluster;
pub mod config;
pub mod conn;
pub mod core;
mod dismissed;
pub mod doctor;
pub mod greeter;
pub mod http;
pub mod hub;
pub mod ice;
pub mod limits;
mod link;
mod listener;
mod memory;
mod outbound;
pub mod outbox;
pub mod protocol;
pub mod recordings;
mod refusal;
mod secret_file;
pub mod server;
pub mod socket;
pub mod telemetry;
pub mod webhooks;
