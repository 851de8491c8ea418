//! Text formats of metrics: OpenMetrics 1.0, and the older text format 0.0.4 of Prometheus, which other programs read.

use std::fmt::Write;

/// Text format of metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exposition {
    /// `application/openmetrics-text`.
    OpenMetrics,
    /// `text/plain; version=0.0.4`.
    Prometheus,
}

impl Exposition {
    /// Chooses by the values of `Accept` (RFC 9110 §12.5.1): OpenMetrics if it is listed with at least the weight of
    /// `text/plain`, otherwise the older format.
    pub fn choose<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut plain) = (0.0, 0.0);
        for range in accept.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let weight = weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0));
            match kind.as_str() {
                "application/openmetrics-text" => open = weight.max(open),
                "text/plain" => plain = weight.max(plain),
                _ => {}
            }
        }
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns the media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Translates OpenMetrics, as the library writes it, into the text format 0.0.4. There a family has the name of its
/// samples, and there are neither units, nor an info type, nor an end marker.
pub(super) fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(described) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let Some((name, help)) = described.strip_prefix("HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        // The `TYPE` line always follows.
        let Some(kind) = lines.next().and_then(|line| line.rsplit_once(' ')).map(|(_, kind)| kind) else { continue };
        let (name, kind) = match kind {
            "counter" => (format!("{name}_total"), kind),
            "info" => (format!("{name}_info"), "gauge"),
            "unknown" => (name.to_owned(), "untyped"),
            _ => (name.to_owned(), kind),
        };
        // Only OpenMetrics escapes quotes.
        let help = help.replace("\\\"", "\"");
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_them_and_everyone_else_the_older_format() {
        use Exposition::{OpenMetrics, Prometheus};
        for (accept, expected) in [
            (&[][..], Prometheus),
            (&["*/*"], Prometheus),
            (&["text/plain"], Prometheus),
            (&["text/plain;version=0.0.4;q=1,*/*;q=0.1"], Prometheus),
            (&["application/openmetrics-text; version=1.0.0"], OpenMetrics),
            (&["text/html, Application/OpenMetrics-Text"], OpenMetrics),
            (&["text/plain", "application/openmetrics-text"], OpenMetrics),
            (&["application/openmetrics-text;q=0, text/plain"], Prometheus),
            (&["application/openmetrics-text;q=0.4,text/plain;q=0.5"], Prometheus),
            // Prometheus 2.42 and 3.
            (
                &["application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
                OpenMetrics,
            ),
            (
                &[
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4",
                ],
                OpenMetrics,
            ),
        ] {
            assert_eq!(Exposition::choose(accept.iter().copied()), expected, "{accept:?}");
        }
    }
}
