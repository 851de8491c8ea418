//! The way of spans to the collector: OTLP by HTTP, in protobuf.
//!
//! They go into a bounded queue and from there in batches, one after the other. Nobody waits for the collector: what
//! does not fit is dropped and counted. The library's own way counts for itself alone and gives a batch up at the first
//! error, in a thread of its own.

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

/// Spans that may wait, some 2 MB.
const QUEUE: usize = 2_048;
/// The most that are sent at once.
const BATCH: usize = 512;
/// How long a span waits for others to go with it.
const GATHER: Duration = Duration::from_secs(1);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Between two attempts, doubled from the first to the last, with full jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(8);
/// A batch that could not be delivered for so long is given up: a collector's restart.
const GIVE_UP: Duration = Duration::from_secs(30);
/// How often it is said at most that the collector does not take what it is sent.
const QUIET: Duration = Duration::from_secs(60);
/// The most that is read of an answer.
const ANSWER_BYTES: u64 = 64 * 1024;

/// What became of spans. Clones count together.
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
    /// The server ends: nothing is waited for any more.
    ending: watch::Sender<bool>,
}

/// Where the library leaves spans that have ended.
#[derive(Debug)]
pub(super) struct Processor(pub(super) Arc<Delivery>);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if !self.0.queue.put(span) {
            self.0.metrics.dropped.inc();
        }
    }

    // Both are for whoever has no `Delivery::settle`.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What the collector makes of a batch.
enum Answer {
    /// All but so many spans are taken, for this reason.
    Taken(u64, String),
    /// Not now; where it says so, after this time.
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

    /// Until it is done, or so much time has passed, or the server ends.
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
                    // Not sooner than by ourselves, whatever it says.
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

/// Which answers are final, and which are not, is OTLP's own list.
fn read(mut response: axum::http::Response<ureq::Body>) -> Answer {
    let status = response.status();
    let why = format!("it answers {status}");
    if status.is_success() {
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec().unwrap_or_default();
        // What is no answer of OTLP says of nothing that it was not taken.
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

/// What the log says of the collector: that it takes nothing, and that it does again.
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
