//! All rooms of this server. Rooms change under short locks, and their effects are carried out there.
//!
//! - [`own`]: rooms that only this server has
//! - [`shared`]: rooms that other servers may have, too, if there is a store
//! - [`entrance`]: joins to such rooms
//! - [`goodbye`]: leave requests that do not arrive over the member's socket
//! - [`engine`]: connection to the store
//! - [`membership`]: actions of members
//! - [`operators`]: the operator's view of the rooms, and actions on them
//! - [`recorded`]: indicator that a room is recorded

mod engine;
mod entrance;
mod goodbye;
mod membership;
mod operators;
mod own;
mod recorded;
mod shared;

pub use engine::Connection;
pub use entrance::{Entrance, JoinError, Joining, Newcomer};
pub use goodbye::{Goodbye, PAGE_RELOAD_WINDOW};
pub use membership::{Absence, Decision, Membership, Said};
pub use operators::{Occupancy, Placed, RoomDetail, RoomSummary};
pub use recorded::{HostPresence, NotRecorded};

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cluster::share::Rules;
use crate::core::{Input, Refusal, Room, Seat};
use crate::dismissed::Dismissed;
use crate::greeter::Greeter;
use crate::ice::Client;
use crate::limits::{Allowances, Rate};
use crate::outbox::Outbox;
use crate::protocol::{CloseCode, Outgoing, PeerId, Role, RoomName, ServerMessage};
use crate::telemetry::Metrics;
use crate::webhooks::Webhooks;
use engine::Engine;
use shared::Shared;

/// Locks over which the rooms are spread: many more than cores, so that two rooms seldom contend.
const SHARDS: usize = 64;
/// Delay in milliseconds before a client reconnects (R32).
const RECONNECT_MS: std::ops::RangeInclusive<u32> = 500..=5_000;

/// Capacity of a trial room, for trying the way to the server: too small for an unnoticed meeting (R109).
const TRIAL_MEMBERS: usize = 2;

type Rooms = HashMap<RoomName, Held>;

/// A room on this server.
#[derive(Debug)]
enum Held {
    /// Room that no other server can have.
    Own(Box<Room<Arc<Outbox>>>),
    /// Room that other servers may have, too.
    Shared(Box<Shared>),
}

/// All rooms of one server.
#[derive(Debug)]
pub struct Hub {
    shards: [Mutex<Rooms>; SHARDS],
    hasher: RandomState,
    rules: HubRules,
    allowances: Allowances,
    dismissed: Dismissed,
    draining: AtomicBool,
    sessions: AtomicU64,
    started: Instant,
    greeter: Greeter,
    metrics: Arc<Metrics>,
    webhooks: Arc<Webhooks>,
    /// Store that connects several servers, if there is one.
    engine: Option<Arc<Engine>>,
    /// Notified while the server drains, when a room holds no sessions any more.
    settled: Notify,
    /// See [`Hub::take_departed`].
    departed: Mutex<Vec<(RoomName, PeerId, HostPresence)>>,
}

/// Limits and settings of all rooms.
#[derive(Clone, Copy, Debug)]
pub struct HubRules {
    /// Maximum number of members in a room.
    pub room_members: usize,
    /// Resume window: how long a room keeps the place of a disconnected member (R52).
    pub resume_window: Duration,
    /// Grace period: how long a room is kept after its last member has left (R111).
    pub empty_room_grace: Duration,
    /// Maximum number of rooms.
    pub rooms: usize,
    /// Maximum number of members in all rooms.
    pub members: usize,
    /// Maximum number of people from one address in a room and its lobby (R99).
    pub members_per_address: usize,
    /// Rate at which a member may send. Each receiver of its signals has a share of it (R102).
    pub rate: Rate,
    /// Set if rooms make hosts of their members (R36), instead of leaving that to tokens.
    pub makes_hosts: bool,
    /// Set if hosts may record to the server.
    pub records: bool,
}

