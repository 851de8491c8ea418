//! Settings of call quality reports.

use std::time::Duration;

use super::values::parse_time;

/// Settings of call quality reports.
#[derive(Clone, Debug, clap::Args)]
pub struct Quality {
    /// How often pages report how good their calls are, in numbers of nobody, for the metrics. 0s: never.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time_or_never)]
    pub quality_interval: Duration,
}

impl Quality {
    /// Returns the interval in whole seconds, as sent to clients; `None` if they are to send no reports.
    pub fn seconds(&self) -> Option<u32> {
        let seconds = u32::try_from(self.quality_interval.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX);
        (seconds > 0).then_some(seconds)
    }
}

/// Parses a duration, or `0s`.
pub(super) fn parse_time_or_never(text: &str) -> Result<Duration, String> {
    if text == "0s" { Ok(Duration::ZERO) } else { parse_time(text) }
}
