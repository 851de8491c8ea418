//! Client that follows docs/PROTOCOL.md and records all messages that it sends and receives.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roundtable::access::ResumeKey;
use roundtable::protocol::{PeerId, RoomName};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::frames;
use crate::messages::{Message, Said, View, is_documented_error};
use crate::network::End;
use crate::world::{WINDOW, World, clock};

/// Messages after which the client acknowledges.
const ACK_MESSAGES: u64 = 12;
/// Errors that a well-behaved client may receive. All others would be its own fault or the server's.
const ERRORS: [&str; 4] = ["peer_not_found", "not_allowed", "room_full", "room_locked"];
/// Additional errors if tokens are required.
const OF_TOKENS: [&str; 3] = ["token_expired", "token_invalid", "token_wrong_room"];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Out,
    Joining,
    Waiting,
    In,
}

/// Invalid credentials of a `join`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Shown {
    /// A resume secret that no server has issued for this room.
    forged: bool,
    /// An invalid token.
    bad_token: bool,
}

/// All messages sent and received in one session, from one `welcome` to the next.
#[derive(Debug)]
pub struct Stay {
    pub number: usize,
    pub id: String,
    pub since: u64,
    pub sent: Vec<Sent>,
    pub heard: Vec<(usize, u64)>,
}

#[derive(Debug)]
pub struct Sent {
    pub n: u64,
    /// Recipient; `None` for everybody else.
    pub to: Option<String>,
    /// Peers that the sender knew, with the roster version since which it knew each.
    pub seen: Vec<(String, u64)>,
    pub refused: bool,
}

#[derive(Debug)]
pub struct Client {
    pub index: usize,
    pub room: RoomName,
    /// Numbers and acknowledges messages and resumes sessions. A simple client does nothing of this.
    pub resumes: bool,
    pub random: fastrand::Rng,
    /// Presents an invalid secret or token at times.
    pub bold: bool,
    pub standing: Standing,
    pub id: String,
    secret: String,
    /// Secret of the previous session with the same ID.
    earlier: Option<String>,
    /// Invalid credentials of the last `join`.
    shown: Shown,
    /// The client joined with the secret of an earlier session, which ends the current one, possibly without
    /// notification.
    ended: bool,
    /// Expiry of each valid token that was presented in this session.
    tokens: Vec<SystemTime>,
    pub view: View,
    pub stays: Vec<Stay>,
    /// The latest session may be resumed.
    goes_on: bool,
    last: u64,
    acknowledged: u64,
    number: u64,
    arrived: u64,
    pub unacknowledged: VecDeque<(u64, String)>,
    /// Time of the last message, and the server that sent it.
    heard_at: Instant,
    server: usize,
    /// Server of the current connection.
    joins: usize,
    asked_to_go_on: bool,
    /// Number of pongs from the server.
    pub pongs: usize,
}

impl Client {
    pub fn new(index: usize, room: RoomName, resumes: bool, random: fastrand::Rng, world: &World) -> Self {
        let mut client = Self {
            index,
            room,
            resumes,
            random,
            bold: false,
            standing: Standing::Out,
            id: String::new(),
            secret: String::new(),
            earlier: None,
            shown: Shown::default(),
            ended: false,
            tokens: Vec::new(),
            view: View::default(),
            stays: Vec::new(),
            goes_on: false,
            last: 0,
            acknowledged: 0,
            number: 0,
            arrived: 0,
            unacknowledged: VecDeque::new(),
            heard_at: Instant::now(),
            server: 0,
            joins: 0,
            asked_to_go_on: false,
            pongs: 0,
        };
        client.become_new(world);
        client
    }

    /// Makes the client a new person. The secret makes the ID depend on the seed instead of the server, so that a run
    /// can be repeated. It belongs to a session that never existed.
    pub fn become_new(&mut self, world: &World) {
        let mut bytes = [0; PeerId::LEN];
        self.random.fill(&mut bytes);
        let id = PeerId::from_random(bytes);
        self.id = id.as_str().to_owned();
        self.secret = world.key.issue(&self.room, id, self.random.u64(..));
        self.earlier = None;
        self.forget();
    }

    /// Gives up the session.
    pub fn forget(&mut self) {
        self.goes_on = false;
        self.standing = Standing::Out;
    }

    /// Returns the ID and the number of the current session, as the server knows it.
    pub fn own_stay(&self, world: &World) -> (PeerId, u64) {
        world.key.check(&self.room, &self.secret).expect("a valid secret")
    }

