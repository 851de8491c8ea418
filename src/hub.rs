//! All rooms of this server: applies inputs to [`Room`]s under short locks and carries out what
//! they ask for.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::{Effect, Input, Refusal, Room, Seat};
use crate::greeter::{Greeter, Greeting};
use crate::outbox::Outbox;
use crate::protocol::{
    CloseCode, Frame, LeaveReason, Moderation, PeerId, PeerName, RoomName, ServerMessage, Settings, SettingsPatch,
    StatePatch,
};
use crate::telemetry::Metrics;

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
    room_members: usize,
    draining: AtomicBool,
    sessions: AtomicU64,
    started: Instant,
    greeter: Greeter,
    metrics: Arc<Metrics>,
}

/// What a newcomer brings.
#[derive(Debug)]
pub struct Newcomer {
    /// Its id: fresh, or the one it had before.
    pub id: PeerId,
    /// Display name.
    pub name: PeerName,
    /// The state to start with.
    pub state: StatePatch,
    /// For a room that it makes.
    pub settings: SettingsPatch,
    /// Whether it proved that the id was its own before.
    pub resumed: bool,
    /// Where its frames go.
    pub outbox: Arc<Outbox>,
}

/// Why nobody could be let in.
#[derive(Debug, Eq, PartialEq)]
pub enum JoinError {
    /// The room said no.
    Refused(Refusal),
    /// The server shuts down.
    Draining,
}

impl Hub {
    /// A hub without rooms, each of which will take up to `room_members` members.
    pub fn new(room_members: usize, greeter: Greeter, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            room_members,
            draining: AtomicBool::new(false),
            sessions: AtomicU64::new(0),
            started: Instant::now(),
            greeter,
            metrics,
        })
    }

    /// Lets somebody in, or lets them wait where a host has to admit them.
    pub fn join(self: &Arc<Self>, room: &RoomName, newcomer: Newcomer) -> Result<Membership, JoinError> {
        let seat = Seat { id: newcomer.id, session: self.sessions.fetch_add(1, Ordering::Relaxed) };
        let Newcomer { name, state, settings, resumed, outbox: handle, .. } = newcomer;
        let mut rooms = self.lock(room);
        // Read under the lock: `drain` sets it before it visits this shard.
        if self.draining.load(Ordering::Relaxed) {
            return Err(JoinError::Draining);
        }
        let entry = rooms.entry(room.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            Room::new(self.room_members)
        });
        let join = Input::Join { seat, name, state, settings, resumed, handle };
        let joined = self.apply(room, entry, join);
        self.drop_if_empty(&mut rooms, room);
        drop(rooms);
        joined.map_err(JoinError::Refused)?;
        Ok(Membership { hub: Arc::clone(self), room: room.clone(), seat, present: true })
    }

    /// How many are in a room, and what it is set to; `None` where nobody is.
    pub fn occupancy(&self, room: &RoomName) -> Option<(usize, Settings)> {
        self.lock(room).get(room).map(|room| (room.len(), room.settings()))
    }

    /// The most members of a room.
    pub fn room_members(&self) -> usize {
        self.room_members
    }

    /// Tells everyone that the server goes away, closes their connections and lets nobody in
    /// any more (R32).
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        for shard in &self.shards {
            let rooms = lock(shard);
            for outbox in rooms.values().flat_map(Room::handles) {
                go_away(outbox);
            }
        }
    }

    fn lock(&self, room: &RoomName) -> MutexGuard<'_, Rooms> {
        let shard = self.hasher.hash_one(room) as usize % SHARDS;
        lock(&self.shards[shard])
    }

    fn input(self: &Arc<Self>, room: &RoomName, input: Input<Arc<Outbox>>) -> Result<(), Refusal> {
        let mut rooms = self.lock(room);
        let entry = rooms.get_mut(room).ok_or(Refusal::NotMember)?;
        let result = self.apply(room, entry, input);
        self.drop_if_empty(&mut rooms, room);
        result
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
        let result = room.handle(now, input, &mut |effect| self.carry_out(name, effect, &mut overrun));
        while let Some(seat) = overrun.pop() {
            let leave = Input::Leave { seat, reason: LeaveReason::SlowConsumer };
            // `NotMember` where it has left already.
            let _ = room.handle(now, leave, &mut |effect| self.carry_out(name, effect, &mut overrun));
        }
        if room.len() != before {
            self.metrics.members.inc_by(room.len() as i64 - before as i64);
        }
        result
    }

    fn carry_out(self: &Arc<Self>, name: &RoomName, effect: Effect<'_, Arc<Outbox>>, overrun: &mut Vec<Seat>) {
        let (seat, to, frame) = match effect {
            Effect::Send { seat, to, frame } => (seat, to, frame),
            Effect::Welcome { seat, to, version, own, settings, resumed, peers } => {
                let greeting = Greeting { room: name, version, own, peers, settings, resumed };
                (seat, to, self.greeter.welcome(greeting))
            }
            Effect::Close { handle, code } => return handle.close(code),
            Effect::WakeAt(at) => return self.wake(name.clone(), at),
        };
        if to.push(frame).is_err() {
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
        let (hub, at) = (Arc::downgrade(self), self.started + at);
        tokio::spawn(async move {
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
    let _ = outbox.push(ServerMessage::GoAway { reason: "shutdown", reconnect_ms }.to_frame());
    outbox.close(CloseCode::GoingAway);
}

/// One member's place in a room, or before its door. Dropping it announces the departure, whatever ended the
/// connection; [`Membership::leave`] gives another reason than `closed`.
#[derive(Debug)]
pub struct Membership {
    hub: Arc<Hub>,
    room: RoomName,
    seat: Seat,
    present: bool,
}

impl Membership {
    /// This member's id.
    pub fn id(&self) -> PeerId {
        self.seat.id
    }

    /// Passes a frame on to one other member; `None` is nobody.
    pub fn signal(&self, to: Option<PeerId>, frame: Frame) -> Result<(), Refusal> {
        self.hub.input(&self.room, Input::Signal { from: self.seat, to, frame })
    }

    /// Passes a frame on to all other members.
    pub fn broadcast(&self, frame: Frame) -> Result<(), Refusal> {
        self.hub.input(&self.room, Input::Broadcast { from: self.seat, frame })
    }

    /// Decides for the room, as a host.
    pub fn moderate(&self, act: Moderation) -> Result<(), Refusal> {
        self.hub.input(&self.room, Input::Moderate { seat: self.seat, act })
    }

    /// Changes this member's state.
    pub fn change_state(&self, patch: StatePatch) -> Result<(), Refusal> {
        self.hub.input(&self.room, Input::State { seat: self.seat, patch })
    }

    /// Sends the roster to this member.
    pub fn sync(&self) -> Result<(), Refusal> {
        self.hub.input(&self.room, Input::Sync { seat: self.seat })
    }

    /// Leaves the room.
    pub fn leave(mut self, reason: LeaveReason) {
        self.depart(reason);
    }

    fn depart(&mut self, reason: LeaveReason) {
        if std::mem::take(&mut self.present) {
            // `NotMember` where it was superseded or too slow: the hub has said so already.
            let _ = self.hub.input(&self.room, Input::Leave { seat: self.seat, reason });
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.depart(LeaveReason::Closed);
    }
}
