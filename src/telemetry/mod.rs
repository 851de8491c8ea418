//! Logs in the zone of `TZ`, and metrics. docs/METRICS.md lists all of these.

mod engine;
mod histogram;
mod logs;
mod messages;
mod metrics;
mod quality;
mod recordings;
mod requests;

pub use engine::EngineMetrics;
pub use histogram::Histogram;
pub use logs::{init_logs, timestamp, timestamp_of};
pub use messages::{MessageMetrics, Relayed};
pub use metrics::{Limit, Metrics};
pub use quality::{QualityMetrics, QualitySummary};
pub use recordings::{Ended, RecordingMetrics};
pub use requests::RequestMetrics;
