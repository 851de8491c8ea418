//! Roundtable.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
pub mod protocol;
