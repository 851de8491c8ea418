//! Several servers in this process, each with its own runtime, connected by an in-process store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use roundtable::app::App;
use roundtable::cluster::ServerId;
use roundtable::cluster::bus::{Answer, Bus, Event, Reply, Request, Unavailable};
use roundtable::cluster::local::{Local, LocalEngine};
use roundtable::cluster::watch::LEASE;
use roundtable::hub::Connection;
use roundtable::protocol::RoomName;
use roundtable::server::Server;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::client::Client;

/// The way to the engine, which can be cut, and on which acts can be held up.
#[derive(Debug)]
struct Cuttable {
    local: Arc<Local>,
    is_cut: Arc<AtomicBool>,
    is_held: watch::Receiver<bool>,
    held: Arc<AtomicUsize>,
}

impl Cuttable {
    fn or_not<T: Send + 'static>(&self, ask: impl FnOnce(&Local) -> Reply<T>) -> Reply<T> {
        if self.is_cut.load(Ordering::SeqCst) { std::future::ready(Err(Unavailable)).boxed() } else { ask(&self.local) }
    }
}

impl Bus for Cuttable {
    fn ask(&self, room: &RoomName, request: Request) -> Reply<Answer> {
        if !*self.is_held.borrow() || !matches!(request, Request::Append { .. }) {
            return self.or_not(|local| local.ask(room, request));
        }
        let (local, mut is_held, held, room) =
            (self.local.clone(), self.is_held.clone(), self.held.clone(), room.clone());
        held.fetch_add(1, Ordering::SeqCst);
        async move {
            let _ = is_held.wait_for(|is_held| !is_held).await;
            held.fetch_sub(1, Ordering::SeqCst);
            local.ask(&room, request).await
        }
        .boxed()
    }

    fn tell(&self, room: &RoomName, to: ServerId, bytes: Bytes) {
        if !self.is_cut.load(Ordering::SeqCst) {
            self.local.tell(room, to, bytes);
        }
    }

    fn forget(&self, room: &RoomName) {
        self.local.forget(room);
    }

    fn renew(&self, lease: Duration) -> Reply<bool> {
        self.or_not(|local| local.renew(lease))
    }

    fn living(&self, servers: &[ServerId]) -> Reply<Vec<ServerId>> {
        self.or_not(|local| local.living(servers))
    }

    fn clock(&self) -> Duration {
        self.local.clock()
    }
}

/// One server of a cluster.
pub struct Node {
    pub address: SocketAddr,
    pub ops: SocketAddr,
    pub app: Arc<App>,
    is_cut: Arc<AtomicBool>,
    holds: watch::Sender<bool>,
    held: Arc<AtomicUsize>,
    events: mpsc::Sender<Event>,
    shutdown: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

impl Node {
    /// Starts a server that shares the store `engine`.
    pub async fn start(engine: &LocalEngine, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("ROUNDTABLE_RESUME_KEY", "the same for all of them, and long enough")];
        all.extend(settings);
        let (config, is_cut) = (super::config(&all), Arc::new(AtomicBool::new(false)));
        let ((sender, mut published), (arrives, events)) = (mpsc::channel(4_096), mpsc::channel(4_096));
        let server = ServerId(fastrand::u64(..));
        let ((holds, is_held), held) = (watch::channel(false), Arc::new(AtomicUsize::new(0)));
        let local = Arc::new(engine.connect(server, sender));
        let bus = Arc::new(Cuttable { local, is_cut: is_cut.clone(), is_held, held: held.clone() });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (arriving, cut) = (arrives.clone(), is_cut.clone());
        runtime.spawn(async move {
            while let Some(event) = published.recv().await {
                if !cut.load(Ordering::SeqCst) && arriving.send(event).await.is_err() {
                    return;
                }
            }
        });
        let (shutdown, asked) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        runtime.spawn(async move {
            let connection = Connection { server, lease: LEASE, bus, events };
            let server = Server::bind_beside_others(config, Some(connection)).await.expect("free ports");
            let addresses = (server.address().unwrap(), server.ops_address().unwrap());
            ready.send((addresses, Arc::clone(server.app()))).ok().unwrap();
            server
                .run(async move {
                    if asked.await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
                .await;
        });
        let ((address, ops), app) = super::within("a server", is_ready).await.expect("a server");
        let (shutdown, runtime) = (Some(shutdown), Some(runtime));
        Self { address, ops, app, is_cut, holds, held, events: arrives, shutdown, runtime }
    }

    pub async fn connect(&self, room: &str) -> Client {
        Client::connect(self.address, room).await.expect("an upgrade")
    }

    pub async fn join(&self, room: &str, name: &str) -> Client {
        Client::enter(self.address, room, name).await
    }

    /// Reconnects with a resume secret. Returns the client and the response.
    pub async fn come_back(&self, room: &str, resume: &Value, last: u64) -> (Client, Value) {
        let mut client = self.connect(room).await;
        client.send(json!({"type": "join", "name": "Back", "resume": resume, "last_seq": last})).await;
        let answer = client.next_message().await.expect("an answer");
        client.last = if answer["type"] == "resumed" { last } else { 0 };
        (client, answer)
    }

    /// Cuts the connection to the store, or restores it.
    pub async fn cut_off(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
        let event = if is_cut { Event::Disconnected } else { Event::Connected };
        self.events.send(event).await.expect("a running server");
    }

    /// Holds up the acts that it asks the engine for from now on, or lets them go.
    pub fn hold_acts(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    /// Waits until acts are held up.
    pub async fn acts_are_held(&self) {
        super::eventually("acts that are held up", async || self.held.load(Ordering::SeqCst) > 0).await;
    }

    /// It is gone from one moment to the next, and says nothing to anybody.
    pub fn kill(mut self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Starts a shutdown.
    pub fn shut_down(&mut self) {
        let _ = self.shutdown.take().expect("a running server").send(());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts two servers and their store.
pub async fn two(settings: &[(&str, &str)]) -> (LocalEngine, Node, Node) {
    let engine = LocalEngine::default();
    let (a, b) = (Node::start(&engine, settings).await, Node::start(&engine, settings).await);
    (engine, a, b)
}
