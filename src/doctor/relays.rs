//! Checks STUN and TURN servers like a member of a meeting: an allocation with each URL, and data through it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use super::findings::Finding;
use super::report::{Found, Report};
use super::turn::{Allocation, Client, Fault, Transport};
use super::vantage::Vantage;
use super::web::{self, Trust};
use crate::addresses::is_internal;
use crate::protocol::IceServer;

/// Timeout for data through the relay, and interval of its retransmission.
const DATA_PATIENCE: Duration = Duration::from_secs(3);
const DATA_AGAIN: Duration = Duration::from_millis(300);
/// Maximum number of URLs to check, and timeout for all of them: each server may delay every answer.
const URLS: usize = 12;
const URLS_PATIENCE: Duration = Duration::from_secs(180);

const LOOK: &str = "relay";

/// Checks all servers one after another, for a bounded time.
pub(super) async fn look(servers: &[IceServer], trust: &Trust, vantage: Vantage, report: &mut Report) {
    look_within(URLS_PATIENCE, servers, trust, vantage, report).await;
}

async fn look_within(patience: Duration, servers: &[IceServer], trust: &Trust, vantage: Vantage, report: &mut Report) {
    if timeout(patience, look_at_all(servers, trust, vantage, report)).await.is_err() {
        report.missed(
            LOOK,
            format!("the servers took longer than {} s; those not named here remain", patience.as_secs()),
        );
    }
}

async fn look_at_all(servers: &[IceServer], trust: &Trust, vantage: Vantage, report: &mut Report) {
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
        let password = server.credential.as_deref().unwrap_or_default();
        let way = Way { place, url, user: (username, password), trust, vantage };
        let looked = if url.starts_with("stun") { way.look_at_stun().await } else { way.look_at_turn(report).await };
        match looked {
            Ok(said) => report.well(LOOK, format!("{url}: {said}")),
            Err(Verdict::Found(found)) => report.found(found),
            Err(Verdict::Unknown(why)) => report.missed(LOOK, why),
        }
    }
}

/// Parsed STUN or TURN URL (RFC 7064, RFC 7065).
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
    vantage: Vantage,
}

/// Finding about a server, or the reason why there is none.
#[derive(Debug)]
enum Verdict {
    Found(Found),
    Unknown(String),
}

impl From<Found> for Verdict {
    fn from(found: Found) -> Self {
        Self::Found(found)
    }
}

