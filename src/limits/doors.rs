//! Limits of one address before anybody there has joined: on open connections, and on attempts to join (R65, R66).
//!
//! An IPv6 address counts by its /64, which is the smallest network of a customer (RFC 6177 §2). Many customers get a
//! /56 or a /48, so these count as well, with limits that are 4 and 16 times as high: the 65,536 networks of one
//! customer do not multiply its limits. A whole school may be behind one address: the burst is far more than the
//! reconnect of a room needs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::Bucket;
use super::memory::{QueueAccount, QueuePool};
use super::rejoins::Rejoins;
use crate::protocol::PeerId;

/// Cost of an attempt that finds nothing: an invalid token, or a room that nobody is in. So what slows down guessing
/// does not slow down clients that know their room.
const GUESS: f64 = 10.0;
/// Cost of an attempt with a valid secret (R11): nobody guesses one, and after a restart everybody behind an address
/// reconnects at once.
const COMEBACK: f64 = 0.1;
/// Bytes of the response to a join that cost one further attempt, beyond the first so many. A room of 50 usually has a
/// `welcome` of 12 KB.
const ANSWER_BYTES: usize = 65_536;
/// Longest delay of an attempt. One that would take longer is refused.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Maximum number of networks without a connection that are kept. Beyond it, all of them are forgotten.
const NETWORKS: usize = 100_000;
/// Prefix lengths by which an IPv6 address counts, the longest first, and the factors of their limits.
const V6_PREFIXES: [(u8, u32); 3] = [(64, 1), (56, 4), (48, 16)];

/// Limits of one address.
#[derive(Clone, Copy, Debug)]
pub struct DoorRules {
    /// Maximum number of open WebSockets, and the same number of other connections; 0 for no limit.
    pub connections: u32,
    /// Attempts to join per minute; 0 for no limit.
    pub attempts: u32,
    /// Burst of attempts, as a time at that rate.
    pub burst: Duration,
    /// Maximum bytes of messages that wait to be sent or acknowledged; 0 for no limit.
    pub queued_bytes: u64,
    /// The same for all addresses together.
    pub server_queued_bytes: u64,
}

/// Per-address limits on connections and join attempts. An address that has nothing open and has not tried anything
/// recently is forgotten.
#[derive(Debug)]
pub struct Doors {
    rules: DoorRules,
    queued: Arc<QueuePool>,
    table: Mutex<Table>,
    rejoins: Mutex<Rejoins>,
}

/// Addresses that share a limit: an IPv4 address, or the prefix of an IPv6 address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Network {
    first: IpAddr,
    prefix: u8,
    /// Factor of the limits.
    factor: u32,
}

#[derive(Debug, Default)]
struct Table {
    networks: HashMap<Network, Usage>,
    /// Size at which the table is searched for entries to remove.
    look_at: usize,
}

#[derive(Debug)]
struct Usage {
    open: [u32; 2],
    attempts: Bucket,
    queued: Arc<QueuePool>,
}

/// Type of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// HTTP requests, for a moment. A page loads over several of these, which must not use up its user's slot for a
    /// WebSocket.
    Plain,
    /// A WebSocket, which stays open.
    WebSocket,
}

/// Decision on an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// Accepted after this delay, which is usually zero.
    After(Duration),
    /// Refused. It may be repeated after this time.
    Refused(Duration),
}

impl Doors {
    /// Creates the limits, with no known addresses. `queued` is the gauge of the bytes that wait to be sent or
    /// acknowledged.
    pub fn new(rules: DoorRules, queued: Gauge) -> Arc<Self> {
        let queued = QueuePool::new(rules.server_queued_bytes, queued);
        Arc::new(Self { rules, queued, table: Mutex::default(), rejoins: Mutex::default() })
    }

    /// Counts a connection for as long as the returned value lives; `None` if the address has as many as it may.
    pub fn enter(self: &Arc<Self>, from: IpAddr, kind: Kind, now: Instant) -> Option<Visit> {
        let limit = self.rules.connections;
        let mut table = self.lock();
        // The widest network first, so that one at its limit gets no new entries for its parts.
        let is_full = |table: &mut Table, network: Network| {
            limit > 0 && table.get(network, now, self.rules).open[kind as usize] >= limit.saturating_mul(network.factor)
        };
        if networks(from).rev().any(|network| is_full(&mut table, network)) {
            return None;
        }
        for network in networks(from) {
            table.get(network, now, self.rules).open[kind as usize] += 1;
        }
        Some(Visit { doors: Arc::clone(self), from: from.to_canonical(), kind })
    }

