//! Settings: `ROUNDTABLE_*` in the environment, each also a flag, each checked before anything
//! starts.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono_tz::Tz;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use self::rates::Rates;
use self::tokens::{KeyOrder, TokenOrder};
use self::values::{
    check_token, nearest, parse_count, parse_filter, parse_lease, parse_outbox_bytes, parse_time, parse_url, parse_zone,
};
use crate::access::AccessMode;
use crate::cluster::engine::Address;
use crate::core::session::{Bound, Bounds};
use crate::http::{Origins, Proxies};
use crate::ice::{IceServers, TurnAccess, turn_urls};
use crate::protocol::{FEATURES, FEATURES_WITH_TOKENS, ServerInfo};
use crate::telemetry;
use crate::webhooks::Target;

mod limits;
mod rates;
mod tokens;
mod values;

/// A room's welcome takes at most so many bytes for each member: a name, and a full state.
const WELCOME_BYTES: usize = 5 * 1024;

/// What is no setting of the server but may stand in its environment: what nginx and the compose
/// file read, and what Kubernetes tells every container of a service that is called `roundtable`.
const OTHERS: [&str; 5] =
    ["ROUNDTABLE_HOST", "ROUNDTABLE_UPSTREAM", "ROUNDTABLE_UPSTREAMS", "ROUNDTABLE_PORT", "ROUNDTABLE_SERVICE_HOST"];
const OTHERS_BEGIN: [&str; 2] = ["ROUNDTABLE_PORT_", "ROUNDTABLE_SERVICE_PORT"];

/// A WebRTC signaling server and the browser meeting it serves.
///
/// Without arguments it serves the meeting at http://localhost:18080. Every setting is a flag
/// and an environment variable; the flag wins. Durations are written as 500ms, 20s or 2m.
#[derive(Clone, Debug, Parser)]
#[command(name = "roundtable", version, max_term_width = 100)]
pub struct Cli {
    /// The settings.
    #[command(flatten)]
    pub config: Config,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the running server whether it is ready: exit code 0 if so, 1 if not.
    ///
    /// For the health check of a container. It asks the operators' listener on this machine.
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
}

