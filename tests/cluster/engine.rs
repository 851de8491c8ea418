//! An engine in memory: does what `bus` promises, for one room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use roundtable::cluster::bus::{Answer, Request};
use roundtable::cluster::wire::{Body, Entry, Incarnation, News};
use roundtable::cluster::{Post, ServerId};

#[derive(Default)]
pub struct Engine {
    pub record: Option<Record>,
    pub leases: BTreeMap<ServerId, Duration>,
    /// How many entries are kept.
    pub log_entries: usize,
}

pub struct Record {
    incarnation: Incarnation,
    pub posts: Vec<Post>,
    number: u64,
    time: Duration,
    log: VecDeque<Entry>,
}

pub type Published = (ServerId, Incarnation, Entry);

impl Engine {
    /// Forgets everything, as one without persistence does when it is begun anew.
    pub fn restart(&mut self) {
        (self.record, self.leases) = (None, BTreeMap::new());
    }

    /// Whether the lease was still there.
    pub fn renew(&mut self, now: Duration, server: ServerId, lease: Duration) -> bool {
        self.leases.insert(server, now + lease).is_some_and(|until| until > now)
    }

    pub fn living(&self, now: Duration) -> BTreeSet<ServerId> {
        self.leases.iter().filter(|(_, until)| **until > now).map(|(server, _)| *server).collect()
    }

    pub fn ask(&mut self, now: Duration, request: Request, publish: &mut Vec<Published>) -> Answer {
        if let Request::Attach { post, after } = request {
            return self.attach(now, post, after, publish);
        }
        let (post, of) = match &request {
            Request::Detach { post, incarnation }
            | Request::Evict { post, incarnation, .. }
            | Request::Found { post, incarnation }
            | Request::Append { post, incarnation, .. }
            | Request::Fetch { post, incarnation, .. } => (*post, *incarnation),
            Request::Attach { .. } => unreachable!(),
        };
        let Some(record) = self.record.as_mut().filter(|record| record.incarnation == of) else {
            return Answer::Unknown;
        };
        if !record.posts.contains(&post) {
            return Answer::NotAttached;
        }
        match request {
            Request::Detach { .. } => record.remove(now, self.log_entries, post, News::Detached(post), publish),
            Request::Evict { victim, .. } => {
                record.remove(now, self.log_entries, victim, News::Evicted(victim), publish)
            }
            Request::Found { .. } => {
                let body = Body::Posts { posts: record.posts.clone(), news: News::Founded };
                record.append(now, self.log_entries, body, publish);
            }
            Request::Append { acts, .. } => {
                for (own, act) in acts {
                    record.append(now, self.log_entries, Body::Act { post, own, act }, publish);
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
            self.record = None;
        }
        Answer::Done { number }
    }

    fn attach(
        &mut self,
        now: Duration,
        post: Post,
        after: Option<Incarnation>,
        publish: &mut Vec<Published>,
    ) -> Answer {
        let record = self.record.get_or_insert_with(|| {
            let born = (now.as_millis() as u64).max(after.map_or(0, |after| after.born + 1));
            let incarnation = Incarnation { born, founder: post };
            Record { incarnation, posts: Vec::new(), number: 0, time: now, log: VecDeque::new() }
        });
        if !record.posts.contains(&post) {
            if after == Some(record.incarnation) {
                return Answer::NotAttached;
            }
            record.posts.push(post);
            let body = Body::Posts { posts: record.posts.clone(), news: News::Attached(post) };
            record.append(now, self.log_entries, body, publish);
        }
        let others = record.posts.iter().copied().filter(|other| *other != post).collect();
        Answer::Attached { incarnation: record.incarnation, number: record.number, time: record.time, others }
    }
}

impl Record {
    fn remove(&mut self, now: Duration, keep: usize, post: Post, news: News, publish: &mut Vec<Published>) {
        let before = self.posts.clone();
        self.posts.retain(|other| *other != post);
        if self.posts.len() < before.len() {
            let body = Body::Posts { posts: self.posts.clone(), news };
            self.append(now, keep, body, publish);
            // Who is out is told as well.
            publish.extend(self.log.back().map(|entry| (post.server, self.incarnation, entry.clone())));
        }
    }

    fn append(&mut self, now: Duration, keep: usize, body: Body, publish: &mut Vec<Published>) {
        self.number += 1;
        self.time = self.time.max(now);
        let entry = Entry { number: self.number, time: self.time, body };
        publish.extend(self.posts.iter().map(|post| (post.server, self.incarnation, entry.clone())));
        self.log.push_back(entry);
        if self.log.len() > keep {
            self.log.pop_front();
        }
    }
}
