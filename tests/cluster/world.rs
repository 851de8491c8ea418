//! Simulation of servers, a store and clients on a virtual clock. Everything is determined by a seed.

mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use roundtable::cluster::bus::{Answer, Request, Unavailable};
use roundtable::cluster::founding::Founding;
use roundtable::cluster::records::{Limits, Records};
use roundtable::cluster::share::Rules;
use roundtable::cluster::watch::Watch;
use roundtable::cluster::wire::{Entry, Incarnation, Mark};
use roundtable::cluster::{Output, Post, Replica, ServerId, Share};
use roundtable::core::{Act, Comeback, Grant, Refusal, Seat};
use roundtable::protocol::{LeaveReason, PeerName, Role, RoomName, SettingsPatch, StatePatch};

use crate::member::{Is, Member, id};

pub const CAPACITY: usize = 6;
pub const WINDOW: Duration = Duration::from_secs(8);
/// Time for which an empty room is kept.
pub const GRACE: Duration = Duration::from_secs(5);
const RULES: Rules =
    Rules { capacity: CAPACITY, window: WINDOW, grace: GRACE, makes_hosts: true, gone_within: Duration::from_secs(18) };
/// Timeout of a request to the store.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Validity of a request. It exceeds the timeout, because clocks differ.
const GOOD_FOR: Duration = Duration::from_millis(1_200);

/// Session to be answered, and whether the answer is about its reconnect.
pub type Context = (u64, bool);
type Part = Share<u64, Context>;

pub struct Server {
    pub id: ServerId,
    pub share: Option<Part>,
    lives: u64,
    /// Offset by which its clock is ahead.
    skew: Duration,
    /// Cannot reach the store.
    pub cut: bool,
    /// Suspended, with the events that wait for it.
    pub paused: Option<Vec<What>>,
    connected: bool,
    /// Number of the request in progress.
    asked: u64,
    /// The request in progress detaches the server.
    going: bool,
    watch: Watch,
    founding: Founding,
    wake: Duration,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A request arrives at the store.
    Request(ServerId, Post, u64, Request, Duration),
    Answer(ServerId, Post, u64, Result<Answer, Unavailable>),
    Entry(ServerId, Incarnation, Entry),
    Publish(ServerId, Bytes),
    Told(ServerId, Bytes),
    Connection(ServerId, bool),
    Wake(ServerId),
    Lease(ServerId),
}

pub struct World {
    pub rng: Rng,
    pub now: Duration,
    pub engine: Records,
    pub room: RoomName,
    /// The store is suspended until then.
    pub engine_pause: Duration,
    pub servers: Vec<Server>,
    pub members: BTreeMap<u64, Member>,
    /// Numbers that each session has sent to each other session.
    pub sent: BTreeMap<(u64, u64), Vec<u64>>,
    events: BTreeMap<(Duration, u64), What>,
    made: u64,
    /// Time of the last publication to each server, which keeps their order.
    last: BTreeMap<ServerId, Duration>,
    /// Percentage of publications that are lost.
    pub loss: u32,
    /// Number of appends.
    pub appends: u64,
    /// Messages between servers.
    pub told: Vec<(ServerId, Bytes)>,
    /// Number of sessions that were moved to another server.
    pub moved: u64,
    history: BTreeMap<Mark, Replica>,
    pub trace: bool,
}

impl World {
    pub fn new(seed: u64, servers: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut world = Self {
            engine: Records::new(Limits { entries: if rng.bool() { 256 } else { 6 }, ..Limits::default() }),
            room: RoomName::new("round").unwrap(),
            rng,
            now: Duration::from_secs(1_000),
            engine_pause: Duration::ZERO,
            servers: Vec::new(),
            members: BTreeMap::new(),
            sent: BTreeMap::new(),
            events: BTreeMap::new(),
            made: 0,
            last: BTreeMap::new(),
            loss: 0,
            appends: 0,
            told: Vec::new(),
            moved: 0,
            history: BTreeMap::new(),
            trace: std::env::var_os("CLUSTER_TRACE").is_some(),
        };
        for _ in 0..servers {
            let server = world.new_server();
            world.servers.push(server);
        }
        world
    }

