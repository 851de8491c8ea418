//! What clients report of their calls.

use std::time::Duration;

use super::values::parse_time;

/// The settings.
#[derive(Clone, Debug, clap::Args)]
pub struct Quality {
    /// How often pages report how good their calls are, in numbers of nobody, for the metrics. 0s: never.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time_or_never)]
    pub quality_interval: Duration,
}

impl Quality {
    /// Whole seconds, as clients are told; `None` where they are to report nothing.
    pub fn seconds(&self) -> Option<u32> {
        let seconds = u32::try_from(self.quality_interval.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX);
        (seconds > 0).then_some(seconds)
    }
}

/// A time, or `0s`.
pub(super) fn parse_time_or_never(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { parse_time(text) }
}
