//! `/signal-api/v1/admin/`: the admin API, for the operator (R68 to R70, R90, R91). Without an admin token there are no
//! such routes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, FromRequestParts, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower_http::set_header::SetResponseHeaderLayer;

use super::api::{ApiError, Shown, knock, method_not_allowed, not_found, success};
use super::client::{PeerAddress, client_address};
use super::site;
use crate::app::App;
use crate::core::Refusal;
use crate::protocol::{PeerId, ROOM_CHARS, RoomName, ServerInfo};
use crate::telemetry::QualitySummary;

/// Default page size of a list.
const PAGE: usize = 100;
/// Largest page size that a request may ask for.
const LONGEST_PAGE: usize = 1_000;

pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    if app.admin.is_none() {
        return Router::new();
    }
    let api = Router::new()
        .route("/server", get(server))
        .route("/rooms", get(rooms))
        .route("/rooms/{room}", get(room).delete(close))
        .route("/rooms/{room}/peers/{id}", delete(remove))
        .route("/drain", post(drain))
        .merge(super::recordings::kept::router())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(app), check));
    Router::new()
        .route("/v1/admin/", get(page))
        // The page's addresses are relative: they resolve only with the trailing slash.
        .route("/v1/admin", get(async || Redirect::temporary("admin/")))
        // Served from here rather than from the site's root, where a proxy may have a page of another build.
        .route("/v1/admin/favicon.svg", get(file))
        .route("/v1/admin/guard.js", get(file))
        .route("/v1/admin/assets/{file}", get(file))
        .nest("/v1/admin", api)
        .layer(from_fn_with_state(Arc::clone(app), restrict))
        // No page may show this one in a frame: a visitor's click there could end a meeting.
        .layer(SetResponseHeaderLayer::if_not_present(header::CONTENT_SECURITY_POLICY, site::policy("'none'", "")))
}

/// R104: answers addresses that are not listed as if there were no admin API.
async fn restrict(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    request: Request,
    next: Next,
) -> Response {
    let client = client_address(&app, peer, request.headers()).address;
    if app.config.admin.allows(client) {
        return next.run(request).await;
    }
    tracing::debug!(%client, "the admin API was asked from an address that ROUNDTABLE_ADMIN_ALLOWED_IPS does not list");
    not_found().await.into_response()
}

/// R90: serves the admin page, which holds nothing that is not in the source code.
async fn page(State(app): State<Arc<App>>, request: Request) -> Response {
    match site::file_response(&app.config.static_dir, &request.into_parts().0, "/admin.html").await {
        missing if missing.status() == StatusCode::NOT_FOUND => site::no_page(),
        page => page,
    }
}

/// Serves a file of the admin page.
async fn file(State(app): State<Arc<App>>, request: Request) -> Response {
    let request = request.into_parts().0;
    // The raw path: `ServeDir` decodes it itself.
    let path = request.uri.path().strip_prefix("/v1/admin").unwrap_or_default();
    match site::file_response(&app.config.static_dir, &request, path).await {
        missing if missing.status() == StatusCode::NOT_FOUND => not_found().await.into_response(),
        file => file,
    }
}

/// R91: describes this server and its load.
async fn server(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Engine {
        server: String,
        connected: bool,
    }
    #[derive(Serialize)]
    struct Data {
        #[serde(flatten)]
        info: ServerInfo<'static>,
        zone: &'static str,
        uptime_seconds: u64,
        sockets: usize,
        rooms: i64,
        members: i64,
        draining: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        engine: Option<Engine>,
        #[serde(skip_serializing_if = "Option::is_none")]
        quality: Option<QualitySummary>,
    }
    success(Data {
        info: app.config.server_info(),
        zone: app.config.zone.name(),
        uptime_seconds: app.started.elapsed().as_secs(),
        sockets: app.connections(),
        rooms: app.metrics.rooms.get(),
        members: app.metrics.members.get(),
        draining: app.is_draining(),
        engine: app.hub.among().map(|(server, connected)| Engine { server: server.to_string(), connected }),
        quality: app.config.quality.seconds().map(|_| app.metrics.quality.summary()),
    })
}

