//! Log lines for the operator about clients that limits reject, and about proxies that hide the addresses of their
//! clients.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::addresses::{default_gateways, is_internal, is_own};
use crate::http::Proxies;

/// Shortest time between two log lines about one limit.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Line of the nginx configuration that passes the client's address on.
const NGINX: &str = "in nginx, proxy_set_header X-Forwarded-For $remote_addr;";

/// Limit that rejects clients.
#[derive(Clone, Copy, Debug)]
pub enum Rejection {
    /// Open connections of one address (R65).
    AddressConnections,
    /// Attempts to join from one address (R66).
    AddressJoins,
    /// Open WebSockets of the server (R10).
    Connections,
    /// HTTP requests that are being served (R105).
    Requests,
    /// Rooms and members of the server (R67).
    RoomsOrMembers,
    /// Members of a room.
    RoomMembers,
    /// Members of a room from one address (R99).
    AddressMembers,
    /// Messages and bytes of one member, a room or the server (R75, R80).
    Rates,
    /// WebSockets of pages that wait for their origin proof (R92).
    PendingProofs,
}

/// Reason for which several people count as one address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SharedAddress {
    /// An untrusted proxy names its clients.
    UntrustedProxy,
    /// A proxy does not send `X-Forwarded-For`.
    NoForwardedFor,
    /// A trusted proxy sees the default gateway in place of its clients.
    Gateway,
    /// An address that looks like a proxy has reached a limit.
    Limit,
}

impl SharedAddress {
    /// All causes.
    pub const ALL: [Self; 4] = [Self::UntrustedProxy, Self::NoForwardedFor, Self::Gateway, Self::Limit];

    /// Returns the cause as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UntrustedProxy => "untrusted_proxy",
            Self::NoForwardedFor => "no_forwarded_for",
            Self::Gateway => "gateway",
            Self::Limit => "limit",
        }
    }
}

/// Writer of log lines, at a bounded rate.
#[derive(Debug)]
pub struct LimitReports {
    proxies: Proxies,
    gateways: Vec<IpAddr>,
    /// Set for each cause that has been logged. Further requests of the same kind add nothing.
    logged: [AtomicBool; 4],
    rejections: Mutex<[Rejections; 9]>,
}

/// Rejections by one limit.
#[derive(Clone, Copy, Debug, Default)]
struct Rejections {
    logged_at: Option<Instant>,
    /// Number since the last log line.
    count: u64,
}

impl LimitReports {
    /// Creates the reports of a server that trusts these proxies.
    pub fn new(proxies: Proxies) -> Self {
        Self { proxies, gateways: default_gateways(), logged: Default::default(), rejections: Mutex::default() }
    }

    /// Returns the default gateways of this machine or container, as read at the start.
    pub fn gateways(&self) -> &[IpAddr] {
        &self.gateways
    }

    /// Logs, once for each cause, that everyone behind this address counts as one.
    pub fn shared_address(&self, cause: SharedAddress, address: IpAddr) {
        if self.logged[cause as usize].swap(true, Ordering::Relaxed) {
            return;
        }
        let fix = self.fix(address, "");
        match cause {
            SharedAddress::UntrustedProxy => tracing::warn!(
                %address,
                "a proxy that is not trusted names its clients: they count as one address and share its limits; {fix}"
            ),
            SharedAddress::NoForwardedFor => tracing::warn!(
                %address,
                "a proxy does not send X-Forwarded-For: its clients count as one address and share its limits; {fix}"
            ),
            SharedAddress::Gateway => tracing::warn!(
                %address,
                "clients reach the proxy with the address of the containers' gateway: if they are not on this machine, they \
                 count as one address and share its limits, as all visitors by IPv6 do where the containers' network has \
                 none; {fix}"
            ),
            SharedAddress::Limit => {}
        }
    }

