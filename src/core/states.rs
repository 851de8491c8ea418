//! States of the members, and when they are announced (R20 to R23).

use std::mem;
use std::time::Duration;

use super::effect::{Effect, Refusal};
use super::input::Seat;
use super::room::{NOT_PERMITTED, Room};
use crate::protocol::{PeerId, ServerMessage, StatePatch};

/// State changes within this time are announced together (R22).
pub const STATE_INTERVAL: Duration = Duration::from_millis(100);

impl<H> Room<H> {
    pub(super) fn change_state(
        &mut self,
        now: Duration,
        seat: Seat,
        patch: StatePatch,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        let member = self.check(seat)?;
        let state = patch.apply(&member.peer.state).map_err(Refusal::StateInvalid)?;
        if state == member.peer.state {
            return Ok(());
        }
        if !member.peer.role.may_have(&state) {
            return Err(Refusal::NotAllowed("Listeners send nothing; raise a hand to be let speak."));
        }
        if !member.grant.permissions.may_have(&state) {
            return Err(Refusal::NotAllowed(NOT_PERMITTED));
        }
        if let Some(member) = self.members.get_mut(&seat.id) {
            member.peer.change().state = state;
        }
        self.state_changed(now, seat.id, emit);
        Ok(())
    }

    pub(super) fn state_changed(&mut self, now: Duration, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) {
        if !self.changed.contains(&id) {
            self.changed.push(id);
        }
        if !self.waking {
            self.announce_or_wait(now, emit);
        }
    }

    /// Announces what has changed, or schedules that for the end of the interval. A tick may come early: it was
    /// scheduled by an earlier room of this name, or a snapshot has announced states since.
    pub(super) fn announce_or_wait(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if now >= self.quiet_until {
            self.announce_states(now, emit);
            if self.announce_lobby(emit) {
                self.quiet_until = now + STATE_INTERVAL;
            }
        } else if !self.changed.is_empty() || self.house.lobby_changed {
            self.waking = true;
            emit(Effect::WakeAt(self.quiet_until));
        }
    }

    pub(super) fn announce_states(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.changed.is_empty() {
            return;
        }
        self.quiet_until = now + STATE_INTERVAL;
        for id in mem::take(&mut self.changed) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            self.version += 1;
            member.peer.change().note_hand(self.version);
            let state = &member.peer.state;
            let frame = ServerMessage::State { version: self.version, id, state }.to_frame();
            self.send_to_all(None, &frame, emit);
        }
    }
}
