//! Actions of a room's members, and what follows when a member's socket ends.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shared::{Context, Shared};
use super::{Held, Hub};
use crate::cluster::share::Undelivered;
use crate::core::session::OutOfSequence;
use crate::core::{Act, Input, Refusal, Room, Seat, TokenId};
use crate::limits::{Allowance, Elsewhere};
use crate::outbox::Outbox;
use crate::protocol::{Frame, LeaveReason, Moderation, PeerId, RoomName, StatePatch};

/// A peer's membership in a room, or its place in the lobby. Dropping it reports that the connection is lost, for
/// whatever reason; [`Membership::leave`] leaves the room.
#[derive(Debug)]
pub struct Membership {
    hub: Arc<Hub>,
    room: RoomName,
    seat: Seat,
    outbox: Arc<Outbox>,
    made: bool,
    present: bool,
    allowance: Arc<Allowance>,
}

/// Number and reference of a client's message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// Sequence number, if it has one. A message is applied once, however often it arrives (R50).
    pub number: Option<u64>,
    /// `ref` of the message, for an answer that is sent later.
    pub reference: Option<&'a RawValue>,
}

/// Action that a message requests.
enum Wish {
    Signal(Option<PeerId>, Frame),
    Broadcast(Frame),
    Act(&'static str, Act),
}

/// Actions of a member. If other servers have to agree to a command first, a refusal is sent later as a message.
impl Membership {
    pub(super) fn new(hub: Arc<Hub>, room: RoomName, seat: Seat, outbox: Arc<Outbox>, made: bool) -> Self {
        let allowance = hub.allowances.of(seat.id);
        Self { hub, room, seat, outbox, made, present: true, allowance }
    }

    /// Returns the member's ID.
    pub fn id(&self) -> PeerId {
        self.seat.id
    }

    /// Returns the member's allowance.
    pub(crate) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }

    /// Returns whether this join created the room.
    pub fn made_the_room(&self) -> bool {
        self.made
    }

    /// Returns a live count of the members whose socket is on another server.
    pub fn elsewhere(&self) -> Elsewhere {
        match self.hub.lock(&self.room).get(&self.room) {
            Some(Held::Shared(shared)) => shared.elsewhere.clone(),
            _ => Elsewhere::default(),
        }
    }

    /// Returns the number of other members, on all servers; 0 while this one is in the lobby.
    pub fn others(&self) -> usize {
        fn of<H>(room: &Room<H>, seat: Seat) -> usize {
            room.way_from(seat).map_or(0, |_| room.len() - 1)
        }
        match self.hub.lock(&self.room).get(&self.room) {
            Some(Held::Own(room)) => of(room, self.seat),
            Some(Held::Shared(shared)) => shared.room().map_or(0, |room| of(room, self.seat)),
            None => 0,
        }
    }

    /// Returns the approximate size in bytes of the roster that this member would be sent.
    pub fn roster_bytes(&self) -> usize {
        match self.hub.lock(&self.room).get(&self.room) {
            Some(Held::Own(room)) => room.roster_bytes(),
            Some(Held::Shared(shared)) => shared.room().map_or(0, Room::roster_bytes),
            None => 0,
        }
    }

    /// Relays a frame to one other member. `to` is `None` if the client has named something that is no ID.
    pub fn signal(&self, said: Said<'_>, to: Option<PeerId>, frame: Frame) -> Result<(), Refusal> {
        self.wish(said, Wish::Signal(to, frame)).map(drop)
    }

    /// Relays a frame to all other members.
    pub fn broadcast(&self, said: Said<'_>, frame: Frame) -> Result<(), Refusal> {
        self.wish(said, Wish::Broadcast(frame)).map(drop)
    }

    /// Applies a moderation command. Returns whether other servers have to agree first, as do `change_state` and
    /// `sync`.
    pub fn moderate(&self, said: Said<'_>, act: Moderation) -> Result<bool, Refusal> {
        self.wish(said, Wish::Act("moderate", Act::Moderate { seat: self.seat, act }))
    }

    /// Changes this member's state.
    pub fn change_state(&self, said: Said<'_>, patch: StatePatch) -> Result<bool, Refusal> {
        self.wish(said, Wish::Act("state", Act::State { seat: self.seat, patch }))
    }

    /// Asks the room whether this member may continue with another token, if each token is for one person. The decision
    /// arrives when the servers that share the room know its place in the order. If the channel closes without one, the
    /// room has moved to another server.
    pub fn renew(&self, token: TokenId) -> Result<Decision, Refusal> {
        let (decided, decision) = oneshot::channel();
        let (name, seat) = (&self.room, self.seat);
        self.hub.with(name, |held| match held {
            Held::Own(room) => {
                let _ = decided.send(self.hub.apply(name, room, Input::Renew { seat, token }));
                Ok(())
            }
            Held::Shared(shared) => {
                self.check(shared)?;
                let context = Some(Context::Renewed(decided));
                self.hub.act(name, shared, Act::Renew { seat, token }, None, context).map(drop)
            }
        })?;
        Ok(decision)
    }

