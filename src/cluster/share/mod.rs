//! What one server does about one room that others may have, too.
//!
//! A [`Share`] begins with the first who comes in here and ends with the last who goes. It comes in at the engine
//! ([`Request::Attach`]), and is then the founder of the room or gets a copy from another server. As long as this server
//! is alone in the room, acts are carried out at once and the engine hears of none. Otherwise they wait until the engine
//! has put them in order: [`Share::act`] says nothing then, the answer comes later as [`Output::Answer`].
//!
//! One request is with the engine at a time, so that nothing overtakes: what has gathered meanwhile goes together in the
//! next one. A request without an answer is asked again.
//!
//! Whoever holds a share gives it what happens, with the time, carries out what it emits, in that order, and calls
//! [`Share::tick`] at [`Share::wake_at`].

mod asking;
mod following;
mod moving;
mod relaying;
mod telling;

pub use moving::HELD;
pub use relaying::Undelivered;
pub use telling::{Happened, News, UNTOLD};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::bus::Request;
use super::link::Link;
use super::replica::{Replica, Way};
use super::wire::{Direct, Entry, Incarnation, Post, ServerId};
use crate::core::{Act, Effect, Refusal, Room, Seat};
use crate::protocol::{CloseCode, LeaveReason};
use moving::{Awaited, Moving};
use telling::Happenings;

/// How long other servers may take to decide about somebody (R55, R78).
pub const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// The most acts that wait for the engine.
pub const PENDING: usize = 1024;
/// So many of one's own acts are kept after they were carried out, in case the engine loses its data.
const RETAINED: usize = 64;
/// A room is asked for so often until it comes.
const WANT_AGAIN: Duration = Duration::from_millis(300);
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
    /// Whether rooms make hosts of their members.
    pub makes_hosts: bool,
    /// After which time a server that has died is put out of its rooms at the latest, with a good way to the engine.
    pub gone_within: Duration,
}

/// What is to be done, in this order. `L` is the way to a member of this server, `C` what the answer to it needs.
#[derive(Debug)]
pub enum Output<'a, L, C> {
    /// For a member of this server. [`Effect::Departed`] and [`Effect::WakeAt`] do not come.
    Effect(Effect<'a, L>),
    /// Something has happened in the room, on whichever server: to be told to other programs. It comes on one server of
    /// the room alone.
    Happened(News),
    /// This stay was ended by somebody else, on whichever server it was.
    Dismissed(u64, CloseCode),
    /// What has become of an act, where it is known. (When it was carried out elsewhere while this server knew nothing,
    /// it is not.)
    Answer(C, Result<(), Refusal>),
    /// For the engine; its answer goes to [`Share::answered`].
    Ask(Request),
    /// To be published to one server.
    Tell(ServerId, Bytes),
    /// A member has moved to another server: its session, with what waits in it, goes to [`Share::ship`].
    Ship {
        /// Whose.
        seat: Seat,
        /// Where to.
        to: Post,
        /// The way that it had.
        handle: L,
    },
    /// A member has moved here, and this is its session. What comes for it follows.
    Adopt {
        /// Whose.
        seat: Seat,
        /// The way to it.
        to: &'a L,
        /// As it was given to [`Share::ship`].
        session: Bytes,
        /// The room, which knows by what it is here.
        room: &'a Room<Way>,
    },
    /// A member has moved here, and its session does not go on. It is to join, in another session, or to leave.
    Afresh {
        /// Who.
        seat: Seat,
        /// The way to it.
        handle: L,
    },
    /// Whether the members of this server are cut off from those of others, to be told to all of them.
    Degraded(bool),
    /// It has ended; [`Share::into_joins`] has what is left.
    Over,
}

