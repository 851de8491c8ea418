//! Interface to the store. The store numbers log entries, keeps them for a while and publishes them. It decides nothing
//! about rooms.
//!
//! The store keeps a record of each room that any server has: its [`Incarnation`], the [`Post`]s of the attached
//! servers, the number and time of the last entry, and the latest entries ([`LOG_ENTRIES`], [`LOG_BYTES`]). Every
//! request is atomic (a script). In Redis, all keys and channels of a room have its name as hash tag, so that a script
//! finds them on one node of a cluster.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::wire::{Entry, Incarnation, Post, ServerId};
use crate::core::Act;
use crate::protocol::RoomName;

/// Maximum number of entries in a room's log. A server that lacks an older one asks another server for the room.
pub const LOG_ENTRIES: usize = 256;
/// Maximum size of a room's log in bytes; the latest entry is always kept. Members of many rooms must not fill the
/// store's memory. A server that lacks older entries asks another server for the room.
pub const LOG_BYTES: usize = 16 * 1024;
/// Time after which a room's record expires without a request from an attached server. Each attached server sends one
/// at least every 30 s.
pub const RECORD_LASTS: Duration = Duration::from_secs(120);
/// Maximum number of commands in one [`Request::Append`].
pub const BATCH: usize = 64;

/// A server's request to the store about one room. A request whose answer was lost may be repeated: it either has no
/// effect the second time, or the second effect makes no difference (each command has its own number).
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Attaches a node to the room, or returns the attached nodes. Creates the record if there is none. Refused if the
    /// server knows this very record and the node is not attached any more. Appends
    /// [`News::Attached`](super::wire::News::Attached), unless the node is attached already.
    Attach {
        /// Node to attach.
        post: Post,
        /// Record that the server knew before. A new record is always later.
        after: Option<Incarnation>,
    },
    /// Detaches a node. Appends [`News::Detached`](super::wire::News::Detached), and deletes the record with the last
    /// node.
    Detach {
        /// Node to detach.
        post: Post,
        /// Record to which it applies.
        incarnation: Incarnation,
    },
    /// Detaches another server's node. Appends [`News::Evicted`](super::wire::News::Evicted), unless it is gone
    /// already.
    Evict {
        /// Requesting node.
        post: Post,
        /// Record to which it applies.
        incarnation: Incarnation,
        /// Node to evict.
        victim: Post,
    },
    /// Starts the room again, empty, because no server has a replica. Appends
    /// [`News::Founded`](super::wire::News::Founded).
    Found {
        /// Requesting node.
        post: Post,
        /// Record to which it applies.
        incarnation: Incarnation,
    },
    /// Appends commands, in this order.
    Append {
        /// Node that submits them.
        post: Post,
        /// Record to which it applies.
        incarnation: Incarnation,
        /// Up to [`BATCH`] commands, each with its number.
        acts: Vec<(u64, Act)>,
    },
    /// Reads the entries after this one, and keeps the record from expiring.
    Fetch {
        /// Requesting node.
        post: Post,
        /// Record to which it applies.
        incarnation: Incarnation,
        /// Number of the last known entry.
        after: u64,
    },
}

/// The store's answer to a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Request::Attach`]: the node is attached.
    Attached {
        /// Record of the room.
        incarnation: Incarnation,
        /// Number of the last entry.
        number: u64,
        /// Time of the last entry, or the present time.
        time: Duration,
        /// All other attached nodes, in order of attaching.
        others: Vec<Post>,
    },
    /// To [`Request::Fetch`]: all following entries, or `None` if the log does not go back so far.
    Entries {
        /// Number of the last entry of the log.
        number: u64,
        /// Entries in order.
        entries: Option<Vec<Entry>>,
    },
    /// To all other requests: done.
    Done {
        /// Number of the last entry.
        number: u64,
    },
    /// The node is not attached: it was evicted, or has detached. Nothing was done.
    NotAttached,
    /// There is no such record: the store has lost it, or has another one. Nothing was done.
    Unknown,
}

/// Error: the store has not answered in time, or cannot be reached. It may have carried out the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine does not answer")
    }
}

impl std::error::Error for Unavailable {}

/// Event from the store. Between [`Event::Connected`] and [`Event::Disconnected`], published messages arrive at most
/// once and in order; some may be missing.
#[derive(Clone, Debug)]
pub enum Event {
    /// The store can be reached, and all subscriptions are in place.
    Connected,
    /// The store cannot be reached until further notice. Reconnecting goes on for ever, with jitter.
    Disconnected,
    /// An entry of a room to which this server is attached.
    Entry(RoomName, Incarnation, Entry),
    /// A message from another server, as passed to [`Bus::tell`].
    Told(RoomName, Bytes),
}

/// Future of an answer. The request is under way already, whether the future is polled or not.
pub type Reply<T> = BoxFuture<'static, Result<T, Unavailable>>;

/// One server's connection to the store. Events go to a channel that the creator passes. Events that do not fit into it
/// are lost, except [`Event::Connected`] and [`Event::Disconnected`].
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Carries out a request within a second, or returns [`Unavailable`]. In the latter case it may be carried out only
    /// for a moment longer: each request has a deadline by the store's clock. Before [`Request::Attach`], this server
    /// subscribes to its channel of the room, so that it misses no entry after its own.
    fn ask(&self, room: &RoomName, request: Request) -> Reply<Answer>;

    /// Publishes a message to one server, once. A message that cannot be sent is dropped: a [`Link`](super::link::Link)
    /// notices.
    fn tell(&self, room: &RoomName, to: ServerId, bytes: Bytes);

    /// Ends the subscription to a room that this server has left.
    fn forget(&self, room: &RoomName);

    /// Renews this server's lease for `lease`. Returns whether it had not expired: after `Ok(false)`, other servers may
    /// have evicted this one from its rooms.
    fn renew(&self, lease: Duration) -> Reply<bool>;

    /// Returns which of these servers have a lease.
    fn living(&self, servers: &[ServerId]) -> Reply<Vec<ServerId>>;

    /// Returns the store's clock since 1970, as far as this server knows it; a [`Share`](super::Share) takes it as the
    /// time. It continues while the store cannot be reached, and may be set, also back, with the next answer.
    fn clock(&self) -> Duration;
}
