//! R71 and R72: another program is told, against one that is real and fails at first.

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

use crate::common::client::Client;
use crate::common::{TestServer, within};

const SECRET: &str = "north-north-north-north";

/// A program that is told. It takes nothing until it has been asked `failures` times.
pub(crate) struct Receiver {
    url: String,
    taken: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    asked: Arc<AtomicU32>,
}

type Shared = (Arc<AtomicU32>, u32, mpsc::UnboundedSender<(HeaderMap, Bytes)>);

impl Receiver {
    pub(crate) async fn start(failures: u32) -> Self {
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
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
        Self { url: format!("http://{address}/events"), taken, asked }
    }

    /// The settings of a server that tells this program.
    pub(crate) fn settings(&self) -> [(&str, &str); 2] {
        [("ROUNDTABLE_WEBHOOK_URL", &self.url), ("ROUNDTABLE_WEBHOOK_SECRET", SECRET)]
    }

    /// A server that tells this program.
    async fn server(&self) -> TestServer {
        TestServer::start(&self.settings()).await
    }

    /// The next event, of this kind, whose signature is good.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let (headers, body) = within(kind, self.taken.recv()).await.unwrap();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let signature = header("roundtable-signature");
        let (time, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let mac = mac.chain_update(time).chain_update(".").chain_update(&body).finalize().into_bytes();
        assert_eq!(mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now.abs_diff(time.parse().unwrap()) < 30, "signed when it was sent: {time}");
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&event["event"], &event["id"]), (&json!(kind), &json!(header("roundtable-delivery"))), "{event}");
        assert_eq!((header("roundtable-event"), header("content-type")), (kind.into(), "application/json".into()));
        event
    }
}

async fn leave(mut client: Client) {
    client.send(json!({"type": "leave"})).await;
    client.drain().await;
}

#[tokio::test]
async fn r71_another_program_is_told_in_order() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let ada = server.join("圆桌", "Ada").await;
    let mut bob = server.join("圆桌", "Bob").await;
    let opened = other.expect("room_opened").await;
    assert_eq!((&opened["room"], opened.get("peer")), (&json!("圆桌"), None));
    assert!(opened["time"].as_str().unwrap().ends_with("+00:00"));
    let joined = other.expect("peer_joined").await;
    assert_eq!(joined["peer"], json!({"id": ada.id(), "name": "Ada", "role": "host"}));
    assert_ne!(joined["id"], opened["id"]);
    assert_eq!(other.expect("peer_joined").await["peer"]["name"], "Bob");
    leave(ada).await;
    let left = other.expect("peer_left").await;
    assert_eq!((&left["peer"]["name"], &left["reason"]), (&json!("Ada"), &json!("left")));
    bob.expect("peer_left").await;
    bob.expect("role").await;
    bob.send(json!({"type": "moderate", "action": "end"})).await;
    assert_eq!(bob.expect_close().await, Some(4009));
    let left = other.expect("peer_left").await;
    assert_eq!(
        (&left["peer"], &left["reason"]),
        (&json!({"id": bob.id(), "name": "Bob", "role": "host"}), &json!("ended"))
    );
    assert_eq!(other.expect("room_closed").await["room"], "圆桌");
    // A join that is refused opens nothing.
    let mut eve = server.connect("refused").await;
    let keys: serde_json::Map<_, _> = (0..17).map(|i| (format!("k{i}"), json!(true))).collect();
    eve.send(json!({"type": "join", "name": "Eve", "state": keys})).await;
    eve.expect_error("state_invalid").await;
    let _zoe = server.join("next", "Zoe").await;
    assert_eq!(other.expect("room_opened").await["room"], "next");
}

#[tokio::test]
async fn r66_of_rooms_in_which_the_way_is_tried_nobody_is_told() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let mut tried = server.join("check-1", "path check").await;
    let second = server.join("check-1", "path check").await;
    tried.expect("peer_joined").await;
    tried.send(json!({"type": "moderate", "action": "remove", "to": second.id()})).await;
    tried.expect("peer_left").await;
    leave(tried).await;
    server.metric_becomes("roundtable_rooms", 0).await;
    // Events come in their order: what the trial had been told of would come first.
    let _ada = server.join("r", "Ada").await;
    assert_eq!(other.expect("room_opened").await["room"], "r");
    assert_eq!(other.expect("peer_joined").await["peer"]["name"], "Ada");
    server.metric_becomes("roundtable_webhooks_delivered_total", 2).await;
}

#[tokio::test]
async fn r72_what_is_not_taken_is_sent_again_and_nothing_is_lost_or_doubled() {
    let mut other = Receiver::start(3).await;
    let server = other.server().await;
    leave(server.join("r", "Ada").await).await;
    for kind in ["room_opened", "peer_joined", "peer_left", "room_closed"] {
        other.expect(kind).await;
    }
    assert_eq!(other.asked.load(Ordering::Relaxed), 7, "three times in vain");
    server.metric_becomes("roundtable_webhooks_delivered_total", 4).await;
    assert_eq!(server.metric("roundtable_webhooks_dropped_total").await, 0);
}

#[tokio::test]
async fn r72_a_program_that_takes_nothing_holds_nobody_up() {
    let other = Receiver::start(u32::MAX).await;
    let settings = [
        ("ROUNDTABLE_WEBHOOK_URL", &*other.url),
        ("ROUNDTABLE_WEBHOOK_SECRET", SECRET),
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
    ];
    let server = TestServer::start(&settings).await;
    for _ in 0..300 {
        leave(server.join("r", "Ada").await).await;
    }
    // 1,200 events: 1,024 wait and one is on its way, the others are counted.
    let dropped = server.metric("roundtable_webhooks_dropped_total").await;
    assert!((174..=176).contains(&dropped), "{dropped}");
    let ended = server.shut_down();
    within("a shutdown", ended).await.unwrap();
}

#[tokio::test]
async fn r71_the_last_events_are_sent_before_the_server_ends() {
    let mut other = Receiver::start(0).await;
    let server = other.server().await;
    let mut ada = server.join("r", "Ada").await;
    let ended = server.shut_down();
    ada.drain().await;
    within("a shutdown", ended).await.unwrap();
    for kind in ["room_opened", "peer_joined", "peer_left", "room_closed"] {
        other.expect(kind).await;
    }
}
