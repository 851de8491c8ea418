//! Inputs of a room's state machine.

use serde::{Deserialize, Serialize};

use crate::protocol::{
    Frame, LeaveReason, Moderation, NotResumed, PeerId, PeerName, Permissions, Role, SettingsPatch, StatePatch,
};

/// Key of one session of a peer in a room. A peer that reconnects keeps its ID. Its old connection has an older session
/// number, so that late messages from there have no effect.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Seat {
    /// Peer.
    pub id: PeerId,
    /// Session number, never used twice for the same ID. Without a store each connection gets a new one; in a room that
    /// several servers share, it lasts as long as the session.
    pub session: u64,
}

/// Outcome of a client's attempt to resume.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Comeback {
    /// The client has proven with a resume secret that the ID is its own (R11).
    pub known: bool,
    /// Why the client gets a new session although it asked to resume the old one (R54).
    pub refused: Option<NotResumed>,
}

/// Role and permissions that a participant was granted before it joins.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// Granted role; `None` lets the room decide. A host bypasses lock and lobby.
    pub role: Option<Role>,
    /// Granted permissions. The role may restrict them further.
    pub permissions: Permissions,
    /// Token of the join, if each token is for one person (R100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// The token specifies the display name (R97).
    #[serde(default)]
    pub name_from_token: bool,
}

/// Identifier of a token: a digest of its `jti`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenId(pub u64, pub u64);

/// Folder of recordings, identified by a random number that is stored in it. All servers with this folder read the same
/// number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FolderId(pub u32);

/// An input to a room. `H` is the handle of a member's connection; the room stores and returns it, and never inspects
/// it.
#[derive(Debug)]
pub enum Input<H> {
    /// Adds a participant, superseding an older session of the same ID.
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
        /// Handle of this member.
        handle: H,
    },
    /// Marks a member as disconnected. It may reconnect within the room's resume window (R52).
    Lose {
        /// Session of the member.
        seat: Seat,
        /// Reason to announce if it does not reconnect.
        reason: LeaveReason,
        /// Handle that queues messages for it meanwhile.
        handle: H,
    },
    /// Resumes a member's session over another socket, whether or not it was disconnected. It has missed no message
    /// (R53).
    Return {
        /// Member, with its new session number.
        seat: Seat,
        /// Handle of this member.
        handle: H,
    },
    /// Removes a member.
    Leave {
        /// Session of the member.
        seat: Seat,
        /// Reason, as announced to the others.
        reason: LeaveReason,
    },
    /// Relays a frame to one member.
    Signal {
        /// Sender.
        from: Seat,
        /// Receiver; `None` if the sender named something that is no ID.
        to: Option<PeerId>,
        /// Complete frame, including the sender's ID.
        frame: Frame,
    },
    /// Relays a frame to everybody but the sender.
    Broadcast {
        /// Sender.
        from: Seat,
        /// Complete frame, including the sender's ID.
        frame: Frame,
    },
    /// Changes a member's state.
    State {
        /// Session of the member.
        seat: Seat,
        /// Changes to merge.
        patch: StatePatch,
    },
    /// Sets or clears the indicator that a member records to the server (R87).
    Record {
        /// Member that records.
        seat: Seat,
        /// Folder of the recording. The indicator stays set while any folder has an ongoing recording.
        folder: FolderId,
        /// `true` while a recording is ongoing there.
        on: bool,
    },
    /// Applies a moderation command.
    Moderate {
        /// Host that sent it.
        seat: Seat,
        /// Command.
        act: Moderation,
    },
    /// Replaces the token of a member.
    Renew {
        /// Session of the member.
        seat: Seat,
        /// New token.
        token: TokenId,
    },
    /// Sends the roster to a member.
    Sync {
        /// Session of the member.
        seat: Seat,
    },
    /// Removes a member or rejects a waiting participant, on behalf of the operator.
    Evict {
        /// Participant to remove.
        id: PeerId,
    },
    /// Ends the meeting, on behalf of the operator.
    End,
    /// Removes all disconnected members and ends the grace period: the server shuts down, so that nobody can reconnect.
    GiveUp,
    /// Sends a frame of the server to one member.
    Tell {
        /// Receiver.
        to: PeerId,
        /// Complete frame.
        frame: Frame,
    },
    /// Reports that the time of an [`super::Effect::WakeAt`] has come.
    Tick,
}
