//! Rooms whose host, or whose last member, is gone: for how long the place is kept, and who takes it (R110 to R113).

use std::time::Duration;

use super::effect::Effect;
use super::room::Room;
use crate::protocol::{CloseCode, PeerId, Role, RoleReason};

impl<H> Room<H> {
    /// When [`super::Input::Tick`] is due for an absent host or an empty room.
    pub(super) fn vacancies(&self) -> impl Iterator<Item = Duration> + use<H> {
        [self.empty_until, self.vacant_until].into_iter().flatten()
    }

    /// Returns whether the place of the host is kept for one who may return.
    pub fn awaits_host(&self) -> bool {
        self.vacant_until.is_some()
    }

    /// Returns whether somebody may take the place of a host: there is none, and none whose window to return is open.
    pub(super) fn lacks_host(&self, now: Duration) -> bool {
        self.makes_hosts && self.house.begun && self.hosts() == 0 && self.vacant_until.is_none_or(|until| until <= now)
    }

    /// Notes that somebody of this role enters.
    pub(super) fn occupy(&mut self, role: Role) {
        self.house.begun = true;
        self.empty_until = None;
        if role == Role::Host {
            self.vacant_until = None;
        }
    }

    /// Makes the member who has been here longest a substitute, where the room lacks a host; one without a connection only
    /// where nobody else is. Listeners stay listeners: in a talk the audience must not get control of the room by waiting
    /// (R113).
    pub(super) fn promote_next_host(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if !self.lacks_host(now) {
            return;
        }
        self.vacant_until = None;
        let candidates = self.members.values().filter(|member| member.peer.role != Role::Listener);
        let next = candidates.min_by_key(|member| (member.lost.is_some(), member.since)).map(|member| member.peer.id);
        if let Some(id) = next {
            self.set_role(id, Role::Host, Some(RoleReason::HostAbsent), emit);
        }
    }

    /// Takes the role of host from those who had it in the place of a host who has returned.
    pub(super) fn dismiss_substitutes(&mut self, emit: &mut impl FnMut(Effect<'_, H>)) {
        let mut substitutes: Vec<(u64, PeerId)> = self
            .members
            .values()
            .filter(|member| member.substitute)
            .map(|member| (member.since, member.peer.id))
            .collect();
        substitutes.sort_unstable();
        for (_, id) in substitutes {
            self.set_role(id, Role::Participant, Some(RoleReason::HostReturned), emit);
        }
    }

    /// Keeps the room for a while after its last member has left.
    pub(super) fn desert(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.grace.is_zero() {
            return self.disband(CloseCode::HostAbsent, emit);
        }
        let until = now + self.grace;
        self.empty_until = Some(until);
        emit(Effect::WakeAt(until));
    }

    /// Ends what has lasted long enough: the wait for a host, and an empty room.
    pub(super) fn end_vacancies(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.empty_until.is_some_and(|until| until <= now) {
            self.disband(CloseCode::HostAbsent, emit);
        }
        if self.vacant_until.is_some_and(|until| until <= now) {
            self.promote_next_host(now, emit);
        }
    }
}
