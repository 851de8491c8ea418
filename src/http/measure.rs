//! Counts requests by the route that took them, never by what a client wrote.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use crate::app::App;

/// The code of an error in the envelope, beside its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnvelopeCode(pub(super) &'static str);

pub(super) async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = match request.extensions().get::<MatchedPath>() {
        Some(matched) => matched.as_str().to_owned(),
        None if request.uri().path().starts_with("/signal-api") => "none".to_owned(),
        None => "page".to_owned(),
    };
    let (method, begun) = (known(request.method()), Instant::now());
    let response = next.run(request).await;
    let error = response.extensions().get::<EnvelopeCode>().map(|EnvelopeCode(code)| *code);
    app.metrics.requests.answered(&route, method, response.status().as_u16(), begun.elapsed(), error);
    response
}

/// A method may be any word.
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
