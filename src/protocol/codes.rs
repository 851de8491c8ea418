//! Error codes, close codes and reasons, with their names on the wire.

use serde::{Deserialize, Serialize};

/// Generates the names of an enum's variants. A missing variant fails to compile.
macro_rules! names {
    ($type:ident, $($variant:ident => $name:literal,)+) => {
        impl $type {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the name on the wire. For a close code it is also the close frame's reason.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

/// Reason why a client's message was not carried out (R28).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ErrorCode {
    /// The frame is not a JSON object.
    BadJson,
    /// A required field of the message's type is missing.
    MissingField,
    /// A field has the wrong kind of value.
    BadField,
    /// The message's type is unknown.
    UnknownType,
    /// The frame is binary; only text frames carry messages.
    BinaryUnsupported,
    /// Another message was sent before `join`.
    JoinFirst,
    /// `join` was sent twice.
    AlreadyJoined,
    /// The name violates R6.
    NameInvalid,
    /// The state violates R20.
    StateInvalid,
    /// No peer with this ID is in the room.
    PeerNotFound,
    /// The signal is addressed to its sender.
    SignalToSelf,
    /// The room has reached its member limit.
    RoomFull,
    /// The room is locked.
    RoomLocked,
    /// The sender's role or token does not permit it.
    NotAllowed,
    /// The sender still waits in the lobby.
    NotAdmitted,
    /// A message number leaves a gap, or `ack` exceeds the last number sent.
    OutOfSequence,
    /// The message is longer than [`super::MESSAGE_BYTES`].
    MessageTooLarge,
    /// The server requires a token (R58).
    TokenMissing,
    /// The token is malformed, or its key is unknown.
    TokenInvalid,
    /// The token has expired.
    TokenExpired,
    /// The token is not valid yet.
    TokenNotYetValid,
    /// The token is valid for another room.
    TokenWrongRoom,
    /// The token or its signing key has been revoked.
    TokenRevoked,
    /// The token is for one person and is in use by another (R100).
    TokenInUse,
    /// Too many attempts to join from the same address (R66).
    TooManyAttempts,
    /// The server has reached its limit of rooms or members (R67).
    ServerFull,
    /// The sender exceeded its rate for too long (R75).
    RateLimited,
    /// The recipient was sent too many signals; this one was dropped (R102).
    TooManySignals,
    /// The queue of messages that several servers must order is full, or has not moved for too long (R78).
    Busy,
    /// `renew` was sent in a session that has no token.
    NoToken,
    /// The page has another origin, and its `join` has no valid proof (R92).
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

/// Reason why a session was not resumed (R54).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum NotResumed {
    /// The secret was issued by another server or for another room.
    ResumeInvalid,
    /// The session does not exist, or no longer exists.
    ResumeExpired,
    /// The replay buffer no longer holds all missed messages.
    ResumeLost,
    /// The credentials of the `join` grant something other than the session was started with.
    GrantChanged,
}

names! { NotResumed,
    ResumeInvalid => "resume_invalid",
    ResumeExpired => "resume_expired",
    ResumeLost => "resume_lost",
    GrantChanged => "grant_changed",
}

/// Connection state of a member (R52).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Link {
    /// The member is connected.
    #[default]
    Ok,
    /// The member is disconnected and may still reconnect.
    Lost,
}

impl Link {
    /// Returns whether the member is connected, so that the field can be omitted.
    pub fn is_ok(&self) -> bool {
        *self == Self::Ok
    }
}

/// Reason why a peer was removed from the roster (R16).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum LeaveReason {
    /// The peer sent `leave`.
    Left,
    /// The peer closed its socket without `leave`, or disconnected and did not reconnect in time.
    Closed,
    /// The peer did not answer two pings and did not reconnect in time.
    Timeout,
    /// The peer read too slowly, and its outbox was full.
    SlowConsumer,
    /// The peer joined again over a new connection.
    Superseded,
    /// The server closed the connection because of what the peer sent.
    ProtocolError,
    /// A host removed the peer.
    Removed,
    /// The peer's token expired or was revoked (R62).
    Unauthorized,
}

impl LeaveReason {
    /// Returns the name on the wire.
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

/// Reason for a role change that was not made by a host (R110, R112).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RoleReason {
    /// The host is absent, and this peer became its substitute.
    HostAbsent,
    /// The host returned, and this peer is no longer its substitute.
    HostReturned,
}

/// Close code of a socket: RFC 6455 §7.4 and, from 4000, the application's own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u16)]
pub enum CloseCode {
    /// The client sent `leave`.
    Left = 1000,
    /// The frames violate RFC 6455.
    ProtocolError = 1002,
    /// A text frame is not valid UTF-8.
    InvalidUtf8 = 1007,
    /// A message exceeds [`super::MESSAGE_BYTES`].
    MessageTooLarge = 1009,
    /// The server is shutting down (IANA registry: "Service Restart").
    GoingAway = 1012,
    /// No `join` arrived in time (R13).
    JoinTimeout = 4001,
    /// Two pings were not answered (R26).
    PeerTimeout = 4002,
    /// The room is full (R10).
    RoomFull = 4003,
    /// Another connection took over this session (R12).
    Superseded = 4004,
    /// The outbox was full (R18).
    SlowConsumer = 4005,
    /// The room is locked (R39).
    RoomLocked = 4006,
    /// A host rejected the client in the lobby (R40).
    Refused = 4007,
    /// A host removed the peer (R45).
    Removed = 4008,
    /// A host ended the meeting, or it ended while this client waited in the lobby (R46).
    Ended = 4009,
    /// The token is missing, invalid, expired or revoked (R58, R62).
    Unauthorized = 4010,
    /// Too many attempts, server full, rate exceeded for too long, or no response from the other servers (R66, R67,
    /// R75, R78).
    TryLater = 4011,
    /// The page has another origin and no valid proof (R92).
    OriginNotAllowed = 4012,
    /// The room ended, as nobody returned to it, while this client waited in its lobby (R111).
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
