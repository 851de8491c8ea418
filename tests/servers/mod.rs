//! Several servers in one process with a store between them, over real sockets: what clients on different servers see
//! of one room.

mod absence;
mod engine;
mod faults;
mod goodbyes;
mod rates;
mod recordings;
mod rooms;
mod tokens;
