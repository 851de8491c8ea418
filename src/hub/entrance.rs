//! How somebody comes into a room that other servers may have, too: the answer may have to wait for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::shared::{Context, Shared};
use super::{Absence, Hub, Membership};
use crate::cluster::Way;
use crate::core::session::Session;
use crate::core::{Act, Comeback, Grant, Refusal, Room, Seat};
use crate::outbox::Outbox;
use crate::protocol::{
    CloseCode, LeaveReason, NotResumed, PeerId, PeerName, RoomName, ServerMessage, SettingsPatch, StatePatch,
};

/// Who waited at a server that was put out of the room knocks again after this time.
const COME_AGAIN: Duration = Duration::from_millis(500);

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
    /// Set if the limit of people per address applies to it (R99).
    pub limited_by_address: bool,
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
    /// The server has as many rooms or members as it takes.
    Full,
    /// The room has as many people from the newcomer's address as it takes (R99).
    AddressFull,
    /// It comes with the secret of a stay that was ended, by a host or by whoever runs the server, or with which another
    /// connection came later.
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

/// What became of a wish to come in.
#[derive(Debug)]
pub enum Entrance {
    /// It is in, or waits to be admitted.
    In(Membership),
    /// Other servers are asked.
    Waits(Joining),
}

impl Entrance {
    /// Who is in already: everybody, where the server is alone.
    pub fn now(self) -> Option<Membership> {
        match self {
            Self::In(membership) => Some(membership),
            Self::Waits(_) => None,
        }
    }
}

/// Who comes in, as far as it is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    seat: Seat,
    made: bool,
}

type Decided = Result<Admitted, JoinError>;

/// Somebody before the door.
#[derive(Debug)]
pub(super) struct Entrant {
    newcomer: Newcomer,
    /// Goes on with a session that is to come from another server.
    pub(super) moves: bool,
    /// That it begins afresh is known: not to be tried again by the next share.
    why: Option<NotResumed>,
    answer: oneshot::Sender<Decided>,
}

impl Entrant {
    pub(super) fn outbox(&self) -> &Outbox {
        &self.newcomer.outbox
    }

    /// Somebody has its first message.
    pub(super) fn admit(entrants: &mut BTreeMap<Seat, Self>, seat: Seat, made: bool) {
        if let Some(entrant) = entrants.remove(&seat) {
            // Whoever has hung up meanwhile says so.
            let _ = entrant.answer.send(Ok(Admitted { seat, made }));
        }
    }

    /// The same, unless its session is to come.
    pub(super) fn admit_newcomer(entrants: &mut BTreeMap<Seat, Self>, seat: Seat) {
        if entrants.get(&seat).is_some_and(|entrant| !entrant.moves) {
            Self::admit(entrants, seat, false);
        }
    }

    /// Goes on with a session that has come from another server, where it fits. Whether its client is there.
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
            // It has hung up, or come once more by another socket: the session waits for that one.
            if let Some(session) = session {
                to.keep(session);
            }
            return Ok(false);
        };
        // A session is no way around a token (R74).
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
    /// Whether it is what it was when its session began.
    fn is_granted_alike<H>(&self, room: &Room<H>) -> bool {
        room.grants_alike(self.id, self.grant, self.named.then_some(&self.name))
    }
}

/// Where somebody's session is.
enum Back {
    Here(Session),
    Elsewhere,
    Nowhere(NotResumed),
}

