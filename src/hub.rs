//! All rooms of this server: applies inputs to [`Room`]s under short locks and carries out what
//! they ask for.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use tokio::time::Instant;

use crate::core::session::{Load, OutOfSequence};
use crate::core::{Comeback, Effect, Grant, Input, Refusal, Room, Seat};
use crate::dismissed::Dismissed;
use crate::greeter::{Greeter, Greeting};
use crate::outbox::Outbox;
use crate::protocol::{
    CloseCode, Frame, LeaveReason, Moderation, NotResumed, Outgoing, Peer, PeerId, PeerName, RoomName, ServerMessage,
    Settings, SettingsPatch, StatePatch, Waiting,
};
use crate::telemetry::Metrics;
use crate::webhooks::Webhooks;

/// Locks that rooms are spread over; many more than cores, so that two rooms seldom meet.
const SHARDS: usize = 64;
/// Milliseconds after which a client is asked to come back (R32).
const RECONNECT_MS: std::ops::RangeInclusive<u32> = 500..=5_000;

type Rooms = HashMap<RoomName, Room<Arc<Outbox>>>;

/// The rooms of one server.
#[derive(Debug)]
pub struct Hub {
    shards: [Mutex<Rooms>; SHARDS],
    hasher: RandomState,
    rules: HubRules,
    dismissed: Dismissed,
    draining: AtomicBool,
    sessions: AtomicU64,
    started: Instant,
    greeter: Greeter,
    metrics: Arc<Metrics>,
    webhooks: Arc<Webhooks>,
}

/// What holds for all rooms.
#[derive(Clone, Copy, Debug)]
pub struct HubRules {
    /// The most members of a room.
    pub room_members: usize,
    /// How long a room keeps the place of a member whose socket is lost (R52).
    pub resume_window: Duration,
    /// The most rooms.
    pub rooms: usize,
    /// The most members of all rooms.
    pub members: usize,
    /// Whether rooms make hosts of their members (R36), rather than leave that to tokens.
    pub makes_hosts: bool,
}

/// What a newcomer brings.
#[derive(Debug)]
pub struct Newcomer {
    /// Its id: fresh, or the one it had before.
    pub id: PeerId,
    /// Display name.
    pub name: PeerName,
    /// Whether whoever runs the server has said that name.
    pub named: bool,
    /// The state to start with.
    pub state: StatePatch,
    /// For a room that it makes.
    pub settings: SettingsPatch,
    /// Of which stay it has the secret, if any.
    pub stay: Option<u64>,
    /// The number of its last message, of that stay, where it wishes to go on with that.
    pub last_seq: Option<u64>,
    /// Whether it came with a secret that is not good.
    pub disproved: bool,
    /// What it was granted.
    pub grant: Grant,
    /// Where its frames go.
    pub outbox: Arc<Outbox>,
}

/// A room in a list.
#[derive(Debug, Serialize)]
pub struct RoomSummary {
    /// Its name.
    pub room: String,
    /// How many are in it.
    pub members: usize,
    /// How many wait before it.
    pub waiting: usize,
    /// What it is set to.
    pub settings: Settings,
}

/// A room, and who is there.
#[derive(Debug, Serialize)]
pub struct RoomDetail {
    /// Its name.
    pub room: String,
    /// The roster's version.
    pub version: u64,
    /// What it is set to.
    pub settings: Settings,
    /// In the order in which they joined.
    pub members: Vec<Peer>,
    /// In the order in which they came.
    pub waiting: Vec<Waiting>,
}

/// Why nobody could be let in.
#[derive(Debug, Eq, PartialEq)]
pub enum JoinError {
    /// The room said no.
    Refused(Refusal),
    /// The server shuts down.
    Draining,
    /// The server has as many rooms or members as it takes.
    Full,
    /// It comes with the secret of a stay that was ended, by a host or by whoever runs the server.
    Dismissed(CloseCode),
}

impl HubRules {
    /// Open rooms of up to so many, without a limit of the server's own.
    pub fn open(room_members: usize) -> Self {
        let resume_window = Duration::from_secs(20);
        Self { room_members, resume_window, rooms: usize::MAX, members: usize::MAX, makes_hosts: true }
    }
}

impl Hub {
    /// A hub without rooms, of which nobody is told.
    pub fn new(rules: HubRules, greeter: Greeter, metrics: Arc<Metrics>) -> Arc<Self> {
        let webhooks = Arc::new(Webhooks::new(None, Arc::clone(&metrics)));
        Self::telling(rules, greeter, metrics, webhooks)
    }

