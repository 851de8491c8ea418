//! Settings: `ROUNDTABLE_*` in the environment, each also a flag, each checked before anything
//! starts.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use chrono_tz::Tz;
use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand, ValueEnum};

pub use self::admin::{AdminListener, AdminSettings};
pub use self::certificates::{CertificateSettings, Endpoint};
pub use self::doctor::DoctorOrder;
pub use self::engine::EngineSettings;
pub use self::listen::ListenAddress;
pub use self::load::Refused;
pub use self::memory::{ByteLimit, MemorySettings};
use self::quality::{Quality, parse_time_or_never};
use self::rates::Rates;
pub use self::recordings::RecordingSettings;
pub use self::relays::Relays;
pub use self::secret::Secret;
use self::secret::{keep_key, read_secret};
use self::tokens::{KeyOrder, TokenOrder};
pub use self::traces::TraceSettings;
use self::values::{
    check_secret, check_token, filled, parse_count, parse_filter, parse_outbox_bytes, parse_time, parse_url,
};
pub(crate) use self::values::{list_items, without_credentials};
use self::zone::parse_zone;
use crate::access::{AccessMode, TokenRules};
use crate::core::session::{Bound, Bounds};
use crate::http::{FrameAncestors, Origins, Proxies, ServerNames};
use crate::protocol::{FEATURE_RECORDINGS, FEATURES, FEATURES_WITH_TOKENS, ServerInfo};
use crate::telemetry;
use crate::webhooks::Target;

mod admin;
mod certificates;
mod doctor;
mod engine;
mod limits;
mod listen;
mod load;
mod memory;
mod quality;
mod rates;
mod recordings;
mod relays;
mod secret;
mod tokens;
mod traces;
mod values;
mod zone;

/// Random ID of this process, by which two servers behind one address can be distinguished. Not drawn from fastrand,
/// whose sequence a simulation seeds.
static INSTANCE: LazyLock<String> = LazyLock::new(|| format!("{:016x}", RandomState::new().build_hasher().finish()));

/// Default directory of the frontend.
pub const STATIC_DIR: &str = "static/dist";

/// Maximum bytes of one member in a room's `welcome`: a name and a full state.
const WELCOME_BYTES: usize = 5 * 1024;

/// A WebRTC signaling server and the browser meeting it serves.
///
/// Without arguments it serves the meeting at http://localhost:18080. Every setting is a flag
/// and an environment variable; the flag wins. Durations are written as 500ms, 20s or 2m.
#[derive(Clone, Debug, Parser)]
#[command(name = "roundtable", version, max_term_width = 100)]
pub struct Cli {
    /// Settings of the server.
    #[command(flatten)]
    pub config: Config,
    /// Command to run instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands that the program runs instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the running server whether it is ready: exit code 0 if so, 1 if not.
    ///
    /// For the health check of a container. It asks the operators' listener on this machine: by --ops-listen, or else
    /// where the server in the same container was told to listen.
    Health,
    /// Make a token and print it.
    Token(TokenOrder),
    /// Add a fresh key to the file with the keys of tokens, and print its name.
    ///
    /// The file is made where there is none. The last key signs, all are believed: take the old one out when
    /// the last token that it signed has expired.
    TokenKey(KeyOrder),
    /// Print every limit: what it is set to, its default, its unit, and what it is for.
    Limits,
    /// Find what is wrong, and say what mends it.
    ///
    /// With the meeting's address it looks from outside, as a browser does: name, certificate, proxy, WebSocket,
    /// relays. Without one it looks at this machine's settings. Exit code 0: all well; 1: something was found; 2:
    /// something could not be looked at.
    Doctor(DoctorOrder),
}

