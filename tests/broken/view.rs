//! A client's view of the roster, built from snapshots and changes as described in docs/PROTOCOL.md.

use serde_json::Value;

/// All other members in the order of joining.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub version: u64,
    pub peers: Vec<Peer>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    pub id: String,
    pub lost: bool,
}

impl Peer {
    fn of(peer: &Value) -> Self {
        Self { id: text(&peer["id"]), lost: peer["link"] == "lost" }
    }
}

impl View {
    /// Reads a `welcome` or a `roster`.
    pub fn of(snapshot: &Value) -> Self {
        let peers = snapshot["peers"].as_array().expect("peers").iter().map(Peer::of).collect();
        Self { version: snapshot["version"].as_u64().expect("a version"), peers }
    }

    pub fn has(&self, id: &str) -> bool {
        self.peers.iter().any(|peer| peer.id == id)
    }

    /// Applies a change. The error describes a violation of the protocol.
    pub fn take(&mut self, message: &Value, own: &str) -> Result<(), String> {
        let Some(version) = message["version"].as_u64() else { return Ok(()) };
        let wrong = |rule: &str| Err(format!("{rule}: {message} for {self:?}"));
        if version != self.version + 1 {
            return wrong("R14");
        }
        let id = message["id"].as_str().unwrap_or_default();
        let at = self.peers.iter().position(|peer| peer.id == id);
        match (message["type"].as_str().expect("a type"), at) {
            ("peer_joined", _) => {
                let peer = Peer::of(&message["peer"]);
                if peer.id == own || self.has(&peer.id) {
                    return wrong("R15");
                }
                self.peers.push(peer);
            }
            ("peer_left", Some(at)) => drop(self.peers.remove(at)),
            ("link", Some(at)) => self.peers[at].lost = message["link"] == "lost",
            ("peer_left", None) => return wrong("R15"),
            _ => {}
        }
        self.version = version;
        Ok(())
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
