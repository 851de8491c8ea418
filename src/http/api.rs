//! `/signal-api/`: the WebSocket upgrade, and the HTTP responses in their envelope (R33).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::access::PendingProof;
use crate::activity::WatchedStream;
use crate::app::{App, Place};
use crate::config::AdminListener;
use crate::conn::{self, Trail};
use crate::http::PeerAddress;
use crate::http::client::{AddressSource, client_address};
use crate::http::measure::EnvelopeCode;
use crate::http::origin::{self, OriginCheck, check_origin};
use crate::http::{admin, recordings};
use crate::hub::Occupancy;
use crate::limits::{Attempt, Kind, Rejection, Visit};
use crate::protocol::{RoomName, ServerInfo};
use crate::socket::Socket;

/// `Retry-After`, in seconds, of an error that sets no other.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// Time for which a browser may cache a preflight response. A recording takes many requests.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

pub(super) fn router(app: &Arc<App>) -> Router {
    // Below CORS, so that a page of another origin can read why `check` refuses it.
    let known_names = from_fn_with_state(Arc::clone(app), origin::reject_unknown_name);
    // Pages of any origin may read these: a page that may not connect learns why (R76), and the document is public.
    let public = Router::new()
        .route("/check", post(check))
        .route("/openapi.json", get(admin::openapi))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(known_names.clone())
        .layer(CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).expose_headers([header::RETRY_AFTER]));
    // Of other origins, only pages that may connect may read the rest (R33).
    let allowed = app.config.allowed_origins.clone();
    let of_allowed_pages = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| {
            origin.to_str().is_ok_and(|origin| allowed.allows(origin))
        }))
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER])
        .max_age(PREFLIGHT_AGE);
    let v1 = Router::new()
        .route("/welcome", get(welcome))
        .route("/rooms", post(new_room))
        .route("/rooms/{room}", get(room))
        .route("/leave", post(super::leave::leave))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(known_names.clone())
        .layer(of_allowed_pages.clone());
    let admin = match app.config.admin.admin_listener {
        AdminListener::Public => admin::router(app),
        AdminListener::Ops => Router::new(),
    };
    Router::new()
        .route("/ws", get(upgrade))
        // Pages of other origins can read neither of these, whatever the settings are.
        .merge(admin)
        .route("/v1/origin-proof", get(origin::issue_proof))
        .layer(known_names.clone())
        .nest("/v1/recordings", recordings::router().layer(known_names).layer(of_allowed_pages))
        .nest("/v1", v1.merge(public))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(app))
}

/// Serves the API's routes at the root, where requests arrive if a proxy strips `/signal-api` from the path. The
/// response reports the misconfiguration. Pages of any origin may read it, as it reveals nothing else.
pub(super) fn stripped() -> Router {
    Router::new()
        .route("/ws", any(path_stripped))
        .route("/v1/{*path}", any(path_stripped))
        .layer(CorsLayer::new().allow_origin(Any))
}

async fn path_stripped() -> ApiError {
    let message = "The proxy has removed /signal-api from the path: let it pass that on (nginx: proxy_pass that ends with the \
                   port, without a slash, or with /signal-api/).";
    ApiError::new(StatusCode::NOT_FOUND, "PATH_STRIPPED", message)
}

pub(super) async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", "No such address; docs/PROTOCOL.md lists them.")
}

pub(super) async fn method_not_allowed() -> ApiError {
    let message = "This address does not take this method; docs/PROTOCOL.md says which.";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
}

/// Error response in the envelope.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Seconds for `Retry-After`, in place of [`RETRY_AFTER`].
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

/// Data of the responses of `welcome` and `check`.
#[derive(Serialize)]
struct ServerData<'a> {
    #[serde(flatten)]
    server: ServerInfo<'a>,
    features: &'a [&'a str],
    /// Source of the client's own address; only in responses of `check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    address_source: Option<AddressSource>,
}

/// R34: describes the server.
async fn welcome(State(app): State<Arc<App>>) -> Response {
    success(ServerData { server: app.config.server_info(), features: &app.config.features(), address_source: None })
}

/// R76: answers as the upgrade would. The connection slot that it takes is released with the response.
async fn check(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let address_source = Some(let_in(&app, peer, &headers)?.source);
    Ok(success(ServerData { server: app.config.server_info(), features: &app.config.features(), address_source }))
}

/// R35: returns the public state of a room.
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
    // Guesses at room names are delayed like joins (R66).
    let client = knock(&app, peer, &headers, Shown::Nothing).await?;
    let Occupancy { members, settings, recorded } = app.hub.occupancy(&room).unwrap_or_default();
    if members == 0 {
        app.doors.guessed(client, Instant::now());
    }
    Ok(success(Data {
        room: room.as_str(),
        open: members > 0,
        locked: settings.locked,
        members,
        members_max: app.hub.room_members(),
        recorded,
    }))
}

