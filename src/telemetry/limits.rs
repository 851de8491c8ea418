//! Limits beside what they limit, so that "nearly full" can be seen before it is full.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// Limits of a server as they are set; 0 for none, which is not shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// WebSockets.
    pub sockets: u64,
    /// Rooms.
    pub rooms: u64,
    /// Members of all rooms.
    pub members: u64,
    /// Connections for requests, of each listener.
    pub http_connections: u64,
    /// Messages a second of all clients.
    pub messages_per_second: u64,
    /// Bytes a second of all clients.
    pub bytes_per_second: u64,
    /// Bytes of messages that wait to be sent or acknowledged.
    pub queued_bytes: u64,
    /// Queued webhook events.
    pub webhooks_queued: u64,
    /// Recordings at a time.
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

/// Open HTTP connections of the listeners, without WebSockets.
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

    /// Returns those of clients.
    pub fn public(&self) -> HttpConnections {
        self.public.clone()
    }

    /// Returns those of operators.
    pub fn ops(&self) -> HttpConnections {
        self.ops.clone()
    }
}

/// Open connections of one listener.
#[derive(Clone, Debug)]
pub struct HttpConnections(Gauge);

impl HttpConnections {
    /// Counts one for as long as the value lives.
    pub fn count(&self) -> HttpConnection {
        self.0.inc();
        HttpConnection(self.0.clone())
    }
}

/// One open connection.
#[derive(Debug)]
pub struct HttpConnection(Gauge);

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
