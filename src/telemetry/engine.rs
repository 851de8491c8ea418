//! Metrics of Redis, through which servers share rooms.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Histogram;

/// Bucket bounds in seconds, up to the time limit of a request.
const TIMES: &[f64] = &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Metrics of Redis. Clones share them.
#[derive(Clone, Debug)]
pub struct EngineMetrics {
    /// 1 while connected, otherwise 0.
    pub connected: Gauge,
    /// Requests to Redis.
    pub requests: Counter,
    /// Requests that were refused, or not answered in time.
    pub failures: Counter,
    /// Messages published to other servers.
    pub published: Counter,
    /// Messages to other servers that were not sent, and received ones for which a queue had no space.
    pub lost: Counter,
    /// Duration of the requests that were answered.
    pub times: Histogram,
}

impl Default for EngineMetrics {
    fn default() -> Self {
        Self {
            connected: Gauge::default(),
            requests: Counter::default(),
            failures: Counter::default(),
            published: Counter::default(),
            lost: Counter::default(),
            times: Histogram::new(TIMES),
        }
    }
}

impl EngineMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("engine");
        registry.register("connected", "Whether the engine can be reached", self.connected.clone());
        registry.register("requests", "Requests to the engine", self.requests.clone());
        registry.register("failures", "Requests that it did not answer in time, or refused", self.failures.clone());
        registry.register("published", "Messages to other servers", self.published.clone());
        registry.register("lost", "Messages between servers that found no room", self.lost.clone());
        let help = "From a request to the engine to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, self.times.clone());
    }
}
