//! STUN and TURN servers for a `welcome`, with short-lived credentials by the TURN REST scheme
//! (draft-uberti-behave-turn-rest): the username is `<expiry>:<client>`, and the credential its HMAC-SHA1 under a
//! secret shared with the TURN server.
//!
//! coturn applies its quota to what follows the colon. That stands for the client's address, so that joining again
//! provides no further ports.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::config::Secret;
use crate::limits::network;
use crate::protocol::{IceServer, PeerId};

/// STUN and TURN servers, as configured for all clients.
#[derive(Clone, Debug, Default)]
pub struct IceServers {
    stun: Vec<String>,
    turn: Vec<String>,
    access: TurnAccess,
}

/// Authentication of clients at a TURN server.
#[derive(Clone, Debug, Default)]
pub enum TurnAccess {
    /// None is configured; then there can be no TURN server.
    #[default]
    Unknown,
    /// Credentials that expire, and count against the quota of an address.
    Shared {
        /// Secret shared with the TURN server.
        secret: Secret,
        /// Lifetime of a credential.
        lifetime: Duration,
    },
    /// The same credentials for all clients, for a server that supports nothing else.
    Static {
        /// Username.
        username: String,
        /// Password, which every client learns.
        password: Secret,
    },
}

impl IceServers {
    /// Sorts URLs by scheme. The error says what is wrong with one.
    pub fn new(urls: &[String], access: TurnAccess) -> Result<Self, String> {
        let mut servers = Self { access, ..Self::default() };
        for url in urls {
            match url.split_once(':') {
                Some(("stun" | "stuns", server)) if is_server(server) => servers.stun.push(url.clone()),
                Some(("turn" | "turns", server)) if is_server(strip_transport(server)) => {
                    servers.turn.push(url.clone())
                }
                _ => {
                    return Err(format!(
                        "{url:?} is not stun:host:port or turn:host:port (or stuns:, turns:; the port may be missing, \
                         turn may end in ?transport=udp or tcp)"
                    ));
                }
            }
        }
        if !servers.turn.is_empty() && matches!(servers.access, TurnAccess::Unknown) {
            return Err("a turn: URL needs the secret of its server, ROUNDTABLE_TURN_SECRET, or a user of it, \
                        ROUNDTABLE_TURN_USERNAME and ROUNDTABLE_TURN_PASSWORD"
                .into());
        }
        Ok(servers)
    }

    /// Returns the servers for one client, with credentials that are valid from `now` on.
    pub fn for_client(&self, client: Client, now: SystemTime) -> Vec<IceServer> {
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(IceServer { urls: self.stun.clone(), username: None, credential: None });
        }
        if self.turn.is_empty() {
            return servers;
        }
        let user = match &self.access {
            TurnAccess::Unknown => None,
            TurnAccess::Shared { secret, lifetime } => {
                let expiry = (now + *lifetime).duration_since(UNIX_EPOCH).unwrap_or_default();
                let username = format!("{}:{}", expiry.as_secs(), client.name(secret));
                let credential = credential(secret, &username);
                Some((username, credential))
            }
            TurnAccess::Static { username, password } => Some((username.clone(), password.expose().to_owned())),
        };
        if let Some((username, credential)) = user {
            servers.push(IceServer { urls: self.turn.clone(), username: Some(username), credential: Some(credential) });
        }
        servers
    }

    /// Returns whether there is a TURN server.
    pub fn has_turn(&self) -> bool {
        !self.turn.is_empty()
    }

    /// Returns how often members get fresh credentials: often enough that nobody's have less than half of their
    /// lifetime left, even if one message is lost.
    pub fn renew_every(&self) -> Option<Duration> {
        match self.access {
            TurnAccess::Shared { lifetime, .. } if !self.turn.is_empty() => Some(lifetime / 4),
            _ => None,
        }
    }
}

/// Quota of TURN ports against which a credential counts.
#[derive(Clone, Copy, Debug)]
pub enum Client {
    /// Quota of all clients at one address, or in the /64 of an IPv6 address.
    Address(IpAddr),
    /// Quota of one peer whose address is unknown.
    Peer(PeerId),
}

impl Client {
    /// Returns the quota of this address, or that of the peer if the address is unknown.
    pub fn of(address: Option<IpAddr>, peer: PeerId) -> Self {
        address.map_or(Self::Peer(peer), Self::Address)
    }

    /// Returns a name that is the same for the same client. It does not reveal the address, because others may see it:
    /// coturn logs it.
    fn name(self, secret: &Secret) -> String {
        match self {
            Self::Peer(peer) => peer.to_string(),
            Self::Address(address) => credential(secret, &format!("address:{}", network(address))).replace('=', ""),
        }
    }
}

