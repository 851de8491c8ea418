//! Moving a member to another server (R53). Its session goes there, with the messages that wait in it, and no message
//! for the member is lost, duplicated or overtaken.
//!
//! [`Act::Move`] by another server than the one with the session is the turning point: from this entry on, all servers
//! send to the new one. The old server then asks each other server for a flush marker (beacon), behind what it has sent
//! there on behalf of the member. Each server answers behind what it has sent to the member. When the old server has
//! all flush markers, nothing from before is under way in either direction, and it sends the session. Until that
//! arrives, the new server holds frames for the member. The client has no answer yet and sends nothing.

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

/// Maximum number of frames held for a member whose session has not arrived.
pub const HELD: usize = 1024;
/// Maximum size of these frames in bytes: the default capacity of a member's send queue.
pub const HELD_BYTES: usize = 1024 * 1024;
/// Time after which a session is not resumed because a server has not answered.
const MOVE_WITHIN: Duration = Duration::from_secs(5);

/// A member that has moved to another server.
#[derive(Debug)]
pub(super) struct Moving<L> {
    to: Post,
    /// Position of the entry by which it has moved.
    pub(super) since: Mark,
    local: Option<Local<L>>,
    /// Nodes whose flush marker is missing.
    waits: BTreeSet<Post>,
    until: Option<Duration>,
}

/// A session on its way here.
#[derive(Debug)]
pub(super) struct Awaited {
    /// Node that sends it; `None` if no node has it.
    from: Option<Post>,
    until: Option<Duration>,
    held: Vec<Frame>,
    held_bytes: usize,
    overrun: bool,
}

/// Move of a member from one server to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moves {
    seat: Seat,
    from: Post,
    to: Post,
}

impl Awaited {
    pub(super) fn new(moves: Option<&Moves>) -> Self {
        Self { from: moves.map(|moves| moves.from), until: None, held: Vec::new(), held_bytes: 0, overrun: false }
    }

    pub(super) fn hold(&mut self, frame: Frame) {
        self.held_bytes += frame.cost();
        self.overrun |= self.held.len() >= HELD || self.held_bytes > HELD_BYTES;
        if self.overrun {
            // Without this frame the session does not go on, and needs none of the others.
            self.held = Vec::new();
        } else {
            self.held.push(frame);
        }
    }
}

impl<L> Moving<L> {
    /// Returns the handle that the member has here until its session is sent.
    pub(super) fn local(&self) -> Option<&L> {
        self.local.as_ref().map(|local| &local.handle)
    }

    /// Returns what the member had here.
    pub(super) fn into_local(self) -> Option<Local<L>> {
        self.local
    }

    /// Takes a frame that was sent before the sender knew of the move.
    pub(super) fn take<C>(&mut self, seat: Seat, frame: &Frame, emit: Emit<'_, L, C>) {
        match &mut self.local {
            Some(Local { awaits: Some(awaited), .. }) => awaited.hold(frame.clone()),
            Some(Local { handle: to, .. }) => emit(Output::Effect(Effect::Send { seat, to, frame: frame.clone() })),
            None => {}
        }
    }
}

impl<L, C> Share<L, C> {
    /// Sends the session of a member that has moved, as requested by [`Output::Ship`]; `None` if it cannot be resumed.
    pub fn ship(&mut self, now: Duration, seat: Seat, to: Post, session: Option<Bytes>, emit: Emit<'_, L, C>) {
        self.shipping.remove(&seat);
        self.send_session(now, to, seat, session, emit);
        self.go_on(now, emit);
    }

    /// Returns the move by an entry that is to be applied next, if it moves a member.
    pub(super) fn moves(&self, entry: &Entry) -> Option<Moves> {
        let Body::Act { post: to, act: Act::Move { seat }, .. } = &entry.body else { return None };
        let from = self.replica.as_ref()?.room().way_from(*seat).ok()?.home?;
        (from != *to).then_some(Moves { seat: *seat, from, to: *to })
    }

    /// Starts the move of a member from here, after its entry was applied.
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

    /// Moves a session from the old handle to the new one on this server. The member asked for a move here, but its
    /// session has been here all the time.
    pub(super) fn move_home(&mut self, seat: Seat, old: Local<L>) {
        if let Some(awaited) = self.locals.get_mut(&seat).and_then(|local| local.awaits.as_mut()) {
            awaited.from = Some(self.own);
        }
        let (to, waits) = (self.own, BTreeSet::new());
        let Some(since) = self.replica.as_ref().map(Replica::mark) else { return };
        self.moving.insert(seat, Moving { to, since, local: Some(old), waits, until: None });
    }

    /// Adapts the moves to another replica of the room. Members that have not moved by it stay. Members that have moved
    /// by it begin a new session, because no session contains what was announced between this server's replica and the
    /// move.
    pub(super) fn settle_moves(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        let Some(replica) = &self.replica else { return };
        let home = |seat: &Seat| replica.room().way_from(*seat).ok().and_then(|way| way.home);
        let (own, mark) = (self.own, replica.mark());
        // If the replica contains the move away and the move back, the session goes there and back, and brings along
        // the frames that are held there.
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
                // From the old handle to the new one.
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

    /// Answers that a member has moved away from another server, once everything that had come from there is delivered.
    pub(super) fn answer(&mut self, now: Duration, from: Post, seat: Seat, entry: u64, emit: Emit<'_, L, C>) {
        self.send(now, from, Content::Beacon(seat, entry), emit);
    }

    /// Takes a flush marker: another server sends nothing more for a member that has moved away from here.
    pub(super) fn beacon(&mut self, from: Post, seat: Seat, entry: u64) {
        if let Some(moving) = self.moving.get_mut(&seat).filter(|moving| moving.since.number == entry) {
            moving.waits.remove(&from);
        }
    }

    /// Takes a session from this node, or its absence. A session that is not expected from there is outdated: it lacks
    /// what was announced since.
    pub(super) fn arrived(&mut self, from: Option<Post>, seat: Seat, session: Option<Bytes>, emit: Emit<'_, L, C>) {
        let comes = |local: &Local<L>| local.awaits.as_ref().is_some_and(|awaited| awaited.from == from);
        // If the member has moved on meanwhile, the session is for its older entry, in `moving`.
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

    /// Sends the sessions that are complete, and gives up those that do not arrive.
    pub(super) fn move_on(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        if self.moving.is_empty() && self.locals.values().all(|local| local.awaits.is_none()) {
            return;
        }
        let talkers = self.replica.as_ref().map(Replica::talkers).unwrap_or_default();
        for (seat, mut moving) in mem::take(&mut self.moving) {
            // Commands that the member has sent here have to be answered here.
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
