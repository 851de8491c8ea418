//! Hostile clients against the real program, over real sockets. Whatever they do, each is met with what
//! docs/PROTOCOL.md says, two bystanders in another room talk on without noticing, and afterwards the server is as
//! it was: [`stage::Stage`].
//!
//! That each rule holds for a single client is proven in `tests/protocol/`; here many break it at once, again and
//! again. One attack is under way at a time, as they would be measured with each other otherwise.

#[path = "../common/mod.rs"]
mod common;

mod floods;
mod forgery;
mod frames;
mod machine;
mod slowness;
mod stage;
