//! All metrics of the server, and their export.

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::exposition::to_prometheus;
use super::limits::HttpConnectionMetrics;
use super::process::ProcessCollector;
use super::traces::SpanMetrics;
use super::{CertificateMetrics, EngineMetrics, MessageMetrics, QualityMetrics, RecordingMetrics, RequestMetrics};
use super::{Exposition, Limits};
use crate::limits::SharedAddress;
use crate::protocol::{CloseCode, ErrorCode, NotResumed};

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Bounded {
    limit: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Cause {
    cause: &'static str,
}

/// Limit that delays clients or rejects them, without an error.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Reading from a socket is delayed (R31, R79).
    Rate,
    /// The response to an attempt to join is delayed (R66).
    Attempts,
    /// A connection is closed without a response: its address has too many.
    Connections,
}

/// Metrics of the server. No label's cardinality grows with the number of rooms or people.
#[derive(Debug)]
pub struct Metrics {
    /// Open WebSockets.
    pub sockets: Gauge,
    /// Rooms with members.
    pub rooms: Gauge,
    /// Members of all rooms.
    pub members: Gauge,
    /// Members disconnected because they read too slowly.
    pub slow_consumers: Counter,
    /// Bytes of messages that wait to be sent or acknowledged.
    pub queued_bytes: Gauge,
    /// Webhook events that the receiver has accepted.
    pub webhooks_delivered: Counter,
    /// Webhook events that were dropped.
    pub webhooks_dropped: Counter,
    /// Webhook events that wait or are being sent.
    pub webhooks_queued: Gauge,
    /// HTTP connections, without WebSockets.
    pub http_connections: HttpConnectionMetrics,
    /// Metrics of Redis, exported if it is used ([`Metrics::with_engine`]).
    pub engine: EngineMetrics,
    /// Metrics of messages.
    pub messages: MessageMetrics,
    /// Metrics of HTTP requests.
    pub requests: RequestMetrics,
    /// Metrics of call quality.
    pub quality: QualityMetrics,
    /// Metrics of trace spans.
    pub spans: SpanMetrics,
    /// Metrics of recordings.
    pub recordings: RecordingMetrics,
    /// Metrics of certificate probes, exported if there are any ([`Metrics::with_certificates`]).
    pub certificates: CertificateMetrics,
    /// 1 if the file with the token keys is valid; exported if there is one ([`Metrics::with_token_keys`]).
    pub token_keys_valid: Gauge,
    joins: Family<Outcome, Counter>,
    resumes: Family<Outcome, Counter>,
    errors: Family<Code, Counter>,
    limited: Family<Bounded, Counter>,
    shared_addresses: Family<Cause, Counter>,
    closes: Family<Code, Counter>,
    registry: Registry,
}

