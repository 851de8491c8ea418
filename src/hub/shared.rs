//! Rooms that other servers may have, too: passes what happens to a [`Share`], and carries out what it emits, under the
//! room's lock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::engine::Engine;
use super::entrance::Entrant;
use super::recorded::NotRecorded;
use super::{Hub, go_away};
use crate::cluster::share::{Busy, Emit, Happened, Rules};
use crate::cluster::{Output, Post, ServerId, Share};
use crate::core::{Act, Effect, Refusal, Room, Seat};
use crate::greeter::Greeting;
use crate::ice::Client;
use crate::limits::Elsewhere;
use crate::outbox::Outbox;
use crate::protocol::{CloseCode, Frame, LeaveReason, NotResumed, PeerId, RoomName, ServerMessage};

pub(super) type Part = Share<Arc<Outbox>, Context>;

/// Receiver of the answer to a command.
#[derive(Debug)]
pub(super) enum Context {
    /// Session that joins or resumes.
    Entry(Seat),
    /// Member that sent a message of this type with this `ref`.
    Said(Seat, &'static str, Option<Box<RawValue>>),
    /// Member that renews its token.
    Renewed(oneshot::Sender<Result<(), Refusal>>),
    /// Leave request that arrived here, perhaps for a member on another server.
    Goodbye(Seat, watch::Sender<Option<bool>>),
    /// Member that records to this server, perhaps connected to another one.
    Recorded(Seat, oneshot::Sender<Result<(), NotRecorded>>),
}

/// This server's part in a room, and the hub's data on it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) share: Part,
    pub(super) engine: Arc<Engine>,
    /// Joins without an answer.
    pub(super) entrants: BTreeMap<Seat, Entrant>,
    /// Pending answers to leave requests that arrived here: whether the member was there.
    pub(super) goodbyes: BTreeMap<Seat, watch::Receiver<Option<bool>>>,
    /// Running timer and its time.
    wake: Option<(Duration, AbortHandle)>,
    /// Last state that was announced to the members here (R77).
    degraded: bool,
    /// Members of this room that the metrics count.
    counted: usize,
    /// Members on other servers, for the rate of the whole room (R79).
    pub(super) elsewhere: Elsewhere,
}

/// Work that has to wait until the share returns.
#[derive(Default)]
struct After {
    todo: Vec<Todo>,
    /// Sessions that have arrived and cannot be resumed.
    spurned: Vec<(Seat, NotResumed)>,
}

enum Todo {
    Answer(Context, Result<(), Refusal>),
    Ship(Seat, Post, Arc<Outbox>),
    Degraded(bool),
}

impl Shared {
    pub(super) fn new(engine: &Arc<Engine>, rules: Rules) -> Box<Self> {
        let mut share = Share::new(engine.post(), rules, engine.is_connected());
        share.found_from(engine.founding().from());
        Box::new(Self {
            share,
            engine: Arc::clone(engine),
            entrants: BTreeMap::new(),
            goodbyes: BTreeMap::new(),
            wake: None,
            degraded: false,
            counted: 0,
            elsewhere: Elsewhere::default(),
        })
    }

    pub(super) fn post(&self) -> Post {
        self.share.post()
    }

    /// Returns the other servers in the room.
    pub(super) fn servers(&self) -> impl Iterator<Item = ServerId> {
        self.share.servers()
    }

    /// Returns the room, if this server knows it.
    pub(super) fn room(&self) -> Option<&Room<crate::cluster::Way>> {
        self.share.replica().map(|replica| replica.room())
    }

    /// Returns the number of joins without an answer from this address.
    pub(super) fn entrants_from(&self, address: IpAddr) -> usize {
        let pending = self.entrants.iter().filter(|(seat, _)| self.share.local(**seat).is_none());
        pending.filter(|(_, entrant)| entrant.outbox().address() == Some(address)).count()
    }

    /// Returns whether this session is in the room, and not in its lobby.
    pub(super) fn is_member(&self, seat: Seat) -> bool {
        self.room().is_some_and(|room| room.seat_of(seat.id) == Some(seat))
    }

    /// Returns whether this outbox is the session's present one. A session outlives its sockets, and an old socket must
    /// not act for it.
    pub(super) fn speaks(&self, seat: Seat, outbox: &Arc<Outbox>) -> bool {
        self.share.local(seat).is_some_and(|present| Arc::ptr_eq(present, outbox))
    }
}