/// All settings of a server.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Where the meeting and its signaling listen: a port, or an address and a port. [::] is IPv4 too.
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:18080")]
    pub listen: ListenAddress,

    /// The same for /metrics, /healthz and /readyz. Not for the public: by default only this machine reaches it.
    #[arg(long, value_name = "ADDR:PORT", default_value = "localhost:18081")]
    pub ops_listen: ListenAddress,

    /// Folder of the built frontend. It may be changed while the server runs.
    #[arg(long, value_name = "DIR", default_value = STATIC_DIR)]
    pub static_dir: PathBuf,

    /// Time zone of log lines and API times, an IANA name such as Asia/Shanghai. POSIX values without summer time, such as
    /// CST-8, and :/etc/localtime are understood.
    #[arg(long = "tz", value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    pub zone: Tz,

    /// How log lines look.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub log_format: LogFormat,

    /// Which log lines there are: error, warn, info, debug or trace, also by module
    /// (info,roundtable::hub=debug).
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = parse_filter)]
    pub log: String,

    /// The most members of a room. Every member of a mesh sends to every other.
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = parse_count)]
    pub room_members: usize,

    /// The most WebSockets at a time. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    pub connections: usize,

    /// The most rooms at a time. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "50000")]
    pub rooms: usize,

    /// The most members of all rooms. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    pub members: usize,

    /// The most WebSockets of one address at a time. An IPv6 address counts by its /64, and its /56 and /48 may have 4
    /// and 16 times as many. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "1024")]
    pub address_connections: u32,

    /// The most people from one address in a room and its lobby; an IPv6 address counts by its /64. Addresses of proxies
    /// and of internal networks do not count. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "50")]
    pub max_members_per_ip: usize,

    /// Attempts to join that one address may make in a minute, with the same factors for IPv6; one that fails or opens a
    /// room counts for ten. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "300")]
    pub address_joins: u32,

    /// How long an address may try twice as often: so much is free at once.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_time)]
    pub address_burst: Duration,

    /// Proxies whose X-Forwarded-For and X-Forwarded-Host are believed: addresses and networks, separated
    /// by commas.
    #[arg(long, value_name = "LIST", default_value = "127.0.0.0/8,::1/128")]
    pub trusted_proxies: Proxies,

    /// Origins whose pages may connect beside this server's own, separated by commas: https://app.example.
    /// "*": all.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub allowed_origins: Origins,

    /// Host names and addresses under which browsers reach this server, separated by commas:
    /// meet.example,203.0.113.7. Pages of other names are then rejected unless allowed, which stops DNS
    /// rebinding.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub server_names: ServerNames,

    /// Origins whose pages may show the meeting in a frame, and have it join by itself with devices on, separated by
    /// commas: https://portal.example.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub frame_ancestors: FrameAncestors,

    /// How long a connection may take to join.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub join_timeout: Duration,

    /// The most connections for requests at a time, on each of the two listeners. More wait to be accepted.
    #[arg(long, value_name = "COUNT", default_value = "4096", value_parser = parse_count)]
    pub requests: usize,

    /// How long such a connection may take for its first request, and for the head of each: a fifth of it where half of
    /// the places are taken.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub request_head_timeout: Duration,

    /// How long such a connection may be idle between two requests: longer than a load balancer keeps it (60s with nginx
    /// and AWS, 90s with Traefik, 2m with Caddy), which would lose a request otherwise. In a crowd a fifth of
    /// ROUNDTABLE_REQUEST_HEAD_TIMEOUT.
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_time)]
    pub http_keepalive_timeout: Duration,

    /// How long a request may take, with its response; that may then take as long again to be read.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time)]
    pub request_timeout: Duration,

    /// How long a member whose connection is lost keeps its place, and what is sent to it waits: longer than a
    /// telephone takes from one network to the next.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_time)]
    pub resume_window: Duration,

    /// How long a room keeps its settings, lobby and roles after the last member has left. 0s: not at all.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time_or_never)]
    pub empty_room_grace: Duration,

    /// Time between two pings, plus up to a quarter at random. Shorter than the read timeout of
    /// every proxy on the way (nginx: 60s unless set).
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_time)]
    pub ping_interval: Duration,

    /// How long a shutdown may take to send everyone away.
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = parse_time)]
    pub drain_timeout: Duration,

    /// Messages that may wait for a member that reads slowly, before it is closed.
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = parse_count)]
    pub outbox_messages: usize,

    /// Bytes that may wait for a member that reads slowly, before it is closed; at least 262144,
    /// and always room for the welcome to a full room.
    #[arg(long, value_name = "BYTES", default_value = "1048576", value_parser = parse_outbox_bytes)]
    pub outbox_bytes: usize,

    /// Messages sent to a member and not acknowledged that are kept, in case its connection is lost: those of
    /// a join into a full room.
    #[arg(long, value_name = "COUNT", default_value = "256", value_parser = parse_count)]
    pub replay_messages: usize,

    /// Bytes of them: some thirty offers.
    #[arg(long, value_name = "BYTES", default_value = "262144", value_parser = parse_count)]
    pub replay_bytes: usize,

    /// Limits on the memory of all members' queues.
    #[command(flatten)]
    pub memory: MemorySettings,

    /// Rate limits for senders.
    #[command(flatten)]
    pub rates: Rates,

    /// Settings of call quality reports.
    #[command(flatten)]
    pub quality: Quality,

    /// Who may join: "open", whoever knows a room's name, and who makes a room is its host; "token", nobody
    /// without a token; "open-hosts-by-token", whoever knows the name, while only tokens make hosts.
    #[arg(long, value_name = "MODE", default_value = "open")]
    pub access: AccessMode,

    /// A JWK Set (RFC 7517) with the keys of tokens. It is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub token_keys_file: Option<PathBuf>,

    /// This server's name in the claim "aud" of tokens, which they must have then. A token for any other audience is
    /// rejected in any case.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub token_audience: Option<String>,

    /// The claim "iss" that tokens must have.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub token_issuer: Option<String>,

    /// Admit one person per token: nobody else joins with it while that person is in the room. Tokens then must have
    /// the claim "jti".
    #[arg(long, value_name = "BOOL", default_value = "false", action = clap::ArgAction::Set)]
    pub token_single_person: bool,

    /// How long before its end the holder of a token is told, to bring another one.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time)]
    pub token_notice: Duration,

    /// STUN and TURN servers.
    #[command(flatten)]
    pub relays: Relays,

    /// The key of the secrets with which clients come back to their place. Without one a new
    /// key is made at each start, and nobody comes back over a restart as the same peer.
    #[arg(long, value_name = "SECRET")]
    pub resume_key: Option<Secret>,

    /// A file with that key, which is made where there is none. A key that is set directly wins.
    #[arg(long, value_name = "FILE")]
    pub resume_key_file: Option<PathBuf>,

    /// The token of the admin API, at least 32 characters; without one there is no such API.
    #[arg(long, value_name = "SECRET")]
    pub admin_token: Option<Secret>,

    /// A file with that token.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Settings of the admin API.
    #[command(flatten)]
    pub admin: AdminSettings,

    /// Where another program is told of rooms that open and close and of people who come and go:
    /// https://app.example/events.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub webhook_url: Option<String>,

    /// The secret that signs what is told there.
    #[arg(long, value_name = "SECRET")]
    pub webhook_secret: Option<Secret>,

    /// A file with that secret.
    #[arg(long, value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,

    /// Events that may wait to be told. More are dropped, counted and logged once.
    #[arg(long, value_name = "COUNT", default_value = "1024", value_parser = parse_count)]
    pub webhook_queue: usize,

    /// Store through which several servers share rooms.
    #[command(flatten)]
    pub engine: EngineSettings,

    /// Settings of recordings.
    #[command(flatten)]
    pub recordings: RecordingSettings,

    /// Export of traces.
    #[command(flatten)]
    pub traces: TraceSettings,

    /// Certificates whose dates are exported as metrics.
    #[command(flatten)]
    pub certificates: CertificateSettings,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// For programs: one JSON object a line.
    Json,
}

