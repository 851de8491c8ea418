//! Every rule of docs/PROTOCOL.md, proven over real sockets. A test's name begins with the
//! number of its rule; `tests/rules.rs` counts them.

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
