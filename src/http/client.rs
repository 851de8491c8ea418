//! The client's address and the page's origin of a request. What a proxy says of them counts if it is trusted (R64,
//! R65).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use serde::Serialize;
use url::Url;

use crate::addresses::is_internal;
use crate::app::App;
use crate::limits::SharedAddress;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// Scheme of the browser's request, as proxies report it.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Remote address of the TCP connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Extra time that an HTTP connection may last because of a large download.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patience(Arc<AtomicU64>);

impl Patience {
    /// Extends the extra time to at least this long.
    pub(crate) fn extend(&self, time: Duration) {
        self.0.fetch_max(time.as_secs(), Ordering::Relaxed);
    }

    /// Returns the current extra time.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// Networks in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3) and addresses, separated by commas.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let nets = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
            let net = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| format!("{part:?} is no address or network such as 10.0.0.1, 10.0.0.0/8 or fd00::/8"))
        });
        nets.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nets: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&nets.join(","))
    }
}

impl Networks {
    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether one of the networks contains this address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// Proxies whose forwarding headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Networks);

impl FromStr for Proxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Proxies {
    /// Returns whether headers from this address are trusted.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.contain(address)
    }

    /// Finds the client's address in `X-Forwarded-For`, from the end: the first that is not a trusted proxy's, or else
    /// the last one that can be parsed. Each proxy appends the address of its own client, so that whatever precedes
    /// that one may be forged.
    ///
    /// `gateways` are the default gateways of this machine or container.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap, gateways: &[IpAddr]) -> ClientAddress {
        let peer = peer.to_canonical();
        let has_headers = [FORWARDED_FOR, REAL_IP, header::FORWARDED].iter().any(|name| headers.contains_key(name));
        // The server speaks no TLS: a page with https reached it through a proxy.
        let is_proxied = has_headers || origin_of(headers).is_some_and(|origin| origin.starts_with("https://"));
        if !self.trusts(peer) {
            let source = match (has_headers, is_proxied) {
                (true, _) => AddressSource::UntrustedProxy,
                (false, true) => AddressSource::NoForwardedFor,
                (false, false) => AddressSource::Direct,
            };
            return ClientAddress { address: peer, source };
        }
        // Parsed as bytes: a proxy may have appended its client's address to a line that the client began with
        // arbitrary bytes.
        let lines: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut client = None;
        for hop in hops {
            let hop = str::from_utf8(hop.trim_ascii()).ok();
            let Some(address) = hop.and_then(address_of) else { break };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        let source = match client {
            Some(address) if gateways.contains(&address) => AddressSource::Gateway,
            Some(_) => AddressSource::Forwarded,
            None if is_proxied => AddressSource::NoForwardedFor,
            None => AddressSource::Direct,
        };
        ClientAddress { address: client.unwrap_or(peer), source }
    }

    /// Returns whether the host that the browser asked for, as far as the request tells it, is that of the page's
    /// origin.
    pub(super) fn is_own_page(&self, peer: IpAddr, headers: &HeaderMap, origin: &str) -> bool {
        let is_proxy = self.trusts(peer);
        let forwarded = |name| is_proxy.then(|| headers.get_all(name).iter().next_back()).flatten();
        let last = |value: &HeaderValue| Some(value.to_str().ok()?.rsplit(',').next()?.trim().to_owned());
        let host = forwarded(FORWARDED_HOST).or_else(|| headers.get(header::HOST)).and_then(last);
        let is_scheme =
            |scheme: String| origin.split_once(':').is_some_and(|(own, _)| own.eq_ignore_ascii_case(&scheme));
        host.is_some_and(|host| is_same(origin, &host))
            && forwarded(FORWARDED_PROTO).and_then(last).is_none_or(is_scheme)
    }
}

/// Parses one entry: `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::7` and `[2001:db8::7]:4711` all occur.
fn address_of(hop: &str) -> Option<IpAddr> {
    let plain = hop.trim_start_matches('[').trim_end_matches(']');
    let address = plain.parse().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// Address by which a client is counted (R65), with its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress {
    pub(crate) address: IpAddr,
    pub(crate) source: AddressSource,
}

/// Source of the address by which a client is counted. `v1/check` reports it to the client (R76).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AddressSource {
    /// The connection itself; nothing points to a proxy.
    Direct,
    /// `X-Forwarded-For` of a trusted proxy.
    Forwarded,
    /// The connection itself: the proxy that names the client is not trusted.
    UntrustedProxy,
    /// The connection itself: the proxy does not name the client in `X-Forwarded-For`.
    NoForwardedFor,
    /// `X-Forwarded-For` of a trusted proxy names the default gateway of the containers' network.
    Gateway,
}