impl Config {
    fn read_files(&mut self) -> Result<(), Refused> {
        self.relays.read_files()?;
        self.engine.read_files()?;
        self.traces.read_files()?;
        read_secret("ROUNDTABLE_WEBHOOK_SECRET", &mut self.webhook_secret, filled(&self.webhook_secret_file))?;
        read_secret("ROUNDTABLE_ADMIN_TOKEN", &mut self.admin_token, filled(&self.admin_token_file))?;
        // The images set the file, so that an explicitly set key takes precedence. `obtain_resume_key` handles a file
        // that is missing, or that another server is about to write.
        let path = filled(&self.resume_key_file).filter(|path| self.resume_key.is_none() && path.exists());
        read_secret("ROUNDTABLE_RESUME_KEY", &mut self.resume_key, path)
    }

    /// Rejects secrets that are too short.
    fn check_secrets(&self) -> Result<(), Refused> {
        type Check = fn(&Secret) -> Result<(), String>;
        let secrets: [(&str, &str, &Option<Secret>, Check); 4] = [
            ("ROUNDTABLE_RESUME_KEY", "--resume-key", &self.resume_key, check_secret),
            ("ROUNDTABLE_TURN_SECRET", "--turn-secret", &self.relays.turn_secret, check_secret),
            ("ROUNDTABLE_WEBHOOK_SECRET", "--webhook-secret", &self.webhook_secret, check_secret),
            ("ROUNDTABLE_ADMIN_TOKEN", "--admin-token", &self.admin_token, check_token),
        ];
        for (name, flag, secret, check) in secrets {
            if let Some(Err(why)) = secret.as_ref().map(check) {
                return Err(Refused::Wrong(format!("{name} ({flag}): {why}.")));
            }
        }
        Ok(())
    }

    /// Reads the settings that are in files, and checks settings that depend on each other.
    fn check(&mut self) -> Result<(), Refused> {
        self.read_files()?;
        self.check_secrets()?;
        self.check_access()?;
        self.check_webhook()?;
        self.engine.address()?;
        self.check_resume_key()?;
        self.engine.check(self.room_members)?;
        self.traces.target()?;
        self.relays.ice_servers().map_err(|why| {
            Refused::Wrong(format!("ROUNDTABLE_ICE_URLS (--ice-urls), ROUNDTABLE_TURN_HOST (--turn-host): {why}"))
        })?;
        Ok(())
    }

