//! Routes and layers: the API under `/signal-api/`, the frontend everywhere else, and the
//! operators' own listener.

mod admin;
mod api;
mod client;
mod frames;
mod leave;
mod measure;
mod ops;
mod origin;
mod precompressed;
mod product_name;
mod recordings;
mod requests;
mod site;
mod site_config;

pub use client::{Networks, Origins, Proxies};
pub(crate) use client::{Patience, PeerAddress};
pub use frames::FrameAncestors;
pub use ops::{ask_ready, ops_router};
pub use origin::ServerNames;
pub(crate) use recordings::sweep as sweep_recordings;
pub(crate) use requests::RequestPlace;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::app::App;
use crate::config::Config;

/// Returns the security headers of every response. `nginx/` sends the same with its own copy of the frontend.
#[expect(clippy::expect_used, reason = "settings accept origins in ASCII only")]
fn security_headers(config: &Config) -> [(HeaderName, HeaderValue); 5] {
    let allowed = config.frame_ancestors.allowlist();
    let features = ["camera", "microphone", "display-capture", "fullscreen"].map(|name| format!("{name}={allowed}"));
    let permissions = HeaderValue::try_from(format!("{}, geolocation=()", features.join(", ")));
    [
        (header::CONTENT_SECURITY_POLICY, site::policy(&config.frame_ancestors.sources(), "")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // The address contains the room's name, which other sites must not learn.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("permissions-policy"), permissions.expect("origins are ASCII")),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    ]
}

/// Builds the router of the public listener.
pub fn router(app: &Arc<App>) -> Router {
    let router = Router::new()
        .nest("/signal-api", api::router(app))
        // `nest` would leave this path to the frontend.
        .route("/signal-api/", any(api::not_found))
        .merge(api::stripped())
        .fallback_service(site::service(&app.config))
        .layer(CatchPanicLayer::custom(|_| internal_error()))
        .layer(from_fn_with_state(requests::RequestLimits::new(app), requests::limit));
    with_headers(router, app)
}

/// Adds the headers of every response, and counts requests.
fn with_headers(router: Router, app: &Arc<App>) -> Router {
    let router = security_headers(&app.config)
        .into_iter()
        .fold(router, |router, (name, value)| router.layer(SetResponseHeaderLayer::if_not_present(name, value)));
    router.layer(from_fn(noindex)).layer(from_fn_with_state(Arc::clone(app), measure::measure))
}

/// Keeps rooms out of search engines, and the API, whose responses name rooms: a room's name is all it takes to join.
async fn noindex(request: Request, next: Next) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let is_indexed = !path.starts_with("/r/")
        && !path.starts_with("/signal-api/")
        && !query.split('&').any(|parameter| parameter.starts_with("room="));
    let mut response = next.run(request).await;
    if !is_indexed {
        let name = HeaderName::from_static("x-robots-tag");
        response.headers_mut().insert(name, HeaderValue::from_static("noindex"));
    }
    response
}

fn internal_error() -> Response {
    // The panic hook has logged the panic and its location.
    api::ApiError::internal().into_response()
}