    pub fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    fn new_server(&mut self) -> Server {
        let id = ServerId(self.next());
        self.at(Duration::ZERO, What::Lease(id));
        Server {
            id,
            share: None,
            lives: 0,
            skew: Duration::from_millis(self.rng.u64(0..50)),
            cut: false,
            paused: None,
            connected: true,
            asked: 0,
            going: false,
            watch: Watch::default(),
            founding: Founding::default(),
            wake: Duration::MAX,
        }
    }

    fn at(&mut self, after: Duration, what: What) {
        let number = self.next();
        self.events.insert((self.now + after, number), what);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(if self.rng.u8(0..50) == 0 {
            self.rng.u64(0..1_500_000)
        } else {
            self.rng.u64(100..3_000)
        })
    }

    fn slot(&self, id: ServerId) -> Option<usize> {
        self.servers.iter().position(|server| server.id == id)
    }

    /// Advances the clock.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), what) = entry.remove_entry();
            self.now = at;
            self.happen(what);
            self.check();
        }
        self.now = until;
    }

    fn happen(&mut self, what: What) {
        if let What::Request(id, post, asked, request, until) = what {
            return self.request(id, post, asked, request, until);
        }
        if let What::Publish(to, bytes) = what {
            return self.publish(to, What::Told(to, bytes));
        }
        let (What::Answer(id, ..)
        | What::Entry(id, ..)
        | What::Told(id, _)
        | What::Connection(id, _)
        | What::Wake(id)
        | What::Lease(id)) = &what
        else {
            return;
        };
        let Some(slot) = self.slot(*id) else { return };
        if let Some(backlog) = &mut self.servers[slot].paused {
            return backlog.push(what);
        }
        if self.trace && !matches!(what, What::Wake(_) | What::Lease(_)) {
            eprintln!("{:?} at {slot}: {what:?}", self.now);
        }
        let now = self.now + self.servers[slot].skew;
        match what {
            What::Answer(_, post, asked, answer) => {
                let server = &mut self.servers[slot];
                if server.asked == asked {
                    (server.asked, server.going) = (0, false);
                    self.with(slot, |share, emit| {
                        if share.post() == post {
                            share.answered(now, answer, emit);
                        }
                    });
                }
            }
            What::Entry(_, incarnation, entry) => {
                self.with(slot, |share, emit| share.entry(now, incarnation, entry, emit));
            }
            What::Told(_, bytes) => self.with(slot, |share, emit| share.told(now, &bytes, emit).unwrap()),
            What::Connection(_, connected) => {
                let server = &mut self.servers[slot];
                server.connected = connected;
                server.watch.interrupted();
                if connected {
                    server.founding.connected(now);
                }
                self.tell_share(slot);
                if connected {
                    self.renew(slot);
                }
            }
            What::Wake(_) => {
                self.servers[slot].wake = Duration::MAX;
                self.with(slot, |share, emit| share.tick(now, emit));
            }
            What::Lease(id) => self.lease(slot, id),
            What::Request(..) | What::Publish(..) => {}
        }
    }

    /// Runs an operation on a share, and processes its output.
    pub fn with(&mut self, slot: usize, happens: impl FnOnce(&mut Part, &mut dyn FnMut(Output<'_, u64, Context>))) {
        let Some(mut share) = self.servers[slot].share.take() else { return };
        let (id, post) = (self.servers[slot].id, share.post());
        let (mut asks, mut tells, mut answers, mut degraded, mut over) =
            (Vec::new(), Vec::new(), Vec::new(), None, false);
        let (mut ships, mut afresh, mut adopted, moved) = (Vec::new(), Vec::new(), Vec::new(), &mut self.moved);
        let members = &mut self.members;
        happens(&mut share, &mut |output| match output {
            Output::Effect(effect) => match &effect {
                roundtable::core::Effect::Welcome { to, .. } | roundtable::core::Effect::Send { to, .. } => {
                    members.get_mut(*to).unwrap().take(effect);
                }
                // After a client has reconnected elsewhere, its former socket here is not its socket any more.
                roundtable::core::Effect::Close { handle, .. } if members[handle].slot == slot => {
                    members.get_mut(handle).unwrap().take(effect);
                }
                _ => {}
            },
            Output::Ship { seat, to, handle } => {
                assert_eq!(seat.session, handle);
                ships.push((seat, to));
            }
            Output::Happened(_) | Output::Dismissed(..) => {}
            Output::Adopt { seat, to, session, .. } => {
                assert_eq!((seat.session, session.as_ref()), (*to, seat.session.to_string().as_bytes()));
                *moved += 1;
                adopted.push(*to);
                let member = members.get_mut(to).unwrap();
                member.is = if member.is == Is::Moving { Is::In } else { member.is };
            }
            Output::Afresh { seat } => {
                let member = members.get_mut(&seat.session).unwrap();
                let is_there = std::mem::replace(&mut member.is, Is::Gone) == Is::Moving;
                afresh.push((seat, is_there.then_some(member.client)));
            }
            Output::Answer(member, result) => answers.push((member, result)),
            Output::Ask(request) => asks.push(request),
            Output::Tell(to, bytes) => tells.push((to, bytes)),
            Output::Degraded(is) => degraded = Some(is),
            Output::Over => over = true,
        });
        for request in asks {
            assert_eq!(self.servers[slot].asked, 0, "two requests at a time");
            let (asked, delay) = (self.next(), self.delay());
            (self.servers[slot].asked, self.servers[slot].going) = (asked, matches!(request, Request::Detach { .. }));
            self.at(delay, What::Request(id, post, asked, request, self.now + GOOD_FOR));
            self.at(TIMEOUT, What::Answer(id, post, asked, Err(Unavailable)));
        }
        for (to, bytes) in tells {
            let (delay, cut) = (self.delay().min(Duration::from_millis(3)), self.servers[slot].cut);
            self.told.push((to, bytes.clone()));
            if !cut && self.slot(to).is_some() {
                self.at(delay, What::Publish(to, bytes));
            }
        }
        let mut again = Vec::new();
        for (session, result) in answers {
            again.extend(self.answer(session, &result));
        }
        for session in adopted {
            self.members.get_mut(&session).unwrap().degraded = share.is_degraded();
        }
        if let Some(degraded) = degraded {
            self.members
                .values_mut()
                .filter(|member| member.slot == slot && member.is_in())
                .for_each(|member| member.degraded = degraded);
        }
        if over {
            (self.servers[slot].asked, self.servers[slot].going) = (0, false);
            let joins: Vec<_> = share.into_joins().collect();
            self.members
                .values_mut()
                .filter(|member| member.slot == slot && member.is_in())
                .for_each(|member| member.is = Is::Gone);
            for join in joins {
                let Act::Join { seat, name, state, settings, comeback, grant, stay } = join.act else { continue };
                let old = self.members.get_mut(&seat.session).unwrap();
                let client = std::mem::replace(&mut old.is, Is::Gone) != Is::Gone;
                let (client, seat) = (client.then_some(old.client), Seat { session: self.next(), ..seat });
                if let Some(client) = client {
                    self.members.insert(seat.session, Member::new(seat, client, slot));
                    let act = Act::Join { seat, name, state, settings, comeback, grant, stay };
                    self.act(slot, act, Some(seat.session), Some((seat.session, false)));
                }
            }
            return;
        }
        if let Some(at) = share.wake_at() {
            let server = &mut self.servers[slot];
            let at = at.saturating_sub(server.skew).max(self.now + Duration::from_micros(10));
            if at < server.wake {
                server.wake = at;
                self.at(at - self.now, What::Wake(id));
            }
        }
        self.servers[slot].share = Some(share);
        ships.into_iter().for_each(|(seat, to)| self.ship(slot, seat, to));
        for (seat, client) in afresh {
            if self.servers[slot].share.as_ref().is_some_and(|share| share.is_connected(seat)) {
                self.act(slot, Act::Lose { seat, reason: LeaveReason::Closed }, Some(seat.session), None);
            }
            again.extend(client);
        }
        for client in again {
            self.join(slot, client, StatePatch::default());
        }
    }

    /// Joins a client. Returns the number of its session.
    pub fn join(&mut self, slot: usize, client: usize, state: StatePatch) -> u64 {
        let seat = Seat { id: id(client), session: self.next() };
        // A former member presents the secret of its latest session.
        let mut before = self.members.values().filter(|member| member.client == client && member.version > 0);
        let stay = before.next_back().map(|member| member.seat.session);
        self.members.insert(seat.session, Member::new(seat, client, slot));
        let join = Act::Join {
            seat,
            name: PeerName::new("Ada").unwrap(),
            state,
            settings: SettingsPatch::default(),
            comeback: Comeback { known: stay.is_some(), refused: None },
            grant: Grant::default(),
            stay,
        };
        self.act(slot, join, Some(seat.session), Some((seat.session, false)));
        seat.session
    }

    /// Submits an act of a member of this server.
    pub fn act(&mut self, slot: usize, act: Act, handle: Option<u64>, context: Option<Context>) {
        let server = &mut self.servers[slot];
        if server.share.is_none() {
            server.lives += 1;
            let post = Post { server: server.id, life: server.lives };
            let share = server.share.insert(Share::new(post, RULES, server.connected));
            share.found_from(server.founding.from());
        }
        let now = self.now + server.skew;
        self.with(slot, |share, emit| {
            share.act(now, act, handle, context, emit).unwrap();
        });
        self.check();
    }

    fn ship(&mut self, slot: usize, seat: Seat, to: Post) {
        let (now, session) = (self.now + self.servers[slot].skew, Some(Bytes::from(seat.session.to_string())));
        self.with(slot, |share, emit| share.ship(now, seat, to, session, emit));
    }

    /// Processes the answer to a request. Returns the client if its session was not resumed and it joins again.
    fn answer(&mut self, (session, comes): (u64, bool), result: &Result<(), Refusal>) -> Option<usize> {
        let member = self.members.get_mut(&session).unwrap();
        let client = member.client;
        let afresh = comes && result.is_err() && member.is == Is::Moving;
        // Answers to joins and reconnects.
        if result.is_err() && (member.is == Is::Joining || comes) {
            member.is = Is::Gone;
        }
        if matches!(result, Err(Refusal::Dismissed(_))) {
            // It joins as a stranger the next time.
            self.members.values_mut().filter(|member| member.client == client).for_each(|member| member.version = 0);
        }
        afresh.then_some(client)
    }

    /// Kills a server's process and starts another in its place. Its members reconnect to resume their sessions.
    pub fn kill(&mut self, slot: usize) {
        let cut = self.servers[slot].cut;
        let server = self.new_server();
        self.servers[slot] = Server { cut, ..server };
        for member in self.members.values_mut().filter(|member| member.slot == slot) {
            member.is = if matches!(member.is, Is::In | Is::Lost) { Is::Lost } else { Is::Gone };
        }
    }

    pub fn pause(&mut self, slot: usize) {
        self.servers[slot].paused.get_or_insert_default();
    }

    pub fn resume(&mut self, slot: usize) {
        for what in self.servers[slot].paused.take().unwrap_or_default() {
            self.at(Duration::ZERO, what);
        }
    }

    /// Returns whether the server can receive messages.
    pub fn runs(&self, slot: usize) -> bool {
        self.servers[slot].paused.is_none()
    }

    /// Checks the conditions that hold at every moment.
    fn check(&mut self) {
        for server in &self.servers {
            let comes = server.share.iter().flat_map(Share::locals).next();
            assert!(!server.going || comes.is_none(), "a member of a share that is ending: {comes:?}");
            let Some(replica) = server.share.as_ref().and_then(Share::replica) else { continue };
            let room = replica.room();
            assert!(room.len() <= CAPACITY, "too many members");
            let has_host = room.members().any(|(peer, _)| peer.role == Role::Host);
            let only_listeners = room.members().all(|(peer, _)| peer.role == Role::Listener);
            assert!(only_listeners || has_host || room.awaits_host(), "no member can moderate");
            if replica.posts().len() > 1 {
                let same = self.history.entry(replica.mark()).or_insert_with(|| replica.clone());
                assert_eq!(same, replica, "replicas differ at the same position");
            }
        }
    }

    /// Returns the seat of a session.
    pub fn seat(&self, session: u64) -> Seat {
        self.members[&session].seat
    }
}