impl Metrics {
    /// Creates the metrics of a server without Redis, all zero.
    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(ProcessCollector::new()));
        let registry = own(&mut root);
        let messages = MessageMetrics::new(registry);
        let requests = RequestMetrics::new(registry);
        let quality = QualityMetrics::new(registry);
        let spans = SpanMetrics::new(registry);
        let metrics = Self {
            sockets: Gauge::default(),
            rooms: Gauge::default(),
            members: Gauge::default(),
            slow_consumers: Counter::default(),
            queued_bytes: Gauge::default(),
            webhooks_delivered: Counter::default(),
            webhooks_dropped: Counter::default(),
            webhooks_queued: Gauge::default(),
            http_connections: HttpConnectionMetrics::new(registry),
            engine: EngineMetrics::default(),
            messages,
            requests,
            quality,
            spans,
            recordings: RecordingMetrics::default(),
            certificates: CertificateMetrics::default(),
            token_keys_valid: Gauge::default(),
            joins: Family::default(),
            resumes: Family::default(),
            errors: Family::default(),
            limited: Family::default(),
            shared_addresses: Family::default(),
            closes: Family::default(),
            registry: Registry::default(),
        };
        metrics.recordings.register(registry);
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The server's version", build);
        registry.register("sockets", "Open WebSockets", metrics.sockets.clone());
        registry.register("rooms", "Rooms with somebody in them", metrics.rooms.clone());
        registry.register("members", "Members of all rooms", metrics.members.clone());
        registry.register(
            "slow_consumers",
            "Members closed because their outbox was full",
            metrics.slow_consumers.clone(),
        );
        registry.register(
            "queued_bytes",
            "Bytes of messages that wait to be sent or acknowledged",
            metrics.queued_bytes.clone(),
        );
        registry.register("joins", "Attempts to join by outcome", metrics.joins.clone());
        registry.register("resumes", "Attempts to go on with a session by outcome", metrics.resumes.clone());
        registry.register("errors", "Errors told over WebSockets", metrics.errors.clone());
        registry.register(
            "limited",
            "What was held up or kept out by a limit, without an error",
            metrics.limited.clone(),
        );
        registry.register(
            "shared_addresses",
            "Requests that count by an address which many people may share",
            metrics.shared_addresses.clone(),
        );
        registry.register("webhooks_delivered", "Events that were taken", metrics.webhooks_delivered.clone());
        registry.register("webhooks_queued", "Queued webhook events", metrics.webhooks_queued.clone());
        registry.register("webhooks_dropped", "Events that were given up", metrics.webhooks_dropped.clone());
        registry.register(
            "closes",
            "Ended WebSockets by close code; \"client\" where the client ended it",
            metrics.closes.clone(),
        );
        // Exported from the start, so that the first of each is an increase.
        let failed = [ErrorCode::ServerFull.as_str(), ErrorCode::Busy.as_str(), CloseCode::GoingAway.as_str()];
        for outcome in failed.into_iter().chain(["joined"]) {
            drop(metrics.joins.get_or_create(&Outcome { outcome }));
        }
        for code in ErrorCode::ALL {
            drop(metrics.errors.get_or_create(&Code { code: code.as_str() }));
        }
        for code in CloseCode::ALL.iter().map(|code| code.as_str()).chain(["client"]) {
            drop(metrics.closes.get_or_create(&Code { code }));
        }
        for outcome in NotResumed::ALL.iter().map(|why| why.as_str()).chain(["resumed"]) {
            drop(metrics.resumes.get_or_create(&Outcome { outcome }));
        }
        for limit in [Limit::Rate, Limit::Attempts, Limit::Connections] {
            drop(metrics.limited.get_or_create(&Bounded { limit: limit.as_str() }));
        }
        for cause in SharedAddress::ALL {
            drop(metrics.shared_addresses.get_or_create(&Cause { cause: cause.as_str() }));
        }
        Self { registry: root, ..metrics }
    }

    /// Exports the configured limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        limits.register(own(&mut self.registry));
        self
    }

    /// Exports the metrics of Redis.
    pub fn with_engine(mut self) -> Self {
        self.engine.register(own(&mut self.registry));
        self
    }

    /// Exports whether the file with the token keys is valid.
    pub fn with_token_keys(mut self) -> Self {
        let help = "Whether the file with the keys of tokens is readable and valid";
        own(&mut self.registry).register("token_keys_valid", help, self.token_keys_valid.clone());
        self
    }

    /// Exports the metrics of the certificate probes.
    pub fn with_certificates(mut self, endpoints: impl Iterator<Item = String>) -> Self {
        self.certificates.register(own(&mut self.registry));
        // Exported from the start, so that an endpoint that never answers is seen.
        endpoints.for_each(|endpoint| self.certificates.failed(endpoint));
        self
    }

    /// Counts an attempt to join by its outcome: `joined`, an [`ErrorCode`] or a [`CloseCode`].
    pub fn join(&self, outcome: &'static str) {
        self.joins.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts an attempt to resume a session: `None` if it was resumed, otherwise the reason why not.
    pub fn resume(&self, refused: Option<NotResumed>) {
        let outcome = refused.map_or("resumed", NotResumed::as_str);
        self.resumes.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts an error that was sent to a client.
    pub fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&Code { code: code.as_str() }).inc();
    }

    /// Counts a client that a limit has delayed or rejected.
    pub fn limited(&self, limit: Limit) {
        self.limited.get_or_create(&Bounded { limit: limit.as_str() }).inc();
    }

    /// Counts a request under an address that many people may share.
    pub fn shared_address(&self, cause: SharedAddress) {
        self.shared_addresses.get_or_create(&Cause { cause: cause.as_str() }).inc();
    }

    /// Counts a closed WebSocket; `None` if the client closed it.
    pub fn closed(&self, code: Option<CloseCode>) {
        let code = code.map_or("client", CloseCode::as_str);
        self.closes.get_or_create(&Code { code }).inc();
    }

    /// Encodes all metrics as text.
    pub fn encode(&self, format: Exposition) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(match format {
            Exposition::OpenMetrics => text,
            Exposition::Prometheus => to_prometheus(&text),
        })
    }
}

/// Returns the part of a registry with the server's own prefix.
fn own(root: &mut Registry) -> &mut Registry {
    root.sub_registry_with_prefix("roundtable")
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Limit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Attempts => "attempts",
            Self::Connections => "connections",
        }
    }
}
