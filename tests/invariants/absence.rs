//! Invariants of a room for arbitrary members: random scripts against the pure core.

mod script;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, prop, proptest};
use roundtable::core::{Comeback, Grant, Input, Refusal, Room, STATE_INTERVAL, Seat};
use roundtable::protocol::{
    CloseCode, Frame, LeaveReason, PeerId, PeerName, Role, SettingsPatch, StatePatch, StateValue,
};
use serde_json::{Value, json};

use super::ends::{History, Out, View, give, peer_id, receivers};
use script::{IDS, step};

pub use script::Step;

const CAPACITY: usize = 3;
const WINDOW: Duration = Duration::from_millis(200);

/// The room, all of its output, and the invariants.
struct World {
    room: Room<u64>,
    now: Duration,
    wakes: Vec<Duration>,
    sessions: u64,
    /// Session of each present member, as the script expects it.
    present: HashMap<u8, u64>,
    /// Previous session of each member, which has no rights any more.
    former: HashMap<u8, u64>,
    /// Time until which each disconnected member may reconnect.
    lost: HashMap<u8, Duration>,
    views: HashMap<u64, View>,
    /// Member states as the script expects them, announced or not.
    states: HashMap<u8, BTreeMap<String, bool>>,
    history: History,
    /// Time of the last announcement of states.
    announced_at: Option<Duration>,
    closed: Vec<u64>,
}

fn hosts(room: &Room<u64>) -> Vec<PeerId> {
    room.members().filter(|(peer, _)| peer.role == Role::Host).map(|(peer, _)| peer.id).collect()
}

fn patch(key: u8, value: Option<bool>) -> StatePatch {
    StatePatch::from([(&*format!("k{key}"), value.map(StateValue::Flag))])
}

impl World {
    fn new() -> Self {
        Self {
            room: Room::new(CAPACITY, WINDOW),
            now: Duration::ZERO,
            wakes: Vec::new(),
            sessions: 0,
            present: HashMap::new(),
            former: HashMap::new(),
            lost: HashMap::new(),
            views: HashMap::new(),
            states: HashMap::new(),
            history: History::new(),
            announced_at: None,
            closed: Vec::new(),
        }
    }

    /// Returns the seat that a step acts for, which may not exist.
    fn seat(&self, id: u8, stale: bool) -> Seat {
        let sessions = if stale { &self.former } else { &self.present };
        Seat { id: peer_id(id), session: sessions.get(&id).copied().unwrap_or(u64::MAX) }
    }

    fn is_member(&self, id: u8, stale: bool) -> bool {
        !stale && self.present.contains_key(&id)
    }

    fn give(&mut self, input: Input<u64>) -> (Result<(), Refusal>, Vec<Out>) {
        let (result, out) = give(&mut self.room, self.now, input, &mut |at| self.wakes.push(at));
        self.take_in(&out);
        (result, out)
    }

    fn take_in(&mut self, out: &[Out]) {
        for out in out {
            match out {
                Out::Welcome { session, view } => {
                    assert!(self.views.insert(*session, view.clone()).is_none(), "welcomed twice");
                }
                Out::Close { session, code } => {
                    assert_eq!(*code, CloseCode::Superseded);
                    self.views.remove(session);
                    self.closed.push(*session);
                }
                Out::Send { session, message } => {
                    let view = self.views.get_mut(session);
                    let view = view.expect("a message before the welcome or after the end");
                    view.receive(message, &mut self.history);
                }
            }
        }
    }

    fn frame(&self, kind: &str, from: u8) -> Frame {
        Frame::text([&json!({"type": kind, "from": peer_id(from), "data": self.sessions}).to_string()])
    }

