//! Collector with controllable behaviour, for responses that a real one does not give on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::seen::{self, Seen};
use crate::common::eventually;
use crate::common::receiver::serve;

/// Response to export requests.
#[derive(Clone, Copy)]
pub enum Mood {
    Takes,
    Answers(u16),
    /// Unavailable, with a `Retry-After` that exceeds the duration of the test.
    Later,
    Hangs,
    /// Accepts all spans but one.
    RefusesOne,
}

pub struct Collector {
    pub address: SocketAddr,
    pub endpoint: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    mood: Mutex<Mood>,
    /// Headers and body of each request, whether accepted or not.
    asked: Mutex<Vec<(HeaderMap, Bytes)>>,
    taken: Mutex<Vec<Seen>>,
}

impl Collector {
    pub async fn start(mood: Mood) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), mood)
    }

    pub fn on(listener: TcpListener, mood: Mood) -> Self {
        let address = listener.local_addr().unwrap();
        let (asked, taken) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { mood: Mutex::new(mood), asked, taken });
        let router = Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::disable());
        let serving = tokio::spawn(serve(listener, router.with_state(Arc::clone(&shared))));
        Self { address, endpoint: format!("http://{address}"), shared, serving }
    }

    /// Returns the setting that makes a server export its traces to this collector.
    pub fn settings(&self) -> (&str, &str) {
        ("ROUNDTABLE_OTLP_ENDPOINT", &self.endpoint)
    }

    pub fn is_to(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    pub fn asked(&self) -> Vec<(HeaderMap, Bytes)> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub async fn is_asked(&self, times: usize) {
        eventually("a request to the collector", async || self.asked().len() >= times).await;
    }

    pub fn taken(&self) -> Vec<Seen> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// Waits for a span that satisfies the condition, which must be the only one.
    pub async fn span(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        let mut found = Vec::new();
        eventually(what, async || {
            found = self.taken().into_iter().filter(&is_it).collect();
            !found.is_empty()
        })
        .await;
        assert_eq!(found.len(), 1, "{what}: {found:#?}");
        found.remove(0)
    }

    pub async fn named(&self, name: &str) -> Seen {
        self.span(name, |span| span.name == name).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let mood = *shared.mood.lock().unwrap();
    shared.asked.lock().unwrap().push((headers, body.clone()));
    let mut answer = ExportTraceServiceResponse::default();
    match mood {
        Mood::Takes => {}
        Mood::Answers(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Mood::Later => {
            let after = [(RETRY_AFTER, u64::MAX.to_string())];
            return (StatusCode::SERVICE_UNAVAILABLE, after).into_response();
        }
        Mood::Hangs => std::future::pending().await,
        Mood::RefusesOne => {
            let error_message = "one is too old".to_owned();
            answer.partial_success = Some(ExportTracePartialSuccess { rejected_spans: 1, error_message });
        }
    }
    let spans = seen::of(ExportTraceServiceRequest::decode(body).unwrap());
    shared.taken.lock().unwrap().extend(spans);
    answer.encode_to_vec().into_response()
}