    /// A hub without rooms, that tells what happens in them.
    pub fn telling(rules: HubRules, greeter: Greeter, metrics: Arc<Metrics>, webhooks: Arc<Webhooks>) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            rules,
            dismissed: Dismissed::default(),
            draining: AtomicBool::new(false),
            // Not from 0: a secret of an earlier server must not fit a stay of this one.
            sessions: AtomicU64::new(fastrand::u64(..)),
            started: Instant::now(),
            greeter,
            metrics,
            webhooks,
        })
    }

    /// Lets somebody in, or lets them wait where a host has to admit them.
    pub fn join(self: &Arc<Self>, room: &RoomName, newcomer: Newcomer) -> Result<Membership, JoinError> {
        let seat = Seat { id: newcomer.id, session: self.sessions.fetch_add(1, Ordering::Relaxed) };
        let Newcomer { name, named, state, settings, stay, last_seq, disproved, grant, outbox: handle, .. } = newcomer;
        let mut rooms = self.lock(room);
        // Read under the lock: `drain` sets it before it visits this shard.
        if self.draining.load(Ordering::Relaxed) {
            return Err(JoinError::Draining);
        }
        if let Some(code) = newcomer.stay.and_then(|stay| self.dismissed.how(stay)) {
            return Err(JoinError::Dismissed(code));
        }
        let before = rooms.get(room);
        let made = before.is_none();
        // Who is lost, or comes on another socket, has its place.
        if before.is_none_or(|room| room.way_to(newcomer.id).is_none()) && self.is_full(made) {
            return Err(JoinError::Full);
        }
        let entry = rooms.entry(room.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            Room::new(self.rules.room_members, self.rules.resume_window).making_hosts(self.rules.makes_hosts)
        });
        let present = entry.way_to(seat.id);
        let mut comeback = Comeback { known: stay.is_some(), refused: disproved.then_some(NotResumed::ResumeInvalid) };
        let released = stay.zip(last_seq).and_then(|(stay, last)| {
            let name = named.then_some(&name);
            let released = match present {
                None => Err(NotResumed::ResumeExpired),
                Some(_) if !entry.grants_alike(seat.id, grant, name) => Err(NotResumed::GrantChanged),
                Some(outbox) => outbox.release_to(stay, last).ok_or(NotResumed::ResumeLost),
            };
            released.map_err(|why| comeback.refused = Some(why)).ok().zip(Some(last))
        });
        let input = if let Some((session, last)) = released {
            self.metrics.resumed.inc();
            handle.adopt(session, last, |ack| ServerMessage::Resumed { id: seat.id, ack }.to_frame());
            Input::Return { seat, handle }
        } else {
            Input::Join { seat, name, state, settings, comeback, grant, handle }
        };
        let joined = self.apply(room, entry, input);
        self.drop_if_empty(&mut rooms, room);
        drop(rooms);
        joined.map_err(JoinError::Refused)?;
        Ok(Membership { hub: Arc::clone(self), room: room.clone(), seat, made, present: true })
    }

    /// Whether there is no place for one more. Counted without a lock over all: a few may slip in at the same time.
    fn is_full(&self, with_room: bool) -> bool {
        let at_limit = |count: &Gauge, limit: usize| usize::try_from(count.get()).is_ok_and(|count| count >= limit);
        at_limit(&self.metrics.members, self.rules.members)
            || (with_room && at_limit(&self.metrics.rooms, self.rules.rooms))
    }

    /// How many are in a room, and what it is set to; `None` where nobody is.
    pub fn occupancy(&self, room: &RoomName) -> Option<(usize, Settings)> {
        self.lock(room).get(room).map(|room| (room.len(), room.settings()))
    }

    /// Rooms by name, those behind `after`, `limit` at most; of how many in all, and whether there are more behind.
    pub fn rooms(&self, after: Option<&str>, limit: usize) -> (Vec<RoomSummary>, usize, bool) {
        let (mut total, mut found) = (0, Vec::new());
        for shard in &self.shards {
            let rooms = lock(shard);
            total += rooms.len();
            let behind = rooms.iter().filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
            found.extend(behind.map(|(name, room)| RoomSummary {
                room: name.as_str().to_owned(),
                members: room.len(),
                waiting: room.waiting().count(),
                settings: room.settings(),
            }));
        }
        found.sort_unstable_by(|a, b| a.room.cmp(&b.room));
        let more = found.len() > limit;
        found.truncate(limit);
        (found, total, more)
    }

    /// A room and who is in it; `None` where nobody is.
    pub fn look(&self, name: &RoomName) -> Option<RoomDetail> {
        let rooms = self.lock(name);
        let room = rooms.get(name)?;
        Some(RoomDetail {
            room: name.as_str().to_owned(),
            version: room.version(),
            settings: room.settings(),
            members: room.members().map(|(peer, _)| peer.clone()).collect(),
            waiting: room.waiting().cloned().collect(),
        })
    }

    /// Sends somebody away; `NotMember` where there is no such room.
    pub fn evict(self: &Arc<Self>, room: &RoomName, id: PeerId) -> Result<(), Refusal> {
        self.input(room, Input::Evict { id })
    }

    /// Sends everybody in a room away; `NotMember` where there is no such room.
    pub fn close_room(self: &Arc<Self>, room: &RoomName) -> Result<(), Refusal> {
        self.input(room, Input::End)
    }

    /// Gives every member fresh credentials for TURN servers (R73).
    pub async fn renew_ice(self: &Arc<Self>) {
        for shard in &self.shards {
            // Out of the lock before anything is computed.
            let members: Vec<(RoomName, PeerId)> = lock(shard)
                .iter()
                .flat_map(|(name, room)| room.members().map(|(peer, _)| (name.clone(), peer.id)).collect::<Vec<_>>())
                .collect();
            for (room, to) in members {
                let frame = self.greeter.ice_servers(to);
                // Through the room, which knows where what is for it goes now, with a socket or without. Who has
                // left meanwhile needs none.
                let _ = self.input(&room, Input::Tell { to, frame });
            }
            tokio::task::yield_now().await;
        }
    }

    /// How often that is to be done; `None` where there are no credentials that end.
    pub fn renew_ice_every(&self) -> Option<Duration> {
        self.greeter.renew_every()
    }

    /// How full the outboxes of everybody are, lost or not.
    pub fn loads(&self) -> Vec<Load> {
        let of_shard =
            |shard| lock(shard).values().flat_map(Room::handles).map(|outbox| outbox.load()).collect::<Vec<_>>();
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// The most members of a room.
    pub fn room_members(&self) -> usize {
        self.rules.room_members
    }

    /// Tells everyone that the server goes away, closes their connections and lets nobody in
    /// any more (R32). Who is lost leaves at once, as nobody can come back.
    pub fn drain(self: &Arc<Self>) {
        self.draining.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            let mut rooms = lock(shard);
            for outbox in rooms.values().flat_map(Room::handles) {
                go_away(outbox);
            }
            let names: Vec<RoomName> = rooms.keys().cloned().collect();
            for name in names {
                if let Some(room) = rooms.get_mut(&name) {
                    // Refused by no room.
                    let _ = self.apply(&name, room, Input::GiveUp);
                }
                self.drop_if_empty(&mut rooms, &name);
            }
        }
    }

    fn lock(&self, room: &RoomName) -> MutexGuard<'_, Rooms> {
        let shard = self.hasher.hash_one(room) as usize % SHARDS;
        lock(&self.shards[shard])
    }

    fn input(self: &Arc<Self>, room: &RoomName, input: Input<Arc<Outbox>>) -> Result<(), Refusal> {
        self.input_of(room, |_| Ok(Some(input)))
    }

    /// Carries out what `decide` makes of the room, under one lock.
    fn input_of(
        self: &Arc<Self>,
        room: &RoomName,
        decide: impl FnOnce(&Room<Arc<Outbox>>) -> Result<Option<Input<Arc<Outbox>>>, Refusal>,
    ) -> Result<(), Refusal> {
        let mut rooms = self.lock(room);
        let entry = rooms.get_mut(room).ok_or(Refusal::NotMember)?;
        let Some(input) = decide(entry)? else { return Ok(()) };
        let result = self.apply(room, entry, input);
        self.drop_if_empty(&mut rooms, room);
        result
    }

    /// The member of that stay says goodbye, by another way than its socket (R55). Whether it was there.
    pub fn leave(self: &Arc<Self>, room: &RoomName, id: PeerId, stay: u64) -> bool {
        let left = self.input_of(room, |room| {
            let present = room.way_to(id).filter(|outbox| outbox.is_of(stay)).and(room.seat_of(id));
            let seat = present.ok_or(Refusal::NotMember)?;
            if let Some(outbox) = room.way_to(id) {
                outbox.close(CloseCode::Left);
            }
            Ok(Some(Input::Leave { seat, reason: LeaveReason::Left }))
        });
        left.is_ok()
    }

    /// Applies one input, and what follows from members whose outbox is full: each leaves at
    /// once, which the others are told, which may fill further outboxes.
    fn apply(
        self: &Arc<Self>,
        name: &RoomName,
        room: &mut Room<Arc<Outbox>>,
        input: Input<Arc<Outbox>>,
    ) -> Result<(), Refusal> {
        let (now, before) = (self.started.elapsed(), room.len());
        let mut overrun: Vec<Seat> = Vec::new();
        let mut opens = before == 0;
        let result = room.handle(now, input, &mut |effect| {
            if matches!(effect, Effect::Welcome { .. }) && std::mem::take(&mut opens) {
                self.webhooks.opened(name);
            }
            self.carry_out(name, effect, &mut overrun);
        });
        while let Some(seat) = overrun.pop() {
            let leave = Input::Leave { seat, reason: LeaveReason::SlowConsumer };
            // `NotMember` where it has left already.
            let _ = room.handle(now, leave, &mut |effect| self.carry_out(name, effect, &mut overrun));
        }
        if room.is_empty() && before > 0 {
            self.webhooks.closed(name);
        }
        if room.len() != before {
            self.metrics.members.inc_by(room.len() as i64 - before as i64);
        }
        result
    }

    fn carry_out(self: &Arc<Self>, name: &RoomName, effect: Effect<'_, Arc<Outbox>>, overrun: &mut Vec<Seat>) {
        let (seat, to, pushed) = match effect {
            Effect::Send { seat, to, frame } => (seat, to, to.push(frame)),
            Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers } => {
                self.webhooks.joined(name, own);
                let stay = seat.session;
                let greeting = Greeting { room: name, version, own, peers, permissions, settings, comeback, stay };
                (seat, to, to.begin(stay, self.greeter.welcome(greeting)))
            }
            Effect::Departed { peer, reason } => return self.webhooks.left(name, peer, reason),
            Effect::Close { handle, code } => {
                if let (CloseCode::Removed | CloseCode::Ended, Some(stay)) = (code, handle.stay()) {
                    self.dismissed.add(stay, code);
                }
                return handle.close(code);
            }
            Effect::WakeAt(at) => return self.wake(name.clone(), at),
        };
        if pushed.is_err() {
            self.metrics.slow_consumers.inc();
            to.close(CloseCode::SlowConsumer);
            overrun.push(seat);
        }
    }

    fn drop_if_empty(&self, rooms: &mut Rooms, room: &RoomName) {
        if rooms.get(room).is_some_and(Room::is_empty) {
            rooms.remove(room);
            self.metrics.rooms.dec();
            if rooms.capacity() > 64 && rooms.len() < rooms.capacity() / 4 {
                rooms.shrink_to_fit();
            }
        }
    }

    fn wake(self: &Arc<Self>, room: RoomName, at: Duration) {
        // A member may be dropped with the runtime: then nothing comes any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (hub, at) = (Arc::downgrade(self), self.started + at);
        runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(hub) = hub.upgrade() {
                // The room may be gone by now; another of its name ignores the tick.
                let _ = hub.input(&room, Input::Tick);
            }
        });
    }
}

