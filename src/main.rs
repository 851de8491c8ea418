//! The program: settings, logs, listeners, serving, and the exit code.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::SystemTime;

use roundtable::config::{Cli, Command, Refused};
use roundtable::{doctor, http, server::Server, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    let env: Vec<_> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    // In a container the first process is the server, or the init program before it.
    let first_process = std::fs::read("/proc/1/cmdline").unwrap_or_default();
    // Any other invalid setting is reported by the server at its start.
    if let Ok(Some(listen)) = Cli::health(std::env::args(), &env, &first_process) {
        return ended(within_runtime(http::ask_ready(listen.local())));
    }
    let loaded = match Cli::load(std::env::args(), &env) {
        Err(Refused::Shown(text)) => text.exit(),
        Err(Refused::Wrong(text)) => Err(text),
        Ok(cli) => Ok(cli),
    };
    // The doctor also reports invalid settings.
    if let Some(order) = Cli::doctor(std::env::args()) {
        let settings = loaded.as_ref().map(|cli| &cli.config).map_err(String::as_str);
        return within_runtime(doctor::run(&order, settings)).unwrap_or_else(|text| {
            eprintln!("roundtable: {text}");
            ExitCode::from(2)
        });
    }
    let cli = match loaded {
        Ok(cli) => cli,
        Err(text) => {
            eprintln!("roundtable: {text}");
            return ExitCode::from(2);
        }
    };
    ended(within_runtime(run(cli)))
}

fn ended(result: Result<Result<(), String>, String>) -> ExitCode {
    match result.and_then(|result| result) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("roundtable: {text}");
            ExitCode::FAILURE
        }
    }
}

fn within_runtime<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start: {error}"))?;
    let result = runtime.block_on(work);
    // Without waiting for file reads that may never end, as on a network mount.
    runtime.shutdown_background();
    Ok(result)
}

async fn run(cli: Cli) -> Result<(), String> {
    let config = cli.config;
    match cli.command {
        // Both were handled before this: they work without valid settings.
        None | Some(Command::Doctor(_) | Command::Health) => {}
        Some(Command::Token(order)) => {
            let rules = config.token_rules();
            return print(order.make(config.token_keys_file, rules, SystemTime::now())?);
        }
        Some(Command::Limits) => return print(config.limits_table()),
        Some(Command::TokenKey(order)) => return print(order.make(config.token_keys_file)?),
    }
    telemetry::init_logs(&config);
    let mut signals = Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    raise_file_limit(config.open_files());
    let server = Server::bind(config).await?;
    if let (Ok(listen), Ok(ops)) = (server.addresses(), server.ops_addresses()) {
        let (listen, ops) = (list(&listen), list(&ops));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %listen, %ops, "serving");
    }
    server
        .run(async move {
            signals.next().await;
            tokio::spawn(async move {
                signals.next().await;
                tracing::warn!("stopped at once, at the second signal");
                std::process::exit(1);
            });
        })
        .await;
    Ok(())
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn print(text: String) -> Result<(), String> {
    match writeln!(std::io::stdout(), "{text}") {
        // The reader, such as `head`, has had enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| error.to_string()),
    }
}

/// Raises the limit of open files. Each connection is an open file, and the usual limit is 1,024.
fn raise_file_limit(wanted: u64) {
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => {
            tracing::warn!(limit, wanted, "fewer open files are allowed (ulimit -n) than ROUNDTABLE_CONNECTIONS needs");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// Signals that stop the server: SIGTERM from a service manager, SIGINT from a terminal.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
