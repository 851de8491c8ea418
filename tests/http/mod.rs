//! The server over HTTP, as used by browsers, operators and slow clients.

mod connections;
mod dist;
mod headers;
mod name;
mod site;
