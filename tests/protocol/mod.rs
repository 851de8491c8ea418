//! Tests every rule of docs/PROTOCOL.md over real sockets. The name of a test starts with the number of its rule, which
//! `tests/rules.rs` checks.

mod absence;
mod access;
mod admin;
mod answers;
mod connecting;
mod errors;
mod frames;
mod heartbeat;
mod hosts;
mod http;
mod ice;
mod joining;
mod leaving;
mod limits;
mod lobby;
mod moderation;
mod numbers;
mod origin;
mod people;
mod quality;
mod recordings;
mod recordings_attacks;
mod recordings_broken;
mod relaying;
mod returns;
mod roster;
mod servers;
mod sessions;
mod state;
mod talks;
mod webhooks;
