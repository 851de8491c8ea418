//! [`Bus`] over Valkey or Redis: a single server, found by Sentinels or not, or a cluster.
//!
//! - [`address`]: address in `ROUNDTABLE_REDIS_URL`
//! - [`route`]: lookup of the Redis servers, and of the server that has a key
//! - [`session`]: all connections, which are kept up for ever
//! - [`node`]: one connection and its queue
//! - [`scripts`]: Lua scripts for the requests, and their answers
//! - [`clock`]: the Redis server's clock
//!
//! One task keeps a [`Session`](session::Session), which has a connection to each Redis server, with all subscriptions.
//! If any part of it becomes unusable, all of it is replaced, beginning with a lookup of the servers. So a broken
//! connection, another master and moved cluster slots are handled in the same way. Between sessions, every request
//! fails at once with [`Unavailable`].

mod address;
mod clock;
mod node;
mod route;
mod scripts;
mod session;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use opentelemetry::trace::SpanKind;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use self::address::Address;
use self::clock::Clock;
pub use self::node::{BYTES, ORDERS};
use self::node::{Fault, Order};
use self::scripts::{Call, Script, channel, parse_published};
use self::session::Session;
use super::bus::{Answer, Bus, Event, Reply, Request, Unavailable};
use super::records::Limits;
use super::wire::ServerId;
use crate::protocol::RoomName;
use crate::telemetry::{EngineMetrics, Metrics, Parent, Traced, Traces};

/// Time limit of a request, after which it is not carried out any more.
const PATIENCE: Duration = Duration::from_secs(1);
/// Attempts for a request that came too late because this server's estimate of the Redis clock was wrong.
const TRIES: usize = 3;

/// Connection of one server to Redis, which ends when dropped.
#[derive(Debug)]
pub struct Redis {
    shared: Arc<Shared>,
    traces: Traces,
    task: JoinHandle<()>,
}

struct Shared {
    address: Address,
    limits: Limits,
    server: ServerId,
    events: mpsc::Sender<Event>,
    metrics: EngineMetrics,
    clock: Arc<Clock>,
    session: Mutex<Option<Arc<Session>>>,
    /// Rooms that this server is subscribed to, by channel.
    rooms: Mutex<HashMap<String, RoomName>>,
    calls: AtomicU64,
    /// Set once a refusal by Redis was logged, until a request succeeds.
    refuses: AtomicBool,
}

