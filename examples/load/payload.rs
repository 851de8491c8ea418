//! Messages of an exact size that resemble real ones.

use roundtable::protocol::ClientMessage;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Typical line of an offer in JSON: it ends in two escapes, which a JSON parser must process.
const LINE: &str = r"a=rtpmap:111 opus/48000/2\r\n";
const HEAD: &str = r#"{"description":{"type":"offer","sdp":""#;
const TAIL: &str = r#""}}"#;

/// Placeholder with the length of every ID, so that a message can be sized before its recipient is known.
const ANY_ID: &str = "AAAAAAAAAAAAAAAAAAAA";

/// Returns the data for a `signal` whose text has `size` bytes as the sender encodes it.
pub fn signal_data(size: usize) -> Result<Box<RawValue>, String> {
    data(size, |data| ClientMessage::Signal { to: ANY_ID, data })
}

/// Returns the data for a `broadcast` whose text has `size` bytes as the sender encodes it.
pub fn broadcast_data(size: usize) -> Result<Box<RawValue>, String> {
    data(size, |data| ClientMessage::Broadcast { data })
}

/// Encodes a client message.
pub fn encode(message: &ClientMessage<'_>) -> Utf8Bytes {
    serde_json::to_string(message).expect("a client's message is JSON").into()
}

fn data(size: usize, message: impl Fn(&RawValue) -> ClientMessage<'_>) -> Result<Box<RawValue>, String> {
    let around = encode(&message(RawValue::NULL)).len() - RawValue::NULL.get().len();
    let least = around + HEAD.len() + TAIL.len();
    let Some(filler) = size.checked_sub(least) else {
        return Err(format!("a message has at least {least} bytes, not {size}"));
    };
    let lines = LINE.repeat(filler / LINE.len());
    let rest = "x".repeat(filler % LINE.len());
    let json = format!("{HEAD}{lines}{rest}{TAIL}");
    RawValue::from_string(json).map_err(|error| error.to_string())
}
