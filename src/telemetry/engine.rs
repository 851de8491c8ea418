//! What is counted of the engine between servers.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Histogram;

/// Up to the patience with which the engine is asked.
const TIMES: &[f64] = &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// What the server counts of the engine between servers. Clones count together.
#[derive(Clone, Debug)]
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
    /// How long requests took that were answered.
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
