//! A client's view of its room, from its `welcome` on.

use std::collections::BTreeMap;

use roundtable::core::{Effect, Seat};
use roundtable::protocol::{CloseCode, PeerId};
use serde_json::{Value, json};

/// Returns the ID that a client has in all of its sessions.
pub fn id(client: usize) -> PeerId {
    PeerId::from_random([client as u8; PeerId::LEN])
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Is {
    Joining,
    Waiting,
    In,
    /// Has reconnected at another server and waits for the answer.
    Moving,
    /// Has lost its socket.
    Lost,
    Gone,
}

/// One session of a client, identified by its session number.
#[derive(Debug)]
pub struct Member {
    pub seat: Seat,
    pub client: usize,
    /// Slot of the server that has its session.
    pub slot: usize,
    pub is: Is,
    pub code: Option<CloseCode>,
    pub version: u64,
    pub role: Value,
    pub settings: Value,
    pub peers: BTreeMap<String, Value>,
    /// Lobby as shown to a host.
    pub lobby: Vec<Value>,
    /// Sender's session and number of each received message, in the order of arrival.
    pub got: Vec<(u64, u64)>,
    pub degraded: bool,
    /// Number of rosters received.
    pub shown: usize,
}

impl Member {
    pub fn new(seat: Seat, client: usize, slot: usize) -> Self {
        Self {
            seat,
            client,
            slot,
            is: Is::Joining,
            code: None,
            version: 0,
            role: Value::Null,
            settings: Value::Null,
            peers: BTreeMap::new(),
            lobby: Vec::new(),
            got: Vec::new(),
            degraded: false,
            shown: 0,
        }
    }

    pub fn is_in(&self) -> bool {
        matches!(self.is, Is::In | Is::Lost | Is::Moving)
    }

    pub fn take(&mut self, effect: Effect<'_, u64>) {
        // Has left and ignores messages.
        if self.is == Is::Gone {
            return;
        }
        match effect {
            Effect::Welcome { seat, version, own, settings, peers, .. } => {
                assert_eq!(seat, self.seat);
                assert!(matches!(self.is, Is::Joining | Is::Waiting), "welcomed twice: {self:?}");
                (self.is, self.version, self.role) = (Is::In, version, json!(own.role));
                self.settings = json!(settings);
                let peers = peers.iter().map(|peer| serde_json::to_value(peer).unwrap());
                self.peers = peers.map(|peer| (peer["id"].as_str().unwrap().to_owned(), peer)).collect();
            }
            Effect::Send { frame, .. } => self.hear(&serde_json::from_slice(frame.payload()).unwrap()),
            Effect::Close { code, .. } => (self.is, self.code) = (Is::Gone, Some(code)),
            Effect::Departed { .. } | Effect::WakeAt(_) => unreachable!("not addressed to a member"),
        }
    }

    fn hear(&mut self, message: &Value) {
        let text = |field: &Value| field.as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "waiting" => return self.is = Is::Waiting,
            "asked" | "switched_off" => return,
            "lobby" => {
                assert_eq!(self.role, "host", "the lobby was sent to a member that is no host");
                return self.lobby = message["waiting"].as_array().unwrap().clone();
            }
            "signal" | "broadcast" => {
                assert!(self.is_in(), "a message before the welcome");
                return self
                    .got
                    .push((message["data"]["from"].as_u64().unwrap(), message["data"]["n"].as_u64().unwrap()));
            }
            "roster" => {
                self.shown += 1;
                self.version = message["version"].as_u64().unwrap();
                (self.role, self.settings) = (message["role"].clone(), message["settings"].clone());
                if self.role != "host" {
                    self.lobby.clear();
                }
                let peers = message["peers"].as_array().unwrap();
                return self.peers = peers.iter().map(|peer| (text(&peer["id"]), peer.clone())).collect();
            }
            "peer_joined" => {
                let peer = &message["peer"];
                assert!(self.peers.insert(text(&peer["id"]), peer.clone()).is_none(), "joined twice: {message}");
            }
            "peer_left" => assert!(self.peers.remove(&text(&message["id"])).is_some(), "left twice: {message}"),
            "settings" => self.settings = message["settings"].clone(),
            "role" if text(&message["id"]) == self.seat.id.as_str() => {
                self.role = message["role"].clone();
                self.lobby.clear();
            }
            kind @ ("state" | "link" | "role") => {
                if let Some(peer) = self.peers.get_mut(&text(&message["id"])) {
                    peer[kind] = message[kind].clone();
                    if kind == "link" && message["link"] == "ok" {
                        peer.as_object_mut().unwrap().remove("link");
                    }
                }
            }
            other => panic!("{other}"),
        }
        let version = message["version"].as_u64().unwrap();
        assert_eq!(version, self.version + 1, "not the next version: {message} for {:?}", self.seat);
        self.version = version;
    }
}
