//! Requests of a share to the store, and its answers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Emit, Output, Pending, Share, Stage};
use crate::cluster::bus::{Answer, BATCH, Request, Unavailable};
use crate::cluster::replica::Replica;
use crate::cluster::wire::{Body, Entry, Incarnation, Mark, News, Post, to_bytes};

/// Delay before a request without an answer is repeated.
const RETRY: Duration = Duration::from_millis(500);
/// Time to wait for a missing entry that others have followed, before it is requested: it may still arrive.
const PATIENCE: Duration = Duration::from_millis(100);
/// Interval at which a shared room's log is read, because the publication of its last entry may have been lost.
const REFRESH: Duration = Duration::from_secs(2);
/// The same for a room on one server, so that its record does not expire.
const REFRESH_ALONE: Duration = Duration::from_secs(30);
/// Maximum time to stay attached for unacknowledged payloads after everybody has left.
const LINGER: Duration = Duration::from_secs(5);
/// Applied commands of this server that are kept, in case the store loses its data.
const RETAINED: usize = 64;
/// Maximum size of these commands as JSON, in bytes. The latest one is always kept.
const RETAINED_BYTES: usize = 32 * 1024;

/// Request that the store has not answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flight {
    Attach,
    Detach,
    Evict(Post),
    Found,
    /// Commands up to this number.
    Append(u64),
    Fetch,
}

impl<L, C> Share<L, C> {
    /// Takes an answer of the store.
    pub fn answered(&mut self, now: Duration, answer: Result<Answer, Unavailable>, emit: Emit<'_, L, C>) {
        let Some(flight) = self.flight.take() else { return };
        match (flight, answer) {
            _ if self.is_over() => {}
            (_, Err(Unavailable)) => self.retry_at = now + RETRY,
            (_, Ok(Answer::NotAttached)) => self.is_out = true,
            (Flight::Detach, Ok(_)) => self.end(emit),
            (_, Ok(Answer::Unknown)) => self.stage = Stage::Outside,
            (_, Ok(Answer::Attached { incarnation, number, time, others })) => {
                self.attached(now, Mark { incarnation, number }, time, others, emit);
            }
            (_, Ok(Answer::Entries { number, entries })) => {
                self.refresh_at = now + if self.is_alone() { REFRESH_ALONE } else { REFRESH };
                self.know(now, number);
                match entries {
                    Some(entries) => entries.into_iter().for_each(|entry| self.put(now, entry)),
                    // The answer to attaching again tells which servers have the room.
                    None if matches!(self.stage, Stage::In) => self.stage = Stage::Outside,
                    None => self.floor = number,
                }
            }
            (flight, Ok(Answer::Done { number })) => {
                match flight {
                    Flight::Append(own) => self.appended = self.appended.max(own),
                    Flight::Evict(victim) => drop(self.victims.remove(&victim.server)),
                    _ => {}
                }
                self.know(now, number);
            }
        }
        self.go_on(now, emit);
    }

    /// Takes an entry of this room that the store has published.
    pub fn entry(&mut self, now: Duration, incarnation: Incarnation, entry: Entry, emit: Emit<'_, L, C>) {
        if matches!(self.stage, Stage::Outside) {
            // Requested again if it is missing later.
            if self.early.len() < BATCH {
                self.early.push((incarnation, entry));
            }
        } else if self.incarnation == Some(incarnation) {
            self.know(now, entry.number);
            self.put(now, entry);
            self.go_on(now, emit);
        }
    }

    /// Returns when the next request to the store is due, if there is any. The time may have passed.
    pub(super) fn ask_at(&self) -> Option<Duration> {
        if self.flight.is_some() || !self.connected {
            return None;
        }
        let lacking = self.lacking_since.map(|since| if self.ahead.is_empty() { since + PATIENCE } else { since });
        let lingered = self.deserted.map(|since| since + LINGER).filter(|_| matches!(self.stage, Stage::In));
        let at = match &self.stage {
            Stage::Outside => Duration::ZERO,
            Stage::Over => return None,
            _ => [lacking, lingered].into_iter().flatten().fold(self.refresh_at, Ord::min),
        };
        Some(at.max(self.held_until()))
    }

