//! What all connections of one server share.

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

/// What the engine has sent and nobody has taken yet: what is more is lost, and asked for again.
const ENGINE_EVENTS: usize = 8_192;

/// One running server.
#[derive(Debug)]
pub struct App {
    /// Its settings.
    pub config: Config,
    /// Its rooms.
    pub hub: Arc<Hub>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Begins spans.
    pub traces: Traces,
    /// Checks resume secrets.
    pub resume_key: ResumeKey,
    /// Decides about pages whose `Origin` is not the `Host` that the server received.
    pub origin_proofs: OriginProofs,
    /// Decides who may join.
    pub access: Access,
    /// What the admin API asks for; `None` where there is none.
    pub admin: Option<AdminToken>,
    /// Tells another program what happens.
    pub webhooks: Arc<Webhooks>,
    /// What each address has open and has tried.
    pub doors: Arc<Doors>,
    /// Log lines about limits that reject people.
    pub limit_reports: LimitReports,
    /// What hosts record here, where they may.
    pub recordings: Option<Arc<Recordings>>,
    /// What all connections may send together, and those of each room.
    pub commons: AllCommons,
    /// Where time and dice come from.
    pub surroundings: Surroundings,
    /// When it began.
    pub started: Instant,
    draining: watch::Sender<bool>,
    places: Arc<Places>,
}

/// What a server asks its machine for; a simulation has its own.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// The time of day, by which tokens end.
    pub clock: fn() -> SystemTime,
    /// Fills ids with what nobody can guess.
    pub random: fn(&mut [u8]) -> Result<(), getrandom::Error>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { clock: SystemTime::now, random: getrandom::fill }
    }
}

impl Surroundings {
    /// This moment.
    pub fn now(&self) -> Now {
        Now { wall: (self.clock)(), tick: Instant::now() }
    }
}

/// How many WebSockets there are.
#[derive(Debug, Default)]
struct Places {
    taken: AtomicUsize,
    emptied: Notify,
}

impl App {
    /// A server with these settings; the error is a sentence for the operator.
    pub fn new(config: Config) -> Result<Arc<Self>, String> {
        Self::beside_others(config, None)
    }

    /// The same, with this engine between it and other servers, or with the one that the settings name, if any: then within
    /// a runtime of tokio.
    pub fn beside_others(config: Config, engine: Option<Connection>) -> Result<Arc<Self>, String> {
        Self::within(Surroundings::default(), config, engine)
    }

    /// The same in surroundings that may be made up.
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

    /// Whether the server shuts down.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Tells that the server shuts down, now or at some time.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Sends everyone away and lets nobody in any more.
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

    /// Takes one of the server's places for WebSockets; `None` where none is left.
    pub fn admit(&self) -> Option<Place> {
        let before = self.places.taken.fetch_add(1, Ordering::Relaxed);
        // Made in any case: dropping it takes the count back.
        let place = Place(Arc::clone(&self.places));
        (before < or_none(self.config.connections)).then_some(place)
    }

    /// How many WebSockets there are.
    pub fn connections(&self) -> usize {
        self.places.taken.load(Ordering::Relaxed)
    }

    /// Waits until there is no WebSocket any more.
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

/// Begins to connect to the engine that the settings name, if any.
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

/// A limit as it is set: 0 for none.
fn or_none(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

/// A place for one WebSocket, free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