impl Shared {
    fn way_back(&self, seat: Seat, last: u64, newcomer: &Newcomer) -> Back {
        // Where the room is not known here yet, it is decided when it is.
        let Some(room) = self.room() else { return Back::Elsewhere };
        match room.seat_of(seat.id) {
            None => Back::Nowhere(NotResumed::ResumeExpired),
            Some(present) if present != seat => Back::Nowhere(NotResumed::ResumeLost),
            Some(_) if !newcomer.is_granted_alike(room) => Back::Nowhere(NotResumed::GrantChanged),
            Some(_) => match self.share.local(seat) {
                None => Back::Elsewhere,
                // On its way to the socket before.
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
    /// Lets somebody in, or asks for it.
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

    /// `why`: that it begins afresh is known.
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
                    // Never too much: it goes on with something.
                    let _ = self.act(name, shared, Act::Return { seat }, Some(outbox), None);
                    return;
                }
                Back::Elsewhere => {
                    shared.entrants.insert(seat, Entrant { newcomer, moves: true, why: None, answer });
                    let context = Some(Context::Entry(seat));
                    // The same.
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

    /// The room has said no.
    pub(super) fn turned_away(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, seat: Seat, refusal: Refusal) {
        let Some(entrant) = shared.entrants.get(&seat) else { return };
        if entrant.moves {
            // Its session is no more.
            let is_there = shared.room().is_some_and(|room| room.way_to(seat.id).is_some());
            let why = if is_there { NotResumed::ResumeLost } else { NotResumed::ResumeExpired };
            self.begin_afresh(name, shared, seat, why);
        } else if let Some(entrant) = shared.entrants.remove(&seat) {
            let _ = entrant.answer.send(Err(refusal.into()));
        }
    }

    /// Ends a session that does not go on here, and joins with a new one if the client is still there. Until then the member
    /// is lost: the join may be withdrawn or refused.
    pub(super) fn begin_afresh(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, seat: Seat, why: NotResumed) {
        let outbox = shared.share.local(seat).filter(|_| shared.share.is_connected(seat));
        if let Some(handle) = outbox.map(|outbox| Arc::new(outbox.successor())) {
            let lose = Act::Lose { seat, reason: LeaveReason::Closed };
            // Never too much: it ends something.
            let _ = self.act(name, shared, lose, Some(handle), None);
        }
        if let Some(Entrant { newcomer, answer, .. }) = shared.entrants.remove(&seat) {
            self.come(name, shared, newcomer, Some(why), answer);
        }
    }

    /// The share is over: whoever was before the door comes to the next one.
    pub(super) fn come_again(self: &Arc<Self>, name: &RoomName, old: Shared, shared: &mut Shared) {
        if old.share.is_put_out() {
            shared.share.hold_off(shared.engine.bus.clock() + COME_AGAIN);
        }
        for Entrant { newcomer, why, answer, .. } in old.entrants.into_values() {
            self.come(name, shared, newcomer, why, answer);
        }
        self.finish(name, shared);
    }

    /// Somebody has hung up before there was an answer. Returns the member that is lost, if it has its session here.
    fn abandon(
        self: &Arc<Self>,
        name: &RoomName,
        id: PeerId,
        outbox: &Arc<Outbox>,
        hang_up: HangUp,
    ) -> Option<Absence> {
        let mut lost = None;
        self.with_shared(name, |shared| {
            let is_own = |(_, entrant): &(&Seat, &Entrant)| Arc::ptr_eq(&entrant.newcomer.outbox, outbox);
            let Some(seat) = shared.entrants.iter().find(is_own).map(|(seat, _)| *seat) else {
                return lost = self.absence_of(name, shared, id);
            };
            shared.entrants.remove(&seat);
            if self.drive(name, shared, |share, now, emit| share.withdraw(now, seat, emit)) {
                lost = self.absence_of(name, shared, id);
                return self.finish(name, shared);
            }
            let reason = LeaveReason::Closed;
            let (act, handle) = match hang_up {
                HangUp::Leaves => (Act::Leave { seat, reason }, None),
                // What waits for it, waits in another outbox.
                HangUp::Lost => (Act::Lose { seat, reason }, Some(Arc::new(outbox.successor()))),
            };
            lost = handle.clone().map(|outbox| Absence::new(self, name, seat, outbox));
            // Never too much: it ends something.
            let _ = self.act(name, shared, act, handle, None);
            self.finish(name, shared);
        });
        lost
    }

    /// Returns the member of this ID, if its session is here and has no socket.
    fn absence_of(self: &Arc<Self>, name: &RoomName, shared: &Shared, id: PeerId) -> Option<Absence> {
        let seat = shared.room()?.seat_of(id).filter(|seat| !shared.share.is_connected(*seat))?;
        shared.share.local(seat).map(|outbox| Absence::new(self, name, seat, Arc::clone(outbox)))
    }
}

/// What a client leaves behind that hangs up before its join is decided.
#[derive(Clone, Copy, Debug)]
enum HangUp {
    /// Nothing.
    Leaves,
    /// A member that may return within its window (R52).
    Lost,
}

/// Somebody who wishes to come in and has no answer. Dropping it takes the wish back.
#[derive(Debug)]
pub struct Joining {
    hub: Arc<Hub>,
    room: RoomName,
    id: PeerId,
    /// Whether it has the secret of an earlier stay, with which it may return.
    has_secret: bool,
    outbox: Arc<Outbox>,
    answer: oneshot::Receiver<Decided>,
    decided: bool,
}

impl Joining {
    pub(super) fn new(
        hub: Arc<Hub>,
        room: RoomName,
        id: PeerId,
        has_secret: bool,
        outbox: Arc<Outbox>,
        answer: oneshot::Receiver<Decided>,
    ) -> Self {
        Self { hub, room, id, has_secret, outbox, answer, decided: false }
    }

    /// The answer, if it is there.
    pub(super) fn now(mut self) -> Result<Entrance, JoinError> {
        match self.answer.try_recv() {
            Ok(decided) => self.decide(decided).map(Entrance::In),
            Err(_) => Ok(Entrance::Waits(self)),
        }
    }

    /// Waits for the answer. Cancel-safe; called no more once it was answered.
    pub async fn answered(&mut self) -> Result<Membership, JoinError> {
        match (&mut self.answer).await {
            Ok(decided) => self.decide(decided),
            // Another connection has come by the same secret.
            Err(_) => Err(JoinError::Dismissed(CloseCode::Superseded)),
        }
    }

    fn decide(&mut self, decided: Decided) -> Result<Membership, JoinError> {
        self.decided = true;
        let Admitted { seat, made } = decided?;
        debug_assert_eq!(seat.id, self.id);
        Ok(self.membership(seat, made))
    }

    fn membership(&self, seat: Seat, made: bool) -> Membership {
        Membership::new(Arc::clone(&self.hub), self.room.clone(), seat, Arc::clone(&self.outbox), made)
    }

    /// Takes the wish back, or goes after it was refused. Returns the member of this client that is lost, if its session is
    /// here: one that came with a secret may return within its window (R52), unless it `says_goodbye`.
    pub fn abandon(mut self, says_goodbye: bool) -> Option<Absence> {
        self.hang_up(says_goodbye)
    }

    fn hang_up(&mut self, says_goodbye: bool) -> Option<Absence> {
        let hang_up = if self.has_secret && !says_goodbye { HangUp::Lost } else { HangUp::Leaves };
        let lost = self.hub.abandon(&self.room, self.id, &self.outbox, hang_up);
        let was_decided = std::mem::replace(&mut self.decided, true);
        // Under the lock it was decided, or given up: there is no third.
        match self.answer.try_recv() {
            Ok(Ok(Admitted { seat, made })) if !was_decided => {
                let membership = self.membership(seat, made);
                match hang_up {
                    HangUp::Lost => Some(membership.lose(LeaveReason::Closed)),
                    HangUp::Leaves => {
                        membership.leave(LeaveReason::Closed);
                        None
                    }
                }
            }
            _ => lost,
        }
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if !self.decided {
            self.hang_up(false);
        }
    }
}
