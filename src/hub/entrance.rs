//! Joins to rooms that other servers may have, too. The answer may have to wait for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::shared::{Context, Shared};
use super::{Hub, Membership};
use crate::cluster::Way;
use crate::core::session::Session;
use crate::core::{Act, Comeback, Grant, Refusal, Room, Seat};
use crate::outbox::Outbox;
use crate::protocol::{
    CloseCode, LeaveReason, NotResumed, PeerId, PeerName, RoomName, ServerMessage, SettingsPatch, StatePatch,
};

/// Delay before joins that waited at an evicted node are submitted again.
const COME_AGAIN: Duration = Duration::from_millis(500);

/// A request to join a room.
#[derive(Debug)]
pub struct Newcomer {
    /// ID of the peer: new, or its previous one.
    pub id: PeerId,
    /// Display name.
    pub name: PeerName,
    /// Set if a token specifies the name.
    pub named: bool,
    /// Initial state.
    pub state: StatePatch,
    /// Settings of the room if this join creates it.
    pub settings: SettingsPatch,
    /// Session ID of its resume secret, if that is valid.
    pub stay: Option<u64>,
    /// Number of the last message that the client has received in that session, if it asks to resume it.
    pub last_seq: Option<u64>,
    /// Set if its resume secret is invalid.
    pub disproved: bool,
    /// Role and permissions that it was granted.
    pub grant: Grant,
    /// Set if the limit of people per address applies to it (R99).
    pub limited_by_address: bool,
    /// Queue of its outgoing messages.
    pub outbox: Arc<Outbox>,
}

/// Why a join has failed.
#[derive(Debug, Eq, PartialEq)]
pub enum JoinError {
    /// The room has refused it.
    Refused(Refusal),
    /// The server shuts down.
    Draining,
    /// The server has reached its limit of rooms or members.
    Full,
    /// The room has reached its limit of people from the same address (R99).
    AddressFull,
    /// The resume secret is of a session that a host or the operator has ended, or another connection has joined with
    /// it later.
    Dismissed(CloseCode),
}

impl From<Refusal> for JoinError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Dismissed(code) => Self::Dismissed(code),
            refusal => Self::Refused(refusal),
        }
    }
}

/// Outcome of submitting a join.
#[derive(Debug)]
pub enum Entrance {
    /// The peer is a member, or in the lobby.
    In(Membership),
    /// Other servers have to answer first.
    Waits(Joining),
}

impl Entrance {
    /// Returns the membership if the join was decided at once, as it always is without a store.
    pub fn now(self) -> Option<Membership> {
        match self {
            Self::In(membership) => Some(membership),
            Self::Waits(_) => None,
        }
    }
}

/// A join that was accepted, as far as is known at that moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    seat: Seat,
    made: bool,
}

type Decided = Result<Admitted, JoinError>;

/// A join without an answer.
#[derive(Debug)]
pub(super) struct Entrant {
    newcomer: Newcomer,
    /// Set if its session has to arrive from another server first.
    pub(super) moves: bool,
    /// Set when a resume was already rejected, so that the next share does not try it again.
    why: Option<NotResumed>,
    answer: oneshot::Sender<Decided>,
}

impl Entrant {
    pub(super) fn outbox(&self) -> &Outbox {
        &self.newcomer.outbox
    }

    /// Accepts the join of a session that was sent its first message.
    pub(super) fn admit(entrants: &mut BTreeMap<Seat, Self>, seat: Seat, made: bool) {
        if let Some(entrant) = entrants.remove(&seat) {
            // If the client has disconnected, dropping `Joining` removes it.
            let _ = entrant.answer.send(Ok(Admitted { seat, made }));
        }
    }

    /// Like [`Entrant::admit`], unless the session is still to arrive.
    pub(super) fn admit_newcomer(entrants: &mut BTreeMap<Seat, Self>, seat: Seat) {
        if entrants.get(&seat).is_some_and(|entrant| !entrant.moves) {
            Self::admit(entrants, seat, false);
        }
    }

    /// Resumes a session that has arrived from another server, if it fits. Returns whether its client waits for it.
    pub(super) fn take_up(
        entrants: &mut BTreeMap<Seat, Self>,
        seat: Seat,
        to: &Outbox,
        session: &Bytes,
        room: &Room<Way>,
    ) -> Result<bool, NotResumed> {
        let session = Session::unship(session, to.bounds());
        let comes = entrants.get(&seat).filter(|entrant| std::ptr::eq(&*entrant.newcomer.outbox, to));
        let Some(Self { newcomer, .. }) = comes else {
            // The client has disconnected, or joins again over another socket: the session is kept for that one.
            if let Some(session) = session {
                to.keep(session);
            }
            return Ok(false);
        };
        // Resuming must not bypass a token (R74).
        if !newcomer.is_granted_alike(room) {
            return Err(NotResumed::GrantChanged);
        }
        let last = newcomer.last_seq.unwrap_or(u64::MAX);
        let session = session.filter(|session| session.can_resume(seat.session, last)).ok_or(NotResumed::ResumeLost)?;
        to.adopt(session, last, |ack| ServerMessage::Resumed { id: seat.id, ack }.to_frame());
        Self::admit(entrants, seat, false);
        Ok(true)
    }
}

