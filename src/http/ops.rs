//! The operators' listener: metrics and health. Never behind the public name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::app::App;

/// How long `roundtable health` waits for an answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// `/metrics`, `/healthz` (the process lives) and `/readyz` (it takes connections).
pub fn ops_router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(app))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    match app.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    // Another server may have its way to the engine, and with it everybody.
    let config = &app.config;
    if config.engine.redis_url.is_some()
        && !config.engine.ready_without_engine
        && app.metrics.engine.connected.get() == 0
    {
        return (StatusCode::SERVICE_UNAVAILABLE, "without engine\n").into_response();
    }
    "ready\n".into_response()
}

/// Asks the server on this machine whether it is ready; the error says why it is not.
pub async fn ask_ready(listen: SocketAddr) -> Result<(), String> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
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

/// Where a listener on all addresses is reached from its own machine.
pub(crate) fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