impl Hub {
    /// Passes an event to a share and carries out all that follows at once.
    pub(super) fn drive<R>(
        self: &Arc<Self>,
        name: &RoomName,
        shared: &mut Shared,
        happens: impl FnOnce(&mut Part, Duration, Emit<'_, Arc<Outbox>, Context>) -> R,
    ) -> R {
        let mut after = After::default();
        let Shared { share, entrants, engine, .. } = shared;
        let (now, post) = (engine.bus.clock(), share.post());
        let result = happens(share, now, &mut |output| match output {
            Output::Ask(request) => self.ask(engine, name, post, request),
            Output::Tell(to, bytes) => engine.bus.tell(name, to, bytes),
            output => self.heed(name, entrants, output, &mut after),
        });
        self.catch_up(name, shared, after);
        result
    }

    /// Like [`Hub::drive`], for a command of this server. Returns whether other servers have to agree first.
    pub(super) fn act(
        self: &Arc<Self>,
        name: &RoomName,
        shared: &mut Shared,
        act: Act,
        handle: Option<Arc<Outbox>>,
        context: Option<Context>,
    ) -> Result<bool, Refusal> {
        let taken = self.drive(name, shared, |share, now, emit| share.act(now, act, handle, context, emit));
        taken.map_err(|Busy| Refusal::Busy)
    }

    /// Carries out an output of a share, or defers it if it needs the share again.
    fn heed(
        &self,
        name: &RoomName,
        entrants: &mut BTreeMap<Seat, Entrant>,
        output: Output<'_, Arc<Outbox>, Context>,
        after: &mut After,
    ) {
        match output {
            Output::Effect(Effect::Send { seat, to, frame }) => {
                // Belongs to a session that is not resumed.
                if after.spurned.iter().any(|(spurned, _)| *spurned == seat) {
                    return;
                }
                self.put(to, frame);
                // A join is also answered by `waiting`, its first message in the lobby.
                if !entrants.is_empty() && entrants.get(&seat).is_some_and(|entrant| !entrant.moves) {
                    Entrant::admit(entrants, seat, false);
                }
            }
            Output::Effect(Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers }) => {
                if comeback.refused.is_some() {
                    self.metrics.resume(comeback.refused);
                }
                let (stay, made) = (seat.session, peers.is_empty());
                let client = Client::of(to.address(), own.id);
                let greeting =
                    Greeting { room: name, version, own, peers, permissions, settings, comeback, stay, client };
                self.greet(to, greeting);
                Entrant::admit(entrants, seat, made);
            }
            Output::Effect(Effect::Close { handle, code: CloseCode::GoingAway }) => go_away(&handle),
            Output::Effect(Effect::Close { handle, code }) => drop(handle.close(code)),
            Output::Happened(news) => {
                if let Happened::Left(peer, reason) = &news.what {
                    self.note_departure(name, peer, *reason);
                }
                self.webhooks.happened(name, &news);
            }
            Output::Dismissed(stay, code) => self.dismissed.add(stay, code),
            Output::Adopt { seat, to, session, room } => match Entrant::take_up(entrants, seat, to, &session, room) {
                Ok(true) => self.metrics.resume(None),
                Ok(false) => {}
                Err(why) => after.spurned.push((seat, why)),
            },
            Output::Answer(context, result) => after.todo.push(Todo::Answer(context, result)),
            Output::Ship { seat, to, handle } => after.todo.push(Todo::Ship(seat, to, handle)),
            Output::Afresh { seat } => after.spurned.push((seat, NotResumed::ResumeLost)),
            Output::Degraded(active) => after.todo.push(Todo::Degraded(active)),
            // `is_over` reports the end, `drive` sends requests and messages, and no departures or timers are emitted.
            Output::Over | Output::Ask(_) | Output::Tell(..) | Output::Effect(_) => {}
        }
    }

