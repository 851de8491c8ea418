//! One server's copy of a room that several servers share.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ended::Ended;
use super::wire::{Body, Entry, Incarnation, MAX_BYTES, Mark, News, Post};
use crate::core::{Act, Effect, Input, Refusal, Room, Seat};
use crate::protocol::{CloseCode, KEY_CHARS, LeaveReason, NAME_CHARS, SIGN, STATE_KEYS, TEXT_CHARS};

/// By so much a roster's version goes ahead when a room's record is made anew: of more than anybody can have seen and the
/// founder has not.
const LEAP: u64 = 1 << 20;

/// Bytes of a character, as JSON: those that it escapes and a name or a text may have are shorter.
const CHAR: usize = 4;
/// Four quotes, a colon and a comma.
const PUNCTUATION: usize = 6;
/// Bytes of the sign of a recording, which a state may have beside its keys.
const SIGN_BYTES: usize = SIGN.0.len() + SIGN.1.len() + PUNCTUATION;
/// Bytes of somebody in a copy, at most: what it says of itself, and ids, numbers and the names of fields.
const PERSON: usize = STATE_KEYS * (KEY_CHARS + CHAR * TEXT_CHARS + PUNCTUATION) + CHAR * NAME_CHARS + SIGN_BYTES + 640;
/// The same of all that is not somebody's: who is remembered, the servers.
const ELSE: usize = 96 * 1024;
/// The most members of a room of which a copy can be sent to another server, with a host in the reserved seat and as many
/// who wait, whatever they all say of themselves.
pub const ROOM_MEMBERS: usize = (MAX_BYTES - ELSE - PERSON) / (2 * PERSON);

/// Where somebody is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Way {
    /// Who.
    pub seat: Seat,
    /// Which server has its session; `None` where that server is gone.
    pub home: Option<Post>,
}

/// A copy of a room. The same entries make the same of it everywhere. Serialised it is what a newcomer is sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Replica {
    incarnation: Incarnation,
    number: u64,
    clock: Duration,
    posts: Vec<Post>,
    /// The own number of the last act of each server that was carried out.
    own: Vec<(Post, u64)>,
    ended: Ended,
    room: Room<Way>,
}

/// What became of an entry.
#[derive(Debug, PartialEq)]
pub enum Applied {
    /// An act of that server, which was carried out or refused.
    Act(Post, u64, Result<(), Refusal>),
    /// An act that was carried out before.
    Repeated,
    /// Other servers are there.
    Posts(News),
}

impl Replica {
    /// The copy of whoever makes a room's record, or its first after nobody knew the room.
    pub fn new(mark: Mark, clock: Duration, posts: Vec<Post>, room: Room<Way>) -> Self {
        let (own, ended) = (Vec::new(), Ended::default());
        Self { incarnation: mark.incarnation, number: mark.number, clock, posts, own, ended, room }
    }

    /// The room.
    pub fn room(&self) -> &Room<Way> {
        &self.room
    }

    /// Whose stay was ended by somebody else.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// Up to where everything has been carried out.
    pub fn mark(&self) -> Mark {
        Mark { incarnation: self.incarnation, number: self.number }
    }

    /// The time of the last that was carried out.
    pub fn clock(&self) -> Duration {
        self.clock
    }

    /// The servers, in the order in which they came.
    pub fn posts(&self) -> &[Post] {
        &self.posts
    }

    /// The own number of that server's last act that was carried out.
    pub fn own(&self, post: Post) -> u64 {
        self.own.iter().find(|(other, _)| *other == post).map_or(0, |(_, own)| *own)
    }

    /// Who may have sent something to anybody: the servers that are in, and, where the engine has lost its data, those that
    /// were in and have not come back.
    pub fn talkers(&self) -> BTreeSet<Post> {
        self.posts.iter().copied().chain(self.room.handles().filter_map(|way| way.home)).collect()
    }

    /// Whether any member's or guest's session is there.
    pub fn is_home(&self, post: Post) -> bool {
        self.room.handles().any(|way| way.home == Some(post))
    }

    /// Carries out the next entry of the log.
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
                    // A server that was alone may have been ahead, and who has come only now does not know by how much.
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

    /// Carries out an act of a server; `None` where it has been before.
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
        // A member is where it came back last: its old server has no more say about its socket.
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

    /// Passes a frame on. It changes nothing.
    pub fn relay(&mut self, input: Input<Way>, emit: &mut impl FnMut(Effect<'_, Way>)) -> Result<(), Refusal> {
        self.room.handle(self.clock, input, emit)
    }

    /// Goes on as the first of a new record, the old one being lost. Members of other servers are lost until those have
    /// come, too; what is sent to them waits for that.
    pub fn refound(&mut self, mark: Mark, time: Duration, own: Post, emit: &mut impl FnMut(Effect<'_, Way>)) {
        let was_alone = self.posts == [own];
        (self.incarnation, self.number, self.posts) = (mark.incarnation, mark.number, vec![own]);
        self.clock = self.clock.max(time);
        if was_alone {
            return;
        }
        self.room.leap(LEAP);
        // Before what follows, so that its versions have no gap.
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
                // Is a member: refused by no room.
                let _ = self.room.handle(self.clock, lose, emit);
            } else if let Some(present) = self.room.way_to_mut(way.seat.id) {
                *present = handle;
            }
        }
        let guests: Vec<Way> = self.room.guests().copied().filter(gone).collect();
        for Way { seat, .. } in guests {
            // Waits: refused by no room.
            let _ = self.room.handle(self.clock, Input::Leave { seat, reason: LeaveReason::Closed }, emit);
        }
    }
}