    /// Sends the roster to this member.
    pub fn sync(&self, said: Said<'_>) -> Result<bool, Refusal> {
        self.wish(said, Wish::Act("sync", Act::Sync { seat: self.seat }))
    }

    /// Counts a message that does not concern the room. Returns whether it is to be answered: `false` for a duplicate.
    pub fn count(&self, number: Option<u64>) -> Result<bool, Refusal> {
        let Some(number) = number else { return Ok(true) };
        self.hub.with(&self.room, |held| match held {
            Held::Own(room) => accept(room, self.seat, number),
            Held::Shared(shared) => self.accept(shared, Some(number)),
        })
    }

    /// Leaves the room.
    pub fn leave(mut self, reason: LeaveReason) {
        if !std::mem::take(&mut self.present) {
            return;
        }
        let (room, seat) = (&self.room, self.seat);
        // `NotMember` if it was superseded or too slow: the hub has handled that already.
        let _ = self.hub.with(room, |held| match held {
            Held::Own(own) => self.hub.apply(room, own, Input::Leave { seat, reason }),
            Held::Shared(shared) if shared.speaks(seat, &self.outbox) => {
                self.hub.act(room, shared, Act::Leave { seat, reason }, None, None).map(drop)
            }
            Held::Shared(_) => Ok(()),
        });
    }

    /// Reports that the socket is lost. The member leaves for this reason if it does not reconnect in time.
    pub fn lose(mut self, reason: LeaveReason) -> Absence {
        let outbox = self.be_lost(reason);
        Absence { hub: Arc::clone(&self.hub), room: self.room.clone(), seat: self.seat, outbox }
    }

    /// Carries out an action. Returns whether other servers have to agree first.
    fn wish(&self, said: Said<'_>, wish: Wish) -> Result<bool, Refusal> {
        let (hub, seat) = (&self.hub, self.seat);
        // Another socket takes over under the same lock, so that every message that counts is carried out.
        let mut rooms = hub.lock(&self.room);
        let held = rooms.get_mut(&self.room).ok_or(Refusal::NotMember)?;
        match held {
            Held::Own(room) => {
                if let Some(number) = said.number
                    && !accept(room, seat, number)?
                {
                    return Ok(false);
                }
                self.limit(&wish, room)?;
                let input = match wish {
                    Wish::Signal(to, frame) => Input::Signal { from: seat, to, frame },
                    Wish::Broadcast(frame) => Input::Broadcast { from: seat, frame },
                    Wish::Act(_, act) => act.into_input(|_| Arc::clone(&self.outbox)),
                };
                let result = hub.apply(&self.room, room, input);
                hub.clear(&mut rooms, &self.room);
                result.map(|()| false)
            }
            Held::Shared(shared) => {
                if !self.accept(shared, said.number)? {
                    return Ok(false);
                }
                if let Some(room) = shared.room() {
                    self.limit(&wish, room)?;
                }
                let result = self.wish_of_all(shared, said, wish);
                hub.clear(&mut rooms, &self.room);
                result
            }
        }
    }

    /// Refuses a signal to a member to which this one has sent too much.
    fn limit<H>(&self, wish: &Wish, room: &Room<H>) -> Result<(), Refusal> {
        let Wish::Signal(Some(to), frame) = wish else { return Ok(()) };
        if room.way_to(*to).is_none() {
            return Ok(());
        }
        let taken = self.allowance.take_signal(*to, room.len() - 1, frame.payload().len(), Instant::now());
        taken.map_err(Refusal::TooManySignals)
    }

    fn wish_of_all(&self, shared: &mut Shared, said: Said<'_>, wish: Wish) -> Result<bool, Refusal> {
        let (hub, name, seat) = (&self.hub, &self.room, self.seat);
        let relayed = match wish {
            Wish::Signal(to, frame) => {
                hub.drive(name, shared, |share, now, emit| share.signal(now, seat, to, frame, emit))
            }
            Wish::Broadcast(frame) => {
                hub.drive(name, shared, |share, now, emit| share.broadcast(now, seat, frame, emit))
            }
            Wish::Act(kind, act) => {
                let context = Context::Said(seat, kind, said.reference.map(ToOwned::to_owned));
                let result = hub.act(name, shared, act, None, Some(context));
                hub.finish(name, shared);
                return result;
            }
        };
        // A frame changes nothing in the room. Only on links to other servers is there something to wait for.
        if !shared.share.is_alone() {
            hub.set_timer(name, shared);
        }
        relayed.map(|()| false).map_err(|undelivered| match undelivered {
            Undelivered::Refused(refusal) => refusal,
            Undelivered::Busy => Refusal::Busy,
        })
    }