    /// Carries out what was deferred until the share returned.
    fn catch_up(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, mut after: After) {
        let mut todo = std::mem::take(&mut after.todo).into_iter();
        while let Some(next) = todo.next() {
            match next {
                Todo::Answer(Context::Entry(seat), Ok(())) => Entrant::admit_newcomer(&mut shared.entrants, seat),
                Todo::Answer(Context::Entry(seat), Err(refusal)) => self.turned_away(name, shared, seat, refusal),
                Todo::Answer(Context::Said(..), Ok(())) => {}
                // Fails if the member has disconnected meanwhile.
                Todo::Answer(Context::Renewed(decided), decision) => drop(decided.send(decision)),
                Todo::Answer(Context::Goodbye(seat, said), left) => {
                    shared.goodbyes.remove(&seat);
                    let _ = said.send(Some(left.is_ok()));
                }
                Todo::Answer(Context::Recorded(seat, said), told) => {
                    let _ = said.send(shared.recorded(seat, told.as_ref()));
                }
                Todo::Answer(Context::Said(seat, re, reference), Err(refusal)) => {
                    // The session may be leaving for another server at this very moment.
                    let ships = todo.as_slice().iter().find_map(|todo| match todo {
                        Todo::Ship(other, _, handle) if *other == seat => Some(handle),
                        _ => None,
                    });
                    let to = shared.share.local(seat).or_else(|| shared.share.leaving(seat)).or(ships);
                    let error = crate::refusal::error(&self.metrics, &refusal, Some(re), reference.as_deref());
                    if let Some((to, error)) = to.zip(error) {
                        self.put(to, error);
                    }
                }
                Todo::Ship(seat, to, handle) => {
                    let mut session = handle.release();
                    handle.close(CloseCode::Superseded);
                    if shared.degraded {
                        // The outage ends for this member, and the other server will not announce that. (A full session
                        // is not resumed.)
                        let _ = session.push(ServerMessage::Degraded { active: false }.to_frame());
                    }
                    let session = session.ship();
                    self.drive(name, shared, |share, now, emit| share.ship(now, seat, to, session, emit));
                }
                Todo::Degraded(active) => {
                    shared.degraded = active;
                    let frame = ServerMessage::Degraded { active }.to_frame();
                    for (seat, to, _) in shared.share.locals() {
                        // A session that is still to arrive was told by its previous server.
                        if shared.is_member(seat) && !shared.entrants.contains_key(&seat) {
                            self.put(to, frame.clone());
                        }
                    }
                }
            }
        }
        for (seat, why) in std::mem::take(&mut after.spurned) {
            self.begin_afresh(name, shared, seat, why);
        }
    }

    /// Closes the connections of everyone here. Further messages for a member are collected until another server
    /// fetches its session.
    pub(super) fn send_on(self: &Arc<Self>, name: &RoomName, shared: &mut Shared) {
        shared.share.drain();
        let mut members = Vec::new();
        for (seat, outbox, _) in shared.share.locals().filter(|(_, _, connected)| *connected) {
            if shared.is_member(seat) {
                members.push((seat, Arc::clone(outbox)));
            } else {
                go_away(outbox);
            }
        }
        for (seat, outbox) in members {
            let handle = Arc::new(outbox.detach());
            go_away(&outbox);
            let lose = Act::Lose { seat, reason: LeaveReason::Closed };
            // Never `Busy`: disconnecting is not limited.
            let _ = self.act(name, shared, lose, Some(handle), None);
        }
        self.finish(name, shared);
    }

    /// Sends a frame of the server to a member whose session is here. Participants in the lobby get none.
    pub(super) fn tell(&self, shared: &Shared, to: PeerId, frame: &Frame) {
        let Some(seat) = shared.room().and_then(|room| room.seat_of(to)) else { return };
        if let Some(outbox) = shared.share.local(seat).filter(|_| !shared.entrants.contains_key(&seat)) {
            self.put(outbox, frame.clone());
        }
    }

    /// Updates the counts and the timer. Called after everything but relayed frames.
    pub(super) fn finish(self: &Arc<Self>, name: &RoomName, shared: &mut Shared) {
        let members = shared.share.members();
        self.metrics.members.inc_by(members as i64 - shared.counted as i64);
        shared.counted = members;
        shared.elsewhere.set(shared.share.connected_elsewhere());
        if self.draining.load(Ordering::Relaxed) && !shared.share.holds_sessions() {
            self.settled.notify_waiters();
        }
        self.set_timer(name, shared);
    }

    pub(super) fn set_timer(self: &Arc<Self>, name: &RoomName, shared: &mut Shared) {
        let Some(at) = shared.share.wake_at().filter(|at| shared.wake.as_ref().is_none_or(|(wake, _)| at < wake))
        else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Timers have a coarser resolution than clocks.
        let wait = at.saturating_sub(shared.engine.bus.clock()).max(Duration::from_millis(1));
        let (hub, name, post) = (Arc::downgrade(self), name.clone(), shared.post());
        let timer = runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            let Some(hub) = hub.upgrade() else { return };
            hub.with_shared(&name, |shared| {
                if shared.post() == post && shared.wake.as_ref().is_some_and(|(wake, _)| *wake == at) {
                    shared.wake = None;
                    hub.drive(&name, shared, |share, now, emit| share.tick(now, emit));
                    hub.finish(&name, shared);
                }
            });
        });
        if let Some((_, later)) = shared.wake.replace((at, timer.abort_handle())) {
            later.abort();
        }
    }

    /// Removes the members of a share that is over from the metrics.
    pub(super) fn discount(&self, shared: &Shared) {
        self.metrics.members.dec_by(shared.counted as i64);
    }
}
