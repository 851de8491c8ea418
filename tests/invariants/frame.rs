//! Invariants of the message parser.

use std::collections::HashMap;

use roundtable::protocol::client::{Bad, ClientMessage, Parsed, Request, parse};
use roundtable::protocol::{ErrorBody, Frame, Outgoing, PeerId, ServerMessage, server};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Maximum bytes of an error response, so that errors do not amplify traffic.
const ERROR_BYTES: usize = 1_024;

/// Skips invalid UTF-8, which never reaches the parser (R30).
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_text(text);
    }
}

/// Checks that a text is either a message that can be encoded again, or leads to an error response.
pub fn check_text(text: &str) {
    let parsed = parse(text);
    // A message is also parsed from within a larger buffer.
    let buffer = format!("{text}{text}");
    assert_eq!(
        format!("{:?}", parse(&buffer[text.len()..])),
        format!("{parsed:?}"),
        "parsed differently from a slice: {text}"
    );
    check_reference(&parsed);
    match &parsed.request {
        Ok(request) => {
            let fields: Result<HashMap<String, &RawValue>, _> = serde_json::from_str(text);
            assert!(fields.is_ok(), "not a JSON object: {text}");
            check_relayed(request);
            let again = write(text, request, parsed.ack);
            let read = parse(&again).request;
            assert_eq!(format!("{:?}", read.as_ref()), format!("{:?}", Ok::<_, &Bad>(request)), "{text} as {again}");
        }
        Err(bad) => check_error(&parsed, bad),
    }
}

/// Encodes the message as a client would.
fn write(text: &str, request: &Request<'_>, ack: Option<u64>) -> String {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        state: Option<&'a RawValue>,
    }
    let state = serde_json::from_str::<Raw<'_>>(text).unwrap().state;
    let id;
    let message = match request {
        Request::Join { name, resume, last_seq, token, host_key, settings, proof, .. } => ClientMessage::Join {
            name: name.as_str(),
            state,
            resume: resume.as_deref(),
            last_seq: *last_seq,
            token: token.as_deref(),
            host_key: host_key.as_deref(),
            settings: Some(*settings),
            proof: proof.as_deref(),
        },
        Request::Moderate(act) => ClientMessage::Moderate(*act),
        Request::Signal { to, data } => {
            id = *to;
            ClientMessage::Signal { to: id.as_ref().map_or("nobody", PeerId::as_str), data }
        }
        Request::Broadcast { data } => ClientMessage::Broadcast { data },
        Request::State(_) => ClientMessage::State { state: state.unwrap() },
        Request::Sync => ClientMessage::Sync,
        Request::Ping => ClientMessage::Ping,
        Request::Ack => ClientMessage::Ack { ack: ack.unwrap() },
        Request::Renew { token } => ClientMessage::Renew { token },
        Request::Quality(links) => ClientMessage::Quality { links },
        Request::Leave => ClientMessage::Leave,
    };
    serde_json::to_string(&message).unwrap()
}

/// Checks that a forwarded payload is one message from its sender, whatever it contains.
fn check_relayed(request: &Request<'_>) {
    #[derive(Deserialize)]
    struct Relayed<'a> {
        seq: u64,
        #[serde(rename = "type")]
        kind: &'a str,
        from: &'a str,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let from = PeerId::from_random([7; PeerId::LEN]);
    let (kind, sent, frame): (_, _, Frame) = match request {
        Request::Signal { data, .. } => ("signal", data, server::signal(from, data)),
        Request::Broadcast { data } => ("broadcast", data, server::broadcast(from, data)),
        _ => return,
    };
    let out = Outgoing::numbered(9, frame);
    let (head, body) = (out.head(), out.body());
    // Skips the WebSocket header, which may contain the byte 123.
    let start = head.as_bytes().windows(2).position(|two| two == b"{\"").unwrap();
    let json = [&head.as_bytes()[start..], body].concat();
    let read: Relayed<'_> = serde_json::from_slice(&json).unwrap();
    assert_eq!((read.seq, read.kind, read.from, read.data.get()), (9, kind, from.as_str(), sent.get()));
}

fn check_error(parsed: &Parsed<'_>, bad: &Bad) {
    assert!(!bad.message.is_empty());
    let body = ErrorBody {
        retry_after_ms: None,
        code: bad.code,
        message: &bad.message,
        re: bad.re,
        reference: parsed.reference,
    };
    let frame = ServerMessage::Error(body).to_frame();
    // The client's `ref` is echoed, even if it contains half a surrogate pair (RFC 8259 §8.2).
    let read: HashMap<&str, &RawValue> = serde_json::from_slice(frame.payload()).unwrap();
    assert_eq!(read["type"].get(), r#""error""#);
    assert!(frame.payload().len() < ERROR_BYTES, "{} bytes: {read:?}", frame.payload().len());
}

/// Checks that a `ref` is echoed and small (R4).
fn check_reference(parsed: &Parsed<'_>) {
    if let Some(reference) = parsed.reference {
        assert!(reference.get().len() <= 66, "{reference}");
    }
}