impl Shared {
    fn new(
        address: Address,
        limits: Limits,
        server: ServerId,
        events: mpsc::Sender<Event>,
        metrics: EngineMetrics,
    ) -> Self {
        Self {
            address,
            limits,
            server,
            events,
            metrics,
            clock: Arc::new(Clock::new()),
            session: Mutex::default(),
            rooms: Mutex::default(),
            calls: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Redis {
    /// Starts to connect, and reconnects for ever. Events go to `events`. Has to be called within a tokio runtime.
    pub fn connect(
        address: Address,
        limits: Limits,
        server: ServerId,
        events: mpsc::Sender<Event>,
        metrics: EngineMetrics,
    ) -> Self {
        let shared = Arc::new(Shared::new(address, limits, server, events, metrics));
        let task = tokio::spawn(session::keep(Arc::clone(&shared)));
        Self { shared, traces: Traces::default(), task }
    }

    /// Adds a span for each request about a room that is caused by an event there. Periodic requests are only counted:
    /// renewals and checks of leases, and reads of a room's log.
    pub fn with_traces(mut self, traces: Traces) -> Self {
        self.traces = traces;
        self
    }

    fn begin(&self, script: Script) -> Traced {
        if !self.traces.is_on() || script == Script::Fetch {
            return Traced::default();
        }
        let traced = self.traces.begin(SpanKind::Client, format!("EVALSHA {}", script.name()), Parent::Here);
        traced.set("db.system.name", "redis");
        traced.set("db.operation.name", "EVALSHA");
        traced.set("db.stored_procedure.name", script.name());
        traced
    }

    /// Connects once and disconnects again. The error is for people and contains no password.
    pub async fn try_once(address: Address) -> Result<(), String> {
        let (events, _heard) = mpsc::channel(1);
        let metrics = Metrics::new().engine;
        let shared = Arc::new(Shared::new(address, Limits::default(), ServerId(fastrand::u64(..)), events, metrics));
        let (broken, _breaks) = mpsc::channel(1);
        shared.connect(broken).await.map(drop)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.task.abort();
        *self.shared.session() = None;
    }
}

impl Bus for Redis {
    fn ask(&self, room: &RoomName, request: Request) -> Reply<Answer> {
        let shared = &self.shared;
        let is_cluster = shared.address.is_cluster();
        let call = Call::ask(room, &request, shared.limits, is_cluster);
        let (post, subscribe) = match request {
            Request::Attach { post, .. } => (post, true),
            Request::Detach { post, .. }
            | Request::Evict { post, .. }
            | Request::Found { post, .. }
            | Request::Append { post, .. }
            | Request::Fetch { post, .. } => (post, false),
        };
        let subscribe = subscribe.then(|| {
            let channel = channel(room, shared.server);
            shared.rooms().insert(channel.clone(), room.clone());
            channel
        });
        let traced = self.begin(call.script());
        shared.run(call, subscribe, traced, move |reply| reply.answer(post))
    }

    fn tell(&self, room: &RoomName, to: ServerId, bytes: Bytes) {
        let mut told = Vec::with_capacity(bytes.len() + 1);
        told.push(b'T');
        told.extend_from_slice(&bytes);
        let channel = channel(room, to);
        self.shared.metrics.published.inc();
        if !self.shared.put(&channel.clone(), Order::Publish { channel, bytes: told }) {
            self.shared.metrics.lost.inc();
        }
    }

    fn forget(&self, room: &RoomName) {
        let channel = channel(room, self.shared.server);
        if self.shared.rooms().remove(&channel).is_some() {
            // Without a connection there is no subscription.
            self.shared.put(&channel.clone(), Order::Unsubscribe { channel });
        }
    }

    fn renew(&self, lease: Duration) -> Reply<bool> {
        self.shared.run(Call::renew(self.shared.server, lease), None, Traced::default(), |reply| reply.renewed())
    }

    fn living(&self, servers: &[ServerId]) -> Reply<Vec<ServerId>> {
        if servers.is_empty() {
            return std::future::ready(Ok(Vec::new())).boxed();
        }
        let all = servers.to_vec();
        self.shared.run(Call::living(servers), None, Traced::default(), move |reply| {
            let living = reply.living()?;
            Some(all.iter().zip(living).filter(|(_, lives)| *lives).map(|(server, _)| *server).collect())
        })
    }

    fn clock(&self) -> Duration {
        Duration::from_micros(self.shared.clock.now().try_into().unwrap_or_default())
    }
}

type Answered = oneshot::Receiver<Result<scripts::Reply, Fault>>;

impl Shared {
    fn session(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, RoomName>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: &str, order: Order) -> bool {
        self.session().as_ref().and_then(|session| session.node(key)).is_some_and(|node| node.put(order))
    }

    fn send(&self, call: &Call, subscribe: Option<&String>) -> Option<Answered> {
        let (reply, answered) = oneshot::channel();
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let until = self.clock.now() + PATIENCE.as_micros() as i64;
        let order = Order::Call { call: call.clone(), number, until, subscribe: subscribe.cloned(), reply };
        self.put(call.key(), order).then_some(answered)
    }

    /// Runs a script.
    fn run<T: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        subscribe: Option<String>,
        traced: Traced,
        read: impl Fn(&scripts::Reply) -> Option<T> + Send + 'static,
    ) -> Reply<T> {
        self.metrics.requests.inc();
        let sent = self.send(&call, subscribe.as_ref());
        let (shared, asked) = (Arc::clone(self), tokio::time::Instant::now());
        async move {
            let answer = tokio::time::timeout(PATIENCE, shared.answer(&call, subscribe.as_ref(), sent)).await;
            let answer = answer.ok().flatten().and_then(|reply| {
                let read = read(&reply);
                if read.is_none() {
                    tracing::error!(script = ?call.script(), "the engine's answer is not understood");
                }
                read
            });
            if answer.is_some() {
                shared.metrics.times.observe_time(asked.elapsed());
            }
            answer.ok_or_else(|| {
                shared.metrics.failures.inc();
                traced.fail("unavailable");
                Unavailable
            })
        }
        .boxed()
    }

    async fn answer(
        &self,
        call: &Call,
        subscribe: Option<&String>,
        mut sent: Option<Answered>,
    ) -> Option<scripts::Reply> {
        for _ in 0..TRIES {
            match sent?.await.ok()? {
                Ok(reply) if !reply.is_late() => {
                    self.refuses.store(false, Ordering::Relaxed);
                    return Some(reply);
                }
                // Its answer has corrected the clock.
                Ok(_) => sent = self.send(call, subscribe),
                Err(Fault::Gone) => return None,
                Err(Fault::Refused(why)) => {
                    if !self.refuses.swap(true, Ordering::Relaxed) {
                        tracing::error!(why, "the engine refuses what it is asked");
                    }
                    return None;
                }
            }
        }
        None
    }

    /// Passes on a message that was published to this server.
    fn published(&self, channel: &str, bytes: Vec<u8>) {
        let Some(room) = self.rooms().get(channel).cloned() else { return };
        let bytes = Bytes::from(bytes);
        let event = match bytes.first() {
            Some(b'E') => match parse_published(&bytes[1..]) {
                Ok((incarnation, entry)) => Event::Entry(room, incarnation, entry),
                // The error is not logged: it may contain private data.
                Err(_) => return tracing::warn!("an entry that was published is not understood"),
            },
            Some(b'T') => Event::Told(room, bytes.slice(1..)),
            _ => return,
        };
        if self.events.try_send(event).is_err() {
            self.metrics.lost.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    use tokio::time::Instant;

    use super::*;
    use crate::cluster::wire::Post;

    /// Redis server that ends with the test, however that ends.
    struct Engine(Child, PathBuf);

    impl Drop for Engine {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
            let _ = std::fs::remove_dir_all(&self.1);
        }
    }

    #[tokio::test]
    async fn a_request_that_came_too_late_for_a_wrong_clock_is_sent_again() {
        let folder = std::env::temp_dir().join(format!("roundtable-engine-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("engine.sock");
        let mut engine = Command::new("redis-server");
        engine.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket).stdout(Stdio::null());
        let _engine = Engine(engine.spawn().unwrap(), folder);
        let (sender, mut events) = mpsc::channel(64);
        let address = Address::parse(&format!("unix://{}", socket.display()), None).unwrap();
        let redis = Redis::connect(address, Limits::default(), ServerId(1), sender, EngineMetrics::default());
        assert!(matches!(events.recv().await, Some(Event::Connected)));
        let (clock, room) = (&redis.shared.clock, RoomName::new("round").unwrap());
        let right = clock.now();
        for (life, wrong) in [(1, -3_600_000_000), (2, 3_600_000_000)] {
            let now = Instant::now();
            clock.heard(now, now, right + wrong);
            let post = Post { server: ServerId(1), life };
            let answer = redis.ask(&room, Request::Attach { post, after: None }).await;
            assert!(matches!(answer, Ok(Answer::Attached { number, .. }) if number == life), "{answer:?}");
            assert!((0..60_000_000).contains(&(clock.now() - right)), "the clock is right again");
        }
    }
}
