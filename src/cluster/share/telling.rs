//! What other programs are told of a room on several servers (R71): by its first server alone. The others keep the latest
//! of it: whoever is the first after one that was put out tells again what that one may not have told, under the same ids.

use std::time::Duration;

use super::{Emit, Output, Share};
use crate::cluster::replica::Way;
use crate::cluster::wire::{Mark, Post};
use crate::core::Room;
use crate::protocol::{LeaveReason, Peer, PeerId, State};

/// How much of what has happened in a room a server keeps in mind, in case the one that tells is dead.
pub const UNTOLD: usize = 256;

/// What other programs may want to know.
#[derive(Clone, Debug)]
pub enum Happened {
    /// The first of all is about to be in.
    Opened,
    /// Somebody is in. Without its state, as in the next one: nobody is told of that.
    Joined(Peer),
    /// A member has left; `reason` is `None` if the meeting was ended.
    Left(Peer, Option<LeaveReason>),
    /// Nobody is in any more.
    Closed,
}

/// One thing that has happened, on whichever server.
#[derive(Clone, Debug)]
pub struct News {
    /// The engine's clock.
    pub time: Duration,
    /// By which entry of the log, and which of what has happened by it: the same wherever it is told. `None` where no
    /// other server could tell it.
    pub by: Option<(Mark, usize)>,
    /// What.
    pub what: Happened,
}

/// What happens by one act.
pub(super) struct Happenings {
    was_empty: bool,
    all: Vec<Happened>,
    /// Members whose session another one of their own supersedes, which is no event.
    superseded: Option<PeerId>,
}

impl Happenings {
    /// Nothing yet, in this room.
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

    /// All of it, in the room as it is now.
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
    /// The server that tells, as far as this one knows.
    pub(super) fn teller(&self) -> Option<Post> {
        self.replica.as_ref()?.posts().first().copied()
    }

    /// Tells what has happened, if that is this server's to do, or keeps it.
    pub(super) fn tell_or_keep(&mut self, tells: bool, news: impl Iterator<Item = News>, emit: Emit<'_, L, C>) {
        if tells {
            return news.for_each(|news| emit(Output::Happened(news)));
        }
        self.untold.extend(news);
        self.untold.drain(..self.untold.len().saturating_sub(UNTOLD));
    }

    /// Another server told before. Where it was put out, or that is not known, nobody knows since when it has not.
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
