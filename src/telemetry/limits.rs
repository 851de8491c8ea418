//! Configured limits, exported next to what they limit, so that "nearly full" can be seen before it is full.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// Configured limits of a server. 0 means no limit, which is not exported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Maximum number of open WebSockets.
    pub sockets: u64,
    /// Maximum number of rooms.
    pub rooms: u64,
    /// Maximum number of members of all rooms.
    pub members: u64,
    /// Maximum number of HTTP connections of each listener.
    pub http_connections: u64,
    /// Messages per second that all clients together may send.
    pub messages_per_second: u64,
    /// Bytes per second that all clients together may send.
    pub bytes_per_second: u64,
    /// Maximum bytes of messages that wait to be sent or acknowledged.
    pub queued_bytes: u64,
    /// Maximum number of queued webhook events.
    pub webhooks_queued: u64,
    /// Maximum number of recordings in progress.
    pub recordings_growing: u64,
}

impl Limits {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, limit) in [
            ("sockets_limit", "The most WebSockets", self.sockets),
            ("rooms_limit", "The most rooms", self.rooms),
            ("members_limit", "The most members of all rooms", self.members),
            ("http_connections_limit", "The most connections for requests of a listener", self.http_connections),
            ("messages_per_second_limit", "Messages a second that all clients may send", self.messages_per_second),
            ("bytes_per_second_limit", "Bytes a second that all clients may send", self.bytes_per_second),
            ("queued_bytes_limit", "Maximum bytes of messages that wait to be sent or acknowledged", self.queued_bytes),
            ("webhooks_queued_limit", "Maximum number of queued webhook events", self.webhooks_queued),
            ("recordings_growing_limit", "The most recordings at a time", self.recordings_growing),
        ] {
            if limit > 0 {
                registry.register(name, help, ConstGauge::new(i64::try_from(limit).unwrap_or(i64::MAX)));
            }
        }
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Of {
    listener: &'static str,
}

/// Gauges of open HTTP connections, without WebSockets, by listener.
#[derive(Clone, Debug)]
pub struct HttpConnectionMetrics {
    public: HttpConnections,
    ops: HttpConnections,
}

impl HttpConnectionMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let family = Family::<Of, Gauge>::default();
        registry.register("http_connections", "Open HTTP connections, without WebSockets", family.clone());
        let of = |listener| HttpConnections(family.get_or_create(&Of { listener }).clone());
        Self { public: of("public"), ops: of("ops") }
    }

    /// Returns the gauge of the public listener.
    pub fn public(&self) -> HttpConnections {
        self.public.clone()
    }

    /// Returns the gauge of the operators' listener.
    pub fn ops(&self) -> HttpConnections {
        self.ops.clone()
    }
}

/// Gauge of open connections of one listener.
#[derive(Clone, Debug)]
pub struct HttpConnections(Gauge);

impl HttpConnections {
    /// Counts a connection for as long as the returned value lives.
    pub fn count(&self) -> HttpConnection {
        self.0.inc();
        HttpConnection(self.0.clone())
    }
}

/// One open connection, counted until this is dropped.
#[derive(Debug)]
pub struct HttpConnection(Gauge);

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