    /// Counts an attempt to join, or to learn whether a room exists. One with a valid secret costs less (R11).
    pub fn attempt(&self, from: IpAddr, knows_secret: bool, now: Instant) -> Attempt {
        self.take(from, now, if knows_secret { COMEBACK } else { 1.0 })
    }

    /// Counts an attempt of this peer to join again with a valid secret.
    fn rejoin(&self, from: IpAddr, id: PeerId, now: Instant) -> Attempt {
        let wait = match self.rejoins().take(id, now) {
            Ok(wait) => wait,
            Err(wait) => return Attempt::Refused(wait),
        };
        match self.attempt(from, true, now) {
            Attempt::After(longer) => Attempt::After(longer.max(wait)),
            refused => {
                self.rejoins().put_back(id);
                refused
            }
        }
    }

    fn take(&self, from: IpAddr, now: Instant, cost: f64) -> Attempt {
        if self.rules.attempts == 0 {
            return Attempt::After(Duration::ZERO);
        }
        let mut table = self.lock();
        let mut longest = Duration::ZERO;
        for network in networks(from).rev() {
            longest = longest.max(table.get(network, now, self.rules).attempts.wait_for(now, cost));
            if longest > LONGEST_WAIT {
                return Attempt::Refused(longest);
            }
        }
        for network in networks(from) {
            table.get(network, now, self.rules).attempts.take(now, cost);
        }
        Attempt::After(longest)
    }

    /// Raises the cost of an attempt that has been counted to that of a guess.
    pub fn guessed(&self, from: IpAddr, now: Instant) {
        self.charge(from, GUESS - 1.0, now);
    }

    /// Counts further attempts. The debt is bounded, so that nobody can lock an address out for long.
    fn charge(&self, from: IpAddr, attempts: f64, now: Instant) {
        if self.rules.attempts > 0 {
            let mut table = self.lock();
            for network in networks(from) {
                table.get(network, now, self.rules).attempts.charge(now, attempts);
            }
        }
    }

    /// Returns the number of known networks.
    pub fn known(&self) -> usize {
        self.lock().networks.len()
    }

    fn rejoins(&self) -> MutexGuard<'_, Rejoins> {
        self.rejoins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics under this lock. If it ever did, a count could be wrong, no more.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn get(&mut self, network: Network, now: Instant, rules: DoorRules) -> &mut Usage {
        if self.networks.len() >= self.look_at.max(1_024) && !self.networks.contains_key(&network) {
            self.forget(now);
        }
        self.networks.entry(network).or_insert_with(|| {
            let rate = rules.attempts as f32 * network.factor as f32 / 60.0;
            let queued = QueuePool::new(rules.queued_bytes * u64::from(network.factor), Gauge::default());
            Usage { open: [0; 2], attempts: Bucket::new(rate, rules.burst, now), queued }
        })
    }

    fn forget(&mut self, now: Instant) {
        self.networks.retain(|_, usage| usage.is_here() || !usage.attempts.is_full(now));
        if self.networks.len() > NETWORKS {
            self.networks.retain(|_, usage| usage.is_here());
        }
        self.look_at = self.networks.len() * 2;
        self.networks.shrink_to(self.look_at);
    }
}

impl Usage {
    /// Returns whether it has open connections, or sessions of disconnected clients.
    fn is_here(&self) -> bool {
        self.open != [0; 2] || Arc::strong_count(&self.queued) > 1
    }
}

/// Permit of one open connection of an address.
#[derive(Debug)]
pub struct Visit {
    doors: Arc<Doors>,
    from: IpAddr,
    kind: Kind,
}

impl Visit {
    /// Counts an attempt to join, by a peer with a valid secret (R11) or by an unknown client.
    pub fn attempt(&self, known: Option<PeerId>) -> Attempt {
        let now = Instant::now();
        match known {
            Some(id) => self.doors.rejoin(self.from, id, now),
            None => self.doors.attempt(self.from, false, now),
        }
    }

    /// Takes back the count of a new session: the peer's session was resumed, which is not announced to the room.
    pub fn resumed(&self, id: PeerId) {
        self.doors.rejoins().put_back(id);
    }

    /// Returns the address, or the /64 of an IPv6 address.
    pub fn address(&self) -> IpAddr {
        network(self.from)
    }

    /// Returns the account in which the bytes of this connection's messages count.
    pub fn queue_account(&self) -> QueueAccount {
        let (mut table, now) = (self.doors.lock(), Instant::now());
        let of_networks =
            networks(self.from).map(|network| Arc::clone(&table.get(network, now, self.doors.rules).queued));
        QueueAccount::new(of_networks.chain([Arc::clone(&self.doors.queued)]))
    }