/// Where what a share has to say goes.
pub type Emit<'a, L, C> = &'a mut dyn FnMut(Output<'_, L, C>);

/// More waits than the bound allows: to be tried again later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy;

/// An act of this server.
#[derive(Debug)]
pub struct Pending<L, C> {
    own: u64,
    /// What.
    pub act: Act,
    /// The way to who joins.
    pub handle: Option<L>,
    /// For the answer.
    pub context: Option<C>,
}

impl<L, C> Pending<L, C> {
    /// Whether this member comes in by it.
    fn brings(&self, seat: Seat) -> bool {
        self.handle.is_some() && self.act.seat() == Some(seat)
    }

    /// Whether this member has hung up by it. (A goodbye is said in another way, too: it ends a stay, not a socket.)
    fn hangs_up(&self, seat: Seat) -> bool {
        let ends = match self.act {
            Act::Lose { .. } => true,
            Act::Leave { reason, .. } => reason != LeaveReason::Left,
            _ => false,
        };
        ends && self.act.seat() == Some(seat)
    }

    /// Whether this member's socket ends by it.
    fn takes(&self, seat: Seat) -> bool {
        matches!(self.act, Act::Lose { .. } | Act::Leave { .. }) && self.act.seat() == Some(seat)
    }
}

/// Somebody whose session is here.
#[derive(Debug)]
struct Local<L> {
    handle: L,
    /// Has a socket, which is to be closed when the room knows this session no more.
    connected: bool,
    /// Its session is on its way.
    awaits: Option<Awaited>,
}

impl<L> Local<L> {
    /// Closes its socket, if it has one.
    fn close<C>(self, code: CloseCode, emit: Emit<'_, L, C>) {
        if self.connected {
            emit(Output::Effect(Effect::Close { handle: self.handle, code }));
        }
    }
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

/// What the engine has been asked and has not answered.
#[derive(Clone, Copy, Debug)]
enum Flight {
    Attach,
    Detach,
    Evict(Post),
    Found,
    /// Own numbers up to this one.
    Append(u64),
    Fetch,
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
    refresh_at: Duration,
    /// Since when there is nobody here any more.
    deserted: Option<Duration>,
    degraded: bool,
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
            refresh_at: Duration::ZERO,
            deserted: None,
            degraded: false,
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

    /// Who comes in by an act that is carried out now.
    fn newcomer(&self, seat: Seat, handle: L, awaits: Option<Awaited>) -> Local<L> {
        let connected = !self.pending.iter().any(|pending| pending.takes(seat));
        Local { handle, connected, awaits }
    }

    /// The way to who has its session here.
    pub fn local(&self, seat: Seat) -> Option<&L> {
        self.locals.get(&seat).map(|local| &local.handle)
    }

    /// Whether the session of somebody who is here is still on its way.
    pub fn awaits(&self, seat: Seat) -> bool {
        self.locals.get(&seat).is_some_and(|local| local.awaits.is_some())
    }

    /// The way that somebody had here who has gone on to another server, as long as its session has not.
    pub fn leaving(&self, seat: Seat) -> Option<&L> {
        self.moving.get(&seat).and_then(Moving::local)
    }

    /// All that have their session here, the ways to them, and whether they have a socket; who waits to be admitted, too.
    pub fn locals(&self) -> impl Iterator<Item = (Seat, &L, bool)> {
        self.locals.iter().map(|(seat, local)| (*seat, &local.handle, local.connected))
    }

    /// How many members have their session here.
    pub fn members(&self) -> usize {
        let Some(replica) = &self.replica else { return 0 };
        self.locals.keys().filter(|seat| replica.room().seat_of(seat.id) == Some(**seat)).count()
    }

    /// How many have their socket on another server, as far as this one knows.
    pub fn connected_elsewhere(&self) -> usize {
        let Some(replica) = &self.replica else { return 0 };
        replica.room().connected().filter(|way| way.home != Some(self.own)).count()
    }

    /// Whether anything here would be lost with this server: a session, or what another server has not said to have.
    pub fn holds_sessions(&self) -> bool {
        !(self.locals.is_empty() && self.moving.is_empty() && self.shipping.is_empty()) || self.lingers()
    }

    /// Sets the way to somebody whose session is here, and nothing else.
    pub fn divert(&mut self, seat: Seat, to: L) {
        if let Some(local) = self.locals.get_mut(&seat) {
            local.handle = to;
        }
    }

    /// Those who came in before this share was over and have not been let in: for the next one, in another session, since
    /// in this one they may have been in the room unseen.
    pub fn into_joins(self) -> impl Iterator<Item = Pending<L, C>> {
        self.pending.into_iter().filter(|pending| matches!(pending.act, Act::Join { .. }))
    }

    /// Does something in the name of a member of this server, or of the server. `handle` is the way to who joins, returns
    /// or moves here ([`Act::Return`] is for whose session is here, [`Act::Move`] for others), and to where what it misses
    /// waits for who is lost. Whoever comes in needs a `context`: a move is refused where the session is no more, and that
    /// member is to join.
    ///
    /// Whether it waits for other servers.
    pub fn act(
        &mut self,
        now: Duration,
        act: Act,
        handle: Option<L>,
        context: Option<C>,
        emit: Emit<'_, L, C>,
    ) -> Result<bool, Busy> {
        if let Act::Sync { seat } = act
            && let Some(shown) = self.show_now(seat)
        {
            emit(Output::Effect(shown));
            context.into_iter().for_each(|context| emit(Output::Answer(context, Ok(()))));
            return Ok(false);
        }
        // Bounded by the members there are: what ends something, or goes on.
        let must =
            matches!(act, Act::Lose { .. } | Act::Return { .. } | Act::Move { .. } | Act::Leave { .. } | Act::Tick);
        if !must && self.pending.len() >= PENDING {
            return Err(Busy);
        }
        let act = match act {
            Act::Return { seat } if !self.locals.contains_key(&seat) => Act::Move { seat },
            act => act,
        };
        let handle = match &act {
            Act::Lose { seat, .. } | Act::Return { seat } => {
                let connected = matches!(act, Act::Return { .. });
                if let Some(handle) = handle {
                    if let Some(local) = self.locals.get_mut(seat) {
                        (local.handle, local.connected) = (handle, connected);
                    } else if let Some(pending) = self.pending.iter_mut().find(|pending| pending.brings(*seat)) {
                        // Is lost before it is in.
                        pending.handle = Some(handle);
                    }
                }
                None
            }
            Act::Leave { seat, .. } => {
                if let Some(local) = self.locals.get_mut(seat) {
                    local.connected = false;
                }
                None
            }
            _ => handle,
        };
        self.acted += 1;
        self.pending.push_back(Pending { own: self.acted, act, handle, context });
        let own = self.acted;
        self.go_on(now, emit);
        Ok(self.pending.iter().any(|pending| pending.own == own))
    }

    /// The roster for a member of this server, where this copy's is right as it is: nothing waits to be announced with it,
    /// and nothing of the member's own to be done before. Otherwise all have to do the same.
    fn show_now(&self, seat: Seat) -> Option<Effect<'_, L>> {
        let local = self.locals.get(&seat).filter(|local| local.awaits.is_none())?;
        let says = self.pending.iter().any(|pending| pending.act.seat() == Some(seat));
        let frame = self.replica.as_ref().filter(|_| !says)?.room().roster_now(seat)?;
        Some(Effect::Send { seat, to: &local.handle, frame })
    }

    /// Whether somebody comes in, or comes back, by this act, and has hung up since. The engine is not asked for it any
    /// more: the comer may be elsewhere by now, and what is put in order later would count as coming later. What the engine
    /// was asked for before may have been carried out, so that the act still waits for its entry.
    fn has_hung_up(&self, pending: &Pending<L, C>) -> bool {
        let comer = pending.act.seat().filter(|seat| pending.brings(*seat));
        comer.is_some_and(|seat| self.pending.iter().any(|later| later.own > pending.own && later.hangs_up(seat)))
    }

    /// Takes back that somebody comes in, or comes back, where nobody has heard of it. Whether that was so; otherwise it is
    /// to leave, or to be lost.
    pub fn withdraw(&mut self, now: Duration, seat: Seat, emit: Emit<'_, L, C>) -> bool {
        let before = self.pending.len();
        let offered = self.offered;
        self.pending.retain(|pending| pending.own <= offered || !pending.brings(seat));
        let comes = |pending: &Pending<L, C>| pending.brings(seat) && !self.has_hung_up(pending);
        let withdrawn = self.pending.len() < before && !self.pending.iter().any(comes);
        if !self.asked && self.pending.is_empty() && self.locals.is_empty() {
            // As if it had never been: while the engine is away, it could not end otherwise.
            self.end(emit);
        }
        self.go_on(now, emit);
        withdrawn
    }

    /// Asks the engine for nothing before this time: this server was put out, and may be again until its lease is known.
    pub fn hold_off(&mut self, until: Duration) {
        self.retry_at = until;
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

    fn close_all(&mut self, emit: Emit<'_, L, C>) {
        let gone = std::mem::take(&mut self.moving).into_values().filter_map(Moving::into_local);
        for local in std::mem::take(&mut self.locals).into_values().chain(gone) {
            local.close(CloseCode::GoingAway, emit);
        }
    }

    fn new_room(&self) -> Room<Way> {
        Room::new(self.rules.capacity, self.rules.window).making_hosts(self.rules.makes_hosts)
    }
}

/// Carries out what concerns this server's own members.
///
/// What happens by it is noted in `news`, where it is an act.
fn carry_out<L, C>(
    own: Post,
    news: Option<&mut Happenings>,
    locals: &mut BTreeMap<Seat, Local<L>>,
    wakes: &mut BTreeSet<Duration>,
    effect: Effect<'_, Way>,
    emit: Emit<'_, L, C>,
) {
    if let Effect::Close { handle, code: code @ (CloseCode::Removed | CloseCode::Ended) } = &effect {
        emit(Output::Dismissed(handle.seat.session, *code));
    }
    match (&effect, news) {
        (Effect::Welcome { own, .. }, Some(news)) => news.joined(own),
        (Effect::Departed { peer, reason }, Some(news)) => news.left(peer, *reason),
        _ => {}
    }
    let is_own = |way: &Way| way.home == Some(own);
    match effect {
        Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers } if is_own(to) => {
            if let Some(Local { handle: to, .. }) = locals.get(&seat) {
                let welcome = Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers };
                emit(Output::Effect(welcome));
            }
        }
        Effect::Send { seat, to, frame } if is_own(to) => match locals.get_mut(&seat) {
            Some(Local { awaits: Some(awaited), .. }) => awaited.hold(frame),
            Some(Local { handle: to, .. }) => emit(Output::Effect(Effect::Send { seat, to, frame })),
            None => {}
        },
        Effect::Close { handle, code } if is_own(&handle) => {
            if let Some(Local { handle, .. }) = locals.remove(&handle.seat) {
                emit(Output::Effect(Effect::Close { handle, code }));
            }
        }
        Effect::WakeAt(at) => drop(wakes.insert(at)),
        Effect::Welcome { .. } | Effect::Send { .. } | Effect::Close { .. } | Effect::Departed { .. } => {}
    }
}
