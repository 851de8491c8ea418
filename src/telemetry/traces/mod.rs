//! Traces: the work done for one request, as spans for an OpenTelemetry collector. Off unless there is one.
//!
//! This uses OpenTelemetry's own API rather than `tracing`'s: without a collector there is no work at all, no log
//! filter decides about spans, and the message path has neither. docs/OPERATIONS.md lists the spans.

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

/// Longest `tracestate` that is passed on, in bytes: the W3C asks for at least this much to be propagated.
const TRACESTATE_BYTES: usize = 512;

/// Collector to which traces are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceTarget {
    /// URL of the scheme `http` or `https`, with the path.
    pub url: String,
    /// Further headers that the collector requires. They may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Share of traces that is kept, from 0 to 1.
    pub share: f64,
}

/// Tracer with its delivery. Clones share it; the default one begins no spans.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Pipeline>>);

#[derive(Debug)]
struct Pipeline {
    tracer: SdkTracer,
    delivery: Arc<Delivery>,
}

/// Parent of a new span.
#[derive(Clone, Copy, Debug)]
pub enum Parent<'a> {
    /// The active span; if there is none, a new trace begins.
    Here,
    /// A span that may have ended, or may be another program's.
    Of(&'a Origin),
    /// None: a new trace begins, with a link to this span.
    Linked(&'a Origin),
}

impl Traces {
    /// Creates a tracer that sends spans to this target, if there is one.
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

    /// Returns whether spans are sent.
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

    /// Sends spans until it is no longer polled. Must be called once.
    pub async fn run(&self) {
        match self.0.as_deref() {
            Some(pipeline) => pipeline.delivery.run().await,
            None => std::future::pending().await,
        }
    }

    /// Sends the remaining spans at once when the server shuts down, within `patience`.
    pub async fn settle(&self, patience: Duration) {
        if let Some(pipeline) = self.0.as_deref() {
            pipeline.delivery.settle(patience).await;
        }
    }
}

/// Span in progress, which ends when this is dropped. Empty if there are no traces.
#[derive(Debug, Default)]
pub struct Traced(Option<Box<Context>>);

impl Traced {
    /// Sets an attribute. It must neither identify a person nor contain a secret.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks the span as failed, by our fault or that of a service we have called. `why` comes from a small set.
    pub fn fail(&self, why: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(""));
            self.set("error.type", why);
        }
    }

    /// Renames a span whose work turned out to be something else.
    pub fn rename(&self, name: &'static str) {
        if let Some(context) = &self.0 {
            context.span().update_name(name);
        }
    }

    /// Makes the span the active one until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> Option<ContextGuard> {
        self.0.as_deref().map(|context| context.clone().attach())
    }

    /// Runs `work` with the span as the active one.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.enter();
        work()
    }

    /// Runs a future with the span as the active one.
    pub fn around<F: Future>(&self, work: F) -> WithContext<F> {
        work.with_context(self.0.as_deref().cloned().unwrap_or_default())
    }

    /// Returns the headers that pass the span on to another program: `traceparent`, and `tracestate` if there is one.
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

/// Span that caused something, if it is known. It may have ended.
#[derive(Clone, Debug, Default)]
pub struct Origin(Option<Box<SpanContext>>);

impl Origin {
    /// Returns the active span.
    pub fn here() -> Self {
        Self::of(&Context::current())
    }

    fn of(context: &Context) -> Self {
        let span = context.has_active_span().then(|| Box::new(context.span().span_context().clone()));
        Self(span)
    }

    /// Reads the span that a request claims to be part of. `tracestate` is read if the caller is `trusted`.
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

    /// Runs `work` with this span as the active one.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.0.is_some().then(|| self.context().attach());
        work()
    }
}

/// Sets an attribute of the active span, if there is one.
pub fn note(key: &'static str, value: impl Into<Value>) {
    get_active_span(|span| span.set_attribute(KeyValue::new(key, value)));
}

/// Returns the IDs of the active trace and span if they are sampled.
pub(super) fn present() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_sampled().then(|| (span.trace_id(), span.span_id()))
    })
}

/// Describes this program. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence over our own values.
fn resource() -> Resource {
    let detected = Resource::builder().build();
    let known = |key: &'static str| detected.get(&Key::new(key)).map(|value| value.to_string());
    // The library's placeholder if no name is set.
    let named = known("service.name").filter(|name| !name.starts_with("unknown_service"));
    let own = [
        (named.is_none(), "service.name", env!("CARGO_PKG_NAME").to_owned()),
        (known("service.version").is_none(), "service.version", env!("CARGO_PKG_VERSION").to_owned()),
        (known("service.instance.id").is_none(), "service.instance.id", format!("{:032x}", fastrand::u128(..))),
    ];
    let own = own.into_iter().filter(|(missing, ..)| *missing).map(|(_, key, value)| KeyValue::new(key, value));
    Resource::builder().with_attributes(own).build()
}