impl HubRules {
    /// Creates rules without server limits, for open rooms of up to `room_members` members that end with the last one.
    pub fn open(room_members: usize) -> Self {
        let resume_window = Duration::from_secs(20);
        let rate = Rate { messages: 0, bytes: 0, burst: Duration::ZERO, patience: Duration::ZERO };
        Self {
            room_members,
            resume_window,
            empty_room_grace: Duration::ZERO,
            rooms: usize::MAX,
            members: usize::MAX,
            members_per_address: usize::MAX,
            rate,
            makes_hosts: true,
            records: false,
        }
    }
}

impl Hub {
    /// Creates a hub without rooms that sends no webhooks.
    pub fn new(rules: HubRules, greeter: Greeter, metrics: Arc<Metrics>) -> Arc<Self> {
        let webhooks = Arc::new(Webhooks::new(None, Arc::clone(&metrics)));
        Self::telling(rules, greeter, metrics, webhooks)
    }

    /// Creates a hub without rooms that reports their events by webhooks.
    pub fn telling(rules: HubRules, greeter: Greeter, metrics: Arc<Metrics>, webhooks: Arc<Webhooks>) -> Arc<Self> {
        Self::sharing(rules, greeter, metrics, webhooks, None)
    }

    /// Creates a hub like [`Hub::telling`] whose rooms may be on other servers, too, if there is a store. In that case
    /// [`Hub::follow`] has to be polled.
    pub fn sharing(
        rules: HubRules,
        greeter: Greeter,
        metrics: Arc<Metrics>,
        webhooks: Arc<Webhooks>,
        engine: Option<Connection>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            allowances: Allowances::new(rules.rate),
            rules,
            dismissed: Dismissed::default(),
            draining: AtomicBool::new(false),
            // Starts at a random number: a secret of an earlier server, or another one, must not match a session of
            // this one.
            sessions: AtomicU64::new(fastrand::u64(..)),
            started: Instant::now(),
            greeter,
            metrics,
            webhooks,
            engine: engine.map(Engine::new),
            settled: Notify::new(),
            departed: Mutex::default(),
        })
    }

    /// Submits a join. The peer becomes a member, or waits in the lobby where a host has to admit it. If other servers
    /// may have the room, the answer may have to wait for them.
    pub fn join(self: &Arc<Self>, name: &RoomName, newcomer: Newcomer) -> Result<Entrance, JoinError> {
        let mut rooms = self.lock(name);
        // Read under the lock: `drain` sets it before it visits this shard.
        if self.draining.load(Ordering::Relaxed) {
            return Err(JoinError::Draining);
        }
        if let Some(code) = newcomer.stay.and_then(|stay| self.dismissed.how(stay)) {
            return Err(JoinError::Dismissed(code));
        }
        let before = rooms.get(name);
        let made = before.is_none();
        // A member that is disconnected, or joins over another socket, has its place already.
        if before.is_none_or(|held| !held.has(newcomer.id)) && self.is_full(made) {
            return Err(JoinError::Full);
        }
        if before.is_some_and(|held| !held.has(newcomer.id) && self.is_address_full(held, &newcomer)) {
            return Err(JoinError::AddressFull);
        }
        let held = rooms.entry(name.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            self.begin(name)
        });
        let (id, has_secret, outbox) = (newcomer.id, newcomer.stay.is_some(), Arc::clone(&newcomer.outbox));
        match held {
            Held::Own(room) => {
                let seat = Seat { id, session: self.sessions.fetch_add(1, Ordering::Relaxed) };
                let entered = self.enter(name, room, seat, newcomer);
                self.clear(&mut rooms, name);
                drop(rooms);
                entered?;
                Ok(Entrance::In(Membership::new(Arc::clone(self), name.clone(), seat, outbox, made)))
            }
            Held::Shared(shared) => {
                let answer = self.knock(name, shared, newcomer);
                self.clear(&mut rooms, name);
                drop(rooms);
                Joining::new(Arc::clone(self), name.clone(), id, has_secret, outbox, answer).now()
            }
        }
    }

    /// Creates an empty room.
    fn begin(&self, name: &RoomName) -> Held {
        let HubRules { room_members, resume_window: window, empty_room_grace, makes_hosts, .. } = self.rules;
        let (capacity, grace) = if name.is_trial() {
            (room_members.min(TRIAL_MEMBERS), Duration::ZERO)
        } else {
            (room_members, empty_room_grace)
        };
        match &self.engine {
            None => {
                let room = Room::new(capacity, window).making_hosts(makes_hosts).with_grace(grace);
                Held::Own(Box::new(room))
            }
            Some(engine) => {
                let rules = Rules { capacity, window, grace, makes_hosts, gone_within: engine.gone_within() };
                Held::Shared(Shared::new(engine, rules))
            }
        }
    }

    /// Returns whether a limit of the server is reached. There is no lock over all rooms, so that concurrent joins may
    /// exceed it by a few.
    fn is_full(&self, with_room: bool) -> bool {
        let at_limit = |count: &Gauge, limit: usize| usize::try_from(count.get()).is_ok_and(|count| count >= limit);
        at_limit(&self.metrics.members, self.rules.members)
            || (with_room && at_limit(&self.metrics.rooms, self.rules.rooms))
    }

    /// Returns whether the room has reached its limit of people from the newcomer's address. Hosts are exempt (R98).
    fn is_address_full(&self, held: &Held, newcomer: &Newcomer) -> bool {
        newcomer.limited_by_address
            && newcomer.grant.role != Some(Role::Host)
            && newcomer.outbox.address().is_some_and(|from| held.count_from(from) >= self.rules.members_per_address)
    }

    /// Sends fresh TURN credentials to every member (R73).
    pub async fn renew_ice(self: &Arc<Self>) {
        for shard in &self.shards {
            // Collected first, so that nothing is computed under the lock.
            let members: Vec<(RoomName, PeerId, Client)> = lock(shard)
                .iter()
                .flat_map(|(name, held)| held.clients_here().into_iter().map(|(id, client)| (name.clone(), id, client)))
                .collect();
            for (room, to, client) in members {
                let frame = self.greeter.ice_servers(client);
                // Through the room, which knows the member's current outbox, connected or not. Members that have left
                // meanwhile get none.
                let _ = self.with(&room, |held| match held {
                    Held::Own(own) => self.apply(&room, own, Input::Tell { to, frame }),
                    Held::Shared(shared) => {
                        self.tell(shared, to, &frame);
                        Ok(())
                    }
                });
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the interval of [`Hub::renew_ice`], or `None` if no credentials expire.
    pub fn renew_ice_every(&self) -> Option<Duration> {
        self.greeter.renew_every()
    }

    /// Returns the maximum number of members in a room.
    pub fn room_members(&self) -> usize {
        self.rules.room_members
    }

    /// Announces the shutdown to everyone, closes all connections and rejects further joins (R32). Without a store,
    /// disconnected members leave at once, because nobody can reconnect. With other servers, everyone reconnects there,
    /// and sessions are kept until they are fetched (see [`Hub::settled`]).
    pub fn drain(self: &Arc<Self>) {
        self.draining.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            let mut rooms = lock(shard);
            let names: Vec<RoomName> = rooms.keys().cloned().collect();
            for name in names {
                match rooms.get_mut(&name) {
                    Some(Held::Own(room)) => {
                        room.handles().for_each(|outbox| go_away(outbox));
                        // No room refuses this.
                        let _ = self.apply(&name, room, Input::GiveUp);
                    }
                    Some(Held::Shared(shared)) => self.send_on(&name, shared),
                    None => {}
                }
                self.clear(&mut rooms, &name);
            }
        }
    }

    /// Waits, after [`Hub::drain`], until no session would be lost with this server and the store knows that it has
    /// left all rooms. Otherwise other servers would wait for it in vain.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            let holds = |held: &Held| match held {
                Held::Own(_) => false,
                Held::Shared(shared) => shared.engine.is_connected() || shared.share.holds_sessions(),
            };
            if !self.shards.iter().any(|shard| lock(shard).values().any(holds)) {
                return;
            }
            settled.await;
        }
    }

    fn lock(&self, room: &RoomName) -> MutexGuard<'_, Rooms> {
        let shard = self.hasher.hash_one(room) as usize % SHARDS;
        lock(&self.shards[shard])
    }

    /// Runs a function on a room under its lock. Returns `NotMember` if there is no such room.
    fn with<R>(
        self: &Arc<Self>,
        room: &RoomName,
        does: impl FnOnce(&mut Held) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut rooms = self.lock(room);
        let held = rooms.get_mut(room).ok_or(Refusal::NotMember)?;
        let result = does(held);
        if let Held::Shared(shared) = held {
            self.finish(room, shared);
        }
        self.clear(&mut rooms, room);
        result
    }

    /// Runs a function on a shared room under its lock, if there is one.
    fn with_shared(self: &Arc<Self>, room: &RoomName, does: impl FnOnce(&mut Shared)) {
        let mut rooms = self.lock(room);
        let Some(Held::Shared(shared)) = rooms.get_mut(room) else { return };
        does(shared);
        self.clear(&mut rooms, room);
    }

    /// Removes a room that is over.
    fn clear(self: &Arc<Self>, rooms: &mut Rooms, name: &RoomName) {
        let is_over = rooms.get(name).is_some_and(|held| match held {
            Held::Own(room) => room.is_over(),
            Held::Shared(shared) => shared.share.is_over(),
        });
        if !is_over {
            return;
        }
        if let Some(Held::Shared(old)) = rooms.remove(name) {
            self.discount(&old);
            if let (false, Held::Shared(mut shared)) = (old.entrants.is_empty(), self.begin(name)) {
                self.come_again(name, *old, &mut shared);
                rooms.insert(name.clone(), Held::Shared(shared));
                return;
            }
            old.engine.bus.forget(name);
            self.settled.notify_waiters();
        }
        self.metrics.rooms.dec();
        if rooms.capacity() > 64 && rooms.len() < rooms.capacity() / 4 {
            rooms.shrink_to_fit();
        }
    }
}

