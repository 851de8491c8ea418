//! Spans as a collector receives them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// Attributes with their values as text.
pub type Attributes = BTreeMap<String, String>;

/// Span. IDs are hexadecimal; `parent` is empty if there is none.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub name: String,
    /// Kind in lower case.
    pub kind: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    /// Linked traces and spans.
    pub links: Vec<(String, String)>,
    pub attributes: Attributes,
    pub failed: bool,
    pub nanoseconds: u64,
    pub resource: Attributes,
}

impl Seen {
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Returns whether this span is a child of the other one.
    pub fn is_of(&self, other: &Self) -> bool {
        self.trace == other.trace && self.parent == other.id
    }
}

/// Decodes the spans of an export request.
pub fn of(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
        let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
        all.extend(spans.map(|span| Seen { resource: resource.clone(), ..Seen::from(span) }));
    }
    all
}

impl From<Span> for Seen {
    fn from(span: Span) -> Self {
        let kind = SpanKind::try_from(span.kind).unwrap();
        Self {
            kind: kind.as_str_name().trim_start_matches("SPAN_KIND_").to_lowercase(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            attributes: attributes(span.attributes),
            failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
            nanoseconds: span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).unwrap(),
            name: span.name,
            resource: Attributes::new(),
        }
    }
}

fn attributes(attributes: Vec<KeyValue>) -> Attributes {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("a value of another kind: {other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