/// All settings of a server.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Address and port for the meeting and its signaling.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:18080")]
    pub listen: SocketAddr,

    /// Address and port for /metrics, /healthz and /readyz. Not for the public.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:18081")]
    pub ops_listen: SocketAddr,

    /// Folder of the built frontend. It may be changed while the server runs.
    #[arg(long, value_name = "DIR", default_value = "static/dist")]
    pub static_dir: PathBuf,

    /// Time zone of log lines and API times, an IANA name such as Asia/Shanghai.
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

    /// The most WebSockets of one address at a time; an IPv6 address counts by its /64. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "1024")]
    pub address_connections: u32,

    /// Attempts to join that one address may make in a minute; one that fails or opens a room counts for ten.
    /// 0: no limit.
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

    /// How long a connection may take to join.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub join_timeout: Duration,

    /// The most connections for requests at a time, on each of the two listeners. More wait to be accepted.
    #[arg(long, value_name = "COUNT", default_value = "4096", value_parser = parse_count)]
    pub requests: usize,

    /// How long such a connection may be without a request, or with a part of its head; a fifth of it where half of
    /// the places are taken.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_time)]
    pub request_head_timeout: Duration,

    /// How long a connection for requests may last; its last answer may take as long again.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time)]
    pub request_timeout: Duration,

    /// How long a member whose connection is lost keeps its place, and what is sent to it waits: longer than a
    /// telephone takes from one network to the next.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_time)]
    pub resume_window: Duration,

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

    /// How fast anybody may send.
    #[command(flatten)]
    pub rates: Rates,

    /// Who may join: "open", whoever knows a room's name, and who makes a room is its host; "token", nobody
    /// without a token; "open-hosts-by-token", whoever knows the name, while only tokens make hosts.
    #[arg(long, value_name = "MODE", default_value = "open")]
    pub access: AccessMode,

    /// A JWK Set (RFC 7517) with the keys of tokens. It is read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub token_keys_file: Option<PathBuf>,

    /// How long before its end the holder of a token is told, to bring another one.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_time)]
    pub token_notice: Duration,

    /// STUN and TURN servers for the browsers, separated by commas:
    /// stun:relay.example.org:3478,turn:relay.example.org:3478?transport=udp
    #[arg(long, value_name = "URLS", default_value = "", hide_default_value = true)]
    pub ice_urls: String,

    /// Name or address of a TURN server: short for three URLs, of STUN, TURN over UDP and TURN over TCP.
    #[arg(long, value_name = "HOST")]
    pub turn_host: Option<String>,

    /// Its port.
    #[arg(long, value_name = "PORT", default_value = "3478", value_parser = clap::value_parser!(u16).range(1..))]
    pub turn_port: u16,

    /// How long a credential for a TURN server is good that is made by its secret. Members get fresh ones
    /// four times as often.
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = parse_time)]
    pub turn_lifetime: Duration,

    /// A user of a TURN server that has no such secret, the same for everybody.
    #[arg(long, value_name = "NAME")]
    pub turn_username: Option<String>,

    /// That user's password, which every client learns.
    #[arg(long, value_name = "SECRET")]
    pub turn_password: Option<Secret>,

    /// A file with that password.
    #[arg(long, value_name = "FILE")]
    pub turn_password_file: Option<PathBuf>,

    /// The secret shared with the TURN server (coturn: static-auth-secret).
    #[arg(long, value_name = "SECRET")]
    pub turn_secret: Option<Secret>,

    /// A file with that secret.
    #[arg(long, value_name = "FILE")]
    pub turn_secret_file: Option<PathBuf>,

    /// The key of the secrets with which clients come back to their place. Without one a new
    /// key is made at each start, and nobody comes back over a restart as the same peer.
    #[arg(long, value_name = "SECRET")]
    pub resume_key: Option<Secret>,

    /// A file with that key, which is made where there is none. A key that is set directly wins.
    #[arg(long, value_name = "FILE")]
    pub resume_key_file: Option<PathBuf>,

    /// The token of the admin API, at least 16 characters; without one there is no such API.
    #[arg(long, value_name = "SECRET")]
    pub admin_token: Option<Secret>,

    /// A file with that token.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

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

    /// The Valkey or Redis through which several servers share rooms: redis://[user:password@]host[:port][/database], with TLS
    /// rediss://, or unix:///path; redis-sentinel://host,host?master=name; redis-cluster://host,host. Without one
    /// this server is alone.
    #[arg(long, value_name = "SECRET")]
    pub redis_url: Option<Secret>,

    /// A file with that address, which may have a password.
    #[arg(long, value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,

    /// Certificates (PEM) by which the engine's is checked, in place of those that browsers know.
    #[arg(long, value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// How long another server is taken for alive after it has last said so. Who is in its rooms is lost then; it is to be
    /// longer than a server or its way to the engine may stand still.
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = parse_lease)]
    pub lease: Duration,

    /// Whether this server is ready while the engine is away: rooms that are on it alone go on, new ones do not begin.
    /// false: a balancer sends people elsewhere.
    #[arg(long, value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set)]
    pub ready_without_engine: bool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// For programs: one JSON object a line.
    Json,
}

/// A setting that is never shown.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text, for use and not for show.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a secret is not empty".into());
        }
        Ok(Self::new(text))
    }
}

/// What [`Cli::load`] has to say instead of settings.
#[derive(Debug)]
pub enum Refused {
    /// Help or the version was asked for.
    Shown(clap::Error),
    /// A setting is wrong; the text names it, its value and what would be right.
    Wrong(String),
}

