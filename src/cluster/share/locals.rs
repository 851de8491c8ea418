//! Local members: those whose session is on this server.

use super::moving::{Awaited, Moving};
use super::{Emit, Output, Share};
use crate::core::{Effect, Seat};
use crate::protocol::CloseCode;

/// A member, or participant in the lobby, whose session is on this server.
#[derive(Debug)]
pub(super) struct Local<L> {
    pub(super) handle: L,
    /// Set if it has a socket, which is closed when the room does not know this session any more.
    pub(super) connected: bool,
    /// Set while its session is on the way here.
    pub(super) awaits: Option<Awaited>,
}

impl<L> Local<L> {
    /// Closes its socket, if it has one.
    pub(super) fn close<C>(self, code: CloseCode, emit: Emit<'_, L, C>) {
        if self.connected {
            emit(Output::Effect(Effect::Close { handle: self.handle, code }));
        }
    }
}

impl<L, C> Share<L, C> {
    /// Creates the entry of a member that enters by the command being applied.
    pub(super) fn newcomer(&self, seat: Seat, handle: L, awaits: Option<Awaited>) -> Local<L> {
        let connected = !self.pending.iter().any(|pending| pending.takes(seat));
        Local { handle, connected, awaits }
    }

    /// Returns the handle of a local member.
    pub fn local(&self, seat: Seat) -> Option<&L> {
        self.locals.get(&seat).map(|local| &local.handle)
    }

    /// Returns whether the session of a local member is still on the way here.
    pub fn awaits(&self, seat: Seat) -> bool {
        self.locals.get(&seat).is_some_and(|local| local.awaits.is_some())
    }

    /// Returns the handle that a member had here before it moved to another server, until its session is sent.
    pub fn leaving(&self, seat: Seat) -> Option<&L> {
        self.moving.get(&seat).and_then(Moving::local)
    }

    /// Returns all local members and participants in the lobby, their handles, and whether they have a socket.
    pub fn locals(&self) -> impl Iterator<Item = (Seat, &L, bool)> {
        self.locals.iter().map(|(seat, local)| (*seat, &local.handle, local.connected))
    }

    /// Returns the number of members whose session is here.
    pub fn members(&self) -> usize {
        let Some(replica) = &self.replica else { return 0 };
        self.locals.keys().filter(|seat| replica.room().seat_of(seat.id) == Some(**seat)).count()
    }

    /// Returns how many participants have their socket on another server, as far as this one knows.
    pub fn connected_elsewhere(&self) -> usize {
        let Some(replica) = &self.replica else { return 0 };
        replica.room().connected().filter(|way| way.home != Some(self.own)).count()
    }

    /// Returns whether anything would be lost with this server: a session, or a payload that another server has not
    /// acknowledged.
    pub fn holds_sessions(&self) -> bool {
        !(self.locals.is_empty() && self.moving.is_empty() && self.shipping.is_empty()) || self.lingers()
    }

    /// Replaces the handle of a local member, and changes nothing else.
    pub fn divert(&mut self, seat: Seat, to: L) {
        if let Some(local) = self.locals.get_mut(&seat) {
            local.handle = to;
        }
    }

    pub(super) fn close_all(&mut self, emit: Emit<'_, L, C>) {
        let gone = std::mem::take(&mut self.moving).into_values().filter_map(Moving::into_local);
        for local in std::mem::take(&mut self.locals).into_values().chain(gone) {
            local.close(CloseCode::GoingAway, emit);
        }
    }
}
