//! That a host records a room to the server, as everybody in it is told: its state says so (R87).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::shared::{Context, Shared};
use super::{Held, Hub};
use crate::core::{Act, Input, Refusal, Room, Seat};
use crate::protocol::{PeerId, Role, RoomName, State, StatePatch, StateValue};

/// The key of the state, and its value for a recording that is sent to the server. What a page keeps on its own
/// device it says with `true`.
const KEY: &str = "recording";
const SERVER: &str = "server";
/// How long other servers may take to hear of it: a page waits for eight seconds.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// One member, as far as this goes.
struct Seen {
    seat: Seat,
    role: Role,
    recorded: bool,
}

fn seen<H>(room: &Room<H>, id: PeerId) -> Option<Seen> {
    let seat = room.seat_of(id)?;
    let (peer, _) = room.members().find(|(peer, _)| peer.id == id)?;
    Some(Seen { seat, role: peer.role, recorded: says_so(&peer.state) })
}

impl Held {
    fn seen(&self, id: PeerId) -> Option<Seen> {
        match self {
            Self::Own(room) => seen(room, id),
            Self::Shared(shared) => seen(shared.room()?, id),
        }
    }
}

/// Why a host does not record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotRecorded {
    /// It is no host, or not in the room in that stay.
    NoHost,
    /// Its state has no room for saying so.
    Untold,
    /// Other servers have the room, and do not answer.
    Unheard,
}

/// What became of a host's wish to record.
#[derive(Debug)]
pub enum Recorded {
    /// Everybody is told, or nobody.
    Said(Result<(), NotRecorded>),
    /// The servers that have the room are told.
    Waits(oneshot::Receiver<Result<(), NotRecorded>>),
}

impl Recorded {
    /// The answer, as far as it is known in time.
    pub async fn heard(self) -> Result<(), NotRecorded> {
        match self {
            Self::Said(told) => told,
            Self::Waits(answer) => match tokio::time::timeout(HEARD_WITHIN, answer).await {
                Ok(Ok(told)) => told,
                _ => Err(NotRecorded::Unheard),
            },
        }
    }
}

impl Shared {
    /// What the answer to an [`Act::State`] means that says that this member records.
    pub(super) fn recorded(&self, seat: Seat, told: Result<(), &Refusal>) -> Result<(), NotRecorded> {
        let role = || Some(self.room()?.members().find(|(peer, _)| peer.id == seat.id)?.0.role);
        match told {
            Ok(()) if role() == Some(Role::Host) => Ok(()),
            Err(Refusal::StateInvalid(_)) => Err(NotRecorded::Untold),
            Err(Refusal::Busy) => Err(NotRecorded::Unheard),
            Ok(()) | Err(_) => Err(NotRecorded::NoHost),
        }
    }
}

impl Hub {
    /// Whether that peer is in the room, in that very stay, as a host; `None` where the room is not known here, and others
    /// may have it.
    pub fn is_host(&self, room: &RoomName, id: PeerId, stay: u64) -> Option<bool> {
        let rooms = self.lock(room);
        let is = |seen: Option<Seen>, same: bool| Some(same && seen.is_some_and(|seen| seen.role == Role::Host));
        match rooms.get(room) {
            Some(Held::Own(own)) => {
                let same = own.way_to(id).is_some_and(|outbox| outbox.is_of(stay));
                is(seen(own, id), same)
            }
            Some(Held::Shared(shared)) => {
                let seen = seen(shared.room()?, id);
                let same = seen.as_ref().is_some_and(|seen| seen.seat.session == stay);
                is(seen, same)
            }
            None if self.could_reach_others() => None,
            None => Some(false),
        }
    }

    /// Whether that peer is in the room, as whatever, as far as this server knows the room: one that has begun anew gives
    /// the roles anew.
    pub fn is_in(&self, room: &RoomName, id: PeerId) -> bool {
        self.lock(room).get(room).is_some_and(|held| held.seen(id).is_some())
    }

    /// Tells the room that the host of that stay records it to the server. Where this server does not have the room, and
    /// others may, it comes into the room for as long as that takes.
    pub fn record(self: &Arc<Self>, name: &RoomName, id: PeerId, stay: u64) -> Recorded {
        let mut rooms = self.lock(name);
        self.reach(&mut rooms, name);
        let recorded = match rooms.get_mut(name) {
            None => Recorded::Said(Err(NotRecorded::NoHost)),
            Some(Held::Own(own)) => Recorded::Said(match own.seat_of(id) {
                None => Err(NotRecorded::NoHost),
                Some(seat) => self.apply(name, own, Input::State { seat, patch: says(true) }).map_err(|refusal| {
                    if matches!(refusal, Refusal::StateInvalid(_)) { NotRecorded::Untold } else { NotRecorded::NoHost }
                }),
            }),
            Some(Held::Shared(shared)) => {
                let (said, answer) = oneshot::channel();
                let seat = Seat { id, session: stay };
                let (act, context) = (Act::State { seat, patch: says(true) }, Context::Recorded(seat, said));
                let taken = self.act(name, shared, act, None, Some(context));
                self.finish(name, shared);
                if taken.is_ok() { Recorded::Waits(answer) } else { Recorded::Said(Err(NotRecorded::Unheard)) }
            }
        };
        self.clear(&mut rooms, name);
        recorded
    }

    /// Tells the room that this member records it to the server, or does no more. Nothing happens where it is known, or
    /// the room is not here: a server that has it does the same ([`crate::http`]'s sweep).
    pub fn tell_recorded(self: &Arc<Self>, room: &RoomName, id: PeerId, on: bool) -> Result<(), Refusal> {
        let told = self.with(room, |held| {
            let Some(Seen { seat, recorded, .. }) = held.seen(id) else { return Ok(()) };
            if recorded == on {
                return Ok(());
            }
            match held {
                Held::Own(own) => self.apply(room, own, Input::State { seat, patch: says(on) }),
                Held::Shared(shared) => {
                    let act = Act::State { seat, patch: says(on) };
                    self.act(room, shared, act, None, None).map(drop)
                }
            }
        });
        match told {
            Err(Refusal::NotMember) => Ok(()),
            told => told,
        }
    }
}

pub(super) fn says(on: bool) -> StatePatch {
    StatePatch::from([(KEY, on.then(|| StateValue::Text(SERVER.into())))])
}

/// Whether a member's state says that it records to the server.
pub(super) fn says_so(state: &State) -> bool {
    matches!(state.get(KEY), Some(StateValue::Text(text)) if **text == *SERVER)
}
