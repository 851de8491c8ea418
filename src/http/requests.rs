//! Limits on the HTTP requests being served: of one client behind trusted proxies (R65), and of all together (R105).
//!
//! A proxy opens one connection for each request, and connections of trusted proxies are not counted by address.
//! Without these limits one client that reads no response could hold every slot, and no WebSocket could be opened.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::api::ApiError;
use super::client::PeerAddress;
use crate::activity::Activity;
use crate::app::App;
use crate::limits::{Kind, Rejection, Visit};
use crate::telemetry::Limit;

/// One in this many slots for HTTP connections is reserved for WebSocket upgrades.
const RESERVED: usize = 4;

/// Limits that all requests of a listener share.
#[derive(Clone, Debug)]
pub(super) struct RequestLimits {
    app: Arc<App>,
    places: Arc<Semaphore>,
}

/// Slot of one request, held until the kernel has taken the last byte of its response.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    _place: OwnedSemaphorePermit,
    _visit: Option<Visit>,
}

impl RequestLimits {
    pub(super) fn new(app: &Arc<App>) -> Self {
        let all = app.config.requests;
        Self { app: Arc::clone(app), places: Arc::new(Semaphore::new(all - all / RESERVED)) }
    }

    fn admit(&self, request: &Request) -> Result<RequestPlace, ApiError> {
        let visit = self.client(request).map(|client| {
            self.app.doors.enter(client, Kind::Plain, Instant::now()).ok_or_else(|| {
                self.app.metrics.limited(Limit::Connections);
                self.app.report_rejection(Rejection::AddressConnections, Some(client));
                let message = "There are as many requests from this address as it may have; wait for their answers.";
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CONNECTIONS", message)
            })
        });
        let visit = visit.transpose()?;
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            self.app.report_rejection(Rejection::Requests, None);
            let message = "The server has as many requests as it takes; come back later.";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "SERVER_FULL", message)
        })?;
        Ok(RequestPlace { _place: place, _visit: visit })
    }

    /// Returns the address for which a trusted proxy asks. Other clients are counted by their connections.
    fn client(&self, request: &Request) -> Option<IpAddr> {
        let PeerAddress(peer) = *request.extensions().get()?;
        let proxies = &self.app.config.trusted_proxies;
        let client = || proxies.client(peer, request.headers(), self.app.limit_reports.gateways()).address;
        proxies.trusts(peer).then(client)
    }
}

/// Serves a request if there is a free slot. A WebSocket upgrade needs none: its response is short, and the open
/// WebSocket is counted on its own (R10, R65).
pub(super) async fn limit(State(limits): State<RequestLimits>, request: Request, next: Next) -> Response {
    if request.uri().path() != "/signal-api/ws" {
        let place = match limits.admit(&request) {
            Ok(place) => place,
            // Closing the connection frees its slot at once.
            Err(error) => return ([(header::CONNECTION, "close")], error).into_response(),
        };
        if let Some(activity) = request.extensions().get::<Activity>() {
            activity.hold(place);
        }
    }
    next.run(request).await
}