    /// Logs that a limit rejects clients, at most once a minute for each limit. Returns whether the address looks like
    /// a proxy's, behind which everyone counts as one.
    pub fn rejected(&self, rejection: Rejection, address: Option<IpAddr>, now: Instant) -> bool {
        let address = address.map(|address| address.to_canonical());
        let shared = address.filter(|address| self.looks_like_a_proxy(*address));
        let count = {
            let mut all = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
            let of_limit = &mut all[rejection as usize];
            of_limit.count += 1;
            if of_limit.logged_at.is_some_and(|at| now < at + LOG_INTERVAL) {
                return shared.is_some();
            }
            of_limit.logged_at = Some(now);
            std::mem::take(&mut of_limit.count)
        };
        let (limit, what) = rejection.texts();
        match (shared, address) {
            (Some(address), _) => tracing::warn!(
                %address,
                limit,
                rejected = count,
                "{what}, and the address looks like a proxy: everyone behind it counts as one; {}",
                // The addresses of a /64 belong to one customer.
                self.fix(address, if address.is_ipv6() { "/64" } else { "" })
            ),
            (None, Some(address)) => tracing::warn!(
                %address,
                limit,
                rejected = count,
                "{what}; if many people share the address, raise the limit, and if it is a proxy, see docs/NETWORKING.md"
            ),
            (None, None) => tracing::warn!(limit, rejected = count, "{what}; `roundtable limits` lists all limits"),
        }
        shared.is_some()
    }

    /// Returns whether the address is neither a trusted proxy's nor looks like a proxy's, behind which there may be any
    /// number of people.
    pub fn is_person(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        !self.proxies.trusts(address) && !self.looks_like_a_proxy(address)
    }

    /// Returns whether the address is one of an internal network, of this machine or of its gateway. Visitors from the
    /// internet have none of these: it is either one person in the same network or a proxy.
    fn looks_like_a_proxy(&self, address: IpAddr) -> bool {
        is_internal(address) || self.gateways.contains(&address) || is_own(address)
    }

    /// Returns the advice that lets the server see the clients behind this address, or behind its network of this
    /// `prefix`.
    fn fix(&self, address: IpAddr, prefix: &str) -> String {
        if self.gateways.contains(&address) && self.proxies.trusts(address) {
            return format!("{NGINX} if it is your proxy, else docs/NETWORKING.md, section IPv6 visitors");
        }
        if self.proxies.trusts(address) {
            return NGINX.to_owned();
        }
        let known = self.proxies.to_string();
        let known = if known.is_empty() { known } else { known + "," };
        format!("set ROUNDTABLE_TRUSTED_PROXIES={known}{address}{prefix}, and {NGINX}")
    }
}

impl Rejection {
    /// Returns the settings of the limit, and the text of its log line.
    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::AddressConnections => {
                ("ROUNDTABLE_ADDRESS_CONNECTIONS", "connections are rejected: their address has too many")
            }
            Self::AddressJoins => {
                ("ROUNDTABLE_ADDRESS_JOINS", "attempts to join are rejected: their address makes too many")
            }
            Self::Connections => ("ROUNDTABLE_CONNECTIONS", "connections are rejected: the server has too many"),
            Self::Requests => ("ROUNDTABLE_REQUESTS", "requests are rejected: the server is serving too many"),
            Self::RoomsOrMembers => ("ROUNDTABLE_ROOMS, ROUNDTABLE_MEMBERS", "joins are rejected: the server is full"),
            Self::RoomMembers => ("ROUNDTABLE_ROOM_MEMBERS", "joins are rejected: a room is full"),
            Self::AddressMembers => {
                ("ROUNDTABLE_MAX_MEMBERS_PER_IP", "joins are rejected: a room has too many people from their address")
            }
            Self::Rates => (
                "ROUNDTABLE_MESSAGE_RATE, ROUNDTABLE_BYTE_RATE, ROUNDTABLE_ROOM_*_RATE, ROUNDTABLE_SERVER_*_RATE",
                "members are disconnected: they send too much",
            ),
            Self::PendingProofs => {
                ("4096, fixed", "connections are rejected: too many pages wait to show their origin proof (R92)")
            }
        }
    }
}
