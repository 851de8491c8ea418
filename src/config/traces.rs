//! Settings of trace export.

use std::path::PathBuf;

use axum::http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;

use super::load::Refused;
use super::secret::{Secret, read_secret};
use super::values::{filled, list_items, parse_url};
use crate::telemetry::TraceTarget;

/// Path of OTLP traces, relative to the collector's URL.
const PATH: &str = "/v1/traces";

/// Settings of trace export.
#[derive(Clone, Debug, clap::Args)]
pub struct TraceSettings {
    /// An OpenTelemetry collector that takes traces (OTLP by HTTP, protobuf), to whose address /v1/traces is added:
    /// http://collector:4318. Without one there are no traces.
    #[arg(long, value_name = "URL", value_parser = parse_endpoint)]
    pub otlp_endpoint: Option<String>,

    /// Headers that it asks for, such as the key of a service: name=value, separated by commas, values URL-encoded.
    #[arg(long, value_name = "SECRET")]
    pub otlp_headers: Option<Secret>,

    /// A file with those headers.
    #[arg(long, value_name = "FILE")]
    pub otlp_headers_file: Option<PathBuf>,

    /// Which share of all traces is kept, from 0 to 1. A proxy's own trace goes on here as often, where the proxy keeps it.
    #[arg(long, value_name = "SHARE", default_value = "1", value_parser = parse_share)]
    pub otlp_sample: f64,
}

impl TraceSettings {
    pub(super) fn read_files(&mut self) -> Result<(), Refused> {
        read_secret("ROUNDTABLE_OTLP_HEADERS", &mut self.otlp_headers, filled(&self.otlp_headers_file))
    }

    /// Returns the target of traces, if one is configured.
    pub fn target(&self) -> Result<Option<TraceTarget>, Refused> {
        let wrong = |why| Refused::Wrong(format!("ROUNDTABLE_OTLP_HEADERS (--otlp-headers): {why}."));
        let headers = self.otlp_headers.as_ref().map(|headers| parse_headers(headers.expose())).transpose();
        let headers = headers.map_err(wrong)?.unwrap_or_default();
        let url = self.otlp_endpoint.as_ref().map(|base| format!("{}{PATH}", base.trim_end_matches('/')));
        Ok(url.map(|url| TraceTarget { url, headers, share: self.otlp_sample }))
    }
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let uri: Uri = parse_url(text)?.parse().map_err(|_| "it is an address such as http://collector:4318")?;
    if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it has neither a query nor a password: keys go into ROUNDTABLE_OTLP_HEADERS".into());
    }
    if uri.path().trim_end_matches('/').ends_with(PATH) {
        return Err(format!("it is the collector's own address: {PATH} is added to it"));
    }
    Ok(text.to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".into()),
    }
}

/// Parses headers in the format of OTEL_EXPORTER_OTLP_HEADERS. Errors do not show the secret values.
fn parse_headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let headers = list_items(text)?.into_iter().enumerate().map(|(at, part)| {
        let header = || {
            let (name, value) = part.split_once('=')?;
            let value: Vec<u8> = percent_decode_str(value.trim()).collect();
            let mut value = HeaderValue::from_bytes(&value).ok()?;
            value.set_sensitive(true);
            Some((name.trim().parse().ok()?, value))
        };
        header().ok_or_else(|| format!("header {} of them is not name=value, with the value URL-encoded", at + 1))
    });
    headers.collect()
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;

    const ENDPOINT: (&str, &str) = ("ROUNDTABLE_OTLP_ENDPOINT", "https://collector.example/otlp/");

    #[test]
    fn traces_go_where_otlp_says_with_headers_that_are_never_shown() {
        assert_eq!(load(&[], &[]).unwrap().config.traces.target().unwrap(), None);
        let headers = ("ROUNDTABLE_OTLP_HEADERS", " authorization = Basic%20bm9ydGg= , x-team=a%2Cb");
        let config = load(&[], &[ENDPOINT, headers]).unwrap().config;
        let target = config.traces.target().unwrap().unwrap();
        assert_eq!(target.url, "https://collector.example/otlp/v1/traces");
        let sent: Vec<_> = target.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(sent, [("authorization", &b"Basic bm9ydGg="[..]), ("x-team", b"a,b")]);
        assert!(!format!("{config:?}{target:?}").contains("bm9ydGg"));
    }

    #[test]
    fn headers_that_are_none_are_refused_without_being_shown() {
        for bad in ["north", "authorization=a,north", "no name=north", "a=north%0A"] {
            let error = load(&[], &[ENDPOINT, ("ROUNDTABLE_OTLP_HEADERS", bad)]).unwrap_err();
            assert!(error.contains("ROUNDTABLE_OTLP_HEADERS") && error.contains("name=value"), "{error}");
            assert!(!error.contains("north"), "{error}");
        }
    }
}
