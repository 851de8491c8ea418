//! Location of the doctor: what it cannot reach from there may work for visitors.

use std::net::IpAddr;

use crate::addresses::{is_internal, is_own};

/// Location of the doctor in the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vantage {
    /// In a container, which has its own localhost, names and routes. Podman sets the variable, and so do this
    /// project's images (<https://systemd.io/CONTAINER_INTERFACE>).
    pub(super) is_container: bool,
    /// On the machine of the server under test.
    pub(super) is_near: bool,
}

impl Vantage {
    /// Location for checks of this machine's settings.
    pub(super) fn of_operator() -> Self {
        Self { is_near: true, ..Self::of_visitor() }
    }

    /// Location for checks of a server that may be on another machine.
    pub(super) fn of_visitor() -> Self {
        Self { is_container: std::env::var_os("container").is_some_and(|name| !name.is_empty()), is_near: false }
    }

    /// Returns whether an address that is unreachable from here may be reachable from elsewhere. A public address that
    /// does not belong to this machine may still be the server's, behind a router without hairpin NAT.
    pub(super) fn is_blind_for(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        (self.is_near && !is_internal(address) && !is_own(address)) || (self.is_container && address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_behind_a_router_are_not_seen_from_inside() {
        let near = Vantage { is_container: false, is_near: true };
        let container = Vantage { is_container: true, is_near: false };
        let visitor = Vantage { is_container: false, is_near: false };
        for (address, blind) in [
            ("198.51.100.7", [true, false, false]),
            ("10.255.255.254", [false, false, false]),
            ("127.0.0.1", [false, true, false]),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!([near, container, visitor].map(|vantage| vantage.is_blind_for(address)), blind, "{address}");
        }
    }
}
