//! Maps room errors to protocol errors.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::core::Refusal;
use crate::link::with_jitter;
use crate::protocol::{ErrorBody, ErrorCode, Frame, ServerMessage};
use crate::telemetry::Metrics;

/// Time after which a client should try again if the servers did not decide in time (R78).
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(2);

/// Counts a room error, and returns the error message that answers a message of the type `re`; `None` if the connection
/// is being closed.
pub(crate) fn error(
    metrics: &Metrics,
    refusal: &Refusal,
    re: Option<&str>,
    reference: Option<&RawValue>,
) -> Option<Frame> {
    let code = code(refusal)?;
    let sentence;
    let message = match refusal {
        Refusal::RoomFull => "The room has as many members as it takes.",
        Refusal::RoomLocked => "The room is locked.",
        Refusal::NotAllowed(why) => *why,
        Refusal::NotAdmitted => "A host has not admitted this connection yet.",
        Refusal::PeerNotFound => "No peer with this id is in this room: it left, or never was here.",
        Refusal::SignalToSelf => "\"to\" is the sender's own id.",
        Refusal::StateInvalid(why) => why.as_str(),
        Refusal::OutOfSequence(next) => {
            sentence = format!("\"seq\" leaves a gap; the next number is {next}.");
            &*sentence
        }
        Refusal::TokenInUse => "The token is for one person, who is in the room.",
        Refusal::TooManySignals(_) => "Too much was sent to this peer; signals to others pass.",
        Refusal::Busy => "The servers that share this room have not decided in time.",
        Refusal::NotMember | Refusal::Dismissed(_) => return None,
    };
    metrics.error(code);
    let retry_after_ms = match refusal {
        Refusal::Busy => Some(millis(with_jitter(BUSY_RETRY))),
        Refusal::TooManySignals(wait) => Some(millis(with_jitter(*wait)).max(1)),
        _ => None,
    };
    Some(ServerMessage::Error(ErrorBody { code, message, re, reference, retry_after_ms }).to_frame())
}

/// Returns the error code of a room error; `None` if the connection is being closed.
pub(crate) fn code(refusal: &Refusal) -> Option<ErrorCode> {
    Some(match refusal {
        Refusal::RoomFull => ErrorCode::RoomFull,
        Refusal::RoomLocked => ErrorCode::RoomLocked,
        Refusal::NotAllowed(_) => ErrorCode::NotAllowed,
        Refusal::NotAdmitted => ErrorCode::NotAdmitted,
        Refusal::PeerNotFound => ErrorCode::PeerNotFound,
        Refusal::SignalToSelf => ErrorCode::SignalToSelf,
        Refusal::StateInvalid(_) => ErrorCode::StateInvalid,
        Refusal::OutOfSequence(_) => ErrorCode::OutOfSequence,
        Refusal::TokenInUse => ErrorCode::TokenInUse,
        Refusal::TooManySignals(_) => ErrorCode::TooManySignals,
        Refusal::Busy => ErrorCode::Busy,
        // The hub has closed this connection, and its close frame is on the way.
        Refusal::NotMember | Refusal::Dismissed(_) => return None,
    })
}

/// Converts a duration to milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
