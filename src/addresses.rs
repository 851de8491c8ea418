//! Classes of IP addresses that matter to an operator: addresses of internal networks, of this machine, and of its
//! default gateways.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Returns whether an address belongs to an internal network, so that no visitor from the internet can have it: private
/// (RFC 1918), loopback, link-local, carrier-grade NAT (RFC 6598), unique local (RFC 4193) and unspecified addresses.
pub(crate) fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Returns whether an address is one of this machine's own. That is so if a socket can be bound to it and not to any
/// address at all, as where `net.ipv4.ip_nonlocal_bind` is set.
pub(crate) fn is_own(address: IpAddr) -> bool {
    /// Addresses for documentation (RFC 5737, RFC 3849), which no machine has.
    const NOBODY: (Ipv4Addr, Ipv6Addr) =
        (Ipv4Addr::new(192, 0, 2, 254), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe));
    let can_bind = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let address = address.to_canonical();
    let nobody = if address.is_ipv4() { IpAddr::from(NOBODY.0) } else { IpAddr::from(NOBODY.1) };
    !address.is_unspecified() && can_bind(address) && (address.is_loopback() || !can_bind(nobody))
}

/// Returns the default gateways of this machine or container. In Docker's bridge networks that is the host, from whose
/// address docker-proxy forwards connections.
pub(crate) fn default_gateways() -> Vec<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    parse_gateways(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
}

fn parse_gateways(v4: &str, v6: &str) -> Vec<IpAddr> {
    let v4 = v4.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let &[_, "00000000", gateway, ..] = &columns[..] else { return None };
        // The kernel prints the number in the machine's byte order.
        let bytes = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
        Some(IpAddr::from(Ipv4Addr::from(bytes)))
    });
    let v6 = v6.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let &[destination, "00", _, _, gateway, ..] = &columns[..] else { return None };
        let gateway = u128::from_str_radix(gateway, 16).ok()?;
        (destination.bytes().all(|digit| digit == b'0')).then(|| IpAddr::from(Ipv6Addr::from_bits(gateway)))
    });
    let mut gateways: Vec<_> = v4.chain(v6).filter(|gateway| !gateway.is_unspecified()).collect();
    gateways.dedup();
    gateways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn internal_addresses_are_told_from_public_ones() {
        for internal in [
            "10.1.2.3",
            "172.17.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.254",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_internal(ip(internal)), "{internal}");
        }
        for public in ["203.0.113.7", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2001:db8::1", "::ffff:203.0.113.7"] {
            assert!(!is_internal(ip(public)), "{public}");
        }
    }

    #[test]
    fn own_addresses_can_be_bound() {
        assert!(is_own(ip("127.0.0.1")) && is_own(ip("::ffff:127.0.0.1")));
        // RFC 5737: no machine has it.
        assert!(!is_own(ip("198.51.100.77")) && !is_own(ip("0.0.0.0")));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn gateways_are_read_as_linux_prints_them() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                  eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n\
                  eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n";
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fd0000000000000000000000000000{:02x} 00000400 00000001 00000000 00000003 eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n",
            1
        );
        assert_eq!(parse_gateways(v4, &v6), [ip("172.17.0.1"), ip("fd00::1")]);
        assert_eq!(parse_gateways("", "nonsense\n"), Vec::<IpAddr>::new());
    }
}
