//! Publishes that the room is being recorded, through the recording host's member state (R87).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shared::{Context, Shared};
use super::{Held, Hub, lock};
use crate::core::{Act, FolderId, Input, Refusal, Room, Seat};
use crate::protocol::{LeaveReason, Peer, PeerId, Role, RoomName, StatePatch};

/// Delay between two attempts to attach to a room.
const AGAIN: Duration = Duration::from_millis(50);

/// Session and role of a member.
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
    /// It is in the room, or has just left it, and is no host. In a room that was created again after a restart of the
    /// server, it may have been one before.
    Demoted,
    /// A host or an operator has removed it or ended the meeting, or its token has ended.
    Removed,
    /// It is not in the room, or this server does not have the room.
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

/// Why a member may not record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotRecorded {
    /// It is no host, or not in the room with that session.
    NoHost,
    /// Other servers have the room and do not answer.
    Unheard,
}

type Answer = oneshot::Receiver<Result<(), NotRecorded>>;

impl Shared {
    /// Interprets the answer to a host's command to record.
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
    /// Checks that this session is in the room as a host. If this server does not have the room and others may, it
    /// attaches to the room until that is known, but not longer than until `until`.
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

    /// Sets the indicator that the host with this session records to the server. Attaches to the room like
    /// [`Hub::check_host`].
    pub async fn record(
        self: &Arc<Self>,
        room: &RoomName,
        seat: Seat,
        folder: FolderId,
        until: Instant,
    ) -> Result<(), NotRecorded> {
        let said = self.say(room, seat, Some((folder, true)), until).await;
        if said == Err(NotRecorded::Unheard) {
            // The command may still be carried out, and would be wrong then.
            let _ = self.say_once(room, seat, Some((folder, false)));
        }
        said
    }

    /// Sets or clears the indicator of a host, or changes nothing (`None`), and waits until the other servers know.
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
                // This server was about to detach from the room: attach again.
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
            // Other servers may have the room and cannot be asked now.
            None if self.engine.is_some() => Err(NotRecorded::Unheard),
            None => Err(NotRecorded::NoHost),
            Some(Held::Own(own)) => {
                // In such a room the number differs from the session ID.
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

    /// Returns whether a peer is in the room and a host.
    pub fn host_presence(&self, room: &RoomName, id: PeerId) -> HostPresence {
        match self.lock(room).get(room).and_then(|held| held.seen(id)) {
            Some(Seen { role: Role::Host, .. }) => HostPresence::Host,
            Some(_) => HostPresence::Demoted,
            None => HostPresence::Absent,
        }
    }

    /// Returns the members shown as recording to this folder, in the rooms on this server.
    pub fn shown_as_recording(&self, folder: FolderId) -> Vec<(RoomName, PeerId)> {
        let mut shown = Vec::new();
        for shard in &self.shards {
            for (name, held) in lock(shard).iter() {
                shown.extend(held.recorded_to(folder).into_iter().map(|id| (name.clone(), id)));
            }
        }
        shown
    }

    /// Returns the members that have left a room since the last call and may not continue their recording.
    pub fn take_departed(&self) -> Vec<(RoomName, PeerId, HostPresence)> {
        std::mem::take(&mut *self.departed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records how a member has left. A host that left by itself, or lost its connection, may still send what it has
    /// recorded before.
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

    /// Sets or clears the indicator that this member records to this folder. Does nothing if the room has it so
    /// already, or is not on this server: a server that has the room looks for ongoing recordings itself.
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
