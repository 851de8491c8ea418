//! Invariants of a room for arbitrary hosts, listeners and guests: random scripts against the pure core, seen from the
//! connections.

mod script;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use fastrand::Rng;
use proptest::prelude::{ProptestConfig, prop, proptest};
use roundtable::core::{Comeback, Grant, Input, REMOVED, Refusal, Room, STATE_INTERVAL, Seat, TokenId};
use roundtable::protocol::{
    CloseCode, Frame, LeaveReason, Moderation, PeerId, PeerName, Role, Settings, SettingsPatch, StatePatch, StateValue,
};
use serde_json::json;

use super::ends::{History, Out, View, give, peer_id, read, receivers};
use script::{IDS, step};

pub use script::Step;

const CAPACITY: usize = 3;

struct World {
    room: Room<u64>,
    makes_hosts: bool,
    now: Duration,
    woken: bool,
    sessions: u64,
    latest: HashMap<u8, u64>,
    views: HashMap<u64, View>,
    /// People in the lobby in the order of arrival.
    guests: Vec<(u64, PeerId)>,
    closed: HashMap<u64, CloseCode>,
    /// Former members, and the role in which they may return.
    former: HashMap<PeerId, Role>,
    removed: HashSet<PeerId>,
    /// Substitutes for an absent host.
    substitutes: HashSet<PeerId>,
    /// Participants who joined with the host key, if rooms have host keys.
    key_holders: HashSet<PeerId>,
    history: History,
}

impl World {
    fn new(makes_hosts: bool) -> Self {
        Self {
            room: Room::new(CAPACITY, Duration::from_secs(20)).making_hosts(makes_hosts),
            makes_hosts,
            now: Duration::ZERO,
            woken: false,
            sessions: 0,
            latest: HashMap::new(),
            views: HashMap::new(),
            guests: Vec::new(),
            closed: HashMap::new(),
            former: HashMap::new(),
            removed: HashSet::new(),
            substitutes: HashSet::new(),
            key_holders: HashSet::new(),
            history: History::new(),
        }
    }

    fn seat(&self, id: u8) -> Seat {
        Seat { id: peer_id(id), session: self.latest.get(&id).copied().unwrap_or(u64::MAX) }
    }

    fn view(&self, id: PeerId) -> Option<&View> {
        self.views.values().find(|view| view.id == id)
    }

    /// Returns the role of a member, or the error that anybody else gets.
    fn role(&self, id: u8) -> Result<Role, Refusal> {
        let session = self.seat(id).session;
        match self.views.get(&session) {
            Some(view) => Ok(view.role),
            None if self.guests.iter().any(|(guest, _)| *guest == session) => Err(Refusal::NotAdmitted),
            None => Err(Refusal::NotMember),
        }
    }

    fn give(&mut self, input: Input<u64>) -> (Result<(), Refusal>, Vec<Out>) {
        let (result, out) = give(&mut self.room, self.now, input, &mut |_| self.woken = true);
        for out in &out {
            self.take_in(out);
        }
        if self.room.is_empty() {
            self.former.clear();
            self.removed.clear();
            self.substitutes.clear();
            self.key_holders.clear();
        }
        (result, out)
    }

