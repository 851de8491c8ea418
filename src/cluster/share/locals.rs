//! Who has its session here.

use super::moving::{Awaited, Moving};
use super::{Emit, Output, Share};
use crate::core::{Effect, Seat};
use crate::protocol::CloseCode;

/// Somebody whose session is here.
#[derive(Debug)]
pub(super) struct Local<L> {
    pub(super) handle: L,
    /// Has a socket, which is to be closed when the room knows this session no more.
    pub(super) connected: bool,
    /// Its session is on its way.
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
    /// Who comes in by an act that is carried out now.
    pub(super) fn newcomer(&self, seat: Seat, handle: L, awaits: Option<Awaited>) -> Local<L> {
        let connected = !self.pending.iter().any(|pending| pending.takes(seat));
        Local { handle, connected, awaits }
    }

    /// The way to who has its session here.
    pub fn local(&self, seat: Seat) -> Option<&L> {
        self.locals.get(&seat).map(|local| &local.handle)
    }

    /// Whether the session of somebody who is here is still on its way.
    pub fn awaits(&self, seat: Seat) -> bool {
        self.locals.get(&seat).is_some_and(|local| local.awaits.is_some())
    }

    /// The way that somebody had here who has gone on to another server, as long as its session has not.
    pub fn leaving(&self, seat: Seat) -> Option<&L> {
        self.moving.get(&seat).and_then(Moving::local)
    }

    /// All that have their session here, the ways to them, and whether they have a socket; who waits to be admitted, too.
    pub fn locals(&self) -> impl Iterator<Item = (Seat, &L, bool)> {
        self.locals.iter().map(|(seat, local)| (*seat, &local.handle, local.connected))
    }

    /// How many members have their session here.
    pub fn members(&self) -> usize {
        let Some(replica) = &self.replica else { return 0 };
        self.locals.keys().filter(|seat| replica.room().seat_of(seat.id) == Some(**seat)).count()
    }

    /// How many have their socket on another server, as far as this one knows.
    pub fn connected_elsewhere(&self) -> usize {
        let Some(replica) = &self.replica else { return 0 };
        replica.room().connected().filter(|way| way.home != Some(self.own)).count()
    }

    /// Whether anything here would be lost with this server: a session, or what another server has not said to have.
    pub fn holds_sessions(&self) -> bool {
        !(self.locals.is_empty() && self.moving.is_empty() && self.shipping.is_empty()) || self.lingers()
    }

    /// Returns whether the session of this member is here and has a socket.
    pub fn is_connected(&self, seat: Seat) -> bool {
        self.locals.get(&seat).is_some_and(|local| local.connected)
    }

    pub(super) fn close_all(&mut self, emit: Emit<'_, L, C>) {
        let gone = std::mem::take(&mut self.moving).into_values().filter_map(Moving::into_local);
        for local in std::mem::take(&mut self.locals).into_values().chain(gone) {
            local.close(CloseCode::GoingAway, emit);
        }
    }
}
