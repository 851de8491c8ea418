//! One server's replica of a room that several servers share.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ended::Ended;
use super::wire::{Body, Entry, Incarnation, MAX_BYTES, Mark, News, Post};
use crate::core::{Act, Effect, Input, Refusal, Room, Seat};
use crate::protocol::{CloseCode, KEY_CHARS, LeaveReason, NAME_CHARS, SIGN, STATE_KEYS, TEXT_CHARS};

/// Increment of the roster's version when a room's record is created again: more than the versions that anyone may have
/// seen and the founding server has not.
const LEAP: u64 = 1 << 20;

/// Maximum bytes of a character in JSON: the escapes that a name or a text may need are shorter.
const CHAR: usize = 4;
/// Four quotes, a colon and a comma.
const PUNCTUATION: usize = 6;
/// Bytes of the recording indicator, which a state may have in addition to its keys.
const SIGN_BYTES: usize = SIGN.0.len() + SIGN.1.len() + PUNCTUATION;
/// Maximum bytes of a participant in a replica: state and name, and IDs, numbers and names of fields.
const PERSON: usize = STATE_KEYS * (KEY_CHARS + CHAR * TEXT_CHARS + PUNCTUATION) + CHAR * NAME_CHARS + SIGN_BYTES + 640;
/// Maximum bytes of everything else in a replica: the remembered participants, and the nodes.
const ELSE: usize = 96 * 1024;
/// Maximum number of members of a room whose replica can be sent to another server. It allows for a host in the
/// reserved seat and as many participants in the lobby, whatever their states.
pub const ROOM_MEMBERS: usize = (MAX_BYTES - ELSE - PERSON) / (2 * PERSON);

/// Location of a member.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Way {
    /// Session of the member.
    pub seat: Seat,
    /// Node that has the session; `None` if that node is gone.
    pub home: Option<Post>,
}

/// Replica of a room. The same entries have the same effect on every replica. Its serialized form is sent to a server
/// that attaches.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Replica {
    incarnation: Incarnation,
    number: u64,
    clock: Duration,
    posts: Vec<Post>,
    /// Number of the last applied command of each node.
    own: Vec<(Post, u64)>,
    ended: Ended,
    room: Room<Way>,
}

/// Result of applying an entry.
#[derive(Debug, PartialEq)]
pub enum Applied {
    /// A command of this node, with its number, was applied or refused.
    Act(Post, u64, Result<(), Refusal>),
    /// A command that had been applied before.
    Repeated,
    /// The attached nodes have changed.
    Posts(News),
}

impl Replica {
    /// Creates the replica of the server that creates a room's record, or the first one after no server had any.
    pub fn new(mark: Mark, clock: Duration, posts: Vec<Post>, room: Room<Way>) -> Self {
        let (own, ended) = (Vec::new(), Ended::default());
        Self { incarnation: mark.incarnation, number: mark.number, clock, posts, own, ended, room }
    }

    /// Returns the room.
    pub fn room(&self) -> &Room<Way> {
        &self.room
    }

    /// Returns the revoked sessions.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// Returns the position in the log up to which all entries were applied.
    pub fn mark(&self) -> Mark {
        Mark { incarnation: self.incarnation, number: self.number }
    }

    /// Returns the time of the last applied entry or command.
    pub fn clock(&self) -> Duration {
        self.clock
    }

    /// Returns the attached nodes, in order of attaching.
    pub fn posts(&self) -> &[Post] {
        &self.posts
    }

    /// Returns the number of the last applied command of this node.
    pub fn own(&self, post: Post) -> u64 {
        self.own.iter().find(|(other, _)| *other == post).map_or(0, |(_, own)| *own)
    }

    /// Returns the nodes that may have sent something to a member: those that are attached and, if the store has lost
    /// its data, those that were attached and have not returned.
    pub fn talkers(&self) -> BTreeSet<Post> {
        self.posts.iter().copied().chain(self.room.handles().filter_map(|way| way.home)).collect()
    }

    /// Returns whether this node has the session of a member or of a participant in the lobby.
    pub fn is_home(&self, post: Post) -> bool {
        self.room.handles().any(|way| way.home == Some(post))
    }

