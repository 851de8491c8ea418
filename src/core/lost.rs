//! Disconnected members. They keep their place during the resume window and may reconnect (R52, R53).

use std::time::Duration;

use super::effect::{Effect, Refusal};
use super::input::Seat;
use super::room::Room;
use crate::protocol::{LeaveReason, Link, PeerId, ServerMessage};

impl<H> Room<H> {
    pub(super) fn lose(
        &mut self,
        now: Duration,
        seat: Seat,
        reason: LeaveReason,
        handle: H,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        self.check(seat)?;
        let until = now + self.window;
        if let Some(member) = self.members.get_mut(&seat.id) {
            member.handle = handle;
            member.lost = Some((until, reason));
        }
        self.set_link(seat.id, Link::Lost, emit);
        emit(Effect::WakeAt(until));
        Ok(())
    }

    pub(super) fn take_back(
        &mut self,
        seat: Seat,
        handle: H,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        let member = self.members.get_mut(&seat.id).ok_or(Refusal::NotMember)?;
        member.session = seat.session;
        member.handle = handle;
        if member.lost.take().is_some() {
            self.set_link(seat.id, Link::Ok, emit);
        }
        Ok(())
    }

    /// Announces the state of a member's link to everyone, the member included: no client's versions may have a gap.
    fn set_link(&mut self, id: PeerId, link: Link, emit: &mut impl FnMut(Effect<'_, H>)) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.peer.change().link = link;
        self.version += 1;
        let frame = ServerMessage::Link { version: self.version, id, link }.to_frame();
        self.send_to_all(None, &frame, emit);
    }

    /// Removes the members whose resume window is over.
    pub(super) fn expire(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        let lost = self.members.values().filter_map(|member| {
            let (until, reason) = member.lost.filter(|(until, _)| *until <= now)?;
            Some((until, member.since, Seat { id: member.peer.id, session: member.session }, reason))
        });
        let mut lost: Vec<_> = lost.collect();
        lost.sort_unstable_by_key(|(until, since, ..)| (*until, *since));
        for (_, _, seat, reason) in lost {
            // Cannot fail: a departure removes no other member.
            let _ = self.leave(now, seat, reason, emit);
        }
    }
}