/// Returns the URLs of a TURN server, which also answers STUN, by its name or address.
pub fn turn_urls(host: &str, port: u16) -> Vec<String> {
    let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
    vec![
        format!("stun:{host}:{port}"),
        format!("turn:{host}:{port}?transport=udp"),
        format!("turn:{host}:{port}?transport=tcp"),
    ]
}

fn strip_transport(server: &str) -> &str {
    let transport = ["?transport=udp", "?transport=tcp"].into_iter().find_map(|end| server.strip_suffix(end));
    transport.unwrap_or(server)
}

/// Returns whether this is `host` or `host:port` (RFC 7064 §3.1). Browsers throw at anything else, and no call would
/// work.
fn is_server(server: &str) -> bool {
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.trim_start_matches(':'))),
        None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let is_v6 = server.starts_with('[') && host.parse::<Ipv6Addr>().is_ok();
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.');
    (is_v6 || is_name) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn credential(secret: &Secret, username: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    mac.update(username.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> TurnAccess {
        TurnAccess::Shared { secret: Secret::new("north"), lifetime: Duration::from_secs(12 * 60 * 60) }
    }

    #[test]
    fn static_credentials_are_the_same_for_all_and_are_not_renewed() {
        let urls = ["turn:a.example", "turn:a.example?transport=tcp", "turns:b.example:443?transport=tcp"];
        let access = TurnAccess::Static { username: "ada".into(), password: Secret::new("north") };
        let servers = IceServers::new(&urls.map(str::to_owned), access).unwrap();
        let list = servers.for_client(Client::Peer(PeerId::from_random([0; 20])), UNIX_EPOCH);
        let expected = IceServer {
            urls: urls.map(str::to_owned).to_vec(),
            username: Some("ada".into()),
            credential: Some("north".into()),
        };
        assert_eq!((list, servers.renew_every()), (vec![expected], None));
    }

    #[test]
    fn credentials_are_what_openssl_makes_of_the_username() {
        // printf %s "$username" | openssl dgst -sha1 -hmac north -binary | base64
        let urls = ["turn:relay.example:3478".to_owned(), "stun:relay.example:3478".to_owned()];
        let servers = IceServers::new(&urls, shared()).unwrap();
        let peer = Client::Peer(PeerId::from_random([0; 20]));
        let list = servers.for_client(peer, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!(list[0].urls, ["stun:relay.example:3478"]);
        assert_eq!(list[1].username.as_deref(), Some("1700043200:AAAAAAAAAAAAAAAAAAAA"));
        assert_eq!(list[1].credential.as_deref(), Some("w59IZEz9c70+3EvvMquTMnG7fBg="));
    }

    #[test]
    fn an_address_has_one_name_which_does_not_tell_it() {
        let servers = IceServers::new(&["turn:relay.example".to_owned()], shared()).unwrap();
        let name = |address: &str| {
            let client = Client::Address(address.parse().unwrap());
            let username = servers.for_client(client, UNIX_EPOCH).pop().unwrap().username.unwrap();
            username.split_once(':').unwrap().1.to_owned()
        };
        for (one, other, same) in [
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "::ffff:203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(name(one) == name(other), same, "{one} and {other}");
        }
        assert!(!name("203.0.113.7").contains("203.0.113"));
    }

    #[test]
    fn a_host_stands_for_its_urls() {
        let expected =
            ["stun:a.example:3478", "turn:a.example:3478?transport=udp", "turn:a.example:3478?transport=tcp"];
        assert_eq!(turn_urls("a.example", 3478), expected);
        assert_eq!(turn_urls("2001:db8::1", 7)[0], "stun:[2001:db8::1]:7");
    }

    #[test]
    fn what_could_not_work_is_refused() {
        for good in ["stun:relay.example", "turn:10.0.0.1:3478?transport=udp", "turns:[::1]:5349", "stun:[fe80::1]"] {
            assert!(IceServers::new(&[good.to_owned()], shared()).is_ok(), "{good}");
        }
        for bad in [
            "relay.example",
            "http://relay.example",
            "turn:",
            "stun://relay.example",
            "stun:a:0",
            "turn:a:b",
            "stun:a?transport=udp",
            "stun:[::1",
        ] {
            assert!(IceServers::new(&[bad.to_owned()], shared()).is_err(), "{bad}");
        }
        assert!(IceServers::new(&["turn:relay.example".to_owned()], TurnAccess::Unknown).is_err());
    }
}