    fn all_but(&self, id: Option<u8>) -> Vec<u64> {
        let mut sessions: Vec<u64> =
            self.present.iter().filter(|(other, _)| Some(**other) != id).map(|(_, session)| *session).collect();
        sessions.sort_unstable();
        sessions
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { id, mic } => self.join(id, mic),
            Step::Leave { id, stale } => {
                let seat = self.seat(id, stale);
                let member = self.is_member(id, stale);
                let before: Vec<PeerId> = hosts(&self.room).into_iter().filter(|host| *host != peer_id(id)).collect();
                if member {
                    self.views.remove(&seat.session);
                }
                let (result, out) = self.give(Input::Leave { seat, reason: LeaveReason::Left });
                assert_eq!(result.is_ok(), member);
                if member {
                    self.gone(id);
                    assert_eq!(receivers(&out, "peer_left"), self.all_but(None), "not announced to each member once");
                    let mut expected = self.present.len();
                    if hosts(&self.room) != before {
                        assert_eq!(
                            receivers(&out, "role"),
                            self.all_but(None),
                            "the new host was not announced to each member once"
                        );
                        expected *= 2;
                    }
                    assert_eq!(out.len(), expected, "unexpected output");
                }
            }
            Step::Lose { id, stale } => self.lose(id, stale),
            Step::Return { id } => self.take_back(id),
            Step::Signal { from, to, stale } => {
                let input = Input::Signal {
                    from: self.seat(from, stale),
                    to: Some(peer_id(to)),
                    frame: self.frame("signal", from),
                };
                let expected = match () {
                    () if !self.is_member(from, stale) => Err(Refusal::NotMember),
                    () if from == to => Err(Refusal::SignalToSelf),
                    () => self.present.get(&to).copied().ok_or(Refusal::PeerNotFound),
                };
                match (self.give(input), expected) {
                    ((Ok(()), out), Ok(receiver)) => {
                        assert_eq!((receivers(&out, "signal"), out.len()), (vec![receiver], 1));
                    }
                    ((result, _), expected) => assert_eq!(result, expected.map(drop)),
                }
            }
            Step::Broadcast { from, stale } => {
                let input = Input::Broadcast { from: self.seat(from, stale), frame: self.frame("broadcast", from) };
                let (result, out) = self.give(input);
                assert_eq!(result.is_ok(), self.is_member(from, stale));
                if result.is_ok() {
                    let others = self.all_but(Some(from));
                    assert_eq!(out.len(), others.len());
                    assert_eq!(receivers(&out, "broadcast"), others, "not sent to everybody else exactly");
                }
            }
            Step::State { id, stale, key, value } => {
                let (result, out) = self.give(Input::State { seat: self.seat(id, stale), patch: patch(key, value) });
                assert_eq!(result.is_ok(), self.is_member(id, stale));
                if result.is_ok() {
                    let state = self.states.get_mut(&id).unwrap();
                    match value {
                        Some(value) => drop(state.insert(format!("k{key}"), value)),
                        None => drop(state.remove(&format!("k{key}"))),
                    }
                }
                self.note_announcement(&out, false);
            }
            Step::BadState { id } => {
                let seventeen: [String; 17] = std::array::from_fn(|i| format!("many{i}"));
                let entries = seventeen.each_ref().map(|key| (&**key, Some(StateValue::Flag(true))));
                let (result, _) =
                    self.give(Input::State { seat: self.seat(id, false), patch: StatePatch::from(entries) });
                assert!(matches!(result, Err(Refusal::StateInvalid(_) | Refusal::NotMember)), "{result:?}");
            }
            Step::Sync { id, stale } => {
                let seat = self.seat(id, stale);
                let (result, out) = self.give(Input::Sync { seat });
                assert_eq!(result.is_ok(), self.is_member(id, stale));
                if result.is_ok() {
                    assert_eq!(receivers(&out, "roster"), [seat.session]);
                    self.note_announcement(&out, true);
                    self.all_is_announced();
                }
            }
            Step::StrayTick => self.tick(),
            Step::Wait { millis } => self.wait(Duration::from_millis(millis)),
        }
    }

    fn lose(&mut self, id: u8, stale: bool) {
        let seat = self.seat(id, stale);
        // A disconnected member has no socket to lose.
        if !stale && self.lost.contains_key(&id) {
            return;
        }
        let (result, out) = self.give(Input::Lose { seat, reason: LeaveReason::Closed, handle: seat.session });
        assert_eq!(result.is_ok(), self.is_member(id, stale));
        if result.is_ok() {
            self.lost.insert(id, self.now + WINDOW);
            assert_eq!((receivers(&out, "link"), out.len()), (self.all_but(None), self.present.len()));
        }
    }

    fn take_back(&mut self, id: u8) {
        self.sessions += 1;
        let session = self.sessions;
        let before = self.present.get(&id).copied();
        if let Some(before) = before {
            let view = self.views.remove(&before).unwrap();
            self.views.insert(session, view);
            self.present.insert(id, session);
            self.former.insert(id, before);
        }
        let (result, out) = self.give(Input::Return { seat: Seat { id: peer_id(id), session }, handle: session });
        assert_eq!(result.is_ok(), before.is_some());
        let told = if self.lost.remove(&id).is_some() { self.all_but(None) } else { Vec::new() };
        assert_eq!(receivers(&out, "link"), told, "the reconnect was not announced as the disconnect was");
        assert_eq!(out.len(), told.len());
    }

    fn join(&mut self, id: u8, mic: bool) {
        self.sessions += 1;
        let session = self.sessions;
        let before = self.present.get(&id).copied();
        let fits = before.is_some() || self.present.len() < CAPACITY;
        let earlier = self.all_but(Some(id));
        let (result, out) = self.give(Input::Join {
            seat: Seat { id: peer_id(id), session },
            name: PeerName::new("Ada").unwrap(),
            state: StatePatch::from([("mic", Some(StateValue::Flag(mic)))]),
            settings: SettingsPatch::default(),
            comeback: Comeback { known: before.is_some(), refused: None },
            grant: Grant::default(),
            handle: session,
        });
        if !fits {
            assert_eq!(result, Err(Refusal::RoomFull));
            self.former.insert(id, session);
            return;
        }
        assert_eq!(result, Ok(()));
        if before.is_some() {
            self.gone(id);
            assert_eq!(self.closed.last(), before.as_ref(), "the old connection was not closed");
            assert_eq!(receivers(&out, "peer_left"), earlier);
        }
        self.present.insert(id, session);
        self.states.insert(id, BTreeMap::from([("mic".to_owned(), mic)]));
        assert_eq!(receivers(&out, "peer_joined"), earlier, "not announced to each other member once");
        self.note_announcement(&out, true);
        self.all_is_announced();
        assert_eq!(self.views[&session].version, self.room.version(), "the snapshot is outdated");
    }

    fn gone(&mut self, id: u8) {
        let session = self.present.remove(&id).unwrap();
        self.former.insert(id, session);
        self.states.remove(&id);
        self.lost.remove(&id);
    }

    /// Checks the interval between announcements of states, except for those that a snapshot forces.
    fn note_announcement(&mut self, out: &[Out], forced: bool) {
        if receivers(out, "state").is_empty() {
            return;
        }
        if !forced && let Some(before) = self.announced_at {
            assert!(self.now >= before + STATE_INTERVAL, "{:?} after {before:?} is too soon", self.now);
        }
        self.announced_at = Some(self.now);
    }

    fn tick(&mut self) {
        let late: Vec<u8> = self.lost.iter().filter(|(_, until)| **until <= self.now).map(|(id, _)| *id).collect();
        late.iter().for_each(|id| self.gone(*id));
        let (result, out) = self.give(Input::Tick);
        assert_eq!(result, Ok(()));
        let left = out.iter().filter_map(|out| match out {
            Out::Send { message, .. } if message["type"] == "peer_left" => Some(message["version"].to_string()),
            _ => None,
        });
        // Nobody sees the last member leave.
        let left: BTreeSet<String> = left.collect();
        assert!(
            (late.len().saturating_sub(1)..=late.len()).contains(&left.len()),
            "{late:?} left, {left:?} was announced"
        );
        late.iter().for_each(|id| drop(self.views.remove(&self.former[id])));
        self.note_announcement(&out, false);
    }

    /// Advances the clock, with the ticks that the room has requested.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.wakes.iter().copied().filter(|at| *at <= end).min() {
            self.wakes.retain(|wake| *wake != at);
            self.now = self.now.max(at);
            self.tick();
        }
        self.now = end;
    }

    /// Checks that everybody's view equals the room, including states.
    fn all_is_announced(&self) {
        for (id, session) in &self.present {
            let view = &self.views[session];
            assert_eq!(view.version, self.room.version());
            let mut expected: BTreeMap<String, Value> = BTreeMap::new();
            for (other, state) in self.states.iter().filter(|(other, _)| *other != id) {
                let host = hosts(&self.room).contains(&peer_id(*other));
                let role = if host { Role::Host } else { Role::Participant };
                let mut peer = json!({"id": peer_id(*other), "name": "Ada", "role": role, "state": state});
                if self.lost.contains_key(other) {
                    peer["link"] = json!("lost");
                }
                expected.insert(peer_id(*other).to_string(), peer);
            }
            assert_eq!(view.peers, expected);
        }
    }

    fn check(&self) {
        assert_eq!(self.room.len(), self.present.len());
        assert_eq!(self.room.is_empty(), self.present.is_empty());
        assert_eq!(self.room.members().count(), self.present.len());
        assert!(self.room.len() <= CAPACITY);
        for session in self.present.values() {
            assert_eq!(self.views[session].version, self.room.version(), "a view is outdated");
        }
    }
}

/// Runs a script and checks the invariants after each step.
pub fn check(steps: Vec<Step>) {
    let mut world = World::new();
    for step in steps {
        world.run(step);
        world.check();
    }
    // After at most one interval, nothing is left to announce.
    world.wait(WINDOW + STATE_INTERVAL);
    assert!(world.lost.is_empty(), "a member is disconnected for ever");
    world.all_is_announced();
    assert!(world.wakes.is_empty());
    for id in 0..IDS {
        world.run(Step::Leave { id, stale: false });
    }
    assert!(world.room.is_empty());
    // An empty room requests no ticks.
    world.wait(2 * STATE_INTERVAL);
    assert!(world.wakes.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_room_keeps_its_rules(steps in prop::collection::vec(step(), 1..120)) {
        check(steps);
    }
}
