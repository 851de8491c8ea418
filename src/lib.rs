//! Roundtable: a WebRTC signaling server and the browser meeting it serves.
//!
//! Two halves. The pure one knows neither sockets nor clocks:
//!
//! - [`protocol`]: what is on the wire (docs/PROTOCOL.md)
//! - [`core`]: what a room is
//! - [`cluster`]: how several servers hold one room
//!
//! The shell around it carries out what the core decides:
//!
//! - [`server`]: accepts connections, and ends
//! - [`http`]: routes and layers; upgrades WebSockets
//! - [`conn`]: what one connection may say, on a link of [`socket`], [`outbox`] and clock
//! - [`hub`]: all rooms, under short locks
//!
//! [`greeter`] writes welcomes, [`webhooks`] tells another program, [`recordings`] keeps what hosts record. [`config`],
//! [`access`], [`ice`], [`limits`] and [`telemetry`] are leaves. [`app`] is what all connections share. Dependencies run
//! one way: server → http → conn → hub → core → protocol. [`doctor`] is a client of all of it.

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
