//! The operators' listener: metrics and health checks. It must not be reachable under the public name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_http::catch_panic::CatchPanicLayer;

use super::origin;
use crate::app::App;
use crate::config::AdminListener;
use crate::telemetry::Exposition;

/// Time that `roundtable health` waits for a response.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// Builds the router of the operators' listener: `/metrics`, `/healthz` (the process is alive), `/readyz` (it accepts
/// connections), and the admin API where it is bound to this listener. R93 applies to all but the two health checks,
/// which orchestrators request under any name.
pub fn ops_router(app: &Arc<App>) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(app));
    let named = match app.config.admin.admin_listener {
        AdminListener::Public => metrics,
        AdminListener::Ops => metrics.merge(admin(app)),
    };
    named
        .layer(from_fn_with_state(Arc::clone(app), origin::reject_unknown_name))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(Arc::clone(app)))
}

/// Mounts the admin API under the path that it has on the public listener.
fn admin(app: &Arc<App>) -> Router {
    let router = Router::new()
        .nest("/signal-api", super::admin::router(app).with_state(Arc::clone(app)))
        .layer(CatchPanicLayer::custom(|_| super::internal_error()));
    super::with_headers(router, app)
}

async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let format = Exposition::choose(headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()));
    // On old kernels open files are counted one by one, a hundred thousand of them.
    let encoded = tokio::task::spawn_blocking(move || app.metrics.encode(format)).await;
    let kind = HeaderValue::from_static(format.content_type());
    match encoded {
        Ok(Ok(text)) => {
            ([(header::CONTENT_TYPE, kind), (header::VARY, HeaderValue::from_static("accept"))], text).into_response()
        }
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    // Not ready: another server may still reach Redis, and with it everybody else.
    let config = &app.config;
    if config.engine.redis_url.is_some()
        && !config.engine.ready_without_engine
        && app.metrics.engine.connected.get() == 0
    {
        return (StatusCode::SERVICE_UNAVAILABLE, "without engine\n").into_response();
    }
    "ready\n".into_response()
}

/// Asks the server on this machine whether it is ready. The error says why it is not.
pub async fn ask_ready(address: SocketAddr) -> Result<(), String> {
    let ask = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::get("/readyz").header(header::HOST, "localhost").body(Body::empty());
        let response = sender.send_request(request.map_err(|error| error.to_string())?).await;
        match response.map_err(|error| error.to_string())?.status() {
            StatusCode::OK => Ok(()),
            status => Err(format!("it answers {status}")),
        }
    };
    let answer = tokio::time::timeout(HEALTH_TIMEOUT, ask).await;
    answer.unwrap_or_else(|_| Err("it does not answer".into())).map_err(|why| format!("{address}: {why}"))
}