    pub fn join(&mut self, end: &End, settings: Option<Value>, world: &World) {
        self.shown = Shown::default();
        let secret = self.choose_secret(world);
        let mut join = json!({"type": "join", "name": "Ada", "resume": secret, "state": {"mic": true}});
        if world.keys.is_some() {
            let (token, is_good) = self.token(world);
            join["token"] = json!(token);
            self.shown.bad_token = !is_good;
        }
        if let Some(settings) = settings {
            join["settings"] = settings;
        }
        self.asked_to_go_on = self.resumes && self.goes_on;
        if self.asked_to_go_on {
            join["last_seq"] = json!(self.last);
        }
        self.standing = Standing::Joining;
        self.joins = world.restarts();
        end.send(&frames::text(&join.to_string()));
    }

    /// Chooses mostly the client's own secret, otherwise a forged or an earlier one. Secrets are not forged if there is
    /// a lobby, because a client in the lobby does not learn its ID.
    fn choose_secret(&mut self, world: &World) -> String {
        let dice = if self.bold { self.random.u8(0..40) } else { u8::MAX };
        let (id, stay) = world.key.check(&self.room, &self.secret).expect("a valid secret");
        let other = RoomName::new("another").expect("a name");
        let forged = match dice {
            0 => world.key.issue(&other, id, stay),
            1 => ResumeKey::new(b"another").issue(&self.room, id, stay),
            2 => {
                let mut text = self.secret.clone();
                let last = text.pop();
                text.push(if last == Some('A') { 'E' } else { 'A' });
                text
            }
            3..5 if self.earlier.is_some() => {
                self.ended = true;
                return self.earlier.clone().unwrap_or_default();
            }
            _ => return self.secret.clone(),
        };
        if world.rules.moderated {
            return self.secret.clone();
        }
        self.shown.forged = true;
        forged
    }

    /// Returns a token, and whether it is valid. Some are valid for a short time.
    fn token(&mut self, world: &World) -> (String, bool) {
        let dice = if self.bold { self.random.u8(0..20) } else { u8::MAX };
        let mut left = Duration::from_secs(600);
        let mut claims = json!({"room": self.room.as_str()});
        let mut kid = "a";
        match dice {
            0 => {}
            1 => claims["room"] = json!("another"),
            2 => kid = "b",
            3..10 => left = Duration::from_millis(self.random.u64(200..4_000)),
            _ => {}
        }
        let until = if dice == 0 { clock() - Duration::from_secs(1) } else { clock() + left };
        claims["exp"] = json!(until.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64());
        let is_good = dice > 2;
        if is_good {
            self.tokens.push(until);
        }
        (world.keys.as_ref().expect("keys").token_of(kid, claims), is_good)
    }

    /// Returns whether one of its tokens may still be valid.
    pub fn may_be_in(&self, world: &World) -> bool {
        world.keys.is_none() || self.tokens.iter().any(|until| *until > clock())
    }

    /// Sends a numbered message. A disconnected client sends it after the reconnect.
    pub fn say(&mut self, end: &End, mut message: Value) {
        if self.resumes {
            self.number += 1;
            message["seq"] = json!(self.number);
            if self.random.bool() {
                message["ack"] = json!(self.last);
                self.acknowledged = self.last;
            }
        }
        let text = message.to_string();
        if self.standing == Standing::In {
            end.send(&frames::text(&text));
        }
        if self.resumes {
            self.unacknowledged.push_back((self.number, text));
        }
    }

    /// Sends a message to one peer, or to all.
    pub fn tell(&mut self, end: &End, to: Option<String>) {
        let seen = self.view.peers.iter().map(|(id, peer)| (id.clone(), peer.since)).collect();
        let stay = self.stays.last_mut().expect("a stay");
        let n = stay.sent.len() as u64;
        let data = json!({"stay": stay.number, "n": n});
        stay.sent.push(Sent { n, to: to.clone(), seen, refused: false });
        let kind = if to.is_some() { "signal" } else { "broadcast" };
        let mut message = json!({"type": kind, "data": data, "ref": n});
        if let Some(to) = to {
            message["to"] = json!(to);
        }
        self.say(end, message);
    }

    /// Sends all messages again that the server has not acknowledged.
    pub fn say_again(&mut self, end: &End) {
        for (_, text) in &self.unacknowledged {
            end.send(&frames::text(text));
        }
    }

    pub fn acknowledge(&mut self, end: &End) {
        if self.resumes && self.standing == Standing::In && self.acknowledged < self.last {
            self.acknowledged = self.last;
            end.send(&frames::text(&json!({"type": "ack", "ack": self.last}).to_string()));
        }
    }

