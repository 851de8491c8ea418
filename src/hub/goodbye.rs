//! Leave requests that do not arrive over the member's socket (R55), at any server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::shared::{Context, Shared};
use super::{Held, Hub, Rooms};
use crate::cluster::share::DECIDED_WITHIN;
use crate::core::{Act, Input, Refusal, Room, Seat};
use crate::outbox::Outbox;
use crate::protocol::{CloseCode, LeaveReason, PeerId, RoomName};

/// Time for which a member is kept after its page has ended, so that a reloaded page can reconnect (R114). It is short
/// enough for a closed tab to disappear within 5 s.
pub const PAGE_RELOAD_WINDOW: Duration = Duration::from_secs(4);

/// Outcome of a leave request.
#[derive(Debug)]
pub enum Goodbye {
    /// Decided: `true` if the member was there.
    Said(bool),
    /// Other servers have the room and have to decide. `None` until they have.
    Waits(watch::Receiver<Option<bool>>),
}

impl Goodbye {
    /// Waits for the outcome, up to [`DECIDED_WITHIN`]. Returns whether the member was there.
    pub async fn heard(self) -> bool {
        match self {
            Self::Said(left) => left,
            Self::Waits(mut answer) => {
                let left = tokio::time::timeout(DECIDED_WITHIN, answer.wait_for(Option::is_some)).await;
                matches!(left, Ok(Ok(left)) if *left == Some(true))
            }
        }
    }
}

impl Hub {
    /// Removes the member with this session. If this server does not have the room and others may, it attaches to the
    /// room until that is decided.
    pub fn leave(self: &Arc<Self>, name: &RoomName, id: PeerId, stay: u64) -> Goodbye {
        let mut rooms = self.lock(name);
        self.reach(&mut rooms, name);
        let goodbye = match rooms.get_mut(name) {
            None => Goodbye::Said(false),
            Some(Held::Own(room)) => Goodbye::Said(self.leave_own(name, room, id, stay).is_ok()),
            Some(Held::Shared(shared)) => self.leave_shared(name, shared, Seat { id, session: stay }),
        };
        self.clear(&mut rooms, name);
        goodbye
    }

    /// Ends this session after [`PAGE_RELOAD_WINDOW`]. A page that has reloaded by then has another session, which
    /// continues.
    pub fn leave_unless_reloaded(self: &Arc<Self>, name: &RoomName, id: PeerId, stay: u64) {
        let (hub, name) = (Arc::clone(self), name.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PAGE_RELOAD_WINDOW).await;
            hub.leave(&name, id, stay).heard().await;
        });
    }

    /// Attaches to the room if this server does not have it and others may.
    pub(super) fn reach(&self, rooms: &mut Rooms, name: &RoomName) {
        if !rooms.contains_key(name) && self.could_reach_others() {
            self.metrics.rooms.inc();
            rooms.insert(name.clone(), self.begin(name));
        }
    }

    /// Returns whether this server may attach to a room. It may not while the store is unreachable: the request would
    /// wait, and might be wrong by the time it is carried out.
    fn could_reach_others(&self) -> bool {
        let is_reached = self.engine.as_ref().is_some_and(|engine| engine.is_connected());
        is_reached && !self.draining.load(Ordering::Relaxed) && !self.is_full(true)
    }

    /// Returns whether a goodbye would make this server fetch the room from others.
    pub fn fetches(&self, name: &RoomName) -> bool {
        self.engine.is_some() && !self.lock(name).contains_key(name)
    }

    fn leave_own(
        self: &Arc<Self>,
        name: &RoomName,
        room: &mut Room<Arc<Outbox>>,
        id: PeerId,
        stay: u64,
    ) -> Result<(), Refusal> {
        let present = room.way_to(id).filter(|outbox| outbox.is_of(stay)).and(room.seat_of(id));
        let seat = present.ok_or(Refusal::NotMember)?;
        if let Some(outbox) = room.way_to(id) {
            outbox.close(CloseCode::Left);
        }
        self.apply(name, room, Input::Leave { seat, reason: LeaveReason::Left })
    }

    fn leave_shared(self: &Arc<Self>, name: &RoomName, shared: &mut Shared, seat: Seat) -> Goodbye {
        let leave = Act::Leave { seat, reason: LeaveReason::Left };
        let goodbye = if let Some(answer) = shared.goodbyes.get(&seat) {
            // The first request of this session is pending; its answer is shared.
            Goodbye::Waits(answer.clone())
        } else if shared.room().is_none() {
            let (said, answer) = watch::channel(None);
            shared.goodbyes.insert(seat, answer.clone());
            // Never `Busy`: ending a session is not limited.
            let _ = self.act(name, shared, leave, None, Some(Context::Goodbye(seat, said)));
            Goodbye::Waits(answer)
        } else if shared.is_member(seat) && shared.share.is_leaving(seat) {
            Goodbye::Said(true)
        } else if shared.is_member(seat) {
            if let Some(outbox) = shared.share.local(seat) {
                outbox.close(CloseCode::Left);
            }
            Goodbye::Said(self.act(name, shared, leave, None, None).is_ok())
        } else {
            Goodbye::Said(false)
        };
        self.finish(name, shared);
        goodbye
    }
}
