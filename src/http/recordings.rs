//! `/signal-api/v1/recordings`: recordings that hosts upload to the server (R84 to R88). The operator's side is
//! [`kept`].

pub(super) mod kept;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use opentelemetry::trace::SpanKind;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::admin::bearer;
use super::api::{ApiError, Shown, knock, method_not_allowed, not_found, success};
use super::client::PeerAddress;
use crate::app::App;
use crate::core::Seat;
use crate::hub::NotRecorded;
use crate::protocol::RoomName;
use crate::recordings::{Begun, Now, PIECE_BYTES, Recordings, Refused, Whose};
use crate::telemetry::{Ended, Parent};

/// Limit of the body: a room's name of 64 characters, each of them escaped, and a secret.
const BODY_BYTES: usize = 2 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for other servers to confirm the host and to hear of a recording. The page waits for eight seconds.
const HEARD_WITHIN: Duration = Duration::from_secs(6);
/// Time limit of one piece: about 4 MiB at 1 Mbit/s. A client may send smaller pieces.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// Lanes of the store besides those of single recordings.
const UNKNOWN: &str = "unknown";
const SWEEP: &str = "sweep";

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", post(begin))
        .route("/{id}", get(length).put(append))
        .route("/{id}/finish", post(finish))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
}

/// Extractor of the recordings store. Rejects the request where recordings are off.
struct Store(Arc<Recordings>);

impl FromRequestParts<Arc<App>> for Store {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let message = "This server keeps no recordings: whoever runs it has to set ROUNDTABLE_RECORDINGS_DIR.";
        app.recordings.clone().map(Self).ok_or(ApiError::new(StatusCode::NOT_FOUND, "RECORDINGS_OFF", message))
    }
}

/// R85: extractor of the recording in the path, for a client that has its secret. A guess is delayed like a join (R66).
struct Upload {
    store: Arc<Recordings>,
    id: String,
    bytes: u64,
    finished: bool,
}

impl FromRequestParts<Arc<App>> for Upload {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Store(store) = Store::from_request_parts(parts, app).await?;
        let Path(names): Path<std::collections::HashMap<String, String>> =
            Path::from_request_parts(parts, app).await.map_err(|_| ApiError::internal())?;
        let id = names.get("id").cloned().unwrap_or_default();
        let secret = bearer(&parts.headers).unwrap_or_default().to_owned();
        let Extension(PeerAddress(peer)) =
            Extension::from_request_parts(parts, app).await.map_err(|_| ApiError::internal())?;
        // The disk is read for the holder of a known secret, or else at the rate of attempts: another server may have
        // begun it.
        let is_known = store.has_known_secret(&id, &secret);
        let guesser = if is_known { None } else { Some(knock(app, peer, &parts.headers, Shown::Nothing).await?) };
        let (name, now) = (id.clone(), app.surroundings.now());
        // All IDs that may be made up share one lane.
        let lane = if is_known { &*id } else { UNKNOWN };
        let length = store.run(lane, move |store| store.length(&name, &secret, now)).await;
        if let (Err(Refused::Unknown), Some(client)) = (&length, guesser) {
            app.doors.guessed(client, Instant::now());
        }
        let (bytes, finished) = length?;
        Ok(Self { store, id, bytes, finished })
    }
}

#[derive(Deserialize)]
struct Wish {
    room: String,
    resume: String,
}

