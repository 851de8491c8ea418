//! Listen addresses of `ROUNDTABLE_LISTEN` and `ROUNDTABLE_OPS_LISTEN`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Listen address: an IP address and a port, or a port on all addresses or on this machine's loopback.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// `18080`, `:18080` or `[::]:18080`: IPv6 and IPv4 through one socket, or IPv4 alone on a machine without IPv6.
    Any(u16),
    /// `localhost:18080`: 127.0.0.1, and ::1 if the machine has it.
    Localhost(u16),
    /// A single address.
    One(SocketAddr),
}

impl ListenAddress {
    /// Returns the port; 0 lets the kernel choose one.
    pub fn port(self) -> u16 {
        match self {
            Self::Any(port) | Self::Localhost(port) => port,
            Self::One(address) => address.port(),
        }
    }

    /// Returns the address at which a program on this machine reaches the listener.
    ///
    /// IPv4 for a listener on all addresses, because a container may have no IPv6 loopback but always has 127.0.0.1.
    pub fn local(self) -> SocketAddr {
        match self {
            Self::One(address) if !address.ip().is_unspecified() => address,
            Self::Any(port) | Self::Localhost(port) => (Ipv4Addr::LOCALHOST, port).into(),
            Self::One(address) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any(port) => write!(f, "[::]:{port}"),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "a listen address is a port, or an address and a port: 18080, 127.0.0.1:18080 or [::]:18080";
        let unbracketed = |ip: Ipv6Addr, port: &str| format!("an IPv6 address stands in brackets: [{ip}]:{port}");
        if let Ok(ip) = text.parse() {
            return Err(unbracketed(ip, "18080"));
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok() || bare.eq_ignore_ascii_case("localhost") {
            return Err(format!("the port is missing: {text}:18080"));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(FORM.into());
        }
        let port: u16 =
            port.parse().map_err(|_| "a port is a number from 1 to 65535; 0 takes any free one".to_owned())?;
        if let Ok(ip) = host.parse() {
            return Err(unbracketed(ip, &port.to_string()));
        }
        if host.is_empty() {
            return Ok(Self::Any(port));
        }
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Localhost(port));
        }
        match text.parse::<SocketAddr>() {
            Ok(SocketAddr::V6(address)) if address.ip().is_unspecified() => Ok(Self::Any(port)),
            // ::ffff:127.0.0.1 is an IPv4 address, which an IPv6-only socket would not accept.
            Ok(address) => Ok(Self::One((address.ip().to_canonical(), port).into())),
            Err(_) if host.contains(['/', '@', '[', ']']) || host.contains(':') => Err(FORM.into()),
            Err(_) => Err(format!(
                "{host:?} is a name, and a listener takes an IP address of this machine or localhost: {port} listens on \
                 all addresses, 127.0.0.1:{port} on one"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_notations_are_understood() {
        for (text, expected, local) in [
            ("18080", ListenAddress::Any(18080), "127.0.0.1:18080"),
            (":18080", ListenAddress::Any(18080), "127.0.0.1:18080"),
            ("[::]:18080", ListenAddress::Any(18080), "127.0.0.1:18080"),
            ("localhost:18080", ListenAddress::Localhost(18080), "127.0.0.1:18080"),
            ("LocalHost:0", ListenAddress::Localhost(0), "127.0.0.1:0"),
            ("0.0.0.0:18080", ListenAddress::One(([0, 0, 0, 0], 18080).into()), "127.0.0.1:18080"),
            ("127.0.0.1:1", ListenAddress::One(([127, 0, 0, 1], 1).into()), "127.0.0.1:1"),
            ("[::ffff:127.0.0.1]:1", ListenAddress::One(([127, 0, 0, 1], 1).into()), "127.0.0.1:1"),
            ("[::1]:1", ListenAddress::One((Ipv6Addr::LOCALHOST, 1).into()), "[::1]:1"),
        ] {
            let parsed: ListenAddress = text.parse().unwrap();
            assert_eq!((parsed, parsed.local().to_string().as_str()), (expected, local), "{text}");
            assert_eq!(parsed.to_string().parse::<ListenAddress>().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, says) in [
            ("::", "[::]:18080"),
            ("::1:18080", "[::1]:18080"),
            ("::1", "[::1]:18080"),
            ("[::]", "[::]:18080"),
            ("0.0.0.0", "0.0.0.0:18080"),
            ("localhost", "localhost:18080"),
            ("18080x", "18080, 127.0.0.1:18080 or [::]:18080"),
            ("http://0.0.0.0:18080", "18080, 127.0.0.1:18080 or [::]:18080"),
            ("tcp://10.0.0.1:18080", "18080, 127.0.0.1:18080 or [::]:18080"),
            ("", "18080, 127.0.0.1:18080 or [::]:18080"),
            ("0.0.0.0:", "18080, 127.0.0.1:18080 or [::]:18080"),
            ("65536", "65535"),
            ("meet.example.org:18080", "127.0.0.1:18080"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
