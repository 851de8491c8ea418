//! What one server does about one room that others may have, too.
//!
//! A [`Share`] begins with the first who comes in here and ends with the last who goes. It comes in at the engine
//! ([`Request::Attach`](super::bus::Request::Attach)), and is then the founder of the room or gets a copy from another server. As long as this server
//! is alone in the room, acts are carried out at once and the engine hears of none. Otherwise they wait until the engine
//! has put them in order: [`Share::act`] says nothing then, the answer comes later as [`Output::Answer`].
//!
//! One request is with the engine at a time, so that nothing overtakes: what has gathered meanwhile goes together in the
//! next one. A request without an answer is asked again.
//!
//! Whoever holds a share gives it what happens, with the time, carries out what it emits, in that order, and calls
//! [`Share::tick`] at [`Share::wake_at`].

mod acting;
mod asking;
mod following;
mod locals;
mod moving;
mod output;
mod relaying;
mod telling;

pub use acting::{Busy, PENDING, Pending};
pub use moving::{HELD, HELD_BYTES};
pub use output::{Emit, Output};
pub use relaying::Undelivered;
pub use telling::{Happened, News, UNTOLD};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::link::Link;
use super::replica::{Replica, Way};
use super::wire::{Direct, Entry, Incarnation, Post, ServerId};
use crate::core::{Act, Room, Seat};
use asking::Flight;
use locals::Local;
use moving::Moving;

/// How long other servers may take to decide about somebody (R55, R78).
pub const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// The first server of a room looks to its clock, each further one so much later, in case it does not.
const DEPUTY: Duration = Duration::from_secs(1);
/// Between two ticks for the same time: the engine's clock may be behind.
const TICK_AGAIN: Duration = Duration::from_millis(200);

/// What holds for rooms that begin here. All servers have the same.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The most members of a room.
    pub capacity: usize,
    /// How long one may be lost.
    pub window: Duration,
    /// How long a room is kept after its last member has left.
    pub grace: Duration,
    /// Whether rooms make hosts of their members.
    pub makes_hosts: bool,
    /// After which time a server that has died is put out of its rooms at the latest, with a good way to the engine.
    pub gone_within: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Is not in at the engine, as far as this server knows.
    Outside,
    /// Is in, and has no copy, or an old one.
    Catching {
        /// Those who may have one.
        others: Vec<Post>,
        /// Those who have said that they have none.
        without: BTreeSet<Post>,
        asked: usize,
        ask_at: Duration,
    },
    In,
    Over,
}

/// One server's part in one room.
#[derive(Debug)]
pub struct Share<L, C> {
    own: Post,
    rules: Rules,
    stage: Stage,
    incarnation: Option<Incarnation>,
    replica: Option<Replica>,
    /// Entries whose turn has not come.
    ahead: BTreeMap<u64, Entry>,
    /// Entries that came before it was known whether they are of the right record.
    early: Vec<(Incarnation, Entry)>,
    /// The number of the last entry that there is, as far as this server knows, and since when it has lacked some.
    known: u64,
    lacking_since: Option<Duration>,
    /// Where to read on while there is no copy.
    floor: u64,
    /// Who asked for the room and is to get it when this entry was carried out.
    wanting: Vec<(Post, u64)>,
    /// Acts that were not carried out here, in order.
    pending: VecDeque<Pending<L, C>>,
    /// The own number of the last act, and of the last that the engine has.
    acted: u64,
    appended: u64,
    /// The own number of the last that the engine may have.
    offered: u64,
    retained: VecDeque<(u64, Act)>,
    retained_bytes: usize,
    locals: BTreeMap<Seat, Local<L>>,
    /// Everybody's session is here: a frame is for nobody else, and nothing is to be looked at first.
    all_here: bool,
    links: BTreeMap<Post, Link>,
    /// What the server that tells may not have told.
    untold: VecDeque<News>,
    wakes: BTreeSet<Duration>,
    ticked: Duration,
    victims: BTreeSet<ServerId>,
    /// Who was in and is out, even where the engine has lost its data and the post does not know.
    removed: BTreeSet<Post>,
    connected: bool,
    /// The engine may know of it.
    asked: bool,
    flight: Option<Flight>,
    retry_at: Duration,
    /// When a room of which there is no copy may be asked for.
    found_from: Duration,
    refresh_at: Duration,
    /// Since when there is nobody here any more.
    deserted: Option<Duration>,
    degraded: bool,
    /// This server shuts down: an empty room is not kept here.
    is_draining: bool,
    /// The engine has it in the room no more.
    is_out: bool,
    /// Who has gone from here to another server, and whose session has not.
    moving: BTreeMap<Seat, Moving<L>>,
    /// Whose session was asked for by [`Output::Ship`].
    shipping: BTreeSet<Seat>,
}

