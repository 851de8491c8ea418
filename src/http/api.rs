//! `/signal-api/`: the WebSocket's upgrade and the HTTP answers in their envelope (R33).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tower_http::cors::{Any, CorsLayer};

use crate::app::{App, Place};
use crate::conn;
use crate::protocol::{FEATURES, RoomName};
use crate::socket::Socket;

/// Seconds after which a client refused for now should ask again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

pub(super) fn router(app: &Arc<App>) -> Router {
    // What anyone may ask, any page may ask: it says nothing about who is in a room.
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]);
    let v1 = Router::new().route("/welcome", get(welcome)).route("/rooms/{room}", get(room));
    let v1 = v1.route("/leave", post(super::leave::leave));
    let v1 = v1.method_not_allowed_fallback(method_not_allowed).layer(cors);
    Router::new()
        .route("/ws", get(upgrade))
        .nest("/v1", v1)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(app))
}

pub(super) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "No such address; docs/PROTOCOL.md lists them.")
}

async fn method_not_allowed() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "This address does not answer this method; docs/PROTOCOL.md tells which.",
    )
}

/// An error in the envelope.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn internal() -> Self {
        let message = "The server has a defect; its log says more.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }

    pub(super) fn room_invalid(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ROOM_INVALID", why)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Envelope<'a> {
            code: &'a str,
            message: &'a str,
        }
        let envelope = Envelope { code: self.code, message: &self.message };
        let mut response = (self.status, Json(envelope)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        response
    }
}

pub(super) fn success<T: Serialize>(data: T) -> Response {
    #[derive(Serialize)]
    struct Envelope<T> {
        code: &'static str,
        data: T,
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(Envelope { code: "SUCCESS", data })).into_response()
}

/// R34.
async fn welcome(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Data<'a> {
        #[serde(flatten)]
        server: crate::protocol::ServerInfo<'a>,
        features: &'a [&'a str],
    }
    success(Data { server: app.config.server_info(), features: FEATURES })
}

/// R35.
async fn room(State(app): State<Arc<App>>, path: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data<'a> {
        room: &'a str,
        open: bool,
        locked: bool,
        members: usize,
        members_max: usize,
    }
    let Path(name) = path.map_err(|error| ApiError::room_invalid(error.body_text()))?;
    let room = RoomName::new(&name).map_err(ApiError::room_invalid)?;
    let present = app.hub.occupancy(&room);
    let (members, settings) = present.unwrap_or_default();
    Ok(success(Data {
        room: room.as_str(),
        open: present.is_some(),
        locked: settings.locked,
        members,
        members_max: app.hub.room_members(),
    }))
}

#[derive(Deserialize)]
struct RoomQuery {
    room: String,
}

/// R1, R2, R10: everything that can be refused is refused before the upgrade.
async fn upgrade(
    State(app): State<Arc<App>>,
    query: Result<Query<RoomQuery>, QueryRejection>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let response = create_response_with_body(&request, Body::empty);
    let (Ok(response), Some(on_upgrade)) = (response, on_upgrade) else {
        let message = "This address is a WebSocket (RFC 6455): it needs `Connection: Upgrade`, `Upgrade: websocket`, \
                       and a proxy that passes them on.";
        return Err(ApiError::new(StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", message));
    };
    let Query(query) =
        query.map_err(|_| ApiError::room_invalid("The address needs the room: /signal-api/ws?room=<room>."))?;
    let room = RoomName::new(&query.room).map_err(ApiError::room_invalid)?;
    if app.is_draining() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "DRAINING",
            "The server shuts down; come back in a moment.",
        ));
    }
    let place = app.admit().ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "SERVER_FULL",
            "The server has as many connections as it takes; come back later.",
        )
    })?;
    tokio::spawn(run(app, room, on_upgrade, place));
    Ok(response)
}

async fn run(app: Arc<App>, room: RoomName, on_upgrade: OnUpgrade, place: Place) {
    if let Some(socket) = socket(on_upgrade).await {
        // In a task of its own, because this one keeps room for the upgrade, long after it.
        tokio::spawn(async move {
            conn::serve(app, room, socket).await;
            drop(place);
        });
    }
}

/// The socket after its upgrade. In a function of its own, so that nothing of the request lives
/// as long as the connection.
async fn socket(on_upgrade: OnUpgrade) -> Option<Socket> {
    match on_upgrade.await.map(Upgraded::downcast::<TokioIo<TcpStream>>) {
        Ok(Ok(parts)) => Some(Socket::new(parts.io.into_inner(), &parts.read_buf)),
        Ok(Err(_)) => {
            tracing::error!("the connection under a WebSocket is not the TCP socket that server.rs made");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "a connection ended during its upgrade");
            None
        }
    }
}
