//! One server and its clients, in virtual time that advances only when all tasks are idle.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roundtable::access::ResumeKey;
use roundtable::app::{App, Surroundings};
use roundtable::config::{Cli, Config};
use roundtable::conn::{self, Trail};
use roundtable::hub::Goodbye;
use roundtable::limits::Kind;
use roundtable::protocol::{PeerId, RoomName};
use roundtable::socket::Socket;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::network::{self, End, Weather};
use crate::tokens::Keys;

/// Resume window.
pub const WINDOW: Duration = Duration::from_secs(5);
/// Time after which a server has detected all disconnected clients: two ping intervals with a quarter more each, and
/// the resume window.
pub const SETTLED: Duration = Duration::from_secs(20);

/// Notice before a token expires.
const NOTICE: &str = "1s";

/// Wall-clock time at the start of each run, which is simulated too.
const MORNING: Duration = Duration::from_secs(1_800_000_000);

/// Largest number of messages in an outbox of a server with small limits, over all seeds.
pub static FULLEST: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static BEGIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Returns the wall-clock time in this thread's run.
pub fn clock() -> SystemTime {
    UNIX_EPOCH + MORNING + BEGIN.get().map_or(Duration::ZERO, |begin| begin.elapsed())
}

/// Configurations of servers without tokens, with default and with small limits. Parsed once, because many worlds are
/// created.
static OPEN: LazyLock<[Config; 2]> = LazyLock::new(|| [false, true].map(|tight| settings(tight, [])));

const KEY: &str = "the same before and after a restart";

/// Parameters of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub clients: usize,
    pub rooms: usize,
    /// Hosts moderate.
    pub moderated: bool,
    /// Limits are so small that they are exceeded.
    pub tight: bool,
    /// Tokens are required.
    pub tokens: bool,
    pub restarts: usize,
    /// Duration in which messages are sent and connections cut.
    pub storm: Duration,
}

/// Phase of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    Storm,
    /// The network has no faults, nobody sends new messages, and everybody reconnects.
    Calm,
    Leaving,
}

pub struct World {
    pub rules: Rules,
    pub key: ResumeKey,
    /// Signs tokens if they are required.
    pub keys: Option<Keys>,
    config: Config,
    /// A server was drained instead of killed.
    drained: AtomicBool,
    server: Mutex<Option<Server>>,
    served: AtomicUsize,
    stays: AtomicUsize,
    /// Digest of what everybody has received and when, equal for equal seeds.
    trace: Mutex<u64>,
}

struct Server {
    app: Arc<App>,
    tasks: JoinSet<()>,
}

fn settings(tight: bool, more: impl IntoIterator<Item = (String, String)>) -> Config {
    let [outbox, replay] = if tight { ["24", "6"] } else { ["1024", "256"] };
    let env = [
        ("ROUNDTABLE_RESUME_KEY", KEY),
        ("ROUNDTABLE_RESUME_WINDOW", "5s"),
        ("ROUNDTABLE_EMPTY_ROOM_GRACE", "3s"),
        ("ROUNDTABLE_PING_INTERVAL", "2s"),
        ("ROUNDTABLE_ROOM_MEMBERS", "5"),
        ("ROUNDTABLE_OUTBOX_MESSAGES", outbox),
        ("ROUNDTABLE_REPLAY_MESSAGES", replay),
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
        ("ROUNDTABLE_STATIC_DIR", "/nonexistent"),
    ];
    let env: Vec<_> = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain(more).collect();
    Cli::load(["roundtable".to_owned()], &env).expect("settings").config
}

impl World {
    pub fn new(rules: Rules) -> Arc<Self> {
        BEGIN.set(Some(Instant::now()));
        let keys = rules.tokens.then(Keys::new);
        let config = match &keys {
            Some(keys) => {
                let asked = keys.settings("token").map(|(name, value)| (name.to_owned(), value.to_owned()));
                let asked = asked.into_iter().filter(|(name, _)| name != "ROUNDTABLE_TOKEN_NOTICE");
                settings(rules.tight, asked.chain([("ROUNDTABLE_TOKEN_NOTICE".to_owned(), NOTICE.to_owned())]))
            }
            None => OPEN[usize::from(rules.tight)].clone(),
        };
        let world = Self {
            rules,
            key: ResumeKey::new(KEY.as_bytes()),
            keys,
            config,
            drained: AtomicBool::new(false),
            server: Mutex::new(None),
            served: AtomicUsize::new(0),
            stays: AtomicUsize::new(0),
            trace: Mutex::new(0),
        };
        world.start();
        Arc::new(world)
    }

