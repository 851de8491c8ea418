//! What a room answers: what has to be done, or why nothing has.

use std::time::Duration;

use serde_json::value::RawValue;

use super::input::{Comeback, Seat};
use crate::protocol::{CloseCode, Frame, LeaveReason, Peer, Permissions, Settings};

/// What has to be done, in this order.
#[derive(Debug)]
pub enum Effect<'a, H> {
    /// Tell a new member that it is in: its first message.
    Welcome {
        /// The new member.
        seat: Seat,
        /// The way there.
        to: &'a H,
        /// The roster's version.
        version: u64,
        /// The member itself.
        own: &'a Peer,
        /// What the member may do.
        permissions: Permissions,
        /// What the room is set to.
        settings: Settings,
        /// Whether it has been here before.
        comeback: Comeback,
        /// Everybody else, encoded, in the order in which they joined.
        peers: Vec<&'a RawValue>,
    },
    /// Send a frame to a member.
    Send {
        /// To whom; a full outbox is reported back by [`super::Input::Leave`] of this seat.
        seat: Seat,
        /// The way there.
        to: &'a H,
        /// What.
        frame: Frame,
    },
    /// Take note that somebody is no member any more.
    Departed {
        /// As it was last.
        peer: &'a Peer,
        /// Why; `None` where the meeting was ended.
        reason: Option<LeaveReason>,
    },
    /// Close a connection that is no member's any more.
    Close {
        /// Which.
        handle: H,
        /// Why.
        code: CloseCode,
    },
    /// Give [`super::Input::Tick`] at this time.
    WakeAt(Duration),
}

/// Why an input had no effect.
#[derive(Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The room has as many members as it takes.
    RoomFull,
    /// The room is locked.
    RoomLocked,
    /// The sender's role does not allow it; the sentence says what would.
    NotAllowed(&'static str),
    /// The sender waits in the lobby.
    NotAdmitted,
    /// The seat is not, or no longer, in this room.
    NotMember,
    /// The receiver is not in this room.
    PeerNotFound,
    /// The receiver is the sender.
    SignalToSelf,
    /// The state would break R20; the sentence says how.
    StateInvalid(String),
    /// The message's number leaves a gap; this one would be right.
    OutOfSequence(u64),
    /// The sender has sent this receiver too much, and may try again after this time (R102). Said by no room.
    TooManySignals(Duration),
    /// What several servers have to decide waits already, as much as may (R78). Said by no room.
    Busy,
    /// The token is another participant's (R100).
    TokenInUse,
    /// It comes with the secret of a stay that was ended (R56), or with a credential of a removed participant (R45).
    Dismissed(CloseCode),
}