    /// Returns the time before which nothing is requested.
    fn held_until(&self) -> Duration {
        match (&self.stage, &self.replica) {
            // Attaching creates the room if the store has lost it. Servers with a replica are to attach first.
            (Stage::Outside, None) => self.retry_at.max(self.found_from),
            _ => self.retry_at,
        }
    }

    /// Sends the next request to the store.
    pub(super) fn pump(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        self.deserted = if self.is_deserted() { Some(self.deserted.unwrap_or(now)) } else { None };
        if self.flight.is_some() || !self.connected || self.held_until() > now {
            return;
        }
        let (post, stage) = (self.own, &self.stage);
        let (flight, request) = match (stage, self.incarnation) {
            (Stage::Over, _) => return,
            (Stage::Outside, after) => (Flight::Attach, Request::Attach { post, after }),
            (_, None) => return,
            (stage, Some(incarnation)) => {
                let is_in = matches!(stage, Stage::In);
                // While entries are missing, what these requests ask for may have happened already.
                let is_current = self.lacking_since.is_none();
                if self.ask_at().is_some_and(|at| at <= now) && self.lacking_since.is_some() {
                    (Flight::Fetch, Request::Fetch { post, incarnation, after: self.position() })
                } else if let Some(victim) = self.victim().filter(|_| is_current) {
                    (Flight::Evict(victim), Request::Evict { post, incarnation, victim })
                } else if is_current && self.nobody_knows() {
                    (Flight::Found, Request::Found { post, incarnation })
                } else if let Some((own, acts)) = is_in.then(|| self.batch()).flatten() {
                    (Flight::Append(own), Request::Append { post, incarnation, acts })
                } else if is_in && self.is_done(now) {
                    (Flight::Detach, Request::Detach { post, incarnation })
                } else if self.refresh_at <= now {
                    (Flight::Fetch, Request::Fetch { post, incarnation, after: self.position() })
                } else {
                    return;
                }
            }
        };
        if let Flight::Append(own) = flight {
            self.offered = self.offered.max(own);
        }
        self.flight = Some(flight);
        self.asked = true;
        emit(Output::Ask(request));
    }

    fn attached(&mut self, now: Duration, mark: Mark, time: Duration, others: Vec<Post>, emit: Emit<'_, L, C>) {
        if self.incarnation.replace(mark.incarnation) != Some(mark.incarnation) {
            self.ahead.clear();
            self.known = 0;
            // The store has lost the commands that it had, too.
            self.appended = 0;
        }
        (self.floor, self.lacking_since) = (mark.number, None);
        self.known = self.known.max(mark.number);
        self.refresh_at = now + REFRESH;
        self.wanting.clear();
        for (incarnation, entry) in std::mem::take(&mut self.early) {
            if incarnation == mark.incarnation && entry.number > mark.number {
                self.know(now, entry.number);
                self.put(now, entry);
            }
        }
        if others.is_empty() {
            self.stage = Stage::In;
            self.found(mark, time, emit);
        } else {
            self.stage = Stage::Catching { others, without: BTreeSet::new(), asked: 0, ask_at: now };
        }
    }

    /// Records that an entry with this number exists.
    pub(super) fn know(&mut self, now: Duration, number: u64) {
        self.known = self.known.max(number);
        if self.position() < self.known {
            self.lacking_since.get_or_insert(now);
        }
    }

