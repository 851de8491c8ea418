//! What the server sends.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::moderation::permission_names;
use super::{
    Ask, ErrorCode, Frame, LeaveReason, Link, NotResumed, PeerId, PeerName, Permissions, Role, RoleReason, Settings,
    State, StateValue, Switch,
};

/// Every message to a client (docs/PROTOCOL.md). `signal` and `broadcast` are written by
/// [`signal`] and [`broadcast`] without going through serde; they stand here for the
/// TypeScript types and for programs in Rust that read them.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ServerMessage<'a> {
    /// The answer to `join` (R7).
    Welcome(Welcome<'a>),
    /// A peer is in the room from now on (R14).
    PeerJoined {
        /// The roster's version with this peer in it.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Who joined.
        peer: &'a Peer,
    },
    /// A peer is no longer in the room (R14).
    PeerLeft {
        /// The roster's version without this peer.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Who left.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// A member, perhaps oneself, has lost its socket, or is back (R52).
    Link {
        /// The roster's version with this link in it.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Whose.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// From now on.
        link: Link,
    },
    /// A peer's whole state after a change (R21).
    State {
        /// The roster's version with this state in it.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Whose state.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// All of it.
        #[cfg_attr(test, ts(type = "{ [key in string]?: StateValue }"))]
        state: &'a State,
    },
    /// The answer to `sync` (R17).
    Roster {
        /// The version that `peers` is a snapshot of.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Everybody else, in the order in which they joined.
        #[cfg_attr(test, ts(type = "Array<Peer>"))]
        #[cfg_attr(test, ts(type = "Array<Peer>"))]
        peers: Vec<&'a RawValue>,
        /// One's own role.
        role: Role,
        /// As in `Peer`, of oneself.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "number", optional))]
        hand_since: Option<u64>,
        /// What the room is set to.
        settings: Settings,
    },
    /// A peer, perhaps oneself, has another role (R42).
    Role {
        /// The roster's version with this role in it.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Whose.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// The role from now on.
        role: Role,
        /// Set if no host has made the change (R110, R112).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        reason: Option<RoleReason>,
    },
    /// The room is set otherwise (R38).
    Settings {
        /// The roster's version with these settings.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// All of them.
        settings: Settings,
    },
    /// The answer to a `join` where a host has to admit (R40).
    Waiting,
    /// For hosts: everyone who waits, whenever that changes (R40).
    Lobby {
        /// In the order in which they came.
        #[cfg_attr(test, ts(type = "Array<Waiting>"))]
        waiting: Vec<&'a Waiting>,
    },
    /// A host asks for something (R43).
    Asked {
        /// The host.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// For what.
        ask: Ask,
    },
    /// A host has switched something of this peer off (R44).
    SwitchedOff {
        /// The host.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// What.
        what: Switch,
    },
    /// A message for this peer alone.
    Signal {
        /// Who sent it.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// As it was sent.
        #[cfg_attr(test, ts(type = "unknown"))]
        data: &'a RawValue,
    },
    /// A message for everybody else in the room.
    Broadcast {
        /// Who sent it.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// As it was sent.
        #[cfg_attr(test, ts(type = "unknown"))]
        data: &'a RawValue,
    },
    /// The answer to `ping` (R27).
    Pong {
        /// The `ref` of the `ping`.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string | number", optional))]
        reference: Option<&'a RawValue>,
    },
    /// The answer to a `join` that goes on where it was; what was missed follows (R53).
    Resumed {
        /// This peer's id, as before.
        #[serde(rename = "self")]
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// The number of the last message of the client that has arrived.
        #[cfg_attr(test, ts(type = "number"))]
        ack: u64,
    },
    /// The client's messages up to this number have arrived (R51).
    Ack {
        /// The number.
        #[cfg_attr(test, ts(type = "number"))]
        ack: u64,
    },
    /// A message was not carried out (R28).
    Error(ErrorBody<'a>),
    /// The same servers as in the `welcome`, with credentials that are good for longer (R73).
    IceServers {
        /// As in `RTCConfiguration.iceServers`.
        ice_servers: &'a [IceServer],
    },
    /// One's own token ends soon (R61).
    TokenExpiring {
        /// Milliseconds until then.
        #[cfg_attr(test, ts(type = "number"))]
        expires_in_ms: u64,
    },
    /// The answer to `renew` (R61).
    Renewed {
        /// Milliseconds until the new token ends.
        #[cfg_attr(test, ts(type = "number"))]
        expires_in_ms: u64,
        /// The `ref` of the `renew`.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string | number", optional))]
        reference: Option<&'a RawValue>,
    },
    /// Whether this server is cut off from the others that have the room (R77).
    Degraded {
        /// From now on.
        active: bool,
    },
    /// The server shuts down (R32).
    GoAway {
        /// Always `shutdown` so far.
        reason: &'a str,
        /// Milliseconds after which to reconnect, different for each connection.
        reconnect_ms: u32,
    },
}

/// The answer to `join` (R7).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Welcome<'a> {
    /// This peer's id.
    #[serde(rename = "self")]
    #[cfg_attr(test, ts(type = "string"))]
    pub id: PeerId,
    /// The room's name.
    pub room: &'a str,
    /// The version that `peers` is a snapshot of.
    #[cfg_attr(test, ts(type = "number"))]
    pub version: u64,
    /// Everybody else, in the order in which they joined.
    #[cfg_attr(test, ts(type = "Array<Peer>"))]
    #[cfg_attr(test, ts(type = "Array<Peer>"))]
    pub peers: Vec<&'a RawValue>,
    /// One's own role (R36).
    pub role: Role,
    /// As in `Peer`, of oneself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "number", optional))]
    pub hand_since: Option<u64>,
    /// What one may do, where a token does not leave it to the role (R59).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "Array<string>", optional))]
    pub permissions: Option<Vec<&'a str>>,
    /// What the room is set to (R38).
    pub settings: Settings,
    /// The secret to come back with (R11).
    pub resume: &'a str,
    /// Whether this peer came back with such a secret.
    pub resumed: bool,
    /// Why its session did not go on, where it wished so (R54).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub not_resumed: Option<NotResumed>,
    /// As in `RTCConfiguration.iceServers`.
    pub ice_servers: &'a [IceServer],
    /// Set if peers connect through TURN servers only (R106).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    pub relay_only: bool,
    /// What the server takes.
    pub limits: Limits,
    /// Seconds that the server stays silent at most (R26).
    pub heartbeat_seconds: u32,
    /// How often to report how good one's call is; not at all where it is absent (R82).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub quality_seconds: Option<u32>,
    /// What the server can do beyond the minimum.
    #[cfg_attr(test, ts(type = "Array<string>"))]
    pub features: &'a [&'a str],
    /// Which server this is.
    pub server: ServerInfo<'a>,
}

