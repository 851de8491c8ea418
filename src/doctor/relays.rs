//! STUN and TURN servers as a member of a meeting uses them: an allocation by each URL, and bytes that go through.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::findings::Finding;
use super::report::{Found, Report};
use super::turn::{Allocation, Client, Fault, Transport};
use super::web::{self, Trust};
use crate::protocol::IceServer;

/// How long bytes through the relay may take; they are sent anew meanwhile.
const DATA_PATIENCE: Duration = Duration::from_secs(3);
const DATA_AGAIN: Duration = Duration::from_millis(300);
/// How many URLs are looked at.
const URLS: usize = 12;

const LOOK: &str = "relay";

/// Looks at all servers, one after the other.
pub(super) async fn look(servers: &[IceServer], trust: &Trust, report: &mut Report) {
    let urls = servers.iter().flat_map(|server| server.urls.iter().map(move |url| (url, server)));
    let urls: Vec<_> = urls.take(URLS).collect();
    if !urls.iter().any(|(url, _)| url.starts_with("turn")) {
        report.well(LOOK, "none is set: calls need a direct path between browsers (README: Calls across networks)");
    }
    for (url, server) in urls {
        let Some(place) = Place::parse(url) else {
            report.missed(LOOK, format!("{url} is no address of a STUN or TURN server"));
            continue;
        };
        let username = server.username.as_deref().unwrap_or_default();
        let way = Way { place, url, user: (username, server.credential.as_deref().unwrap_or_default()), trust };
        let looked = if url.starts_with("stun") { way.look_at_stun().await } else { way.look_at_turn(report).await };
        match looked {
            Ok(said) => report.well(LOOK, format!("{url}: {said}")),
            Err(found) => report.found(found),
        }
    }
}

/// What a URL says (RFC 7064, RFC 7065).
#[derive(Debug, Eq, PartialEq)]
struct Place {
    host: String,
    port: u16,
    tcp: bool,
    tls: bool,
}

impl Place {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let tls = scheme.ends_with('s');
        let (server, query) = rest.split_once('?').unwrap_or((rest, ""));
        let tcp = tls || query == "transport=tcp";
        let usual = if tls { 5349 } else { 3478 };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (server, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then_some(Self { host, port, tcp, tls })
    }
}

struct Way<'a> {
    place: Place,
    url: &'a str,
    user: (&'a str, &'a str),
    trust: &'a Trust,
}

