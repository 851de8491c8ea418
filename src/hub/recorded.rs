//! That a host records a room to the server, as everybody in it is told: its state says so (R87).

use std::sync::Arc;

use super::{Held, Hub};
use crate::core::{Act, Input, Refusal, Room, Seat};
use crate::protocol::{PeerId, Role, RoomName, State, StatePatch, StateValue};

/// The key of the state, and its value for a recording that is sent to the server. What a page keeps on its own
/// device it says with `true`.
const KEY: &str = "recording";
const SERVER: &str = "server";

/// One member, as far as this goes.
struct Seen {
    seat: Seat,
    role: Role,
    recorded: bool,
}

impl Held {
    fn seen(&self, id: PeerId) -> Option<Seen> {
        fn of<H>(room: &Room<H>, id: PeerId) -> Option<Seen> {
            let seat = room.seat_of(id)?;
            let (peer, _) = room.members().find(|(peer, _)| peer.id == id)?;
            Some(Seen { seat, role: peer.role, recorded: says_so(&peer.state) })
        }
        match self {
            Self::Own(room) => of(room, id),
            Self::Shared(shared) => of(shared.room()?, id),
        }
    }
}

impl Hub {
    /// Whether that peer is in the room, in that very stay, as a host.
    pub fn is_host(&self, room: &RoomName, id: PeerId, stay: u64) -> bool {
        let rooms = self.lock(room);
        let Some((held, seen)) = rooms.get(room).and_then(|held| Some((held, held.seen(id)?))) else { return false };
        let same = match held {
            Held::Own(own) => own.way_to(id).is_some_and(|outbox| outbox.is_of(stay)),
            Held::Shared(_) => seen.seat.session == stay,
        };
        seen.role == Role::Host && same
    }

    /// Whether that peer is in the room, as whatever: a server that has begun anew gives the roles anew.
    pub fn is_in(&self, room: &RoomName, id: PeerId) -> bool {
        self.lock(room).get(room).is_some_and(|held| held.seen(id).is_some())
    }

    /// Tells the room that this member records it to the server, or does no more. Nothing happens where it is known, or
    /// the member is not there.
    pub fn tell_recorded(self: &Arc<Self>, room: &RoomName, id: PeerId, on: bool) -> Result<(), Refusal> {
        let told = self.with(room, |held| {
            let Some(Seen { seat, recorded, .. }) = held.seen(id) else { return Ok(()) };
            if recorded == on {
                return Ok(());
            }
            let patch = StatePatch::from([(KEY, on.then(|| StateValue::Text(SERVER.into())))]);
            match held {
                Held::Own(own) => self.apply(room, own, Input::State { seat, patch }),
                Held::Shared(shared) => self.act(room, shared, Act::State { seat, patch }, None, None).map(drop),
            }
        });
        match told {
            Err(Refusal::NotMember) => Ok(()),
            told => told,
        }
    }
}

/// Whether a member's state says that it records to the server.
pub(super) fn says_so(state: &State) -> bool {
    matches!(state.get(KEY), Some(StateValue::Text(text)) if **text == *SERVER)
}