impl Newcomer {
    /// Returns whether grant and name are the same as when the session began.
    fn is_granted_alike<H>(&self, room: &Room<H>) -> bool {
        room.grants_alike(self.id, self.grant, self.named.then_some(&self.name))
    }
}

/// Location of a session that a client asks to resume.
enum Back {
    Here(Session),
    Elsewhere,
    Nowhere(NotResumed),
}

impl Shared {
    fn way_back(&self, seat: Seat, last: u64, newcomer: &Newcomer) -> Back {
        // Decided as soon as this server has the room.
        let Some(room) = self.room() else { return Back::Elsewhere };
        match room.seat_of(seat.id) {
            None => Back::Nowhere(NotResumed::ResumeExpired),
            Some(present) if present != seat => Back::Nowhere(NotResumed::ResumeLost),
            Some(_) if !newcomer.is_granted_alike(room) => Back::Nowhere(NotResumed::GrantChanged),
            Some(_) => match self.share.local(seat) {
                None => Back::Elsewhere,
                // On its way to the client's previous socket.
                Some(_) if self.share.awaits(seat) => Back::Elsewhere,
                Some(outbox) => match outbox.release_to(seat.session, last) {
                    Some(session) => Back::Here(session),
                    None => Back::Nowhere(NotResumed::ResumeLost),
                },
            },
        }
    }
}

impl Hub {
    /// Submits a join. The receiver gets the answer.
    pub(super) fn knock(
        self: &Arc<Self>,
        name: &RoomName,
        shared: &mut Shared,
        newcomer: Newcomer,
    ) -> oneshot::Receiver<Decided> {
        let (answer, answered) = oneshot::channel();
        self.come(name, shared, newcomer, None, answer);
        self.finish(name, shared);
        answered
    }

    /// Submits a join, perhaps again. `why` is set when a resume was already rejected: join as a new session.
    pub(super) fn come(
        self: &Arc<Self>,
        name: &RoomName,
        shared: &mut Shared,
        newcomer: Newcomer,
        why: Option<NotResumed>,
        answer: oneshot::Sender<Decided>,
    ) {
        let (id, outbox) = (newcomer.id, Arc::clone(&newcomer.outbox));
        let mut refused = why.or(newcomer.disproved.then_some(NotResumed::ResumeInvalid));
        if let (None, Some(session), Some(last)) = (why, newcomer.stay, newcomer.last_seq) {
            let seat = Seat { id, session };
            match shared.way_back(seat, last, &newcomer) {
                Back::Here(session) => {
                    self.metrics.resume(None);
                    outbox.adopt(session, last, |ack| ServerMessage::Resumed { id, ack }.to_frame());
                    let _ = answer.send(Ok(Admitted { seat, made: false }));
                    // Never `Busy`: resuming a session is not limited.
                    let _ = self.act(name, shared, Act::Return { seat }, Some(outbox), None);
                    return;
                }
                Back::Elsewhere => {
                    shared.entrants.insert(seat, Entrant { newcomer, moves: true, why: None, answer });
                    let context = Some(Context::Entry(seat));
                    // Never `Busy` either.
                    let _ = self.act(name, shared, Act::Move { seat }, Some(outbox), context);
                    return;
                }
                Back::Nowhere(why) => refused = Some(why),
            }
        }
        let seat = Seat { id, session: self.sessions.fetch_add(1, Ordering::Relaxed) };
        let Newcomer { name: own, state, settings, grant, stay, .. } = &newcomer;
        let comeback = Comeback { known: stay.is_some(), refused };
        let (own, state, settings, grant, stay) = (own.clone(), state.clone(), *settings, *grant, *stay);
        let join = Act::Join { seat, name: own, state, settings, comeback, grant, stay };
        shared.entrants.insert(seat, Entrant { newcomer, moves: false, why: refused, answer });
        let taken = self.act(name, shared, join, Some(outbox), Some(Context::Entry(seat)));
        if let Err(refusal) = taken
            && let Some(entrant) = shared.entrants.remove(&seat)
        {
            let _ = entrant.answer.send(Err(refusal.into()));
        }
    }

