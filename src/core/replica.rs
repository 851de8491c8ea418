//! What a room needs where several servers hold a copy of it.

use std::time::Duration;

use super::effect::Effect;
use super::input::{Comeback, Seat};
use super::room::Room;
use crate::protocol::{Frame, PeerId, Role, ServerMessage};

impl<H> Room<H> {
    /// When [`super::Input::Tick`] is due, of all that was asked for by [`Effect::WakeAt`]: for who has not heard it.
    pub fn wakes(&self) -> impl Iterator<Item = Duration> {
        let lost = self.members.values().filter_map(|member| member.lost.map(|(until, _)| until));
        lost.chain(self.waking.then_some(self.quiet_until)).chain(self.vacancy_deadlines())
    }

    /// The ways to all who have a socket: members that are not lost, and who waits.
    pub fn connected(&self) -> impl Iterator<Item = &H> {
        let members = self.members.values().filter(|member| member.lost.is_none());
        members.map(|member| &member.handle).chain(self.guests())
    }

    /// The ways to all who wait, in the order in which they came.
    pub fn guests(&self) -> impl Iterator<Item = &H> {
        self.house.guests()
    }

    /// The way to somebody, to be set otherwise.
    pub fn way_to_mut(&mut self, id: PeerId) -> Option<&mut H> {
        self.members.get_mut(&id).map(|member| &mut member.handle)
    }

    /// Whether this very session is here, as a member or before the door.
    pub fn has(&self, seat: Seat) -> bool {
        self.seat_of(seat.id) == Some(seat) || self.is_waiting(seat)
    }

    /// Whether somebody is a member without a socket.
    pub fn is_lost(&self, id: PeerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.lost.is_some())
    }

    /// A room of the same kind with nobody in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.capacity, self.window).making_hosts(self.makes_hosts).with_grace(self.grace)
    }

    /// Goes ahead of every version that anybody may have seen.
    pub fn leap(&mut self, by: u64) {
        self.version += by;
    }

    /// Sends the roster as it is, and announces nothing, unlike [`super::Input::Sync`]: the room stays as it was.
    pub fn show(&self, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) {
        let Some(member) = self.members.get(&id) else { return };
        emit(member.send(self.roster(member)));
        if member.peer.role == Role::Host {
            // Also where nobody waits any more.
            emit(member.send(self.lobby_frame()));
        }
    }

    /// What [`super::Input::Sync`] answers, where that would change nothing: no state waits to be announced.
    pub fn roster_now(&self, seat: Seat) -> Option<Frame> {
        self.check(seat).ok().filter(|_| self.changed.is_empty()).map(|member| self.roster(member))
    }

    /// Welcomes a member that came in without anybody here to say so; whoever waits is told that.
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
