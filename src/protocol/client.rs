//! Client messages, parsed without copying: the header borrows from the frame, the payload stays raw JSON.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{ErrorCode, LINKS, LinkReport, Moderation, PeerId, PeerName, SettingsPatch, StatePatch};

/// Longest `ref` in bytes of JSON (R4): 64 and the two quotes.
const REF_BYTES: usize = 66;

/// Every client message as it is sent. The TypeScript types are generated from it, and Rust programs encode it. The
/// server parses messages with [`parse`].
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ClientMessage<'a> {
    /// Joins the room (R5).
    Join {
        /// Display name.
        name: &'a str,
        /// Initial member state.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "StatePatch", optional))]
        state: Option<&'a RawValue>,
        /// Resume secret of an earlier `welcome`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        resume: Option<&'a str>,
        /// With `resume`: the number of the last message received (R53).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "number", optional))]
        last_seq: Option<u64>,
        /// Token signed by the server's operator (R58).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        token: Option<&'a str>,
        /// Host key that was issued when the room's name was made (R57).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        host_key: Option<&'a str>,
        /// Settings for the room if this join creates it (R38).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        settings: Option<SettingsPatch>,
        /// Proof that the page is served by this server (R92).
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional))]
        proof: Option<&'a str>,
    },
    /// Moderates the room as a host (R37).
    Moderate(Moderation),
    /// Sends a message to one peer (R19).
    Signal {
        /// Recipient's ID.
        to: &'a str,
        /// Any JSON.
        #[cfg_attr(test, ts(type = "unknown"))]
        data: &'a RawValue,
    },
    /// Sends a message to everybody else in the room.
    Broadcast {
        /// Any JSON.
        #[cfg_attr(test, ts(type = "unknown"))]
        data: &'a RawValue,
    },
    /// Changes the sender's own state (R21).
    State {
        /// Keys to change; `null` removes a key.
        #[cfg_attr(test, ts(type = "StatePatch"))]
        state: &'a RawValue,
    },
    /// Requests the roster (R17).
    Sync,
    /// Requests a `pong` (R27).
    Ping,
    /// Acknowledges messages and does nothing else (R48).
    Ack {
        /// Number of the last message received.
        #[cfg_attr(test, ts(type = "number"))]
        ack: u64,
    },
    /// Replaces the token of this session (R61).
    Renew {
        /// New token.
        token: &'a str,
    },
    /// Reports call quality to the operator (R82).
    Quality {
        /// One report for each peer connection.
        links: &'a [LinkReport],
    },
    /// Leaves the room (R24).
    Leave,
}

/// Validated client message, borrowed from its frame.
#[derive(Debug)]
pub enum Request<'a> {
    /// Joins the room.
    Join {
        /// Validated and trimmed.
        name: PeerName,
        /// Empty if the client sent none.
        state: StatePatch,
        /// Not verified yet.
        resume: Option<Cow<'a, str>>,
        /// Number of the last message received, if the client wants to resume its session.
        last_seq: Option<u64>,
        /// Not verified yet.
        token: Option<Cow<'a, str>>,
        /// Not verified yet.
        host_key: Option<Cow<'a, str>>,
        /// Settings for the room if this join creates it.
        settings: SettingsPatch,
        /// Not verified yet.
        proof: Option<Cow<'a, str>>,
    },
    /// Moderates the room.
    Moderate(Moderation),
    /// Forwards `data` to one peer.
    Signal {
        /// Recipient; `None` if the text cannot be an ID.
        to: Option<PeerId>,
        /// Valid JSON, not decoded.
        data: &'a RawValue,
    },
    /// Forwards `data` to everybody else.
    Broadcast {
        /// Valid JSON, not decoded.
        data: &'a RawValue,
    },
    /// Changes the sender's state.
    State(StatePatch),
    /// Requests the roster.
    Sync,
    /// Requests a `pong`.
    Ping,
    /// Carries only [`Parsed::ack`], which any message may carry.
    Ack,
    /// Replaces the token of this session.
    Renew {
        /// Not verified yet.
        token: Cow<'a, str>,
    },
    /// Reports the sender's call quality; all values are within their bounds.
    Quality(Vec<LinkReport>),
    /// Leaves the room.
    Leave,
}

