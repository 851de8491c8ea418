//! This machine's own settings, and what they name: files, the engine, the relays, the listener.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::findings::Finding;
use super::relays;
use super::report::{Found, Report};
use super::web::{self, Trust};
use crate::cluster::ServerId;
use crate::cluster::bus::Event;
use crate::cluster::engine::Redis;
use crate::cluster::records::Limits;
use crate::config::{Config, DoctorOrder};
use crate::http::reachable;
use crate::protocol::PeerId;
use crate::telemetry::Metrics;

/// How long the engine may take: some tries.
const ENGINE_PATIENCE: Duration = Duration::from_secs(6);

/// What is wrong with settings that a server would not start with.
pub(super) fn refused(why: &str) -> Found {
    let setting = why.split([' ', ':']).next().unwrap_or_default();
    let finding = match setting {
        "TZ" => Finding::UnknownZone,
        // "… (os error 2)": the system has refused it, not we.
        _ if setting.ends_with("_FILE") && why.contains("(os error") => Finding::FileUnreadable,
        _ => Finding::SettingWrong,
    };
    Found::new(finding, setting, why)
}

/// Looks at all that the settings name.
pub(super) async fn look(config: &Config, order: &DoctorOrder, report: &mut Report) {
    report.well("settings", format!("the server starts with them; its zone is {}", config.zone));
    look_at_files(config, report);
    look_at_limit(config, report);
    look_at_engine(config, report).await;
    look_at_listener(config, report).await;
    let trust = match Trust::new(order.ca_file.as_deref()) {
        Ok(trust) => trust,
        Err(why) => return report.missed("certificates", why),
    };
    let peer = PeerId::from_random(std::array::from_fn(|_| fastrand::u8(..)));
    match config.relays.ice_servers() {
        Ok(servers) => relays::look(&servers.for_peer(peer, SystemTime::now()), &trust, report).await,
        Err(why) => report.found(Found::new(Finding::SettingWrong, "ROUNDTABLE_ICE_URLS", why)),
    }
}

fn look_at_files(config: &Config, report: &mut Report) {
    let page = config.static_dir.join("index.html");
    match std::fs::metadata(&page) {
        Ok(_) => report.well("page", format!("{} is there", page.display())),
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
        // The server raises the soft one itself.
        Ok((_, hard)) if hard < wanted => {
            let why = format!("{hard} may be open, {wanted} are needed");
            report.found(Found::new(Finding::FileLimitLow, "ROUNDTABLE_CONNECTIONS", why));
        }
        Ok((_, hard)) => report.well("files", format!("{hard} may be open, {wanted} are needed")),
        Err(error) => report.missed("files", error.to_string()),
    }
}

async fn look_at_engine(config: &Config, report: &mut Report) {
    // Settings with an address that is none are refused before.
    let Ok(Some(address)) = config.engine.address() else { return };
    let (sender, mut events) = mpsc::channel(16);
    let engine = Metrics::new().engine;
    let _bus = Redis::connect(address, Limits::default(), ServerId(fastrand::u64(..)), sender, engine);
    let connected = async {
        while let Some(event) = events.recv().await {
            if matches!(event, Event::Connected) {
                return;
            }
        }
    };
    match timeout(ENGINE_PATIENCE, connected).await {
        Ok(()) => report.well("engine", "it is reached"),
        Err(_) => {
            let why = format!("not within {} s; the server's log says why", ENGINE_PATIENCE.as_secs());
            // The address may have a password.
            report.found(Found::new(Finding::EngineUnreachable, "ROUNDTABLE_REDIS_URL", why));
        }
    }
}

async fn look_at_listener(config: &Config, report: &mut Report) {
    let listen = config.listen;
    if TcpListener::bind(listen).await.is_ok() {
        return report.well("listener", format!("{listen} is free: no server runs here"));
    }
    let address = std::net::SocketAddr::new(reachable(listen.ip()), listen.port());
    let asked = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let host = HeaderValue::from_static("localhost");
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        web::ask(Box::new(stream), "GET", "/signal-api/v1/welcome", headers).await
    };
    let answer = timeout(web::PATIENCE, asked).await.unwrap_or_else(|_| Err("no answer".into()));
    match answer.map(|answer| answer.envelope()) {
        Ok(Some((_, data))) if data["name"] == "roundtable" => {
            report.well("listener", format!("a server runs at {listen}"));
        }
        Ok(_) => report.found(Found::new(Finding::PortTaken, listen.to_string(), "what answers is not Roundtable")),
        Err(why) => report.found(Found::new(Finding::PortTaken, listen.to_string(), why)),
    }
}
