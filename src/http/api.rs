//! `/signal-api/`: the WebSocket's upgrade and the HTTP answers in their envelope (R33).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tower_http::cors::{Any, CorsLayer};

use crate::app::{App, Place};
use crate::conn::{self, Trail};
use crate::http::PeerAddress;
use crate::http::measure::EnvelopeCode;
use crate::http::{admin, recordings};
use crate::hub::Occupancy;
use crate::limits::{Attempt, Kind, Visit};
use crate::protocol::RoomName;
use crate::socket::Socket;

/// Seconds after which a client refused for now should ask again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

pub(super) fn router(app: &Arc<App>) -> Router {
    // What anyone may ask, any page may ask: it says nothing about who is in a room.
    let cors = CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).expose_headers([header::RETRY_AFTER]);
    let v1 = Router::new()
        .route("/welcome", get(welcome))
        .route("/check", post(check))
        .route("/openapi.json", get(admin::openapi))
        .route("/rooms", post(new_room))
        .route("/rooms/{room}", get(room))
        .route("/leave", post(super::leave::leave));
    let v1 = v1.method_not_allowed_fallback(method_not_allowed).layer(cors);
    Router::new()
        .route("/ws", get(upgrade))
        // Without the leave of other pages.
        .merge(admin::router(app))
        .nest("/v1/recordings", recordings::router())
        .nest("/v1", v1)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(app))
}

pub(super) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "No such address; docs/PROTOCOL.md lists them.")
}

pub(super) async fn method_not_allowed() -> ApiError {
    let message = "This address does not take this method; docs/PROTOCOL.md says which.";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
}

/// An error in the envelope.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Where something else than [`RETRY_AFTER`] is right.
    retry_after: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub(super) fn too_many_attempts(wait: Duration) -> Self {
        let message = "Too many attempts came from this address.";
        let retry_after = Some(wait.as_secs() + 1);
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", message) }
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
        response.extensions_mut().insert(EnvelopeCode(self.code));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, self.retry_after.map_or(RETRY_AFTER, HeaderValue::from));
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
    success(Data { server: app.config.server_info(), features: &app.config.features() })
}

/// R76: what the upgrade would be answered with. The place that it takes is free again with the answer.
async fn check(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let_in(&app, peer, &headers)?;
    Ok(welcome(State(app)).await)
}

/// R35.
async fn room(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data<'a> {
        room: &'a str,
        open: bool,
        locked: bool,
        members: usize,
        members_max: usize,
        recorded: bool,
    }
    let Path(name) = path.map_err(|error| ApiError::room_invalid(error.body_text()))?;
    let room = RoomName::new(&name).map_err(ApiError::room_invalid)?;
    // Whoever guesses names here is slowed as at the door (R66).
    let client = app.config.trusted_proxies.client(peer, &headers);
    knock(&app, client, false).await?;
    let present = app.hub.occupancy(&room);
    if present.is_none() {
        app.doors.guessed(client, Instant::now());
    }
    let Occupancy { members, settings, recorded } = present.unwrap_or_default();
    Ok(success(Data {
        room: room.as_str(),
        open: present.is_some(),
        locked: settings.locked,
        members,
        members_max: app.hub.room_members(),
        recorded,
    }))
}

/// Holds a request up as at a room's door (R66), or refuses it for now.
pub(super) async fn knock(app: &App, client: IpAddr, knows_secret: bool) -> Result<(), ApiError> {
    match app.doors.attempt(client, knows_secret, Instant::now()) {
        Attempt::After(wait) => tokio::time::sleep(wait).await,
        Attempt::Refused(wait) => return Err(ApiError::too_many_attempts(wait)),
    }
    Ok(())
}

/// R57: a name that nobody guesses, and the key that makes a host there. Nothing is kept of it.
async fn new_room(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data<'a> {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        host_key: Option<String>,
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| ApiError::internal())?;
    let room =
        RoomName::from_random(std::array::from_fn(|at| u16::from_le_bytes([random[2 * at], random[2 * at + 1]])));
    Ok(success(Data { room: room.as_str(), host_key: app.access.host_key(&room) }))
}

#[derive(Deserialize)]
struct RoomQuery {
    room: String,
}

/// R1, R2, R10: everything that can be refused is refused before the upgrade.
async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
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
    let (place, visit) = let_in(&app, peer, request.headers())?;
    tokio::spawn(run(app, room, visit, Trail::begin(), on_upgrade, place));
    Ok(response)
}

/// What is asked of a WebSocket before it is one, beside its room: from which page it comes (R64), and whether the
/// server (R10) and the address (R65) have a place for it.
fn let_in(app: &App, peer: IpAddr, headers: &HeaderMap) -> Result<(Place, Visit), ApiError> {
    let proxies = &app.config.trusted_proxies;
    if !proxies.may_come_from(peer, headers, &app.config.allowed_origins) {
        let message = "This server takes no connections from pages of this origin: ROUNDTABLE_ALLOWED_ORIGINS names those \
                       that it does.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "ORIGIN_NOT_ALLOWED", message));
    }
    let client = proxies.client(peer, headers);
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
    let visit = app.doors.enter(client, Kind::WebSocket, Instant::now()).ok_or_else(|| {
        let message = "There are as many connections from this address as it may have; close some, or come back later.";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CONNECTIONS", message)
    })?;
    Ok((place, visit))
}

async fn run(app: Arc<App>, room: RoomName, visit: Visit, trail: Trail, on_upgrade: OnUpgrade, place: Place) {
    if let Some(socket) = socket(on_upgrade).await {
        // In a task of its own, because this one keeps room for the upgrade, long after it.
        tokio::spawn(async move {
            conn::serve(app, room, visit, trail, socket).await;
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
