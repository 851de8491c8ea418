//! The server over HTTP, as browsers, operators and slow clients see it.

mod connections;
mod dist;
mod headers;
mod name;
mod site;