impl<L, C> Share<L, C> {
    /// A share that has nothing, and nobody. `own` is new.
    pub fn new(own: Post, rules: Rules, connected: bool) -> Self {
        Self {
            own,
            rules,
            stage: Stage::Outside,
            incarnation: None,
            replica: None,
            ahead: BTreeMap::new(),
            early: Vec::new(),
            known: 0,
            lacking_since: None,
            floor: 0,
            wanting: Vec::new(),
            pending: VecDeque::new(),
            acted: 0,
            appended: 0,
            offered: 0,
            retained: VecDeque::new(),
            retained_bytes: 0,
            locals: BTreeMap::new(),
            all_here: false,
            links: BTreeMap::new(),
            untold: VecDeque::new(),
            wakes: BTreeSet::new(),
            ticked: Duration::ZERO,
            victims: BTreeSet::new(),
            removed: BTreeSet::new(),
            connected,
            asked: false,
            flight: None,
            retry_at: Duration::ZERO,
            found_from: Duration::ZERO,
            refresh_at: Duration::ZERO,
            deserted: None,
            degraded: false,
            is_draining: false,
            is_out: false,
            moving: BTreeMap::new(),
            shipping: BTreeSet::new(),
        }
    }

    /// This server's place.
    pub fn post(&self) -> Post {
        self.own
    }

    /// The room as this server knows it.
    pub fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// Whether no other server is in the room, as far as this one knows.
    pub fn is_alone(&self) -> bool {
        // Also while the engine does not know it any more: nobody else does either.
        matches!(self.stage, Stage::In | Stage::Outside)
            && self.replica.as_ref().is_some_and(|replica| replica.posts() == [self.own])
    }

