//! The server over HTTP, as browsers, operators and slow clients see it.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod dist;
mod headers;
mod site;
