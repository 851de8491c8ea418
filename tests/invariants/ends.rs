//! A room seen from the ends of its connections: what comes out of it, and what a client knows by that.

use std::collections::BTreeMap;
use std::time::Duration;

use roundtable::core::{Effect, Input, Refusal, Room};
use roundtable::protocol::{CloseCode, PeerId, Role, Settings};
use serde_json::{Value, json};

/// What one input led to.
#[derive(Debug)]
pub enum Out {
    Welcome { session: u64, view: View },
    Send { session: u64, message: Value },
    Close { session: u64, code: CloseCode },
}

/// What one member's client knows, from its welcome on.
#[derive(Clone, Debug)]
pub struct View {
    pub id: PeerId,
    pub version: u64,
    pub role: Role,
    pub settings: Settings,
    pub peers: BTreeMap<String, Value>,
    /// Whom a host was shown in the lobby.
    pub lobby: Vec<String>,
}

/// The message of each version, which is the same for all.
pub type History = BTreeMap<u64, Value>;

pub fn peer_id(id: u8) -> PeerId {
    PeerId::from_random([id; PeerId::LEN])
}

pub fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn by_id<'a>(peers: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Value> {
    peers.into_iter().map(|peer| (text(&peer["id"]), peer.clone())).collect()
}

/// Gives a room an input; `wake` hears when it wants to be woken.
pub fn give(
    room: &mut Room<u64>,
    now: Duration,
    input: Input<u64>,
    wake: &mut impl FnMut(Duration),
) -> (Result<(), Refusal>, Vec<Out>) {
    let (mut out, before) = (Vec::new(), room.clone());
    let result = room.handle(now, input, &mut |effect| match effect {
        Effect::Welcome { to, version, own, settings, peers, .. } => {
            let peers: Vec<_> = peers.iter().map(|peer| json!(peer)).collect();
            let (id, role, peers, lobby) = (own.id, own.role, by_id(&peers), Vec::new());
            out.push(Out::Welcome { session: *to, view: View { id, version, role, settings, peers, lobby } });
        }
        Effect::Send { seat, to, frame } => {
            assert_eq!(seat.session, *to, "the handle belongs to the seat");
            out.push(Out::Send { session: *to, message: serde_json::from_slice(frame.payload()).unwrap() });
        }
        // It is the hub's to tell; tests/protocol/webhooks.rs sees that it does.
        Effect::Departed { .. } => {}
        Effect::Close { handle, code } => out.push(Out::Close { session: handle, code }),
        Effect::WakeAt(at) => wake(at),
    });
    if result.is_err() {
        assert!(out.is_empty(), "a refused input emits nothing: {out:?}");
        assert_eq!(*room, before, "a refused input changes nothing");
    }
    (result, out)
}

/// Who got a message of this type, each as often as it did.
pub fn receivers(out: &[Out], kind: &str) -> Vec<u64> {
    let of_kind = |out: &Out| match out {
        Out::Send { session, message } if message["type"] == kind => Some(*session),
        _ => None,
    };
    let mut sessions: Vec<u64> = out.iter().filter_map(of_kind).collect();
    sessions.sort_unstable();
    sessions
}

impl View {
    /// Every receiver's view grows, by the same changes in the same order.
    pub fn receive(&mut self, message: &Value, history: &mut History) {
        match message["type"].as_str().unwrap() {
            "signal" | "broadcast" | "asked" | "switched_off" => return,
            "lobby" => {
                assert_eq!(self.role, Role::Host);
                self.lobby = message["waiting"].as_array().unwrap().iter().map(|guest| text(&guest["id"])).collect();
                return;
            }
            "roster" => {
                let snapshot = (read(&message["version"]), read(&message["role"]), read(&message["settings"]));
                assert_eq!(snapshot, (self.version, self.role, self.settings), "a snapshot has what was announced");
                let peers = by_id(message["peers"].as_array().unwrap());
                assert_eq!(peers, self.peers, "a snapshot has what was announced");
                return;
            }
            "peer_joined" => {
                let peer = &message["peer"];
                assert!(self.peers.insert(text(&peer["id"]), peer.clone()).is_none(), "joined twice: {message}");
            }
            "peer_left" => assert!(self.peers.remove(&text(&message["id"])).is_some(), "left twice: {message}"),
            // One's own state and link come too and are nobody else's.
            "state" => {
                if let Some(peer) = self.peers.get_mut(&text(&message["id"])) {
                    peer["state"] = message["state"].clone();
                    let peer = peer.as_object_mut().unwrap();
                    if message["state"]["hand"] == true {
                        peer.entry("hand_since").or_insert_with(|| message["version"].clone());
                    } else {
                        peer.remove("hand_since");
                    }
                }
            }
            "link" => {
                let links = [json!("lost"), json!("ok")];
                assert!(links.contains(&message["link"]), "{message}");
                if let Some(peer) = self.peers.get_mut(&text(&message["id"])) {
                    if message["link"] == links[0] {
                        peer["link"] = links[0].clone();
                    } else {
                        assert!(peer.as_object_mut().unwrap().remove("link").is_some(), "was not lost");
                    }
                }
            }
            "role" if text(&message["id"]) == self.id.as_str() => {
                self.role = read(&message["role"]);
                self.lobby.clear();
            }
            "role" => self.peers.get_mut(&text(&message["id"])).unwrap()["role"] = message["role"].clone(),
            "settings" => self.settings = read(&message["settings"]),
            other => panic!("{other}"),
        }
        let version = message["version"].as_u64().unwrap();
        assert_eq!(version, self.version + 1, "versions are contiguous: {message}");
        self.version = version;
        let same = history.entry(version).or_insert_with(|| message.clone());
        assert_eq!(same, message, "all see the same change at the same version");
    }
}
