//! What happens to a room, and to whom.

use serde::{Deserialize, Serialize};

use crate::protocol::{
    Frame, LeaveReason, Moderation, NotResumed, PeerId, PeerName, Permissions, Role, SettingsPatch, StatePatch,
};

/// One stay of a peer in a room. A peer that comes back has the same id in another session, so
/// that what its old connection still says has no effect.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Seat {
    /// Who.
    pub id: PeerId,
    /// Which stay; never used twice for the same id.
    pub session: u64,
}

/// What became of a newcomer's wish to be who it was.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Comeback {
    /// It proved that the id was its own before (R11).
    pub known: bool,
    /// Why it begins afresh all the same, where it wished to go on (R54).
    pub refused: Option<NotResumed>,
}

/// What somebody was granted before it came to the door.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// What it is; the room decides where nothing was said. A host passes lock and lobby.
    pub role: Option<Role>,
    /// What it may do, whatever its role allows.
    pub permissions: Permissions,
    /// The token that it joined with, where a token is for one person (R100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// Its token says its name (R97).
    #[serde(default)]
    pub name_from_token: bool,
}

/// Identifier of a token: a digest of its `jti`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenId(pub u64, pub u64);

/// Folder of recordings, by the random number that all servers with this folder find in it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FolderId(pub u32);

/// What happens to a room. `H` is the way to a member; the room passes it on and never looks
/// into it.
#[derive(Debug)]
pub enum Input<H> {
    /// Somebody enters, superseding an older session of the same id.
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
        /// The way to this member.
        handle: H,
    },
    /// A member's socket is lost: it has the room's window to come back (R52).
    Lose {
        /// Member that acts.
        seat: Seat,
        /// Why it leaves, if it does not.
        reason: LeaveReason,
        /// Where what is sent to it waits.
        handle: H,
    },
    /// A member goes on over another socket, lost or not, and has missed nothing (R53).
    Return {
        /// Who, in its new session.
        seat: Seat,
        /// The way to this member.
        handle: H,
    },
    /// A member is gone.
    Leave {
        /// Member that acts.
        seat: Seat,
        /// Why, as the others are told.
        reason: LeaveReason,
    },
    /// A frame for one member.
    Signal {
        /// The sender.
        from: Seat,
        /// The receiver; `None` where the sender named what is nobody's id.
        to: Option<PeerId>,
        /// Complete, with the sender's id in it.
        frame: Frame,
    },
    /// A frame for everybody but the sender.
    Broadcast {
        /// The sender.
        from: Seat,
        /// Complete, with the sender's id in it.
        frame: Frame,
    },
    /// A member changes its state.
    State {
        /// Member that acts.
        seat: Seat,
        /// What changes.
        patch: StatePatch,
    },
    /// The server sets or removes the sign that a member records to it (R87).
    Record {
        /// The member that records.
        seat: Seat,
        /// Where the recording is. The sign stays as long as any folder has one.
        folder: FolderId,
        /// `true` while a recording goes on there.
        on: bool,
    },
    /// A host decides.
    Moderate {
        /// The host.
        seat: Seat,
        /// What.
        act: Moderation,
    },
    /// A member goes on by another token.
    Renew {
        /// Member that acts.
        seat: Seat,
        /// The token.
        token: TokenId,
    },
    /// A member asks for the roster.
    Sync {
        /// Member that acts.
        seat: Seat,
    },
    /// Whoever runs the server sends somebody away, who is in or waits.
    Evict {
        /// Whom.
        id: PeerId,
    },
    /// Whoever runs the server ends the meeting.
    End,
    /// Nobody who is lost can come back any more: the server goes away.
    GiveUp,
    /// A frame of the server's own for one member.
    Tell {
        /// The receiver.
        to: PeerId,
        /// Complete.
        frame: Frame,
    },
    /// The time of an [`super::Effect::WakeAt`] has come.
    Tick,
}
