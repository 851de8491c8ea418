//! Operations on a room of which several servers hold replicas.

use std::time::Duration;

use super::effect::Effect;
use super::input::{Comeback, Seat};
use super::room::Room;
use crate::protocol::{Frame, PeerId, Role, ServerMessage};

impl<H> Room<H> {
    /// Returns when [`super::Input::Tick`] is due: the times of all pending [`Effect::WakeAt`], for a server that has
    /// not seen these effects.
    pub fn wakes(&self) -> impl Iterator<Item = Duration> {
        let lost = self.members.values().filter_map(|member| member.lost.map(|(until, _)| until));
        lost.chain(self.waking.then_some(self.quiet_until)).chain(self.vacancy_deadlines())
    }

    /// Returns the handles of everyone with a socket: members that are not disconnected, and participants in the lobby.
    pub fn connected(&self) -> impl Iterator<Item = &H> {
        let members = self.members.values().filter(|member| member.lost.is_none());
        members.map(|member| &member.handle).chain(self.guests())
    }

    /// Returns the handles of the participants in the lobby, in order of arrival.
    pub fn guests(&self) -> impl Iterator<Item = &H> {
        self.house.guests()
    }

    /// Returns the handle of a member for modification.
    pub fn way_to_mut(&mut self, id: PeerId) -> Option<&mut H> {
        self.members.get_mut(&id).map(|member| &mut member.handle)
    }

    /// Returns whether this session is in the room or in its lobby.
    pub fn has(&self, seat: Seat) -> bool {
        self.seat_of(seat.id) == Some(seat) || self.is_waiting(seat)
    }

    /// Returns whether a member is disconnected.
    pub fn is_lost(&self, id: PeerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.lost.is_some())
    }

    /// Creates an empty room with the same configuration.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.capacity, self.window).making_hosts(self.makes_hosts).with_grace(self.grace)
    }

    /// Advances the version beyond any that a client may have seen.
    pub fn leap(&mut self, by: u64) {
        self.version += by;
    }

    /// Sends the roster to a member, and the lobby to a host. Unlike [`super::Input::Sync`], it announces no states:
    /// the room does not change.
    pub fn show(&self, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) {
        let Some(member) = self.members.get(&id) else { return };
        emit(member.send(self.roster(member)));
        if member.peer.role == Role::Host {
            // Also if the lobby is empty now: the host may still show an earlier one.
            emit(member.send(self.lobby_frame()));
        }
    }

    /// Returns the answer to [`super::Input::Sync`] if that would not change the room: no state waits to be announced.
    pub fn roster_now(&self, seat: Seat) -> Option<Frame> {
        self.check(seat).ok().filter(|_| self.changed.is_empty()).map(|member| self.roster(member))
    }

    /// Sends the `welcome` of a member that joined before this server had the room. Sends `waiting` if it is in the
    /// lobby.
    pub fn greet(&self, seat: Seat, comeback: Comeback, emit: &mut impl FnMut(Effect<'_, H>)) {
        if let Some(to) = self.guest(seat) {
            emit(Effect::Send { seat, to, frame: ServerMessage::Waiting.to_frame() });
        }
        let Ok(member) = self.check(seat) else { return };
        emit(Effect::Welcome {
            seat,
            to: &member.handle,
            version: self.version,
            own: &member.peer,
            permissions: member.grant.permissions,
            settings: self.house.settings,
            comeback,
            peers: self.others(seat.id),
        });
        self.show_lobby_to(seat.id, emit);
    }
}
