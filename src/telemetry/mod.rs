//! Logs in the zone of `TZ`, metrics and traces. docs/METRICS.md and docs/OPERATIONS.md list them all.

mod certificates;
mod engine;
mod exposition;
mod histogram;
mod limits;
mod logs;
mod messages;
mod metrics;
mod process;
mod quality;
mod recordings;
mod requests;
pub mod traces;

pub use certificates::CertificateMetrics;
pub use engine::EngineMetrics;
pub use exposition::Exposition;
pub use histogram::Histogram;
pub use limits::{HttpConnections, Limits};
pub use logs::{init_logs, timestamp, timestamp_of};
pub use messages::{MessageMetrics, Relayed};
pub use metrics::{Limit, Metrics};
pub use quality::{QUALITY_STEP, QualityMetrics, QualitySummary};
pub use recordings::{Ended, RecordingMetrics};
pub use requests::RequestMetrics;
pub use traces::{Origin, Parent, TraceTarget, Traced, Traces};
