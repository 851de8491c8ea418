//! Events of a room on several servers for other programs (R71). Only its first server reports them, and the others
//! keep the latest ones. If the first server is evicted, its successor reports again what that one may not have
//! reported, under the same IDs.

use std::time::Duration;

use super::{Emit, Output, Share};
use crate::cluster::replica::Way;
use crate::cluster::wire::{Mark, Post};
use crate::core::Room;
use crate::protocol::{LeaveReason, Peer, PeerId, State};

/// Events that a server keeps in case the reporting server is dead.
pub const UNTOLD: usize = 256;

/// Event for other programs.
#[derive(Clone, Debug)]
pub enum Happened {
    /// The first member is about to join.
    Opened,
    /// A member has joined. The peer is without its state, here and in `Left`, because states are not reported.
    Joined(Peer),
    /// A member has left; `reason` is `None` if the meeting was ended.
    Left(Peer, Option<LeaveReason>),
    /// The last member has left.
    Closed,
}

/// An event with its time, on whichever server it has happened.
#[derive(Clone, Debug)]
pub struct News {
    /// Time by the store's clock.
    pub time: Duration,
    /// Position of the log entry that has caused the event, and the event's index among those of the entry: the same
    /// whichever server reports it. `None` if no other server could report it.
    pub by: Option<(Mark, usize)>,
    /// Event.
    pub what: Happened,
}

/// Events caused by one command.
pub(super) struct Happenings {
    was_empty: bool,
    all: Vec<Happened>,
    /// Member whose session is superseded by another one of its own, which is no event.
    superseded: Option<PeerId>,
}

impl Happenings {
    /// Starts without events, in this room.
    pub(super) fn in_room(room: &Room<Way>) -> Self {
        Self { was_empty: room.is_empty(), all: Vec::new(), superseded: None }
    }

    pub(super) fn joined(&mut self, peer: &Peer) {
        if self.superseded == Some(peer.id) {
            return;
        }
        if self.was_empty && self.all.is_empty() {
            self.all.push(Happened::Opened);
        }
        self.all.push(Happened::Joined(stateless(peer)));
    }

    pub(super) fn left(&mut self, peer: &Peer, reason: Option<LeaveReason>) {
        if reason == Some(LeaveReason::Superseded) {
            self.superseded = Some(peer.id);
        } else {
            self.all.push(Happened::Left(stateless(peer), reason));
        }
    }

    /// Returns all events. `room` is the room after the command.
    pub(super) fn into_news(
        mut self,
        room: &Room<Way>,
        time: Duration,
        by: Option<Mark>,
    ) -> impl Iterator<Item = News> + use<> {
        if !self.was_empty && room.is_empty() {
            self.all.push(Happened::Closed);
        }
        let numbered = self.all.into_iter().enumerate();
        numbered.map(move |(at, what)| News { time, by: by.map(|mark| (mark, at)), what })
    }
}

fn stateless(peer: &Peer) -> Peer {
    Peer { state: State::new(), hand_since: None, ..peer.clone() }
}

impl<L, C> Share<L, C> {
    /// Returns the node that reports events, as far as this one knows.
    pub(super) fn teller(&self) -> Option<Post> {
        self.replica.as_ref()?.posts().first().copied()
    }

    /// Reports events if this server has to, or keeps them.
    pub(super) fn tell_or_keep(&mut self, tells: bool, news: impl Iterator<Item = News>, emit: Emit<'_, L, C>) {
        if tells {
            return news.for_each(|news| emit(Output::Happened(news)));
        }
        self.untold.extend(news);
        self.untold.drain(..self.untold.len().saturating_sub(UNTOLD));
    }

    /// Takes over reporting from another server. If that one was evicted, or its end is unknown, it is also unknown
    /// since when it has not reported: the events of the last `Rules::gone_within` are reported again.
    pub(super) fn tell_on(&mut self, before: Option<Post>, has_gone: bool, emit: Emit<'_, L, C>) {
        if self.teller() != Some(self.own) || before == Some(self.own) {
            return;
        }
        let untold = std::mem::take(&mut self.untold);
        let Some(replica) = self.replica.as_ref().filter(|_| !has_gone) else { return };
        let since = replica.clock().saturating_sub(self.rules.gone_within);
        untold.into_iter().filter(|news| news.time >= since).for_each(|news| emit(Output::Happened(news)));
    }
}
