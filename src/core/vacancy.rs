//! Absent hosts and empty rooms: how long a place is kept, and who takes it (R110 to R113).

use std::time::Duration;

use super::effect::Effect;
use super::room::Room;
use crate::protocol::{CloseCode, PeerId, Role, RoleReason};

impl<H> Room<H> {
    /// Returns when [`super::Input::Tick`] is due for an absent host or an empty room.
    pub(super) fn vacancy_deadlines(&self) -> impl Iterator<Item = Duration> + use<H> {
        [self.empty_until, self.vacant_until].into_iter().flatten()
    }

    /// Returns whether the place of the last host is reserved, because that host may return.
    pub fn awaits_host(&self) -> bool {
        self.vacant_until.is_some()
    }

    /// Returns whether a substitute is needed: the room has no host, and the resume window of the last one is over.
    pub(super) fn lacks_host(&self, now: Duration) -> bool {
        self.makes_hosts && self.house.begun && self.hosts() == 0 && self.vacant_until.is_none_or(|until| until <= now)
    }

    /// Clears the deadlines that end when a member with this role enters.
    pub(super) fn note_entry(&mut self, role: Role) {
        self.house.begun = true;
        self.empty_until = None;
        if role == Role::Host {
            self.vacant_until = None;
        }
    }

    /// Makes the longest-present member a substitute if the room lacks a host, and one without a connection only if
    /// there is no other. Listeners are skipped: the audience of a talk must not get control of the room by waiting
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

    /// Makes participants of all substitutes, because a host has returned.
    pub(super) fn demote_substitutes(&mut self, emit: &mut impl FnMut(Effect<'_, H>)) {
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

    /// Starts the grace period of a room that its last member has left, or ends the room if there is none.
    pub(super) fn start_grace_period(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.grace.is_zero() {
            return self.disband(CloseCode::HostAbsent, emit);
        }
        let until = now + self.grace;
        self.empty_until = Some(until);
        emit(Effect::WakeAt(until));
    }

    /// Ends the grace period of an empty room and the window of an absent host, if their time is over.
    pub(super) fn expire_vacancies(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.empty_until.is_some_and(|until| until <= now) {
            self.disband(CloseCode::HostAbsent, emit);
        }
        if self.vacant_until.is_some_and(|until| until <= now) {
            self.promote_next_host(now, emit);
        }
    }
}
