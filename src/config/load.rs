//! Loads settings from flags and the environment, and explains errors in them.

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};

use super::values::{nearest, without_credentials};
use super::{Cli, Command, DoctorOrder, ListenAddress};

/// Environment variables that are read by nginx and the Compose files only.
const OTHERS: [&str; 3] = ["ROUNDTABLE_HOST", "ROUNDTABLE_UPSTREAM", "ROUNDTABLE_UPSTREAMS"];

/// Prefix with which docker-compose.yml forwards variables that `.env` must not set, each with what to set instead.
const REFUSED_BY_COMPOSE: &str = "ROUNDTABLE_COMPOSE_";
const SET_BY_COMPOSE: [(&str, &str); 10] = [
    ("LISTEN", "HTTPS_PORT is the published port, and nginx finds the server at 18080"),
    ("OPS_LISTEN", "Prometheus and the health check find the server at 18081, which is not published"),
    ("TURN_HOST", "set TURN_HOST, which coturn has, too"),
    ("TURN_PORT", "set TURN_PORT, which coturn has, too"),
    ("TURN_SECRET_FILE", "set TURN_SECRET_FILE, a path on this machine"),
    ("ADMIN_TOKEN_FILE", "set ADMIN_TOKEN_FILE, a path on this machine"),
    ("WEBHOOK_SECRET_FILE", "set WEBHOOK_SECRET_FILE, a path on this machine"),
    ("REDIS_URL", "docker-compose.cluster.yml brings its own Valkey"),
    ("REDIS_URL_FILE", "docker-compose.cluster.yml brings its own Valkey"),
    ("OTLP_HEADERS_FILE", "set OTLP_HEADERS_FILE, a path on this machine"),
];

/// Reason why [`Cli::load`] returns no settings.
#[derive(Debug)]
pub enum Refused {
    /// Help or the version was requested.
    Shown(clap::Error),
    /// A setting is invalid. The text names it, its value, and what would be valid.
    Wrong(String),
}

impl Cli {
    /// Loads settings from flags and the environment. An empty variable counts as unset.
    pub fn load(args: impl IntoIterator<Item = String>, env: &[(String, String)]) -> Result<Self, Refused> {
        let mut cli = Self::parse_settings(args, env, &[])?;
        cli.config.check()?;
        Ok(cli)
    }

    /// Returns the address that `roundtable health` queries, if that is the command.
    ///
    /// The command's own flags take precedence over the flags of the server in the same container, and these over the
    /// environment, which both processes share. `server` is the command line of the container's first process, in the
    /// format of /proc/1/cmdline. No files are read, because the server itself checks the other settings.
    pub fn health(
        args: impl IntoIterator<Item = String>,
        env: &[(String, String)],
        server: &[u8],
    ) -> Result<Option<ListenAddress>, Refused> {
        let flags = server_flags(server);
        let cli = Self::parse_settings(args, env, flags.as_deref().unwrap_or_default())?;
        Ok(matches!(cli.command, Some(Command::Health)).then_some(cli.config.ops_listen))
    }

    /// Parses flags and the environment. `server` contains flags that rank between the environment and the arguments.
    fn parse_settings(
        args: impl IntoIterator<Item = String>,
        env: &[(String, String)],
        server: &[String],
    ) -> Result<Self, Refused> {
        let command = command();
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.trim())).collect();
        let env: Vec<_> = env.into_iter().filter(|(name, value)| !is_service_link(name, value)).collect();
        check_names(&command, &env)?;
        let mut args = args.into_iter();
        let program = args.next();
        // Variables come first, so that a later flag overrides them.
        let mut all: Vec<String> = program.into_iter().collect();
        for arg in command.get_arguments() {
            let (Some(name), Some(flag)) = (env_name(arg), arg.get_long()) else { continue };
            let value = env.iter().find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| *value);
            if let Some(value) = value {
                check_quotes(&name, value)?;
                all.push(format!("--{flag}={value}"));
            }
        }
        all.extend(server.iter().cloned().chain(args));
        let matches = command.clone().try_get_matches_from(all).map_err(|error| explain(&command, error))?;
        Self::from_arg_matches(&matches).map_err(|error| explain(&command, error))
    }

    /// Returns the arguments of `roundtable doctor`, if that is the command. The environment is ignored.
    pub fn doctor(args: impl IntoIterator<Item = String>) -> Option<DoctorOrder> {
        let matches = command().try_get_matches_from(args).ok()?;
        match Self::from_arg_matches(&matches).ok()?.command {
            Some(Command::Doctor(order)) => Some(order),
            _ => None,
        }
    }
}

