//! All rooms of this server: applies inputs to [`Room`]s under short locks and carries out what
//! they ask for.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::core::session::OutOfSequence;
use crate::core::{Comeback, Effect, Input, Refusal, Room, Seat};
use crate::greeter::{Greeter, Greeting};
use crate::outbox::Outbox;
use crate::protocol::{
    CloseCode, Frame, LeaveReason, Moderation, NotResumed, Outgoing, PeerId, PeerName, RoomName, ServerMessage,
    Settings, SettingsPatch, StatePatch,
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
    resume_window: Duration,
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
    /// Whether it has been here before.
    pub comeback: Comeback,
    /// The session that it wishes to go on with.
    pub session: Option<Bookmark>,
    /// Where its frames go.
    pub outbox: Arc<Outbox>,
}

/// Where a client stopped.
#[derive(Clone, Copy, Debug)]
pub struct Bookmark {
    /// In which stay.
    pub stay: u64,
    /// At which message.
    pub last: u64,
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
    /// A hub without rooms, each of which will take up to `room_members` members, and keep those who are lost
    /// for `resume_window`.
    pub fn new(room_members: usize, resume_window: Duration, greeter: Greeter, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            room_members,
            resume_window,
            draining: AtomicBool::new(false),
            // Not from 0: a secret of an earlier server must not fit a stay of this one.
            sessions: AtomicU64::new(fastrand::u64(..)),
            started: Instant::now(),
            greeter,
            metrics,
        })
    }

    /// Lets somebody in, or lets them wait where a host has to admit them.
    pub fn join(self: &Arc<Self>, room: &RoomName, newcomer: Newcomer) -> Result<Membership, JoinError> {
        let seat = Seat { id: newcomer.id, session: self.sessions.fetch_add(1, Ordering::Relaxed) };
        let Newcomer { name, state, settings, mut comeback, session, outbox: handle, .. } = newcomer;
        let mut rooms = self.lock(room);
        // Read under the lock: `drain` sets it before it visits this shard.
        if self.draining.load(Ordering::Relaxed) {
            return Err(JoinError::Draining);
        }
        let entry = rooms.entry(room.clone()).or_insert_with(|| {
            self.metrics.rooms.inc();
            Room::new(self.room_members, self.resume_window)
        });
        let present = entry.way_to(seat.id);
        let released = session.and_then(|Bookmark { stay, last }| Some((present?.release_to(stay, last)?, last)));
        let input = if let Some((session, last)) = released {
            self.metrics.resumed.inc();
            handle.adopt(session, last, |ack| ServerMessage::Resumed { id: seat.id, ack }.to_frame());
            Input::Return { seat, handle }
        } else {
            if session.is_some() {
                let why = if present.is_some() { NotResumed::ResumeLost } else { NotResumed::ResumeExpired };
                comeback.refused = Some(why);
            }
            Input::Join { seat, name, state, settings, comeback, handle }
        };
        let joined = self.apply(room, entry, input);
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
        let (seat, to, pushed) = match effect {
            Effect::Send { seat, to, frame } => (seat, to, to.push(frame)),
            Effect::Welcome { seat, to, version, own, settings, comeback, peers } => {
                let stay = seat.session;
                let greeting = Greeting { room: name, version, own, peers, settings, comeback, stay };
                (seat, to, to.begin(stay, self.greeter.welcome(greeting)))
            }
            Effect::Close { handle, code } => return handle.close(code),
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
    present: bool,
}

/// What a member does, and the number of the message that says so, where it has one: a message is carried out
/// once, however often it comes (R50).
impl Membership {
    /// This member's id.
    pub fn id(&self) -> PeerId {
        self.seat.id
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
    pub fn lose(mut self, reason: LeaveReason) {
        self.be_lost(reason);
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

impl Drop for Membership {
    fn drop(&mut self) {
        self.be_lost(LeaveReason::Closed);
    }
}

/// Counts a message of a member; whether it is new.
fn accept(room: &Room<Arc<Outbox>>, seat: Seat, number: u64) -> Result<bool, Refusal> {
    room.way_from(seat)?.accept(number).map_err(|OutOfSequence(next)| Refusal::OutOfSequence(next))
}
