//! Frames between members, sent directly to the server that has the receiver.

use std::collections::BTreeMap;
use std::time::Duration;

use super::output::carry_out;
use super::{Emit, Output, Share, Stage};
use crate::cluster::link::Link;
use crate::cluster::wire::{Content, Direct, Mark, Parcel, Post};
use crate::core::{Act, Effect, Input, Refusal, Seat};
use crate::protocol::{Frame, PeerId};

/// Why a frame was not relayed to anyone.
#[derive(Debug, Eq, PartialEq)]
pub enum Undelivered {
    /// The room refuses it.
    Refused(Refusal),
    /// The link to another server is full. The sender may try again later.
    Busy,
}

impl<L, C> Share<L, C> {
    /// Relays a frame from a member of this server to another member.
    pub fn signal(
        &mut self,
        now: Duration,
        from: Seat,
        to: Option<PeerId>,
        frame: Frame,
        emit: Emit<'_, L, C>,
    ) -> Result<(), Undelivered> {
        self.relay(now, Input::Signal { from, to, frame: frame.clone() }, frame, emit)
    }

    /// Relays a frame from a member of this server to all other members.
    pub fn broadcast(
        &mut self,
        now: Duration,
        from: Seat,
        frame: Frame,
        emit: Emit<'_, L, C>,
    ) -> Result<(), Undelivered> {
        self.relay(now, Input::Broadcast { from, frame: frame.clone() }, frame, emit)
    }

    fn relay(
        &mut self,
        now: Duration,
        input: Input<crate::cluster::replica::Way>,
        frame: Frame,
        emit: Emit<'_, L, C>,
    ) -> Result<(), Undelivered> {
        let own = self.own;
        let Some(replica) = &mut self.replica else { return Err(Undelivered::Refused(Refusal::NotMember)) };
        let (locals, wakes) = (&mut self.locals, &mut self.wakes);
        // No link has to be checked first, and no receivers have to be collected.
        if self.all_here {
            let sent = replica.relay(input, &mut |effect| carry_out(own, None, locals, wakes, effect, emit));
            return sent.map_err(Undelivered::Refused);
        }
        // All links are checked before anything is sent: a broadcast goes to everyone or to nobody.
        let (mut here, mut there): (Vec<Seat>, BTreeMap<Post, Vec<Seat>>) = (Vec::new(), BTreeMap::new());
        let looked_at = replica.relay(input, &mut |effect| {
            if let Effect::Send { seat, to, .. } = effect {
                match to.home {
                    Some(home) if home == own => here.push(seat),
                    Some(home) => there.entry(home).or_default().push(seat),
                    // Gets a new session when it reconnects.
                    None => {}
                }
            }
        });
        looked_at.map_err(Undelivered::Refused)?;
        for post in there.keys() {
            let link = self.links.entry(*post).or_insert_with(|| Link::new(own, *post));
            if !link.has_room(&frame) {
                return Err(Undelivered::Busy);
            }
        }
        let (at, room) = (replica.mark(), replica.room());
        for (post, to) in there {
            let Some(link) = self.links.get_mut(&post) else { continue };
            let parcel = Parcel { at, content: Content::Frame { to, frame: frame.clone() } };
            link.send(now, parcel, &mut |packet| emit(Output::Tell(post.server, Direct::Link(packet).encode())));
        }
        for seat in here {
            if let Ok(to) = room.way_from(seat) {
                let effect = Effect::Send { seat, to, frame: frame.clone() };
                carry_out(own, None, locals, wakes, effect, emit);
            }
        }
        Ok(())
    }

    /// Delivers the payloads from other servers that are due.
    pub(super) fn deliver(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        // Not with an outdated replica: the members here may not know the sender of a later frame yet.
        while matches!(self.stage, Stage::In)
            && let Some((from, Parcel { at, content })) = self.next_parcel()
        {
            match content {
                Content::Frame { to, frame } => {
                    let Some(replica) = &self.replica else { return };
                    let (own, locals, wakes) = (self.own, &mut self.locals, &mut self.wakes);
                    for seat in to {
                        // The member has moved from here, and the sender did not know yet: the frame goes along with
                        // the session.
                        if let Some(moving) = self.moving.get_mut(&seat).filter(|moving| at < moving.since) {
                            moving.take(seat, &frame, emit);
                            continue;
                        }
                        let Ok(to) = replica.room().way_from(seat) else { continue };
                        let effect = Effect::Send { seat, to, frame: frame.clone() };
                        carry_out(own, None, locals, wakes, effect, emit);
                    }
                }
                Content::Gone(seat, entry) => self.answer(now, from, seat, entry, emit),
                Content::Beacon(seat, entry) => self.beacon(from, seat, entry),
                Content::Session(seat, session) => self.arrived(Some(from), seat, session, emit),
            }
        }
    }

    /// Returns the next payload that is due on any link.
    fn next_parcel(&mut self) -> Option<(Post, Parcel)> {
        let Mark { incarnation, number } = self.replica.as_ref()?.mark();
        let pending = &self.pending;
        self.links.iter_mut().find_map(|(post, link)| {
            let parcel = link.due(|parcel| {
                let at = parcel.at;
                if at.incarnation == incarnation {
                    return at.number <= number;
                }
                // A member from before the store lost its data, which joins again, is not in the room yet.
                let comes = |seat: &Seat| pending.iter().any(|pending| is_join_of(&pending.act, *seat));
                let waits = matches!(&parcel.content, Content::Frame { to, .. } if to.iter().any(comes));
                at.incarnation < incarnation && !waits
            });
            parcel.map(|parcel| (*post, parcel))
        })
    }
}

fn is_join_of(act: &Act, seat: Seat) -> bool {
    matches!(act, Act::Join { seat: joining, .. } if *joining == seat)
}
