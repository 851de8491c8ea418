//! Names and numbers of everything that can go wrong or end.

use serde::{Deserialize, Serialize};

/// Names the variants of a type: all of them, or the match does not compile.
macro_rules! names {
    ($type:ident, $($variant:ident => $name:literal,)+) => {
        impl $type {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire; of a close code, the close frame's reason.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

/// Why a client's message was not carried out (R28).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ErrorCode {
    /// The frame is not a JSON object.
    BadJson,
    /// A field that the message's type needs is not there.
    MissingField,
    /// A field has the wrong kind of value.
    BadField,
    /// No message has this type.
    UnknownType,
    /// Only text frames carry messages.
    BinaryUnsupported,
    /// Something else was sent before `join`.
    JoinFirst,
    /// `join` was sent twice.
    AlreadyJoined,
    /// The name breaks R6.
    NameInvalid,
    /// The state breaks R20.
    StateInvalid,
    /// Nobody with this id is in the room.
    PeerNotFound,
    /// A signal to oneself.
    SignalToSelf,
    /// The room has as many members as it takes.
    RoomFull,
    /// The room is locked.
    RoomLocked,
    /// The sender's role does not allow it.
    NotAllowed,
    /// The sender still waits to be admitted.
    NotAdmitted,
    /// A number leaves a gap, or acknowledges what was never sent.
    OutOfSequence,
    /// The message is longer than [`super::MESSAGE_BYTES`].
    MessageTooLarge,
    /// Nobody joins without a token (R58).
    TokenMissing,
    /// The token is none, or nobody's whom the server knows.
    TokenInvalid,
    /// The token's time is over.
    TokenExpired,
    /// The token's time has not come.
    TokenNotYetValid,
    /// The token is for another room.
    TokenWrongRoom,
    /// The token, or the key that made it, is good no more.
    TokenRevoked,
    /// The token is for one person, and somebody else uses it (R100).
    TokenInUse,
    /// Too many attempts to join from the same address (R66).
    TooManyAttempts,
    /// The server has as many rooms or members as it takes (R67).
    ServerFull,
    /// More was sent than the server takes, for too long (R75).
    RateLimited,
    /// One receiver was sent too much: this signal was not passed on (R102).
    TooManySignals,
    /// What several servers have to put in order waits already, as much as may, or for too long (R78).
    Busy,
    /// `renew` by somebody who is not here by a token.
    NoToken,
    /// The page has another origin, and the `join` has no valid proof (R92).
    OriginNotAllowed,
}

names! { ErrorCode,
    BadJson => "bad_json",
    MissingField => "missing_field",
    BadField => "bad_field",
    UnknownType => "unknown_type",
    BinaryUnsupported => "binary_unsupported",
    JoinFirst => "join_first",
    AlreadyJoined => "already_joined",
    NameInvalid => "name_invalid",
    StateInvalid => "state_invalid",
    PeerNotFound => "peer_not_found",
    SignalToSelf => "signal_to_self",
    RoomFull => "room_full",
    RoomLocked => "room_locked",
    NotAllowed => "not_allowed",
    NotAdmitted => "not_admitted",
    OutOfSequence => "out_of_sequence",
    MessageTooLarge => "message_too_large",
    TokenMissing => "token_missing",
    TokenInvalid => "token_invalid",
    TokenExpired => "token_expired",
    TokenNotYetValid => "token_not_yet_valid",
    TokenWrongRoom => "token_wrong_room",
    TokenRevoked => "token_revoked",
    TokenInUse => "token_in_use",
    TooManyAttempts => "too_many_attempts",
    ServerFull => "server_full",
    RateLimited => "rate_limited",
    TooManySignals => "too_many_signals",
    Busy => "busy",
    NoToken => "no_token",
    OriginNotAllowed => "origin_not_allowed",
}

/// Why a session did not go on (R54).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum NotResumed {
    /// The secret is not this server's, or not for this room.
    ResumeInvalid,
    /// There is no such session (any more).
    ResumeExpired,
    /// More was missed than the replay holds.
    ResumeLost,
    /// What the `join` shows grants something else than what the session began with.
    GrantChanged,
}

names! { NotResumed,
    ResumeInvalid => "resume_invalid",
    ResumeExpired => "resume_expired",
    ResumeLost => "resume_lost",
    GrantChanged => "grant_changed",
}

/// Whether a member has a socket (R52).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Link {
    /// It has.
    #[default]
    Ok,
    /// It has none, and may come back.
    Lost,
}