impl Cli {
    /// Reads settings from flags and the environment. An empty variable counts as not set.
    pub fn load(args: impl IntoIterator<Item = String>, env: &[(String, String)]) -> Result<Self, Refused> {
        let command = command();
        check_names(&command, env)?;
        let mut args = args.into_iter();
        let program = args.next();
        // What the environment says comes first, so that a flag behind it overrides it.
        let from_env = command.get_arguments().filter_map(|arg| {
            let name = env_name(arg)?;
            let (_, value) = env.iter().find(|(key, value)| *key == name && !value.is_empty())?;
            Some(format!("--{}={value}", arg.get_long()?))
        });
        let all: Vec<String> = program.into_iter().chain(from_env).chain(args).collect();
        let matches = command.clone().try_get_matches_from(all).map_err(|error| explain(&command, error))?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| explain(&command, error))?;
        cli.config.read_files()?;
        cli.config.check_access()?;
        cli.config.check_webhook()?;
        cli.config.engine()?;
        cli.config.check_resume_key()?;
        cli.config.ice_servers().map_err(|why| {
            Refused::Wrong(format!("ROUNDTABLE_ICE_URLS (--ice-urls), ROUNDTABLE_TURN_HOST (--turn-host): {why}"))
        })?;
        Ok(cli)
    }
}

impl Config {
    fn read_files(&mut self) -> Result<(), Refused> {
        // Compose mounts an empty file where nobody has a TURN server.
        let is_empty = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
        let turn_secret_file = self.turn_secret_file.as_ref().filter(|path| !is_empty(path));
        read_file("ROUNDTABLE_TURN_SECRET", &mut self.turn_secret, turn_secret_file)?;
        read_file("ROUNDTABLE_TURN_PASSWORD", &mut self.turn_password, self.turn_password_file.as_ref())?;
        read_file("ROUNDTABLE_WEBHOOK_SECRET", &mut self.webhook_secret, self.webhook_secret_file.as_ref())?;
        // As it mounts one where there is no engine.
        let redis_url_file = self.redis_url_file.as_ref().filter(|path| !is_empty(path));
        read_file("ROUNDTABLE_REDIS_URL", &mut self.redis_url, redis_url_file)?;
        read_file("ROUNDTABLE_ADMIN_TOKEN", &mut self.admin_token, self.admin_token_file.as_ref())?;
        if let Some(token) = &self.admin_token {
            let wrong = |why| Refused::Wrong(format!("ROUNDTABLE_ADMIN_TOKEN (--admin-token): {why}."));
            check_token(token).map_err(wrong)?;
        }
        // The images set the file; whoever sets the key means the key.
        let Some(path) = self.resume_key_file.as_ref().filter(|_| self.resume_key.is_none()) else { return Ok(()) };
        make_key(path);
        read_file("ROUNDTABLE_RESUME_KEY", &mut self.resume_key, Some(path).filter(|path| path.exists()))
    }

