//! Routes and layers: the API under `/signal-api/`, the frontend everywhere else, and the
//! operators' own listener.

mod admin;
mod api;
mod client;
mod leave;
mod measure;
mod ops;
mod recordings;
mod site;

pub use client::{Origins, Proxies};
pub(crate) use client::{Patience, PeerAddress};
pub(crate) use ops::reachable;
pub use ops::{ask_ready, ops_router};
pub(crate) use recordings::sweep as sweep_recordings;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;

/// What browsers are told with every answer. `nginx/` says the same for its own copy of the
/// frontend.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; connect-src 'self'; img-src 'self' data: blob:; \
         media-src 'self' blob: mediastream:; worker-src 'self' blob:; object-src 'none'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // The room's name stands in the address and is nobody else's business.
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), geolocation=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
];

/// Everything that clients use.
pub fn router(app: &Arc<App>) -> Router {
    let router = Router::new()
        .nest("/signal-api", api::router(app))
        // This one `nest` would leave to the frontend.
        .route("/signal-api/", any(api::not_found))
        .fallback_service(site::service(&app.config.static_dir))
        .layer(CatchPanicLayer::custom(|_| internal_error()));
    let router = HEADERS.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value)))
    });
    router.layer(from_fn_with_state(Arc::clone(app), measure::measure))
}

fn internal_error() -> Response {
    // The panic hook has logged what and where.
    api::ApiError::internal().into_response()
}