/// R84: begins a recording. Only a host who is in the room may, with the secret of its own session.
async fn begin(
    State(app): State<Arc<App>>,
    Store(store): Store,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data {
        id: String,
        upload: String,
        piece_bytes: usize,
        recording_bytes: u64,
    }
    let invalid = |why| ApiError::new(StatusCode::BAD_REQUEST, "BODY_INVALID", why);
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES)).await;
    let body = body.ok().and_then(Result::ok).ok_or_else(|| invalid("The body is at once, and has up to 2 KiB."))?;
    let Wish { room, resume } =
        serde_json::from_slice(&body).map_err(|_| invalid(r#"The body is {"room":"…","resume":"…"}."#))?;
    let room = RoomName::new(&room).map_err(ApiError::room_invalid)?;
    let known = app.resume_key.check(&room, &resume);
    // A whole attempt, even with a valid secret: each recording is a file that is kept for days.
    let shown = if known.is_some() { Shown::Secret } else { Shown::Nothing };
    let client = knock(&app, peer, &headers, shown).await?;
    let (host, stay) = known.ok_or_else(|| {
        app.doors.guessed(client, Instant::now());
        let message = "This secret is not of this room, or not of this server.";
        ApiError::new(StatusCode::FORBIDDEN, "RESUME_INVALID", message)
    })?;
    let (seat, until) = (Seat { id: host, session: stay }, Instant::now() + HEARD_WITHIN);
    app.hub.check_host(&room, seat, until).await?;
    let whose = Whose { room: room.clone(), host };
    let recording_bytes = store.rules().largest;
    let lane = format!("{host} {room}", host = host.as_str(), room = room.as_str());
    let (asked, kept) = (Arc::clone(&app), Arc::clone(&store));
    let begin = move |_: &Recordings| Beginning::new(Arc::clone(&asked), Arc::clone(&kept), whose.clone());
    let mut beginning = store.run(&lane, begin).await?;
    // The room is informed before the upload can begin: nobody is recorded without a chance to know.
    if let Err(why) = app.hub.record(&room, seat, store.folder(), until).await {
        if let Some(undone) = beginning.undo() {
            let _ = undone.await;
        }
        return Err(why.into());
    }
    let Begun { id, secret: upload } = beginning.begun.take().ok_or_else(ApiError::internal)?;
    tracing::info!(id, "a recording has begun");
    Ok(success(Data { id, upload, piece_bytes: PIECE_BYTES, recording_bytes }))
}

/// Recording whose client does not know its ID yet. If this is dropped, the client has disconnected, and the recording
/// is undone.
struct Beginning {
    app: Arc<App>,
    store: Arc<Recordings>,
    begun: Option<Begun>,
}

impl Beginning {
    fn new(app: Arc<App>, store: Arc<Recordings>, whose: Whose) -> Result<Self, Refused> {
        let begun = Some(store.begin(whose, app.surroundings.now())?);
        Ok(Self { app, store, begun })
    }

    fn undo(&mut self) -> Option<JoinHandle<()>> {
        let Begun { id, .. } = self.begun.take()?;
        let (app, store, now) = (Arc::clone(&self.app), Arc::clone(&self.store), self.app.surroundings.now());
        let undo = async move {
            // If this fails, the recording is finished later as silent.
            let _ = end(&store, id, Ended::Refused, now).await;
            tell_over(&app, &store);
        };
        Some(Handle::try_current().ok()?.spawn(undo))
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        self.undo();
    }
}

#[derive(Serialize)]
struct Length {
    length: u64,
    finished: bool,
}

async fn length(Upload { bytes: length, finished, .. }: Upload) -> Response {
    success(Length { length, finished })
}

#[derive(Deserialize)]
struct Offset {
    offset: u64,
}

/// R85, R86: appends one piece, as a whole or not at all.
async fn append(
    State(app): State<Arc<App>>,
    Upload { store, id, finished, .. }: Upload,
    offset: Result<Query<Offset>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let Ok(Query(Offset { offset })) = offset else {
        let message = "The address needs where the piece begins: ?offset=<bytes>.";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "PARAMETER_INVALID", message));
    };
    let too_large = || {
        let message = format!("A piece has up to {PIECE_BYTES} bytes.");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "PIECE_TOO_LARGE", message)
    };
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|length| length > PIECE_BYTES) {
        return Err(too_large());
    }
    // The body is not read: many requests may name a finished recording, and few recordings grow.
    if finished {
        return Err(Refused::Over.into());
    }
    if let Some(whose) = store.whose(&id) {
        if store.has_role_ended(&id, app.hub.host_presence(&whose.room, whose.host)) {
            end(&store, id, Ended::RoleEnded, app.surroundings.now()).await?;
            tell_over(&app, &store);
            return Err(Refused::Over.into());
        }
        // Needed also after a restart, and if its host has begun a new session.
        tell_on(&app, &store, &id, &whose);
    }
    let turn = store.turn(&id)?;
    let piece = tokio::time::timeout(PIECE_TIMEOUT, turn.read(to_bytes(body, PIECE_BYTES)));
    let invalid = || {
        let message = "A piece has at least one byte and comes within 30 s. Send smaller ones.";
        ApiError::new(StatusCode::BAD_REQUEST, "BODY_INVALID", message)
    };
    // The body is longer than allowed, or was cut off. In the latter case nobody receives this response.
    let (turn, piece) = piece.await.map_err(|_| invalid())??;
    let piece = piece.map_err(|_| too_large())?;
    if piece.is_empty() {
        return Err(invalid());
    }
    let traced = app.traces.begin(SpanKind::Internal, "recording.write", Parent::Here);
    traced.set("roundtable.bytes", piece.len() as i64);
    // If the client disconnects now, its turn still lasts until the piece is on disk.
    let length = store.write(&id, offset, piece, turn, app.surroundings.now()).await;
    if matches!(length, Err(Refused::DiskFull | Refused::Broken(_))) {
        traced.fail("disk");
    }
    let length = length?;
    drop(traced);
    Ok(success(Length { length, finished: false }))
}

async fn finish(State(app): State<Arc<App>>, Upload { store, id, .. }: Upload) -> Result<Response, ApiError> {
    let length = end(&store, id, Ended::Finished, app.surroundings.now()).await?;
    tell_over(&app, &store);
    Ok(success(Length { length, finished: true }))
}

