//! Checks of the page's origin, for connections (R64, R92) and for attempts over HTTP (R120), and of the host name
//! (R93).

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::Instant;
use url::Host;

use super::admin::bearer;
use super::api::{ApiError, success};
use super::client::{FORWARDED_HOST, Origins, Proxies, host_of, split_port};
use crate::access::{NONCE_BYTES, OriginRejection, PROOF_LIFETIME, RequestOrigin};
use crate::app::App;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Result of checking the `Origin` of a request.
#[derive(Debug)]
pub(super) enum OriginCheck {
    /// No page, a page of this server, or a page that is allowed.
    Accepted,
    /// The page may be this server's own behind a proxy that changes `Host`: its `join` must prove it.
    NeedsProof(RequestOrigin),
    /// A page that may not connect.
    Rejected(RequestOrigin, OriginRejection),
}

/// Checks the `Origin` of a WebSocket upgrade.
pub(super) fn check_origin(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies, allowed: &Origins) -> OriginCheck {
    let Some(origin) = headers.get(header::ORIGIN) else { return OriginCheck::Accepted };
    let reject = |why| OriginCheck::Rejected(request_origin(headers), why);
    let Ok(text) = origin.to_str() else { return reject(OriginRejection::Opaque) };
    if allowed.allows(text) {
        return OriginCheck::Accepted;
    }
    if host_of(text).is_none() {
        return reject(OriginRejection::Opaque);
    }
    if proxies.is_own_page(peer, headers, text) {
        return OriginCheck::Accepted;
    }
    OriginCheck::NeedsProof(request_origin(headers))
}

/// R120: rejects a request that a page of another origin makes in a visitor's browser, before it counts as an attempt
/// of the visitor's address.
///
/// Browsers send `Sec-Fetch-Site` over HTTPS, and `Origin` with every CORS request and every `POST`. Without both, a
/// request may be a program's. An unknown `Origin` alone may be that of this server's own page behind a proxy that
/// changes
/// `Host`. Such a page sends a bearer token or a valid secret; other pages cannot send `Authorization` without a
/// preflight.
pub(super) fn reject_foreign_page(app: &App, peer: IpAddr, headers: &HeaderMap) -> Result<(), ApiError> {
    let config = &app.config;
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin.is_some_and(|origin| config.allowed_origins.allows(origin)) {
        return Ok(());
    }
    let check = check_origin(peer, headers, &config.trusted_proxies, &config.allowed_origins);
    let why = match (check, headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes)) {
        (_, Some(b"same-origin" | b"none")) | (OriginCheck::Accepted, None) => return Ok(()),
        (OriginCheck::NeedsProof(_), None) if bearer(headers).is_some() => return Ok(()),
        (OriginCheck::Rejected(_, why), None) => why,
        _ => OriginRejection::ForeignPage,
    };
    app.origin_proofs.log_rejection(&request_origin(headers), why, Instant::now());
    Err(not_allowed(why))
}

