//! Server messages and their encoding.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::moderation::permission_names;
use super::{
    Ask, ErrorCode, Frame, LeaveReason, Link, NotResumed, PeerId, PeerName, Permissions, Role, RoleReason, Settings,
    State, StateValue, Switch,
};

/// Every message to a client (docs/PROTOCOL.md). [`signal`] and [`broadcast`] write their messages without serde; their
/// variants exist for the TypeScript types and for Rust programs that parse them.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ServerMessage<'a> {
    /// Response to `join` (R7).
    Welcome(Welcome<'a>),
    /// A peer joined the room (R14).
    PeerJoined {
        /// Roster version that includes this peer.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// The new peer.
        peer: &'a Peer,
    },
    /// A peer left the room (R14).
    PeerLeft {
        /// Roster version without this peer.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// ID of the peer that left.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// Reason for leaving.
        reason: LeaveReason,
    },
    /// A member, possibly the recipient, disconnected or reconnected (R52).
    Link {
        /// Roster version that includes this change.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Member's ID.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// New connection state.
        link: Link,
    },
    /// A peer's complete state after a change (R21).
    State {
        /// Roster version that includes this state.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Peer's ID.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// The complete state.
        #[cfg_attr(test, ts(type = "{ [key in string]?: StateValue }"))]
        state: &'a State,
    },
    /// Response to `sync` (R17).
    Roster {
        /// Roster version of this snapshot.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// All other members in the order of joining.
        #[cfg_attr(test, ts(type = "Array<Peer>"))]
        #[cfg_attr(test, ts(type = "Array<Peer>"))]
        peers: Vec<&'a RawValue>,
        /// The recipient's own role.
        role: Role,
        /// The recipient's own `hand_since`, as in `Peer`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "number", optional))]
        hand_since: Option<u64>,
        /// The room's settings.
        settings: Settings,
    },
    /// The role of a peer, possibly the recipient, changed (R42).
    Role {
        /// Roster version that includes this role.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// Peer's ID.
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// New role.
        role: Role,
        /// Set if the change was not made by a host (R110, R112).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        reason: Option<RoleReason>,
    },
    /// The room's settings changed (R38).
    Settings {
        /// Roster version that includes these settings.
        #[cfg_attr(test, ts(type = "number"))]
        version: u64,
        /// The complete settings.
        settings: Settings,
    },
    /// Response to a `join` that a host must admit (R40).
    Waiting,
    /// The complete lobby, sent to hosts whenever it changes (R40).
    Lobby {
        /// People in the lobby in the order of arrival.
        #[cfg_attr(test, ts(type = "Array<Waiting>"))]
        waiting: Vec<&'a Waiting>,
    },
    /// A host sent a request to the recipient (R43).
    Asked {
        /// Host's ID.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// The request.
        ask: Ask,
    },
    /// A host turned something off for the recipient (R44).
    SwitchedOff {
        /// Host's ID.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// Device or state key.
        what: Switch,
    },
    /// A message to the recipient alone.
    Signal {
        /// Sender's ID.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// Payload as it was sent.
        #[cfg_attr(test, ts(type = "unknown"))]
        data: &'a RawValue,
    },
    /// A message to everybody else in the room.
    Broadcast {
        /// Sender's ID.
        #[cfg_attr(test, ts(type = "string"))]
        from: PeerId,
        /// Payload as it was sent.
        #[cfg_attr(test, ts(type = "unknown"))]
        data: &'a RawValue,
    },
    /// Response to `ping` (R27).
    Pong {
        /// The `ref` of the `ping`.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string | number", optional))]
        reference: Option<&'a RawValue>,
    },
    /// Response to a `join` that resumed the session; the missed messages follow (R53).
    Resumed {
        /// The recipient's ID, unchanged.
        #[serde(rename = "self")]
        #[cfg_attr(test, ts(type = "string"))]
        id: PeerId,
        /// Number of the last client message that the server received.
        #[cfg_attr(test, ts(type = "number"))]
        ack: u64,
    },
    /// Acknowledges the client's messages up to a number (R51).
    Ack {
        /// Number of the last client message that the server received.
        #[cfg_attr(test, ts(type = "number"))]
        ack: u64,
    },
    /// A message was not carried out (R28).
    Error(ErrorBody<'a>),
    /// The same ICE servers as in the `welcome`, with renewed credentials (R73).
    IceServers {
        /// As in `RTCConfiguration.iceServers`.
        ice_servers: &'a [IceServer],
    },
    /// The recipient's token is about to expire (R61).
    TokenExpiring {
        /// Milliseconds until it expires.
        #[cfg_attr(test, ts(type = "number"))]
        expires_in_ms: u64,
    },
    /// Response to `renew` (R61).
    Renewed {
        /// Milliseconds until the new token expires.
        #[cfg_attr(test, ts(type = "number"))]
        expires_in_ms: u64,
        /// The `ref` of the `renew`.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string | number", optional))]
        reference: Option<&'a RawValue>,
    },
    /// The server lost or regained its connection to the other servers that share the room (R77).
    Degraded {
        /// Set while the servers are disconnected.
        active: bool,
    },
    /// The server is shutting down (R32).
    GoAway {
        /// Currently always `shutdown`.
        reason: &'a str,
        /// Milliseconds after which to reconnect, different for each connection.
        reconnect_ms: u32,
    },
}

/// Response to `join` (R7).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Welcome<'a> {
    /// The recipient's ID.
    #[serde(rename = "self")]
    #[cfg_attr(test, ts(type = "string"))]
    pub id: PeerId,
    /// The room's name.
    pub room: &'a str,
    /// Roster version of this snapshot.
    #[cfg_attr(test, ts(type = "number"))]
    pub version: u64,
    /// All other members in the order of joining.
    #[cfg_attr(test, ts(type = "Array<Peer>"))]
    #[cfg_attr(test, ts(type = "Array<Peer>"))]
    pub peers: Vec<&'a RawValue>,
    /// The recipient's own role (R36).
    pub role: Role,
    /// The recipient's own `hand_since`, as in `Peer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "number", optional))]
    pub hand_since: Option<u64>,
    /// The recipient's permissions, if its token restricts what the role allows (R59).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "Array<string>", optional))]
    pub permissions: Option<Vec<&'a str>>,
    /// The room's settings (R38).
    pub settings: Settings,
    /// Resume secret (R11).
    pub resume: &'a str,
    /// Set if this peer joined with a valid resume secret.
    pub resumed: bool,
    /// Reason why the session was not resumed, if the client requested that (R54).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub not_resumed: Option<NotResumed>,
    /// As in `RTCConfiguration.iceServers`.
    pub ice_servers: &'a [IceServer],
    /// Set if peers connect through TURN servers only (R106).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    pub relay_only: bool,
    /// The server's limits.
    pub limits: Limits,
    /// Longest silence of the server in seconds (R26).
    pub heartbeat_seconds: u32,
    /// Interval of call quality reports in seconds. The client sends none if it is absent (R82).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub quality_seconds: Option<u32>,
    /// Features that the server has beyond the minimum.
    #[cfg_attr(test, ts(type = "Array<string>"))]
    pub features: &'a [&'a str],
    /// The server that sent this message.
    pub server: ServerInfo<'a>,
}

