//! The network between servers and the store, and faults of the store.

use std::collections::BTreeSet;
use std::time::Duration;

use roundtable::cluster::bus::Request;
use roundtable::cluster::watch::{LEASE, RENEW};
use roundtable::cluster::{Post, ServerId, Share};

use super::{What, World};

impl World {
    pub(super) fn request(&mut self, id: ServerId, post: Post, asked: u64, request: Request, until: Duration) {
        if self.slot(id).is_some_and(|slot| self.servers[slot].cut) {
            return;
        }
        if self.engine_pause > self.now {
            return self.at(self.engine_pause - self.now, What::Request(id, post, asked, request, until));
        }
        if self.now > until {
            return;
        }
        let (mut published, appends) = (Vec::new(), matches!(request, Request::Append { .. }));
        self.appends += u64::from(appends);
        let answer = self.engine.ask(self.now, &self.room, request, &mut |to, incarnation, entry| {
            published.push((to, incarnation, entry));
        });
        for (to, incarnation, entry) in published {
            self.publish(to, What::Entry(to, incarnation, entry));
        }
        let delay = self.delay();
        self.at(delay, What::Answer(id, post, asked, Ok(answer)));
    }

    pub(super) fn publish(&mut self, to: ServerId, what: What) {
        let lost = self.rng.u32(0..100) < self.loss || self.slot(to).is_some_and(|slot| self.servers[slot].cut);
        if lost || self.engine_pause > self.now {
            return;
        }
        let at = (self.now + self.delay()).max(self.last.get(&to).copied().unwrap_or_default());
        self.last.insert(to, at);
        self.at(at - self.now, what);
    }

    pub(super) fn lease(&mut self, slot: usize, id: ServerId) {
        self.at(RENEW, What::Lease(id));
        let reaches = !self.servers[slot].cut && self.engine_pause <= self.now;
        if reaches != self.servers[slot].connected {
            self.at(Duration::from_millis(1), What::Connection(id, reaches));
        }
        if !reaches {
            return;
        }
        self.renew(slot);
        let server = &mut self.servers[slot];
        let known: BTreeSet<ServerId> = server.share.iter().flat_map(Share::servers).collect();
        let living = self.engine.living(self.now, known.iter().copied()).into_iter().collect();
        let gone = server.watch.look(&known, &living);
        let now = self.now + server.skew;
        self.with(slot, |share, emit| share.gone(now, gone, emit));
    }

    /// Renews the lease, which takes no time here.
    pub(super) fn renew(&mut self, slot: usize) {
        let server = &self.servers[slot];
        if server.cut || self.engine_pause > self.now {
            return;
        }
        let lived = self.engine.renew(self.now, server.id, LEASE);
        let server = &mut self.servers[slot];
        let (now, held) = (self.now + server.skew, server.founding.from());
        let is_missing = server.founding.renewed(now, lived);
        if is_missing || server.founding.from() != held {
            self.tell_share(slot);
        }
    }

    pub(super) fn tell_share(&mut self, slot: usize) {
        let server = &self.servers[slot];
        let (now, from, connected) = (self.now + server.skew, server.founding.from(), server.connected);
        self.with(slot, |share, emit| {
            share.found_from(from);
            share.connected(now, connected, emit);
        });
    }
}