/// A member of a room as the others see it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Peer {
    /// Unguessable; the same as long as the peer is in the roster (R8).
    #[cfg_attr(test, ts(type = "string"))]
    pub id: PeerId,
    /// What to call it.
    #[cfg_attr(test, ts(type = "string"))]
    pub name: PeerName,
    /// There where its token says its name (R97).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    pub name_from_token: bool,
    /// What it may do (R36).
    pub role: Role,
    /// Permissions of its token, if the token restricts what the role allows (R59, R108).
    #[serde(default, skip_serializing_if = "Permissions::is_all", with = "permission_names")]
    #[cfg_attr(test, ts(as = "Option<Vec<String>>", optional))]
    pub permissions: Permissions,
    /// What it says about itself (R20).
    #[cfg_attr(test, ts(type = "{ [key in string]?: StateValue }"))]
    pub state: State,
    /// The version with which its raised hand was announced (R21).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "number", optional))]
    pub hand_since: Option<u64>,
    /// Stands there only while it is lost (R52).
    #[serde(default, skip_serializing_if = "Link::is_ok")]
    #[cfg_attr(test, ts(as = "Option<Link>", optional))]
    pub link: Link,
}

impl Peer {
    /// Updates `hand_since` with the version of the roster that announces the state.
    pub(crate) fn note_hand(&mut self, version: u64) {
        let is_up = self.state.get("hand") == Some(&StateValue::Flag(true));
        self.hand_since = is_up.then(|| self.hand_since.unwrap_or(version));
    }
}