/// Member of a room as the other members see it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Peer {
    /// Unguessable ID, unchanged as long as the peer is in the roster (R8).
    #[cfg_attr(test, ts(type = "string"))]
    pub id: PeerId,
    /// Display name.
    #[cfg_attr(test, ts(type = "string"))]
    pub name: PeerName,
    /// Present if the token determines the name (R97).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(as = "Option<bool>", optional))]
    pub name_from_token: bool,
    /// Role (R36).
    pub role: Role,
    /// Permissions of its token, if the token restricts what the role allows (R59, R108).
    #[serde(default, skip_serializing_if = "Permissions::is_all", with = "permission_names")]
    #[cfg_attr(test, ts(as = "Option<Vec<String>>", optional))]
    pub permissions: Permissions,
    /// State that the member publishes (R20).
    #[cfg_attr(test, ts(type = "{ [key in string]?: StateValue }"))]
    pub state: State,
    /// Roster version that announced the raised hand (R21).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "number", optional))]
    pub hand_since: Option<u64>,
    /// Present only while the member is disconnected (R52).
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

/// Person in the lobby (R40).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Waiting {
    /// ID that the person will have as a member.
    #[cfg_attr(test, ts(type = "string"))]
    pub id: PeerId,
    /// Display name.
    #[cfg_attr(test, ts(type = "string"))]
    pub name: PeerName,
    /// Present if the token determines the name (R97).
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
    /// TURN user name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub username: Option<String>,
    /// TURN password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub credential: Option<String>,
}

