//! How a member goes on at another server (R53): its session, with what waits in it, goes there, and nothing that was
//! sent to it is lost, comes twice or overtakes.
//!
//! [`Act::Move`] by another server than the one that has the session is the moment: from this entry on everybody sends
//! to the new one. The old one asks each other server, behind what it has sent there for the member, and each answers by a
//! beacon, behind what it has sent for the member. When the old one has them all, nothing of before is under way, in
//! neither direction, and it ships the session. Until that arrives, the new one holds what comes, and the client, which has
//! no answer yet, says nothing.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use bytes::Bytes;

use super::locals::Local;
use super::{Emit, Output, Share};
use crate::cluster::link::Link;
use crate::cluster::replica::Replica;
use crate::cluster::wire::{Body, Content, Direct, Entry, Mark, Parcel, Post};
use crate::core::{Act, Effect, Seat};
use crate::protocol::{CloseCode, Frame};

/// The most frames that are held for a member whose session has not come.
pub const HELD: usize = 1024;
/// After this time a session does not go on: a server that was to say something has not.
const MOVE_WITHIN: Duration = Duration::from_secs(5);

/// A member that has gone to another server.
#[derive(Debug)]
pub(super) struct Moving<L> {
    to: Post,
    /// By which entry.
    pub(super) since: Mark,
    local: Option<Local<L>>,
    /// Who has not sent a beacon.
    waits: BTreeSet<Post>,
    until: Option<Duration>,
}

/// A session that is on its way here.
#[derive(Debug)]
pub(super) struct Awaited {
    /// From there; `None` where nobody has it.
    from: Option<Post>,
    until: Option<Duration>,
    held: Vec<Frame>,
    overrun: bool,
}

/// A member goes from one server to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moves {
    seat: Seat,
    from: Post,
    to: Post,
}

impl Awaited {
    pub(super) fn new(moves: Option<&Moves>) -> Self {
        Self { from: moves.map(|moves| moves.from), until: None, held: Vec::new(), overrun: false }
    }

    pub(super) fn hold(&mut self, frame: Frame) {
        self.overrun |= self.held.len() >= HELD;
        if !self.overrun {
            self.held.push(frame);
        }
    }
}

impl<L> Moving<L> {
    /// The way that it has here until its session has gone.
    pub(super) fn local(&self) -> Option<&L> {
        self.local.as_ref().map(|local| &local.handle)
    }

    /// The way that it had here.
    pub(super) fn into_local(self) -> Option<Local<L>> {
        self.local
    }

    /// A frame that was on its way before everybody knew.
    pub(super) fn take<C>(&mut self, seat: Seat, frame: &Frame, emit: Emit<'_, L, C>) {
        match &mut self.local {
            Some(Local { awaits: Some(awaited), .. }) => awaited.hold(frame.clone()),
            Some(Local { handle: to, .. }) => emit(Output::Effect(Effect::Send { seat, to, frame: frame.clone() })),
            None => {}
        }
    }
}

impl<L, C> Share<L, C> {
    /// The session of a member that has moved, as [`Output::Ship`] asked for it; `None` where it cannot go on.
    pub fn ship(&mut self, now: Duration, seat: Seat, to: Post, session: Option<Bytes>, emit: Emit<'_, L, C>) {
        self.shipping.remove(&seat);
        self.send_session(now, to, seat, session, emit);
        self.go_on(now, emit);
    }

    /// Whether the entry that is to be carried out next moves somebody.
    pub(super) fn moves(&self, entry: &Entry) -> Option<Moves> {
        let Body::Act { post: to, act: Act::Move { seat }, .. } = &entry.body else { return None };
        let from = self.replica.as_ref()?.room().way_from(*seat).ok()?.home?;
        (from != *to).then_some(Moves { seat: *seat, from, to: *to })
    }

    /// That entry has been carried out.
    pub(super) fn moved(&mut self, now: Duration, moves: &Moves, emit: Emit<'_, L, C>) {
        let (Moves { seat, from, to }, Some(replica)) = (*moves, &self.replica) else { return };
        if from != self.own {
            return;
        }
        let (since, mut waits) = (replica.mark(), replica.talkers());
        waits.remove(&self.own);
        for post in &waits {
            self.send(now, *post, Content::Gone(seat, since.number), emit);
        }
        let local = self.locals.remove(&seat);
        self.moving.insert(seat, Moving { to, since, local, waits, until: None });
    }

    /// Who comes from elsewhere comes to where its session is all the time: from the old way to the new one.
    pub(super) fn move_home(&mut self, seat: Seat, old: Local<L>) {
        if let Some(awaited) = self.locals.get_mut(&seat).and_then(|local| local.awaits.as_mut()) {
            awaited.from = Some(self.own);
        }
        let (to, waits) = (self.own, BTreeSet::new());
        let Some(since) = self.replica.as_ref().map(Replica::mark) else { return };
        self.moving.insert(seat, Moving { to, since, local: Some(old), waits, until: None });
    }

