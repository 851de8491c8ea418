//! Properties of the message parser for arbitrary input.

use proptest::prelude::*;
use roundtable::protocol::client::{ClientMessage, Request, parse};
use roundtable::protocol::{Moderation, PeerId, SettingsPatch, StatePatch, StateValue};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::invariants::frame;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_a_message_or_has_a_code(text in ".*") {
        frame::check_text(&text);
    }

    #[test]
    fn text_that_is_nearly_a_message_is_one_or_has_a_code(text in nearly()) {
        frame::check_text(&text);
    }

    #[test]
    fn what_is_written_is_what_is_read(
        name in "[\\PC&&[^\\s\\p{Default_Ignorable_Code_Point}\\p{M}\u{2800}\u{fffc}\u{1d159}]]{1,64}",
        [resume, token, host_key, proof] in prop::array::uniform4(prop::option::of(".{0,80}")),
        last_seq in any::<Option<u64>>(),
        flag in any::<bool>(),
        to in "[A-Za-z0-9_-]{20}",
        data in json_text(),
    ) {
        let data = RawValue::from_string(data).unwrap();
        let state_text = RawValue::from_string(json!({"mic": flag, "hand": null}).to_string()).unwrap();
        let state = StatePatch::from([("mic", Some(StateValue::Flag(flag))), ("hand", None)]);
        let written = |message: ClientMessage<'_>| serde_json::to_string(&message).unwrap();

        let settings = SettingsPatch { talk: Some(flag), ..SettingsPatch::default() };
        let text = written(ClientMessage::Join {
            name: &name,
            state: Some(&state_text),
            resume: resume.as_deref(),
            last_seq,
            token: token.as_deref(),
            host_key: host_key.as_deref(),
            settings: Some(settings),
            proof: proof.as_deref(),
        });
        match parse(&text).request {
            Ok(Request::Join { name: read, state: read_state, settings: read_settings, .. }) => {
                prop_assert_eq!(read_settings, settings);
                prop_assert_eq!(read.as_str(), &name);
                prop_assert_eq!(read_state, state.clone());
            }
            other => prop_assert!(false, "{other:?} of {text}"),
        }
        match parse(&text).request {
            Ok(Request::Join { resume: read, last_seq: read_last, token: read_token, host_key: read_key, proof: read_proof, .. }) => {
                prop_assert_eq!(read.as_deref(), resume.as_deref());
                prop_assert_eq!(read_last, last_seq);
                prop_assert_eq!(read_token.as_deref(), token.as_deref());
                prop_assert_eq!(read_key.as_deref(), host_key.as_deref());
                prop_assert_eq!(read_proof.as_deref(), proof.as_deref());
            }
            other => prop_assert!(false, "{other:?} of {text}"),
        }
        let text = written(ClientMessage::Signal { to: &to, data: &data });
        match parse(&text).request {
            Ok(Request::Signal { to: Some(read), data: read_data }) => {
                prop_assert_eq!(read.as_str(), &to);
                prop_assert_eq!(read_data.get(), data.get());
            }
            other => prop_assert!(false, "{other:?} of {text}"),
        }
        let act = Moderation::Remove { to: PeerId::parse(&to).unwrap() };
        let text = written(ClientMessage::Moderate(act));
        match parse(&text).request {
            Ok(Request::Moderate(read)) => prop_assert_eq!(read, act),
            other => prop_assert!(false, "{other:?} of {text}"),
        }
        let text = written(ClientMessage::Broadcast { data: &data });
        match parse(&text).request {
            Ok(Request::Broadcast { data: read }) => prop_assert_eq!(read.get(), data.get()),
            other => prop_assert!(false, "{other:?} of {text}"),
        }
        let text = written(ClientMessage::State { state: &state_text });
        match parse(&text).request {
            Ok(Request::State(read)) => prop_assert_eq!(read, state),
            other => prop_assert!(false, "{other:?} of {text}"),
        }
        for (message, kind) in
            [(ClientMessage::Sync, "sync"), (ClientMessage::Ping, "ping"), (ClientMessage::Leave, "leave")]
        {
            prop_assert_eq!(parse(&written(message)).request.unwrap().kind(), kind);
        }
    }
}

/// Generates any JSON value without surrounding white space.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let tree = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    });
    tree.prop_map(|value| value.to_string())
}

/// Generates objects with the fields of messages, valid or invalid, some of them truncated.
fn nearly() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        Just(json!("join")),
        Just(json!("signal")),
        Just(json!("broadcast")),
        Just(json!("state")),
        Just(json!("ping")),
        ".{0,300}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("to".to_owned()),
        Just("data".to_owned()),
        Just("name".to_owned()),
        Just("state".to_owned()),
        Just("resume".to_owned()),
        Just("ref".to_owned()),
        ".{0,4}",
    ];
    let value = prop_oneof![
        json_text(),
        ".{0,300}".prop_map(|text| Value::from(text).to_string()),
        "[ -~]{0,8}",
        prop::collection::hash_map("[a-zA-Z0-9_]{0,40}", any::<bool>(), 0..20).prop_map(|map| json!(map).to_string()),
    ];
    let fields = prop::collection::vec((key, value), 0..5);
    (kind, fields, prop::option::weighted(0.1, any::<prop::sample::Index>())).prop_map(|(kind, fields, cut)| {
        let fields: String =
            fields.iter().map(|(key, value)| format!(",{}:{value}", Value::from(key.as_str()))).collect();
        let mut text = format!("{{\"type\":{kind}{fields}}}");
        if let Some(cut) = cut {
            let at = cut.index(text.len());
            text.truncate((0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
        }
        text
    })
}