impl Request<'_> {
    /// Returns the message's type on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Moderate(_) => "moderate",
            Self::Signal { .. } => "signal",
            Self::Broadcast { .. } => "broadcast",
            Self::State(_) => "state",
            Self::Sync => "sync",
            Self::Ping => "ping",
            Self::Ack => "ack",
            Self::Renew { .. } => "renew",
            Self::Quality(_) => "quality",
            Self::Leave => "leave",
        }
    }
}

/// Result of parsing one frame.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The client's `ref`, echoed in the response (R4).
    pub reference: Option<&'a RawValue>,
    /// The message's number (R49).
    pub number: Option<u64>,
    /// Number of the last server message that the client has received (R48).
    pub ack: Option<u64>,
    /// The message, or the reason why the frame is not a valid message.
    pub request: Result<Request<'a>, Bad>,
}

/// Reason why a frame is not a valid message.
#[derive(Debug, Eq, PartialEq)]
pub struct Bad {
    /// Error code for programs.
    pub code: ErrorCode,
    /// Explanation for developers.
    pub message: String,
    /// The frame's `type`, if it was readable and is known.
    pub re: Option<&'static str>,
}

impl Bad {
    fn new(code: ErrorCode, re: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { code, re, message: message.into() }
    }

    fn missing(field: &str, re: Option<&'static str>) -> Self {
        let of = re.map_or_else(|| "A message".to_owned(), |kind| format!("A message of the type {kind:?}"));
        Self::new(ErrorCode::MissingField, re, format!("{of} needs the field {field:?}."))
    }
}

/// Text that is borrowed unless it has escapes. A newtype, because serde borrows a `Cow` only at the top level, not
/// inside an `Option`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields of all messages in one struct, because an internally tagged enum cannot hold a `RawValue`.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    state: Option<&'a RawValue>,
    #[serde(borrow)]
    resume: Option<Text<'a>>,
    #[serde(borrow)]
    token: Option<Text<'a>>,
    #[serde(borrow)]
    host_key: Option<Text<'a>>,
    #[serde(borrow)]
    proof: Option<Text<'a>>,
    #[serde(borrow)]
    settings: Option<&'a RawValue>,
    last_seq: Option<u64>,
    seq: Option<u64>,
    ack: Option<u64>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
}

/// Deserializes `null` as a value rather than as absence: `data` is any JSON.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The fields that an error response needs to refer to its message.
#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow, rename = "ref")]
    reference: Option<&'a RawValue>,
}

/// Parses one text frame. Allocates only for names, states, errors and text with escapes.
pub fn parse(text: &str) -> Parsed<'_> {
    // serde would accept an array as the fields in their order.
    if !text.trim_start().starts_with('{') {
        let bad = Bad::new(ErrorCode::BadJson, None, "A message is a JSON object.");
        return Parsed { reference: None, number: None, ack: None, request: Err(bad) };
    }
    let header = match serde_json::from_str::<Header<'_>>(text) {
        Ok(header) => header,
        Err(error) => return unreadable(text, &error),
    };
    let (number, ack) = (header.seq, header.ack);
    let reference = match header.reference.map(check_ref).transpose() {
        Ok(reference) => reference,
        Err(bad) => {
            let re = header.kind.as_ref().and_then(|kind| known(&kind.0));
            return Parsed { reference: None, number, ack, request: Err(Bad { re, ..bad }) };
        }
    };
    Parsed { reference, number, ack, request: request(text, header) }
}