/// Somebody who waits to be admitted (R40).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Waiting {
    /// The id it will have.
    #[cfg_attr(test, ts(type = "string"))]
    pub id: PeerId,
    /// What to call it.
    #[cfg_attr(test, ts(type = "string"))]
    pub name: PeerName,
    /// There where its token says its name (R97).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    pub name_from_token: bool,
}

/// One entry of `RTCConfiguration.iceServers` (W3C WebRTC §4.2.1).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub username: Option<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub credential: Option<String>,
}

/// What the server takes (R7).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Limits {
    /// Bytes of a message.
    pub message_bytes: u32,
    /// Characters of a name.
    pub name_chars: u32,
    /// Keys of a state.
    pub state_keys: u32,
    /// Members of a room.
    pub room_members: u32,
}

/// Which server this is, and its time with the offset of its zone.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ServerInfo<'a> {
    /// `roundtable`.
    pub name: &'a str,
    /// Of the server.
    pub version: &'a str,
    /// RFC 3339.
    pub time: String,
    /// Random, of this run of the program.
    pub instance: &'a str,
    /// Set if the server shares its rooms with other servers.
    pub cluster: bool,
}

/// A message was not carried out (R28).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ErrorBody<'a> {
    /// For programs.
    pub code: ErrorCode,
    /// For developers: what was wrong and what would be right. It goes out in brief, whatever of the client's own
    /// text is in it.
    #[serde(serialize_with = "in_brief")]
    pub message: &'a str,
    /// The type of the message that this answers, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub re: Option<&'a str>,
    /// Its `ref`, where it had one.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "string | number", optional))]
    pub reference: Option<&'a RawValue>,
    /// Milliseconds after which to try again, where that may help (R66, R67, R75).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "number", optional))]
    pub retry_after_ms: Option<u64>,
}

impl ServerMessage<'_> {
    /// Encodes the message.
    pub fn to_frame(&self) -> Frame {
        // Serialising our own types cannot fail: no map has keys that are not text, and no
        // `Serialize` of theirs returns an error.
        let json = serde_json::to_string(self).unwrap_or_default();
        Frame::text([&json])
    }
}

/// Characters at the beginning and at the end that are left of an error's text which is longer: what is wrong
/// begins it, and what would be right ends it.
const BRIEF_CHARS: (usize, usize) = (80, 160);

/// An error is no amplifier: a text that repeats 64 KiB of what a client sent helps nobody.
fn in_brief<S: Serializer>(message: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let (begin, end) = BRIEF_CHARS;
    let count = message.chars().count();
    if count <= begin + end && !message.contains(char::is_control) {
        return serializer.serialize_str(message);
    }
    let kept = message.chars().enumerate().filter_map(|(at, c)| match at {
        // Each control character would become six in JSON.
        _ if at < begin || at + end >= count => Some(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }),
        _ if at == begin => Some('…'),
        _ => None,
    });
    serializer.serialize_str(&kept.collect::<String>())
}

/// A `signal` as its receiver gets it; `data` is passed on byte for byte.
pub fn signal(from: PeerId, data: &RawValue) -> Frame {
    Frame::text([r#"{"type":"signal","from":""#, from.as_str(), r#"","data":"#, data.get(), "}"])
}

/// A `broadcast` as everybody else gets it; `data` is passed on byte for byte.
pub fn broadcast(from: PeerId, data: &RawValue) -> Frame {
    Frame::text([r#"{"type":"broadcast","from":""#, from.as_str(), r#"","data":"#, data.get(), "}"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(message: &str) -> String {
        let (re, reference, retry_after_ms) = (None, None, None);
        let body = ErrorBody { code: ErrorCode::BadField, message, re, reference, retry_after_ms };
        serde_json::to_value(body).unwrap()["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn r28_an_error_says_in_brief_what_was_wrong_and_what_would_be_right() {
        for short in ["It is wrong.".to_owned(), "é".repeat(240)] {
            assert_eq!(sent(&short), short);
        }
        assert_eq!(sent("a\u{7}b"), "a\u{fffd}b");
        let long = format!("Wrong: {}, right: b.", "a".repeat(60_000));
        let brief = sent(&long);
        assert_eq!(brief.chars().count(), 241);
        assert!(brief.starts_with("Wrong: a") && brief.contains("a…a") && brief.ends_with("a, right: b."), "{brief}");
    }
}