    /// Processes a message.
    pub fn receive(&mut self, message: Message, end: &End, world: &World) {
        if let Some(seq) = message.seq {
            assert_eq!(self.standing, Standing::In, "R15: {message:?}");
            assert_eq!(seq, self.last + 1, "R47: not the next number: {message:?}");
            self.last = seq;
        }
        let came_after = self.heard_at.elapsed();
        self.heard_at = Instant::now();
        match message.kind.as_str() {
            "welcome" => self.begin(message, came_after, world),
            "resumed" => {
                assert!(self.asked_to_go_on && self.standing == Standing::Joining, "R53");
                assert_eq!(message.own.as_deref(), Some(&*self.id));
                self.standing = Standing::In;
                self.arrived(message.ack.expect("an ack"));
                self.say_again(end);
            }
            "waiting" => self.standing = Standing::Waiting,
            "ack" => self.arrived(message.ack.expect("an ack")),
            "signal" | "broadcast" => self.hear(&message),
            "error" => self.refused(&message, world),
            "go_away" => {
                assert!(world.drained() && (500..=5_000).contains(&message.reconnect_ms.expect("a hint")), "R32")
            }
            "token_expiring" => {
                if self.random.bool() {
                    let (token, _) = self.token(world);
                    self.say(end, json!({"type": "renew", "token": token}));
                }
            }
            "pong" => self.pongs += 1,
            "asked" | "switched_off" => {}
            _ => {
                assert_eq!(self.standing, Standing::In, "R15: {message:?}");
                self.view.take(message, &self.id);
            }
        }
        if self.last >= self.acknowledged + ACK_MESSAGES {
            self.acknowledge(end);
        }
    }

    fn begin(&mut self, message: Message, came_after: Duration, world: &World) {
        assert!(matches!(self.standing, Standing::Joining | Standing::Waiting), "welcomed twice");
        assert!(!self.shown.bad_token, "R58: joined with an invalid token");
        let own = message.own.as_deref().expect("an id");
        if self.shown.forged {
            assert_eq!(message.not_resumed.as_deref(), Some("resume_invalid"), "R54");
            assert_ne!(own, self.id, "R11: the ID of a forged secret");
            self.id = own.to_owned();
            self.earlier = None;
        } else {
            assert_eq!(own, self.id, "R11: not the ID of the secret");
            self.earlier = Some(self.secret.clone());
        }
        if self.asked_to_go_on {
            let why = message.not_resumed.as_deref().expect("R54: a reason");
            let late = came_after + Duration::from_secs(1) > WINDOW;
            let restarted = self.joins != self.server;
            let token_ended = self.tokens.iter().any(|until| *until <= clock());
            let excused = late || restarted || token_ended || world.may_lose_sessions();
            assert!(excused || self.shown.forged || self.ended, "R53: not resumed in time: {why}");
        }
        self.tokens.drain(..self.tokens.len().saturating_sub(1));
        self.ended = false;
        self.standing = Standing::In;
        self.secret = message.resume.clone().expect("a secret");
        self.server = self.joins;
        (self.last, self.acknowledged, self.number, self.arrived) = (0, 0, 0, 0);
        self.unacknowledged.clear();
        self.goes_on = true;
        self.view = View::of(message);
        assert!(!self.view.peers.contains_key(&self.id), "the client is its own peer");
        let (number, since) = (world.next_stay(), self.view.version);
        self.stays.push(Stay { number, id: self.id.clone(), since, sent: Vec::new(), heard: Vec::new() });
    }

    fn arrived(&mut self, ack: u64) {
        assert!((self.arrived..=self.number).contains(&ack), "R51: {ack} of {}", self.number);
        self.arrived = ack;
        self.unacknowledged.retain(|(number, _)| *number > ack);
    }

    fn hear(&mut self, message: &Message) {
        let Said { stay, n } = message.data.expect("what a client said");
        let from = message.from.as_ref().expect("a sender");
        assert!(self.view.peers.contains_key(from), "R15: from an unknown peer: {message:?}");
        let own = self.stays.last_mut().expect("a stay");
        own.heard.push((stay, n));
    }

    fn refused(&mut self, message: &Message, world: &World) {
        let code = message.code.as_deref().expect("a code");
        let of_tokens = world.keys.is_some() && OF_TOKENS.contains(&code);
        assert!(is_documented_error(code) && (of_tokens || ERRORS.contains(&code)), "{message:?}");
        if let (Some(n), Some(stay)) = (message.reference, self.stays.last_mut()) {
            stay.sent[n as usize].refused = true;
        }
    }
}
