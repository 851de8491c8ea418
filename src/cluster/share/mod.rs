//! One server's part in a room that other servers may have, too.
//!
//! A [`Share`] begins with the first participant on this server and ends with the last. It attaches to the room in the
//! store ([`Request::Attach`](super::bus::Request::Attach)), and then creates the room or gets a replica from another
//! server. While this server is alone in the room, commands are applied at once and the store is not asked for them.
//! Otherwise they wait until the store has ordered them: [`Share::act`] returns before that, and the answer follows as
//! [`Output::Answer`].
//!
//! There is one request to the store at a time, so that none overtakes another. Commands that gather meanwhile go
//! together in the next one. A request without an answer is repeated.
//!
//! The owner of a share passes it events with the time, carries out what it emits, in that order, and calls
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

/// Time that other servers may take to decide about a participant (R55, R78).
pub const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// Delay between the servers of a room for a tick: the first one sends it, and each further one so much later, if the
/// others have not.
const DEPUTY: Duration = Duration::from_secs(1);
/// Minimum time between two ticks for the same deadline: the store's clock may be behind.
const TICK_AGAIN: Duration = Duration::from_millis(200);

/// Settings of rooms that are created here. All servers have the same.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Maximum number of members in a room.
    pub capacity: usize,
    /// Resume window: how long a member may be disconnected.
    pub window: Duration,
    /// Grace period: how long a room is kept after its last member has left.
    pub grace: Duration,
    /// Set if rooms make hosts of their members.
    pub makes_hosts: bool,
    /// Time within which a dead server is evicted from its rooms, while the store can be reached.
    pub gone_within: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Not attached, as far as this server knows.
    Outside,
    /// Attached, with no replica or an outdated one.
    Catching {
        /// Nodes that may have a replica.
        others: Vec<Post>,
        /// Nodes that have answered that they have none.
        without: BTreeSet<Post>,
        asked: usize,
        ask_at: Duration,
    },
    In,
    Over,
}

/// Room node: one server's part in one room.
#[derive(Debug)]
pub struct Share<L, C> {
    own: Post,
    rules: Rules,
    stage: Stage,
    incarnation: Option<Incarnation>,
    replica: Option<Replica>,
    /// Entries whose turn has not come.
    ahead: BTreeMap<u64, Entry>,
    /// Entries that have arrived before it was known whether they belong to the right record.
    early: Vec<(Incarnation, Entry)>,
    /// Number of the last entry known to exist, and the time since which entries are missing.
    known: u64,
    lacking_since: Option<Duration>,
    /// Number after which the log is read while there is no replica.
    floor: u64,
    /// Nodes that have requested the replica, each with the entry that has to be applied before.
    wanting: Vec<(Post, u64)>,
    /// Commands that were not applied here, in order.
    pending: VecDeque<Pending<L, C>>,
    /// Number of the last command of this server, and of the last one that the store has.
    acted: u64,
    appended: u64,
    /// Number of the last command that the store may have.
    offered: u64,
    retained: VecDeque<(u64, Act)>,
    retained_bytes: usize,
    locals: BTreeMap<Seat, Local<L>>,
    /// Set if all sessions are here: a frame has no other receivers, and no link has to be checked.
    all_here: bool,
    links: BTreeMap<Post, Link>,
    /// Events that the reporting server may not have reported.
    untold: VecDeque<News>,
    wakes: BTreeSet<Duration>,
    ticked: Duration,
    victims: BTreeSet<ServerId>,
    /// Evicted nodes. They are kept when the store loses its data, because such a node may not know that it was
    /// evicted.
    removed: BTreeSet<Post>,
    connected: bool,
    /// Set once the store may know of this node.
    asked: bool,
    flight: Option<Flight>,
    retry_at: Duration,
    /// Time from which on this server may attach without a replica.
    found_from: Duration,
    refresh_at: Duration,
    /// Time since which the last participant here has left.
    deserted: Option<Duration>,
    degraded: bool,
    /// Set while this server shuts down: an empty room is not kept here.
    is_draining: bool,
    /// Set once the store does not have this node in the room any more.
    is_out: bool,
    /// Members that have moved to another server and whose session was not sent yet.
    moving: BTreeMap<Seat, Moving<L>>,
    /// Sessions that were requested by [`Output::Ship`].
    shipping: BTreeSet<Seat>,
}

