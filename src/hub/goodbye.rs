//! Who says goodbye by another way than its socket (R55), at whichever server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::shared::{Context, Shared};
use super::{Held, Hub, Rooms};
use crate::cluster::share::DECIDED_WITHIN;
use crate::core::{Act, Input, Refusal, Room, Seat};
use crate::outbox::Outbox;
use crate::protocol::{CloseCode, LeaveReason, PeerId, RoomName};

/// How long the member of a page that has ended is kept for the reloaded page (R114): short enough for a closed tab to
/// disappear within 5 s.
pub const PAGE_RELOAD_WINDOW: Duration = Duration::from_secs(4);

/// What became of a goodbye.
#[derive(Debug)]
pub enum Goodbye {
    /// Whether the member was there.
    Said(bool),
    /// The servers that have the room are told.
    Waits(oneshot::Receiver<bool>),
}

impl Goodbye {
    /// Whether the member was there, as far as that is known in time.
    pub async fn heard(self) -> bool {
        match self {
            Self::Said(left) => left,
            Self::Waits(answer) => matches!(tokio::time::timeout(DECIDED_WITHIN, answer).await, Ok(Ok(true))),
        }
    }
}

impl Hub {
    /// The member of that stay says goodbye. Where this server does not have the room, and others may, it comes into the
    /// room for as long as that takes.
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

    /// Ends this session after [`PAGE_RELOAD_WINDOW`]. A page that has reloaded by then has another session, which goes on.
    pub fn leave_unless_reloaded(self: &Arc<Self>, name: &RoomName, id: PeerId, stay: u64) {
        let (hub, name) = (Arc::clone(self), name.clone());
        tokio::spawn(async move {
            tokio::time::sleep(PAGE_RELOAD_WINDOW).await;
            hub.leave(&name, id, stay).heard().await;
        });
    }

    /// Where this server does not have the room, and others may, it comes into it.
    pub(super) fn reach(&self, rooms: &mut Rooms, name: &RoomName) {
        if !rooms.contains_key(name) && self.could_reach_others() {
            self.metrics.rooms.inc();
            rooms.insert(name.clone(), self.begin(name));
        }
    }

    /// Not while the engine is away: what is said would wait, and may be wrong by then.
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
        let goodbye = if shared.room().is_none() {
            let (said, answer) = oneshot::channel();
            // Never too much: it ends something.
            let _ = self.act(name, shared, leave, None, Some(Context::Goodbye(said)));
            Goodbye::Waits(answer)
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
