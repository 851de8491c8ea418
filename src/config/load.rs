//! How settings are read, from flags and the environment, and what is said of wrong ones.

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser};

use super::values::nearest;
use super::{Cli, Command, DoctorOrder};

/// What is no setting of the server but may stand in its environment: what nginx and the compose
/// file read, and what Kubernetes tells every container of a service that is called `roundtable`.
const OTHERS: [&str; 5] =
    ["ROUNDTABLE_HOST", "ROUNDTABLE_UPSTREAM", "ROUNDTABLE_UPSTREAMS", "ROUNDTABLE_PORT", "ROUNDTABLE_SERVICE_HOST"];
const OTHERS_BEGIN: [&str; 2] = ["ROUNDTABLE_PORT_", "ROUNDTABLE_SERVICE_PORT"];

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
        cli.config.engine.address()?;
        cli.config.check_resume_key()?;
        cli.config.engine.check(cli.config.room_members)?;
        cli.config.traces.target()?;
        cli.config.relays.ice_servers().map_err(|why| {
            Refused::Wrong(format!("ROUNDTABLE_ICE_URLS (--ice-urls), ROUNDTABLE_TURN_HOST (--turn-host): {why}"))
        })?;
        Ok(cli)
    }
}

impl Cli {
    /// The order to look for what is wrong, if that is what the arguments are: whatever the environment says.
    pub fn doctor(args: impl IntoIterator<Item = String>) -> Option<DoctorOrder> {
        match Self::try_parse_from(args).ok()?.command {
            Some(Command::Doctor(order)) => Some(order),
            _ => None,
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
pub(super) fn env_name(arg: &clap::Arg) -> Option<String> {
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
            ("ROUNDTABLE_OTLP_ENDPOINT", "collector:4318", "http"),
            ("ROUNDTABLE_OTLP_ENDPOINT", "http://collector:4318/v1/traces", "is added"),
            ("ROUNDTABLE_OTLP_ENDPOINT", "http://me:key@collector:4318", "ROUNDTABLE_OTLP_HEADERS"),
            ("ROUNDTABLE_OTLP_SAMPLE", "1.5", "from 0 to 1"),
            ("ROUNDTABLE_OTLP_SAMPLE", "NaN", "from 0 to 1"),
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
}
