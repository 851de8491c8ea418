//! What is done here in the name of a member, or of this server, and waits until all have agreed to it.

use std::time::Duration;

use super::{Emit, Output, Share};
use crate::core::{Act, Effect, Seat};
use crate::protocol::LeaveReason;

/// The most acts that wait for the engine.
pub const PENDING: usize = 1024;

/// More waits than the bound allows: to be tried again later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy;

/// An act of this server.
#[derive(Debug)]
pub struct Pending<L, C> {
    pub(super) own: u64,
    /// What.
    pub act: Act,
    /// The way to who joins.
    pub handle: Option<L>,
    /// For the answer.
    pub context: Option<C>,
}

impl<L, C> Pending<L, C> {
    /// Whether this member comes in by it.
    pub(super) fn brings(&self, seat: Seat) -> bool {
        self.handle.is_some() && self.act.seat() == Some(seat)
    }

    /// Whether this member has hung up by it. (A goodbye is said in another way, too: it ends a stay, not a socket.)
    pub(super) fn hangs_up(&self, seat: Seat) -> bool {
        let ends = match self.act {
            Act::Lose { .. } => true,
            Act::Leave { reason, .. } => reason != LeaveReason::Left,
            _ => false,
        };
        ends && self.act.seat() == Some(seat)
    }

    /// Whether this member's socket ends by it.
    pub(super) fn takes(&self, seat: Seat) -> bool {
        matches!(self.act, Act::Lose { .. } | Act::Leave { .. }) && self.act.seat() == Some(seat)
    }
}

impl<L, C> Share<L, C> {
    /// Those who came in before this share was over and have not been let in: for the next one, in another session, since
    /// in this one they may have been in the room unseen.
    pub fn into_joins(self) -> impl Iterator<Item = Pending<L, C>> {
        self.pending.into_iter().filter(|pending| matches!(pending.act, Act::Join { .. }))
    }

    /// Does something in the name of a member of this server, or of the server. `handle` is the way to who joins, returns
    /// or moves here ([`Act::Return`] is for whose session is here, [`Act::Move`] for others), and to where what it misses
    /// waits for who is lost. Whoever comes in needs a `context`: a move is refused where the session is no more, and that
    /// member is to join.
    ///
    /// Whether it waits for other servers.
    pub fn act(
        &mut self,
        now: Duration,
        act: Act,
        handle: Option<L>,
        context: Option<C>,
        emit: Emit<'_, L, C>,
    ) -> Result<bool, Busy> {
        if let Act::Sync { seat } = act
            && let Some(shown) = self.show_now(seat)
        {
            emit(Output::Effect(shown));
            context.into_iter().for_each(|context| emit(Output::Answer(context, Ok(()))));
            return Ok(false);
        }
        // Bounded by the members there are: what ends something, or goes on.
        let must =
            matches!(act, Act::Lose { .. } | Act::Return { .. } | Act::Move { .. } | Act::Leave { .. } | Act::Tick);
        if !must && self.pending.len() >= PENDING {
            return Err(Busy);
        }
        let act = match act {
            Act::Return { seat } if !self.locals.contains_key(&seat) => Act::Move { seat },
            act => act,
        };
        let handle = match &act {
            Act::Lose { seat, .. } | Act::Return { seat } => {
                let connected = matches!(act, Act::Return { .. });
                if let Some(handle) = handle {
                    if let Some(local) = self.locals.get_mut(seat) {
                        (local.handle, local.connected) = (handle, connected);
                    } else if let Some(pending) = self.pending.iter_mut().find(|pending| pending.brings(*seat)) {
                        // Is lost before it is in.
                        pending.handle = Some(handle);
                    }
                }
                None
            }
            Act::Leave { seat, .. } => {
                if let Some(local) = self.locals.get_mut(seat) {
                    local.connected = false;
                }
                None
            }
            _ => handle,
        };
        self.acted += 1;
        self.pending.push_back(Pending { own: self.acted, act, handle, context });
        let own = self.acted;
        self.go_on(now, emit);
        Ok(self.pending.iter().any(|pending| pending.own == own))
    }

    /// The roster for a member of this server, where this copy's is right as it is: nothing waits to be announced with it,
    /// and nothing of the member's own to be done before. Otherwise all have to do the same.
    fn show_now(&self, seat: Seat) -> Option<Effect<'_, L>> {
        let local = self.locals.get(&seat).filter(|local| local.awaits.is_none())?;
        let says = self.pending.iter().any(|pending| pending.act.seat() == Some(seat));
        let frame = self.replica.as_ref().filter(|_| !says)?.room().roster_now(seat)?;
        Some(Effect::Send { seat, to: &local.handle, frame })
    }

    /// Whether a goodbye of this seat waits for other servers.
    pub fn is_leaving(&self, seat: Seat) -> bool {
        // One that is said of a socket ends nothing where the member has moved on.
        self.pending.iter().any(|pending| pending.act == Act::Leave { seat, reason: LeaveReason::Left })
    }

    /// Whether somebody comes in, or comes back, by this act, and has hung up since. The engine is not asked for it any
    /// more: the comer may be elsewhere by now, and what is put in order later would count as coming later. What the engine
    /// was asked for before may have been carried out, so that the act still waits for its entry.
    pub(super) fn has_hung_up(&self, pending: &Pending<L, C>) -> bool {
        let comer = pending.act.seat().filter(|seat| pending.brings(*seat));
        comer.is_some_and(|seat| self.pending.iter().any(|later| later.own > pending.own && later.hangs_up(seat)))
    }

    /// Takes back that somebody comes in, or comes back, where nobody has heard of it. Whether that was so; otherwise it is
    /// to leave, or to be lost.
    pub fn withdraw(&mut self, now: Duration, seat: Seat, emit: Emit<'_, L, C>) -> bool {
        let before = self.pending.len();
        let offered = self.offered;
        self.pending.retain(|pending| pending.own <= offered || !pending.brings(seat));
        let comes = |pending: &Pending<L, C>| pending.brings(seat) && !self.has_hung_up(pending);
        let withdrawn = self.pending.len() < before && !self.pending.iter().any(comes);
        if !self.asked && self.pending.is_empty() && self.locals.is_empty() {
            // As if it had never been: while the engine is away, it could not end otherwise.
            self.end(emit);
        }
        self.go_on(now, emit);
        withdrawn
    }
}
