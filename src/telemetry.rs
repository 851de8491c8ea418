//! Logs in the zone of `TZ`, and metrics.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Config, LogFormat};
use crate::protocol::CloseCode;

/// The present time in a zone with its offset, RFC 3339 to the millisecond. The zones are
/// compiled in: an image needs no zone files.
pub fn timestamp(zone: Tz) -> String {
    timestamp_of(SystemTime::now(), zone)
}

/// The same for another time.
pub fn timestamp_of(time: SystemTime, zone: Tz) -> String {
    DateTime::<Utc>::from(time).with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, false)
}

struct ZonedTime(Tz);

impl FormatTime for ZonedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&timestamp(self.0))
    }
}

/// Sends log lines to standard output from now on. Called once, by the binary.
pub fn init_logs(config: &Config) {
    let lines =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&config.log)).with_timer(ZonedTime(config.zone));
    match config.log_format {
        LogFormat::Human => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Type {
    r#type: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Code {
    code: &'static str,
}

/// What the server counts of the engine between servers. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct EngineMetrics {
    /// 1 while there is a connection.
    pub connected: Gauge,
    /// What it was asked.
    pub requests: Counter,
    /// What of that was not answered in time, or refused.
    pub failures: Counter,
    /// What was published to another server.
    pub published: Counter,
    /// What of that was not sent, and what came and found no room.
    pub lost: Counter,
}

impl EngineMetrics {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("engine");
        registry.register("connected", "Whether the engine can be reached", self.connected.clone());
        registry.register("requests", "Requests to the engine", self.requests.clone());
        registry.register("failures", "Requests that it did not answer in time, or refused", self.failures.clone());
        registry.register("published", "Messages to other servers", self.published.clone());
        registry.register("lost", "Messages between servers that found no room", self.lost.clone());
    }
}

/// What the server counts. No label grows with rooms or people.
#[derive(Debug)]
pub struct Metrics {
    /// Open WebSockets.
    pub sockets: Gauge,
    /// Rooms with somebody in them.
    pub rooms: Gauge,
    /// Members of all rooms.
    pub members: Gauge,
    /// `signal` messages taken.
    pub signals: Counter,
    /// `broadcast` messages taken.
    pub broadcasts: Counter,
    /// Members closed because they read too slowly.
    pub slow_consumers: Counter,
    /// Sessions that went on over another socket.
    pub resumed: Counter,
    /// Events that another program has taken.
    pub webhooks_delivered: Counter,
    /// Events that were given up.
    pub webhooks_dropped: Counter,
    /// Of the engine between servers.
    pub engine: EngineMetrics,
    closes: Family<Code, Counter<u64, AtomicU64>>,
    registry: Registry,
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("roundtable");
        let messages = Family::<Type, Counter<u64, AtomicU64>>::default();
        // Each in a statement of its own: the family is locked until the statement's end.
        let signals = messages.get_or_create(&Type { r#type: "signal" }).clone();
        let broadcasts = messages.get_or_create(&Type { r#type: "broadcast" }).clone();
        let metrics = Self {
            sockets: Gauge::default(),
            rooms: Gauge::default(),
            members: Gauge::default(),
            signals,
            broadcasts,
            slow_consumers: Counter::default(),
            resumed: Counter::default(),
            webhooks_delivered: Counter::default(),
            webhooks_dropped: Counter::default(),
            engine: EngineMetrics::default(),
            closes: Family::default(),
            registry: Registry::default(),
        };
        metrics.engine.register(&mut registry);
        registry.register("sockets", "Open WebSockets", metrics.sockets.clone());
        registry.register("rooms", "Rooms with somebody in them", metrics.rooms.clone());
        registry.register("members", "Members of all rooms", metrics.members.clone());
        registry.register("messages", "Relayed messages by type", messages);
        registry.register(
            "slow_consumers",
            "Members closed because their outbox was full",
            metrics.slow_consumers.clone(),
        );
        registry.register("resumed", "Sessions that went on over another socket", metrics.resumed.clone());
        registry.register("webhooks_delivered", "Events that were taken", metrics.webhooks_delivered.clone());
        registry.register("webhooks_dropped", "Events that were given up", metrics.webhooks_dropped.clone());
        registry.register(
            "closes",
            "Ended WebSockets by close code; \"client\" where the client ended it",
            metrics.closes.clone(),
        );
        Self { registry, ..metrics }
    }

    /// Counts an ended WebSocket.
    pub fn closed(&self, code: Option<CloseCode>) {
        let code = code.map_or("client", CloseCode::as_str);
        self.closes.get_or_create(&Code { code }).inc();
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
