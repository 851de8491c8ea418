//! Getting a replica of the room, and following its log.

use std::time::Duration;

use bytes::Bytes;

use super::locals::Local;
use super::moving::{Awaited, Moves};
use super::output::carry_out;
use super::telling::Happenings;
use super::{Emit, Output, Pending, Share, Stage};
use crate::cluster::link::Link;
use crate::cluster::replica::{Applied, Replica};
use crate::cluster::wire::{Body, Direct, Entry, Mark, News};
use crate::core::{Act, Comeback, Seat};
use crate::protocol::{CloseCode, LeaveReason};

/// Interval at which a replica is requested until it arrives.
const WANT_AGAIN: Duration = Duration::from_millis(300);

impl<L, C> Share<L, C> {
    /// Takes a message of another server about this room. The error says why it could not be decoded; nothing was done
    /// then.
    pub fn told(&mut self, now: Duration, bytes: &Bytes, emit: Emit<'_, L, C>) -> Result<(), String> {
        match Direct::decode(bytes)? {
            Direct::Want { post, mark } if Some(mark.incarnation) == self.incarnation => {
                self.know(now, mark.number);
                match &self.stage {
                    Stage::Catching { .. } => {
                        let direct = Direct::NoReplica { post: self.own, incarnation: mark.incarnation };
                        emit(Output::Tell(post.server, direct.encode()));
                    }
                    Stage::In => {
                        self.wanting.retain(|(other, _)| *other != post);
                        self.wanting.push((post, mark.number));
                    }
                    Stage::Outside | Stage::Over => {}
                }
            }
            Direct::NoReplica { post, incarnation } if Some(incarnation) == self.incarnation => {
                if let Stage::Catching { without, .. } = &mut self.stage {
                    without.insert(post);
                }
            }
            Direct::Replica(replica) => {
                let fits = Some(replica.mark().incarnation) == self.incarnation && replica.posts().contains(&self.own);
                if fits && matches!(self.stage, Stage::Catching { .. }) {
                    self.adopt(now, *replica, emit);
                }
            }
            // From an evicted server that does not know it yet: it must not speak for members that are gone.
            Direct::Link(packet) if self.removed.contains(&packet.from) => {}
            Direct::Link(packet) if packet.to == self.own && !self.is_over() => {
                let (own, other) = (self.own, packet.from);
                let link = self.links.entry(other).or_insert_with(|| Link::new(own, other));
                link.receive(now, packet, &mut |packet| {
                    emit(Output::Tell(other.server, Direct::Link(packet).encode()));
                });
            }
            // For another record, or for an earlier node of this server.
            Direct::Want { .. } | Direct::NoReplica { .. } | Direct::Link(_) => {}
        }
        self.go_on(now, emit);
        Ok(())
    }

    /// Requests a replica from the other servers, one after the other.
    pub(super) fn want(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        let (post, Some(incarnation)) = (self.own, self.incarnation) else { return };
        let Stage::Catching { others, asked, ask_at, .. } = &mut self.stage else { return };
        if *ask_at > now || !self.connected || others.is_empty() {
            return;
        }
        let other = others[*asked % others.len()];
        *asked += 1;
        *ask_at = now + WANT_AGAIN;
        let want = Direct::Want { post, mark: Mark { incarnation, number: self.floor } };
        emit(Output::Tell(other.server, want.encode()));
    }

    /// Becomes the first node in the room's record.
    pub(super) fn found(&mut self, mark: Mark, time: Duration, emit: Emit<'_, L, C>) {
        let own = self.own;
        let Some(replica) = &mut self.replica else {
            self.replica = Some(Replica::new(mark, time, vec![own], self.new_room()));
            return;
        };
        let (locals, wakes) = (&mut self.locals, &mut self.wakes);
        // The commands that the store had before are not applied any more.
        self.appended = 0;
        replica.refound(mark, time, own, &mut |effect| carry_out(own, None, locals, wakes, effect, emit));
    }