    pub fn start(&self) {
        let random = |bytes: &mut [u8]| {
            fastrand::fill(bytes);
            Ok(())
        };
        let app = App::within(Surroundings { clock, random }, self.config.clone(), None).expect("a server");
        *self.server() = Some(Server { app, tasks: JoinSet::new() });
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Kills the server like kill -9: nothing is sent, and no state is kept.
    pub fn kill(&self) {
        let server = self.server().take();
        if let Some(mut server) = server {
            reap(&mut server.tasks);
            server.tasks.abort_all();
        }
    }

    /// Drains the server, as before a planned restart.
    pub fn drain(&self) {
        self.drained.store(true, Ordering::Relaxed);
        self.with_app(|app| app.drain());
    }

    /// Returns whether any server was drained.
    pub fn drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Checks that no outbox exceeds its limits, even if its client does not read.
    pub fn check_loads(&self) {
        let Some(Server { app, .. }) = &*self.server() else { return };
        let bounds = self.config.outbox();
        for load in app.hub.loads() {
            // What a new socket had queued before it took over is added: a response and a ping.
            assert!(load.waiting.0 <= bounds.waiting.frames + 2, "R18: {load:?}");
            assert!(load.waiting.1 <= bounds.waiting.bytes + 1_024, "R18: {load:?}");
            for (frames, bytes) in [load.again, load.replay] {
                assert!(frames <= bounds.replay.frames && bytes <= bounds.replay.bytes, "R48: {load:?}");
            }
            if self.rules.tight {
                FULLEST.fetch_max(load.waiting.0, Ordering::Relaxed);
            }
        }
    }

    /// Returns the number of servers so far.
    pub fn restarts(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Returns whether the current server may have ended sessions because of its limits.
    pub fn may_lose_sessions(&self) -> bool {
        let has_put_out = |server: &Server| server.app.metrics.slow_consumers.get() > 0;
        self.rules.tight || self.server().as_ref().is_none_or(has_put_out)
    }

    pub fn next_stay(&self) -> usize {
        self.stays.fetch_add(1, Ordering::Relaxed)
    }

    pub fn with_app<T>(&self, look: impl FnOnce(&Arc<App>) -> T) -> T {
        look(&self.server().as_ref().expect("a server").app)
    }

    /// Opens a connection; `None` if no server is running. Everything from the upgrade on is the real code.
    pub fn connect(&self, room: &RoomName, weather: Weather, random: fastrand::Rng) -> Option<End> {
        let mut server = self.server();
        let Server { app, tasks } = server.as_mut()?;
        reap(tasks);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let visit = app.doors.enter(address, Kind::WebSocket, Instant::now())?;
        let (client, end) = network::connect(weather, random);
        tasks.spawn(conn::serve(Arc::clone(app), room.clone(), visit, None, Trail::begin(), Socket::new(end, &[])));
        Some(client)
    }

    /// Leaves over HTTP, if a server is running. Returns whether that took effect.
    pub fn leave(&self, room: &RoomName, id: PeerId, stay: u64) -> bool {
        self.server().as_ref().is_some_and(|server| matches!(server.app.hub.leave(room, id, stay), Goodbye::Said(true)))
    }

    /// Returns the number of the server's connections.
    pub fn connections(&self) -> usize {
        let mut server = self.server();
        let Some(Server { tasks, .. }) = server.as_mut() else { return 0 };
        reap(tasks);
        tasks.len()
    }

    /// Adds a message that a client has received now to the digest.
    pub fn note(&self, client: &Client, text: &str) {
        let mut trace = self.trace.lock().expect("no panic under this lock");
        // The time differs in each run.
        let text = text.split("\"time\"").next().unwrap_or_default();
        for byte in text.bytes().chain((client.index as u64).to_le_bytes()) {
            *trace = (*trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub fn trace(&self) -> u64 {
        *self.trace.lock().expect("no panic under this lock")
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().expect("no panic under this lock")
    }
}

/// Removes completed tasks.
fn reap(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.try_join_next() {
        ended.expect("no task of the server panics");
    }
}
