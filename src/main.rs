//! Settings, logs, bind, serve, exit code.

use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use roundtable::config::{Cli, Command, Refused};
use roundtable::{http, server::Server, telemetry};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a process opens anyway.
const OTHER_FILES: u64 = 1_000;

/// What is asked for where connections have no limit.
const ANY_CONNECTIONS: u64 = 1_000_000;

fn main() -> ExitCode {
    let env: Vec<_> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    let cli = match Cli::load(std::env::args(), &env) {
        Ok(cli) => cli,
        Err(Refused::Shown(text)) => text.exit(),
        Err(Refused::Wrong(text)) => {
            eprintln!("roundtable: {text}");
            return ExitCode::from(2);
        }
    };
    let result = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let result = runtime.block_on(run(cli));
            // Without waiting for reads of files that may never end, as of a network mount.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("roundtable: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), String> {
    let config = cli.config;
    match cli.command {
        None => {}
        Some(Command::Health) => return http::ask_ready(config.ops_listen).await,
        Some(Command::Token(order)) => return print(order.make(config.token_keys_file, SystemTime::now())?),
        Some(Command::Limits) => return print(config.limits_table()),
        Some(Command::TokenKey(order)) => return print(order.make(config.token_keys_file)?),
    }
    telemetry::init_logs(&config);
    let mut signals = Signals::new().map_err(|error| format!("cannot listen for signals: {error}"))?;
    raise_file_limit(config.connections, config.requests);
    let server = Server::bind(config).await?;
    let addresses = (server.address(), server.ops_address());
    if let (Ok(listen), Ok(ops)) = addresses {
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

fn print(text: String) -> Result<(), String> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

/// Each connection is an open file, and the usual limit is 1,024.
fn raise_file_limit(connections: usize, requests: usize) {
    let connections = if connections == 0 { ANY_CONNECTIONS } else { connections as u64 };
    // There are two listeners for requests.
    let wanted = connections + 2 * requests as u64 + OTHER_FILES;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => {
            tracing::warn!(limit, wanted, "fewer open files are allowed (ulimit -n) than ROUNDTABLE_CONNECTIONS needs");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

/// SIGTERM from whoever runs the server, SIGINT from a terminal.
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
