//! Of a room: the two worlds of the property tests, by scripts that are made of any bytes.

use arbitrary::{Arbitrary, Unstructured};

use super::{absence, moderation};

/// Which world, and what happens in it.
#[derive(Arbitrary, Debug)]
enum Script {
    Absence(Vec<absence::Step>),
    Moderation { makes_hosts: bool, steps: Vec<moderation::Step> },
}

/// Takes the bytes for one script.
pub fn check(data: &[u8]) {
    match Script::arbitrary_take_rest(Unstructured::new(data)) {
        Ok(Script::Absence(steps)) => absence::check(steps),
        Ok(Script::Moderation { makes_hosts, steps }) => moderation::check(makes_hosts, steps),
        Err(_) => {}
    }
}
