//! Effects of inputs, and reasons for refusing an input.

use std::time::Duration;

use serde_json::value::RawValue;

use super::input::{Comeback, Seat};
use crate::protocol::{CloseCode, Frame, LeaveReason, Peer, Permissions, Settings};

/// An action for the caller. Actions are carried out in the order in which they are emitted.
#[derive(Debug)]
pub enum Effect<'a, H> {
    /// Send `welcome` to a new member.
    Welcome {
        /// New member.
        seat: Seat,
        /// Its handle.
        to: &'a H,
        /// Version of the roster.
        version: u64,
        /// Roster entry of the new member.
        own: &'a Peer,
        /// Permissions of the new member.
        permissions: Permissions,
        /// Settings of the room.
        settings: Settings,
        /// Outcome of its attempt to resume.
        comeback: Comeback,
        /// Roster entries of everyone else as JSON, in order of joining.
        peers: Vec<&'a RawValue>,
    },
    /// Send a frame to a member.
    Send {
        /// Receiver. If its queue is full, its connection is closed and the member becomes disconnected.
        seat: Seat,
        /// Its handle.
        to: &'a H,
        /// Complete frame.
        frame: Frame,
    },
    /// Record that a peer is no longer a member.
    Departed {
        /// Its last roster entry.
        peer: &'a Peer,
        /// Why it has left; `None` if the meeting was ended.
        reason: Option<LeaveReason>,
    },
    /// Close a connection that belongs to no member any more.
    Close {
        /// Handle of the connection.
        handle: H,
        /// Close code.
        code: CloseCode,
    },
    /// Pass [`super::Input::Tick`] to the room at this time.
    WakeAt(Duration),
}

/// Why an input was refused. A refused input has no effect.
#[derive(Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The room has reached its capacity.
    RoomFull,
    /// The room is locked.
    RoomLocked,
    /// The sender's role or token does not allow it; the text says what would.
    NotAllowed(&'static str),
    /// The sender is in the lobby.
    NotAdmitted,
    /// The session is not, or no longer, in this room.
    NotMember,
    /// The receiver is not in this room.
    PeerNotFound,
    /// The receiver is the sender.
    SignalToSelf,
    /// The state would violate R20; the text says how.
    StateInvalid(String),
    /// The message's number leaves a gap; this one was expected.
    OutOfSequence(u64),
    /// The sender has sent this receiver too much, and may try again after this time (R102). Never returned by a room.
    TooManySignals(Duration),
    /// Too many commands or frames for other servers are pending (R78). Never returned by a room.
    Busy,
    /// The token belongs to another participant (R100).
    TokenInUse,
    /// The join has the secret of a revoked session (R56), or a credential of a removed participant (R45).
    Dismissed(CloseCode),
}