/// Returns the address by which a client is counted, and reports a proxy that hides it. Only trusted proxies and those
/// in internal networks are reported: anybody on the internet may send these headers.
pub(crate) fn client_address(app: &App, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
    let client = app.config.trusted_proxies.client(peer, headers, app.limit_reports.gateways());
    let cause = match client.source {
        AddressSource::Direct | AddressSource::Forwarded => None,
        AddressSource::UntrustedProxy => Some(SharedAddress::UntrustedProxy),
        AddressSource::NoForwardedFor => Some(SharedAddress::NoForwardedFor),
        AddressSource::Gateway => Some(SharedAddress::Gateway),
    };
    if let Some(cause) = cause.filter(|_| is_internal(peer) || app.config.trusted_proxies.trusts(peer)) {
        app.report_shared_address(cause, client.address);
    }
    client
}

fn origin_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN)?.to_str().ok()
}

/// Origins of pages, separated by commas: `https://app.example`, `null`, or `*` for all. Each is kept as browsers write
/// it (RFC 6454 §6.2), so that no notation of one fails to match.
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
        let origins = parts.map(|part| match part {
            "*" => Ok(part.into()),
            _ if part.contains('*') => Err(format!(
                "{part:?}: there are no wildcards: list each origin, such as https://a.example.com,https://b.example.com, \
                 or * alone for all"
            )),
            _ => normalized(part).map(Into::into).map_err(|why| format!("{part:?}: {why}")),
        });
        origins.collect::<Result<_, _>>().map(Self)
    }
}

impl Origins {
    pub(super) fn allows(&self, origin: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let origin = normalized(origin).ok();
        self.0.iter().any(|allowed| &**allowed == "*" || Some(&**allowed) == origin.as_deref())
    }
}

/// Returns an origin as browsers write it: in lower case, with IDN in ASCII (UTS 46) and without a default port. The
/// error says what to write.
pub(super) fn normalized(text: &str) -> Result<String, String> {
    const FORM: &str = "an origin is scheme, host and port: https://app.example or http://localhost:5173";
    if text.eq_ignore_ascii_case("null") {
        return Ok("null".to_owned());
    }
    if !text.contains("://") {
        let hint = Url::parse(&format!("https://{text}")).map(|url| url.origin().ascii_serialization());
        return Err(hint.map_or_else(|_| FORM.to_owned(), |hint| format!("the scheme is missing: write {hint}")));
    }
    let url = Url::parse(text).map_err(|error| format!("{FORM} ({error})"))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(FORM)?;
    let is_plain = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let origin = match url.scheme() {
        "http" | "https" => url.origin().ascii_serialization(),
        "ws" | "wss" | "ftp" | "file" => {
            return Err(format!(
                "no page has the scheme {}: write that of the page, such as https://{host}",
                url.scheme()
            ));
        }
        // Schemes of apps and extensions: capacitor://localhost, chrome-extension://id.
        scheme => {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            format!("{scheme}://{host}{port}").to_lowercase()
        }
    };
    if !is_plain || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("an origin has neither path nor user: write {origin}"));
    }
    Ok(origin)
}

/// Splits an origin into scheme, host and port (RFC 6454 §6.2).
pub(super) fn host_of(origin: &str) -> Option<(&str, &str, Option<u16>)> {
    let (scheme, rest) = origin.split_once("://")?;
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', ',']);
    let (host, port) = split_port(rest)?;
    (is_host(scheme) && is_host(host)).then_some((scheme, host, port))
}

/// Splits `host` or `host:port`. An IPv6 address is in brackets.
pub(super) fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

