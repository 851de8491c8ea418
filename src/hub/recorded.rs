//! That a host records a room to the server, as everybody in it is told: its state says so (R87).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shared::{Context, Shared};
use super::{Held, Hub, lock};
use crate::core::{Act, FolderId, Input, Refusal, Room, Seat};
use crate::protocol::{LeaveReason, Peer, PeerId, Role, RoomName, StatePatch};

/// Between two attempts to come into a room.
const AGAIN: Duration = Duration::from_millis(50);

/// One member, as far as this goes.
struct Seen {
    seat: Seat,
    role: Role,
}

fn seen<H>(room: &Room<H>, id: PeerId) -> Option<Seen> {
    let seat = room.seat_of(id)?;
    let (peer, _) = room.members().find(|(peer, _)| peer.id == id)?;
    Some(Seen { seat, role: peer.role })
}

/// Presence and role of a member that records to the server, as far as this server knows the room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostPresence {
    /// It is in the room as a host.
    Host,
    /// It is in the room, or has just left it, and no host. In a room that began again after a restart of the server, it may
    /// have been one before.
    Demoted,
    /// A host or an operator has removed it or ended the meeting, or its token has ended.
    Removed,
    /// It is not in the room, or the room is not here.
    Absent,
}

impl Held {
    fn seen(&self, id: PeerId) -> Option<Seen> {
        match self {
            Self::Own(room) => seen(room, id),
            Self::Shared(shared) => seen(shared.room()?, id),
        }
    }

    fn recorded_to(&self, folder: FolderId) -> Vec<PeerId> {
        match self {
            Self::Own(room) => room.recorded_to(folder).collect(),
            Self::Shared(shared) => shared.room().map(|room| room.recorded_to(folder).collect()).unwrap_or_default(),
        }
    }
}

/// Why a host does not record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotRecorded {
    /// It is no host, or not in the room in that stay.
    NoHost,
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
            None => self.say(room, seat, None, until).await,
            Some(Some(Seen { role: Role::Host, .. })) => Ok(()),
            Some(_) => Err(NotRecorded::NoHost),
        }
    }

    /// Tells the room that the host of that stay records it to the server; the same holds where this server does not have
    /// the room.
    pub async fn record(
        self: &Arc<Self>,
        room: &RoomName,
        seat: Seat,
        folder: FolderId,
        until: Instant,
    ) -> Result<(), NotRecorded> {
        let said = self.say(room, seat, Some((folder, true)), until).await;
        if said == Err(NotRecorded::Unheard) {
            // It may be heard yet, and is not true then.
            let _ = self.say_once(room, seat, Some((folder, false)));
        }
        said
    }

    /// Sets or removes the sign of a host, or changes nothing (`None`), and waits until everybody hears of it.
    async fn say(
        self: &Arc<Self>,
        room: &RoomName,
        seat: Seat,
        on: Option<(FolderId, bool)>,
        until: Instant,
    ) -> Result<(), NotRecorded> {
        let said = async {
            loop {
                if let Ok(told) = self.say_once(room, seat, on)?.await {
                    return told;
                }
                // This server was about to leave the room: it comes into it anew.
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::time::timeout_at(until, said).await.unwrap_or(Err(NotRecorded::Unheard))
    }

    fn say_once(
        self: &Arc<Self>,
        name: &RoomName,
        seat: Seat,
        on: Option<(FolderId, bool)>,
    ) -> Result<Answer, NotRecorded> {
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
                let told = on.map_or(Ok(()), |(folder, on)| self.apply(name, own, Input::Record { seat, folder, on }));
                let _ = said.send(recorded(own, seat, told.as_ref()));
                Ok(())
            }
            Some(Held::Shared(shared)) => {
                let context = Some(Context::Recorded(seat, said));
                let act = match on {
                    Some((folder, on)) => Act::Record { seat, folder, on },
                    None => Act::State { seat, patch: StatePatch::default() },
                };
                let taken = self.act(name, shared, act, None, context);
                self.finish(name, shared);
                taken.map(drop).map_err(|_| NotRecorded::Unheard)
            }
        };
        self.clear(&mut rooms, name);
        taken.map(|()| answer)
    }

    /// Returns whether a peer is in the room, and as a host.
    pub fn host_presence(&self, room: &RoomName, id: PeerId) -> HostPresence {
        match self.lock(room).get(room).and_then(|held| held.seen(id)) {
            Some(Seen { role: Role::Host, .. }) => HostPresence::Host,
            Some(_) => HostPresence::Demoted,
            None => HostPresence::Absent,
        }
    }

    /// Returns the members that are shown as recording to this folder, in the rooms that are here.
    pub fn shown_as_recording(&self, folder: FolderId) -> Vec<(RoomName, PeerId)> {
        let mut shown = Vec::new();
        for shard in &self.shards {
            for (name, held) in lock(shard).iter() {
                shown.extend(held.recorded_to(folder).into_iter().map(|id| (name.clone(), id)));
            }
        }
        shown
    }

    /// Takes the members that have left a room since the last call and may not go on with a recording.
    pub fn take_departed(&self) -> Vec<(RoomName, PeerId, HostPresence)> {
        std::mem::take(&mut *self.departed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes how somebody has left. A host that left by itself, or lost its connection, may send what it has recorded before.
    pub(super) fn note_departure(&self, room: &RoomName, peer: &Peer, reason: Option<LeaveReason>) {
        let presence = match reason {
            None | Some(LeaveReason::Removed | LeaveReason::Unauthorized) => HostPresence::Removed,
            Some(LeaveReason::Superseded) => return,
            Some(_) if peer.role == Role::Host => return,
            Some(_) => HostPresence::Demoted,
        };
        if self.rules.records {
            let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
            departed.push((room.clone(), peer.id, presence));
        }
    }

    /// Tells the room that this member records it to this folder, or does no more. Nothing happens where it is known, or
    /// the room is not here: a server that has it looks for what goes on, and tells it.
    pub fn tell_recorded(
        self: &Arc<Self>,
        room: &RoomName,
        id: PeerId,
        folder: FolderId,
        on: bool,
    ) -> Result<(), Refusal> {
        let told = self.with(room, |held| {
            let Some(Seen { seat, .. }) = held.seen(id) else { return Ok(()) };
            if held.recorded_to(folder).contains(&id) == on {
                return Ok(());
            }
            match held {
                Held::Own(own) => self.apply(room, own, Input::Record { seat, folder, on }),
                Held::Shared(shared) => self.act(room, shared, Act::Record { seat, folder, on }, None, None).map(drop),
            }
        });
        match told {
            Err(Refusal::NotMember) => Ok(()),
            told => told,
        }
    }
}