    /// There is another copy of the room: who has not moved by it stays. Who has moved by it begins afresh: what was
    /// announced between this server's copy and the move is in no session.
    pub(super) fn settle_moves(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        let Some(replica) = &self.replica else { return };
        let home = |seat: &Seat| replica.room().way_from(*seat).ok().and_then(|way| way.home);
        let (own, mark) = (self.own, replica.mark());
        // Where the copy knows of the move, and of the way back, the session goes there and back: what is held there comes
        // along.
        let is_undone = |seat: &Seat, moving: &Moving<L>| {
            let is_known = moving.since.incarnation == mark.incarnation && moving.since <= mark;
            moving.to != own && home(seat) == Some(own) && !(is_known && self.locals.contains_key(seat))
        };
        let undone = self.moving.iter().filter(|(seat, moving)| is_undone(seat, moving));
        let stay: Vec<Seat> = undone.map(|(seat, _)| *seat).collect();
        let sessions = self.locals.iter().filter(|(_, local)| local.awaits.is_none()).map(|(seat, _)| seat);
        let go = sessions.filter_map(|seat| Some((*seat, home(seat).filter(|home| *home != own)?)));
        let go: Vec<(Seat, Post)> = go.collect();
        for seat in stay {
            let Some(local) = self.moving.remove(&seat).and_then(Moving::into_local) else { continue };
            let is_back = self.locals.contains_key(&seat);
            if is_back {
                // From the old way to the new one.
                self.move_home(seat, local);
            } else {
                self.locals.insert(seat, local);
            }
        }
        for (seat, to) in go {
            if let Some(local) = self.locals.remove(&seat) {
                local.close(CloseCode::Superseded, emit);
            }
            self.send(now, to, Content::Session(seat, None), emit);
        }
    }

    /// A member has gone from another server, and all that has come from there before is delivered.
    pub(super) fn answer(&mut self, now: Duration, from: Post, seat: Seat, entry: u64, emit: Emit<'_, L, C>) {
        self.send(now, from, Content::Beacon(seat, entry), emit);
    }

    /// Another server sends no more for a member that has gone from here.
    pub(super) fn beacon(&mut self, from: Post, seat: Seat, entry: u64) {
        if let Some(moving) = self.moving.get_mut(&seat).filter(|moving| moving.since.number == entry) {
            moving.waits.remove(&from);
        }
    }

    /// A session has come from there, or will not come. One that is not awaited from there is one of before: what was
    /// announced since is not in it.
    pub(super) fn arrived(&mut self, from: Option<Post>, seat: Seat, session: Option<Bytes>, emit: Emit<'_, L, C>) {
        let comes = |local: &Local<L>| local.awaits.as_ref().is_some_and(|awaited| awaited.from == from);
        // Who has gone on from here meanwhile was here first.
        let gone = self.moving.get_mut(&seat).and_then(|moving| moving.local.as_mut()).filter(|local| comes(local));
        let has_gone = gone.is_some();
        let here = gone.or_else(|| self.locals.get_mut(&seat).filter(|local| comes(local)));
        let Some(local) = here else { return };
        let Some(Awaited { held, overrun, .. }) = local.awaits.take() else { return };
        if let (Some(session), Some(replica)) = (session.filter(|_| !overrun), &self.replica) {
            let to = &local.handle;
            emit(Output::Adopt { seat, to, session, room: replica.room() });
            for frame in held {
                emit(Output::Effect(Effect::Send { seat, to, frame }));
            }
        } else if has_gone {
            if let Some(local) = self.moving.get_mut(&seat).and_then(|moving| moving.local.take()) {
                local.close(CloseCode::Superseded, emit);
            }
        } else {
            emit(Output::Afresh { seat });
        }
    }

    /// Ships what is complete, and gives up what does not come.
    pub(super) fn move_on(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        if self.moving.is_empty() && self.locals.values().all(|local| local.awaits.is_none()) {
            return;
        }
        let talkers = self.replica.as_ref().map(Replica::talkers).unwrap_or_default();
        for (seat, mut moving) in mem::take(&mut self.moving) {
            // What it has said here must have been answered here.
            let says = self.pending.iter().any(|pending| pending.act.seat() == Some(seat) && pending.handle.is_none());
            let awaits = moving.local.as_ref().is_some_and(|local| local.awaits.is_some());
            let is_complete = !says && !awaits && moving.waits.is_disjoint(&talkers);
            if !is_complete && *moving.until.get_or_insert(now + MOVE_WITHIN) > now {
                self.moving.insert(seat, moving);
                continue;
            }
            match moving.local {
                Some(Local { handle, .. }) if is_complete => {
                    self.shipping.insert(seat);
                    emit(Output::Ship { seat, to: moving.to, handle });
                }
                local => {
                    if let Some(local) = local {
                        local.close(CloseCode::Superseded, emit);
                    }
                    self.send_session(now, moving.to, seat, None, emit);
                }
            }
        }
        let mut given_up = Vec::new();
        for (seat, local) in &mut self.locals {
            let Some(awaited) = &mut local.awaits else { continue };
            let until = *awaited.until.get_or_insert(now + 2 * MOVE_WITHIN);
            if until <= now || awaited.from.is_none_or(|from| !talkers.contains(&from)) {
                given_up.push((*seat, awaited.from));
            }
        }
        for (seat, from) in given_up {
            self.arrived(from, seat, None, emit);
        }
    }

    fn send_session(&mut self, now: Duration, to: Post, seat: Seat, session: Option<Bytes>, emit: Emit<'_, L, C>) {
        if to == self.own {
            self.arrived(Some(to), seat, session, emit);
        } else {
            self.send(now, to, Content::Session(seat, session), emit);
        }
    }

    fn send(&mut self, now: Duration, to: Post, content: Content, emit: Emit<'_, L, C>) {
        let Some(replica) = &self.replica else { return };
        let (own, at) = (self.own, replica.mark());
        let link = self.links.entry(to).or_insert_with(|| Link::new(own, to));
        let packet = link.send(now, Parcel { at, content });
        emit(Output::Tell(to.server, Direct::Link(packet).encode()));
    }
}