async fn end(store: &Arc<Recordings>, id: String, how: Ended, now: Now) -> Result<u64, Refused> {
    store.run(&id.clone(), move |store| store.end(&id, how, now)).await
}

/// R88: finishes recordings that nobody continues or whose host may not continue them, deletes old ones, and informs
/// the rooms. The rooms are also informed of what other servers do with recordings of hosts who are here, and of
/// recordings whose end was requested here by a client that has disconnected.
pub(crate) async fn sweep(app: &Arc<App>) {
    let (Some(store), hub) = (app.recordings.clone(), Arc::clone(&app.hub)) else { return };
    let now = app.surroundings.now();
    for (room, host, presence) in hub.take_departed() {
        for id in store.growing_of(&Whose { room, host }) {
            if store.has_role_ended(&id, presence) {
                // If this fails, the recording is finished later as silent.
                let _ = end(&store, id, Ended::RoleEnded, now).await;
            }
        }
    }
    // Read before the folder is: a recording exists on disk before anybody is shown as recording.
    let shown = hub.shown_as_recording(store.folder());
    let growing = store.run(SWEEP, move |store| store.sweep(now, |whose| hub.host_presence(&whose.room, whose.host)));
    // The store has logged what is wrong with the folder.
    let growing = growing.await;
    tell_over(app, &store);
    if growing.is_ok() && store.knows_all() {
        // Recordings that another server has ended, or that existed only for a moment.
        for (room, host) in shown {
            if store.growing_of(&Whose { room: room.clone(), host }).is_empty() {
                let _ = app.hub.tell_recorded(&room, host, store.folder(), false);
            }
        }
    }
    for (id, whose) in growing.into_iter().flatten() {
        tell_on(app, &store, &id, &whose);
    }
}

/// Shows the room that it is being recorded. If the room is busy, the next piece does so.
fn tell_on(app: &App, store: &Recordings, id: &str, Whose { room, host }: &Whose) {
    let _ = app.hub.tell_recorded(room, *host, store.folder(), true);
    if store.whose(id).is_none() {
        // It has just ended, and the room may have been informed of that before.
        let _ = app.hub.tell_recorded(room, *host, store.folder(), false);
    }
}

fn tell_over(app: &App, store: &Recordings) {
    for Whose { room, host } in store.over() {
        // If the room is busy, the indication ends when its host leaves.
        let _ = app.hub.tell_recorded(&room, host, store.folder(), false);
    }
}

fn unavailable() -> ApiError {
    let message = "Other servers have this and do not answer, or too many requests wait. Try again in a few seconds.";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
}

impl From<NotRecorded> for ApiError {
    fn from(why: NotRecorded) -> Self {
        match why {
            NotRecorded::NoHost => {
                Self::new(StatusCode::FORBIDDEN, "HOSTS_ONLY", "Only a host who is in the room records it here.")
            }
            NotRecorded::Unheard => unavailable(),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let gap;
        let (status, code, message) = match refused {
            Refused::Unknown => {
                let message = "This needs the header `Authorization: Bearer <upload>` with the recording's own secret.";
                (StatusCode::FORBIDDEN, "UPLOAD_INVALID", message)
            }
            Refused::Over => (StatusCode::CONFLICT, "RECORDING_OVER", "This recording is finished."),
            Refused::Replaced => {
                let message =
                    "Another piece has come while this one was on its way. The recording's length says what is there.";
                (StatusCode::CONFLICT, "PIECE_REPLACED", message)
            }
            Refused::Gap(length) => {
                gap = format!("This recording has {length} bytes: the next piece begins there.");
                (StatusCode::CONFLICT, "OFFSET_INVALID", &*gap)
            }
            Refused::NotWebm => {
                let message = "A recording begins with the EBML header of a WebM file.";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "NOT_WEBM", message)
            }
            Refused::TooLarge(largest) => {
                gap = format!("A recording has up to {largest} bytes (ROUNDTABLE_RECORDINGS_MAX_BYTES).");
                (StatusCode::PAYLOAD_TOO_LARGE, "RECORDING_TOO_LARGE", &*gap)
            }
            Refused::Quota => {
                let message = "All recordings together have as much as they may (ROUNDTABLE_RECORDINGS_QUOTA).";
                (StatusCode::INSUFFICIENT_STORAGE, "QUOTA_EXCEEDED", message)
            }
            Refused::TooMany => {
                let message = "As many recordings are being made as may (ROUNDTABLE_RECORDINGS_AT_A_TIME).";
                (StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_RECORDINGS", message)
            }
            Refused::DiskFull => {
                let message = "The disk of the recordings has no space left beside ROUNDTABLE_RECORDINGS_MIN_FREE.";
                (StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", message)
            }
            Refused::Busy => return unavailable(),
            Refused::Broken(error) => {
                tracing::error!(%error, "a recording cannot be written");
                return Self::internal();
            }
        };
        Self::new(status, code, message)
    }
}
