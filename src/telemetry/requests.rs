//! Metrics of HTTP requests.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::Histogram;

const TIMES: &[f64] = &[0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Answered {
    /// Pattern of the router, which contains no names.
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Code {
    code: &'static str,
}

/// Metrics of HTTP requests and their responses.
#[derive(Debug)]
pub struct RequestMetrics {
    answered: Family<Answered, Counter>,
    times: Family<Route, Histogram, fn() -> Histogram>,
    errors: Family<Code, Counter>,
}

impl RequestMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let times: fn() -> Histogram = || Histogram::new(TIMES);
        let metrics =
            Self { answered: Family::default(), times: Family::new_with_constructor(times), errors: Family::default() };
        // Exported from the start, so that the first of each is an increase: the responses of a server that is full or
        // draining to clients that want to connect, and internal errors.
        for (route, method) in [("/signal-api/ws", "GET"), ("/signal-api/v1/check", "POST")] {
            drop(metrics.answered.get_or_create(&Answered { route: route.to_owned(), method, status: 503 }));
        }
        for code in ["SERVER_FULL", "DRAINING", "INTERNAL"] {
            drop(metrics.errors.get_or_create(&Code { code }));
        }
        let registry = registry.sub_registry_with_prefix("http");
        registry.register("requests", "Requests by route and status", metrics.answered.clone());
        let help = "From a request's head to its answer's";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.times.clone());
        registry.register("errors", "Requests answered with an error in the envelope", metrics.errors.clone());
        metrics
    }

    /// Counts a response. `method` and `route` come from small sets, not from what a client wrote.
    pub fn answered(
        &self,
        route: &str,
        method: &'static str,
        status: u16,
        after: Duration,
        error: Option<&'static str>,
    ) {
        self.answered.get_or_create(&Answered { route: route.to_owned(), method, status }).inc();
        self.times.get_or_create(&Route { route: route.to_owned() }).observe_time(after);
        if let Some(code) = error {
            self.errors.get_or_create(&Code { code }).inc();
        }
    }
}
