//! What one address may do before anybody there has joined: hold connections open, and try to join (R65, R66).
//!
//! An IPv6 address counts by its /64, which is what one customer is given (RFC 6177), so that nobody has more of
//! them than somebody with one IPv4 address. Behind one address there may be a whole school: what is free is far
//! more than a room's reconnect needs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Bucket;

/// What one attempt takes that finds nothing: a token that is not good, a room that nobody is in. So whoever knows
/// where to go is not slowed by what slows guessing.
const GUESS: f64 = 10.0;
/// What an attempt takes that brings a good secret (R11): nobody guesses one, and after a restart everybody behind an
/// address comes back at once.
const COMEBACK: f64 = 0.1;
/// The most that an attempt is held up, before it is refused.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Addresses without a connection that are kept in mind at most; beyond it all of them are forgotten.
const ADDRESSES: usize = 100_000;

/// What one address may do.
#[derive(Clone, Copy, Debug)]
pub struct DoorRules {
    /// Open WebSockets, and as many other connections; 0 for no limit.
    pub connections: u32,
    /// Attempts to join in a minute; 0 for no limit.
    pub attempts: u32,
    /// How long's worth of attempts is free.
    pub burst: Duration,
}

/// What is known of addresses. One that has nothing open and has not tried anything of late is forgotten.
#[derive(Debug)]
pub struct Doors {
    rules: DoorRules,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    addresses: HashMap<IpAddr, Address>,
    /// Looked through for what can be forgotten when it has grown to this.
    look_at: usize,
}

#[derive(Debug)]
struct Address {
    open: [u32; 2],
    attempts: Bucket,
}

/// What a connection is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Of requests, for a moment: a page loads by several, which must not cost its person the place in a room.
    Plain,
    /// To stay.
    WebSocket,
}

/// How an attempt is met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// After this time, mostly none.
    After(Duration),
    /// Not now; again after this time.
    Refused(Duration),
}

impl Doors {
    /// Nobody is known.
    pub fn new(rules: DoorRules) -> Arc<Self> {
        Arc::new(Self { rules, table: Mutex::default() })
    }

    /// Counts a connection for as long as the value lives; `None` where there are as many as there may be.
    pub fn enter(self: &Arc<Self>, from: IpAddr, kind: Kind, now: Instant) -> Option<Visit> {
        let from = network(from);
        let limit = self.rules.connections;
        let mut table = self.lock();
        let open = &mut table.get(from, now, self.rules).open[kind as usize];
        if limit > 0 && *open >= limit {
            return None;
        }
        *open += 1;
        Some(Visit { doors: Arc::clone(self), from, kind })
    }

    /// An attempt to join, or to learn whether a room is there, by who may bring a good secret (R11).
    pub fn attempt(&self, from: IpAddr, knows_secret: bool, now: Instant) -> Attempt {
        self.take(from, now, if knows_secret { COMEBACK } else { 1.0 })
    }

    fn take(&self, from: IpAddr, now: Instant, cost: f64) -> Attempt {
        if self.rules.attempts == 0 {
            return Attempt::After(Duration::ZERO);
        }
        let mut table = self.lock();
        let attempts = &mut table.get(network(from), now, self.rules).attempts;
        let wait = attempts.wait_for(now, cost);
        if wait > LONGEST_WAIT {
            return Attempt::Refused(wait);
        }
        attempts.take(now, cost);
        Attempt::After(wait)
    }

    /// The attempt was, for all that is known, a guess.
    pub fn guessed(&self, from: IpAddr, now: Instant) {
        if self.rules.attempts > 0 {
            self.lock().get(network(from), now, self.rules).attempts.take(now, GUESS - 1.0);
        }
    }

    /// How many addresses are known.
    pub fn known(&self) -> usize {
        self.lock().addresses.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics under this lock; should it ever, a count may be off, no more.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn get(&mut self, from: IpAddr, now: Instant, rules: DoorRules) -> &mut Address {
        if self.addresses.len() >= self.look_at.max(1_024) && !self.addresses.contains_key(&from) {
            self.forget(now);
        }
        self.addresses.entry(from).or_insert_with(|| {
            let rate = rules.attempts as f32 / 60.0;
            Address { open: [0; 2], attempts: Bucket::new(rate, rules.burst, now) }
        })
    }

    fn forget(&mut self, now: Instant) {
        self.addresses.retain(|_, address| address.is_here() || !address.attempts.is_full(now));
        if self.addresses.len() > ADDRESSES {
            self.addresses.retain(|_, address| address.is_here());
        }
        self.look_at = self.addresses.len() * 2;
        self.addresses.shrink_to(self.look_at);
    }
}

impl Address {
    fn is_here(&self) -> bool {
        self.open != [0; 2]
    }
}

/// One open connection of an address.
#[derive(Debug)]
pub struct Visit {
    doors: Arc<Doors>,
    from: IpAddr,
    kind: Kind,
}

impl Visit {
    /// An attempt to join: see [`Doors::attempt`].
    pub fn attempt(&self, comes_back: bool) -> Attempt {
        self.doors.attempt(self.from, comes_back, Instant::now())
    }