    /// Rejects messages of a socket that is not the member's, and of guests in the lobby, without asking other servers.
    fn check(&self, shared: &Shared) -> Result<(), Refusal> {
        if !shared.speaks(self.seat, &self.outbox) {
            return Err(Refusal::NotMember);
        }
        let waits = shared.room().is_some_and(|room| matches!(room.way_from(self.seat), Err(Refusal::NotAdmitted)));
        if waits { Err(Refusal::NotAdmitted) } else { Ok(()) }
    }

    /// Counts a message. Returns whether it is new. Fails if this socket is no longer the member's.
    fn accept(&self, shared: &Shared, number: Option<u64>) -> Result<bool, Refusal> {
        self.check(shared)?;
        let Some(number) = number else { return Ok(true) };
        self.outbox.accept(number).map_err(|OutOfSequence(next)| Refusal::OutOfSequence(next))
    }

    /// Marks the member as disconnected. Returns the outbox that collects its messages, or `None` if it is not a
    /// member, or no longer one.
    fn be_lost(&mut self, reason: LeaveReason) -> Option<Arc<Outbox>> {
        if !std::mem::take(&mut self.present) {
            return None;
        }
        let (room, seat) = (&self.room, self.seat);
        // `NotMember` if it was superseded or too slow: the hub has handled that already.
        let lost = self.hub.with(room, |held| match held {
            Held::Own(own) => match own.way_from(seat) {
                Ok(outbox) => {
                    // The socket keeps its outbox for the messages left to send; what the member misses is collected in
                    // another one.
                    let handle = Arc::new(outbox.detach());
                    self.hub.apply(room, own, Input::Lose { seat, reason, handle: Arc::clone(&handle) })?;
                    Ok(Some(handle))
                }
                Err(Refusal::NotAdmitted) => {
                    self.hub.apply(room, own, Input::Leave { seat, reason })?;
                    Ok(None)
                }
                Err(refusal) => Err(refusal),
            },
            Held::Shared(shared) if !shared.speaks(seat, &self.outbox) => Ok(None),
            Held::Shared(shared) => {
                let waits = shared.room().is_some_and(|at| matches!(at.way_from(seat), Err(Refusal::NotAdmitted)));
                if waits {
                    self.hub.act(room, shared, Act::Leave { seat, reason }, None, None)?;
                    return Ok(None);
                }
                let handle = Arc::new(self.outbox.detach());
                self.hub.act(room, shared, Act::Lose { seat, reason }, Some(Arc::clone(&handle)), None)?;
                Ok(Some(handle))
            }
        });
        lost.ok().flatten()
    }
}

/// Decision of a room on a command, made at the same place in the order on all its servers.
pub type Decision = oneshot::Receiver<Result<(), Refusal>>;

/// A disconnected member.
#[derive(Debug)]
pub struct Absence {
    hub: Arc<Hub>,
    room: RoomName,
    seat: Seat,
    outbox: Option<Arc<Outbox>>,
}

impl Absence {
    pub(super) fn new(hub: &Arc<Hub>, room: &RoomName, seat: Seat, outbox: Arc<Outbox>) -> Self {
        Self { hub: Arc::clone(hub), room: room.clone(), seat, outbox: Some(outbox) }
    }

    /// Returns the resume window.
    pub fn window(&self) -> Duration {
        self.hub.rules.resume_window
    }

    /// Removes the member at once, unless it has reconnected.
    pub fn end(self, reason: LeaveReason) {
        let (room, seat) = (&self.room, self.seat);
        // `NotMember` if it has reconnected, with another session number, or has left.
        let _ = self.hub.with(room, |held| match held {
            Held::Own(own) => self.hub.apply(room, own, Input::Leave { seat, reason }),
            // A member that has reconnected has the same session number and another outbox.
            Held::Shared(shared) if self.outbox.as_ref().is_some_and(|outbox| shared.speaks(seat, outbox)) => {
                self.hub.act(room, shared, Act::Leave { seat, reason }, None, None).map(drop)
            }
            Held::Shared(_) => Ok(()),
        });
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.be_lost(LeaveReason::Closed);
    }
}

/// Counts a message of a member. Returns whether it is new.
fn accept(room: &Room<Arc<Outbox>>, seat: Seat, number: u64) -> Result<bool, Refusal> {
    room.way_from(seat)?.accept(number).map_err(|OutOfSequence(next)| Refusal::OutOfSequence(next))
}
