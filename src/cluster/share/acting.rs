//! Commands of this server, on behalf of a member or of the server itself. They wait until all servers have agreed.

use std::time::Duration;

use super::{Emit, Output, Share};
use crate::core::{Act, Effect, Seat};
use crate::protocol::LeaveReason;

/// Maximum number of commands that wait for the store.
pub const PENDING: usize = 1024;

/// Error: too many commands wait. The caller may try again later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy;

/// A command of this server that was not applied yet.
#[derive(Debug)]
pub struct Pending<L, C> {
    pub(super) own: u64,
    /// Command.
    pub act: Act,
    /// Handle of the member, if it enters by this command.
    pub handle: Option<L>,
    /// Context for the answer.
    pub context: Option<C>,
}

impl<L, C> Pending<L, C> {
    /// Returns whether this member enters by the command.
    pub(super) fn brings(&self, seat: Seat) -> bool {
        self.handle.is_some() && self.act.seat() == Some(seat)
    }

    /// Returns whether this member disconnects by the command. (An explicit leave does not count: it also arrives
    /// without the socket, and ends a session and not a socket.)
    pub(super) fn hangs_up(&self, seat: Seat) -> bool {
        let ends = match self.act {
            Act::Lose { .. } => true,
            Act::Leave { reason, .. } => reason != LeaveReason::Left,
            _ => false,
        };
        ends && self.act.seat() == Some(seat)
    }

    /// Returns whether this member's socket ends by the command.
    pub(super) fn takes(&self, seat: Seat) -> bool {
        matches!(self.act, Act::Lose { .. } | Act::Leave { .. }) && self.act.seat() == Some(seat)
    }
}

impl<L, C> Share<L, C> {
    /// Returns the joins that had no answer when this share ended. The next share submits them with new sessions,
    /// because the old ones may have been in the room without anyone here noticing.
    pub fn into_joins(self) -> impl Iterator<Item = Pending<L, C>> {
        self.pending.into_iter().filter(|pending| matches!(pending.act, Act::Join { .. }))
    }

    /// Submits a command on behalf of a member of this server, or of the server. `handle` is the handle of a member
    /// that joins, resumes or moves here, or collects the messages for a member that disconnects. ([`Act::Return`] is
    /// for sessions on this server, [`Act::Move`] for others.) A member that enters needs a `context`: a move is
    /// refused if its session does not exist any more, and the member has to join then.
    ///
    /// Returns whether the command waits for other servers.
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
        // Not limited: commands that end or resume something are bounded by the number of members.
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
                        // The member disconnects before its command was applied.
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

    /// Returns the roster for a member of this server if this replica can answer on its own: no state waits to be
    /// announced with it, and no command of the member waits to be applied. Otherwise all servers have to apply the
    /// request.
    fn show_now(&self, seat: Seat) -> Option<Effect<'_, L>> {
        let local = self.locals.get(&seat).filter(|local| local.awaits.is_none())?;
        let says = self.pending.iter().any(|pending| pending.act.seat() == Some(seat));
        let frame = self.replica.as_ref().filter(|_| !says)?.room().roster_now(seat)?;
        Some(Effect::Send { seat, to: &local.handle, frame })
    }

    /// Returns whether a leave request of this seat waits for other servers. A leave that was derived from a lost socket
    /// does not count: it ends nothing if the member has moved on.
    pub fn is_leaving(&self, seat: Seat) -> bool {
        self.pending.iter().any(|pending| pending.act == Act::Leave { seat, reason: LeaveReason::Left })
    }

    /// Returns whether a member enters by this command and has disconnected since. The store is not asked for such a
    /// command any more: the member may be on another server by now, and a command that is ordered later would count as
    /// the later entry. If the store was asked before, it may have ordered the command, which then still waits for its
    /// entry.
    pub(super) fn has_hung_up(&self, pending: &Pending<L, C>) -> bool {
        let comer = pending.act.seat().filter(|seat| pending.brings(*seat));
        comer.is_some_and(|seat| self.pending.iter().any(|later| later.own > pending.own && later.hangs_up(seat)))
    }

    /// Withdraws the commands by which a member enters, if the store has not been asked for them. Returns whether that
    /// was possible; otherwise the member has to leave, or to be marked as disconnected.
    pub fn withdraw(&mut self, now: Duration, seat: Seat, emit: Emit<'_, L, C>) -> bool {
        let before = self.pending.len();
        let offered = self.offered;
        self.pending.retain(|pending| pending.own <= offered || !pending.brings(seat));
        let comes = |pending: &Pending<L, C>| pending.brings(seat) && !self.has_hung_up(pending);
        let withdrawn = self.pending.len() < before && !self.pending.iter().any(comes);
        if !self.asked && self.pending.is_empty() && self.locals.is_empty() {
            // Ends as if it had never existed: while the store is unreachable, it could not end otherwise.
            self.end(emit);
        }
        self.go_on(now, emit);
        withdrawn
    }
}
