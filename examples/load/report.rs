//! Results of a run and their output.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Failures, counted by kind.
#[derive(Default)]
pub struct Failures(BTreeMap<String, u64>);

impl Failures {
    /// Counts one failure.
    pub fn add(&mut self, what: impl Into<String>) {
        self.add_many(what, 1);
    }

    /// Counts several failures of one kind.
    pub fn add_many(&mut self, what: impl Into<String>, count: u64) {
        if count > 0 {
            *self.0.entry(what.into()).or_default() += count;
        }
    }

    /// Adds the failures of another part of the run.
    pub fn merge(&mut self, other: Self) {
        for (what, count) in other.0 {
            self.add_many(what, count);
        }
    }

    /// Returns whether there are no failures.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, (what, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} × {what}")?;
        }
        Ok(())
    }
}

/// Distribution of durations in nanoseconds, with three significant digits.
pub struct Latency(Histogram<u64>);

impl Latency {
    /// Makes an empty distribution.
    pub fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }

    /// Adds one duration.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("a histogram that grows takes any value");
    }

    /// Adds the durations of another part of the run.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that grows takes any value");
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |quantile| Duration::from_nanos(self.0.value_at_quantile(quantile));
        write!(
            f,
            "p50 {:.1?}  p90 {:.1?}  p99 {:.1?}  p99.9 {:.1?}  max {:.1?}",
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}
