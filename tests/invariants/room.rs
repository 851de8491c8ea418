//! Invariants of a room: the property tests of both worlds, with scripts from arbitrary bytes.

use arbitrary::{Arbitrary, Unstructured};

use super::{absence, moderation};

/// World, and the script that runs in it.
#[derive(Arbitrary, Debug)]
enum Script {
    Absence(Vec<absence::Step>),
    Moderation { makes_hosts: bool, steps: Vec<moderation::Step> },
}

/// Interprets the bytes as one script.
pub fn check(data: &[u8]) {
    match Script::arbitrary_take_rest(Unstructured::new(data)) {
        Ok(Script::Absence(steps)) => absence::check(steps),
        Ok(Script::Moderation { makes_hosts, steps }) => moderation::check(makes_hosts, steps),
        Err(_) => {}
    }
}
