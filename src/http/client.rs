//! Who asks, and from which page: what a proxy says of it is believed where the proxy is trusted (R64, R65).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The other end of a connection, as the system tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// How much longer than others a connection may last, because what is fetched by it is large.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience(Arc<AtomicU64>);

impl Patience {
    /// At least so much longer.
    pub(crate) fn extend(&self, time: Duration) {
        self.0.fetch_max(time.as_secs(), Ordering::Relaxed);
    }

    /// How much it is now.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Proxies that are believed: networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3), separated by commas.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl FromStr for Proxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let nets = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
            let net = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| format!("{part:?} is no address or network such as 10.0.0.1, 10.0.0.0/8 or fd00::/8"))
        });
        nets.collect::<Result<_, _>>().map(Self)
    }
}

impl Proxies {
    /// Whether what comes from there is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Who asks: the last one that the trusted proxies on the way have not taken from each other. Each proxy adds
    /// whom it was asked by at the end, so that what stands further ahead, anybody may have written.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            if headers.contains_key(FORWARDED_FOR) {
                say_once(client);
            }
            return client;
        }
        let lines: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(','));
        for hop in hops {
            let Some(address) = address_of(hop.trim()) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// Whether a browser may connect from the page of this origin: from our own pages, and from those that are
    /// allowed. What is not a browser says no origin.
    pub(crate) fn may_come_from(&self, peer: IpAddr, headers: &HeaderMap, allowed: &Origins) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if allowed.allows(origin) {
            return true;
        }
        let forwarded = self.trusts(peer).then(|| headers.get_all(FORWARDED_HOST).iter().next_back()).flatten();
        let host = forwarded.or_else(|| headers.get(header::HOST)).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| is_same(origin, host.rsplit(',').next().unwrap_or(host).trim()))
    }
}

/// `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::7` and `[2001:db8::7]:4711` are all seen.
fn address_of(hop: &str) -> Option<IpAddr> {
    let plain = hop.trim_start_matches('[').trim_end_matches(']');
    let address = plain.parse().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Every limit by address would count all who come through such a proxy as one.
fn say_once(proxy: IpAddr) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            %proxy,
            "X-Forwarded-For from an address that is not in ROUNDTABLE_TRUSTED_PROXIES: everyone behind it counts as one"
        );
    });
}

/// Origins of pages, separated by commas: `https://app.example`, `null`, or `*` for all.
#[derive(Clone, Default)]
pub struct Origins(Vec<Box<str>>);

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let origins = parts.map(|part| {
            if part == "*" || part == "null" || host_of(part).is_some() {
                return Ok(part.to_ascii_lowercase().into());
            }
            Err(format!("{part:?} is no origin such as https://app.example or http://localhost:5173, without a path"))
        });
        origins.collect::<Result<_, _>>().map(Self)
    }
}

impl Origins {
    fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| &**allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// Scheme, host and port of an origin (RFC 6454 §6.2).
fn host_of(origin: &str) -> Option<(&str, &str, Option<u16>)> {
    let (scheme, rest) = origin.split_once("://")?;
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', ',']);
    let (host, port) = split_port(rest)?;
    (is_host(scheme) && is_host(host)).then_some((scheme, host, port))
}

/// `host` or `host:port`; an IPv6 address stands in brackets.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

/// Same host and same port. The scheme is the proxy's affair: we see none of the TLS before us.
fn is_same(origin: &str, host: &str) -> bool {
    let (Some((scheme, from, port)), Some((to, to_port))) = (host_of(origin), split_port(host)) else { return false };
    let usual = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    from.eq_ignore_ascii_case(to) && port.unwrap_or(usual) == to_port.unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn r65_a_client_is_who_asked_the_outermost_trusted_proxy() {
        let proxies: Proxies = "127.0.0.1, 10.0.0.0/8,fd00::/8".parse().unwrap();
        for (peer, forwarded, client) in [
            ("203.0.113.7", &[][..], "203.0.113.7"),
            ("::ffff:203.0.113.7", &[], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1, 10.0.0.9"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("fd00::1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["unknown, 10.0.0.9"], "10.0.0.9"),
            ("10.0.0.1", &["10.0.0.8,10.0.0.9"], "10.0.0.8"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            let list: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            assert_eq!(proxies.client(ip(peer), &headers(&list)), ip(client), "{peer} {forwarded:?}");
        }
        assert_eq!(
            Proxies::default().client(ip("127.0.0.1"), &headers(&[("x-forwarded-for", "192.0.2.1")])),
            ip("127.0.0.1")
        );
    }

    #[test]
    fn r64_pages_of_the_same_host_and_port_may_connect() {
        let proxies: Proxies = "10.0.0.0/8".parse().unwrap();
        let allowed: Origins = "https://app.example, http://localhost:5173".parse().unwrap();
        for (peer, origin, host, forwarded, may) in [
            ("203.0.113.7", "https://meet.example", "meet.example", None, true),
            ("203.0.113.7", "https://meet.example", "MEET.example:443", None, true),
            ("203.0.113.7", "http://meet.example", "meet.example:80", None, true),
            ("203.0.113.7", "https://meet.example:19003", "meet.example:19003", None, true),
            ("203.0.113.7", "http://[::1]:18080", "[::1]:18080", None, true),
            ("203.0.113.7", "https://meet.example:19003", "meet.example", None, false),
            ("203.0.113.7", "https://evil.example", "meet.example", None, false),
            ("203.0.113.7", "https://meet.example.evil.example", "meet.example", None, false),
            ("203.0.113.7", "https://evil.example", "meet.example", Some("evil.example"), false),
            ("203.0.113.7", "null", "meet.example", None, false),
            ("203.0.113.7", "meet.example", "meet.example", None, false),
            ("203.0.113.7", "https://APP.example", "meet.example", None, true),
            ("203.0.113.7", "http://localhost:5173", "meet.example", None, true),
            ("203.0.113.7", "http://localhost:5174", "meet.example", None, false),
            ("10.0.0.1", "https://meet.example", "server:18080", Some("meet.example"), true),
            ("10.0.0.1", "https://meet.example", "server:18080", None, false),
        ] {
            let mut list = vec![("origin", origin), ("host", host)];
            list.extend(forwarded.map(|host| ("x-forwarded-host", host)));
            let found = proxies.may_come_from(ip(peer), &headers(&list), &allowed);
            assert_eq!(found, may, "{origin} at {host}, {forwarded:?}");
        }
        let none = headers(&[("host", "meet.example")]);
        assert!(proxies.may_come_from(ip("203.0.113.7"), &none, &Origins::default()));
        let any: Origins = "*".parse().unwrap();
        assert!(proxies.may_come_from(ip("203.0.113.7"), &headers(&[("origin", "null"), ("host", "a")]), &any));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["localhost", "10.0.0.0/33", "10.0.0.1,,x", "10.0.0"] {
            assert!(bad.parse::<Proxies>().is_err(), "{bad}");
        }
        for bad in ["app.example", "https://app.example/", "https://", "https://a b", "https://a:port"] {
            assert!(bad.parse::<Origins>().is_err(), "{bad}");
        }
    }
}