impl Way<'_> {
    fn found(&self, finding: Finding, detail: impl Into<String>) -> Found {
        Found::new(finding, self.url, detail)
    }

    /// Returns the finding for an address that is not reached.
    fn unreached(&self, finding: Finding, address: IpAddr, detail: impl Into<String>) -> Verdict {
        let detail = detail.into();
        if !self.vantage.is_blind_for(address) {
            return self.found(finding, detail).into();
        }
        let why = "visitors may reach it all the same, as routers often do not lead back to their own public address, and a \
                   container has a localhost of its own: run it on another machine";
        Verdict::Unknown(format!("{}: {address} is not reached from here ({detail}); {why}", self.url))
    }

    async fn look_at_stun(&self) -> Result<String, Verdict> {
        let (transport, at) = self.connect(Finding::StunUnreachable).await?;
        let fault = |fault| match fault {
            Fault::Silent(why) | Fault::Refused(_, why) => self.unreached(Finding::StunUnreachable, at.ip(), why),
        };
        match Client::new(transport, "", "").bind().await.map_err(fault)? {
            // The address is not reported, because the report may be passed on.
            Some(_) => Ok("it answers".into()),
            None => Err(self.found(Finding::StunUnreachable, "it does not say where it sees this machine").into()),
        }
    }

    async fn look_at_turn(&self, report: &mut Report) -> Result<String, Verdict> {
        let (mut one, at) = self.client().await?;
        let first = one.allocate().await.map_err(|fault| self.refused(fault, at))?;
        let (mut other, _) = self.client().await?;
        let second = other.allocate().await.map_err(|fault| self.refused(fault, at))?;
        report.busy(&format!("{}: sending through the relay, up to {} s", self.url, 2 * DATA_PATIENCE.as_secs()));
        let outer = self.through_port(&mut one, first).await;
        let inner = through_both(&mut one, first, &mut other, second).await;
        one.release().await;
        other.release().await;
        let relayed = first.relayed;
        let elsewhere = relayed.ip() != at.ip().to_canonical();
        match (outer, inner) {
            (Some(false), _) | (None, Err(_)) if elsewhere => {
                let why = format!("it says {relayed} and is reached at {}", at.ip());
                Err(self.unreached(Finding::RelayAddressWrong, relayed.ip(), why))
            }
            (None, Ok(())) if elsewhere && is_internal(relayed.ip()) && !is_internal(at.ip()) => {
                let why = format!("it says {relayed}, an address of a private network, and is reached at {}", at.ip());
                Err(self.found(Finding::RelayAddressWrong, why).into())
            }
            (Some(false), _) => {
                let why = format!("nothing comes through {relayed}");
                Err(self.unreached(Finding::RelayPortsClosed, relayed.ip(), why))
            }
            (None, Err(why)) => {
                Err(self.unreached(Finding::RelayPortsClosed, relayed.ip(), format!("{relayed}: {why}")))
            }
            (Some(true), Err(why)) => Err(self.found(Finding::RelayNotToItself, format!("{relayed}: {why}")).into()),
            (_, Ok(())) if self.vantage.is_near => Ok(format!(
                "it relays at {}, as seen from this machine; firewalls show only from elsewhere",
                relayed.ip()
            )),
            (_, Ok(())) => Ok(format!("it relays at {}", relayed.ip())),
        }
    }

    async fn client(&self) -> Result<(Client, SocketAddr), Verdict> {
        let (transport, at) = self.connect(Finding::RelayUnreachable).await?;
        Ok((Client::new(transport, self.user.0, self.user.1), at))
    }

    async fn connect(&self, silent: Finding) -> Result<(Transport, SocketAddr), Verdict> {
        let Place { host, port, tcp, tls } = &self.place;
        let addresses = web::resolve(host, *port).await.map_err(|found| found.about(self.url))?;
        let Some(at) = addresses.first().copied() else { return Err(self.found(silent, "it has no address").into()) };
        if *tcp {
            let (stream, at) = match web::connect(host, *port).await {
                Ok(connected) => connected,
                Err(found) if self.vantage.is_blind_for(at.ip()) => {
                    return Err(self.unreached(silent, at.ip(), found.to_string()));
                }
                Err(found) => return Err(found.behind(silent, self.url).into()),
            };
            if !tls {
                return Ok((Transport::Stream(Box::new(stream)), at));
            }
            return match web::secure(stream, host, self.trust, self.url).await? {
                (stream, None) => Ok((Transport::Stream(stream), at)),
                // Browsers reject this as well, and users cannot add an exception.
                (_, Some(found)) => Err(found.into()),
            };
        }
        let silent = |why: std::io::Error| self.unreached(silent, at.ip(), why.to_string());
        let socket = UdpSocket::bind(any(at)).await.map_err(silent)?;
        socket.connect(at).await.map_err(silent)?;
        Ok((Transport::Udp(socket), at))
    }

    fn refused(&self, fault: Fault, at: SocketAddr) -> Verdict {
        match fault {
            Fault::Silent(why) => self.unreached(Finding::RelayUnreachable, at.ip(), why),
            Fault::Refused(code @ (401 | 431 | 441), why) => {
                self.found(Finding::RelaySecretWrong, format!("{code} {why}")).into()
            }
            Fault::Refused(code, why) => self.found(Finding::RelayRefused, format!("{code} {why}")).into(),
        }
    }

    /// Checks whether the relay's port accepts data from this machine, as another member's browser would send it.
    /// Returns `None` if that cannot be determined: over TCP, because this network may block outgoing UDP, or if the
    /// relay permits no peer with this machine's address.
    async fn through_port(&self, client: &mut Client, to: Allocation) -> Option<bool> {
        let mapped = to.mapped.filter(|_| !self.place.tcp)?;
        client.permit(mapped).await.ok()?;
        let socket = UdpSocket::bind(any(to.relayed)).await.ok()?;
        let data = nonce();
        let deadline = Instant::now() + DATA_PATIENCE;
        while Instant::now() < deadline {
            // Without a route to the address, it is unreachable.
            let _ = socket.send_to(&data, to.relayed).await;
            if client.receives(&data, deadline.min(Instant::now() + DATA_AGAIN)).await {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// Checks whether data passes from one relayed address to the other, as between two members behind restrictive
/// firewalls.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Time goes as fast as nothing happens.
    #[tokio::test(start_paused = true)]
    async fn silent_relays_take_no_longer_together_than_allowed() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("turn:127.0.0.1:{}", silent.local_addr().unwrap().port());
        let servers = [IceServer { urls: vec![url; URLS], username: None, credential: None }];
        let (begun, patience) = (Instant::now(), Duration::from_secs(10));
        let (trust, mut report) = (Trust::new(None).unwrap(), Report::new(true));
        look_within(patience, &servers, &trust, Vantage::of_visitor(), &mut report).await;
        assert!(begun.elapsed() < 2 * patience, "{:?}", begun.elapsed());
    }

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