/// R92: issues an origin proof (`GET /signal-api/v1/origin-proof`). No response here ever has a CORS header.
pub(super) async fn issue_proof(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data {
        proof: String,
        expires_in_seconds: u64,
    }
    if is_cross_origin(&headers) {
        let why = OriginRejection::CrossSite;
        app.origin_proofs.log_rejection(&request_origin(&headers), why, Instant::now());
        return Err(not_allowed(why));
    }
    let mut nonce = [0; NONCE_BYTES];
    (app.surroundings.random)(&mut nonce).map_err(|_| ApiError::internal())?;
    let proof = app.origin_proofs.issue((app.surroundings.clock)(), nonce);
    let mut response = success(Data { proof, expires_in_seconds: PROOF_LIFETIME.as_secs() });
    response.headers_mut().insert(CORP, HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// Returns whether a request for a proof comes from another origin. Browsers do not let other pages read the response;
/// this check also covers a proxy that adds CORS headers. A GET of the same origin has no `Origin` (Fetch §3.1), a CORS
/// request has one, and `Sec-Fetch-Site` (Fetch Metadata §2.3) is sent over HTTPS.
///
/// `Host` is not considered: it may name the upstream of a proxy.
fn is_cross_origin(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
}

/// R93: rejects a request under a host name that is not the server's, whatever its path.
pub(super) async fn reject_unknown_name(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let config = &app.config;
    let Err(from) = check_name(request.headers(), &config.allowed_origins, &config.server_names) else {
        return next.run(request).await;
    };
    app.origin_proofs.log_rejection(&from, OriginRejection::UnknownName, Instant::now());
    not_allowed(OriginRejection::UnknownName).into_response()
}

/// Checks the host names that a request gives for this server: that of the page's `Origin`, of `Host`, and all of
/// `X-Forwarded-Host`. The latter is read from any client, because it can only add a reason to reject: a page that has
/// rebound a name can set it, and `Host` is checked all the same.
///
/// A page that has rebound a name sends that name in `Host`, unless a proxy puts the address or the name of its
/// upstream there. Addresses and single-label names, such as `server:18080`, therefore pass: nobody can register them.
fn check_name(headers: &HeaderMap, allowed: &Origins, names: &ServerNames) -> Result<(), RequestOrigin> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if names.0.is_empty() || origin.is_some_and(|origin| allowed.allows(origin)) {
        return Ok(());
    }
    if origin.and_then(host_of).is_some_and(|(_, host, _)| !names.include(host)) {
        return Err(request_origin(headers));
    }
    let lines = headers.get_all(header::HOST).iter().chain(headers.get_all(FORWARDED_HOST));
    let hosts = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let is_ours = |host: &[u8]| {
        let Ok(host) = str::from_utf8(host) else { return false };
        let is_allowed = || ["http", "https"].iter().any(|scheme| allowed.allows(&format!("{scheme}://{host}")));
        split_port(host).is_some_and(|(name, _)| names.include_host(name)) || is_allowed()
    };
    match hosts.filter(|host| !host.is_empty()).find(|host| !is_ours(host)) {
        Some(host) => Err(RequestOrigin::new(origin.unwrap_or_default().as_bytes(), host)),
        None => Ok(()),
    }
}

pub(super) fn not_allowed(why: OriginRejection) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", why.message())
}

fn request_origin(headers: &HeaderMap) -> RequestOrigin {
    let bytes = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    RequestOrigin::new(bytes(header::ORIGIN), bytes(header::HOST))
}

/// Host names and addresses under which browsers reach this server. If empty, every name is accepted.
#[derive(Clone, Debug, Default)]
pub struct ServerNames(Vec<Host>);

impl FromStr for ServerNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse_name)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl ServerNames {
    fn include(&self, host: &str) -> bool {
        normalise(host).is_some_and(|host| self.0.contains(&host))
    }

    /// Returns whether `Host` may have this value: one of the names, or one that a proxy may use for its upstream.
    fn include_host(&self, host: &str) -> bool {
        match normalise(host) {
            Some(Host::Domain(name)) if name.contains('.') => self.0.contains(&Host::Domain(name)),
            host => host.is_some(),
        }
    }
}

fn parse_name(text: &str) -> Result<Host, String> {
    let example = "such as meet.example, 203.0.113.7 or ::1";
    if text.contains("://") || text.contains('/') {
        return Err(format!("{text:?} is an address: write the host name alone, {example}"));
    }
    if text.contains('*') {
        return Err(format!("{text:?} has a wildcard: list each name, {example}"));
    }
    normalise(text).ok_or_else(|| match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{text:?} has a port, and names are valid for every port: write {host:?}")
        }
        _ => format!("{text:?} is not a host name or an IP address, {example}"),
    })
}

