//! A room seen from its connections: its output, and the views that clients build from it.

use std::collections::BTreeMap;
use std::time::Duration;

use roundtable::core::{Effect, Input, Refusal, Room};
use roundtable::protocol::{CloseCode, PeerId, Role, Settings};
use serde_json::{Value, json};

/// Output of one input.
#[derive(Debug)]
pub enum Out {
    Welcome { session: u64, view: View },
    Send { session: u64, message: Value },
    Close { session: u64, code: CloseCode },
}

/// A client's view of the room, from its `welcome` on.
#[derive(Clone, Debug)]
pub struct View {
    pub id: PeerId,
    pub version: u64,
    pub role: Role,
    pub settings: Settings,
    pub peers: BTreeMap<String, Value>,
    /// People in the lobby, as shown to a host.
    pub lobby: Vec<String>,
}

/// Message of each roster version, which is equal for all.
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

/// Gives an input to a room. `wake` receives the times at which the room requests ticks.
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
            assert_eq!(seat.session, *to, "the handle belongs to another seat");
            out.push(Out::Send { session: *to, message: serde_json::from_slice(frame.payload()).unwrap() });
        }
        // The hub reports departures; tests/protocol/webhooks.rs checks that.
        Effect::Departed { .. } => {}
        Effect::Close { handle, code } => out.push(Out::Close { session: handle, code }),
        Effect::WakeAt(at) => wake(at),
    });
    if result.is_err() {
        assert!(out.is_empty(), "a rejected input has output: {out:?}");
        assert_eq!(*room, before, "a rejected input has changed the room");
    }
    (result, out)
}

/// Returns the sessions that received a message of this type, with repetitions.
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
    /// Applies a message, and checks that all receivers get the same changes in the same order.
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
                assert_eq!(
                    snapshot,
                    (self.version, self.role, self.settings),
                    "a snapshot differs from the announcements"
                );
                let peers = by_id(message["peers"].as_array().unwrap());
                assert_eq!(peers, self.peers, "a snapshot differs from the announcements");
                return;
            }
            "peer_joined" => {
                let peer = &message["peer"];
                assert!(self.peers.insert(text(&peer["id"]), peer.clone()).is_none(), "joined twice: {message}");
            }
            "peer_left" => assert!(self.peers.remove(&text(&message["id"])).is_some(), "left twice: {message}"),
            // Changes of the client's own state and connection arrive, too, but concern none of its peers.
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
                        assert!(peer.as_object_mut().unwrap().remove("link").is_some(), "was not disconnected");
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
        assert_eq!(version, self.version + 1, "not the next version: {message}");
        self.version = version;
        let same = history.entry(version).or_insert_with(|| message.clone());
        assert_eq!(same, message, "members received different changes for one version");
    }
}
