//! Members exchange messages through the real hub over byte streams that are cut anywhere, and reconnect. No message is
//! lost or delivered twice.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use proptest::prelude::*;
use roundtable::access::ResumeKey;
use roundtable::config::Cli;
use roundtable::core::session::{Bound, Bounds};
use roundtable::core::{Grant, Refusal};
use roundtable::greeter::Greeter;
use roundtable::hub::{Hub, HubRules, Membership, Newcomer, Said};
use roundtable::limits::QueueAccount;
use roundtable::outbox::Outbox;
use roundtable::protocol::client::{Request, parse};
use roundtable::protocol::{LeaveReason, Outgoing, PeerId, PeerName, RoomName, SettingsPatch, StatePatch, server};
use roundtable::telemetry::Metrics;
use serde_json::{Value, json};

const MEMBERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Signal {
        from: usize,
        to: usize,
    },
    Broadcast {
        from: usize,
    },
    State {
        from: usize,
    },
    /// Delivers so many bytes to the client; `usize::MAX` delivers everything.
    Down {
        who: usize,
        bytes: usize,
    },
    /// Delivers so many bytes to the server.
    Up {
        who: usize,
        bytes: usize,
    },
    /// Makes the client acknowledge.
    Ack {
        who: usize,
    },
    /// Makes the server acknowledge, as a link does periodically.
    Told {
        who: usize,
    },
    /// Makes the client send unacknowledged messages again.
    Again {
        who: usize,
    },
    /// Cuts the connection after so many more bytes in each direction; the server notices.
    Cut {
        who: usize,
        down: usize,
        up: usize,
    },
    /// Opens a new connection if there is none, or while the server still considers the old one open.
    Return {
        who: usize,
        down: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..MEMBERS;
    let bytes = || prop_oneof![3 => 0..400_usize, 1 => Just(usize::MAX)];
    prop_oneof![
        4 => (who(), who()).prop_map(|(from, to)| Step::Signal { from, to }),
        4 => who().prop_map(|from| Step::Broadcast { from }),
        1 => who().prop_map(|from| Step::State { from }),
        6 => (who(), bytes()).prop_map(|(who, bytes)| Step::Down { who, bytes }),
        6 => (who(), bytes()).prop_map(|(who, bytes)| Step::Up { who, bytes }),
        1 => who().prop_map(|who| Step::Ack { who }),
        1 => who().prop_map(|who| Step::Told { who }),
        1 => who().prop_map(|who| Step::Again { who }),
        2 => (who(), bytes(), bytes()).prop_map(|(who, down, up)| Step::Cut { who, down, up }),
        3 => (who(), bytes()).prop_map(|(who, down)| Step::Return { who, down }),
    ]
}

/// Client, its connection, and its membership on the server.
struct Member {
    id: PeerId,
    stay: u64,
    membership: Option<Membership>,
    outbox: Arc<Outbox>,
    /// Bytes in transit in each direction.
    down: VecDeque<u8>,
    up: VecDeque<u8>,
    /// The client's side of the session.
    last: u64,
    number: u64,
    unacknowledged: VecDeque<(u64, String)>,
    /// Roster version.
    version: Option<u64>,
    /// Messages received, and messages to be received, from each member in order.
    heard: Vec<Vec<u64>>,
    due: Vec<Vec<u64>>,
    /// Waits for `resumed` and must not send before it.
    resuming: bool,
}

struct World {
    hub: Arc<Hub>,
    room: RoomName,
    key: ResumeKey,
    members: Vec<Member>,
    said: u64,
}

fn id(index: usize) -> PeerId {
    PeerId::from_random([index as u8 + 1; PeerId::LEN])
}

fn outbox() -> Arc<Outbox> {
    let bound = Bound { frames: 10_000, bytes: 1 << 24 };
    Arc::new(Outbox::new(Bounds { waiting: bound, replay: bound }, QueueAccount::default()))
}

fn newcomer(index: usize, outbox: &Arc<Outbox>, session: Option<(u64, u64)>) -> Newcomer {
    Newcomer {
        id: id(index),
        name: PeerName::new("Ada").unwrap(),
        state: StatePatch::default(),
        settings: SettingsPatch::default(),
        named: false,
        stay: session.map(|(stay, _)| stay),
        last_seq: session.map(|(_, last)| last),
        disproved: false,
        limited_by_address: false,
        grant: Grant::default(),
        outbox: Arc::clone(outbox),
    }
}

