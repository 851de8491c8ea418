//! What holds in a room whatever happens: random scripts against the pure core.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use roundtable::core::{Comeback, Effect, Grant, Input, Refusal, Room, STATE_INTERVAL, Seat};
use roundtable::protocol::{
    CloseCode, Frame, LeaveReason, PeerId, PeerName, Role, SettingsPatch, StatePatch, StateValue,
};
use serde_json::{Value, json};

const CAPACITY: usize = 3;
const WINDOW: Duration = Duration::from_millis(200);
/// More ids than places, so that rooms are full now and then.
const IDS: u8 = 5;

/// One line of a script. `stale` says it in the name of the session before the last.
#[derive(Arbitrary, Clone, Debug)]
pub enum Step {
    Join {
        #[arbitrary(with = some_id)]
        id: u8,
        mic: bool,
    },
    Leave {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
    },
    /// Its socket ends without a goodbye.
    Lose {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
    },
    /// Another socket goes on with its session.
    Return {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Signal {
        #[arbitrary(with = some_id)]
        from: u8,
        #[arbitrary(with = some_id)]
        to: u8,
        stale: bool,
    },
    Broadcast {
        #[arbitrary(with = some_id)]
        from: u8,
        stale: bool,
    },
    State {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
        #[arbitrary(with = |random: &mut Unstructured<'_>| random.int_in_range(0..=2))]
        key: u8,
        value: Option<bool>,
    },
    /// Seventeen keys.
    BadState {
        #[arbitrary(with = some_id)]
        id: u8,
    },
    Sync {
        #[arbitrary(with = some_id)]
        id: u8,
        stale: bool,
    },
    /// A tick that nobody asked for: of an earlier room of this name.
    StrayTick,
    Wait {
        #[arbitrary(with = |random: &mut Unstructured<'_>| random.int_in_range(0..=149))]
        millis: u64,
    },
}

fn some_id(random: &mut Unstructured<'_>) -> arbitrary::Result<u8> {
    random.int_in_range(0..=IDS - 1)
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..IDS;
    // Mostly the present session.
    let stale = || prop::bool::weighted(0.2);
    prop_oneof![
        4 => (id(), any::<bool>()).prop_map(|(id, mic)| Step::Join { id, mic }),
        2 => (id(), stale()).prop_map(|(id, stale)| Step::Leave { id, stale }),
        2 => (id(), stale()).prop_map(|(id, stale)| Step::Lose { id, stale }),
        2 => id().prop_map(|id| Step::Return { id }),
        2 => (id(), id(), stale()).prop_map(|(from, to, stale)| Step::Signal { from, to, stale }),
        2 => (id(), stale()).prop_map(|(from, stale)| Step::Broadcast { from, stale }),
        6 => (id(), stale(), 0..3_u8, any::<Option<bool>>())
            .prop_map(|(id, stale, key, value)| Step::State { id, stale, key, value }),
        1 => id().prop_map(|id| Step::BadState { id }),
        2 => (id(), stale()).prop_map(|(id, stale)| Step::Sync { id, stale }),
        1 => Just(Step::StrayTick),
        4 => (0..150_u64).prop_map(|millis| Step::Wait { millis }),
    ]
}

/// What one member's client knows, from its welcome on.
#[derive(Debug)]
struct View {
    version: u64,
    peers: BTreeMap<String, Value>,
}

/// The room, everything that came out of it, and the rules it is held to.
struct World {
    room: Room<u64>,
    now: Duration,
    wakes: Vec<Duration>,
    sessions: u64,
    /// The session of each member that is in, as the script has it.
    present: HashMap<u8, u64>,
    /// Who was in before: has no rights any more.
    former: HashMap<u8, u64>,
    /// Until when those who are lost may come back.
    lost: HashMap<u8, Duration>,
    views: HashMap<u64, View>,
    /// The room's states as the script has them, announced or not.
    states: HashMap<u8, BTreeMap<String, bool>>,
    history: BTreeMap<u64, Value>,
    /// When states were last announced.
    announced_at: Option<Duration>,
    closed: Vec<u64>,
}

/// What one input led to.
#[derive(Debug)]
enum Out {
    Welcome { session: u64, version: u64, peers: Vec<Value> },
    Send { session: u64, message: Value },
    Close { session: u64, code: CloseCode },
}

fn peer_id(id: u8) -> PeerId {
    PeerId::from_random([id; PeerId::LEN])
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
            history: BTreeMap::new(),
            announced_at: None,
            closed: Vec::new(),
        }
    }

    /// The seat in whose name a step speaks: perhaps one that does not exist.
    fn seat(&self, id: u8, stale: bool) -> Seat {
        let sessions = if stale { &self.former } else { &self.present };
        Seat { id: peer_id(id), session: sessions.get(&id).copied().unwrap_or(u64::MAX) }
    }

    fn is_member(&self, id: u8, stale: bool) -> bool {
        !stale && self.present.contains_key(&id)
    }

    fn give(&mut self, input: Input<u64>) -> (Result<(), Refusal>, Vec<Out>) {
        let (mut out, wakes, version) = (Vec::new(), &mut self.wakes, self.room.version());
        let result = self.room.handle(self.now, input, &mut |effect| match effect {
            Effect::Welcome { to, version, peers, .. } => {
                out.push(Out::Welcome { session: *to, version, peers: peers.iter().map(|peer| json!(peer)).collect() });
            }
            Effect::Send { seat, to, frame } => {
                assert_eq!(seat.session, *to, "the handle belongs to the seat");
                out.push(Out::Send { session: *to, message: serde_json::from_slice(frame.payload()).unwrap() });
            }
            // It is the hub's to tell; tests/protocol/webhooks.rs sees that it does.
            Effect::Departed { .. } => {}
            Effect::Close { handle, code } => out.push(Out::Close { session: handle, code }),
            Effect::WakeAt(at) => wakes.push(at),
        });
        if result.is_err() {
            assert!(out.is_empty(), "a refused input emits nothing: {out:?}");
            assert_eq!(self.room.version(), version, "a refused input changes nothing");
        }
        self.take_in(&out);
        (result, out)
    }

    /// Every receiver's view grows, by the same changes in the same order.
    fn take_in(&mut self, out: &[Out]) {
        for out in out {
            match out {
                Out::Welcome { session, version, peers } => {
                    let peers = peers.iter().map(|peer| (peer["id"].as_str().unwrap().to_owned(), peer.clone()));
                    let view = View { version: *version, peers: peers.collect() };
                    assert!(self.views.insert(*session, view).is_none(), "welcomed twice");
                }
                Out::Close { session, code } => {
                    assert_eq!(*code, CloseCode::Superseded);
                    self.views.remove(session);
                    self.closed.push(*session);
                }
                Out::Send { session, message } => self.receive(*session, message),
            }
        }
    }

    fn receive(&mut self, session: u64, message: &Value) {
        let view = self.views.get_mut(&session).expect("nothing is sent before the welcome or after the end");
        let text = |field: &Value| field.as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "signal" | "broadcast" => return,
            "roster" => {
                let peers = message["peers"].as_array().unwrap().iter();
                let peers: BTreeMap<_, _> = peers.map(|peer| (text(&peer["id"]), peer.clone())).collect();
                assert_eq!(message["version"], view.version, "a snapshot has what was announced");
                assert_eq!(peers, view.peers, "a snapshot has what was announced");
                return;
            }
            "peer_joined" => {
                let peer = &message["peer"];
                assert!(view.peers.insert(text(&peer["id"]), peer.clone()).is_none(), "joined twice: {message}");
            }
            "peer_left" => assert!(view.peers.remove(&text(&message["id"])).is_some(), "left twice: {message}"),
            "state" => {
                // One's own state comes too and is nobody else's.
                if let Some(peer) = view.peers.get_mut(&text(&message["id"])) {
                    peer["state"] = message["state"].clone();
                }
            }
            "link" => {
                let links = [json!("lost"), json!("ok")];
                assert!(links.contains(&message["link"]), "{message}");
                if let Some(peer) = view.peers.get_mut(&text(&message["id"])) {
                    if message["link"] == links[0] {
                        peer["link"] = links[0].clone();
                    } else {
                        assert!(peer.as_object_mut().unwrap().remove("link").is_some(), "was not lost");
                    }
                }
            }
            "role" => {
                if let Some(peer) = view.peers.get_mut(&text(&message["id"])) {
                    peer["role"] = message["role"].clone();
                }
            }
            other => panic!("{other}"),
        }
        let version = message["version"].as_u64().unwrap();
        assert_eq!(version, view.version + 1, "versions are contiguous: {message}");
        view.version = version;
        let same = self.history.entry(version).or_insert_with(|| message.clone());
        assert_eq!(same, message, "all see the same change at the same version");
    }

    fn frame(&self, kind: &str, from: u8) -> Frame {
        Frame::text([&json!({"type": kind, "from": peer_id(from), "data": self.sessions}).to_string()])
    }

    fn receivers(out: &[Out], kind: &str) -> Vec<u64> {
        let mut sessions: Vec<u64> = out
            .iter()
            .filter_map(|out| match out {
                Out::Send { session, message } if message["type"] == kind => Some(*session),
                _ => None,
            })
            .collect();
        sessions.sort_unstable();
        sessions
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
                    assert_eq!(Self::receivers(&out, "peer_left"), self.all_but(None), "told to each once");
                    let mut expected = self.present.len();
                    if hosts(&self.room) != before {
                        assert_eq!(Self::receivers(&out, "role"), self.all_but(None), "the heir is told to each once");
                        expected *= 2;
                    }
                    assert_eq!(out.len(), expected, "and nothing else happens");
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
                        assert_eq!((Self::receivers(&out, "signal"), out.len()), (vec![receiver], 1));
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
                    assert_eq!(Self::receivers(&out, "broadcast"), others, "everybody else, and no echo");
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
                    assert_eq!(Self::receivers(&out, "roster"), [seat.session]);
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
        // Who is lost has no socket to lose.
        if !stale && self.lost.contains_key(&id) {
            return;
        }
        let (result, out) = self.give(Input::Lose { seat, reason: LeaveReason::Closed, handle: seat.session });
        assert_eq!(result.is_ok(), self.is_member(id, stale));
        if result.is_ok() {
            self.lost.insert(id, self.now + WINDOW);
            assert_eq!((Self::receivers(&out, "link"), out.len()), (self.all_but(None), self.present.len()));
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
        assert_eq!(Self::receivers(&out, "link"), told, "where the loss was seen, its end is");
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
            assert_eq!(self.closed.last(), before.as_ref(), "the old connection is closed");
            assert_eq!(Self::receivers(&out, "peer_left"), earlier);
        }
        self.present.insert(id, session);
        self.states.insert(id, BTreeMap::from([("mic".to_owned(), mic)]));
        assert_eq!(Self::receivers(&out, "peer_joined"), earlier, "told to each other member once");
        self.note_announcement(&out, true);
        self.all_is_announced();
        assert_eq!(self.views[&session].version, self.room.version(), "the snapshot is of now");
    }

    fn gone(&mut self, id: u8) {
        let session = self.present.remove(&id).unwrap();
        self.former.insert(id, session);
        self.states.remove(&id);
        self.lost.remove(&id);
    }

    /// Announcements of states keep their distance, but for those that a snapshot brings forward.
    fn note_announcement(&mut self, out: &[Out], forced: bool) {
        if Self::receivers(out, "state").is_empty() {
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
        // The last one to go is seen by nobody.
        let left: BTreeSet<String> = left.collect();
        assert!((late.len().saturating_sub(1)..=late.len()).contains(&left.len()), "{late:?} left, {left:?} was told");
        late.iter().for_each(|id| drop(self.views.remove(&self.former[id])));
        self.note_announcement(&out, false);
    }

    /// Time passes, and what asked to be woken is.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.wakes.iter().copied().filter(|at| *at <= end).min() {
            self.wakes.retain(|wake| *wake != at);
            self.now = self.now.max(at);
            self.tick();
        }
        self.now = end;
    }

    /// Everybody's view is the room, states and all.
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
            assert_eq!(self.views[session].version, self.room.version(), "nobody is behind");
        }
    }
}

/// Holds the room to its rules, all through a script.
pub fn check(steps: Vec<Step>) {
    let mut world = World::new();
    for step in steps {
        world.run(step);
        world.check();
    }
    // Once quiet, at the latest after one interval, nothing waits to be announced.
    world.wait(WINDOW + STATE_INTERVAL);
    assert!(world.lost.is_empty(), "nobody is lost for ever");
    world.all_is_announced();
    assert!(world.wakes.is_empty());
    for id in 0..IDS {
        world.run(Step::Leave { id, stale: false });
    }
    assert!(world.room.is_empty());
    // A room that nobody is in has nothing to say any more.
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