    /// Applies all entries whose turn has come, and sends the replica to servers that have requested it.
    pub(super) fn follow(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        if matches!(self.stage, Stage::Catching { .. }) && self.is_whole() {
            self.stage = Stage::In;
        }
        while matches!(self.stage, Stage::In | Stage::Catching { .. })
            && let Some(entry) = self.next_entry()
        {
            self.apply(now, entry, emit);
        }
        self.note_position();
        let Some(replica) = self.replica.as_ref().filter(|_| matches!(self.stage, Stage::In)) else { return };
        self.wanting.retain(|(post, number)| {
            let is_due = replica.mark().number >= *number;
            if is_due && replica.posts().contains(post) {
                emit(Output::Tell(post.server, Direct::Replica(Box::new(replica.clone())).encode()));
            }
            !is_due
        });
    }

    /// Returns whether no entry is missing after all, because those that the log has dropped have arrived.
    fn is_whole(&self) -> bool {
        let mark = self.replica.as_ref().map(Replica::mark);
        mark.is_some_and(|mark| {
            let mut missing = mark.number + 1..=self.known;
            Some(mark.incarnation) == self.incarnation && missing.all(|number| self.ahead.contains_key(&number))
        })
    }

    /// Returns the entry to apply next, if it has arrived.
    fn next_entry(&mut self) -> Option<Entry> {
        if let (Stage::In, Some(replica)) = (&self.stage, &self.replica) {
            let next = replica.mark().number + 1;
            self.ahead = self.ahead.split_off(&next);
            return self.ahead.remove(&next);
        }
        // Whatever the room was before: it is empty from this entry on.
        let is_founding = |entry: &Entry| matches!(entry.body, Body::Posts { news: News::Founded, .. });
        let number = self.ahead.values().rev().find(|entry| entry.number > self.floor && is_founding(entry))?.number;
        self.ahead = self.ahead.split_off(&number);
        self.ahead.remove(&number)
    }

    fn apply(&mut self, now: Duration, entry: Entry, emit: Emit<'_, L, C>) {
        let (own, number, time) = (self.own, entry.number, entry.time);
        if matches!(self.stage, Stage::Catching { .. }) {
            let (Body::Posts { posts, .. }, Some(incarnation)) = (entry.body, self.incarnation) else { return };
            self.close_all(emit);
            let mark = Mark { incarnation, number };
            self.replica = Some(Replica::new(mark, entry.time, posts, self.new_room()));
            self.wakes.clear();
            self.stage = Stage::In;
            // The commands that the store had before are not applied any more.
            self.appended = 0;
            return;
        }
        let Some(replica) = &mut self.replica else { return };
        let mine = match &entry.body {
            Body::Act { post, own: act, .. } if *post == own && *act > replica.own(own) => Some(*act),
            _ => None,
        };
        let pending = mine.and_then(|own| take_pending(&mut self.pending, own));
        let is_tick = matches!(entry.body, Body::Act { act: Act::Tick, .. });
        let leaves = match entry.body {
            Body::Act { act: Act::Leave { seat, reason: LeaveReason::Left }, .. } => Some(seat),
            _ => None,
        };
        let seat = pending.as_ref().and_then(|pending| pending.act.seat());
        let moves = self.moves(&entry);
        let (context, joins) = self.before(pending, moves.as_ref());
        let Some(replica) = &mut self.replica else { return };
        let teller = replica.posts().first().copied();
        let (locals, wakes) = (&mut self.locals, &mut self.wakes);
        let mut happened = Happenings::in_room(replica.room());
        let applied = replica.apply(entry, &mut |effect| {
            carry_out(own, Some(&mut happened), locals, wakes, effect, emit);
        });
        let news = happened.into_news(replica.room(), time, Some(replica.mark()));
        let clock = replica.clock();
        self.tell_or_keep(teller == Some(own), news, emit);
        match applied {
            Applied::Act(_, _, result) => {
                if is_tick {
                    self.wakes = self.wakes.split_off(&(clock + Duration::from_nanos(1)));
                }
                if let (Ok(()), Some(moves)) = (&result, moves) {
                    self.moved(now, &moves, emit);
                }
                if let (Ok(()), Some(local)) = (&result, leaves.and_then(|seat| self.locals.remove(&seat))) {
                    // Closes the socket of a member that has left in another way.
                    local.close(CloseCode::Left, emit);
                }
                self.after(result, context, seat.filter(|_| joins), emit);
            }
            Applied::Repeated => {}
            Applied::Posts(news) => {
                if news == News::Founded {
                    self.appended = 0;
                    self.close_all(emit);
                }
                if let News::Detached(post) | News::Evicted(post) = news {
                    // A node never returns.
                    self.links.remove(&post);
                }
                if let News::Evicted(post) = news {
                    self.removed.insert(post);
                }
                // A server that detaches by itself has reported all events.
                let has_gone = matches!(news, News::Detached(post) if Some(post) == teller);
                self.tell_on(teller, has_gone, emit);
                self.posts_changed(emit);
            }
        }
    }

