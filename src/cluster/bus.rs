//! What the engine does for servers: it numbers, keeps for a while, and passes on. It decides nothing about rooms.
//!
//! The engine keeps a record for each room that anybody has: its [`Incarnation`], the [`Post`]s of the servers that are
//! in, the number and time of the last entry, and the latest entries ([`LOG_ENTRIES`], [`LOG_BYTES`]). Every request is carried out at
//! once as a whole or not at all (a script). In Redis all keys and channels of a room carry its name as hash tag, so
//! that a script finds them on one node of a cluster.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::wire::{Entry, Incarnation, Post, ServerId};
use crate::core::Act;
use crate::protocol::RoomName;

/// How many entries a room's log keeps. Who lacks an older one asks another server for the room.
pub const LOG_ENTRIES: usize = 256;
/// Bytes of the entries that a room's log keeps, but always the latest one. Members of many rooms must not fill the store's
/// memory. A server that lacks older entries asks another server for the room.
pub const LOG_BYTES: usize = 16 * 1024;
/// A room's record is kept so long after the last request of a server that is in. Who has one asks at least every
/// 30 s.
pub const RECORD_LASTS: Duration = Duration::from_secs(120);
/// The most acts of one [`Request::Append`].
pub const BATCH: usize = 64;

/// What a server asks of the engine about one room. Each may be asked again when its answer was lost: what has been done
/// already is done no second time, or is no different twice (an act has its own number).
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Comes in, or asks who is in. Makes the record where there is none. Refused where the server knows that very record
    /// and the post is not in any more. Appends
    /// [`News::Attached`](super::wire::News::Attached), unless the post is in already.
    Attach {
        /// Whose.
        post: Post,
        /// Of the record that the server knew before: a new one is later.
        after: Option<Incarnation>,
    },
    /// Goes. Appends [`News::Detached`](super::wire::News::Detached), and forgets the record with the last post.
    Detach {
        /// Whose.
        post: Post,
        /// Of which record.
        incarnation: Incarnation,
    },
    /// Puts another server out. Appends [`News::Evicted`](super::wire::News::Evicted), unless it is gone.
    Evict {
        /// Who asks.
        post: Post,
        /// Of which record.
        incarnation: Incarnation,
        /// Who is out.
        victim: Post,
    },
    /// Begins anew: nobody knows the room. Appends [`News::Founded`](super::wire::News::Founded).
    Found {
        /// Who asks.
        post: Post,
        /// Of which record.
        incarnation: Incarnation,
    },
    /// Appends acts, in this order.
    Append {
        /// Whose.
        post: Post,
        /// Of which record.
        incarnation: Incarnation,
        /// Up to [`BATCH`], each with its own number.
        acts: Vec<(u64, Act)>,
    },
    /// Reads the entries after this one, and keeps the record from expiring.
    Fetch {
        /// Whose.
        post: Post,
        /// Of which record.
        incarnation: Incarnation,
        /// Number of the last one that is known.
        after: u64,
    },
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Request::Attach`]: is in.
    Attached {
        /// Of the record.
        incarnation: Incarnation,
        /// Number of the last entry.
        number: u64,
        /// Its time, or now.
        time: Duration,
        /// All others that are in, in the order in which they came.
        others: Vec<Post>,
    },
    /// To [`Request::Fetch`]: all that follows; `None` where the log does not go back so far.
    Entries {
        /// Number of the last entry of the log.
        number: u64,
        /// In order.
        entries: Option<Vec<Entry>>,
    },
    /// To all others: done.
    Done {
        /// Number of the last entry.
        number: u64,
    },
    /// The post is not in: it was put out, or has gone. Nothing was done.
    NotAttached,
    /// There is no such record: the engine has lost it, or it is another incarnation's. Nothing was done.
    Unknown,
}

/// The engine has not answered in time, or cannot be reached. It may have done what was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unavailable;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine does not answer")
    }
}

impl std::error::Error for Unavailable {}

/// What comes from the engine on its own. Between [`Event::Connected`] and [`Event::Disconnected`] what is published
/// arrives at most once and in the order in which it was published; some may be missing.
#[derive(Clone, Debug)]
pub enum Event {
    /// The engine can be reached, and all subscriptions stand.
    Connected,
    /// It cannot, until further notice. Connecting goes on for ever, with jitter.
    Disconnected,
    /// An entry of a room in which this server is.
    Entry(RoomName, Incarnation, Entry),
    /// From another server, as it was given to [`Bus::tell`].
    Told(RoomName, Bytes),
}

/// What is still to come from the engine. It is under way already, whether it is waited for or not.
pub type Reply<T> = BoxFuture<'static, Result<T, Unavailable>>;

/// The way of one server to the engine. Its events come by a channel that whoever makes it gives it; what that has no
/// room for is lost, but [`Event::Connected`] and [`Event::Disconnected`] are not.
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// Carries out a request within a second, or says that it is [`Unavailable`]; then it is not carried out later
    /// either, but for a moment: with each goes the time of the engine's clock until which it is good. Before [`Request::Attach`] the room's
    /// channel of this server is subscribed to, so that no entry after its own is missed for that reason.
    fn ask(&self, room: &RoomName, request: Request) -> Reply<Answer>;

    /// Publishes to one server, once. What cannot be sent is dropped: a [`Link`](super::link::Link) notices.
    fn tell(&self, room: &RoomName, to: ServerId, bytes: Bytes);

    /// Ends the subscription to a room in which this server is no more.
    fn forget(&self, room: &RoomName);

    /// Says that this server lives, for as long as `lease`. Whether it was still said: after `Ok(false)` others may have
    /// put it out of its rooms.
    fn renew(&self, lease: Duration) -> Reply<bool>;

    /// Which of these servers live.
    fn living(&self, servers: &[ServerId]) -> Reply<Vec<ServerId>>;

    /// The engine's clock since 1970, as this server knows it: what to give a [`Share`](super::Share) for the time. It
    /// goes on while the engine is away, and may be set, back too, when it is heard of again.
    fn clock(&self) -> Duration;
}
