//! The leave request of a page that is being closed (R55), whose WebSocket may no longer get to send `leave`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;

use super::PeerAddress;
use super::api::{ApiError, Shown, knock, success};
use crate::app::App;
use crate::protocol::RoomName;

/// Limit of the body: a room's name of 64 characters, each of them escaped, and a secret.
const BODY_BYTES: usize = 2 * 1024;
/// Time limit of the body. It is a single packet: it arrives at once or never.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Goodbye {
    room: String,
    resume: String,
    /// The page is being unloaded and may be about to reload (R114).
    #[serde(default)]
    may_return: bool,
}

/// Handles a leave request. The body is parsed whatever its content type, since `navigator.sendBeacon` sends text.
pub(super) async fn leave(
    State(app): State<Arc<App>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES)).await;
    let invalid = |why| ApiError::new(StatusCode::BAD_REQUEST, "BODY_INVALID", why);
    let body = body.ok().and_then(Result::ok).ok_or_else(|| invalid("The body is at once, and has up to 2 KiB."))?;
    let goodbye: Goodbye =
        serde_json::from_slice(&body).map_err(|_| invalid(r#"The body is {"room":"…","resume":"…"}."#))?;
    let room = RoomName::new(&goodbye.room).map_err(ApiError::room_invalid)?;
    let known = app.resume_key.check(&room, &goodbye.resume);
    // Delayed like a join (R66) before the response, whatever that is.
    let shown = if known.is_some() { Shown::Goodbye } else { Shown::Nothing };
    let client = knock(&app, peer, &headers, shown).await?;
    let (id, stay) = known.ok_or_else(|| {
        app.doors.guessed(client, Instant::now());
        let message = "This secret is not of this room, or not of this server.";
        ApiError::new(StatusCode::FORBIDDEN, "RESUME_INVALID", message)
    })?;
    let left = if goodbye.may_return {
        app.hub.leave_unless_reloaded(&room, id, stay);
        false
    } else {
        // A member that has already left is no error.
        app.hub.leave(&room, id, stay).heard().await
    };
    #[derive(serde::Serialize)]
    struct Data {
        left: bool,
    }
    Ok(success(Data { left }))
}