/// The server's limits (R7).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Limits {
    /// Maximum bytes of a message.
    pub message_bytes: u32,
    /// Maximum characters of a name.
    pub name_chars: u32,
    /// Maximum keys of a state.
    pub state_keys: u32,
    /// Maximum members of a room.
    pub room_members: u32,
}

/// Identity of a server, and its local time.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ServerInfo<'a> {
    /// Always `roundtable`.
    pub name: &'a str,
    /// Version of the server.
    pub version: &'a str,
    /// Local time with its UTC offset (RFC 3339).
    pub time: String,
    /// Random ID of this server process.
    pub instance: &'a str,
    /// Set if the server shares its rooms with other servers.
    pub cluster: bool,
}

/// Error: a message was not carried out (R28).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ErrorBody<'a> {
    /// Error code for programs.
    pub code: ErrorCode,
    /// Explanation for developers: what was wrong and what would be valid. It is shortened when it is sent, as it may
    /// quote the client's text.
    #[serde(serialize_with = "in_brief")]
    pub message: &'a str,
    /// Type of the message in question, if it was readable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub re: Option<&'a str>,
    /// `ref` of the message in question, if it had one.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "string | number", optional))]
    pub reference: Option<&'a RawValue>,
    /// Milliseconds after which to retry, if retrying may help (R66, R67, R75).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(type = "number", optional))]
    pub retry_after_ms: Option<u64>,
}

impl ServerMessage<'_> {
    /// Encodes the message.
    pub fn to_frame(&self) -> Frame {
        // Serializing these types cannot fail: all map keys are text, and none of their `Serialize` implementations
        // returns an error.
        let json = serde_json::to_string(self).unwrap_or_default();
        Frame::text([&json])
    }
}

/// Characters that are kept from the start and from the end of an error text that is too long. The start says what was
/// wrong, and the end says what would be valid.
const BRIEF_CHARS: (usize, usize) = (80, 160);

/// Serializes an error text in shortened form. An error that repeats up to 64 KiB of the client's text would amplify
/// traffic.
fn in_brief<S: Serializer>(message: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let (begin, end) = BRIEF_CHARS;
    let count = message.chars().count();
    if count <= begin + end && !message.contains(char::is_control) {
        return serializer.serialize_str(message);
    }
    let kept = message.chars().enumerate().filter_map(|(at, c)| match at {
        // JSON would escape each control character to six characters.
        _ if at < begin || at + end >= count => Some(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }),
        _ if at == begin => Some('…'),
        _ => None,
    });
    serializer.serialize_str(&kept.collect::<String>())
}

/// Encodes a `signal` for its recipient. `data` is forwarded byte for byte.
pub fn signal(from: PeerId, data: &RawValue) -> Frame {
    Frame::text([r#"{"type":"signal","from":""#, from.as_str(), r#"","data":"#, data.get(), "}"])
}

/// Encodes a `broadcast` for everybody else. `data` is forwarded byte for byte.
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
