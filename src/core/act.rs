//! What is done to a room, without the way to anybody: what several servers do to their copies of it alike.

use serde::{Deserialize, Serialize};

use super::input::{Comeback, FolderId, Grant, Input, Seat, TokenId};
use crate::protocol::{LeaveReason, Moderation, PeerId, PeerName, SettingsPatch, StatePatch};

/// An [`Input`] that changes a room, or whose answer depends on the order of such changes, to be written down. Frames
/// are not among them: they change nothing.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// See [`Input::Join`].
    Join {
        /// Member that acts.
        seat: Seat,
        /// Display name.
        name: PeerName,
        /// The state to start with.
        state: StatePatch,
        /// What the room is to be set to, where this join makes it.
        settings: SettingsPatch,
        /// Whether it has been here before.
        comeback: Comeback,
        /// What it was granted.
        grant: Grant,
        /// Of which stay it has the secret: one that was ended opens no door (R56).
        stay: Option<u64>,
    },
    /// See [`Input::Lose`].
    Lose {
        /// Member that acts.
        seat: Seat,
        /// Why it leaves, if it does not come back.
        reason: LeaveReason,
    },
    /// See [`Input::Return`].
    Return {
        /// Member that acts.
        seat: Seat,
    },
    /// The same, by a way that leads elsewhere: the session goes on at another server.
    Move {
        /// Member that acts.
        seat: Seat,
    },
    /// See [`Input::Leave`].
    Leave {
        /// Member that acts.
        seat: Seat,
        /// Why.
        reason: LeaveReason,
    },
    /// See [`Input::State`].
    State {
        /// Member that acts.
        seat: Seat,
        /// What changes.
        patch: StatePatch,
    },
    /// See [`Input::Record`].
    Record {
        /// The member that records.
        seat: Seat,
        /// Where the recording is.
        folder: FolderId,
        /// `true` while a recording goes on there.
        on: bool,
    },
    /// See [`Input::Moderate`].
    Moderate {
        /// The host.
        seat: Seat,
        /// What.
        act: Moderation,
    },
    /// See [`Input::Renew`].
    Renew {
        /// Member that acts.
        seat: Seat,
        /// The token.
        token: TokenId,
    },
    /// See [`Input::Sync`].
    Sync {
        /// Member that acts.
        seat: Seat,
    },
    /// See [`Input::Evict`].
    Evict {
        /// Whom.
        id: PeerId,
    },
    /// See [`Input::End`].
    End,
    /// See [`Input::Tick`].
    Tick,
}

impl Act {
    /// In whose name it is done; `None` where that is no member.
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

    /// The same for a room. `way` leads to [`Act::seat`], where that is called for.
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