fn lock(shard: &Mutex<Rooms>) -> MutexGuard<'_, Rooms> {
    // A panic under this lock is a defect of one room; it must not end all others.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says goodbye with a hint that differs from connection to connection (R32).
pub fn go_away(outbox: &Outbox) {
    let reconnect_ms = fastrand::u32(RECONNECT_MS);
    // Where there is no room for the hint, the close code alone has to do.
    let frame = ServerMessage::GoAway { reason: "shutdown", reconnect_ms }.to_frame();
    let _ = outbox.add(Outgoing::plain(frame));
    outbox.close(CloseCode::GoingAway);
}

/// One member's place in a room, or before its door. Dropping it tells that the connection is lost, whatever ended
/// it; [`Membership::leave`] says goodbye.
#[derive(Debug)]
pub struct Membership {
    hub: Arc<Hub>,
    room: RoomName,
    seat: Seat,
    made: bool,
    present: bool,
}

/// What a member does, and the number of the message that says so, where it has one: a message is carried out
/// once, however often it comes (R50).
impl Membership {
    /// This member's id.
    pub fn id(&self) -> PeerId {
        self.seat.id
    }

    /// Whether the room began with this join.
    pub fn made_the_room(&self) -> bool {
        self.made
    }

    /// Passes a frame on to one other member; `None` is nobody.
    pub fn signal(&self, number: Option<u64>, to: Option<PeerId>, frame: Frame) -> Result<(), Refusal> {
        self.input(number, Input::Signal { from: self.seat, to, frame })
    }