    /// Whoever loses a server comes back by another one.
    fn check_resume_key(&self) -> Result<(), Refused> {
        if self.redis_url.is_none() || self.resume_key.is_some() {
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

    /// Who is told of what happens, if anybody.
    pub fn webhook_target(&self) -> Option<Target> {
        let (url, secret) = (self.webhook_url.clone()?, self.webhook_secret.clone()?);
        Some(Target { url, secret, zone: self.zone, queue: self.webhook_queue })
    }

    /// Where the engine is through which servers share rooms, if there is one.
    pub fn engine(&self) -> Result<Option<Address>, Refused> {
        let wrong = |name: &str, why: String| Refused::Wrong(format!("{name}: {why}."));
        let ca = match &self.redis_ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                wrong("ROUNDTABLE_REDIS_CA_FILE (--redis-ca-file)", format!("{}: {error}", path.display()))
            })?),
            None => None,
        };
        let Some(url) = &self.redis_url else { return Ok(None) };
        let address = Address::parse(url.expose(), ca.as_deref());
        address.map(Some).map_err(|why| wrong("ROUNDTABLE_REDIS_URL (--redis-url)", why))
    }

    fn turn_access(&self) -> Result<TurnAccess, String> {
        match (&self.turn_secret, &self.turn_username, &self.turn_password) {
            (None, None, None) => Ok(TurnAccess::Unknown),
            (Some(secret), None, None) => {
                Ok(TurnAccess::Shared { secret: secret.clone(), lifetime: self.turn_lifetime })
            }
            (None, Some(username), Some(password)) => {
                Ok(TurnAccess::Static { username: username.clone(), password: password.clone() })
            }
            _ => {
                Err("set either ROUNDTABLE_TURN_SECRET, or ROUNDTABLE_TURN_USERNAME and ROUNDTABLE_TURN_PASSWORD"
                    .into())
            }
        }
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

    /// What the server can do beyond the minimum.
    pub fn features(&self) -> &'static [&'static str] {
        if self.access == AccessMode::Open { FEATURES } else { FEATURES_WITH_TOKENS }
    }

    /// What an outbox holds.
    pub fn outbox(&self) -> Bounds {
        let bytes = self.outbox_bytes.max(self.room_members * WELCOME_BYTES);
        Bounds {
            waiting: Bound { frames: self.outbox_messages, bytes },
            replay: Bound { frames: self.replay_messages, bytes: self.replay_bytes },
        }
    }

    /// The STUN and TURN servers; the error says which URL is wrong.
    pub fn ice_servers(&self) -> Result<IceServers, String> {
        let mut urls = self.turn_host.as_deref().map_or_else(Vec::new, |host| turn_urls(host, self.turn_port));
        urls.extend(self.ice_urls.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned));
        IceServers::new(&urls, self.turn_access()?)
    }

    /// The longest time between two pings, in whole seconds (R7).
    pub fn heartbeat_seconds(&self) -> u32 {
        (self.ping_interval.as_secs_f64() * 1.25).ceil() as u32
    }

    /// Which server this is, and its time.
    pub fn server_info(&self) -> ServerInfo<'static> {
        ServerInfo {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            time: telemetry::timestamp(self.zone),
        }
    }
}

/// The command line, with the variable of each flag in its help. Variables are read in
/// [`Cli::load`] and not by clap, so that an empty one counts as not set, and no value of a secret
/// is ever shown.
fn command() -> clap::Command {
    Cli::command().args_override_self(true).mut_args(|arg| match (env_name(&arg), arg.get_help().cloned()) {
        (Some(name), Some(help)) => arg.help(format!("{help} [env: {name}]")),
        _ => arg,
    })
}

/// The variable of a flag: `--log-format` is `ROUNDTABLE_LOG_FORMAT`.
fn env_name(arg: &clap::Arg) -> Option<String> {
    match arg.get_long()? {
        "help" | "version" => None,
        "tz" => Some("TZ".into()),
        long => Some(format!("ROUNDTABLE_{}", long.replace('-', "_").to_uppercase())),
    }
}

/// Refuses variables that no setting has: a misspelt one would be ignored in silence.
fn check_names(command: &clap::Command, env: &[(String, String)]) -> Result<(), Refused> {
    let known: Vec<String> = command.get_arguments().filter_map(env_name).collect();
    let mut names = env.iter().map(|(name, _)| name);
    let is_other = |name: &str| OTHERS.contains(&name) || OTHERS_BEGIN.iter().any(|begin| name.starts_with(begin));
    let Some(name) = names.find(|name| name.starts_with("ROUNDTABLE_") && !known.contains(name) && !is_other(name))
    else {
        return Ok(());
    };
    let hint = nearest(name, known.iter().map(String::as_str))
        .map_or_else(String::new, |nearest| format!(" The nearest one is {nearest}."));
    Err(Refused::Wrong(format!("{name}: there is no such setting.{hint} `roundtable --help` lists them all.")))
}

/// Names a wrong setting by its variable too: most are set there.
fn explain(command: &clap::Command, error: clap::Error) -> Refused {
    if !error.use_stderr() {
        return Refused::Shown(error);
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let flag = text(ContextKind::InvalidArg).split(' ').next().unwrap_or_default();
    let arg = command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| flag == format!("--{long}")));
    let Some(name) = arg.and_then(env_name) else {
        return Refused::Wrong(error.to_string().trim_start_matches("error: ").trim_end().to_owned());
    };
    let why = match (error.get(ContextKind::ValidValue), std::error::Error::source(&error)) {
        (Some(ContextValue::Strings(valid)), _) if !valid.is_empty() => format!("it is one of {}", valid.join(", ")),
        (_, Some(source)) => source.to_string(),
        _ => "it needs a value".to_owned(),
    };
    Refused::Wrong(format!("{name} ({flag}): {:?} is not valid: {why}.", text(ContextKind::InvalidValue)))
}

