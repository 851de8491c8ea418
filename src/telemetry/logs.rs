//! Log lines, and the time as it stands in them.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::config::{Config, LogFormat};

/// The present time in a zone with its offset, RFC 3339 to the millisecond. The zones are
/// compiled in: an image needs no zone files.
pub fn timestamp(zone: Tz) -> String {
    timestamp_of(SystemTime::now(), zone)
}

/// The same for another time.
pub fn timestamp_of(time: SystemTime, zone: Tz) -> String {
    DateTime::<Utc>::from(time).with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, false)
}

struct ZonedTime(Tz);

impl FormatTime for ZonedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&timestamp(self.0))
    }
}

/// Sends log lines to standard output from now on. Called once, by the binary.
pub fn init_logs(config: &Config) {
    let lines =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&config.log)).with_timer(ZonedTime(config.zone));
    match config.log_format {
        LogFormat::Human => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).init(),
    }
}