impl Held {
    fn has(&self, id: PeerId) -> bool {
        match self {
            Self::Own(room) => room.way_to(id).is_some(),
            Self::Shared(shared) => shared.room().is_some_and(|room| room.way_to(id).is_some()),
        }
    }

    /// Returns how many people from this address have joined on this server, or wait to.
    fn count_from(&self, address: IpAddr) -> usize {
        let is_from = |outbox: &&Arc<Outbox>| outbox.address() == Some(address);
        match self {
            Self::Own(room) => room.handles().filter(is_from).count(),
            Self::Shared(shared) => {
                let locals = shared.share.locals().map(|(_, outbox, _)| outbox);
                locals.filter(is_from).count() + shared.entrants_from(address)
            }
        }
    }

    /// Returns the members whose session is on this server.
    fn clients_here(&self) -> Vec<(PeerId, Client)> {
        match self {
            Self::Own(room) => {
                let client = |id| Some((id, Client::of(room.way_to(id)?.address(), id)));
                room.members().filter_map(|(peer, _)| client(peer.id)).collect()
            }
            Self::Shared(shared) => {
                let locals = shared.share.locals();
                locals.map(|(seat, outbox, _)| (seat.id, Client::of(outbox.address(), seat.id))).collect()
            }
        }
    }
}

fn lock(shard: &Mutex<Rooms>) -> MutexGuard<'_, Rooms> {
    // A panic under this lock is a defect of one room; it must not end all others.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Announces the shutdown, with a reconnect delay that differs from connection to connection (R32), and closes the
/// connection.
pub fn go_away(outbox: &Outbox) {
    let reconnect_ms = fastrand::u32(RECONNECT_MS);
    // If the queue has no space for this message, the close code alone has to do.
    let frame = ServerMessage::GoAway { reason: "shutdown", reconnect_ms }.to_frame();
    let _ = outbox.add(Outgoing::plain(frame));
    outbox.close(CloseCode::GoingAway);
}
