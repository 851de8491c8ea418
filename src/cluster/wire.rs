//! What servers and the engine say to each other: JSON with a version before it, and behind it, where a member's frame
//! is passed on, that frame's bytes as they are.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::replica::Replica;
use crate::core::{Act, Seat};
use crate::protocol::Frame;

/// What stands before everything: who speaks another version is not understood, and not misunderstood.
pub(super) const VERSION: u8 = b'2';
/// The longest that is read. A room of 50 with full states is below 600 KiB, with as many who wait.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// One run of a server: random at its start, so that none comes back as who it was.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct ServerId(pub u64);

/// As operators are shown it.
impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A server's place in a room. `life` counts the server's places, over all rooms: none is ever taken twice, so that who
/// was put out does not speak in the name of who came back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Post {
    /// Whose.
    pub server: ServerId,
    /// Which.
    pub life: u64,
}

/// Which log the numbers of entries belong to: a room's record is made anew when nobody is there any more, or the engine
/// has lost it. Those of one room are in the order in which they were made.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Incarnation {
    /// The engine's clock in milliseconds when it was made, or one more than that of the record before it that the founder
    /// knew, where that is later.
    pub born: u64,
    /// Who made the record.
    pub founder: Post,
}

/// A place in the order of everything that was done to a room.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Mark {
    /// Of which record.
    pub incarnation: Incarnation,
    /// The number of the last entry; 0 before the first.
    pub number: u64,
}

/// One line of a room's log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Entry {
    /// From 1, without a gap.
    pub number: u64,
    /// The engine's clock; does not go back within a log.
    pub time: Duration,
    /// What was done.
    pub body: Body,
}

/// What an [`Entry`] says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Other servers are in the room, from here on these, in the order in which they came.
    Posts {
        /// All of them.
        posts: Vec<Post>,
        /// What has happened.
        news: News,
    },
    /// A server does something, in its members' name or the room's.
    Act {
        /// Which.
        post: Post,
        /// That server's own number for it, from 1: what comes twice is done once.
        own: u64,
        /// What.
        act: Act,
    },
}

/// Why a room has other servers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// One has come.
    Attached(Post),
    /// One has gone, without members.
    Detached(Post),
    /// One was put out by another: it is dead, or cut off.
    Evicted(Post),
    /// Nobody who is left knows the room: it begins anew, empty.
    Founded,
}

/// From one server to another about one room.
#[derive(Clone, Debug)]
pub enum Direct {
    /// Asks for the room as it is. This may be lost, like its answer, and is asked again.
    Want {
        /// Who asks.
        post: Post,
        /// By when that server had come.
        mark: Mark,
    },
    /// The room as it is.
    Replica(Box<Replica>),
    /// There is none to be had: this server has only come, too.
    NoReplica {
        /// Who answers.
        post: Post,
        /// Of which record.
        incarnation: Incarnation,
    },
    /// Something on the link between two.
    Link(Packet),
}

/// What is on a [`Link`](super::link::Link).
#[derive(Clone, Debug)]
pub struct Packet {
    /// The sender's end.
    pub from: Post,
    /// The receiver's.
    pub to: Post,
    /// All of these have arrived of the other direction.
    pub ack: u64,
    /// Something is missing behind `ack`.
    pub again: bool,
    /// The parcel and its number, from 1; `None` where this only acknowledges.
    pub parcel: Option<(u64, Parcel)>,
}

/// One thing from one server to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Parcel {
    /// What the sender's copy of the room was: the receiver's must be so far before it is taken in.
    pub at: Mark,
    /// What.
    pub content: Content,
}

/// What a [`Parcel`] brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A frame for some members of the receiver.
    Frame {
        /// For whom, in which stay: who has begun afresh meanwhile does not get what was for it before.
        to: Vec<Seat>,
        /// What.
        frame: Frame,
    },
    /// A member has moved away from the sender, by the entry of this number: the receiver answers by a beacon.
    Gone(Seat, u64),
    /// Nothing more comes from here for a member that has moved away from the receiver by the entry of this number.
    Beacon(Seat, u64),
    /// The session of a member that has moved to the receiver; `None` where it does not go on.
    Session(Seat, Option<Bytes>),
}

impl Parcel {
    /// Bytes of a link's bound that it takes.
    pub fn cost(&self) -> usize {
        match &self.content {
            Content::Frame { frame, .. } => frame.cost(),
            Content::Gone(..) | Content::Beacon(..) | Content::Session(_, None) => 0,
            Content::Session(_, Some(session)) => session.len(),
        }
    }
}

/// [`Direct`] without the frame.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Header {
    Want { post: Post, mark: Mark },
    Replica(Box<Replica>),
    NoReplica { post: Post, incarnation: Incarnation },
    Link { from: Post, to: Post, ack: u64, again: bool, parcel: Option<(u64, Mark, Kind)> },
}

/// [`Content`] without what stands behind the header.
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
    /// For the wire.
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
            // JSON in one line has no line feed.
            bytes.push(b'\n');
            bytes.extend_from_slice(&rest);
        }
        bytes.into()
    }

    /// From the wire; the error says what is wrong with it.
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

/// A version, and JSON in one line.
pub fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    // Serialising our own types cannot fail: no map has keys that are not text, and no `Serialize` of theirs returns an
    // error.
    let _ = serde_json::to_writer(&mut bytes, value);
    bytes
}

/// Reads what [`to_bytes`] wrote; the error says what is wrong with it.
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