    /// Whether the members of this server are cut off, for who comes in meanwhile (see [`Output::Degraded`]).
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// The other servers in the room, whose leases are to be watched.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> {
        let posts = match &self.stage {
            Stage::Catching { others, .. } => others,
            _ => self.replica.as_ref().map(Replica::posts).unwrap_or_default(),
        };
        let own = self.own;
        posts.iter().filter(move |post| **post != own).map(|post| post.server)
    }

    /// Whether it can take nothing any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Whether another server has put this one out; it has not gone of its own will.
    pub fn is_put_out(&self) -> bool {
        self.is_out && !self.is_going()
    }

    /// Whether the engine has been asked to let it go, and has not answered.
    fn is_going(&self) -> bool {
        matches!(self.flight, Some(Flight::Detach))
    }

    /// Asks the engine for nothing before this time: this server was put out, and may be again until its lease is known.
    pub fn hold_off(&mut self, until: Duration) {
        self.retry_at = until;
    }

    /// Asks for the room no earlier than this, as long as this server has no copy (see [`founding`](super::founding)).
    pub fn found_from(&mut self, from: Duration) {
        self.found_from = from;
    }

    /// Stops keeping an empty room, because this server shuts down.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// These servers are gone, as far as is known now: their leases have run out.
    pub fn gone(&mut self, now: Duration, servers: impl IntoIterator<Item = ServerId>, emit: Emit<'_, L, C>) {
        self.victims = servers.into_iter().collect();
        self.go_on(now, emit);
    }

    /// The engine can be reached, or not.
    pub fn connected(&mut self, now: Duration, connected: bool, emit: Emit<'_, L, C>) {
        self.connected = connected;
        if connected {
            self.retry_at = now;
            self.refresh_at = now;
            for (post, link) in &mut self.links {
                link.send_again(now, &mut |packet| emit(Output::Tell(post.server, Direct::Link(packet).encode())));
            }
        }
        self.go_on(now, emit);
    }

    /// When [`Share::tick`] is due.
    pub fn wake_at(&self) -> Option<Duration> {
        let links = self.links.values().filter_map(Link::wake_at);
        let room = self.tick_at();
        let want = match &self.stage {
            Stage::Catching { others, ask_at, .. } if self.connected && !others.is_empty() => Some(*ask_at),
            _ => None,
        };
        links.chain(room).chain(want).chain(self.ask_at()).min().filter(|_| !self.is_over())
    }

    /// What time has brought about.
    pub fn tick(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        if let Some(replica) = &self.replica {
            self.links
                .retain(|post, link| !link.is_forsaken(now, replica.posts().contains(post) || replica.is_home(*post)));
        }
        for (post, link) in &mut self.links {
            link.tick(now, &mut |packet| emit(Output::Tell(post.server, Direct::Link(packet).encode())));
        }
        if self.tick_at().is_some_and(|at| at <= now) {
            self.ticked = now;
            self.acted += 1;
            self.pending.push_back(Pending { own: self.acted, act: Act::Tick, handle: None, context: None });
        }
        self.go_on(now, emit);
    }

    /// When this server is to tick.
    fn tick_at(&self) -> Option<Duration> {
        let replica = self.replica.as_ref().filter(|_| matches!(self.stage, Stage::In))?;
        if self.pending.iter().any(|pending| pending.act == Act::Tick) {
            return None;
        }
        let rank = replica.posts().iter().position(|post| *post == self.own).unwrap_or_default();
        let due = *self.wakes.first()? + DEPUTY * u32::try_from(rank).unwrap_or(u32::MAX);
        Some(due.max(self.ticked + TICK_AGAIN))
    }

    /// Does what can be done now.
    fn go_on(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        if self.is_over() {
            return;
        }
        if self.is_out {
            return self.end(emit);
        }
        self.follow(now, emit);
        // Who comes while it goes is for the next share.
        if self.is_alone() && !self.is_going() {
            self.act_alone(now, emit);
        }
        self.deliver(now, emit);
        self.move_on(now, emit);
        self.want(now, emit);
        self.pump(now, emit);
        self.all_here = self.is_all_here();
        let cut_off =
            self.replica.is_some() && !self.is_alone() && !(self.connected && matches!(self.stage, Stage::In));
        if !self.is_over() && cut_off != self.degraded && !self.locals.is_empty() {
            self.degraded = cut_off;
            emit(Output::Degraded(cut_off));
        }
    }

    /// Where the engine has lost its data, those of servers that are not back are not, though this one is alone.
    fn is_all_here(&self) -> bool {
        let is_here = |way: &Way| way.home.is_none_or(|home| home == self.own);
        self.is_alone() && self.replica.as_ref().is_some_and(|replica| replica.room().handles().all(is_here))
    }

    /// Ends: whoever is here is sent to where the room is now.
    fn end(&mut self, emit: Emit<'_, L, C>) {
        self.stage = Stage::Over;
        self.close_all(emit);
        emit(Output::Over);
    }

    fn new_room(&self) -> Room<Way> {
        let Rules { capacity, window, grace, makes_hosts, .. } = self.rules;
        Room::new(capacity, window).making_hosts(makes_hosts).with_grace(grace)
    }
}