/// R68: rejects requests without the token. They learn nothing, not even which routes exist.
///
/// Only requests without the right token count as attempts (R66). Otherwise somebody who guesses from behind the
/// operator's address could lock the operator out. A token of 128 bits needs no limit on guesses.
async fn check(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    request: Request,
    next: Next,
) -> Response {
    if bearer(request.headers()).is_some_and(|token| app.admin.as_ref().is_some_and(|admin| admin.is(token))) {
        return next.run(request).await;
    }
    // `Body` is not `Sync`: it must not be held across an await.
    let headers = request.into_parts().0.headers;
    let client = match knock(&app, peer, &headers, Shown::Nothing).await {
        Ok(client) => client,
        Err(error) => return error.into_response(),
    };
    app.doors.guessed(client, Instant::now());
    let message =
        "This needs the header `Authorization: Bearer <token>` with the server's own (ROUNDTABLE_ADMIN_TOKEN_FILE).";
    let error = ApiError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
    ([(header::WWW_AUTHENTICATE, "Bearer")], error).into_response()
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// One page of a list: where it continues, and a `limit` that has been checked.
pub(super) struct Page {
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

impl FromRequestParts<Arc<App>> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &Arc<App>) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Asked {
            after: Option<String>,
            limit: Option<usize>,
        }
        let invalid = |why: String| ApiError::new(StatusCode::BAD_REQUEST, "PARAMETER_INVALID", why);
        let asked: Result<Query<Asked>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(Asked { after, limit }) = asked.map_err(|error| invalid(error.body_text()))?;
        let limit = limit.unwrap_or(PAGE);
        if !(1..=LONGEST_PAGE).contains(&limit) {
            return Err(invalid(format!("\"limit\" is from 1 to {LONGEST_PAGE}.")));
        }
        Ok(Self { after, limit })
    }
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    search: String,
}

/// R69: lists rooms in order of their names, so that pages stay consistent whatever happens between two requests.
async fn rooms(
    State(app): State<Arc<App>>,
    search: Result<Query<Search>, QueryRejection>,
    Page { after, limit }: Page,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data {
        rooms: Vec<crate::hub::RoomSummary>,
        total: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }
    let invalid = |why: String| ApiError::new(StatusCode::BAD_REQUEST, "PARAMETER_INVALID", why);
    let Query(Search { search }) = search.map_err(|error| invalid(error.body_text()))?;
    if search.chars().count() > ROOM_CHARS {
        return Err(invalid(format!("\"search\" has up to {ROOM_CHARS} characters, as a room's name.")));
    }
    let (rooms, total, more) = app.hub.rooms(&search, after.as_deref(), limit);
    let next = more.then(|| rooms.last().map(|room| room.room.clone())).flatten();
    Ok(success(Data { rooms, total, next }))
}

/// Room name from the request's path.
struct InPath(RoomName);

impl FromRequestParts<Arc<App>> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &Arc<App>) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Names {
            room: String,
        }
        let path: Result<Path<Names>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(names) = path.map_err(|error| ApiError::room_invalid(error.body_text()))?;
        RoomName::new(&names.room).map(Self).map_err(ApiError::room_invalid)
    }
}

async fn room(State(app): State<Arc<App>>, InPath(room): InPath) -> Result<Response, ApiError> {
    app.hub.look(&room).map(success).ok_or_else(no_room)
}

/// R70: removes everybody from a room.
async fn close(State(app): State<Arc<App>>, InPath(room): InPath) -> Result<Response, ApiError> {
    app.hub.close_room(&room).map_err(|_| no_room())?;
    tracing::info!("a room was closed by the admin API");
    Ok(done())
}

async fn remove(
    State(app): State<Arc<App>>,
    InPath(room): InPath,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let no_peer = || ApiError::new(StatusCode::NOT_FOUND, "PEER_NOT_FOUND", "Nobody with this id is in this room.");
    let id = PeerId::parse(&id).ok_or_else(no_peer)?;
    app.hub.evict(&room, id).map_err(|refusal| if refusal == Refusal::NotMember { no_room() } else { no_peer() })?;
    tracing::info!("a peer was removed by the admin API");
    Ok(done())
}

async fn drain(State(app): State<Arc<App>>) -> Response {
    #[derive(Serialize)]
    struct Data {
        connections: usize,
    }
    let connections = app.connections();
    tracing::info!(connections, "draining, as the admin API asked for");
    app.drain();
    success(Data { connections })
}

fn no_room() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "ROOM_NOT_FOUND", "Nobody is in a room of this name.")
}

pub(super) fn done() -> Response<Body> {
    #[derive(Serialize)]
    struct Nothing {}
    success(Nothing {})
}

/// Serves the OpenAPI 3.1 document of the HTTP API.
pub(super) async fn openapi() -> Response {
    static DOCUMENT: &str = include_str!("../../docs/openapi.json");
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], DOCUMENT).into_response()
}
