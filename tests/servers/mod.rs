//! Several servers in one process, over real sockets, with an engine between them: what clients on different servers
//! see of one room.

mod absence;
mod engine;
mod faults;
mod goodbyes;
mod rates;
mod recordings;
mod rooms;
mod tokens;