/// Makes a key where there is none, for this user's eyes only. Where it cannot be kept, the server
/// runs all the same, with a key that ends with it. It appears as a whole: of several servers that share the file and
/// start at once, all read what one of them has made.
fn make_key(path: &Path) {
    if path.exists() {
        return;
    }
    let mut key = [0; 32];
    let made = getrandom::fill(&mut key).map_err(std::io::Error::from).and_then(|()| {
        let text = BASE64_STANDARD.encode(key);
        // Names of two that are made at a time differ as their keys do.
        let half = path.with_extension(format!("{:02x}{:02x}{:02x}{:02x}", key[0], key[1], key[2], key[3]));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        let linked = file.write_all(text.as_bytes()).and_then(|()| std::fs::hard_link(&half, path));
        std::fs::remove_file(&half).and(linked)
    });
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            eprintln!("roundtable: no key is kept in {}: {error}; it ends with this process", path.display());
        }
        _ => {}
    }
}

fn read_file(name: &str, value: &mut Option<Secret>, file: Option<&PathBuf>) -> Result<(), Refused> {
    let Some(path) = file else { return Ok(()) };
    let wrong = |why: String| Refused::Wrong(format!("{name}_FILE: {}: {why}.", path.display()));
    if value.is_some() {
        return Err(wrong(format!("{name} is set too; set one of the two")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    // Editors and `echo` end a file with a line break that is no part of the secret.
    let secret = text.trim_end_matches(['\r', '\n']).parse().map_err(wrong)?;
    *value = Some(secret);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Cli, String> {
        let args = std::iter::once("roundtable").chain(args.iter().copied()).map(str::to_owned);
        let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Cli::load(args, &env).map_err(|refused| match refused {
            Refused::Shown(error) => error.to_string(),
            Refused::Wrong(text) => text,
        })
    }

    #[test]
    fn flags_win_over_variables_and_empty_variables_are_not_set() {
        let cli = load(&[], &[("ROUNDTABLE_LISTEN", "127.0.0.1:1"), ("TZ", ""), ("HOME", "/")]).unwrap();
        assert_eq!((cli.config.listen.port(), cli.config.zone), (1, Tz::UTC));
        let cli = load(&["--listen", "127.0.0.1:2"], &[("ROUNDTABLE_LISTEN", "127.0.0.1:1")]).unwrap();
        assert_eq!(cli.config.listen.port(), 2);
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_value_and_what_would_be_right() {
        for (name, value, says) in [
            ("ROUNDTABLE_LISTEN", "18080", "socket address"),
            ("TZ", "Asia/Shangai", "Asia/Shanghai"),
            ("TZ", "Asia/Beijing", "Asia/Shanghai"),
            ("ROUNDTABLE_LOG_FORMAT", "xml", "human, json"),
            ("ROUNDTABLE_LOG", "loud", "level"),
            ("ROUNDTABLE_PING_INTERVAL", "20", "20s"),
            ("ROUNDTABLE_PING_INTERVAL", "0s", "more than 0"),
            ("ROUNDTABLE_ROOM_MEMBERS", "0", "from 1"),
            ("ROUNDTABLE_OUTBOX_BYTES", "1", "262144"),
            ("ROUNDTABLE_MESSAGE_RATE", "-1", "0..="),
            ("ROUNDTABLE_ICE_URLS", "example.org", "stun:"),
            ("ROUNDTABLE_ICE_URLS", "stun://relay.example", "stun:"),
            ("ROUNDTABLE_TURN_HOST", "turn:relay.example", "stun:host"),
            ("ROUNDTABLE_LEASE", "10ms", "1s"),
            ("ROUNDTABLE_READY_WITHOUT_ENGINE", "perhaps", "true, false"),
        ] {
            let error = load(&[], &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value) && error.contains(says), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        let error = load(&[], &[("ROUNDTABLE_LISTN", "x")]).unwrap_err();
        assert!(error.contains("ROUNDTABLE_LISTN:") && error.contains("ROUNDTABLE_LISTEN."), "{error}");
        for other in ["ROUNDTABLE_HOST", "ROUNDTABLE_PORT", "ROUNDTABLE_PORT_18080_TCP", "ROUNDTABLE_SERVICE_PORT_HTTP"]
        {
            assert!(load(&[], &[(other, "tcp://10.0.0.1:18080")]).is_ok(), "{other}");
        }
        let error = load(&["--listn", "x"], &[]).unwrap_err();
        assert!(error.contains("--listn") && error.contains("--listen"), "{error}");
    }

    #[test]
    fn a_resume_key_is_made_once_and_kept() {
        let path = std::env::temp_dir().join(format!("roundtable-key-{}", std::process::id()));
        let key = |path: &Path| {
            let cli = load(&[], &[("ROUNDTABLE_RESUME_KEY_FILE", path.to_str().unwrap())]).unwrap();
            cli.config.resume_key.map(|key| key.expose().to_owned())
        };
        let made = key(&path);
        assert_eq!(made.as_ref().map(String::len), Some(44));
        assert_eq!(key(&path), made);
        std::fs::remove_file(&path).unwrap();
        for _ in 0..20 {
            let keys: Vec<_> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| key(&path))).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            assert!(
                keys.iter().all(|key| key.as_ref().is_some_and(|key| key.len() == 44) && *key == keys[0]),
                "{keys:?}"
            );
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(key(Path::new("/proc/no/key")), None);
    }

    #[test]
    fn secrets_come_from_files_and_are_never_shown() {
        let path = std::env::temp_dir().join(format!("roundtable-secret-{}", std::process::id()));
        std::fs::write(&path, "north\n").unwrap();
        let file = path.to_str().unwrap();
        let cli = load(&[], &[("ROUNDTABLE_TURN_SECRET_FILE", file)]).unwrap();
        assert_eq!(cli.config.turn_secret.as_ref().map(Secret::expose), Some("north"));
        assert!(!format!("{cli:?}").contains("north"));
        let none = ("ROUNDTABLE_TURN_SECRET_FILE", "/dev/null");
        assert!(load(&[], &[none]).unwrap().config.turn_secret.is_none());
        let error = load(&[], &[none, ("ROUNDTABLE_TURN_HOST", "relay.example")]).unwrap_err();
        assert!(error.contains("ROUNDTABLE_TURN_SECRET"), "{error}");
        let both = [("ROUNDTABLE_TURN_SECRET_FILE", file), ("ROUNDTABLE_TURN_SECRET", "south")];
        let error = load(&[], &both).unwrap_err();
        assert!(error.contains("one of the two") && !error.contains("south"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = load(&[], &[("ROUNDTABLE_TURN_SECRET_FILE", file)]).unwrap_err();
        assert!(error.contains(file), "{error}");
        let alone = load(&[], &[("ROUNDTABLE_REDIS_URL", "redis://:north@cache")]).unwrap_err();
        assert!(alone.contains("ROUNDTABLE_RESUME_KEY") && !alone.contains("north"), "{alone}");
        for url in ["redis://:north@a,b", "http://:north@cache", "north"] {
            let error = load(&[], &[("ROUNDTABLE_REDIS_URL", url)]).unwrap_err();
            assert!(error.contains("ROUNDTABLE_REDIS_URL") && !error.contains("north"), "{error}");
        }
        let help = load(&["--help"], &[("ROUNDTABLE_TURN_SECRET", "north")]).unwrap_err();
        assert!(help.contains("ROUNDTABLE_TURN_SECRET") && !help.contains("north"), "{help}");
    }
}
