//! This server's way to the engine, and what comes from there for its rooms.

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

/// So often is a lease renewed while it lasts.
const RENEWALS: u32 = 3;

/// The way to an engine, as whoever makes it hands it over.
#[derive(Debug)]
pub struct Connection {
    /// This run of the server.
    pub server: ServerId,
    /// How long it is taken for alive after it has said so.
    pub lease: Duration,
    /// What is asked.
    pub bus: Arc<dyn Bus>,
    /// What comes on its own.
    pub events: mpsc::Receiver<Event>,
}

/// The same in use.
#[derive(Debug)]
pub(super) struct Engine {
    server: ServerId,
    lease: Duration,
    pub(super) bus: Arc<dyn Bus>,
    /// Taken by [`Hub::follow`].
    events: Mutex<Option<mpsc::Receiver<Event>>>,
    connected: AtomicBool,
    /// The engine can be reached, and is to hear at once that this server lives.
    reached: Notify,
    lives: AtomicU64,
    /// Another server has sent what is not understood, and nothing else since.
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

    /// A place that this server has never had.
    pub(super) fn post(&self) -> Post {
        Post { server: self.server, life: self.lives.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    pub(super) fn server(&self) -> ServerId {
        self.server
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Its lease, the looks that have to find it missing, and those that count for nothing behind an interruption.
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
    /// Asks the engine, in a room's name; the answer comes back to the room if it still has that place.
    pub(super) fn ask(self: &Arc<Self>, engine: &Engine, name: &RoomName, post: Post, request: Request) {
        // A member may be dropped with the runtime: then nothing comes any more.
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

    /// Follows the engine until it is no longer polled; once. Returns at once where there is none.
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
                // Once, and not what: it is somebody's.
                if !engine.puzzled.swap(told.is_err(), Ordering::Relaxed) && told.is_err() {
                    tracing::warn!("another server sends what is not understood: is it of another version?");
                }
                self.finish(&name, shared);
            }),
        }
    }

    fn connection(self: &Arc<Self>, engine: &Engine, connected: bool) {
        if connected {
            // Before any room is asked for.
            engine.founding().connected(engine.bus.clock());
        }
        // Said to the operator by whoever connects.
        engine.connected.store(connected, Ordering::Relaxed);
        engine.reached.notify_one();
        engine.watch().interrupted();
        self.tell_shares(engine, connected);
    }

    /// Tells all rooms whether Redis can be reached, and from when on they may be made.
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

    /// Says that this server lives, and looks who else does.
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
            // Where the lease had run out, so may those of others: the engine was begun anew, or stood still.
            if renewed != Ok(true) {
                engine.watch().interrupted();
            }
            if let Ok(lived) = renewed {
                let held = engine.founding().from();
                let is_missing = engine.founding().renewed(engine.bus.clock(), lived);
                // Rooms are put back at once, or made at once.
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

    /// All other servers that have rooms of this one.
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
