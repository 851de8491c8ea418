//! Connection of this server to the store, and the store's events for its rooms.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::{Held, Hub, lock};
use crate::cluster::bus::{Answer, Bus, Event, Request, Unavailable};
use crate::cluster::founding::Founding;
use crate::cluster::watch::Watch;
use crate::cluster::{Post, ServerId};
use crate::protocol::RoomName;

/// Renewals within the duration of a lease.
const RENEWALS: u32 = 3;

/// Connection to the store, as [`Hub::sharing`] takes it.
#[derive(Debug)]
pub struct Connection {
    /// ID of this run of the server.
    pub server: ServerId,
    /// Time after which this server counts as gone if it does not renew its lease.
    pub lease: Duration,
    /// Requests to the store.
    pub bus: Arc<dyn Bus>,
    /// Events from the store.
    pub events: mpsc::Receiver<Event>,
}

/// Connection to the store in use.
#[derive(Debug)]
pub(super) struct Engine {
    server: ServerId,
    lease: Duration,
    pub(super) bus: Arc<dyn Bus>,
    /// Taken once, by [`Hub::follow`].
    events: Mutex<Option<mpsc::Receiver<Event>>>,
    connected: AtomicBool,
    /// Notified when the connection is made or lost, so that the lease is renewed at once.
    reached: Notify,
    lives: AtomicU64,
    /// Set if the last message from another server could not be decoded.
    puzzled: AtomicBool,
    watch: Mutex<Watch>,
    founding: Mutex<Founding>,
}

impl Engine {
    pub(super) fn new(Connection { server, lease, bus, events }: Connection) -> Arc<Self> {
        Arc::new(Self {
            server,
            lease,
            bus,
            events: Mutex::new(Some(events)),
            connected: AtomicBool::new(false),
            reached: Notify::new(),
            lives: AtomicU64::new(0),
            puzzled: AtomicBool::new(false),
            watch: Mutex::default(),
            founding: Mutex::default(),
        })
    }

    /// Returns a node ID that this server has never had.
    pub(super) fn post(&self) -> Post {
        Post { server: self.server, life: self.lives.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Returns the time within which a dead server is evicted: its lease, the checks that have to find it missing, and
    /// the checks that do not count after an interruption.
    pub(super) fn gone_within(&self) -> Duration {
        3 * self.lease
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn founding(&self) -> MutexGuard<'_, Founding> {
        self.founding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    /// Sends a request to the store on behalf of a room. The answer goes to the room if it still has that node ID.
    pub(super) fn ask(self: &Arc<Self>, engine: &Engine, name: &RoomName, post: Post, request: Request) {
        // A member may be dropped with the runtime: then there is no answer to wait for.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (hub, name, reply) = (Arc::downgrade(self), name.clone(), engine.bus.ask(&name.clone(), request));
        runtime.spawn(async move {
            let answer = reply.await;
            if let Some(hub) = hub.upgrade() {
                hub.answered(&name, post, answer);
            }
        });
    }

    fn answered(self: &Arc<Self>, name: &RoomName, post: Post, answer: Result<Answer, Unavailable>) {
        self.with_shared(name, |shared| {
            if shared.post() == post {
                self.drive(name, shared, |share, now, emit| share.answered(now, answer, emit));
                self.finish(name, shared);
            }
        });
    }

    /// Processes the store's events and keeps this server's lease until the future is dropped. Called once; returns at
    /// once if there is no store.
    pub async fn follow(self: &Arc<Self>) {
        let Some(engine) = &self.engine else { return };
        let events = engine.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut events) = events else { return };
        let listens = async {
            while let Some(event) = events.recv().await {
                self.happened(engine, event);
            }
        };
        tokio::join!(listens, self.keep_lease(engine));
    }

    fn happened(self: &Arc<Self>, engine: &Engine, event: Event) {
        match event {
            Event::Connected => self.connection(engine, true),
            Event::Disconnected => self.connection(engine, false),
            Event::Entry(name, incarnation, entry) => self.with_shared(&name, |shared| {
                self.drive(&name, shared, |share, now, emit| share.entry(now, incarnation, entry, emit));
                self.finish(&name, shared);
            }),
            Event::Told(name, bytes) => self.with_shared(&name, |shared| {
                let told = self.drive(&name, shared, |share, now, emit| share.told(now, &bytes, emit));
                // Logged once and without the error, which may contain a member's data.
                if !engine.puzzled.swap(told.is_err(), Ordering::Relaxed) && told.is_err() {
                    tracing::warn!("another server sends what is not understood: is it of another version?");
                }
                self.finish(&name, shared);
            }),
        }
    }

    fn connection(self: &Arc<Self>, engine: &Engine, connected: bool) {
        if connected {
            // Before any room sends a request.
            engine.founding().connected(engine.bus.clock());
        }
        // The connection itself logs this for the operator.
        engine.connected.store(connected, Ordering::Relaxed);
        engine.reached.notify_one();
        engine.watch().interrupted();
        self.tell_shares(engine, connected);
    }

    /// Tells all rooms whether the store can be reached, and from when on they may be created.
    fn tell_shares(self: &Arc<Self>, engine: &Engine, connected: bool) {
        let from = engine.founding().from();
        for name in self.shared_names() {
            self.with_shared(&name, |shared| {
                shared.share.found_from(from);
                self.drive(&name, shared, |share, now, emit| share.connected(now, connected, emit));
                self.finish(&name, shared);
            });
        }
    }

    /// Renews this server's lease and checks the leases of the others.
    async fn keep_lease(self: &Arc<Self>, engine: &Engine) {
        let mut every = interval(engine.lease / RENEWALS);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = engine.reached.notified() => {}
            }
            if !engine.is_connected() {
                continue;
            }
            let renewed = engine.bus.renew(engine.lease).await;
            // If the lease had expired, so may have those of others: the store was restarted, or it stalled.
            if renewed != Ok(true) {
                engine.watch().interrupted();
            }
            if let Ok(lived) = renewed {
                let held = engine.founding().from();
                let is_missing = engine.founding().renewed(engine.bus.clock(), lived);
                // Rooms with a replica are restored at once, or others created at once because the hold is over.
                if is_missing || engine.founding().from() != held {
                    self.tell_shares(engine, engine.is_connected());
                }
            }
            let known = self.known_servers();
            let asked: Vec<ServerId> = known.iter().copied().collect();
            let Ok(living) = engine.bus.living(&asked).await else {
                engine.watch().interrupted();
                continue;
            };
            let gone = engine.watch().look(&known, &living.into_iter().collect());
            if !gone.is_empty() {
                tracing::warn!(servers = gone.len(), "servers that share rooms with this one are gone");
            }
            for name in self.shared_names() {
                self.with_shared(&name, |shared| {
                    self.drive(&name, shared, |share, now, emit| share.gone(now, gone.iter().copied(), emit));
                    self.finish(&name, shared);
                });
            }
        }
    }

    /// Returns all other servers that share rooms with this one.
    fn known_servers(&self) -> BTreeSet<ServerId> {
        let mut known = BTreeSet::new();
        for shard in &self.shards {
            for held in lock(shard).values() {
                if let Held::Shared(shared) = held {
                    known.extend(shared.servers());
                }
            }
        }
        known
    }

    fn shared_names(&self) -> Vec<RoomName> {
        let mut names = Vec::new();
        for shard in &self.shards {
            let rooms = lock(shard);
            names
                .extend(rooms.iter().filter(|(_, held)| matches!(held, Held::Shared(_))).map(|(name, _)| name.clone()));
        }
        names
    }
}