/// Returns `--ops-listen` from a server's command line, which may follow an init program: `docker-init -- roundtable
/// …`.
fn server_flags(command_line: &[u8]) -> Option<Vec<String>> {
    // Each argument ends with a zero byte (proc_pid_cmdline(5)).
    let words: Vec<&str> = std::str::from_utf8(command_line).ok()?.split_terminator('\0').collect();
    let at = words.iter().position(|word| word.rsplit('/').next() == Some(env!("CARGO_PKG_NAME")))?;
    let matches = command().try_get_matches_from(&words[at..]).ok()?;
    if matches.subcommand().is_some() || matches.value_source("ops_listen") != Some(ValueSource::CommandLine) {
        return None;
    }
    let listen = matches.get_one::<ListenAddress>("ops_listen")?;
    Some(vec![format!("--ops-listen={listen}")])
}

/// Returns whether a variable is one of those that Kubernetes adds for each Service of the namespace (and Docker for
/// `--link`). For a Service called `roundtable-turn`, `ROUNDTABLE_TURN_PORT=tcp://10.0.0.1:3478` is also the name of a
/// setting. Names alone are therefore ambiguous, and the value must match, too.
fn is_service_link(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_url = |text: &str| {
        let rest = PROTOCOLS.iter().find_map(|name| text.strip_prefix(&format!("{}://", name.to_lowercase())));
        rest.and_then(|rest| rest.rsplit_once(':')).is_some_and(|(host, port)| !host.is_empty() && is_number(port))
    };
    // Variables of a port, with its number and protocol.
    let fits_port = |rest: &str| {
        let (number, rest) = rest.split_once('_').unwrap_or_default();
        let (protocol, field) = rest.split_once('_').unwrap_or((rest, ""));
        let fits = match field {
            "" => is_url(value),
            "PROTO" => PROTOCOLS.contains(&value.to_uppercase().as_str()),
            "PORT" => is_number(value),
            "ADDR" => !value.is_empty(),
            _ => false,
        };
        is_number(number) && PROTOCOLS.contains(&protocol) && fits
    };
    if !name.starts_with("ROUNDTABLE_") {
        return false;
    }
    let is_service_port = |(_, rest): (&str, &str)| rest.is_empty() || rest.starts_with('_');
    name.ends_with("_SERVICE_HOST") && !value.is_empty()
        || name.split_once("_SERVICE_PORT").is_some_and(is_service_port) && is_number(value)
        || name.ends_with("_PORT") && is_url(value)
        || name.match_indices("_PORT_").any(|(at, found)| fits_port(&name[at + found.len()..]))
}

/// Rejects a value in quotes: a shell and Compose remove quotes, but `docker run --env-file` does not. The value is not
/// shown, as it may be a secret.
fn check_quotes(name: &str, value: &str) -> Result<(), Refused> {
    let is_quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    if !is_quoted('"') && !is_quoted('\'') {
        return Ok(());
    }
    Err(Refused::Wrong(format!(
        "{name}: the value stands in quotes, which belong to it in a file for `docker run --env-file`: write {name}=value \
         without them."
    )))
}

/// Builds the command line, with the variable of each flag in its help. [`Cli::load`] reads the variables instead of
/// clap, so that an empty one counts as unset, and no secret is ever shown.
fn command() -> clap::Command {
    Cli::command().args_override_self(true).mut_args(|arg| match (env_name(&arg), arg.get_help().cloned()) {
        // Global: settings may also follow a command.
        (Some(name), Some(help)) => arg.help(format!("{help} [env: {name}]")).global(true).help_heading("Settings"),
        _ => arg,
    })
}

/// Returns the variable of a flag: `--log-format` is `ROUNDTABLE_LOG_FORMAT`.
pub(super) fn env_name(arg: &clap::Arg) -> Option<String> {
    match arg.get_long()? {
        "help" | "version" => None,
        "tz" => Some("TZ".into()),
        long => Some(format!("ROUNDTABLE_{}", long.replace('-', "_").to_uppercase())),
    }
}

