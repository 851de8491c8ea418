//! What a client is told whose message a room has refused.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::core::Refusal;
use crate::link::with_jitter;
use crate::protocol::{ErrorBody, ErrorCode, Frame, ServerMessage};

/// After which time somebody tries again for whom servers had to wait (R78).
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(2);

/// The error, as the answer to a message of the type `re`; `None` where there is nobody to be told.
pub(crate) fn error(refusal: &Refusal, re: Option<&str>, reference: Option<&RawValue>) -> Option<Frame> {
    let sentence;
    let (code, message) = match refusal {
        Refusal::RoomFull => (ErrorCode::RoomFull, "The room has as many members as it takes."),
        Refusal::RoomLocked => (ErrorCode::RoomLocked, "The room is locked."),
        Refusal::NotAllowed(why) => (ErrorCode::NotAllowed, *why),
        Refusal::NotAdmitted => (ErrorCode::NotAdmitted, "A host has not admitted this connection yet."),
        Refusal::PeerNotFound => {
            (ErrorCode::PeerNotFound, "No peer with this id is in this room: it left, or never was here.")
        }
        Refusal::SignalToSelf => (ErrorCode::SignalToSelf, "\"to\" is the sender's own id."),
        Refusal::StateInvalid(why) => (ErrorCode::StateInvalid, why.as_str()),
        Refusal::OutOfSequence(next) => {
            sentence = format!("\"seq\" leaves a gap; the next number is {next}.");
            (ErrorCode::OutOfSequence, &*sentence)
        }
        Refusal::Busy => (ErrorCode::Busy, "The servers that share this room have not decided in time."),
        // The hub has closed this connection, and its close frame is on the way.
        Refusal::NotMember | Refusal::Dismissed(_) => return None,
    };
    let retry_after_ms = (*refusal == Refusal::Busy).then(|| millis(with_jitter(BUSY_RETRY)));
    Some(ServerMessage::Error(ErrorBody { code, message, re, reference, retry_after_ms }).to_frame())
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
