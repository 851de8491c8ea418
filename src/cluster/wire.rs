//! Log entries and messages between servers: a version and JSON. If a member's frame is relayed, its bytes follow
//! unchanged.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::replica::Replica;
use crate::core::{Act, Seat};
use crate::protocol::Frame;

/// First byte of every message, so that another version is rejected and not misread.
pub(super) const VERSION: u8 = b'2';
/// Maximum size of a message in bytes. A room of 50 with full states is below 600 KiB, with as many in the lobby.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// ID of one run of a server. It is random, so that a restarted server has another one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ServerId(pub u64);

/// Formats the ID as operators see it.
impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Node ID: one attachment of a server to a room. `life` counts the attachments of the server in all rooms and is never
/// reused, so that an evicted node cannot act for the node that has replaced it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Post {
    /// Server.
    pub server: ServerId,
    /// Number of the attachment.
    pub life: u64,
}

/// Identifies a room's record and so the log to which entry numbers belong. A record is created again after all servers
/// have left the room, or the store has lost it. The incarnations of one room are ordered by creation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Incarnation {
    /// The store's clock in milliseconds at creation, or one more than that of the previous record that the founder
    /// knew, if that is later.
    pub born: u64,
    /// Node that has created the record.
    pub founder: Post,
}

/// Position in a room's log.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Mark {
    /// Record of the log.
    pub incarnation: Incarnation,
    /// Number of the last entry; 0 before the first.
    pub number: u64,
}

/// One entry of a room's log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// Number of the entry, from 1 without a gap.
    pub number: u64,
    /// The store's clock. It never goes back within a log.
    pub time: Duration,
    /// Content of the entry.
    pub body: Body,
}

/// Content of an [`Entry`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The attached nodes have changed.
    Posts {
        /// All attached nodes, in order of attaching.
        posts: Vec<Post>,
        /// Reason of the change.
        news: News,
    },
    /// A server's command, on behalf of one of its members or of the room.
    Act {
        /// Node of that server.
        post: Post,
        /// The node's number of the command, from 1. A command that arrives twice is applied once.
        own: u64,
        /// Command.
        act: Act,
    },
}

/// Reason why the attached nodes have changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A node has attached.
    Attached(Post),
    /// A node without members has detached.
    Detached(Post),
    /// A node was evicted by another one: its server is dead, or cut off.
    Evicted(Post),
    /// No remaining server has a replica: the room starts again, empty.
    Founded,
}

/// Message from one server to another about one room.
#[derive(Clone, Debug)]
pub enum Direct {
    /// Asks for a replica of the room. It may be lost, like its answer, and is repeated.
    Want {
        /// Requesting node.
        post: Post,
        /// Position at which that node had attached.
        mark: Mark,
    },
    /// Replica of the room.
    Replica(Box<Replica>),
    /// The server has no replica, because it has only attached itself.
    NoReplica {
        /// Answering node.
        post: Post,
        /// Record to which it applies.
        incarnation: Incarnation,
    },
    /// Packet on the link between two nodes.
    Link(Packet),
}

/// Packet on a [`Link`](super::link::Link).
#[derive(Clone, Debug)]
pub struct Packet {
    /// Sending node.
    pub from: Post,
    /// Receiving node.
    pub to: Post,
    /// Number of the last payload that has arrived in the other direction.
    pub ack: u64,
    /// Asks for retransmission: a payload after `ack` is missing.
    pub again: bool,
    /// Payload and its number, from 1; `None` if the packet only acknowledges.
    pub parcel: Option<(u64, Parcel)>,
}

/// Payload from one server to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// Position of the sender's replica. The receiver's replica must have reached it before the payload is used.
    pub at: Mark,
    /// Content of the payload.
    pub content: Content,
}

/// Content of a [`Parcel`].
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Frame for members of the receiving server.
    Frame {
        /// Receiving sessions. A member with a new session does not get frames for its previous one.
        to: Vec<Seat>,
        /// Frame.
        frame: Frame,
    },
    /// A member has moved away from the sender, by the entry of this number. The receiver answers with a flush marker.
    Gone(Seat, u64),
    /// Flush marker: the sender has nothing more for a member that has moved away from the receiver, by the entry of
    /// this number.
    Beacon(Seat, u64),
    /// Session of a member that has moved to the receiver; `None` if it cannot be resumed.
    Session(Seat, Option<Bytes>),
}