/// Rejects variables that are not settings, because a misspelt one would be ignored silently.
fn check_names(command: &clap::Command, env: &[(&str, &str)]) -> Result<(), Refused> {
    let known: Vec<String> = command.get_arguments().filter_map(env_name).collect();
    for (name, value) in env.iter().filter(|(name, _)| name.starts_with("ROUNDTABLE_")) {
        if let Some(setting) = name.strip_prefix(REFUSED_BY_COMPOSE) {
            check_set_by_compose(setting, value)?;
        } else if *name == "ROUNDTABLE_PORT" {
            return Err(Refused::Wrong("ROUNDTABLE_PORT: the setting is called ROUNDTABLE_LISTEN.".to_owned()));
        } else if !OTHERS.contains(name) && !known.iter().any(|known| known == name) {
            let hint = nearest(name, known.iter().map(String::as_str))
                .map_or_else(String::new, |nearest| format!(" The nearest one is {nearest}."));
            let text = format!("{name}: there is no such setting.{hint} `roundtable --help` lists them all.");
            return Err(Refused::Wrong(text));
        }
    }
    Ok(())
}

/// Rejects a setting that docker-compose.yml sets itself and would otherwise ignore silently.
fn check_set_by_compose(setting: &str, value: &str) -> Result<(), Refused> {
    if value.is_empty() {
        return Ok(());
    }
    let hint = SET_BY_COMPOSE.iter().find(|(name, _)| *name == setting).map_or("", |(_, hint)| hint);
    Err(Refused::Wrong(format!(
        "ROUNDTABLE_{setting}: docker-compose.yml sets it itself; remove it from .env: {hint}."
    )))
}

/// Explains an invalid setting. Names its variable as well as its flag, because most settings are set by variables.
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
    let value = without_credentials(text(ContextKind::InvalidValue));
    Refused::Wrong(format!("{name} ({flag}): {value:?} is not valid: {why}."))
}

#[cfg(test)]
pub(super) mod tests {
    use chrono_tz::Tz;

    use super::*;