/// Returns the host as browsers serialise it (WHATWG URL §3.5), without the dot at the end of a fully qualified name.
fn normalise(text: &str) -> Option<Host> {
    // Addresses are accepted with and without brackets.
    if let Ok(address) = text.parse() {
        return Some(Host::Ipv6(address));
    }
    match Host::parse(text.strip_suffix('.').unwrap_or(text)).ok()? {
        Host::Domain(name) if name.is_empty() => None,
        host => Some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    const ALLOWED: &str = "https://app.example, http://localhost:5173";

    /// Returns `accepted`, `proof`, or the reason for the rejection.
    fn checked(peer: &str, list: &[(&'static str, &str)]) -> String {
        let proxies = "10.0.0.0/8".parse().unwrap();
        match check_origin(peer.parse().unwrap(), &headers(list), &proxies, &ALLOWED.parse().unwrap()) {
            OriginCheck::Accepted => "accepted".to_owned(),
            OriginCheck::NeedsProof(_) => "proof".to_owned(),
            OriginCheck::Rejected(_, why) => format!("{why:?}"),
        }
    }

    #[test]
    fn r64_a_page_connects_by_its_host_by_the_settings_or_by_a_proof() {
        for (peer, origin, host, forwarded, expected) in [
            ("203.0.113.7", "https://meet.example", "meet.example", None, "accepted"),
            ("203.0.113.7", "https://meet.example", "MEET.example:443", None, "accepted"),
            ("203.0.113.7", "http://meet.example", "meet.example:80", None, "accepted"),
            ("203.0.113.7", "https://meet.example:19003", "meet.example:19003", None, "accepted"),
            ("203.0.113.7", "http://[::1]:18080", "[::1]:18080", None, "accepted"),
            ("203.0.113.7", "https://meet.example:19003", "meet.example", None, "proof"),
            ("203.0.113.7", "https://meet.example:19003", "10.1.2.3:18080", None, "proof"),
            ("203.0.113.7", "https://evil.example", "meet.example", None, "proof"),
            ("203.0.113.7", "https://meet.example.evil.example", "meet.example", None, "proof"),
            ("203.0.113.7", "https://evil.example", "meet.example", Some("evil.example"), "proof"),
            ("203.0.113.7", "null", "meet.example", None, "Opaque"),
            ("203.0.113.7", "meet.example", "meet.example", None, "Opaque"),
            ("203.0.113.7", "https://meet.example/x", "meet.example", None, "Opaque"),
            ("203.0.113.7", "https://APP.example", "meet.example", None, "accepted"),
            ("203.0.113.7", "http://localhost:5173", "meet.example", None, "accepted"),
            ("203.0.113.7", "http://localhost:5174", "meet.example", None, "proof"),
            ("10.0.0.1", "https://meet.example", "server:18080", Some("meet.example"), "accepted"),
            ("10.0.0.1", "https://meet.example", "server:18080", None, "proof"),
        ] {
            let mut list = vec![("origin", origin), ("host", host)];
            list.extend(forwarded.map(|host| ("x-forwarded-host", host)));
            assert_eq!(checked(peer, &list), expected, "{origin} at {host}, {forwarded:?}");
        }
        for (peer, scheme, expected) in
            [("10.0.0.1", "https", "accepted"), ("10.0.0.1", "http", "proof"), ("203.0.113.7", "http", "accepted")]
        {
            let list = [("origin", "https://meet.example"), ("host", "meet.example"), ("x-forwarded-proto", scheme)];
            assert_eq!(checked(peer, &list), expected, "{peer} {scheme}");
        }
        assert_eq!(checked("203.0.113.7", &[("host", "other.example")]), "accepted", "a program");
        let any = "*".parse().unwrap();
        let list = headers(&[("origin", "null"), ("host", "a")]);
        let check = check_origin([203, 0, 113, 7].into(), &list, &Proxies::default(), &any);
        assert!(matches!(check, OriginCheck::Accepted), "{check:?}");
    }

    const NAMES: &str = "Meet.Example., 会议.example, 203.0.113.7, ::1, localhost";

    fn is_known(names: &str, list: &[(&'static str, &str)]) -> bool {
        check_name(&headers(list), &ALLOWED.parse().unwrap(), &names.parse().unwrap()).is_ok()
    }

    #[test]
    fn r93_with_server_names_a_page_of_another_name_is_rejected_whatever_its_host() {
        for (origin, host, expected) in [
            ("https://meet.example", "meet.example", true),
            ("https://meet.example.", "meet.example.", true),
            ("https://meet.example:19003", "10.1.2.3:18080", true),
            ("https://xn--6oqu09l.example", "backend", true),
            ("https://203.0.113.7:19003", "backend", true),
            ("http://[::1]:18080", "[::1]:18080", true),
            ("https://app.example", "backend", true),
            ("https://app.example", "evil.example", true),
            ("http://evil.example:18080", "evil.example:18080", false),
            ("https://evil.example", "meet.example", false),
            ("https://evil.example", "10.1.2.3:18080", false),
            ("https://www.meet.example", "meet.example", false),
            ("https://meet.example..", "meet.example", false),
            ("https://[::2]", "[::2]", false),
            ("https://meet.example", "evil.example", false),
        ] {
            let list = [("origin", origin), ("host", host)];
            assert_eq!(is_known(NAMES, &list), expected, "{origin} at {host}");
            assert!(is_known("", &list), "no names are set: {origin} at {host}");
        }
    }

    #[test]
    fn r93_without_an_origin_the_host_tells_a_rebound_name_from_the_upstream_of_a_proxy() {
        for (host, forwarded, expected) in [
            ("meet.example", None, true),
            ("MEET.example.:18080", None, true),
            ("xn--6oqu09l.example", None, true),
            // Names by which a proxy or a program addresses the server.
            ("10.1.2.3:18080", None, true),
            ("[fd00::7]:18080", None, true),
            ("server:18080", None, true),
            ("roundtable_servers", None, true),
            ("localhost:18080", None, true),
            ("", None, true),
            ("app.example", None, true),
            ("evil.example", None, false),
            ("evil.example:18080", None, false),
            ("10.1.2.3.evil.example", None, false),
            ("www.meet.example", None, false),
            ("meet.example@evil.example", None, false),
            ("evil example", None, false),
            ("localhost:5173.evil.example", None, false),
            // A proxy appends the name to what the page itself has written.
            ("server:18080", Some("meet.example"), true),
            ("server:18080", Some("evil.example"), false),
            ("server:18080", Some("meet.example, evil.example"), false),
            ("server:18080", Some("evil.example, meet.example"), false),
            ("evil.example", Some("meet.example"), false),
        ] {
            let mut list = vec![("host", host)];
            list.extend(forwarded.map(|host| ("x-forwarded-host", host)));
            assert_eq!(is_known(NAMES, &list), expected, "{host}, {forwarded:?}");
            assert!(is_known("", &list), "no names are set: {host}, {forwarded:?}");
        }
        let bytes = HeaderMap::from_iter([(header::HOST, HeaderValue::from_bytes(b"\xe4.example").unwrap())]);
        assert!(check_name(&bytes, &Origins::default(), &NAMES.parse().unwrap()).is_err());
    }

    #[test]
    fn r93_a_name_that_could_never_match_is_refused_with_the_reason() {
        for (bad, says) in [
            ("https://meet.example", "host name alone"),
            ("meet.example/", "host name alone"),
            ("*.meet.example", "wildcard"),
            ("meet.example:19003", "write \"meet.example\""),
            ("[::1]:443", "write \"[::1]\""),
            ("meet example", "not a host name"),
            (".", "not a host name"),
            ("meet.example, a@b", "not a host name"),
        ] {
            let error = bad.parse::<ServerNames>().unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