fn request<'a>(text: &'a str, header: Header<'a>) -> Result<Request<'a>, Bad> {
    let Some(Text(kind)) = header.kind else {
        return Err(Bad::missing("type", None));
    };
    match &*kind {
        "signal" => {
            let re = Some("signal");
            let to = header.to.ok_or_else(|| Bad::missing("to", re))?.0;
            let data = header.data.ok_or_else(|| Bad::missing("data", re))?;
            Ok(Request::Signal { to: PeerId::parse(&to), data })
        }
        "broadcast" => {
            let data = header.data.ok_or_else(|| Bad::missing("data", Some("broadcast")))?;
            Ok(Request::Broadcast { data })
        }
        "state" => {
            let re = Some("state");
            let state = header.state.ok_or_else(|| Bad::missing("state", re))?;
            parse_state(state, re).map(Request::State)
        }
        "join" => {
            let re = Some("join");
            let name = header.name.ok_or_else(|| Bad::missing("name", re))?.0;
            let name = PeerName::new(&name).map_err(|why| Bad::new(ErrorCode::NameInvalid, re, why))?;
            let state = header.state.map(|state| parse_state(state, re)).transpose()?.unwrap_or_default();
            let settings = header.settings.map(|settings| parse_fields(settings.get(), "join")).transpose()?;
            let settings = settings.unwrap_or_default();
            let [resume, token, host_key, proof] =
                [header.resume, header.token, header.host_key, header.proof].map(|text| text.map(|Text(text)| text));
            let last_seq = header.last_seq;
            Ok(Request::Join { name, state, resume, last_seq, token, host_key, settings, proof })
        }
        "moderate" => parse_fields(text, "moderate").map(Request::Moderate),
        "sync" => Ok(Request::Sync),
        "ping" => Ok(Request::Ping),
        "ack" => header.ack.map(|_| Request::Ack).ok_or_else(|| Bad::missing("ack", Some("ack"))),
        "renew" => {
            let token = header.token.ok_or_else(|| Bad::missing("token", Some("renew")))?.0;
            Ok(Request::Renew { token })
        }
        "quality" => parse_quality(text).map(Request::Quality),
        "leave" => Ok(Request::Leave),
        other => Err(Bad::new(ErrorCode::UnknownType, None, format!("No message has the type {:?}.", shorten(other)))),
    }
}

fn parse_state(state: &RawValue, re: Option<&'static str>) -> Result<StatePatch, Bad> {
    StatePatch::parse(state.get()).map_err(|why| Bad::new(ErrorCode::StateInvalid, re, why))
}

fn parse_fields<'a, T: Deserialize<'a>>(json: &'a str, re: &'static str) -> Result<T, Bad> {
    serde_json::from_str(json).map_err(|error| {
        let why = error.to_string();
        let code = if why.starts_with("missing field") { ErrorCode::MissingField } else { ErrorCode::BadField };
        Bad::new(code, Some(re), format!("A message of the type {re:?} is not as it should be: {why}."))
    })
}

fn parse_quality(text: &str) -> Result<Vec<LinkReport>, Bad> {
    #[derive(Deserialize)]
    struct Report {
        links: Vec<LinkReport>,
    }
    let Report { links } = parse_fields(text, "quality")?;
    let bad = |why: String| Bad::new(ErrorCode::BadField, Some("quality"), format!("In a report, {why}."));
    if links.len() > LINKS {
        return Err(bad(format!("\"links\" has up to {LINKS}")));
    }
    links.iter().try_for_each(LinkReport::check).map_err(bad)?;
    Ok(links)
}

fn check_ref(raw: &RawValue) -> Result<&RawValue, Bad> {
    let scalar = !raw.get().starts_with(['{', '[', 't', 'f']);
    if scalar && raw.get().len() <= REF_BYTES {
        return Ok(raw);
    }
    Err(Bad::new(ErrorCode::BadField, None, "The field \"ref\" is a number or a string of up to 64 bytes."))
}