    /// Applies the next entry of the log.
    pub fn apply(&mut self, entry: Entry, emit: &mut impl FnMut(Effect<'_, Way>)) -> Applied {
        debug_assert_eq!(entry.number, self.number + 1);
        self.number = entry.number;
        match entry.body {
            Body::Act { post, own, act } => match self.act(entry.time, post, own, act, emit) {
                Some(result) => Applied::Act(post, own, result),
                None => Applied::Repeated,
            },
            Body::Posts { posts, news } => {
                self.clock = self.clock.max(entry.time);
                if news == News::Founded {
                    // A server that was alone may have been ahead, by an amount that a server attached only now does
                    // not know.
                    self.clock = entry.time;
                    self.room = self.room.emptied();
                    self.own.clear();
                    self.ended = Ended::default();
                }
                let gone: Vec<Post> = self.posts.iter().copied().filter(|post| !posts.contains(post)).collect();
                self.posts = posts;
                for post in gone {
                    self.own.retain(|(other, _)| *other != post);
                    self.lose(|home| home == post, false, emit);
                }
                Applied::Posts(news)
            }
        }
    }

    /// Applies a command of a node. Returns `None` if that was done before.
    pub fn act(
        &mut self,
        time: Duration,
        post: Post,
        own: u64,
        act: Act,
        emit: &mut impl FnMut(Effect<'_, Way>),
    ) -> Option<Result<(), Refusal>> {
        if own <= self.own(post) {
            return None;
        }
        self.own.retain(|(other, _)| *other != post);
        self.own.push((post, own));
        self.clock = self.clock.max(time);
        // A member is where it has reconnected last: its old server has no say about its socket any more.
        let way = act.seat().map(|seat| self.room.way_from(seat));
        let elsewhere = || matches!(way, Some(Ok(Way { home: Some(home), .. })) if *home != post);
        let is_stale = match &act {
            Act::Lose { .. } | Act::Return { .. } if elsewhere() => true,
            Act::Leave { reason, .. } => *reason != LeaveReason::Left && elsewhere(),
            Act::Return { .. } | Act::Move { .. } => way.is_some_and(|way| way.is_err()),
            _ => false,
        };
        if is_stale {
            return Some(Err(Refusal::NotMember));
        }
        if let Act::Join { stay: Some(stay), .. } = &act
            && let Some(code) = self.ended.how(*stay)
        {
            return Some(Err(Refusal::Dismissed(code)));
        }
        let input = act.into_input(|seat| Way { seat, home: Some(post) });
        let mut ended = Vec::new();
        let result = self.room.handle(self.clock, input, &mut |effect| {
            if let Effect::Close { handle, code: code @ (CloseCode::Removed | CloseCode::Ended) } = &effect {
                ended.push((handle.seat.session, *code));
            }
            emit(effect);
        });
        self.ended.add(ended);
        Some(result)
    }

    /// Relays a frame through the room, which does not change.
    pub fn relay(&mut self, input: Input<Way>, emit: &mut impl FnMut(Effect<'_, Way>)) -> Result<(), Refusal> {
        self.room.handle(self.clock, input, emit)
    }

    /// Continues as the first replica of a new record, because the old one is lost. Members of other servers become
    /// disconnected until these servers have attached again; messages for them wait until then.
    pub fn refound(&mut self, mark: Mark, time: Duration, own: Post, emit: &mut impl FnMut(Effect<'_, Way>)) {
        let was_alone = self.posts == [own];
        (self.incarnation, self.number, self.posts) = (mark.incarnation, mark.number, vec![own]);
        self.clock = self.clock.max(time);
        if was_alone {
            return;
        }
        self.room.leap(LEAP);
        // Before the following changes, so that their versions have no gap.
        let here: Vec<Way> = self.room.members().map(|(_, way)| *way).filter(|way| way.home == Some(own)).collect();
        here.iter().for_each(|way| self.room.show(way.seat.id, emit));
        self.lose(|home| home != own, true, emit);
    }

    fn lose(&mut self, is_gone: impl Fn(Post) -> bool, keeps_home: bool, emit: &mut impl FnMut(Effect<'_, Way>)) {
        let gone = |way: &Way| way.home.is_some_and(&is_gone);
        let members: Vec<Way> = self.room.members().map(|(_, way)| *way).filter(gone).collect();
        for way in members {
            let handle = Way { home: way.home.filter(|_| keeps_home), ..way };
            if !self.room.is_lost(way.seat.id) {
                let lose = Input::Lose { seat: way.seat, reason: LeaveReason::Closed, handle };
                // No room refuses this for a member.
                let _ = self.room.handle(self.clock, lose, emit);
            } else if let Some(present) = self.room.way_to_mut(way.seat.id) {
                *present = handle;
            }
        }
        let guests: Vec<Way> = self.room.guests().copied().filter(gone).collect();
        for Way { seat, .. } in guests {
            // No room refuses this for a participant in the lobby.
            let _ = self.room.handle(self.clock, Input::Leave { seat, reason: LeaveReason::Closed }, emit);
        }
    }
}