    /// Applies the waiting commands while no other server is attached.
    pub(super) fn act_alone(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        let own = self.own;
        while let Some(pending) = self.pending.pop_front() {
            let (number, act, seat) = (pending.own, pending.act.clone(), pending.act.seat());
            let is_tick = act == Act::Tick;
            let (context, joins) = self.before(Some(pending), None);
            let Some(replica) = &mut self.replica else { return };
            let (locals, wakes) = (&mut self.locals, &mut self.wakes);
            let mut happened = Happenings::in_room(replica.room());
            let result = replica.act(now, own, number, act, &mut |effect| {
                carry_out(own, Some(&mut happened), locals, wakes, effect, emit);
            });
            if is_tick {
                self.wakes = self.wakes.split_off(&(replica.clock() + Duration::from_nanos(1)));
            }
            let news = happened.into_news(replica.room(), now, None);
            self.tell_or_keep(true, news, emit);
            if let Some(result) = result {
                self.after(result, context, seat.filter(|_| joins), emit);
            }
        }
    }

    /// Prepares a command of this server before it is applied: a member that enters has to be reachable then.
    fn before(&mut self, pending: Option<Pending<L, C>>, moves: Option<&Moves>) -> (Option<C>, bool) {
        let Some(pending) = pending else { return (None, false) };
        // Also members that move here: their command has a handle.
        let joins = pending.handle.is_some();
        if !joins && pending.act != Act::Tick {
            self.retain(&pending);
        }
        if let (true, Some(seat), Some(handle)) = (joins, pending.act.seat(), pending.handle) {
            let awaits = matches!(pending.act, Act::Move { .. }).then(|| Awaited::new(moves));
            let newcomer = self.newcomer(seat, handle, awaits);
            if let Some(old) = self.locals.insert(seat, newcomer) {
                self.move_home(seat, old);
            }
        }
        (pending.context, joins)
    }

    fn after(
        &mut self,
        result: Result<(), crate::core::Refusal>,
        context: Option<C>,
        joined: Option<Seat>,
        emit: Emit<'_, L, C>,
    ) {
        if let (Err(_), Some(seat)) = (&result, joined) {
            // The answer tells the client, and there is no connection to close.
            self.locals.remove(&seat);
        }
        self.forget_strangers(emit);
        if let Some(context) = context {
            emit(Output::Answer(context, result));
        }
    }

    /// Removes the local members that the room does not know any more. Those with a socket are closed and reconnect.
    fn forget_strangers(&mut self, emit: Emit<'_, L, C>) {
        let (own, Some(replica)) = (self.own, &self.replica) else { return };
        let is_here = |seat: &Seat| match replica.room().way_from(*seat) {
            Ok(way) => way.home == Some(own),
            Err(_) => replica.room().has(*seat),
        };
        if self.locals.keys().all(is_here) {
            return;
        }
        let (known, strangers) = std::mem::take(&mut self.locals).into_iter().partition(|(seat, _)| is_here(seat));
        self.locals = known;
        let strangers: std::collections::BTreeMap<Seat, Local<L>> = strangers;
        for local in strangers.into_values() {
            local.close(CloseCode::GoingAway, emit);
        }
    }

    /// Ends the share if this server is no longer among the attached nodes.
    fn posts_changed(&mut self, emit: Emit<'_, L, C>) {
        let Some(replica) = &self.replica else { return };
        if !replica.posts().contains(&self.own) {
            self.end(emit);
        }
    }

