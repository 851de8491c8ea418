//! Delivery of spans to the collector: OTLP over HTTP, in protobuf.
//!
//! Spans go into a bounded queue and are sent from there in batches, one after the other. Nothing waits for the
//! collector: spans that do not fit are dropped and counted. The library's own exporter does not expose its counts,
//! gives a batch up at the first error, and has a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use prost::Message;
use tokio::sync::watch;
use tokio::time::Instant;

use super::TraceTarget;
use crate::outbound::{self, Queue};

/// Maximum number of queued spans, about 2 MB.
const QUEUE: usize = 2_048;
/// Maximum number of spans in a batch.
const BATCH: usize = 512;
/// Time that a span waits for others to be sent with it.
const GATHER: Duration = Duration::from_secs(1);
/// Time limit of one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Delay between two attempts, doubled from the first value to the last, with full jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(8);
/// Time after which an undelivered batch is given up. A collector's restart takes less.
const GIVE_UP: Duration = Duration::from_secs(30);
/// Shortest interval at which the log reports that the collector does not accept spans.
const QUIET: Duration = Duration::from_secs(60);
/// Maximum number of bytes that are read of a response.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Counters of spans by outcome. Clones share them.
#[derive(Clone, Debug)]
pub struct SpanMetrics {
    exported: Counter,
    failed: Counter,
    dropped: Counter,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

impl SpanMetrics {
    pub(in super::super) fn new(registry: &mut Registry) -> Self {
        let spans = Family::<Outcome, Counter>::default();
        let counter = |outcome| spans.get_or_create(&Outcome { outcome }).clone();
        let metrics = Self { exported: counter("exported"), failed: counter("failed"), dropped: counter("dropped") };
        registry.register("otlp_spans", "Spans of traces by what became of them", spans);
        metrics
    }
}

#[derive(Debug)]
pub(super) struct Delivery {
    target: TraceTarget,
    resource: ResourceAttributesWithSchema,
    metrics: SpanMetrics,
    queue: Queue<SpanData>,
    /// Set when the server shuts down: nothing is waited for any more.
    ending: watch::Sender<bool>,
}

/// Takes over spans that have ended from the library.
#[derive(Debug)]
pub(super) struct Processor(pub(super) Arc<Delivery>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if !self.0.queue.put(span) {
            self.0.metrics.dropped.inc();
        }
    }

    // Both do nothing: [`Delivery::settle`] is used instead.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The collector's response to a batch.
enum Answer {
    /// Accepted, except for this number of spans, for this reason.
    Taken(u64, String),
    /// Not accepted now. Send it again, not before this time if the collector names one.
    Later(String, Option<Duration>),
    Never(String),
}

impl Delivery {
    pub(super) fn new(target: TraceTarget, resource: &Resource, metrics: SpanMetrics) -> Self {
        Self { target, resource: resource.into(), metrics, queue: Queue::new(QUEUE), ending: watch::Sender::new(false) }
    }

    pub(super) async fn run(&self) {
        let Some(mut receiver) = self.queue.receiver() else { return };
        tracing::info!(url = self.target.url, "traces are sent");
        let (agent, mut word) = (outbound::agent(ATTEMPT), Word::default());
        while let Some(first) = receiver.recv().await {
            let mut batch = vec![first];
            let gathered = async {
                while batch.len() < BATCH
                    && let Some(span) = receiver.recv().await
                {
                    batch.push(span);
                }
            };
            self.wait(GATHER, gathered).await;
            while batch.len() < BATCH
                && let Ok(span) = receiver.try_recv()
            {
                batch.push(span);
            }
            let spans = batch.len();
            self.deliver(&agent, batch, &mut word).await;
            self.queue.done(spans);
        }
    }

    /// Waits until `done` completes, `longest` has passed, or the server shuts down.
    async fn wait(&self, longest: Duration, done: impl Future<Output = ()>) {
        let mut ending = self.ending.subscribe();
        tokio::select! {
            () = done => {}
            () = tokio::time::sleep(longest) => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
    }

    async fn deliver(&self, agent: &ureq::Agent, batch: Vec<SpanData>, word: &mut Word) {
        let spans = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let (give_up, mut longest) = (Instant::now() + GIVE_UP, BACKOFF_FIRST);
        let failed = loop {
            let last = *self.ending.borrow();
            match self.attempt(agent, body.clone()).await {
                Answer::Taken(0, _) => {
                    word.good();
                    break 0;
                }
                Answer::Taken(rejected, why) => {
                    word.bad(&format!("it has refused {rejected} spans: {why}"));
                    break rejected.min(spans);
                }
                Answer::Never(why) => {
                    word.bad(&why);
                    break spans;
                }
                Answer::Later(why, after) => {
                    word.bad(&why);
                    // Never sooner than our own delay, whatever the collector asks for.
                    let wait = longest.mul_f64(fastrand::f64()).max(after.unwrap_or_default());
                    if last || wait > give_up.saturating_duration_since(Instant::now()) {
                        break spans;
                    }
                    self.wait(wait, std::future::pending()).await;
                    longest = (longest * 2).min(BACKOFF_LAST);
                }
            }
        };
        self.metrics.failed.inc_by(failed);
        self.metrics.exported.inc_by(spans - failed);
    }

    async fn attempt(&self, agent: &ureq::Agent, body: Bytes) -> Answer {
        let mut request = agent.post(&self.target.url).header(header::CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.target.headers {
            request = request.header(name, value);
        }
        let send = move || match request.send(&body[..]) {
            Ok(response) => read(response),
            Err(error) => Answer::Later(error.to_string(), None),
        };
        let sent = tokio::task::spawn_blocking(send).await;
        sent.unwrap_or_else(|error| Answer::Never(error.to_string()))
    }

    pub(super) async fn settle(&self, patience: Duration) {
        self.ending.send_replace(true);
        let spans = self.queue.settle(patience).await;
        if spans > 0 {
            tracing::warn!(spans, "the last traces were not sent in time");
        }
    }
}

/// Classifies a response. OTLP lists the status codes that are not final.
fn read(mut response: axum::http::Response<ureq::Body>) -> Answer {
    let status = response.status();
    let why = format!("it answers {status}");
    if status.is_success() {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec().unwrap_or_default();
        // A body that is not an OTLP response rejects no spans.
        let answer = ExportTraceServiceResponse::decode(&*body).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let why = partial.error_message.chars().take(200).collect();
        return Answer::Taken(partial.rejected_spans.try_into().unwrap_or_default(), why);
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = response.headers().get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            Answer::Later(why, after.map(Duration::from_secs))
        }
        _ => Answer::Never(why),
    }
}

/// State of the log about the collector: that it accepts nothing, and that it does again, is logged once each.
#[derive(Default)]
struct Word {
    bad_since: Option<Instant>,
    said: Option<Instant>,
}

impl Word {
    fn bad(&mut self, why: &str) {
        let now = Instant::now();
        if self.bad_since.is_some() || self.said.is_some_and(|said| now - said < QUIET) {
            return tracing::debug!(why, "traces still do not reach the collector");
        }
        (self.bad_since, self.said) = (Some(now), Some(now));
        tracing::error!(
            why,
            "traces do not reach the collector of ROUNDTABLE_OTLP_ENDPOINT; what does not fit is dropped"
        );
    }

    fn good(&mut self) {
        if let Some(since) = self.bad_since.take() {
            tracing::info!(after = ?since.elapsed(), "traces reach the collector again");
        }
    }
}
