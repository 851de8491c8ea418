//! That a host records a room to the server, as everybody in it is told: its state says so (R87).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shared::{Context, Shared};
use super::{Held, Hub};
use crate::core::{Act, Input, Refusal, Room, Seat};
use crate::protocol::{PeerId, Role, RoomName, State, StatePatch, StateValue};

/// The key of the state, and its value for a recording that is sent to the server. What a page keeps on its own
/// device it says with `true`.
const KEY: &str = "recording";
const SERVER: &str = "server";
/// Between two attempts to come into a room.
const AGAIN: Duration = Duration::from_millis(50);

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

type Answer = oneshot::Receiver<Result<(), NotRecorded>>;

impl Shared {
    /// What the answer to an act means by which a host says that it records.
    pub(super) fn recorded(&self, seat: Seat, told: Result<&(), &Refusal>) -> Result<(), NotRecorded> {
        self.room().map_or(Err(NotRecorded::NoHost), |room| recorded(room, seat, told))
    }
}

fn recorded<H>(room: &Room<H>, seat: Seat, told: Result<&(), &Refusal>) -> Result<(), NotRecorded> {
    match told {
        Ok(()) if seen(room, seat.id).is_some_and(|seen| seen.role == Role::Host) => Ok(()),
        Err(Refusal::StateInvalid(_)) => Err(NotRecorded::Untold),
        Err(Refusal::Busy) => Err(NotRecorded::Unheard),
        Ok(()) | Err(_) => Err(NotRecorded::NoHost),
    }
}

impl Hub {
    /// That whoever has this seat is in the room, in that very stay, as a host. Where this server does not have the room, and others
    /// may, it comes into the room for as long as it takes to know, and not longer than `until`.
    pub async fn check_host(self: &Arc<Self>, room: &RoomName, seat: Seat, until: Instant) -> Result<(), NotRecorded> {
        let Seat { id, session: stay } = seat;
        let known = match self.lock(room).get(room) {
            Some(Held::Own(own)) => Some(seen(own, id).filter(|_| own.way_to(id).is_some_and(|to| to.is_of(stay)))),
            Some(Held::Shared(shared)) => {
                shared.room().map(|room| seen(room, id).filter(|seen| seen.seat.session == stay))
            }
            None => None,
        };
        match known {
            None => self.say(room, seat, StatePatch::default(), until).await,
            Some(Some(Seen { role: Role::Host, .. })) => Ok(()),
            Some(_) => Err(NotRecorded::NoHost),
        }
    }

    /// Tells the room that the host of that stay records it to the server; the same holds where this server does not have
    /// the room.
    pub async fn record(self: &Arc<Self>, room: &RoomName, seat: Seat, until: Instant) -> Result<(), NotRecorded> {
        let said = self.say(room, seat, says(true), until).await;
        if said == Err(NotRecorded::Unheard) {
            // It may be heard yet, and is not true then.
            let _ = self.say_once(room, seat, says(false));
        }
        said
    }

    /// Changes the state of a host, and waits until everybody hears of it.
    async fn say(
        self: &Arc<Self>,
        room: &RoomName,
        seat: Seat,
        patch: StatePatch,
        until: Instant,
    ) -> Result<(), NotRecorded> {
        let said = async {
            loop {
                if let Ok(told) = self.say_once(room, seat, patch.clone())?.await {
                    return told;
                }
                // This server was about to leave the room: it comes into it anew.
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout_at(until, said).await.unwrap_or(Err(NotRecorded::Unheard))
    }

    fn say_once(self: &Arc<Self>, name: &RoomName, seat: Seat, patch: StatePatch) -> Result<Answer, NotRecorded> {
        let mut rooms = self.lock(name);
        self.reach(&mut rooms, name);
        let (said, answer) = oneshot::channel();
        let taken = match rooms.get_mut(name) {
            // Others may have the room, and cannot be asked now.
            None if self.engine.is_some() => Err(NotRecorded::Unheard),
            None => Err(NotRecorded::NoHost),
            Some(Held::Own(own)) => {
                // Its sessions are numbered otherwise.
                let seat = own.seat_of(seat.id).unwrap_or(seat);
                let told = self.apply(name, own, Input::State { seat, patch });
                let _ = said.send(recorded(own, seat, told.as_ref()));
                Ok(())
            }
            Some(Held::Shared(shared)) => {
                let context = Some(Context::Recorded(seat, said));
                let taken = self.act(name, shared, Act::State { seat, patch }, None, context);
                self.finish(name, shared);
                taken.map(drop).map_err(|_| NotRecorded::Unheard)
            }
        };
        self.clear(&mut rooms, name);
        taken.map(|()| answer)
    }

    /// Whether that peer is in the room, as whatever, as far as this server knows the room: one that has begun anew gives
    /// the roles anew.
    pub fn is_in(&self, room: &RoomName, id: PeerId) -> bool {
        self.lock(room).get(room).is_some_and(|held| held.seen(id).is_some())
    }

    /// Tells the room that this member records it to the server, or does no more. Nothing happens where it is known, or
    /// the room is not here: a server that has it looks for what goes on, and tells it.
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

fn says(on: bool) -> StatePatch {
    StatePatch::from([(KEY, on.then(|| StateValue::Text(SERVER.into())))])
}

/// Whether a member's state says that it records to the server.
pub(super) fn says_so(state: &State) -> bool {
    matches!(state.get(KEY), Some(StateValue::Text(text)) if **text == *SERVER)
}