/// Describes why a frame could not be parsed, and recovers the fields that an error response refers to. This is the
/// slow path.
fn unreadable<'a>(text: &'a str, error: &serde_json::Error) -> Parsed<'a> {
    let mark = serde_json::from_str::<Mark<'_>>(text).ok();
    let reference = mark.as_ref().and_then(|mark| mark.reference).and_then(|raw| check_ref(raw).ok());
    let re = mark.as_ref().and_then(|mark| known(mark.kind?.get()));
    let number = mark.as_ref().and_then(|mark| mark.seq?.get().parse().ok());
    let bad = if mark.is_some() && error.is_data() {
        Bad::new(ErrorCode::BadField, re, format!("A field has the wrong kind of value: {error}."))
    } else {
        Bad::new(ErrorCode::BadJson, None, format!("A message is a JSON object: {error}."))
    };
    Parsed { reference, number, ack: None, request: Err(bad) }
}

fn known(quoted: &str) -> Option<&'static str> {
    ["join", "moderate", "signal", "broadcast", "state", "sync", "ping", "ack", "renew", "quality", "leave"]
        .into_iter()
        .find(|kind| quoted.trim_matches('"') == *kind)
}

fn shorten(text: &str) -> &str {
    text.char_indices().nth(32).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> ErrorCode {
        parse(text).request.expect_err(text).code
    }

    #[test]
    fn data_may_be_null_and_is_kept_byte_for_byte() {
        for data in ["null", r#"{"a" : [1, 2 ]}"#, r#""\u00e9\n""#, "1e400"] {
            let text = format!(r#"{{"type":"broadcast","data":{data}}}"#);
            let Ok(Request::Broadcast { data: raw }) = parse(&text).request else { panic!("{text}") };
            assert_eq!(raw.get(), data);
        }
    }

    #[test]
    fn escaped_header_text_is_understood() {
        let text = r#"{"type":"jo\u0069n","name":"A\u0064a"}"#;
        let Ok(Request::Join { name, .. }) = parse(text).request else { panic!() };
        assert_eq!(name.as_str(), "Ada");
    }

    #[test]
    fn r28_every_malformation_has_its_code() {
        assert_eq!(code("{"), ErrorCode::BadJson);
        assert_eq!(code("[1]"), ErrorCode::BadJson);
        assert_eq!(code(r#"["ping",null,null,null,null,null,null]"#), ErrorCode::BadJson);
        assert_eq!(code("\"join\""), ErrorCode::BadJson);
        assert_eq!(code(r#"{"name":"Ada"}"#), ErrorCode::MissingField);
        assert_eq!(code(r#"{"type":"signal","data":1}"#), ErrorCode::MissingField);
        assert_eq!(code(r#"{"type":"signal","to":5,"data":1}"#), ErrorCode::BadField);
        assert_eq!(code(r#"{"type":7}"#), ErrorCode::BadField);
        assert_eq!(code(r#"{"type":"ping","ref":[1]}"#), ErrorCode::BadField);
        assert_eq!(code(r#"{"type":"dance"}"#), ErrorCode::UnknownType);
        assert_eq!(code(r#"{"type":"join","name":"a\u0007"}"#), ErrorCode::NameInvalid);
        assert_eq!(code(r#"{"type":"state","state":{"Mic":true}}"#), ErrorCode::StateInvalid);
    }

    #[test]
    fn an_unreadable_message_is_answered_with_its_type_and_ref() {
        let parsed = parse(r#"{"type":"signal","to":5,"data":1,"ref":"a"}"#);
        assert_eq!(parsed.reference.map(RawValue::get), Some("\"a\""));
        assert_eq!(parsed.request.unwrap_err().re, Some("signal"));
    }

    #[test]
    fn deep_nesting_is_data_like_any_other() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
        let text = format!(r#"{{"type":"broadcast","data":{deep}}}"#);
        assert!(parse(&text).request.is_ok() || code(&text) == ErrorCode::BadJson);
    }
}