    /// Takes over the replica of another server.
    fn adopt(&mut self, now: Duration, replica: Replica, emit: Emit<'_, L, C>) {
        let (own, done) = (self.own, replica.own(self.own));
        replica.ended().all().for_each(|(stay, code)| emit(Output::Dismissed(stay, code)));
        self.stage = Stage::In;
        // If the room has started again meanwhile, commands that were ordered before are not applied any more. A
        // command that is thus ordered twice is applied once.
        self.appended = self.appended.min(done);
        self.wakes = replica.room().wakes().collect();
        // Commands of this server that the replica does not contain are submitted again.
        let again = self
            .retained
            .iter()
            .filter(|(own, act)| *own > done && act.seat().is_none_or(|seat| replica.room().has(seat)));
        let again: Vec<_> = again.map(|(own, act)| (*own, act.clone())).collect();
        for (own, act) in again.into_iter().rev() {
            self.pending.push_front(Pending { own, act, handle: None, context: None });
        }
        self.retained.clear();
        self.retained_bytes = 0;
        // Participants who were admitted from the lobby while this server could not see it have no `welcome` yet.
        let is_member = |replica: &Replica, seat: Seat| replica.room().seat_of(seat.id) == Some(seat);
        let waited = |seat: &Seat| self.replica.as_ref().is_some_and(|old| !is_member(old, *seat));
        let admitted = self.locals.keys().copied().filter(|seat| waited(seat) && is_member(&replica, *seat));
        let mut joined: Vec<(Seat, Comeback)> = admitted.map(|seat| (seat, Comeback::default())).collect();
        // Commands that the replica contains are done, although their result is not known here.
        while self.pending.front().is_some_and(|pending| pending.own <= done) {
            let Some(Pending { act, handle, .. }) = self.pending.pop_front() else { break };
            match (act, handle) {
                (Act::Join { seat, comeback, .. }, Some(handle)) => {
                    let newcomer = self.newcomer(seat, handle, None);
                    self.locals.insert(seat, newcomer);
                    joined.push((seat, comeback));
                }
                (Act::Move { seat }, Some(handle)) => {
                    let newcomer = self.newcomer(seat, handle, Some(Awaited::new(None)));
                    self.locals.insert(seat, newcomer);
                }
                _ => {}
            }
        }
        let teller = self.teller();
        self.replica = Some(replica);
        self.tell_on(teller, teller.is_none(), emit);
        self.settle_moves(now, emit);
        self.forget_strangers(emit);
        let Some(replica) = &self.replica else { return };
        let (locals, wakes) = (&mut self.locals, &mut self.wakes);
        for (seat, comeback) in &joined {
            replica.room().greet(*seat, *comeback, &mut |effect| carry_out(own, None, locals, wakes, effect, emit));
        }
        // The replica may have members here as disconnected because this server was cut off, although they have a
        // socket.
        let room = replica.room();
        let back: Vec<Seat> = self.locals.iter().filter(|(_, local)| local.connected).map(|(seat, _)| *seat).collect();
        let back: Vec<Seat> = back.into_iter().filter(|seat| room.is_lost(seat.id)).collect();
        for seat in back {
            self.acted += 1;
            self.pending.push_back(Pending { own: self.acted, act: Act::Return { seat }, handle: None, context: None });
        }
        self.show_all(emit);
        self.posts_changed(emit);
    }

    /// Sends the roster to every local member, because it has changed without announcements.
    fn show_all(&mut self, emit: Emit<'_, L, C>) {
        let Some(replica) = &self.replica else { return };
        let seats: Vec<Seat> = self.locals.keys().copied().collect();
        let (own, locals, wakes) = (self.own, &mut self.locals, &mut self.wakes);
        for seat in seats {
            replica.room().show(seat.id, &mut |effect| carry_out(own, None, locals, wakes, effect, emit));
        }
    }
}

/// Takes the pending command with this number. Those before it will not be ordered any more.
fn take_pending<L, C>(pending: &mut std::collections::VecDeque<Pending<L, C>>, own: u64) -> Option<Pending<L, C>> {
    while pending.front().is_some_and(|pending| pending.own < own) {
        pending.pop_front();
    }
    if pending.front().is_some_and(|pending| pending.own == own) { pending.pop_front() } else { None }
}
