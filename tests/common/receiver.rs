//! Webhook receiver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{TestServer, within};

/// Serves HTTP while it is polled. Its connections end with it.
pub async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let io = hyper_util::rt::TokioIo::new(stream);
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

pub const SECRET: &str = "north-north-north-north-north-north";

/// Webhook receiver that records events with their headers. It rejects the first `failures` requests.
pub struct Receiver {
    pub url: String,
    taken: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    pub asked: Arc<AtomicU32>,
}

type Shared = (Arc<AtomicU32>, u32, mpsc::UnboundedSender<(HeaderMap, Bytes)>);

impl Receiver {
    pub async fn start(failures: u32) -> Self {
        let (sender, taken) = mpsc::unbounded_channel();
        let asked = Arc::new(AtomicU32::new(0));
        let take = async |State((asked, failures, sender)): State<Shared>, headers: HeaderMap, body: Bytes| {
            if asked.fetch_add(1, Ordering::Relaxed) < failures {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            sender.send((headers, body)).unwrap();
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/events", post(take)).with_state((Arc::clone(&asked), failures, sender));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router));
        Self { url: format!("http://{address}/events"), taken, asked }
    }

    /// Returns the settings of a server that sends webhooks to this receiver.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [("ROUNDTABLE_WEBHOOK_URL", &self.url), ("ROUNDTABLE_WEBHOOK_SECRET", SECRET)]
    }

    /// Starts a server that sends webhooks to this receiver.
    pub async fn server(&self) -> TestServer {
        TestServer::start(&self.settings()).await
    }

    /// Returns the next event, which must be of this kind.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let event = self.next().await;
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// Returns the next event after verifying its signature.
    pub async fn next(&mut self) -> Value {
        self.next_with_headers().await.0
    }

    /// Returns the next event and its headers after verifying the signature.
    pub async fn next_with_headers(&mut self) -> (Value, HeaderMap) {
        let (headers, body) = within("an event", self.taken.recv()).await.unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let signature = header("roundtable-signature");
        let (time, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let mac = mac.chain_update(time).chain_update(".").chain_update(&body).finalize().into_bytes();
        assert_eq!(mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(time.parse().unwrap()) < 30, "signed at another time: {time}");
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["id"], json!(header("roundtable-delivery")), "{event}");
        assert_eq!(
            (&event["event"], &*header("content-type")),
            (&json!(header("roundtable-event")), "application/json")
        );
        (event, headers)
    }
}
