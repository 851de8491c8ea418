//! Rooms that other servers may have, too: gives a [`Share`] what happens, and carries out what it emits, under the
//! room's lock.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::oneshot;
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

/// Whom the answer to an act is for.
#[derive(Debug)]
pub(super) enum Context {
    /// Who comes in, or comes back.
    Entry(Seat),
    /// Who has said something: a message of this type, with this `ref`.
    Said(Seat, &'static str, Option<Box<RawValue>>),
    /// Who wants to go on by another token.
    Renewed(oneshot::Sender<Result<(), Refusal>>),
    /// Who has said goodbye here and is elsewhere.
    Goodbye(oneshot::Sender<bool>),
    /// Who records to this server, and is perhaps elsewhere.
    Recorded(Seat, oneshot::Sender<Result<(), NotRecorded>>),
}

/// This server's part in a room, and what the hub needs beside it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) share: Part,
    pub(super) engine: Arc<Engine>,
    /// Who has come to the door and has no answer.
    pub(super) entrants: BTreeMap<Seat, Entrant>,
    /// The timer that runs, and for when.
    wake: Option<(Duration, AbortHandle)>,
    /// What the members here were told (R77).
    degraded: bool,
    /// How many members are in the metrics.
    counted: usize,
    /// For what all may send together (R79).
    pub(super) elsewhere: Elsewhere,
}

/// What cannot be done while a share speaks.
#[derive(Default)]
struct After {
    todo: Vec<Todo>,
    /// Whose session has come and does not go on.
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
            wake: None,
            degraded: false,
            counted: 0,
            elsewhere: Elsewhere::default(),
        })
    }

    pub(super) fn post(&self) -> Post {
        self.share.post()
    }

    /// The other servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = ServerId> {
        self.share.servers()
    }

    /// The room, where this server knows it.
    pub(super) fn room(&self) -> Option<&Room<crate::cluster::Way>> {
        self.share.replica().map(|replica| replica.room())
    }

    /// Returns how many of those who have no answer yet come from this address.
    pub(super) fn entrants_from(&self, address: IpAddr) -> usize {
        let pending = self.entrants.iter().filter(|(seat, _)| self.share.local(**seat).is_none());
        pending.filter(|(_, entrant)| entrant.outbox().address() == Some(address)).count()
    }

    /// Whether that session is in the room, and not before its door.
    pub(super) fn is_member(&self, seat: Seat) -> bool {
        self.room().is_some_and(|room| room.seat_of(seat.id) == Some(seat))
    }

    /// Whether what comes by this way is said in the name of that seat: a seat outlives its sockets.
    pub(super) fn speaks(&self, seat: Seat, outbox: &Arc<Outbox>) -> bool {
        self.share.local(seat).is_some_and(|present| Arc::ptr_eq(present, outbox))
    }
}

impl Hub {
    /// Lets something happen to a share, and does all that follows at once.
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

    /// The same for an act of this server's. Whether other servers are asked.
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

    /// Carries out what a share says, as far as that can be done while it speaks.
    fn heed(
        &self,
        name: &RoomName,
        entrants: &mut BTreeMap<Seat, Entrant>,
        output: Output<'_, Arc<Outbox>, Context>,
        after: &mut After,
    ) {
        match output {
            Output::Effect(Effect::Send { seat, to, frame }) => {
                // For a session that does not go on.
                if after.spurned.iter().any(|(spurned, _)| *spurned == seat) {
                    return;
                }
                self.put(to, frame);
                // Whoever waits to be admitted is told so.
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
            // Seen by `is_over`; the engine is asked by `drive`; departures and times do not come.
            Output::Over | Output::Ask(_) | Output::Tell(..) | Output::Effect(_) => {}
        }
    }

    /// What had to wait until the share was through.
    fn catch_up(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, mut after: After) {
        let mut todo = std::mem::take(&mut after.todo).into_iter();
        while let Some(next) = todo.next() {
            match next {
                Todo::Answer(Context::Entry(seat), Ok(())) => Entrant::admit_newcomer(&mut shared.entrants, seat),
                Todo::Answer(Context::Entry(seat), Err(refusal)) => self.turned_away(name, shared, seat, refusal),
                Todo::Answer(Context::Said(..), Ok(())) => {}
                // Whoever has hung up meanwhile does not mind.
                Todo::Answer(Context::Renewed(decided), decision) => drop(decided.send(decision)),
                Todo::Answer(Context::Goodbye(said), left) => drop(said.send(left.is_ok())),
                Todo::Answer(Context::Recorded(seat, said), told) => {
                    let _ = said.send(shared.recorded(seat, told.as_ref()));
                }
                Todo::Answer(Context::Said(seat, re, reference), Err(refusal)) => {
                    // Its session may be leaving for another server, in this very moment.
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
                        // It is over for who goes, and nobody will say so there. (A full session does not go on.)
                        let _ = session.push(ServerMessage::Degraded { active: false }.to_frame());
                    }
                    let session = session.ship();
                    self.drive(name, shared, |share, now, emit| share.ship(now, seat, to, session, emit));
                }
                Todo::Degraded(active) => {
                    shared.degraded = active;
                    let frame = ServerMessage::Degraded { active }.to_frame();
                    for (seat, to, _) in shared.share.locals() {
                        // Whose session is on its way was told by the server that it was at.
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

    /// Sends everybody away who has a socket. What they miss from now on waits for them to come for it at another server.
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
            // Never too much: it ends something.
            let _ = self.act(name, shared, lose, Some(handle), None);
        }
        self.finish(name, shared);
    }

    /// A frame of the server's own for a member whose session is here. Who waits to be admitted gets none.
    pub(super) fn tell(&self, shared: &Shared, to: PeerId, frame: &Frame) {
        let Some(seat) = shared.room().and_then(|room| room.seat_of(to)) else { return };
        if let Some(outbox) = shared.share.local(seat).filter(|_| !shared.entrants.contains_key(&seat)) {
            self.put(outbox, frame.clone());
        }
    }

    /// Counts anew, and sees to the time: after everything but frames in a room that is alone.
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
        // Clocks are read in finer steps than timers go.
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

    /// It is over: nobody is counted any more.
    pub(super) fn discount(&self, shared: &Shared) {
        self.metrics.members.dec_by(shared.counted as i64);
    }
}