    /// Handles the room's refusal of a join.
    pub(super) fn turned_away(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, seat: Seat, refusal: Refusal) {
        let Some(entrant) = shared.entrants.get(&seat) else { return };
        if entrant.moves {
            // The session does not exist any more.
            let is_there = shared.room().is_some_and(|room| room.way_to(seat.id).is_some());
            let why = if is_there { NotResumed::ResumeLost } else { NotResumed::ResumeExpired };
            self.begin_afresh(name, shared, seat, why);
        } else if let Some(entrant) = shared.entrants.remove(&seat) {
            let _ = entrant.answer.send(Err(refusal.into()));
        }
    }

    /// Joins as a new session because the old one cannot be resumed. If its client has disconnected, the session ends.
    pub(super) fn begin_afresh(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, seat: Seat, why: NotResumed) {
        match shared.entrants.remove(&seat) {
            Some(Entrant { newcomer, answer, .. }) => self.come(name, shared, newcomer, Some(why), answer),
            // Never `Busy`: ending a session is not limited.
            None => drop(self.act(name, shared, Act::Leave { seat, reason: LeaveReason::Closed }, None, None)),
        }
    }

    /// Submits the unanswered joins of a share that is over to the next one.
    pub(super) fn come_again(self: &Arc<Self>, name: &RoomName, old: Shared, shared: &mut Shared) {
        if old.share.is_put_out() {
            shared.share.hold_off(shared.engine.bus.clock() + COME_AGAIN);
        }
        for Entrant { newcomer, why, answer, .. } in old.entrants.into_values() {
            self.come(name, shared, newcomer, why, answer);
        }
        self.finish(name, shared);
    }

    /// Withdraws the join of a client that has disconnected before the answer.
    fn abandon(self: &Arc<Self>, name: &RoomName, outbox: &Arc<Outbox>) {
        self.with_shared(name, |shared| {
            let is_own = |(_, entrant): &(&Seat, &Entrant)| Arc::ptr_eq(&entrant.newcomer.outbox, outbox);
            let Some(seat) = shared.entrants.iter().find(is_own).map(|(seat, _)| *seat) else { return };
            let moves = shared.entrants.remove(&seat).is_some_and(|entrant| entrant.moves);
            if self.drive(name, shared, |share, now, emit| share.withdraw(now, seat, emit)) {
                return self.finish(name, shared);
            }
            let reason = LeaveReason::Closed;
            let (act, handle) = if moves {
                // The client may still resume its session, which waits in another outbox.
                (Act::Lose { seat, reason }, Some(Arc::new(outbox.successor())))
            } else {
                (Act::Leave { seat, reason }, None)
            };
            // Never `Busy`: ending a session is not limited.
            let _ = self.act(name, shared, act, handle, None);
            self.finish(name, shared);
        });
    }
}

/// A join without an answer. Dropping it withdraws the join.
#[derive(Debug)]
pub struct Joining {
    hub: Arc<Hub>,
    room: RoomName,
    id: PeerId,
    outbox: Arc<Outbox>,
    answer: oneshot::Receiver<Decided>,
    decided: bool,
}

impl Joining {
    pub(super) fn new(
        hub: Arc<Hub>,
        room: RoomName,
        id: PeerId,
        outbox: Arc<Outbox>,
        answer: oneshot::Receiver<Decided>,
    ) -> Self {
        Self { hub, room, id, outbox, answer, decided: false }
    }

    /// Returns the answer if it is there, or else the join that waits for it.
    pub(super) fn now(mut self) -> Result<Entrance, JoinError> {
        match self.answer.try_recv() {
            Ok(decided) => self.decide(decided).map(Entrance::In),
            Err(_) => Ok(Entrance::Waits(self)),
        }
    }

    /// Waits for the answer. Cancel-safe. Not to be called again after it has returned.
    pub async fn answered(&mut self) -> Result<Membership, JoinError> {
        match (&mut self.answer).await {
            Ok(decided) => self.decide(decided),
            // Another connection has joined with the same secret.
            Err(_) => Err(JoinError::Dismissed(CloseCode::Superseded)),
        }
    }

    fn decide(&mut self, decided: Decided) -> Result<Membership, JoinError> {
        self.decided = true;
        let Admitted { seat, made } = decided?;
        debug_assert_eq!(seat.id, self.id);
        Ok(Membership::new(Arc::clone(&self.hub), self.room.clone(), seat, Arc::clone(&self.outbox), made))
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if self.decided {
            return;
        }
        self.hub.abandon(&self.room, &self.outbox);
        // Under the lock, the join was either decided or withdrawn.
        if let Ok(Ok(Admitted { seat, made })) = self.answer.try_recv() {
            let membership =
                Membership::new(Arc::clone(&self.hub), self.room.clone(), seat, Arc::clone(&self.outbox), made);
            membership.leave(LeaveReason::Closed);
        }
    }
}