impl<L, C> Share<L, C> {
    /// Creates a share without a replica and without members. `own` must be a new node ID.
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

    /// Returns the node ID of this server in the room.
    pub fn post(&self) -> Post {
        self.own
    }

    /// Returns the replica, if this server has one.
    pub fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// Returns whether no other server is in the room, as far as this one knows.
    pub fn is_alone(&self) -> bool {
        // Also while the store has no record of this node: no other server has the room either.
        matches!(self.stage, Stage::In | Stage::Outside)
            && self.replica.as_ref().is_some_and(|replica| replica.posts() == [self.own])
    }

    /// Returns whether the members here are cut off from the others, to tell a member that enters meanwhile (see
    /// [`Output::Degraded`]).
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// Returns the other servers in the room, whose leases are to be checked.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> {
        let posts = match &self.stage {
            Stage::Catching { others, .. } => others,
            _ => self.replica.as_ref().map(Replica::posts).unwrap_or_default(),
        };
        let own = self.own;
        posts.iter().filter(move |post| **post != own).map(|post| post.server)
    }

    /// Returns whether the share has ended and accepts nothing any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Returns whether another server has evicted this node, which did not detach by itself.
    pub fn is_put_out(&self) -> bool {
        self.is_out && !self.is_going()
    }

    /// Returns whether a request to detach has no answer yet.
    fn is_going(&self) -> bool {
        matches!(self.flight, Some(Flight::Detach))
    }

    /// Holds all requests until this time: this server was evicted, and may be again until its lease is known.
    pub fn hold_off(&mut self, until: Duration) {
        self.retry_at = until;
    }

    /// Sets the time from which on this server may attach without a replica (see [`founding`](super::founding)).
    pub fn found_from(&mut self, from: Duration) {
        self.found_from = from;
    }

    /// Stops keeping an empty room, because this server shuts down.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Sets the servers that are dead: their leases have expired.
    pub fn gone(&mut self, now: Duration, servers: impl IntoIterator<Item = ServerId>, emit: Emit<'_, L, C>) {
        self.victims = servers.into_iter().collect();
        self.go_on(now, emit);
    }

    /// Reports whether the store can be reached.
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

    /// Returns when [`Share::tick`] is due.
    pub fn wake_at(&self) -> Option<Duration> {
        let links = self.links.values().filter_map(Link::wake_at);
        let room = self.tick_at();
        let want = match &self.stage {
            Stage::Catching { others, ask_at, .. } if self.connected && !others.is_empty() => Some(*ask_at),
            _ => None,
        };
        links.chain(room).chain(want).chain(self.ask_at()).min().filter(|_| !self.is_over())
    }

    /// Does what is due at this time.
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

    /// Returns when this server has to submit a tick.
    fn tick_at(&self) -> Option<Duration> {
        let replica = self.replica.as_ref().filter(|_| matches!(self.stage, Stage::In))?;
        if self.pending.iter().any(|pending| pending.act == Act::Tick) {
            return None;
        }
        let rank = replica.posts().iter().position(|post| *post == self.own).unwrap_or_default();
        let due = *self.wakes.first()? + DEPUTY * u32::try_from(rank).unwrap_or(u32::MAX);
        Some(due.max(self.ticked + TICK_AGAIN))
    }

    /// Does everything that can be done now.
    fn go_on(&mut self, now: Duration, emit: Emit<'_, L, C>) {
        if self.is_over() {
            return;
        }
        if self.is_out {
            return self.end(emit);
        }
        self.follow(now, emit);
        // While this server detaches, commands wait for the next share.
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

    /// Returns whether all sessions are on this server. If the store has lost its data, this server may be alone while
    /// sessions are on servers that have not returned.
    fn is_all_here(&self) -> bool {
        let is_here = |way: &Way| way.home.is_none_or(|home| home == self.own);
        self.is_alone() && self.replica.as_ref().is_some_and(|replica| replica.room().handles().all(is_here))
    }

    /// Ends the share and closes the connections here. Clients reconnect to where the room is now.
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