/// Encodes a client frame, unmasked, so that [`decode`] reads both directions.
fn encode(text: &str) -> Vec<u8> {
    [&[0x81, 126][..], &(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// Takes complete text frames off a stream and keeps the incomplete rest.
fn decode(stream: &mut VecDeque<u8>, arrived: &mut Vec<u8>, bytes: usize) -> Vec<String> {
    arrived.extend(stream.drain(..bytes.min(stream.len())));
    let mut texts = Vec::new();
    loop {
        let (header, len) = match arrived[..] {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, len @ 0..=125, ..] => (2, usize::from(len)),
            _ => return texts,
        };
        if arrived.len() < header + len {
            return texts;
        }
        let frame: Vec<u8> = arrived.drain(..header + len).collect();
        assert_eq!(frame[0], 0x81, "only text frames are expected");
        texts.push(String::from_utf8(frame[header..].to_vec()).unwrap());
    }
}

impl World {
    fn new() -> Self {
        let config = Cli::load(["roundtable".to_owned()], &[]).unwrap().config;
        let key = ResumeKey::new(b"key");
        let greeter = Greeter::new(&config, key.clone()).unwrap();
        let rules = HubRules { resume_window: Duration::from_secs(3600), ..HubRules::open(MEMBERS) };
        let hub = Hub::new(rules, greeter, Arc::new(Metrics::new()));
        let room = RoomName::new("r").unwrap();
        let mut world = Self { hub, room, key, members: Vec::new(), said: 0 };
        for index in 0..MEMBERS {
            let outbox = outbox();
            let membership = world.hub.join(&world.room, newcomer(index, &outbox, None)).unwrap().now().unwrap();
            world.members.push(Member {
                id: id(index),
                stay: 0,
                membership: Some(membership),
                outbox,
                down: VecDeque::new(),
                up: VecDeque::new(),
                last: 0,
                number: 0,
                unacknowledged: VecDeque::new(),
                version: None,
                heard: vec![Vec::new(); MEMBERS],
                due: vec![Vec::new(); MEMBERS],
                resuming: false,
            });
        }
        // The `welcome` must arrive: it starts the session, and without it no client could reconnect.
        for index in 0..MEMBERS {
            world.down(index, usize::MAX, &mut Vec::new());
        }
        world
    }

    fn say(&mut self, from: usize, mut message: Value) {
        let member = &mut self.members[from];
        member.number += 1;
        message["seq"] = json!(member.number);
        let text = message.to_string();
        if member.membership.is_some() && !member.resuming {
            member.up.extend(encode(&text));
        }
        member.unacknowledged.push_back((member.number, text));
    }

    /// Writes the server's messages to the connection, and delivers so many bytes.
    fn down(&mut self, who: usize, bytes: usize, arrived: &mut Vec<u8>) {
        let member = &mut self.members[who];
        if member.membership.is_some() {
            let mut out = VecDeque::new();
            let _ = member.outbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut out);
            for out in out {
                member.down.extend(out.head().as_bytes().iter().chain(out.body()));
            }
        }
        for text in decode(&mut member.down, arrived, bytes) {
            let message: Value = serde_json::from_str(&text).unwrap();
            self.receive(who, &message);
        }
    }

    fn receive(&mut self, who: usize, message: &Value) {
        let key = self.key.clone();
        let room = self.room.clone();
        let member = &mut self.members[who];
        if let Some(seq) = message["seq"].as_u64() {
            assert!(!member.resuming, "a message before `resumed`");
            assert_eq!(seq, member.last + 1, "not the next number: {message}");
            member.last = seq;
        }
        if let Some(version) = message["version"].as_u64() {
            assert!(member.version.is_none_or(|before| version == before + 1), "{message} after {:?}", member.version);
            member.version = Some(version);
        }
        match message["type"].as_str().unwrap() {
            "welcome" => {
                assert_eq!(member.last, 0, "welcomed twice");
                let (id, stay) = key.check(&room, message["resume"].as_str().unwrap()).unwrap();
                assert_eq!(id, member.id);
                member.stay = stay;
            }
            "signal" | "broadcast" => {
                let from = (0..MEMBERS).find(|index| message["from"] == json!(id(*index))).unwrap();
                member.heard[from].push(message["data"].as_u64().unwrap());
            }
            "resumed" => {
                member.resuming = false;
                self.acknowledged(who, message["ack"].as_u64().unwrap());
                self.again(who);
            }
            "ack" => self.acknowledged(who, message["ack"].as_u64().unwrap()),
            _ => {}
        }
    }

    fn acknowledged(&mut self, who: usize, ack: u64) {
        let member = &mut self.members[who];
        assert!(ack <= member.number, "acknowledges a message that was never sent");
        member.unacknowledged.retain(|(number, _)| *number > ack);
    }

    fn again(&mut self, who: usize) {
        let member = &mut self.members[who];
        if member.membership.is_some() && !member.resuming {
            for (_, text) in &member.unacknowledged {
                member.up.extend(encode(text));
            }
        }
    }

    /// Delivers so many bytes to the server, which processes the complete messages.
    fn up(&mut self, who: usize, bytes: usize, arrived: &mut Vec<u8>) {
        let member = &mut self.members[who];
        let texts = decode(&mut member.up, arrived, bytes);
        let Some(membership) = &member.membership else { return };
        for text in texts {
            let parsed = parse(&text);
            if let Some(ack) = parsed.ack {
                member.outbox.acknowledge(ack).unwrap();
            }
            let (from, said) = (membership.id(), Said { number: parsed.number, reference: None });
            let done = match parsed.request.unwrap() {
                Request::Signal { to, data } => membership.signal(said, to, server::signal(from, data)),
                Request::Broadcast { data } => membership.broadcast(said, server::broadcast(from, data)),
                Request::State(patch) => membership.change_state(said, patch).map(drop),
                _ => Ok(()),
            };
            // A signal to its own sender takes a number like any other message.
            assert!(matches!(done, Ok(()) | Err(Refusal::SignalToSelf)), "{done:?} for {text}");
        }
    }

    fn cut(&mut self, who: usize) {
        let member = &mut self.members[who];
        member.down.clear();
        member.up.clear();
        if let Some(membership) = member.membership.take() {
            membership.lose(LeaveReason::Closed);
        }
    }

    /// Opens a new connection, whatever the server assumes about the old one.
    fn come_back(&mut self, who: usize) {
        let member = &mut self.members[who];
        member.down.clear();
        member.up.clear();
        let outbox = outbox();
        let session = Some((member.stay, member.last));
        let membership = self.hub.join(&self.room, newcomer(who, &outbox, session)).unwrap().now().unwrap();
        member.resuming = true;
        member.outbox = outbox;
        // The server closes the old connection after the new one has started, which must have no effect.
        drop(member.membership.replace(membership));
    }

    fn take(&mut self, step: &Step, arrived: &mut [(Vec<u8>, Vec<u8>)]) {
        match *step {
            Step::Signal { from, to } => {
                self.said += 1;
                self.say(from, json!({"type": "signal", "to": id(to), "data": self.said}));
                if from != to {
                    self.members[to].due[from].push(self.said);
                }
            }
            Step::Broadcast { from } => {
                self.said += 1;
                self.say(from, json!({"type": "broadcast", "data": self.said}));
                for to in (0..MEMBERS).filter(|to| *to != from) {
                    self.members[to].due[from].push(self.said);
                }
            }
            Step::State { from } => {
                self.said += 1;
                self.say(from, json!({"type": "state", "state": {"n": self.said}}));
            }
            Step::Down { who, bytes } => self.down(who, bytes, &mut arrived[who].0),
            Step::Up { who, bytes } => self.up(who, bytes, &mut arrived[who].1),
            Step::Ack { who } => {
                let member = &mut self.members[who];
                if member.membership.is_some() && !member.resuming {
                    member.up.extend(encode(&json!({"type": "ack", "ack": member.last}).to_string()));
                }
            }
            Step::Told { who } => {
                let member = &mut self.members[who];
                if member.membership.is_some() && member.outbox.owed() > 0 {
                    let ack = member.outbox.tell();
                    let frame = roundtable::protocol::ServerMessage::Ack { ack }.to_frame();
                    member.outbox.add(Outgoing::plain(frame)).unwrap();
                }
            }
            Step::Again { who } => self.again(who),
            Step::Cut { who, down, up } => {
                self.down(who, down, &mut arrived[who].0);
                self.up(who, up, &mut arrived[who].1);
                self.cut(who);
                arrived[who] = Default::default();
            }
            Step::Return { who, down } => {
                self.come_back(who);
                arrived[who] = Default::default();
                self.down(who, down, &mut arrived[who].0);
            }
        }
    }

    fn run(steps: &[Step]) -> Self {
        let mut world = Self::new();
        let mut arrived = vec![(Vec::new(), Vec::new()); MEMBERS];
        for step in steps {
            world.take(step, &mut arrived);
        }
        // Everybody reconnects, and everything is delivered.
        for who in 0..MEMBERS {
            world.take(&Step::Return { who, down: usize::MAX }, &mut arrived);
        }
        for (who, (_, up)) in arrived.iter_mut().enumerate() {
            world.up(who, usize::MAX, up);
        }
        for who in 0..MEMBERS {
            world.take(&Step::Told { who }, &mut arrived);
            world.down(who, usize::MAX, &mut arrived[who].0);
        }
        for member in &world.members {
            assert_eq!(member.heard, member.due, "messages lost, repeated or out of order");
            assert!(member.unacknowledged.is_empty(), "{:?}", member.unacknowledged);
        }
        let versions: Vec<_> = world.members.iter().map(|member| member.version).collect();
        assert!(versions.windows(2).all(|pair| pair[0] == pair[1]), "roster versions differ: {versions:?}");
        world
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whoever_comes_back_gets_each_message_once_and_in_order(steps in prop::collection::vec(step(), 0..120)) {
        World::run(&steps);
    }
}
