//! Messages of an exact size that look like the real ones.

use roundtable::protocol::ClientMessage;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// What most of an offer looks like in JSON: short lines that each end in two escapes, which a
/// JSON reader has to step over.
const LINE: &str = r"a=rtpmap:111 opus/48000/2\r\n";
const HEAD: &str = r#"{"description":{"type":"offer","sdp":""#;
const TAIL: &str = r#""}}"#;

/// An id has the length of every id, so that a message can be sized before its receiver is known.
const ANY_ID: &str = "AAAAAAAAAAAAAAAAAAAA";

/// The JSON value that makes a `signal` of `size` bytes of text as its sender writes it.
pub fn signal_data(size: usize) -> Result<Box<RawValue>, String> {
    data(size, |data| ClientMessage::Signal { to: ANY_ID, data })
}

/// The JSON value that makes a `broadcast` of `size` bytes of text as its sender writes it.
pub fn broadcast_data(size: usize) -> Result<Box<RawValue>, String> {
    data(size, |data| ClientMessage::Broadcast { data })
}

/// The text of a client's message.
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
