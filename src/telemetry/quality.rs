//! Call quality as reported by clients, aggregated over all of them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;

use super::Histogram;
use crate::protocol::LinkReport;

const ROUND_TRIPS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0];
const LOSSES: &[f64] = &[0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const JITTERS: &[f64] = &[0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];
const FROZEN: &[f64] = &[0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
const HEIGHTS: &[f64] = &[90.0, 180.0, 270.0, 360.0, 480.0, 540.0, 720.0, 1_080.0, 1_440.0, 2_160.0];
const FRAME_RATES: &[f64] = &[1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 60.0];
const BIT_RATES: &[f64] = &[32e3, 64e3, 128e3, 256e3, 512e3, 1e6, 2e6, 4e6, 8e6];
const FIRST_FRAMES: &[f64] = &[0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0];

/// Interval at which [`QualityMetrics::keep`] must be called.
pub const QUALITY_STEP: Duration = Duration::from_secs(10);
/// Number of earlier counts that are stored: a summary covers five minutes, and up to a step more.
const KEPT: usize = 31;

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Path {
    path: &'static str,
}

/// Metrics of links between members. Both ends report a link, and each report of it counts as one sample.
#[derive(Debug)]
pub struct QualityMetrics {
    reports: Counter,
    links: Family<Path, Counter>,
    freezes: Counter,
    round_trips: Histogram,
    losses: Histogram,
    jitters: Histogram,
    frozen: Histogram,
    heights: Histogram,
    frame_rates: Histogram,
    bit_rates: Histogram,
    first_frames: Histogram,
    /// Earlier counts, one for each step, the oldest first.
    kept: Mutex<VecDeque<Counts>>,
}

/// Cumulative counts from which summaries are computed.
#[derive(Debug)]
struct Counts {
    reports: u64,
    direct: u64,
    relayed: u64,
    /// Bucket counts of each figure.
    figures: [Vec<u64>; 5],
}

/// Summary of the reports of the last five minutes (R91). Figures that none of them contains are absent.
#[derive(Debug, Serialize)]
pub struct QualitySummary {
    reports: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<Usual>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_percent: Option<Usual>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_ms: Option<Usual>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frozen_ms: Option<Usual>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fps: Option<Usual>,
    /// Among the links whose path is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    relayed_percent: Option<f64>,
}

/// Estimates from a histogram, rounded to a tenth.
#[derive(Debug, Serialize)]
struct Usual {
    median: f64,
    /// 5th percentile: the bad end of figures that should be high.
    p5: f64,
    /// 95th percentile: the bad end of figures that should be low.
    p95: f64,
}

impl QualityMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("quality");
        let mut histogram = |name: &str, help: &str, unit: Unit, bounds| {
            let histogram = Histogram::new(bounds);
            registry.register_with_unit(name, help, unit, histogram.clone());
            histogram
        };
        let other = |unit: &str| Unit::Other(unit.into());
        let metrics = Self {
            round_trips: histogram("round_trip", "Between two people", Unit::Seconds, ROUND_TRIPS),
            losses: histogram("loss", "Packets that did not arrive, of all", other("ratio"), LOSSES),
            jitters: histogram("jitter", "How unevenly packets arrive", Unit::Seconds, JITTERS),
            frozen: histogram("frozen", "How long the picture stood still", Unit::Seconds, FROZEN),
            heights: histogram("height", "Lines of the picture received", other("pixels"), HEIGHTS),
            frame_rates: histogram("received", "Pictures received", other("frames_per_second"), FRAME_RATES),
            bit_rates: histogram("received", "What is received", other("bits_per_second"), BIT_RATES),
            first_frames: histogram("first_frame", "To the first picture", Unit::Seconds, FIRST_FRAMES),
            reports: Counter::default(),
            links: Family::default(),
            freezes: Counter::default(),
            kept: Mutex::default(),
        };
        registry.register("reports", "Reports of clients", metrics.reports.clone());
        registry.register("links", "Links in reports by the way they go", metrics.links.clone());
        registry.register("freezes", "How often a picture stood still", metrics.freezes.clone());
        for path in ["direct", "relayed", "unknown"] {
            drop(metrics.links.get_or_create(&Path { path }));
        }
        metrics.keep();
        metrics
    }

    /// Counts a report whose numbers are within their bounds.
    pub fn report(&self, links: &[LinkReport]) {
        self.reports.inc();
        for link in links {
            let path = link.relayed.map_or("unknown", |relayed| if relayed { "relayed" } else { "direct" });
            self.links.get_or_create(&Path { path }).inc();
            self.freezes.inc_by(link.freezes.unwrap_or_default().into());
            let of = |value: Option<u32>, unit: f64| value.map(|value| f64::from(value) * unit);
            for (histogram, value) in [
                (&self.round_trips, of(link.round_trip_ms, 1e-3)),
                (&self.losses, link.loss_percent.map(|loss| loss / 100.0)),
                (&self.jitters, of(link.jitter_ms, 1e-3)),
                (&self.frozen, of(link.frozen_ms, 1e-3)),
                (&self.heights, of(link.height, 1.0)),
                (&self.frame_rates, of(link.fps, 1.0)),
                (&self.bit_rates, of(link.kbps, 1e3)),
                (&self.first_frames, of(link.first_frame_ms, 1e-3)),
            ] {
                if let Some(value) = value {
                    histogram.observe(value);
                }
            }
        }
    }

    /// Stores the present counts, and discards those that are too old for a summary.
    pub fn keep(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(self.counts());
    }

    /// Summarises the reports of the last five minutes.
    pub fn summary(&self) -> QualitySummary {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent = self.counts();
        if let Some(before) = kept.front() {
            recent.subtract(before);
        }
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        let usual = |histogram: &Histogram, counts: &[u64], unit: f64| {
            let at = |share| histogram.quantile(counts, share).map(|value| tenth(value * unit));
            Some(Usual { median: at(0.5)?, p5: at(0.05)?, p95: at(0.95)? })
        };
        let [round_trips, losses, jitters, frozen, frame_rates] = &recent.figures;
        let (relayed, links) = (recent.relayed as f64, (recent.direct + recent.relayed) as f64);
        QualitySummary {
            reports: recent.reports,
            round_trip_ms: usual(&self.round_trips, round_trips, 1e3),
            loss_percent: usual(&self.losses, losses, 100.0),
            jitter_ms: usual(&self.jitters, jitters, 1e3),
            frozen_ms: usual(&self.frozen, frozen, 1e3),
            fps: usual(&self.frame_rates, frame_rates, 1.0),
            relayed_percent: (links > 0.0).then(|| tenth(relayed / links * 100.0)),
        }
    }

    fn counts(&self) -> Counts {
        let links = |path| self.links.get_or_create(&Path { path }).get();
        Counts {
            reports: self.reports.get(),
            direct: links("direct"),
            relayed: links("relayed"),
            figures: [&self.round_trips, &self.losses, &self.jitters, &self.frozen, &self.frame_rates]
                .map(Histogram::counts),
        }
    }
}

impl Counts {
    fn subtract(&mut self, before: &Self) {
        self.reports -= before.reports;
        self.direct -= before.direct;
        self.relayed -= before.relayed;
        for (now, then) in self.figures.iter_mut().flatten().zip(before.figures.iter().flatten()) {
            *now -= then;
        }
    }
}
