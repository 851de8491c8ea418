//! Traces: what was done for one request, in spans that an OpenTelemetry collector gets. Off unless there is one.
//!
//! OpenTelemetry's own interface and not `tracing`'s: where there is no collector there is nothing at all, no log filter
//! decides about spans, and the way of messages knows of neither. docs/OPERATIONS.md lists the spans.

mod delivery;
mod sampler;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::context::{FutureExt, WithContext};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceId, Tracer, TracerProvider, get_active_span,
};
use opentelemetry::{Context, ContextGuard, Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use self::delivery::Delivery;
pub use self::delivery::SpanMetrics;
use self::sampler::Sampler;

/// Of what vendors add to the id of a trace, the most that is passed on: what the W3C has everybody pass on.
const TRACESTATE_BYTES: usize = 512;

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceTarget {
    /// `http://` or `https://`, with the path.
    pub url: String,
    /// What the collector asks for beside: may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Which share of traces is kept, from 0 to 1.
    pub share: f64,
}

/// Begins spans, and sends them. Clones are the same; the default one begins none.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Pipeline>>);

#[derive(Debug)]
struct Pipeline {
    tracer: SdkTracer,
    delivery: Arc<Delivery>,
}

/// What a span belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// What is under way here, if anything; else it begins a trace.
    Here,
    /// A span that may have ended, or be another program's.
    Of(&'a Origin),
    /// It begins a trace, which says what led to it.
    Linked(&'a Origin),
}

impl Traces {
    /// Sends spans to this target, if there is one.
    pub fn new(target: Option<TraceTarget>, metrics: &SpanMetrics) -> Self {
        let Some(target) = target else { return Self(None) };
        let (sampler, resource) = (Sampler { ratio: target.share }, resource());
        let delivery = Arc::new(Delivery::new(target, &resource, metrics.clone()));
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_resource(resource)
            .with_span_processor(delivery::Processor(Arc::clone(&delivery)))
            .build();
        Self(Some(Arc::new(Pipeline { tracer: provider.tracer(env!("CARGO_PKG_NAME")), delivery })))
    }

    /// Whether there is anybody to whom spans go.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span.
    pub fn begin(&self, kind: SpanKind, name: impl Into<Cow<'static, str>>, parent: Parent<'_>) -> Traced {
        let Some(Pipeline { tracer, .. }) = self.0.as_deref() else { return Traced(None) };
        let mut builder = tracer.span_builder(name).with_kind(kind);
        let parent = match parent {
            Parent::Here => Context::current(),
            Parent::Of(origin) => origin.context(),
            Parent::Linked(origin) => {
                builder =
                    builder.with_links(origin.0.iter().map(|span| Link::with_context((**span).clone())).collect());
                Context::new()
            }
        };
        let span = builder.start_with_context(tracer, &parent);
        Traced(Some(Box::new(parent.with_span(span))))
    }

    /// Sends, until it is no longer polled; once.
    pub async fn run(&self) {
        match self.0.as_deref() {
            Some(pipeline) => pipeline.delivery.run().await,
            None => std::future::pending().await,
        }
    }

    /// Sends what is left at once, but not for ever: for the end of the server.
    pub async fn settle(&self, patience: Duration) {
        if let Some(pipeline) = self.0.as_deref() {
            pipeline.delivery.settle(patience).await;
        }
    }
}

/// A span under way, which ends when this is dropped; or nothing, where there are no traces.
#[derive(Debug, Default)]
pub struct Traced(Option<Box<Context>>);

impl Traced {
    /// Says something of it. Nothing that tells who somebody is, or that opens a door.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// It went wrong, by nobody's fault but ours or that of whom we have asked. `why` is of few.
    pub fn fail(&self, why: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(""));
            self.set("error.type", why);
        }
    }

    /// Another name, of what turned out to be something else.
    pub fn rename(&self, name: &'static str) {
        if let Some(context) = &self.0 {
            context.span().update_name(name);
        }
    }

    /// What is done until the guard is dropped is a part of it.
    #[must_use]
    pub fn enter(&self) -> Option<ContextGuard> {
        self.0.as_deref().map(|context| context.clone().attach())
    }

    /// Does something as a part of it.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.enter();
        work()
    }

    /// The same for what takes longer.
    pub fn around<F: Future>(&self, work: F) -> WithContext<F> {
        work.with_context(self.0.as_deref().cloned().unwrap_or_default())
    }

    /// What tells another program of it: `traceparent`, and `tracestate` where there is one.
    pub fn headers(&self) -> HashMap<String, String> {
        let mut headers = HashMap::new();
        if let Some(context) = &self.0 {
            TraceContextPropagator::new().inject_context(context, &mut headers);
            headers.retain(|_, value| !value.is_empty());
        }
        headers
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// What something comes of, if that is known: a span, which may have ended.
#[derive(Clone, Debug, Default)]
pub struct Origin(Option<Box<SpanContext>>);

impl Origin {
    /// What is under way here.
    pub fn here() -> Self {
        Self::of(&Context::current())
    }

    fn of(context: &Context) -> Self {
        let span = context.has_active_span().then(|| Box::new(context.span().span_context().clone()));
        Self(span)
    }

    /// The span that a request says it is part of: with what vendors add to it where it is `trusted`.
    pub fn of_caller(headers: &HeaderMap, trusted: bool) -> Self {
        let named = |name| Some((name, headers.get(name)?.to_str().ok()?));
        let tracestate = named("tracestate").filter(|(_, state)| trusted && state.len() <= TRACESTATE_BYTES);
        let found = named("traceparent").into_iter().chain(tracestate);
        let headers: HashMap<_, _> = found.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::of(&TraceContextPropagator::new().extract_with_context(&Context::new(), &headers))
    }

    fn context(&self) -> Context {
        match &self.0 {
            Some(span) => Context::new().with_remote_span_context((**span).clone()),
            None => Context::new(),
        }
    }

    /// Does something that comes of it.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.0.is_some().then(|| self.context().attach());
        work()
    }
}

/// Says something of the span that is under way here, if there is one.
pub fn note(key: &'static str, value: impl Into<Value>) {
    get_active_span(|span| span.set_attribute(KeyValue::new(key, value)));
}

/// The trace and the span that are under way here and are kept.
pub(super) fn present() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_sampled().then(|| (span.trace_id(), span.span_id()))
    })
}

/// Which program this is: what `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say comes before our own.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let known = |key: &'static str| detected.get(&Key::new(key)).map(|value| value.to_string());
    // What the library makes up where nobody has said it.
    let named = known("service.name").filter(|name| !name.starts_with("unknown_service"));
    let own = [
        (named.is_none(), "service.name", env!("CARGO_PKG_NAME").to_owned()),
        (known("service.version").is_none(), "service.version", env!("CARGO_PKG_VERSION").to_owned()),
        (known("service.instance.id").is_none(), "service.instance.id", format!("{:032x}", fastrand::u128(..))),
    ];
    let own = own.into_iter().filter(|(missing, ..)| *missing).map(|(_, key, value)| KeyValue::new(key, value));
    Resource::builder().with_attributes(own).build()
}