    /// Returns the key of resume secrets: the configured one, or the one in its file, which is created if missing.
    /// Returns `None` if the key cannot be stored: that is logged, and the server then uses a key that is lost when it
    /// ends.
    pub fn obtain_resume_key(&self) -> Result<Option<Secret>, String> {
        let Some(path) = self.resume_key_file.as_ref().filter(|_| self.resume_key.is_none()) else {
            return Ok(self.resume_key.clone());
        };
        match keep_key(path) {
            Ok(key) => Ok(Some(key)),
            // Servers that share rooms would otherwise have different keys.
            Err(why) if self.engine.redis_url.is_some() => Err(format!("ROUNDTABLE_RESUME_KEY_FILE: {why}")),
            Err(why) => {
                tracing::warn!(
                    "no key is kept, so after a restart nobody comes back as the same peer: {why}; \
                     ROUNDTABLE_RESUME_KEY_FILE is to be a file in a folder that this user may write to"
                );
                Ok(None)
            }
        }
    }

    /// Checks that servers that share rooms have a common key, because clients resume their sessions at any of them.
    fn check_resume_key(&self) -> Result<(), Refused> {
        if self.engine.redis_url.is_none() || self.resume_key.is_some() || self.resume_key_file.is_some() {
            return Ok(());
        }
        let text = "ROUNDTABLE_REDIS_URL (--redis-url): servers that share rooms need one ROUNDTABLE_RESUME_KEY, the same \
                    for all of them: without it nobody comes back by another server than its own.";
        Err(Refused::Wrong(text.to_owned()))
    }

    fn check_webhook(&self) -> Result<(), Refused> {
        let wrong = |text: &str| Err(Refused::Wrong(text.to_owned()));
        match (&self.webhook_url, &self.webhook_secret) {
            (Some(_), None) => wrong(
                "ROUNDTABLE_WEBHOOK_URL (--webhook-url): what is told there is signed: set ROUNDTABLE_WEBHOOK_SECRET too.",
            ),
            (None, Some(_)) => wrong(
                "ROUNDTABLE_WEBHOOK_SECRET (--webhook-secret): there is nothing to sign: set ROUNDTABLE_WEBHOOK_URL too.",
            ),
            _ => Ok(()),
        }
    }

    /// Returns the webhook target, if one is configured.
    pub fn webhook_target(&self) -> Option<Target> {
        let (url, secret) = (self.webhook_url.clone()?, self.webhook_secret.clone()?);
        Some(Target { url, secret, zone: self.zone, queue: self.webhook_queue })
    }

    fn check_access(&self) -> Result<(), Refused> {
        match (self.access, &self.token_keys_file) {
            (AccessMode::Token | AccessMode::OpenHostsByToken, None) => Err(Refused::Wrong(
                "ROUNDTABLE_ACCESS (--access): tokens need their keys: set ROUNDTABLE_TOKEN_KEYS_FILE. \
                 `roundtable token-key` makes such a file."
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    /// Returns the claims that tokens must have.
    pub fn token_rules(&self) -> TokenRules {
        let (audience, issuer) = (self.token_audience.clone(), self.token_issuer.clone());
        TokenRules { audience, issuer, single_person: self.token_single_person }
    }

    /// Returns the server's features beyond the minimum.
    pub fn features(&self) -> Vec<&'static str> {
        let always = if self.access == AccessMode::Open { FEATURES } else { FEATURES_WITH_TOKENS };
        let mut features = always.to_vec();
        if self.recordings.recordings_dir.is_some() {
            features.push(FEATURE_RECORDINGS);
            features.sort_unstable();
        }
        features
    }

    /// Returns the bounds of an outbox.
    pub fn outbox(&self) -> Bounds {
        let bytes = self.outbox_bytes.max(self.room_members * WELCOME_BYTES);
        Bounds {
            waiting: Bound { frames: self.outbox_messages, bytes },
            replay: Bound { frames: self.replay_messages, bytes: self.replay_bytes },
        }
    }

    /// Returns the longest time between two pings, and before the first one (R26).
    pub fn longest_silence(&self) -> Duration {
        self.ping_interval.mul_f64(1.25)
    }

    /// Returns the longest time between two pings in whole seconds (R7).
    pub fn heartbeat_seconds(&self) -> u32 {
        self.longest_silence().as_secs_f64().ceil() as u32
    }

    /// Returns the identity of this server and its local time.
    pub fn server_info(&self) -> ServerInfo<'static> {
        ServerInfo {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            time: telemetry::timestamp(self.zone),
            instance: &INSTANCE,
            cluster: self.engine.redis_url.is_some(),
        }
    }
}
