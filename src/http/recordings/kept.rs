//! `/signal-api/v1/admin/recordings`: the operator's access to recordings (R89).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get};
use serde::Serialize;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::{Store, tell_over};
use crate::app::App;
use crate::http::admin::{self, Page};
use crate::http::api::{ApiError, success};
use crate::http::client::Patience;
use crate::recordings::{Refused, Summary};

/// Time limit of a download by the operator: 2 GiB at 5 Mbit/s.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Lane of the store for listings.
const LIST: &str = "list";

/// Builds the routes. The admin token has been checked before.
pub(in crate::http) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/recordings", get(list))
        .route("/recordings/{id}", delete(remove))
        .route("/recordings/{id}/file", get(file))
}

async fn list(
    State(app): State<Arc<App>>,
    Store(store): Store,
    Page { after, limit }: Page,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Data {
        recordings: Vec<Summary>,
        total: usize,
        bytes: u64,
        quota: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }
    let (quota, now) = (store.rules().quota, app.surroundings.now());
    let (recordings, total, bytes, more) =
        store.run(LIST, move |store| store.list(after.as_deref(), limit, now)).await?;
    let next = more.then(|| recordings.last().map(|recording| recording.id.clone())).flatten();
    Ok(success(Data { recordings, total, bytes, quota, next }))
}

async fn file(
    Store(store): Store,
    Path(id): Path<String>,
    Extension(patience): Extension<Patience>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = id.clone();
    let path = store.run(&id, move |store| store.path(&asked)).await.map_err(of_operator)?;
    patience.extend(DOWNLOAD_TIMEOUT);
    let Ok(mut response) = ServeFile::new(path).oneshot(request).await;
    if response.status() == StatusCode::NOT_FOUND {
        // It has just been finished or deleted.
        return Err(no_recording());
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/webm"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{id}.webm\"")).map_err(|_| no_recording())?;
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response.map(Body::new))
}

async fn remove(
    State(app): State<Arc<App>>,
    Store(store): Store,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    store.run(&id.clone(), move |store| store.delete(&id)).await.map_err(of_operator)?;
    tell_over(&app, &store);
    Ok(admin::done())
}

fn of_operator(refused: Refused) -> ApiError {
    if matches!(refused, Refused::Unknown) { no_recording() } else { refused.into() }
}

fn no_recording() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "RECORDING_NOT_FOUND", "There is no recording with this id.")
}
