//! Of a room: the two worlds of the property tests, by scripts that are made of any bytes.

use arbitrary::{Arbitrary, Unstructured};

use crate::{core_properties, moderation_properties};

/// Which world, and what happens in it.
#[derive(Arbitrary, Debug)]
enum Script {
    Absence(Vec<core_properties::Step>),
    Moderation { makes_hosts: bool, steps: Vec<moderation_properties::Step> },
}

/// Takes the bytes for one script.
pub fn check(data: &[u8]) {
    match Script::arbitrary_take_rest(Unstructured::new(data)) {
        Ok(Script::Absence(steps)) => core_properties::check(steps),
        Ok(Script::Moderation { makes_hosts, steps }) => moderation_properties::check(makes_hosts, steps),
        Err(_) => {}
    }
}