    /// Passes a frame on to all other members.
    pub fn broadcast(&self, number: Option<u64>, frame: Frame) -> Result<(), Refusal> {
        self.input(number, Input::Broadcast { from: self.seat, frame })
    }

    /// Decides for the room, as a host.
    pub fn moderate(&self, number: Option<u64>, act: Moderation) -> Result<(), Refusal> {
        self.input(number, Input::Moderate { seat: self.seat, act })
    }

    /// Changes this member's state.
    pub fn change_state(&self, number: Option<u64>, patch: StatePatch) -> Result<(), Refusal> {
        self.input(number, Input::State { seat: self.seat, patch })
    }

    /// Sends the roster to this member.
    pub fn sync(&self, number: Option<u64>) -> Result<(), Refusal> {
        self.input(number, Input::Sync { seat: self.seat })
    }

    /// Only counts a message, which is nobody else's affair; whether it is to be answered.
    pub fn count(&self, number: Option<u64>) -> Result<bool, Refusal> {
        let Some(number) = number else { return Ok(true) };
        let mut is_new = true;
        self.hub.input_of(&self.room, |room| {
            is_new = accept(room, self.seat, number)?;
            Ok(None)
        })?;
        Ok(is_new)
    }

    /// Leaves the room.
    pub fn leave(mut self, reason: LeaveReason) {
        if std::mem::take(&mut self.present) {
            // `NotMember` where it was superseded or too slow: the hub has said so already.
            let _ = self.hub.input(&self.room, Input::Leave { seat: self.seat, reason });
        }
    }