    fn put(&mut self, now: Duration, entry: Entry) {
        // Also keeps entries before the position of a replica to come: they may complete the present one.
        let done = self.replica.as_ref().map(Replica::mark).filter(|mark| Some(mark.incarnation) == self.incarnation);
        if entry.number <= done.map_or(self.floor, |mark| mark.number) {
            return;
        }
        let is_news = entry.number > self.floor;
        // Noticed before the entry's turn: an evicted server must not create the room again if the store loses its data
        // now.
        self.is_out |= is_news && matches!(&entry.body, Body::Posts { posts, .. } if !posts.contains(&self.own));
        // The entry's turn may come much later, but which servers may have a replica matters now.
        if let (Stage::Catching { others, without, asked, ask_at }, Body::Posts { posts, news }) =
            (&mut self.stage, &entry.body)
            && is_news
        {
            *others = posts.iter().copied().filter(|post| *post != self.own).collect();
            without.clear();
            if *news != News::Attached(self.own) {
                (*asked, *ask_at) = (0, now);
            }
        }
        self.ahead.insert(entry.number, entry);
    }

    /// Returns the number of the last entry up to which nothing has to be requested.
    fn position(&self) -> u64 {
        match (&self.stage, &self.replica) {
            (Stage::In, Some(replica)) => replica.mark().number,
            _ => {
                let mut number = self.floor;
                while self.ahead.contains_key(&(number + 1)) {
                    number += 1;
                }
                number
            }
        }
    }

    pub(super) fn note_position(&mut self) {
        if self.position() >= self.known {
            self.lacking_since = None;
        }
    }

    fn victim(&self) -> Option<Post> {
        let posts = match &self.stage {
            Stage::Catching { others, .. } => others,
            _ => self.replica.as_ref().map(Replica::posts).unwrap_or_default(),
        };
        let is_in = matches!(self.stage, Stage::In);
        let is_out = |post: &Post| self.victims.contains(&post.server) || (is_in && self.removed.contains(post));
        posts.iter().copied().find(|post| *post != self.own && is_out(post))
    }

    fn nobody_knows(&self) -> bool {
        let Stage::Catching { others, without, .. } = &self.stage else { return false };
        others.iter().all(|post| without.contains(post))
    }

    /// Returns commands that the store does not have, and the number of the last one.
    fn batch(&self) -> Option<(u64, Vec<(u64, crate::core::Act)>)> {
        let behind = self.pending.iter().filter(|pending| pending.own > self.appended && !self.has_hung_up(pending));
        let acts: Vec<_> = behind.take(BATCH).map(|pending| (pending.own, pending.act.clone())).collect();
        acts.last().map(|(own, _)| *own).zip(Some(acts))
    }

    fn is_deserted(&self) -> bool {
        let moves = !self.moving.is_empty() || !self.shipping.is_empty();
        self.locals.is_empty() && !moves && self.pending.is_empty() && !self.keeps_empty_room()
    }

    /// Returns whether this server keeps the empty room during its grace period (R111). The first of the servers that
    /// have the room does.
    fn keeps_empty_room(&self) -> bool {
        let keeps = |replica: &Replica| {
            let room = replica.room();
            room.is_empty() && !room.is_over() && replica.posts().first() == Some(&self.own)
        };
        !self.is_draining && self.replica.as_ref().is_some_and(keeps)
    }

    /// Returns whether there is no reason left to stay attached.
    fn is_done(&self, now: Duration) -> bool {
        self.deserted.is_some_and(|since| !self.lingers() || since + LINGER <= now)
    }

    /// Returns whether payloads for an attached server are unacknowledged.
    pub(super) fn lingers(&self) -> bool {
        let posts = self.replica.as_ref().map(Replica::posts).unwrap_or_default();
        self.links.iter().any(|(post, link)| posts.contains(post) && !link.is_idle())
    }

    /// Keeps a command that was applied.
    pub(super) fn retain(&mut self, pending: &Pending<L, C>) {
        self.retained_bytes += to_bytes(&pending.act).len();
        self.retained.push_back((pending.own, pending.act.clone()));
        while self.retained.len() > RETAINED || (self.retained_bytes > RETAINED_BYTES && self.retained.len() > 1) {
            let Some((_, oldest)) = self.retained.pop_front() else { break };
            self.retained_bytes -= to_bytes(&oldest).len();
        }
    }
}
