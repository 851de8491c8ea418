//! Messages as a client parses them, and codes that the documentation lists.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

const PROTOCOL: &str = include_str!("../../docs/PROTOCOL.md");

/// Fields of all server messages.
#[derive(Debug, Deserialize)]
pub struct Message {
    #[serde(rename = "type")]
    pub kind: String,
    pub seq: Option<u64>,
    pub version: Option<u64>,
    #[serde(rename = "self")]
    pub own: Option<String>,
    pub resume: Option<String>,
    pub not_resumed: Option<String>,
    pub peers: Option<Vec<Peer>>,
    pub peer: Option<Peer>,
    pub id: Option<String>,
    pub link: Option<String>,
    pub state: Option<Value>,
    pub role: Option<String>,
    pub settings: Option<Value>,
    pub from: Option<String>,
    pub data: Option<Said>,
    pub ack: Option<u64>,
    pub code: Option<String>,
    #[serde(rename = "ref")]
    pub reference: Option<u64>,
    pub waiting: Option<Vec<Guest>>,
    pub reconnect_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Peer {
    pub id: String,
    pub role: String,
    pub state: Value,
    pub link: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Guest {
    pub id: String,
}

/// Payload between clients: number of the sender's session, and index of the message in it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Said {
    pub stay: usize,
    pub n: u64,
}

/// A peer as a client knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Roster version in which it joined; 0 if it was there before.
    pub since: u64,
    pub role: String,
    pub state: Value,
    pub lost: bool,
}

/// The roster as a client knows it.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub version: u64,
    pub peers: BTreeMap<String, Known>,
    pub role: String,
    pub settings: Value,
    pub lobby: Vec<String>,
}

fn known(peer: Peer, since: u64) -> (String, Known) {
    (peer.id, Known { since, role: peer.role, state: peer.state, lost: peer.link.is_some() })
}

impl View {
    pub fn of(message: Message) -> Self {
        let peers = message.peers.expect("peers").into_iter().map(|peer| known(peer, 0)).collect();
        Self {
            version: message.version.expect("a version"),
            peers,
            role: message.role.expect("a role"),
            settings: message.settings.expect("settings"),
            lobby: Vec::new(),
        }
    }

    /// Applies a change of the roster, or compares a snapshot. `own` is the client's ID.
    pub fn take(&mut self, message: Message, own: &str) {
        if let Some(waiting) = message.waiting {
            self.lobby = waiting.into_iter().map(|guest| guest.id).collect();
            return;
        }
        let Some(version) = message.version else { return };
        if message.kind == "roster" {
            let mut snapshot = Self::of(message);
            for (id, peer) in &mut snapshot.peers {
                peer.since = self.peers[id].since;
            }
            assert_eq!((snapshot.version, &snapshot.peers), (self.version, &self.peers), "R23");
            assert_eq!((&snapshot.role, &snapshot.settings), (&self.role, &self.settings), "R17");
            return;
        }
        assert_eq!(version, self.version + 1, "R14: {message:?}");
        self.version = version;
        let id = message.id.clone().unwrap_or_default();
        let peer = self.peers.get_mut(&id);
        match message.kind.as_str() {
            "peer_joined" => {
                let (id, peer) = known(message.peer.expect("a peer"), version);
                assert!(id != own && self.peers.insert(id, peer).is_none(), "R15: joined twice");
            }
            "peer_left" => assert!(self.peers.remove(&id).is_some(), "R15: left twice"),
            "settings" => self.settings = message.settings.expect("settings"),
            "role" if id == own => self.role = message.role.expect("a role"),
            "state" | "link" if id == own => {}
            "role" => peer.expect("a peer").role = message.role.expect("a role"),
            "state" => peer.expect("a peer").state = message.state.expect("a state"),
            "link" => peer.expect("a peer").lost = message.link.as_deref() == Some("lost"),
            other => panic!("{other:?} has a version"),
        }
    }
}

/// Returns whether the documentation's table of errors contains this code.
pub fn is_documented_error(code: &str) -> bool {
    let table = PROTOCOL.split("## Errors").nth(1).expect("errors").split("## Close codes").next().expect("a table");
    table.lines().filter(|line| line.starts_with('|')).any(|line| line.contains(&format!("`{code}`")))
}

/// Returns whether the documentation's table of close codes contains this code.
pub fn is_documented_close(code: u16) -> bool {
    let table = PROTOCOL.split("## Close codes").nth(1).expect("close codes").split("\n## ").next().expect("a table");
    let codes = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    codes.flat_map(|codes| codes.split(", ")).any(|known| known == code.to_string())
}