impl Way<'_> {
    fn found(&self, finding: Finding, detail: impl Into<String>) -> Found {
        Found::new(finding, self.url, detail)
    }

    async fn look_at_stun(&self) -> Result<String, Found> {
        let fault = |fault| match fault {
            Fault::Silent(why) | Fault::Refused(_, why) => self.found(Finding::StunUnreachable, why),
        };
        let (transport, _) = self.connect(Finding::StunUnreachable).await?;
        match Client::new(transport, "", "").bind().await.map_err(fault)? {
            // Somebody's address is nobody's business in a report that is passed on.
            Some(_) => Ok("it answers".into()),
            None => Err(self.found(Finding::StunUnreachable, "it does not say where it sees this machine")),
        }
    }

    async fn look_at_turn(&self, report: &mut Report) -> Result<String, Found> {
        let (mut one, at) = self.client().await?;
        let first = one.allocate().await.map_err(|fault| self.refused(fault))?;
        let (mut other, _) = self.client().await?;
        let second = other.allocate().await.map_err(|fault| self.refused(fault))?;
        report.busy(&format!("{}: sending through the relay, up to {} s", self.url, 2 * DATA_PATIENCE.as_secs()));
        let outer = self.through_port(&mut one, first).await;
        let inner = through_both(&mut one, first, &mut other, second).await;
        one.release().await;
        other.release().await;
        let relayed = first.relayed;
        let elsewhere = relayed.ip() != at.ip().to_canonical();
        match (outer, inner) {
            (Some(false), _) | (None, Err(_)) if elsewhere => {
                Err(self.found(Finding::RelayAddressWrong, format!("it says {relayed} and is reached at {}", at.ip())))
            }
            (None, Ok(())) if elsewhere && is_inner(relayed.ip()) && !is_inner(at.ip()) => {
                let why = format!("it says {relayed}, an address of a private network, and is reached at {}", at.ip());
                Err(self.found(Finding::RelayAddressWrong, why))
            }
            (Some(false), _) => Err(self.found(Finding::RelayPortsClosed, format!("nothing comes through {relayed}"))),
            (None, Err(why)) => Err(self.found(Finding::RelayPortsClosed, format!("{relayed}: {why}"))),
            (Some(true), Err(why)) => Err(self.found(Finding::RelayNotToItself, format!("{relayed}: {why}"))),
            (_, Ok(())) => Ok(format!("it relays at {}", relayed.ip())),
        }
    }

    async fn client(&self) -> Result<(Client, SocketAddr), Found> {
        let (transport, at) = self.connect(Finding::RelayUnreachable).await?;
        Ok((Client::new(transport, self.user.0, self.user.1), at))
    }

    async fn connect(&self, silent: Finding) -> Result<(Transport, SocketAddr), Found> {
        let Place { host, port, tcp, tls } = &self.place;
        if *tcp {
            let (stream, at) = web::connect(host, *port).await.map_err(|found| found.behind(silent, self.url))?;
            if !tls {
                return Ok((Transport::Stream(Box::new(stream)), at));
            }
            return match web::secure(stream, host, self.trust, self.url).await? {
                (stream, None) => Ok((Transport::Stream(stream), at)),
                // Browsers go no further: nobody can wave them on.
                (_, Some(found)) => Err(found),
            };
        }
        let silent = |why: std::io::Error| self.found(silent, why.to_string());
        let addresses = web::resolve(host, *port).await.map_err(|found| found.about(self.url))?;
        let at = addresses.first().copied().ok_or_else(|| silent(std::io::ErrorKind::NotFound.into()))?;
        let socket = UdpSocket::bind(any(at)).await.map_err(silent)?;
        socket.connect(at).await.map_err(silent)?;
        Ok((Transport::Udp(socket), at))
    }

    fn refused(&self, fault: Fault) -> Found {
        match fault {
            Fault::Silent(why) => self.found(Finding::RelayUnreachable, why),
            Fault::Refused(code @ (401 | 431 | 441), why) => {
                self.found(Finding::RelaySecretWrong, format!("{code} {why}"))
            }
            Fault::Refused(code, why) => self.found(Finding::RelayRefused, format!("{code} {why}")),
        }
    }

    /// Whether the relay's port takes what comes from this machine, as another member's browser would send it. `None`
    /// where that cannot be asked: over TCP, as this network may let no UDP out; or the relay lets no address such as
    /// this machine's send.
    async fn through_port(&self, client: &mut Client, to: Allocation) -> Option<bool> {
        let mapped = to.mapped.filter(|_| !self.place.tcp)?;
        client.permit(mapped).await.ok()?;
        let socket = UdpSocket::bind(any(to.relayed)).await.ok()?;
        let data = nonce();
        let deadline = Instant::now() + DATA_PATIENCE;
        while Instant::now() < deadline {
            // An address that there is no way to is one at which it is not reached.
            let _ = socket.send_to(&data, to.relayed).await;
            if client.receives(&data, deadline.min(Instant::now() + DATA_AGAIN)).await {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// Whether bytes go from one relayed address to the other, as between two who are both behind walls.
async fn through_both(
    from: &mut Client,
    sender: Allocation,
    to: &mut Client,
    receiver: Allocation,
) -> Result<(), String> {
    for (client, peer) in [(&mut *from, receiver), (&mut *to, sender)] {
        client.permit(peer.relayed).await.map_err(|fault| match fault {
            Fault::Silent(why) => why,
            Fault::Refused(code, why) => format!("its own address is not let in: {code} {why}"),
        })?;
    }
    let data = nonce();
    let deadline = Instant::now() + DATA_PATIENCE;
    while Instant::now() < deadline {
        if let Err(fault) = from.send(receiver.relayed, &data).await {
            return Err(format!("{fault:?}"));
        }
        if to.receives(&data, deadline.min(Instant::now() + DATA_AGAIN)).await {
            return Ok(());
        }
    }
    Err("nothing comes from one of its ports to another".into())
}

fn nonce() -> Vec<u8> {
    (0..16).map(|_| fastrand::u8(..)).collect()
}

fn any(like: SocketAddr) -> SocketAddr {
    if like.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0; 16], 0)) }
}

/// An address that only machines near it reach.
fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_and_how() {
        for (url, expected) in [
            ("turn:a.example", Some(("a.example", 3478, false, false))),
            ("turn:a.example:99?transport=tcp", Some(("a.example", 99, true, false))),
            ("turns:[::1]?transport=tcp", Some(("::1", 5349, true, true))),
            ("stun:[::1]:7", Some(("::1", 7, false, false))),
            ("turn:", None),
            ("turn:a:b", None),
        ] {
            let expected = expected.map(|(host, port, tcp, tls)| Place { host: host.into(), port, tcp, tls });
            assert_eq!(Place::parse(url), expected, "{url}");
        }
    }
}