    /// See [`Doors::guessed`].
    pub fn guessed(&self) {
        self.doors.guessed(self.from, Instant::now());
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut table = self.doors.lock();
        if let Some(address) = table.addresses.get_mut(&self.from) {
            let open = &mut address.open[self.kind as usize];
            *open = open.saturating_sub(1);
        }
    }
}

/// What counts as one address: IPv4 also where it comes as IPv6 (RFC 4291 §2.5.5.2), and the /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: DoorRules = DoorRules { connections: 3, attempts: 300, burst: Duration::from_secs(120) };

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
            let doors = Doors::new(RULES);
            let enter = |from, kind| doors.enter(address(from), kind, now);
            let held: Vec<_> = (0..3).map(|_| enter(one, Kind::WebSocket).unwrap()).collect();
            assert!(enter(one, Kind::WebSocket).is_none());
            assert_eq!(enter(other, Kind::WebSocket).is_none(), same, "{one} and {other}");
            // Requests have places of their own.
            let plain: Vec<_> = (0..100).map_while(|_| enter(one, Kind::Plain)).collect();
            assert_eq!(plain.len(), 3);
            drop(held);
            assert!(enter(one, Kind::WebSocket).is_some() && enter(one, Kind::Plain).is_none());
        }
    }

    #[test]
    fn r66_who_tries_often_waits_and_then_is_refused() {
        let (doors, mut now, from) = (Doors::new(RULES), Instant::now(), address("10.0.0.1"));
        assert!((0..600).all(|_| seconds(doors.attempt(from, false, now)) == 0.0), "two minutes' worth is free");
        let waits: Vec<f64> = (0..25).map(|_| seconds(doors.attempt(from, false, now))).collect();
        assert!((waits[0] - 0.2).abs() < 0.01 && (waits[24] - 5.0).abs() < 0.01, "{waits:?}");
        let refused = seconds(doors.attempt(from, false, now));
        assert!((refused + 5.2).abs() < 0.01, "{refused}");
        assert_eq!(seconds(doors.attempt(address("10.0.0.2"), false, now)), 0.0, "others are not held up");
        // Being refused costs nothing: after the hint it goes on.
        now += Duration::from_secs_f64(5.21);
        assert_eq!(seconds(doors.attempt(from, false, now)), 0.0);
    }

    #[test]
    fn r66_a_guess_takes_ten_times_as_much() {
        let (doors, mut now, from) = (Doors::new(RULES), Instant::now(), address("10.0.0.1"));
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
        // 60 at once, then one in two seconds: 15 bits of a name in a whole day.
        assert!((1_850..=1_870).contains(&guesses), "{guesses} in an hour");
    }

    #[test]
    fn addresses_are_forgotten() {
        let (doors, mut now) = (Doors::new(RULES), Instant::now());
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
        assert!(doors.known() <= 2 * ADDRESSES + 1, "{}", doors.known());
        assert!(
            (0..2).all(|_| doors.enter(address("2001:db8::2"), Kind::WebSocket, now).map(std::mem::forget).is_some())
        );
        assert!(doors.enter(address("2001:db8::2"), Kind::WebSocket, now).is_none(), "who is there is not forgotten");
        drop(stays);
    }

    #[test]
    fn zero_is_no_limit() {
        let (doors, now) = (Doors::new(DoorRules { connections: 0, attempts: 0, ..RULES }), Instant::now());
        let from = address("10.0.0.1");
        let open: Vec<_> = (0..10_000).map(|_| doors.enter(from, Kind::WebSocket, now).unwrap()).collect();
        assert!((0..10_000).all(|_| {
            doors.guessed(from, now);
            seconds(doors.attempt(from, false, now)) == 0.0
        }));
        drop(open);
    }
}
