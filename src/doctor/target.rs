//! Address of a meeting, parsed as browsers do (WHATWG URL).

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};
use url::{Host, Url};

/// A server's page, from which all other addresses are derived. It contains no room name, because whoever knows one can
/// join.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    page: Url,
}

impl Target {
    /// Derives the page from a URL with the scheme http or https.
    pub(super) fn new(mut page: Url) -> Self {
        let path = page.path();
        // For a room's page, or an address of the API: the directory that contains both.
        if let Some(end) = ["/r/", "/signal-api/"].iter().filter_map(|inner| path.find(inner)).min() {
            let folder = path[..=end].to_owned();
            page.set_path(&folder);
        }
        page.set_query(None);
        page.set_fragment(None);
        Self { page }
    }

    /// Resolves a redirect. Returns `None` if it does not lead to a web page.
    pub(super) fn redirected(&self, location: &str) -> Option<Self> {
        let page = self.page.join(location).ok()?;
        matches!(page.scheme(), "http" | "https").then(|| Self::new(page))
    }

    /// Resolves a redirect from this path.
    pub(super) fn beside(&self, path: &str, location: &str) -> Option<Self> {
        Self { page: self.page.join(path).ok()? }.redirected(location)
    }

    pub(super) fn page(&self) -> &str {
        self.page.as_str()
    }

    pub(super) fn path(&self) -> &str {
        self.page.path()
    }

    pub(super) fn tls(&self) -> bool {
        self.page.scheme() == "https"
    }

    /// Returns a DNS name, or an IP address without brackets.
    pub(super) fn host(&self) -> String {
        match self.page.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => String::new(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.page.port_or_known_default().unwrap_or_default()
    }

    /// Returns the page's directory, which starts and ends with a slash.
    pub(super) fn base(&self) -> &str {
        let path = self.page.path();
        &path[..=path.rfind('/').unwrap_or_default()]
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.origin(), self.base())
    }

    /// Returns the origin as a browser serializes it, without a default port.
    pub(super) fn origin(&self) -> String {
        self.page.origin().ascii_serialization()
    }

    /// Returns the authority, as used in `Host` and shown for certificates.
    pub(super) fn authority(&self) -> String {
        self.origin().split_once("://").map(|(_, authority)| authority.to_owned()).unwrap_or_default()
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        HeaderMap::from_iter([(header::HOST, value(&self.authority())), (header::ORIGIN, value(&self.origin()))])
    }

    /// Returns the headers with which a browser opens a page.
    pub(super) fn page_headers(&self) -> HeaderMap {
        let mut headers = self.headers();
        headers.remove(header::ORIGIN);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
        headers
    }

    /// Tells whether a browser gives the page a camera without TLS. `address` is that of the connection: browsers resolve
    /// `localhost` and the names below it to this machine themselves, and a DNS server may resolve them to another one.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        let host = self.host();
        let is_trusted = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        is_trusted && address.to_canonical().is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(page: &str) -> Target {
        Target::new(page.parse().unwrap())
    }

    #[test]
    fn any_address_of_a_meeting_names_its_server() {
        for (page, api, origin) in [
            ("https://meet.example", "https://meet.example/signal-api/", "https://meet.example"),
            ("https://meet.example:443/r/standup?x=1", "https://meet.example/signal-api/", "https://meet.example"),
            ("https://meet.example/meet/diag", "https://meet.example/meet/signal-api/", "https://meet.example"),
            ("http://[::1]:7/a/b/", "http://[::1]:7/a/b/signal-api/", "http://[::1]:7"),
            ("http://a/meet/signal-api/v1/welcome", "http://a/meet/signal-api/", "http://a"),
            ("http://Bücher.example/", "http://xn--bcher-kva.example/signal-api/", "http://xn--bcher-kva.example"),
        ] {
            let target = target(page);
            assert_eq!((target.url("signal-api/"), target.origin()), (api.to_owned(), origin.to_owned()));
        }
        let v6 = target("http://[::1]:7/");
        assert_eq!((v6.host().as_str(), v6.port(), v6.authority().as_str()), ("::1", 7, "[::1]:7"));
    }

    #[test]
    fn cameras_are_given_to_this_machine_itself() {
        for (page, address, expected) in [
            ("http://localhost:1", "127.0.0.1", true),
            ("http://meet.localhost:1", "::1", true),
            ("http://[::1]:1", "::1", true),
            ("http://127.9.9.9/", "127.9.9.9", true),
            ("http://0.0.0.0:1", "127.0.0.1", false),
            ("http://meet.example", "127.0.0.1", false),
            // As a DNS server resolves it that is not to be trusted.
            ("http://localhost:1", "203.0.113.7", false),
            ("http://meet.localhost:1", "10.0.0.1", false),
        ] {
            assert_eq!(target(page).is_local(address.parse().unwrap()), expected, "{page} at {address}");
        }
    }

    #[test]
    fn redirects_lead_to_pages_alone() {
        let from = target("http://meet.example/meet");
        let leads = |location: &str| from.redirected(location).map(|to| to.page().to_owned());
        assert_eq!(leads("https://meet.example/meet/r/standup").unwrap(), "https://meet.example/meet/");
        assert_eq!(leads("/meet/").unwrap(), "http://meet.example/meet/");
        assert_eq!(leads("ftp://meet.example/"), None);
    }
}