/// Compares host and port. The scheme is left out: TLS ends at a proxy in front, and only the proxy knows it.
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
            assert_eq!(proxies.client(ip(peer), &headers(&list), &[]).address, ip(client), "{peer} {forwarded:?}");
        }
        for (forwarded, client) in [
            (&[&b"\xff, 198.51.100.1"[..]][..], "198.51.100.1"),
            (&[b"\xff\xfe,198.51.100.1, 10.0.0.9"], "198.51.100.1"),
            (&[b"\xff", b"198.51.100.1"], "198.51.100.1"),
            (&[b"\xff, 198.51.100.1", b"10.0.0.9"], "198.51.100.1"),
            (&[b"192.0.2.66", b"\xff, 10.0.0.9"], "10.0.0.9"),
            (&["\u{3000}192.0.2.66\u{a0}, 10.0.0.9".as_bytes()], "10.0.0.9"),
        ] {
            let lines = forwarded.iter().map(|line| (FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap()));
            let headers: HeaderMap = lines.collect();
            assert_eq!(proxies.client(ip("10.0.0.1"), &headers, &[]).address, ip(client), "{headers:?}");
        }
        let untrusted = Proxies::default().client(ip("127.0.0.1"), &headers(&[("x-forwarded-for", "192.0.2.1")]), &[]);
        assert_eq!(untrusted.address, ip("127.0.0.1"));
    }

    #[test]
    fn the_source_of_an_address_tells_which_proxy_setting_is_missing() {
        use AddressSource::{Direct, Forwarded, Gateway, NoForwardedFor, UntrustedProxy};
        let proxies: Proxies = "127.0.0.1,10.0.0.0/8".parse().unwrap();
        let https = ("origin", "https://meet.example");
        for (peer, list, source) in [
            ("172.17.0.1", &[][..], Direct),
            ("172.17.0.1", &[("origin", "http://localhost:18080")], Direct),
            ("172.17.0.1", &[https], NoForwardedFor),
            ("172.17.0.1", &[("x-forwarded-for", "203.0.113.7")], UntrustedProxy),
            ("172.17.0.1", &[("x-real-ip", "203.0.113.7")], UntrustedProxy),
            ("172.17.0.1", &[("forwarded", "for=203.0.113.7"), https], UntrustedProxy),
            ("10.0.0.1", &[], Direct),
            ("10.0.0.1", &[https], NoForwardedFor),
            ("10.0.0.1", &[("x-real-ip", "203.0.113.7")], NoForwardedFor),
            ("10.0.0.1", &[("x-forwarded-for", "unknown")], NoForwardedFor),
            ("10.0.0.1", &[("x-forwarded-for", "203.0.113.7"), https], Forwarded),
            ("10.0.0.1", &[("x-forwarded-for", "172.18.0.1"), https], Gateway),
            ("10.0.0.1", &[("x-forwarded-for", "172.18.0.2"), https], Forwarded),
        ] {
            let client = proxies.client(ip(peer), &headers(list), &[ip("172.18.0.1")]);
            assert_eq!(client.source, source, "{peer} {list:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["localhost", "10.0.0.0/33", "10.0.0.1,,x", "10.0.0"] {
            assert!(bad.parse::<Proxies>().is_err(), "{bad}");
        }
        for (bad, says) in [
            ("app.example", "write https://app.example"),
            ("localhost:5173", "write https://localhost:5173"),
            ("https://app.example/r", "write https://app.example"),
            ("https://app.example?x", "write https://app.example"),
            ("https://me@app.example", "write https://app.example"),
            ("https://*.app.example", "https://a.example.com"),
            ("*.app.example", "https://a.example.com"),
            ("https://", "https://app.example"),
            ("https://a b", "https://app.example"),
            ("https://a:port", "https://app.example"),
            ("wss://app.example", "https://app.example"),
            ("\"https://app.example\"", "https://app.example"),
            ("https://app.example https://other.example", "https://app.example"),
        ] {
            let error = bad.parse::<Origins>().unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn r64_an_allowed_origin_matches_in_every_notation_of_it() {
        for (allowed, origin) in [
            ("https://app.example:443", "https://app.example"),
            ("https://app.example", "https://app.example:443"),
            ("http://app.example:80/", "http://app.example"),
            ("HTTPS://App.Example/", "https://app.example"),
            ("https://app.example:8443", "https://app.example:8443"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("https://B\u{dc}CHER.example", "https://xn--bcher-kva.example"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://\u{4f8b}\u{3048}.example", "https://xn--r8jz45g.example"),
            ("http://[::1]:5173", "http://[::1]:5173"),
            ("http://[0:0:0:0:0:0:0:1]:5173", "http://[::1]:5173"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("null", "null"),
            ("*", "https://anything.example"),
            (" https://other.example , https://app.example,", "https://app.example"),
        ] {
            assert!(allowed.parse::<Origins>().unwrap().allows(origin), "{allowed} and {origin}");
        }
        for (allowed, origin) in [
            ("https://app.example", "http://app.example"),
            ("https://app.example", "https://app.example:444"),
            ("https://app.example", "https://app.example.evil.example"),
            ("https://app.example", "https://app.example/path"),
            ("https://app.example", "null"),
            ("", "https://app.example"),
        ] {
            assert!(!allowed.parse::<Origins>().unwrap().allows(origin), "{allowed} and {origin}");
        }
    }
}