impl Link {
    /// Whether there is nothing to be said about it.
    pub fn is_ok(&self) -> bool {
        *self == Self::Ok
    }
}

/// Why a peer is no longer in the roster (R16).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum LeaveReason {
    /// It said `leave`.
    Left,
    /// It closed its socket without `leave`, or lost it and did not come back in time.
    Closed,
    /// It did not answer two pings and did not come back in time.
    Timeout,
    /// It read too slowly and its outbox was full.
    SlowConsumer,
    /// It came back on a new connection.
    Superseded,
    /// It was closed for what it sent.
    ProtocolError,
    /// A host sent it out.
    Removed,
    /// Its token ended (R62).
    Unauthorized,
}

impl LeaveReason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::Superseded => "superseded",
            Self::ProtocolError => "protocol_error",
            Self::Removed => "removed",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// Reason of a role change that no host has made (R110, R112).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RoleReason {
    /// The host is absent: this peer is its substitute.
    HostAbsent,
    /// The host has returned: this peer is no longer its substitute.
    HostReturned,
}

/// With which code the server closes a socket: RFC 6455 §7.4 and, from 4000, our own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u16)]
pub enum CloseCode {
    /// After `leave`.
    Left = 1000,
    /// The frames break RFC 6455.
    ProtocolError = 1002,
    /// Text that is not UTF-8.
    InvalidUtf8 = 1007,
    /// A message over [`super::MESSAGE_BYTES`].
    MessageTooLarge = 1009,
    /// The server shuts down (IANA's registry: "Service Restart").
    GoingAway = 1012,
    /// No `join` in time (R13).
    JoinTimeout = 4001,
    /// Two pings without an answer (R26).
    PeerTimeout = 4002,
    /// The room is full (R10).
    RoomFull = 4003,
    /// Another connection took this peer over (R12).
    Superseded = 4004,
    /// The outbox was full (R18).
    SlowConsumer = 4005,
    /// The room is locked (R39).
    RoomLocked = 4006,
    /// A host refused it at the door (R40).
    Refused = 4007,
    /// A host sent it out (R45).
    Removed = 4008,
    /// A host ended the meeting, or it ended while this peer waited (R46).
    Ended = 4009,
    /// No token, a bad one, or one that ended (R58, R62).
    Unauthorized = 4010,
    /// Too many attempts, no place at the moment, too much sent for too long, or no answer from the other servers (R66,
    /// R67, R75, R78).
    TryLater = 4011,
    /// A page of another origin, without a valid proof (R92).
    OriginNotAllowed = 4012,
    /// Nobody returned to the room in whose lobby this peer waited (R111).
    HostAbsent = 4013,
}

names! { CloseCode,
    Left => "left",
    ProtocolError => "protocol_error",
    InvalidUtf8 => "invalid_utf8",
    MessageTooLarge => "message_too_large",
    GoingAway => "going_away",
    JoinTimeout => "join_timeout",
    PeerTimeout => "peer_timeout",
    RoomFull => "room_full",
    Superseded => "superseded",
    SlowConsumer => "slow_consumer",
    RoomLocked => "room_locked",
    Refused => "refused",
    Removed => "removed",
    Ended => "ended",
    Unauthorized => "unauthorized",
    TryLater => "try_later",
    OriginNotAllowed => "origin_not_allowed",
    HostAbsent => "host_absent",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_on_the_wire() {
        for name in ["bad_json", "state_invalid", "token_not_yet_valid", "too_many_attempts", "origin_not_allowed"] {
            let code: ErrorCode = serde_json::from_str(&format!("{name:?}")).unwrap();
            assert_eq!(code.as_str(), name);
        }
        for name in ["resume_invalid", "resume_expired", "resume_lost", "grant_changed"] {
            let why: NotResumed = serde_json::from_str(&format!("{name:?}")).unwrap();
            assert_eq!(why.as_str(), name);
        }
        for name in
            ["left", "closed", "timeout", "slow_consumer", "superseded", "protocol_error", "removed", "unauthorized"]
        {
            let why: LeaveReason = serde_json::from_str(&format!("{name:?}")).unwrap();
            assert_eq!(why.as_str(), name);
        }
    }
}