    fn take_in(&mut self, out: &Out) {
        match out {
            Out::Welcome { session, view } => {
                assert!(!self.closed.contains_key(session), "{session} was welcomed after its end");
                self.guests.retain(|(guest, _)| guest != session);
                assert!(self.views.insert(*session, view.clone()).is_none(), "welcomed twice");
            }
            Out::Close { session, code } => {
                if let Some(view) = self.views.remove(session)
                    && *code == CloseCode::Removed
                {
                    self.former.remove(&view.id);
                    self.removed.insert(view.id);
                }
                self.guests.retain(|(guest, _)| guest != session);
                assert_eq!(self.closed.insert(*session, *code), None, "closed twice");
            }
            Out::Send { session, message } => {
                if message["type"] == "role" {
                    let id: PeerId = read(&message["id"]);
                    match &message["reason"] {
                        reason if *reason == "host_absent" => self.substitutes.insert(id),
                        _ => self.substitutes.remove(&id),
                    };
                }
                assert!(!self.closed.contains_key(session), "{message} after the end");
                match self.views.get_mut(session) {
                    Some(view) => view.receive(message, &mut self.history),
                    None => {
                        assert_eq!(*message, json!({"type": "waiting"}), "a guest received another message");
                        let latest = self.latest.iter().find(|(_, latest)| *latest == session).unwrap();
                        assert!(self.guests.iter().all(|(guest, _)| guest != session), "notified twice");
                        self.guests.push((*session, peer_id(*latest.0)));
                    }
                }
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { id, settings, granted } => self.join(id, settings, granted),
            Step::Leave { id } => {
                let seat = self.seat(id);
                let expected = self.role(id);
                if let Some(view) = self.views.remove(&seat.session) {
                    let role = if self.substitutes.remove(&view.id) { Role::Participant } else { view.role };
                    self.former.insert(view.id, role);
                }
                self.guests.retain(|(guest, _)| *guest != seat.session);
                let (result, _) = self.give(Input::Leave { seat, reason: LeaveReason::Closed });
                assert_eq!(result.is_ok(), !matches!(expected, Err(Refusal::NotMember)));
                self.latest.remove(&id);
            }
            Step::Broadcast { id } => {
                let frame = Frame::text([r#"{"type":"broadcast","data":1}"#]);
                let from = self.seat(id);
                let expected = self.role(id).map(|role| role != Role::Listener);
                let (result, out) = self.give(Input::Broadcast { from, frame });
                let got = receivers(&out, "broadcast");
                match expected {
                    Ok(true) => {
                        let mut others: Vec<u64> = self.views.keys().copied().filter(|s| *s != from.session).collect();
                        others.sort_unstable();
                        assert_eq!((result, got), (Ok(()), others));
                    }
                    Ok(false) => assert!(matches!(result, Err(Refusal::NotAllowed(_)))),
                    Err(refusal) => assert_eq!(result, Err(refusal)),
                }
            }
            Step::Signal { from, to } => {
                let frame = Frame::text([r#"{"type":"signal","data":1}"#]);
                let (role, receiver) = (self.role(from), self.view(peer_id(to)).map(|view| view.role));
                let (result, out) = self.give(Input::Signal { from: self.seat(from), to: Some(peer_id(to)), frame });
                match (role, receiver) {
                    (Err(refusal), _) => assert_eq!(result, Err(refusal)),
                    _ if from == to => assert_eq!(result, Err(Refusal::SignalToSelf)),
                    (_, None) => assert_eq!(result, Err(Refusal::PeerNotFound)),
                    (Ok(Role::Listener), Some(Role::Listener)) => {
                        assert!(matches!(result, Err(Refusal::NotAllowed(_))));
                    }
                    _ => assert_eq!(receivers(&out, "signal"), [self.seat(to).session]),
                }
            }
            Step::State { id, key, on } => {
                let patch = StatePatch::from([(key, Some(StateValue::Flag(on)))]);
                let role = self.role(id);
                let (result, _) = self.give(Input::State { seat: self.seat(id), patch });
                match role {
                    Err(refusal) => assert_eq!(result, Err(refusal)),
                    Ok(Role::Listener) if on && key != "hand" => {
                        assert!(matches!(result, Err(Refusal::NotAllowed(_))));
                    }
                    Ok(_) => assert_eq!(result, Ok(())),
                }
            }
            Step::Sync { id } => {
                let role = self.role(id);
                let (result, _) = self.give(Input::Sync { seat: self.seat(id) });
                assert_eq!(result, role.map(drop));
            }
            Step::Act { by, act } => self.act(by, act),
            Step::Wait => {
                self.now += STATE_INTERVAL;
                if std::mem::take(&mut self.woken) {
                    assert_eq!(self.give(Input::Tick).0, Ok(()));
                }
            }
        }
    }

    fn join(&mut self, id: u8, settings: SettingsPatch, granted: Option<Role>) {
        let known = self.view(peer_id(id)).map(|view| view.role);
        let old = known.and(self.latest.get(&id).copied());
        let others_wait = self.guests.iter().filter(|(_, guest)| *guest != peer_id(id)).count();
        let set = self.room.settings();
        let newcomer = if set.talk { Role::Listener } else { Role::Participant };
        let by_host = granted == Some(Role::Host);
        let by_host_key = self.makes_hosts && by_host;
        let key_is_invalid = by_host_key && !self.key_holders.is_disjoint(&self.removed);
        let role = granted.filter(|_| !key_is_invalid);
        let expected = match known.or_else(|| self.former.get(&peer_id(id)).copied()) {
            None if key_is_invalid || self.removed.contains(&peer_id(id)) => {
                Err(Refusal::Dismissed(CloseCode::Removed))
            }
            _ if role == Some(Role::Host) => Ok(role),
            Some(former) if self.makes_hosts => Ok(Some(former)),
            Some(Role::Host) => Ok(granted.or(Some(newcomer))),
            Some(former) => Ok(Some(least(former, role))),
            None if self.room.is_empty() && self.makes_hosts => Ok(Some(Role::Host)),
            None if self.room.len() >= CAPACITY => Err(Refusal::RoomFull),
            None if set.locked => Err(Refusal::RoomLocked),
            None if set.lobby && others_wait == CAPACITY => Err(Refusal::RoomFull),
            None if set.lobby => Ok(None),
            None => Ok(granted.or(Some(newcomer))),
        };
        let expected = expected.and_then(|role| {
            let seats = CAPACITY + usize::from(by_host && !key_is_invalid);
            let fits = role.is_none() || known.is_some() || self.room.len() < seats;
            fits.then_some(role).ok_or(Refusal::RoomFull)
        });
        let lacks_host = !self.room.is_empty() && self.views.values().all(|view| view.role != Role::Host);
        let takes_place = self.makes_hosts && lacks_host && expected == Ok(Some(Role::Participant));
        let expected = if takes_place { Ok(Some(Role::Host)) } else { expected };
        let stays_substitute = known.is_some() && role != Some(Role::Host) && self.substitutes.contains(&peer_id(id));
        let makes = self.room.is_empty();
        self.sessions += 1;
        let session = self.sessions;
        let before = self.latest.insert(id, session);
        let (result, _) = self.give(Input::Join {
            seat: Seat { id: peer_id(id), session },
            name: PeerName::new("Ada").unwrap(),
            state: StatePatch::from([("mic", Some(StateValue::Flag(true)))]),
            settings,
            comeback: Comeback { known: true, refused: None },
            grant: Grant { role: granted, ..Grant::default() },
            handle: session,
        });
        assert_eq!(result, expected.as_ref().map(drop).map_err(clone));
        match expected {
            Ok(Some(role)) => {
                assert_eq!(self.views[&session].role, role);
                if takes_place || stays_substitute {
                    self.substitutes.insert(peer_id(id));
                } else if role == Role::Host {
                    assert!(
                        self.substitutes.iter().all(|other| *other == peer_id(id)),
                        "a substitute, although the host has returned"
                    );
                    self.substitutes.clear();
                }
                if by_host_key {
                    self.key_holders.insert(peer_id(id));
                }
                assert_eq!(old.map(|old| self.closed[&old]), old.map(|_| CloseCode::Superseded));
            }
            Ok(None) => assert_eq!(self.guests.last(), Some(&(session, peer_id(id)))),
            // A guest whose repeated join is rejected still waits.
            Err(_) => drop(before.map(|before| self.latest.insert(id, before))),
        }
        if makes && expected.is_ok() {
            let asked = if expected == Ok(Some(Role::Host)) { settings } else { SettingsPatch::default() };
            assert_eq!(
                self.room.settings(),
                asked.apply(Settings::default()),
                "the room was not created with the host's settings"
            );
        }
    }

    fn act(&mut self, by: u8, act: Moderation) {
        let seat = self.seat(by);
        let role = self.role(by);
        let hosts = self.views.values().filter(|view| view.role == Role::Host).count();
        let session = |world: &Self, id: PeerId| world.views.iter().find(|(_, view)| view.id == id).map(|(s, _)| *s);
        let guest = |world: &Self, id: PeerId| world.guests.iter().find(|(_, guest)| *guest == id).map(|(s, _)| *s);
        let member_of = |id: PeerId| session(self, id).ok_or(Refusal::PeerNotFound);
        let refused = || Refusal::NotAllowed("");
        let (member, waits) = match act {
            Moderation::Role { to, .. }
            | Moderation::Ask { to, .. }
            | Moderation::SwitchOff { to, .. }
            | Moderation::Remove { to } => (session(self, to), None),
            Moderation::Admit { to } | Moderation::Refuse { to } => (None, guest(self, to)),
            Moderation::Settings { .. } | Moderation::RefuseAll | Moderation::End => (None, None),
        };
        let expected = match (role, act) {
            (Err(refusal), _) => Err(refusal),
            (Ok(Role::Participant | Role::Listener), _) => Err(refused()),
            (_, Moderation::Settings { .. } | Moderation::RefuseAll | Moderation::End) => Ok(()),
            (_, Moderation::Role { to, role }) if to == seat.id && hosts == 1 && role != Role::Host => Err(refused()),
            (_, Moderation::Remove { to }) if to == seat.id => Err(refused()),
            (_, Moderation::Admit { .. }) if waits.is_some() && self.room.len() >= CAPACITY => Err(Refusal::RoomFull),
            (_, Moderation::Admit { .. } | Moderation::Refuse { .. }) => waits.map(drop).ok_or(Refusal::PeerNotFound),
            (
                _,
                Moderation::Role { to, .. }
                | Moderation::Ask { to, .. }
                | Moderation::SwitchOff { to, .. }
                | Moderation::Remove { to },
            ) => member_of(to).map(drop),
        };
        let waiting: Vec<u64> = self.guests.iter().map(|(session, _)| *session).collect();
        let everyone: Vec<u64> =
            self.views.keys().copied().chain(self.guests.iter().map(|(session, _)| *session)).collect();
        let (result, out) = self.give(Input::Moderate { seat, act });
        match (&result, &expected) {
            (Err(Refusal::NotAllowed(_)), Err(Refusal::NotAllowed(_))) => {}
            _ => assert_eq!(result, expected),
        }
        if result.is_err() {
            return;
        }
        match act {
            Moderation::Settings { settings } => {
                assert_eq!(settings.apply(self.room.settings()), self.room.settings());
            }
            Moderation::Role { role, .. } => assert_eq!(self.views[&member.unwrap()].role, role),
            Moderation::Ask { .. } => assert_eq!(receivers(&out, "asked"), [member.unwrap()]),
            Moderation::SwitchOff { to, what } => {
                assert_eq!(receivers(&out, "switched_off"), [member.unwrap()]);
                let (peer, _) = self.room.members().find(|(peer, _)| peer.id == to).unwrap();
                assert_ne!(peer.state.get(what.key()), Some(&StateValue::Flag(true)));
            }
            Moderation::Remove { to } => {
                assert_eq!(self.closed[&member.unwrap()], CloseCode::Removed);
                assert!(self.view(to).is_none());
            }
            Moderation::Admit { .. } => assert!(self.views.contains_key(&waits.unwrap())),
            Moderation::Refuse { .. } => assert_eq!(self.closed[&waits.unwrap()], CloseCode::Refused),
            Moderation::RefuseAll => {
                assert!(waiting.iter().all(|session| self.closed[session] == CloseCode::Refused));
                assert!(self.guests.is_empty());
            }
            Moderation::End => {
                assert!(self.room.is_empty());
                assert!(everyone.iter().all(|session| self.closed[session] == CloseCode::Ended));
            }
        }
    }

    fn check(&self) {
        let roster: BTreeMap<PeerId, Role> = self.room.members().map(|(peer, _)| (peer.id, peer.role)).collect();
        let has_host = roster.values().any(|role| *role == Role::Host);
        let only_listeners = roster.values().all(|role| *role == Role::Listener);
        assert!(!self.makes_hosts || has_host || only_listeners, "no member can moderate: {roster:?}");
        assert_eq!(roster.len(), self.views.len());
        // One place is for hosts only (R98).
        assert!(roster.len() <= CAPACITY + 1 && self.guests.len() <= CAPACITY);
        assert_eq!(self.room.handles().count(), self.views.len() + self.guests.len());
        let set = self.room.settings();
        if roster.is_empty() || set.locked || !set.lobby {
            assert_eq!(self.guests, [], "a lobby in an open or locked room");
        }
        let guests: Vec<String> = self.guests.iter().map(|(_, id)| id.to_string()).collect();
        for view in self.views.values() {
            assert_eq!((view.version, view.settings), (self.room.version(), set), "a view is outdated");
            let roles = view.peers.values().map(|peer| (read(&peer["id"]), read(&peer["role"])));
            let roles: BTreeMap<PeerId, Role> = roles.chain([(view.id, view.role)]).collect();
            assert_eq!(roles, roster, "a view has other roles");
            let shown = if view.role == Role::Host { &*guests } else { &[] };
            // A change of the lobby may be delayed until the tick.
            assert!(view.lobby == shown || self.woken, "the lobby is not shown to hosts exactly");
        }
        for (peer, _) in self.room.members().filter(|(peer, _)| peer.role == Role::Listener) {
            for key in ["mic", "camera", "screen"] {
                assert_ne!(peer.state.get(key), Some(&StateValue::Flag(true)), "a listener sends media");
            }
        }
    }
}

/// Returns the lesser of two roles.
fn least(role: Role, granted: Option<Role>) -> Role {
    let order = [Role::Listener, Role::Participant, Role::Host];
    order.into_iter().find(|least| *least == role || Some(*least) == granted).unwrap()
}

fn clone(refusal: &Refusal) -> Refusal {
    match refusal {
        Refusal::Dismissed(code) => Refusal::Dismissed(*code),
        Refusal::RoomFull => Refusal::RoomFull,
        Refusal::RoomLocked => Refusal::RoomLocked,
        other => panic!("{other:?}"),
    }
}

/// Runs a script and checks the invariants after each step.
pub fn check(makes_hosts: bool, steps: Vec<Step>) {
    let mut world = World::new(makes_hosts);
    for step in steps {
        world.run(step);
        world.check();
    }
    for id in 0..IDS {
        world.run(Step::Leave { id });
        world.check();
    }
    assert!(world.room.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hosts_decide_and_nobody_else(steps in prop::collection::vec(step(), 1..150), makes_hosts in prop::bool::weighted(0.7)) {
        check(makes_hosts, steps);
    }
}

/// Joins with an ID made from this number, with its secret or without.
fn enter(room: &mut Room<u64>, number: u64, known: bool) -> Result<Seat, Refusal> {
    enter_by(room, number, known, None)
}

fn enter_by(room: &mut Room<u64>, number: u64, known: bool, token: Option<TokenId>) -> Result<Seat, Refusal> {
    let mut random = [0; PeerId::LEN];
    for (at, byte) in random.iter_mut().enumerate() {
        *byte = (number >> (at * 6).min(63)) as u8 & 63;
    }
    let seat = Seat { id: PeerId::from_random(random), session: number };
    let (name, state) = (PeerName::new("Ada").unwrap(), StatePatch::default());
    let settings = SettingsPatch::default();
    let comeback = Comeback { known, refused: None };
    let grant = Grant { token, ..Grant::default() };
    let join = Input::Join { seat, name, state, settings, comeback, grant, handle: number };
    room.handle(Duration::ZERO, join, &mut |_| {}).map(|()| seat)
}

#[test]
fn a_room_remembers_a_bounded_number_of_those_who_left() {
    let mut room = Room::new(CAPACITY, Duration::from_secs(20));
    let host = enter(&mut room, 0, false).unwrap();
    for session in 1..=300 {
        let seat = enter(&mut room, session, false).unwrap();
        room.handle(Duration::ZERO, Input::Leave { seat, reason: LeaveReason::Left }, &mut |_| {}).unwrap();
    }
    let locked = SettingsPatch { locked: Some(true), ..SettingsPatch::default() };
    let act = Moderation::Settings { settings: locked };
    room.handle(Duration::ZERO, Input::Moderate { seat: host, act }, &mut |_| {}).unwrap();
    assert_eq!(enter(&mut room, 44, true).err(), Some(Refusal::RoomLocked), "still remembered after 257 others left");
    assert!(enter(&mut room, 45, true).is_ok());
}

#[test]
fn r45_no_number_of_removals_lets_the_first_one_back_in() {
    let mut room = Room::new(CAPACITY, Duration::from_secs(20));
    let seat = enter(&mut room, 0, false).unwrap();
    let bob = enter(&mut room, 1, false).unwrap();
    room.handle(Duration::ZERO, Input::Leave { seat: bob, reason: LeaveReason::Left }, &mut |_| {}).unwrap();
    for number in 2..REMOVED as u64 + 4 {
        let to = enter(&mut room, number, false).unwrap().id;
        let act = Moderation::Remove { to };
        room.handle(Duration::ZERO, Input::Moderate { seat, act }, &mut |_| {}).unwrap();
    }
    for number in 2..REMOVED as u64 + 4 {
        assert_eq!(enter(&mut room, number, true).err(), Some(Refusal::Dismissed(CloseCode::Removed)), "{number}");
    }
    assert!(enter(&mut room, 1, true).is_ok(), "a former member was not remembered");
}

#[test]
fn r45_no_number_of_removals_makes_a_token_good_again() {
    // Like the halves of a digest.
    let mut digests = Rng::with_seed(1);
    let mut room = Room::new(CAPACITY, Duration::from_secs(20));
    let seat = enter(&mut room, 0, false).unwrap();
    let tokens: Vec<_> = (0..4 * REMOVED).map(|_| TokenId(digests.u64(..), digests.u64(..))).collect();
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    let mut refused = 0;
    for token in &tokens {
        match enter_by(&mut room, next(), false, Some(*token)) {
            Ok(Seat { id: to, .. }) => {
                let act = Moderation::Remove { to };
                room.handle(Duration::ZERO, Input::Moderate { seat, act }, &mut |_| {}).unwrap();
            }
            Err(why) => {
                assert_eq!(why, Refusal::Dismissed(CloseCode::Removed));
                refused += 1;
            }
        }
    }
    for token in &tokens {
        let back = enter_by(&mut room, next(), false, Some(*token));
        assert_eq!(back.err(), Some(Refusal::Dismissed(CloseCode::Removed)));
    }
    for _ in 0..1_000 {
        match enter_by(&mut room, next(), false, Some(TokenId(digests.u64(..), digests.u64(..)))) {
            Ok(seat) => {
                room.handle(Duration::ZERO, Input::Leave { seat, reason: LeaveReason::Left }, &mut |_| {}).unwrap();
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused <= 10, "{refused} other tokens are rejected after {} removals", tokens.len());
}
