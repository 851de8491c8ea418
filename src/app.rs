//! State that all connections of one server share.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::access::{Access, AdminToken, OriginProofs, ResumeKey};
use crate::cluster::ServerId;
use crate::cluster::engine::Redis;
use crate::cluster::records::Limits;
use crate::config::{Config, Refused};
use crate::greeter::Greeter;
use crate::hub::{Connection, Hub, HubRules};
use crate::limits::{AllCommons, DoorRules, Doors, LimitReports, Rejection, SharedAddress};
use crate::recordings::{Now, Recordings};
use crate::telemetry::{Metrics, Traces};
use crate::webhooks::Webhooks;

/// Capacity of the queue of events from Redis. Events that do not fit are lost, and are requested again.
const ENGINE_EVENTS: usize = 8_192;

/// One running server.
#[derive(Debug)]
pub struct App {
    /// Its settings.
    pub config: Config,
    /// Its rooms.
    pub hub: Arc<Hub>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Its tracer.
    pub traces: Traces,
    /// Key of the resume secrets.
    pub resume_key: ResumeKey,
    /// Checks of pages whose `Origin` is not the `Host` that the server received.
    pub origin_proofs: OriginProofs,
    /// Rules on who may join.
    pub access: Access,
    /// Token of the admin API; `None` if there is no such API.
    pub admin: Option<AdminToken>,
    /// Sender of webhook events.
    pub webhooks: Arc<Webhooks>,
    /// Limits of each address.
    pub doors: Arc<Doors>,
    /// Log lines about limits that reject clients.
    pub limit_reports: LimitReports,
    /// Recordings that hosts upload, if they may.
    pub recordings: Option<Arc<Recordings>>,
    /// Rates that all connections share, and that those of each room share.
    pub commons: AllCommons,
    /// Sources of time and randomness.
    pub surroundings: Surroundings,
    /// Time at which it started.
    pub started: Instant,
    draining: watch::Sender<bool>,
    places: Arc<Places>,
}

/// Sources of time and randomness. A simulation has its own.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Wall clock, by which tokens expire.
    pub clock: fn() -> SystemTime,
    /// Fills a buffer with unpredictable bytes, for IDs.
    pub random: fn(&mut [u8]) -> Result<(), getrandom::Error>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { clock: SystemTime::now, random: getrandom::fill }
    }
}

impl Surroundings {
    /// Returns the present time by both clocks.
    pub fn now(&self) -> Now {
        Now { wall: (self.clock)(), tick: Instant::now() }
    }
}

/// Number of open WebSockets.
#[derive(Debug, Default)]
struct Places {
    taken: AtomicUsize,
    emptied: Notify,
}

impl App {
    /// Creates a server with these settings. The error is a sentence for the operator.
    pub fn new(config: Config) -> Result<Arc<Self>, String> {
        Self::beside_others(config, None)
    }

    /// Creates a server that shares rooms with others by this connection, or else by the Redis server that the settings
    /// name, if any. The latter requires a tokio runtime.
    pub fn beside_others(config: Config, engine: Option<Connection>) -> Result<Arc<Self>, String> {
        Self::within(Surroundings::default(), config, engine)
    }