    pub(in super::super) fn load(args: &[&str], env: &[(&str, &str)]) -> Result<Cli, String> {
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
            ("ROUNDTABLE_LISTEN", "meet.example:18080", "127.0.0.1:18080"),
            ("ROUNDTABLE_OPS_LISTEN", "127.0.0.1", "127.0.0.1:18080"),
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
            ("ROUNDTABLE_OTLP_ENDPOINT", "collector:4318", "http"),
            ("ROUNDTABLE_OTLP_ENDPOINT", "http://collector:4318/v1/traces", "is added"),
            ("ROUNDTABLE_OTLP_SAMPLE", "1.5", "from 0 to 1"),
            ("ROUNDTABLE_OTLP_SAMPLE", "NaN", "from 0 to 1"),
        ] {
            let error = load(&[], &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value) && error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_wrong_address_is_shown_without_its_password_and_query() {
        for (name, value, shown) in [
            ("ROUNDTABLE_OTLP_ENDPOINT", "http://me:north@collector:4318", "http://…@collector:4318"),
            ("ROUNDTABLE_OTLP_ENDPOINT", "me:north@collector:4318", "…@collector:4318"),
            ("ROUNDTABLE_OTLP_ENDPOINT", "http://collector:4318?key=north", "http://collector:4318?…"),
            ("ROUNDTABLE_WEBHOOK_URL", "ftp://me:north@app.example/events", "ftp://…@app.example/events"),
            ("ROUNDTABLE_ICE_URLS", "turn:me:north@relay.example:3478", "…@relay.example:3478"),
        ] {
            let error = load(&[], &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(shown) && !error.contains("rth"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_reaches_the_operators_listener_by_default() {
        let config = load(&[], &[]).unwrap().config;
        assert_eq!(config.ops_listen, ListenAddress::Localhost(18081));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest_one() {
        let error = load(&[], &[("ROUNDTABLE_LISTN", "x")]).unwrap_err();
        assert!(error.contains("ROUNDTABLE_LISTN:") && error.contains("ROUNDTABLE_LISTEN."), "{error}");
        assert!(load(&[], &[("ROUNDTABLE_HOST", "meet.example"), ("ROUNDTABLE_UPSTREAM", "server:18080")]).is_ok());
        let error = load(&["--listn", "x"], &[]).unwrap_err();
        assert!(error.contains("--listn") && error.contains("--listen"), "{error}");
    }

    /// Variables as in kubelet's envvars.go, for Services called roundtable, roundtable-turn, …
    #[test]
    fn variables_of_kubernetes_services_are_no_settings() {
        let links: Vec<(String, String)> = ["ROUNDTABLE", "ROUNDTABLE_NGINX", "ROUNDTABLE_TURN", "ROUNDTABLE_OPS"]
            .iter()
            .flat_map(|service| {
                [
                    ("SERVICE_HOST", "10.96.0.7"),
                    ("SERVICE_PORT", "18080"),
                    ("SERVICE_PORT_HTTP", "18080"),
                    ("SERVICE_PORT_TURN_PORT", "3478"),
                    ("PORT", "tcp://10.96.0.7:18080"),
                    ("PORT_18080_TCP", "tcp://10.96.0.7:18080"),
                    ("PORT_18080_TCP_PROTO", "tcp"),
                    ("PORT_18080_TCP_PORT", "18080"),
                    ("PORT_18080_TCP_ADDR", "10.96.0.7"),
                    ("PORT_3478_UDP", "udp://[fd00::7]:3478"),
                    ("PORT_3478_UDP_PROTO", "udp"),
                ]
                .map(|(name, value)| (format!("{service}_{name}"), value.to_owned()))
            })
            .collect();
        let links: Vec<_> = links.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = load(&[], &links).unwrap().config;
        assert_eq!(config.relays.turn_port, load(&[], &[]).unwrap().config.relays.turn_port);
        for (name, value) in [
            ("ROUNDTABLE_TRUN_PORT", "3478"),
            ("ROUNDTABLE_LISTEN_PORT", "18080"),
            ("ROUNDTABLE_PORT", "18080"),
            ("ROUNDTABLE_PORT_18080_TCP", "yes"),
            ("ROUNDTABLE_SERVICE", "10.96.0.7"),
            ("ROUNDTABLE_TURN_PORT", "3478/udp"),
        ] {
            let error = load(&[], &[(name, value)]).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn white_space_around_a_value_is_no_part_of_it_and_quotes_are_refused() {
        let config = load(&[], &[("TZ", " Asia/Shanghai\r"), ("ROUNDTABLE_ROOMS", " ")]).unwrap().config;
        assert_eq!((config.zone, config.rooms), (Tz::Asia__Shanghai, 50_000));
        for (name, value) in [("ROUNDTABLE_ADMIN_TOKEN", "\"sixteen-or-more-of-them\""), ("TZ", "'UTC'")] {
            let error = load(&[], &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains("quotes") && !error.contains("sixteen"), "{error}");
        }
    }

    #[test]
    fn a_setting_may_stand_behind_a_command() {
        for args in [["--ops-listen", "127.0.0.1:9", "health"], ["health", "--ops-listen", "127.0.0.1:9"]] {
            let cli = load(&args, &[("ROUNDTABLE_OPS_LISTEN", "127.0.0.1:7")]).unwrap();
            assert_eq!(cli.config.ops_listen.port(), 9, "{args:?}");
        }
        let order = ["roundtable", "doctor", "--quick", "--tz", "UTC"].map(str::to_owned);
        assert!(Cli::doctor(order).is_some_and(|order| order.quick));
    }

    #[test]
    fn health_asks_where_the_server_of_its_container_listens() {
        let env = [("ROUNDTABLE_OPS_LISTEN".to_owned(), "127.0.0.1:7".to_owned())];
        let ask = |args: &[&str], server: &[&str]| {
            let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            let args = words(&[&["roundtable"], args].concat());
            let server: String = server.iter().map(|word| format!("{word}\0")).collect();
            Cli::health(args, &env, server.as_bytes()).unwrap().map(ListenAddress::port)
        };
        for (args, server, port) in [
            (&["health"][..], &["/usr/local/bin/roundtable", "--ops-listen", "8"][..], 8),
            (&["health"], &["/sbin/docker-init", "--", "roundtable", "--rooms=5", "--ops-listen=:8"], 8),
            (&["health", "--ops-listen", "9"], &["roundtable", "--ops-listen", "8"], 9),
            (&["health"], &["roundtable", "--listen", "8"], 7),
            (&["health"], &["/pause"], 7),
            (&["health"], &["roundtable", "health", "--ops-listen", "8"], 7),
            (&["health"], &["roundtable", "--ops-listen"], 7),
            (&["health"], &[], 7),
        ] {
            assert_eq!(ask(args, server), Some(port), "{args:?} {server:?}");
        }
        assert_eq!(ask(&["limits"], &[]), None);
    }

    #[test]
    fn a_setting_that_compose_sets_itself_is_refused_with_what_to_set() {
        for (name, hint) in SET_BY_COMPOSE {
            let variable = format!("{REFUSED_BY_COMPOSE}{name}");
            assert!(load(&[], &[(&variable, "")]).is_ok());
            let error = load(&[], &[(&variable, "x")]).unwrap_err();
            assert!(error.starts_with(&format!("ROUNDTABLE_{name}:")) && error.contains(hint), "{error}");
            let command = command();
            assert!(command.get_arguments().any(|arg| env_name(arg) == Some(format!("ROUNDTABLE_{name}"))), "{name}");
        }
    }
}
