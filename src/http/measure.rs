//! Counts and traces requests by the route that matched, never by anything a client wrote.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::Value;
use opentelemetry::trace::SpanKind;
use tokio::time::Instant;

use super::client::PeerAddress;
use crate::app::App;
use crate::telemetry::{Origin, Parent, Traced};

/// Error code of the envelope, attached to its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnvelopeCode(pub(super) &'static str);

pub(super) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let (method, begun) = (known(request.method()), Instant::now());
    let traced = begin(&app, &request, method, matched.as_deref());
    let route = matched.unwrap_or_else(|| {
        let is_api = request.uri().path().starts_with("/signal-api");
        if is_api { "none" } else { "page" }.to_owned()
    });
    let response = traced.around(next.run(request)).await;
    let error = response.extensions().get::<EnvelopeCode>().map(|EnvelopeCode(code)| *code);
    end(&traced, response.status(), error);
    app.metrics.requests.answered(&route, method, response.status().as_u16(), begun.elapsed(), error);
    response
}

/// Begins the span of a request. The trace context from a trusted proxy becomes the parent. Any other caller's is only
/// linked to, so that strangers cannot add spans to a trace of their choice.
fn begin(app: &App, request: &Request, method: &'static str, route: Option<&str>) -> Traced {
    if !app.traces.is_on() {
        return Traced::default();
    }
    let peer = request.extensions().get::<PeerAddress>();
    let trusted = peer.is_some_and(|PeerAddress(peer)| app.config.trusted_proxies.trusts(*peer));
    let caller = Origin::of_caller(request.headers(), trusted);
    let parent = if trusted { Parent::Of(&caller) } else { Parent::Linked(&caller) };
    // OpenTelemetry's semantic conventions for a method that is not one of HTTP's.
    let (method, called) = if method == "other" { ("_OTHER", "HTTP") } else { (method, method) };
    let name = route.map_or_else(|| called.to_owned(), |route| format!("{called} {route}"));
    let traced = app.traces.begin(SpanKind::Server, name, parent);
    traced.set("http.request.method", method);
    if let Some(route) = route {
        traced.set("http.route", route.to_owned());
    }
    traced
}

fn end(traced: &Traced, status: StatusCode, error: Option<&'static str>) {
    traced.set("http.response.status_code", i64::from(status.as_u16()));
    if let Some(code) = error {
        traced.set("roundtable.code", code);
    }
    if status.is_server_error() {
        traced.fail(error.map_or_else(|| status.as_str().to_owned().into(), Value::from));
    }
}

/// Maps a method to one of few labels: a client may send any word as the method.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