/// Secret that an HTTP client has presented. Pages of other origins are rejected only without one (R120).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    /// No valid secret.
    Nothing,
    /// A valid secret. The request still counts as a whole attempt.
    Secret,
    /// The valid secret of a session that leaves. The request counts as a tenth of an attempt.
    Goodbye,
}

/// Counts an attempt, delays it like a join (R66) and returns the address that it counts for. Pages of other origins
/// are rejected before that, so that they use up no attempts of their visitors' addresses.
pub(super) async fn knock(app: &App, peer: IpAddr, headers: &HeaderMap, shown: Shown) -> Result<IpAddr, ApiError> {
    if shown == Shown::Nothing {
        origin::reject_foreign_page(app, peer, headers)?;
    }
    let client = client_address(app, peer, headers).address;
    match app.doors.attempt(client, shown == Shown::Goodbye, Instant::now()) {
        Attempt::After(wait) => tokio::time::sleep(wait).await,
        Attempt::Refused(wait) => {
            app.report_rejection(Rejection::AddressJoins, Some(client));
            return Err(ApiError::too_many_attempts(wait));
        }
    }
    Ok(client)
}

/// R57: generates a room name that cannot be guessed, and the key that makes its bearer a host there. Nothing is
/// stored.
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

/// R1, R2, R10: upgrades to a WebSocket. Everything that can be refused is refused before the upgrade.
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
    let admitted = let_in(&app, peer, request.headers())?;
    tokio::spawn(run(app, room, admitted, Trail::begin(), on_upgrade));
    Ok(response)
}

/// Resources of a WebSocket, held from its upgrade to its end.
struct Admitted {
    place: Place,
    visit: Visit,
    pending_proof: Option<PendingProof>,
    /// Source of the address by which the client is counted.
    source: AddressSource,
}

/// Decides on an upgrade by everything but the room: the page's origin (R64, R92), and whether the server (R10) and the
/// address (R65) have a free connection slot.
fn let_in(app: &App, peer: IpAddr, headers: &HeaderMap) -> Result<Admitted, ApiError> {
    let proxies = &app.config.trusted_proxies;
    let needs_proof = match check_origin(peer, headers, proxies, &app.config.allowed_origins) {
        OriginCheck::Accepted => None,
        OriginCheck::NeedsProof(from) => Some(from),
        OriginCheck::Rejected(from, why) => {
            app.origin_proofs.log_rejection(&from, why, Instant::now());
            return Err(origin::not_allowed(why));
        }
    };
    let client = client_address(app, peer, headers);
    if app.is_draining() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "DRAINING",
            "The server shuts down; come back in a moment.",
        ));
    }
    let full = |message| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "SERVER_FULL", message);
    let place = app.admit().ok_or_else(|| {
        app.report_rejection(Rejection::Connections, None);
        full("The server has as many connections as it takes; come back later.")
    })?;
    let visit = app.doors.enter(client.address, Kind::WebSocket, Instant::now()).ok_or_else(|| {
        app.report_rejection(Rejection::AddressConnections, Some(client.address));
        let message = "There are as many connections from this address as it may have; close some, or come back later.";
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CONNECTIONS", message)
    })?;
    let pending_proof = needs_proof.map(|from| {
        let message = "Too many connections of pages wait to show an origin proof; come back later.";
        app.origin_proofs.wait(from).ok_or_else(|| {
            app.report_rejection(Rejection::PendingProofs, Some(client.address));
            full(message)
        })
    });
    Ok(Admitted { place, visit, pending_proof: pending_proof.transpose()?, source: client.source })
}

async fn run(app: Arc<App>, room: RoomName, admitted: Admitted, trail: Trail, on_upgrade: OnUpgrade) {
    if let Some(socket) = socket(on_upgrade).await {
        // In a task of its own: the state of this one includes the upgrade's, which it would keep allocated.
        tokio::spawn(async move {
            let Admitted { place, visit, pending_proof, .. } = admitted;
            conn::serve(app, room, visit, pending_proof, trail, socket).await;
            drop(place);
        });
    }
}

/// Waits for the upgrade and returns its socket. A function of its own, so that nothing of the request lives as long as
/// the connection.
async fn socket(on_upgrade: OnUpgrade) -> Option<Socket> {
    match on_upgrade.await.map(Upgraded::downcast::<TokioIo<WatchedStream>>) {
        Ok(Ok(parts)) => Some(Socket::new(parts.io.into_inner().into_inner(), &parts.read_buf)),
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
