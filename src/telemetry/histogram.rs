//! Histogram without a lock. The library's own has one, and this one is used on the message path.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Counts of values by bucket. Clones share them.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    /// Upper bounds of the buckets, ascending.
    bounds: &'static [f64],
    /// One count for each bound, and one for values above all of them.
    counts: Box<[AtomicU64]>,
    /// Sum of the values, as the bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// Creates an empty histogram. `bounds` must ascend; values above the last one are counted, too.
    pub fn new(bounds: &'static [f64]) -> Self {
        debug_assert!(bounds.is_sorted());
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Counts { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts a finite value.
    pub fn observe(&self, value: f64) {
        let Counts { bounds, counts, sum } = &*self.0;
        counts[bounds.partition_point(|bound| *bound < value)].fetch_add(1, Ordering::Relaxed);
        // Cannot fail: the closure always returns a sum.
        let _ = sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| Some((f64::from_bits(bits) + value).to_bits()));
    }

    /// Counts a duration, in seconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Returns the count of each bucket: the values up to each bound, and those above all of them.
    pub fn counts(&self) -> Vec<u64> {
        self.0.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Estimates a quantile, `share` from 0 to 1, of values with these bucket counts. As in Prometheus, the values of a
    /// bucket are assumed to be evenly distributed in it, and those above the last bound to lie at that bound. `None`
    /// without a value.
    pub fn quantile(&self, counts: &[u64], share: f64) -> Option<f64> {
        let total: u64 = counts.iter().sum();
        let (mut rest, mut lower) = (share * total as f64, 0.0);
        for (&upper, &count) in self.0.bounds.iter().zip(counts) {
            let count = count as f64;
            if count > 0.0 && rest <= count {
                return Some(lower + (upper - lower) * rest / count);
            }
            (rest, lower) = (rest - count, upper);
        }
        (total > 0).then_some(lower)
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Counts { bounds, sum, .. } = &*self.0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts()).collect();
        // Summed from the same readings: otherwise a bucket could hold more than the total.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(f64::from_bits(sum.load(Ordering::Relaxed)), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0];

    proptest! {
        #[test]
        fn a_quantile_is_in_the_bucket_of_the_value_that_it_stands_for(
            values in prop::collection::vec(0.0..20.0f64, 1..50),
            which in any::<prop::sample::Index>(),
        ) {
            let histogram = Histogram::new(BOUNDS);
            values.iter().for_each(|value| histogram.observe(*value));
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let which = which.index(sorted.len());
            let meant = sorted[which];
            let bucket = BOUNDS.partition_point(|bound| *bound < meant);
            let upper = BOUNDS[bucket.min(BOUNDS.len() - 1)];
            let lower = if bucket < BOUNDS.len() { BOUNDS[bucket.saturating_sub(1)] } else { upper };
            let found = histogram.quantile(&histogram.counts(), (which as f64 + 0.5) / sorted.len() as f64).unwrap();
            prop_assert!((lower - 1e-9..=upper + 1e-9).contains(&found), "{found} is not in {lower}..={upper}");
        }
    }

    #[test]
    fn without_a_value_there_is_no_quantile() {
        let histogram = Histogram::new(BOUNDS);
        assert_eq!(histogram.quantile(&histogram.counts(), 0.5), None);
    }
}