impl Parcel {
    /// Returns the bytes that count for the limit of a link.
    pub fn cost(&self) -> usize {
        match &self.content {
            Content::Frame { frame, .. } => frame.cost(),
            Content::Gone(..) | Content::Beacon(..) | Content::Session(_, None) => 0,
            Content::Session(_, Some(session)) => session.len(),
        }
    }
}

/// [`Direct`] without the bytes that follow the JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Header {
    Want { post: Post, mark: Mark },
    Replica(Box<Replica>),
    NoReplica { post: Post, incarnation: Incarnation },
    Link { from: Post, to: Post, ack: u64, again: bool, parcel: Option<(u64, Mark, Kind)> },
}

/// [`Content`] without the bytes that follow the JSON.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Frame(Vec<Seat>),
    Gone(Seat, u64),
    Beacon(Seat, u64),
    Session(Seat),
    NoSession(Seat),
}

impl Direct {
    /// Encodes the message.
    pub fn encode(self) -> Bytes {
        let (header, rest) = match self {
            Self::Want { post, mark } => (Header::Want { post, mark }, None),
            Self::Replica(replica) => (Header::Replica(replica), None),
            Self::NoReplica { post, incarnation } => (Header::NoReplica { post, incarnation }, None),
            Self::Link(Packet { from, to, ack, again, parcel }) => {
                let mut rest = None;
                let parcel = parcel.map(|(number, Parcel { at, content })| {
                    let kind = match content {
                        Content::Frame { to, frame } => {
                            rest = Some(frame.into_bytes());
                            Kind::Frame(to)
                        }
                        Content::Gone(seat, entry) => Kind::Gone(seat, entry),
                        Content::Beacon(seat, entry) => Kind::Beacon(seat, entry),
                        Content::Session(seat, None) => Kind::NoSession(seat),
                        Content::Session(seat, Some(session)) => {
                            rest = Some(session);
                            Kind::Session(seat)
                        }
                    };
                    (number, at, kind)
                });
                (Header::Link { from, to, ack, again, parcel }, rest)
            }
        };
        let mut bytes = to_bytes(&header);
        if let Some(rest) = rest {
            // JSON on one line contains no line feed.
            bytes.push(b'\n');
            bytes.extend_from_slice(&rest);
        }
        bytes.into()
    }

    /// Decodes a message. The error says what is wrong with it.
    pub fn decode(bytes: &Bytes) -> Result<Self, String> {
        bounded(bytes)?;
        let line = bytes.iter().position(|byte| *byte == b'\n');
        let header = from_bytes(&bytes[..line.unwrap_or(bytes.len())])?;
        Ok(match header {
            Header::Want { post, mark } => Self::Want { post, mark },
            Header::Replica(replica) => Self::Replica(replica),
            Header::NoReplica { post, incarnation } => Self::NoReplica { post, incarnation },
            Header::Link { from, to, ack, again, parcel } => {
                let mut rest = line.map(|line| bytes.slice(line + 1..));
                let parcel = match parcel {
                    Some((number, at, kind)) => Some((number, Parcel { at, content: kind.with(&mut rest)? })),
                    None => None,
                };
                if rest.is_some() {
                    return Err("There is more than was announced.".into());
                }
                Self::Link(Packet { from, to, ack, again, parcel })
            }
        })
    }
}

impl Kind {
    fn with(self, rest: &mut Option<Bytes>) -> Result<Content, String> {
        Ok(match self {
            Self::Frame(to) => {
                let frame = rest.take().and_then(Frame::of).ok_or("There is no frame, or what is none.")?;
                Content::Frame { to, frame }
            }
            Self::Gone(seat, entry) => Content::Gone(seat, entry),
            Self::Beacon(seat, entry) => Content::Beacon(seat, entry),
            Self::NoSession(seat) => Content::Session(seat, None),
            Self::Session(seat) => Content::Session(seat, Some(rest.take().ok_or("There is no session.")?)),
        })
    }
}

/// Encodes a value as a version and JSON on one line.
pub fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Serializing our own types cannot fail: all map keys are text, and no `Serialize` of theirs returns an error.
    let _ = serde_json::to_writer(&mut bytes, value);
    bytes
}

/// Decodes the output of [`to_bytes`]. The error says what is wrong with it.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    bounded(bytes)?;
    let (version, json) = bytes.split_first().ok_or("There is nothing.")?;
    if *version != VERSION {
        return Err(format!("This is of the version {:?}; read is {:?}.", char::from(*version), char::from(VERSION)));
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

fn bounded(bytes: &[u8]) -> Result<(), String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("{} bytes are more than the {MAX_BYTES} that are read.", bytes.len()));
    }
    Ok(())
}
