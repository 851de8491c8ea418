//! Commands for a room without member handles. Several servers apply the same commands to their replicas.

use serde::{Deserialize, Serialize};

use super::input::{Comeback, FolderId, Grant, Input, Seat, TokenId};
use crate::protocol::{LeaveReason, Moderation, PeerId, PeerName, SettingsPatch, StatePatch};

/// Serializable form of an [`Input`] that changes a room, or whose answer depends on the order of such changes. Frames
/// are not included: they change nothing.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// See [`Input::Join`].
    Join {
        /// Session of the member.
        seat: Seat,
        /// Display name.
        name: PeerName,
        /// Initial state.
        state: StatePatch,
        /// Settings of the room if this join creates it.
        settings: SettingsPatch,
        /// Outcome of its attempt to resume.
        comeback: Comeback,
        /// Role and permissions that it was granted.
        grant: Grant,
        /// Session ID of its resume secret. The join is rejected if that session was revoked (R56).
        stay: Option<u64>,
    },
    /// See [`Input::Lose`].
    Lose {
        /// Session of the member.
        seat: Seat,
        /// Reason to announce if it does not reconnect.
        reason: LeaveReason,
    },
    /// See [`Input::Return`].
    Return {
        /// Session of the member.
        seat: Seat,
    },
    /// Like [`Act::Return`], but the session continues on another server.
    Move {
        /// Session of the member.
        seat: Seat,
    },
    /// See [`Input::Leave`].
    Leave {
        /// Session of the member.
        seat: Seat,
        /// Reason, as announced to the others.
        reason: LeaveReason,
    },
    /// See [`Input::State`].
    State {
        /// Session of the member.
        seat: Seat,
        /// Changes to merge.
        patch: StatePatch,
    },
    /// See [`Input::Record`].
    Record {
        /// Member that records.
        seat: Seat,
        /// Folder of the recording.
        folder: FolderId,
        /// `true` while a recording is ongoing there.
        on: bool,
    },
    /// See [`Input::Moderate`].
    Moderate {
        /// Host that sent it.
        seat: Seat,
        /// Command.
        act: Moderation,
    },
    /// See [`Input::Renew`].
    Renew {
        /// Session of the member.
        seat: Seat,
        /// New token.
        token: TokenId,
    },
    /// See [`Input::Sync`].
    Sync {
        /// Session of the member.
        seat: Seat,
    },
    /// See [`Input::Evict`].
    Evict {
        /// Participant to remove.
        id: PeerId,
    },
    /// See [`Input::End`].
    End,
    /// See [`Input::Tick`].
    Tick,
}

impl Act {
    /// Returns the member on whose behalf the command is applied, or `None` if there is none.
    pub fn seat(&self) -> Option<Seat> {
        match self {
            Self::Join { seat, .. }
            | Self::Lose { seat, .. }
            | Self::Return { seat }
            | Self::Move { seat }
            | Self::Leave { seat, .. }
            | Self::State { seat, .. }
            | Self::Record { seat, .. }
            | Self::Moderate { seat, .. }
            | Self::Renew { seat, .. }
            | Self::Sync { seat } => Some(*seat),
            Self::Evict { .. } | Self::End | Self::Tick => None,
        }
    }

    /// Converts the command to an input. `way` returns the handle for [`Act::seat`] and is called only if the input has
    /// one.
    pub fn into_input<H>(self, way: impl FnOnce(Seat) -> H) -> Input<H> {
        match self {
            Self::Join { seat, name, state, settings, comeback, grant, stay: _ } => {
                Input::Join { seat, name, state, settings, comeback, grant, handle: way(seat) }
            }
            Self::Lose { seat, reason } => Input::Lose { seat, reason, handle: way(seat) },
            Self::Return { seat } | Self::Move { seat } => Input::Return { seat, handle: way(seat) },
            Self::Leave { seat, reason } => Input::Leave { seat, reason },
            Self::State { seat, patch } => Input::State { seat, patch },
            Self::Record { seat, folder, on } => Input::Record { seat, folder, on },
            Self::Moderate { seat, act } => Input::Moderate { seat, act },
            Self::Renew { seat, token } => Input::Renew { seat, token },
            Self::Sync { seat } => Input::Sync { seat },
            Self::Evict { id } => Input::Evict { id },
            Self::End => Input::End,
            Self::Tick => Input::Tick,
        }
    }
}
