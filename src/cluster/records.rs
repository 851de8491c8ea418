//! In-memory implementation of what `bus` promises, for [`Local`](super::local::Local) and for simulations. The Redis
//! scripts do the same.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::bus::{Answer, LOG_BYTES, LOG_ENTRIES, RECORD_LASTS, Request};
use super::wire::{Body, Entry, Incarnation, News, Post, ServerId, to_bytes};
use crate::protocol::RoomName;

/// Receives the published entries: to which server, of which record, and the entry.
pub type Publish<'a> = &'a mut dyn FnMut(ServerId, Incarnation, Entry);

/// Records of all rooms, and leases of all servers.
#[derive(Debug)]
pub struct Records {
    rooms: HashMap<RoomName, Record>,
    leases: BTreeMap<ServerId, Duration>,
    limits: Limits,
}

/// Limits of the stored data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Maximum number of entries in a room's log.
    pub entries: usize,
    /// Maximum size of these entries as JSON, in bytes. The latest entry is always kept.
    pub bytes: usize,
    /// Time after which a record without requests expires.
    pub lasts: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: LOG_ENTRIES, bytes: LOG_BYTES, lasts: RECORD_LASTS }
    }
}

#[derive(Debug)]
struct Record {
    incarnation: Incarnation,
    posts: Vec<Post>,
    number: u64,
    time: Duration,
    log: VecDeque<Entry>,
    log_bytes: usize,
    /// Time at which the record expires.
    until: Duration,
}

impl Records {
    /// Creates an empty store.
    pub fn new(limits: Limits) -> Self {
        Self { rooms: HashMap::new(), leases: BTreeMap::new(), limits }
    }

    /// Sets the limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Deletes all data, like a restart of a store without persistence.
    pub fn forget(&mut self) {
        self.rooms.clear();
        self.leases.clear();
    }

    /// Returns the nodes attached to a room, in order of attaching, or none if there is no record.
    pub fn posts(&self, room: &RoomName) -> &[Post] {
        self.rooms.get(room).map_or(&[], |record| &record.posts)
    }

    /// Renews the lease of a server. Returns whether it had not expired.
    pub fn renew(&mut self, now: Duration, server: ServerId, lease: Duration) -> bool {
        self.leases.retain(|_, until| *until > now);
        self.leases.insert(server, now + lease).is_some()
    }

    /// Returns which of these servers have a lease.
    pub fn living(&self, now: Duration, servers: impl IntoIterator<Item = ServerId>) -> Vec<ServerId> {
        let lives = |server: &ServerId| self.leases.get(server).is_some_and(|until| *until > now);
        servers.into_iter().filter(lives).collect()
    }

    /// Carries out a request about a room.
    pub fn ask(&mut self, now: Duration, room: &RoomName, request: Request, publish: Publish<'_>) -> Answer {
        if self.rooms.get(room).is_some_and(|record| record.until <= now) {
            self.rooms.remove(room);
        }
        let (post, of) = match &request {
            Request::Attach { post, after } => return self.attach(now, room, *post, *after, publish),
            Request::Detach { post, incarnation }
            | Request::Evict { post, incarnation, .. }
            | Request::Found { post, incarnation }
            | Request::Append { post, incarnation, .. }
            | Request::Fetch { post, incarnation, .. } => (*post, *incarnation),
        };
        let Some(record) = self.rooms.get_mut(room).filter(|record| record.incarnation == of) else {
            return Answer::Unknown;
        };
        if !record.posts.contains(&post) {
            return Answer::NotAttached;
        }
        record.until = now + self.limits.lasts;
        let keep = self.limits;
        match request {
            Request::Detach { .. } => record.remove(now, keep, post, News::Detached(post), publish),
            Request::Evict { victim, .. } => record.remove(now, keep, victim, News::Evicted(victim), publish),
            Request::Found { .. } => {
                let body = Body::Posts { posts: record.posts.clone(), news: News::Founded };
                record.append(now, keep, body, publish);
            }
            Request::Append { acts, .. } => {
                for (own, act) in acts {
                    record.append(now, keep, Body::Act { post, own, act }, publish);
                }
            }
            Request::Fetch { after, .. } => {
                let there = record.log.front().map_or(record.number + 1, |entry| entry.number) <= after + 1;
                let entries = record.log.iter().filter(|entry| entry.number > after).cloned();
                return Answer::Entries { number: record.number, entries: there.then(|| entries.collect()) };
            }
            Request::Attach { .. } => {}
        }
        let number = record.number;
        if record.posts.is_empty() {
            self.rooms.remove(room);
        }
        Answer::Done { number }
    }

    fn attach(
        &mut self,
        now: Duration,
        room: &RoomName,
        post: Post,
        after: Option<Incarnation>,
        publish: Publish<'_>,
    ) -> Answer {
        let until = now + self.limits.lasts;
        let record = self.rooms.entry(room.clone()).or_insert_with(|| {
            let born = (now.as_millis() as u64).max(after.map_or(0, |after| after.born.saturating_add(1)));
            let incarnation = Incarnation { born, founder: post };
            Record { incarnation, posts: Vec::new(), number: 0, time: now, log: VecDeque::new(), log_bytes: 0, until }
        });
        if !record.posts.contains(&post) {
            if after == Some(record.incarnation) {
                return Answer::NotAttached;
            }
            record.posts.push(post);
            let body = Body::Posts { posts: record.posts.clone(), news: News::Attached(post) };
            record.append(now, self.limits, body, publish);
        }
        record.until = until;
        let others = record.posts.iter().copied().filter(|other| *other != post).collect();
        Answer::Attached { incarnation: record.incarnation, number: record.number, time: record.time, others }
    }
}

impl Record {
    fn remove(&mut self, now: Duration, keep: Limits, post: Post, news: News, publish: Publish<'_>) {
        let before = self.posts.len();
        self.posts.retain(|other| *other != post);
        if self.posts.len() < before {
            let entry = self.append(now, keep, Body::Posts { posts: self.posts.clone(), news }, publish);
            // The removed node gets the entry, too.
            publish(post.server, self.incarnation, entry);
        }
    }

    fn append(&mut self, now: Duration, keep: Limits, body: Body, publish: Publish<'_>) -> Entry {
        self.number += 1;
        self.time = self.time.max(now);
        let entry = Entry { number: self.number, time: self.time, body };
        for post in &self.posts {
            publish(post.server, self.incarnation, entry.clone());
        }
        self.log.push_back(entry.clone());
        self.log_bytes += to_bytes(&entry).len();
        while self.log.len() > keep.entries || (self.log_bytes > keep.bytes && self.log.len() > 1) {
            let Some(oldest) = self.log.pop_front() else { break };
            self.log_bytes -= to_bytes(&oldest).len();
        }
        entry
    }
}
