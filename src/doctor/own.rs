//! Checks of this machine's settings and of what they name: files, the store, TURN servers, the listener.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, header};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::findings::Finding;
use super::relays;
use super::report::{Found, Report};
use super::vantage::Vantage;
use super::web::{self, Trust};
use crate::cluster::engine::Redis;
use crate::config::{Config, DoctorOrder, STATIC_DIR};
use crate::ice::Client;
use crate::limits::SharedAddress;
use crate::listener::Listener;
use crate::protocol::PeerId;

/// Timeout of the store, which covers several steps.
const ENGINE_PATIENCE: Duration = Duration::from_secs(6);

/// Determines the finding for settings with which a server would not start.
pub(super) fn refused(why: &str) -> Found {
    let setting = why.split([' ', ':']).next().unwrap_or_default();
    let finding = match setting {
        "TZ" => Finding::UnknownZone,
        // "… (os error 2)": the operating system reported the error.
        _ if setting.ends_with("_FILE") && why.contains("(os error") => Finding::FileUnreadable,
        _ => Finding::SettingWrong,
    };
    Found::new(finding, setting, why)
}

/// Checks everything that the settings name.
pub(super) async fn look(config: &Config, order: &DoctorOrder, report: &mut Report) {
    report.well("settings", format!("the server starts with them; its zone is {}", config.zone));
    look_at_files(config, report);
    look_at_limit(config, report);
    look_at_engine(config, report).await;
    if look_at_listener(config, report).await {
        look_at_client_addresses(config, report).await;
    }
    let trust = match Trust::new(order.ca_file.as_deref()) {
        Ok(trust) => trust,
        Err(why) => return report.missed("certificates", why),
    };
    let peer = PeerId::from_random(std::array::from_fn(|_| fastrand::u8(..)));
    match config.relays.ice_servers() {
        Ok(servers) => {
            let servers = servers.for_client(Client::Peer(peer), SystemTime::now());
            relays::look(&servers, &trust, Vantage::of_operator(), report).await;
        }
        Err(why) => report.found(Found::new(Finding::SettingWrong, "ROUNDTABLE_ICE_URLS", why)),
    }
}

fn look_at_files(config: &Config, report: &mut Report) {
    let page = config.static_dir.join("index.html");
    match std::fs::metadata(&page) {
        Ok(_) => report.well("page", format!("{} is there", page.display())),
        // No directory is configured, so that a web server in front may serve the page.
        Err(error) if config.static_dir == Path::new(STATIC_DIR) => {
            let why = "right where a web server in front serves the page, else set ROUNDTABLE_STATIC_DIR";
            report.missed("page", format!("{} ({error}): {why}", page.display()));
        }
        Err(error) => {
            report.found(Found::new(Finding::PageMissing, page.display().to_string(), error.to_string()));
        }
    }
    let Some(keys) = &config.token_keys_file else { return };
    match std::fs::read(keys) {
        Ok(_) => report.well("keys", format!("{} can be read", keys.display())),
        Err(error) => {
            report.found(Found::new(Finding::FileUnreadable, keys.display().to_string(), error.to_string()));
        }
    }
}

fn look_at_limit(config: &Config, report: &mut Report) {
    let wanted = config.open_files();
    match rlimit::Resource::NOFILE.get() {
        // The server raises the soft limit itself.
        Ok((_, hard)) if hard < wanted => {
            let why = format!("{hard} may be open, {wanted} are needed");
            report.found(Found::new(Finding::FileLimitLow, "ROUNDTABLE_CONNECTIONS", why));
        }
        Ok((_, hard)) => report.well("files", format!("{hard} may be open, {wanted} are needed")),
        Err(error) => report.missed("files", error.to_string()),
    }
}

async fn look_at_engine(config: &Config, report: &mut Report) {
    // Invalid addresses have already been rejected.
    let Ok(Some(address)) = config.engine.address() else { return };
    let (place, tls) = (address.to_string(), address.has_tls());
    let tried = timeout(ENGINE_PATIENCE, Redis::try_once(address)).await;
    match tried.unwrap_or_else(|_| Err(format!("{place}: not within {} s", ENGINE_PATIENCE.as_secs()))) {
        Ok(()) => report.well("engine", format!("{place} is reached")),
        Err(why) => {
            // The store's own error messages for wrong connections are terse.
            let hint = match why.as_str() {
                why if why.contains("NOAUTH") => "; it wants a password",
                why if tls && why.ends_with("timed out") => "; it may have no TLS: redis://",
                why if !tls && why.contains("reset by peer") => "; it may have TLS: rediss://",
                _ => "",
            };
            report.found(Found::new(Finding::EngineUnreachable, "ROUNDTABLE_REDIS_URL", why + hint));
        }
    }
}

/// Returns whether a Roundtable server is running there.
async fn look_at_listener(config: &Config, report: &mut Report) -> bool {
    let listen = config.listen;
    match Listener::bind(listen) {
        Ok(_) => {
            report.well("listener", format!("{listen} is free: no server runs here"));
            return false;
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {}
        // Not an address of this machine, or a port that only root may use.
        Err(error) => {
            let why = format!("{listen}: {error}");
            report.found(Found::new(Finding::SettingWrong, "ROUNDTABLE_LISTEN", why));
            return false;
        }
    }
    let asked = async {
        let stream = TcpStream::connect(listen.local()).await.map_err(|error| error.to_string())?;
        let host = HeaderValue::from_static("localhost");
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        web::ask(Box::new(stream), "GET", "/signal-api/v1/welcome", headers).await
    };
    let answer = timeout(web::PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer".into()));
    match answer.map(|answer| answer.envelope()) {
        Ok(Some((_, data))) if data["name"] == "roundtable" => {
            report.well("listener", format!("a server runs at {listen}"));
            return true;
        }
        Ok(_) => report.found(Found::new(Finding::PortTaken, listen.to_string(), "what answers is not Roundtable")),
        Err(why) => report.found(Found::new(Finding::PortTaken, listen.to_string(), why)),
    }
    false
}

/// Asks the running server whether it has seen a proxy that hides client addresses. Connections from the container
/// network's gateway may come from this machine itself, which only a check from outside can tell.
async fn look_at_client_addresses(config: &Config, report: &mut Report) {
    let address = config.ops_listen.local();
    let asked = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        web::ask(Box::new(stream), "GET", "/metrics", headers).await
    };
    let answer = timeout(web::PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer".into()));
    let metrics = match answer {
        Ok(answer) => answer.body,
        Err(why) => return report.missed("addresses", format!("{address}/metrics: {why}")),
    };
    let seen = metrics.lines().filter_map(|line| {
        let (cause, count) = line.strip_prefix("roundtable_shared_addresses_total{cause=\"")?.split_once("\"} ")?;
        Some((cause, count.parse::<u64>().ok()?))
    });
    let seen: Vec<_> = seen.filter(|(cause, count)| *cause != SharedAddress::Gateway.as_str() && *count > 0).collect();
    if seen.is_empty() {
        return report.well("addresses", "the server has seen no proxy that hides the addresses of visitors");
    }
    let counts: Vec<_> = seen.iter().map(|(cause, count)| format!("{cause}: {count}")).collect();
    let why = format!("requests since the server's start: {}", counts.join(", "));
    report.found(Found::new(Finding::SharedClientAddress, "ROUNDTABLE_TRUSTED_PROXIES", why));
}
