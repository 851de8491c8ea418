//! Log lines and their timestamps.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::traces;
use crate::config::{Config, LogFormat};

/// Returns the present time in a zone, with its offset: RFC 3339 to the millisecond. The zones are compiled in, so that
/// an image needs no zone files.
pub fn timestamp(zone: Tz) -> String {
    timestamp_of(SystemTime::now(), zone)
}

/// Formats another time as [`timestamp`] does.
pub fn timestamp_of(time: SystemTime, zone: Tz) -> String {
    DateTime::<Utc>::from(time).with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Millis, false)
}

struct ZonedTime(Tz);

impl FormatTime for ZonedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&timestamp(self.0))
    }
}

/// Adds the IDs of the active trace and span to JSON lines, if they are sampled. The field names are those that
/// OpenTelemetry defines for log formats other than its own.
struct OfTrace<F>(F);

impl<S, N, F: FormatEvent<S, N>> FormatEvent<S, N> for OfTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some((trace, span)) = traces::present() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        // The formatter accepts no further fields: they go before its last brace.
        let line = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        writeln!(writer, r#"{line},"trace_id":"{trace}","span_id":"{span}"}}"#)
    }
}

/// Starts logging to standard output. Called once, by the binary.
pub fn init_logs(config: &Config) {
    // At `debug` and `trace` these crates log messages and URLs, with the secrets in them.
    let filter = format!("{},tungstenite=off,ureq=off,ureq_proto=off", config.log);
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_timer(ZonedTime(config.zone));
    match config.log_format {
        LogFormat::Json if config.traces.otlp_endpoint.is_some() => {
            lines.json().flatten_event(true).with_span_list(false).map_event_format(OfTrace).init();
        }
        LogFormat::Human => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).init(),
    }
}