    /// Creates a server with sources of time and randomness that may be simulated.
    pub fn within(surroundings: Surroundings, config: Config, engine: Option<Connection>) -> Result<Arc<Self>, String> {
        let metrics = Metrics::new().with_limits(config.limits());
        let metrics = if config.engine.redis_url.is_some() { metrics.with_engine() } else { metrics };
        let probes = config.certificates.certificate_probes.all();
        let with_probes = |metrics: Metrics| metrics.with_certificates(probes.iter().map(ToString::to_string));
        let metrics = if config.token_keys_file.is_some() { metrics.with_token_keys() } else { metrics };
        let metrics = Arc::new(if probes.is_empty() { metrics } else { with_probes(metrics) });
        let traces = Traces::new(config.traces.target().map_err(text)?, &metrics.spans);
        let engine = match engine {
            Some(engine) => Some(engine),
            None => connect(&config, &metrics, &traces)?,
        };
        let resume_key = match config.obtain_resume_key()? {
            Some(key) => ResumeKey::new(key.expose().as_bytes()),
            None => ResumeKey::random().map_err(|error| format!("no random numbers: {error}"))?,
        };
        let webhooks =
            Arc::new(Webhooks::new(config.webhook_target(), Arc::clone(&metrics)).with_traces(traces.clone()));
        let greeter = Greeter::new(&config, resume_key.clone())?;
        let keys = config.token_keys_file.clone();
        let recordings = config.recordings.rules(config.zone);
        let open = |rules| Recordings::open(rules, metrics.recordings.clone(), surroundings.now());
        let recordings = recordings.map(open).transpose()?;
        let rules = HubRules {
            room_members: config.room_members,
            resume_window: config.resume_window,
            empty_room_grace: config.empty_room_grace,
            rooms: or_none(config.rooms),
            members: or_none(config.members),
            records: config.recordings.recordings_dir.is_some(),
            members_per_address: or_none(config.max_members_per_ip),
            rate: config.rates.member(),
            makes_hosts: config.access.makes_hosts(),
        };
        let doors = DoorRules {
            connections: config.address_connections,
            attempts: config.address_joins,
            burst: config.address_burst,
            queued_bytes: config.memory.per_ip(),
            server_queued_bytes: config.memory.of_server(),
        };
        Ok(Arc::new(Self {
            access: Access::new(config.access, resume_key.clone(), keys, config.token_rules(), config.token_notice)?
                .with_clock(surroundings.clock)
                .with_gauge(metrics.token_keys_valid.clone()),
            doors: Doors::new(doors, metrics.queued_bytes.clone()),
            limit_reports: LimitReports::new(config.trusted_proxies.clone()),
            commons: AllCommons::new(config.rates.server(), config.rates.room(config.room_members)),
            admin: config.admin_token.as_ref().map(|token| AdminToken::new(token.expose())),
            hub: Hub::sharing(rules, greeter, Arc::clone(&metrics), Arc::clone(&webhooks), engine),
            recordings: recordings.map(Arc::new),
            webhooks,
            metrics,
            traces,
            origin_proofs: OriginProofs::new(&resume_key),
            resume_key,
            surroundings,
            started: Instant::now(),
            draining: watch::Sender::new(false),
            places: Arc::default(),
            config,
        }))
    }

    /// Returns whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Returns a receiver that becomes true when the server shuts down.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Sends all clients away, and accepts no more.
    pub fn drain(&self) {
        self.draining.send_replace(true);
        self.hub.drain();
    }

    /// Logs and counts that everyone behind an address counts as one.
    pub(crate) fn report_shared_address(&self, cause: SharedAddress, address: IpAddr) {
        self.limit_reports.shared_address(cause, address);
        self.metrics.shared_address(cause);
    }

    /// Logs that a limit has rejected a client, and counts it if the address looks like a proxy.
    pub(crate) fn report_rejection(&self, rejection: Rejection, address: Option<IpAddr>) {
        if self.limit_reports.rejected(rejection, address, Instant::now()) {
            self.metrics.shared_address(SharedAddress::Limit);
        }
    }

    /// Takes a slot for a WebSocket; `None` if none is free.
    pub fn admit(&self) -> Option<Place> {
        let before = self.places.taken.fetch_add(1, Ordering::Relaxed);
        // Created in any case: dropping it takes the count back.
        let place = Place(Arc::clone(&self.places));
        (before < or_none(self.config.connections)).then_some(place)
    }

    /// Returns the number of open WebSockets.
    pub fn connections(&self) -> usize {
        self.places.taken.load(Ordering::Relaxed)
    }

    /// Waits until no WebSocket is open.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.places.emptied.notified();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// Begins to connect to the Redis server that the settings name, if any.
fn connect(config: &Config, metrics: &Metrics, traces: &Traces) -> Result<Option<Connection>, String> {
    let Some(address) = config.engine.address().map_err(text)? else { return Ok(None) };
    let (server, (sender, events)) = (ServerId(fastrand::u64(..)), mpsc::channel(ENGINE_EVENTS));
    let bus =
        Redis::connect(address, Limits::default(), server, sender, metrics.engine.clone()).with_traces(traces.clone());
    tracing::info!("rooms are shared with other servers, when the engine is reached");
    Ok(Some(Connection { server, lease: config.engine.lease, bus: Arc::new(bus), events }))
}

fn text(refused: Refused) -> String {
    match refused {
        Refused::Wrong(text) => text,
        Refused::Shown(text) => text.to_string(),
    }
}

/// Converts a limit of the settings, where 0 is none.
fn or_none(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// Slot for one WebSocket, released when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