    /// Counts the response to a join: each 64 KiB beyond the first as one further attempt.
    pub fn charge_answer(&self, bytes: usize) {
        let beyond = bytes.saturating_sub(ANSWER_BYTES) as f64;
        if beyond > 0.0 {
            self.doors.charge(self.from, beyond / ANSWER_BYTES as f64, Instant::now());
        }
    }

    /// See [`Doors::guessed`].
    pub fn guessed(&self) {
        self.doors.guessed(self.from, Instant::now());
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut table = self.doors.lock();
        for network in networks(self.from) {
            if let Some(usage) = table.networks.get_mut(&network) {
                let open = &mut usage.open[self.kind as usize];
                *open = open.saturating_sub(1);
            }
        }
    }
}

/// Returns the address, or the /64 of an IPv6 address. An IPv4-mapped address (RFC 4291 §2.5.5.2) is IPv4.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// Returns the networks by which an address counts, the smallest first. An IPv4-mapped address (RFC 4291 §2.5.5.2) is
/// IPv4.
fn networks(address: IpAddr) -> impl DoubleEndedIterator<Item = Network> {
    let address = address.to_canonical();
    let prefixes = if address.is_ipv4() { &[(32, 1)][..] } else { &V6_PREFIXES };
    prefixes.iter().map(move |&(prefix, factor)| {
        let first = match address {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - prefix))).into(),
            v4 => v4,
        };
        Network { first, prefix, factor }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: DoorRules = DoorRules {
        connections: 3,
        attempts: 300,
        burst: Duration::from_secs(120),
        queued_bytes: 0,
        server_queued_bytes: 0,
    };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seconds(attempt: Attempt) -> f64 {
        match attempt {
            Attempt::After(wait) => wait.as_secs_f64(),
            Attempt::Refused(wait) => -wait.as_secs_f64(),
        }
    }

    #[test]
    fn r65_addresses_count_as_one_where_one_customer_has_them() {
        let now = Instant::now();
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let doors = Doors::new(RULES, Gauge::default());
            let enter = |from, kind| doors.enter(address(from), kind, now);
            let held: Vec<_> = (0..3).map(|_| enter(one, Kind::WebSocket).unwrap()).collect();
            assert!(enter(one, Kind::WebSocket).is_none());
            assert_eq!(enter(other, Kind::WebSocket).is_none(), same, "{one} and {other}");
            // Requests have slots of their own.
            let plain: Vec<_> = (0..100).map_while(|_| enter(one, Kind::Plain)).collect();
            assert_eq!(plain.len(), 3);
            drop(held);
            assert!(enter(one, Kind::WebSocket).is_some() && enter(one, Kind::Plain).is_none());
        }
    }

    /// Returns one address in each subnet of a /48: `2001:db8:<site>:<subnet>::1`.
    fn subnets(site: u16) -> impl Iterator<Item = IpAddr> + Clone {
        (0..=u16::MAX).map(move |subnet| Ipv6Addr::new(0x2001, 0xdb8, site, subnet, 0, 0, 0, 1).into())
    }

    #[test]
    fn r65_subnets_of_one_customer_do_not_multiply_its_connections() {
        let (doors, now) = (Doors::new(RULES, Gauge::default()), Instant::now());
        let enter = |from| doors.enter(from, Kind::WebSocket, now);
        let home: Vec<_> = subnets(1).take(256).filter_map(enter).collect();
        assert_eq!(home.len(), 12, "a /56 has four times what a /64 has");
        let site: Vec<_> = subnets(1).filter_map(enter).collect();
        assert_eq!(home.len() + site.len(), 48, "a /48 has 16 times what a /64 has");
        assert!(doors.known() < 200, "a site at its limit makes no entries: {}", doors.known());
        assert!(subnets(2).find_map(enter).is_some(), "other sites are not affected");
        drop((home, site));
        assert!(enter(address("2001:db8:1::1")).is_some(), "places are free again");
    }

    #[test]
    fn r66_subnets_of_one_customer_do_not_multiply_its_attempts() {
        let (doors, now) = (Doors::new(RULES, Gauge::default()), Instant::now());
        let free = |from: &IpAddr| seconds(doors.attempt(*from, false, now)) == 0.0;
        let mut tried = subnets(1).cycle();
        assert_eq!(tried.by_ref().take(1_000_000).take_while(free).count(), 16 * 600);
        assert!(free(&address("2001:db8:2::1")), "other sites are not affected");
        let mut home = subnets(3).take(256).cycle();
        assert_eq!(home.by_ref().take(1_000_000).take_while(free).count(), 4 * 600);
    }

    #[test]
    fn r66_who_tries_often_waits_and_then_is_refused() {
        let (doors, mut now, from) = (Doors::new(RULES, Gauge::default()), Instant::now(), address("10.0.0.1"));
        assert!((0..600).all(|_| seconds(doors.attempt(from, false, now)) == 0.0), "two minutes' worth is free");
        let waits: Vec<f64> = (0..25).map(|_| seconds(doors.attempt(from, false, now))).collect();
        assert!((waits[0] - 0.2).abs() < 0.01 && (waits[24] - 5.0).abs() < 0.01, "{waits:?}");
        let refused = seconds(doors.attempt(from, false, now));
        assert!((refused + 5.2).abs() < 0.01, "{refused}");
        assert_eq!(seconds(doors.attempt(address("10.0.0.2"), false, now)), 0.0, "others are not held up");
        // A refusal costs nothing: after the hinted time the next attempt is accepted.
        now += Duration::from_secs_f64(5.21);
        assert_eq!(seconds(doors.attempt(from, false, now)), 0.0);
    }

    #[test]
    fn r121_a_peer_is_slowed_from_whatever_address_it_joins_again() {
        let (doors, now, from) = (Doors::new(RULES, Gauge::default()), Instant::now(), address("10.0.0.1"));
        let (ada, bob) = (PeerId::from_random([1; PeerId::LEN]), PeerId::from_random([2; PeerId::LEN]));
        let waits: Vec<f64> = (0..13).map(|_| seconds(doors.rejoin(from, ada, now))).collect();
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 4.0, -6.0]);
        assert_eq!(seconds(doors.rejoin(address("10.0.0.2"), ada, now)), -6.0);
        assert_eq!(seconds(doors.rejoin(from, bob, now)), 0.0, "others are not held up");
    }

    #[test]
    fn r66_a_guess_takes_ten_times_as_much() {
        let (doors, mut now, from) = (Doors::new(RULES, Gauge::default()), Instant::now(), address("10.0.0.1"));
        let mut guesses = 0;
        let end = now + Duration::from_secs(3_600);
        while now < end {
            match doors.attempt(from, false, now) {
                Attempt::After(wait) => {
                    guesses += 1;
                    now += wait;
                    doors.guessed(from, now);
                }
                Attempt::Refused(wait) => now += wait,
            }
        }
        // 60 at once, then one every two seconds: 15 bits of a name in a whole day.
        assert!((1_850..=1_870).contains(&guesses), "{guesses} in an hour");
    }

    #[test]
    fn r66_guesses_at_once_do_not_lock_an_address_out_for_long() {
        let (doors, mut now, from) = (Doors::new(RULES, Gauge::default()), Instant::now(), address("10.0.0.1"));
        let asked = (0..1_000).filter(|_| matches!(doors.attempt(from, false, now), Attempt::After(_))).count();
        (0..asked).for_each(|_| doors.guessed(from, now));
        // Two minutes' worth.
        assert!(matches!(doors.attempt(from, false, now), Attempt::Refused(wait) if wait.as_secs_f64() < 120.3));
        now += Duration::from_secs(116);
        assert!(matches!(doors.attempt(from, false, now), Attempt::After(_)));
    }

    #[test]
    fn addresses_are_forgotten() {
        let (doors, mut now) = (Doors::new(RULES, Gauge::default()), Instant::now());
        let stays = doors.enter(address("2001:db8::1"), Kind::WebSocket, now).unwrap();
        for at in 0..100_000_u32 {
            now += Duration::from_millis(1);
            doors.attempt(IpAddr::from(at.to_be_bytes()), false, now);
        }
        // One attempt is earned back in 0.2 s.
        assert!(doors.known() < 2_000, "{}", doors.known());
        for at in 0..250_000_u32 {
            doors.attempt(IpAddr::from(at.to_be_bytes()), false, now);
        }
        assert!(doors.known() <= 2 * NETWORKS + 1, "{}", doors.known());
        assert!(
            (0..2).all(|_| doors.enter(address("2001:db8::2"), Kind::WebSocket, now).map(std::mem::forget).is_some())
        );
        assert!(doors.enter(address("2001:db8::2"), Kind::WebSocket, now).is_none(), "who is there is not forgotten");
        drop(stays);
    }

    #[test]
    fn zero_is_no_limit() {
        let (doors, now) =
            (Doors::new(DoorRules { connections: 0, attempts: 0, ..RULES }, Gauge::default()), Instant::now());
        let from = address("10.0.0.1");
        let open: Vec<_> = (0..10_000).map(|_| doors.enter(from, Kind::WebSocket, now).unwrap()).collect();
        assert!((0..10_000).all(|_| {
            doors.guessed(from, now);
            seconds(doors.attempt(from, false, now)) == 0.0
        }));
        drop(open);
    }
}