    /// Has lost its socket, and leaves for that reason where it does not come back in time.
    pub fn lose(mut self, reason: LeaveReason) -> Absence {
        self.be_lost(reason);
        Absence { hub: Arc::clone(&self.hub), room: self.room.clone(), seat: self.seat }
    }

    fn input(&self, number: Option<u64>, input: Input<Arc<Outbox>>) -> Result<(), Refusal> {
        // Under the lock under which another socket takes over: a message that counts is carried out.
        self.hub.input_of(&self.room, |room| match number {
            Some(number) if !accept(room, self.seat, number)? => Ok(None),
            _ => Ok(Some(input)),
        })
    }

    fn be_lost(&mut self, reason: LeaveReason) {
        if !std::mem::take(&mut self.present) {
            return;
        }
        let seat = self.seat;
        // `NotMember` where it was superseded or too slow: the hub has said so already.
        let _ = self.hub.input_of(&self.room, |room| {
            // The socket keeps its outbox for what is left to say to it; what it missed waits in another one.
            let handle = match room.way_from(seat) {
                Ok(outbox) => Arc::new(Outbox::of(outbox.release())),
                Err(Refusal::NotAdmitted) => return Ok(Some(Input::Leave { seat, reason })),
                Err(refusal) => return Err(refusal),
            };
            Ok(Some(Input::Lose { seat, reason, handle }))
        });
    }
}

/// A member without a socket.
#[derive(Debug)]
pub struct Absence {
    hub: Arc<Hub>,
    room: RoomName,
    seat: Seat,
}

impl Absence {
    /// How long it lasts at most.
    pub fn window(&self) -> Duration {
        self.hub.rules.resume_window
    }

    /// Ends it at once, unless the member is back.
    pub fn end(self, reason: LeaveReason) {
        // `NotMember` where it is back, which is another seat, or is gone.
        let _ = self.hub.input(&self.room, Input::Leave { seat: self.seat, reason });
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.be_lost(LeaveReason::Closed);
    }
}

/// Counts a message of a member; whether it is new.
fn accept(room: &Room<Arc<Outbox>>, seat: Seat, number: u64) -> Result<bool, Refusal> {
    room.way_from(seat)?.accept(number).map_err(|OutOfSequence(next)| Refusal::OutOfSequence(next))
}
