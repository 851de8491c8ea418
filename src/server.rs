//! From a bound address to the last connection's end.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::app::App;
use crate::config::Config;
use crate::http::{self, Patience, PeerAddress};
use crate::hub::Connection;
use crate::limits::{Kind, Visit};
use crate::telemetry::{Limit, QUALITY_STEP};

/// How much sooner a client has to send a request's head where half of the places are taken: who holds them without a
/// word is not to keep others waiting.
const HURRY: u32 = 5;
/// The longest head of a request in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// How long to wait after the system refused a connection, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long the end waits for what another program is still to be told.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(2);
/// The same for traces, behind it: with both and the drain it is below what Docker is told to wait.
const TRACE_PATIENCE: Duration = Duration::from_secs(2);
/// How late a recording may be finished or deleted.
const RECORDINGS_SWEEP: Duration = Duration::from_secs(2);
/// Connections that may wait to be accepted: a room's reconnect, or a thousand rooms'.
const BACKLOG: u32 = 4096;

/// A server that has its addresses and serves nobody yet.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    public: TcpListener,
    ops: TcpListener,
}

impl Server {
    /// Binds both listeners. Port 0 takes any free one. The error is a sentence for the operator.
    pub async fn bind(config: Config) -> Result<Self, String> {
        Self::bind_beside_others(config, None).await
    }

    /// The same, as one of several servers where there is an engine between them.
    pub async fn bind_beside_others(config: Config, engine: Option<Connection>) -> Result<Self, String> {
        let public = listen("ROUNDTABLE_LISTEN", config.listen)?;
        let ops = listen("ROUNDTABLE_OPS_LISTEN", config.ops_listen)?;
        Ok(Self { app: App::beside_others(config, engine)?, public, ops })
    }

    /// Where clients connect.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where operators connect.
    pub fn ops_address(&self) -> std::io::Result<SocketAddr> {
        self.ops.local_addr()
    }

    /// What all connections share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `shutdown` is ready, then sends everyone away, for as long as the settings
    /// allow.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { app, public, ops } = self;
        let bounds = Bounds {
            connections: app.config.requests,
            times: Times { head: app.config.request_head_timeout, longest: app.config.request_timeout },
        };
        let ops =
            tokio::spawn(accept(ops, http::ops_router(&app), bounds, None, watch::Sender::new(false).subscribe()));
        // Not `App::draining`: whoever drains a server by the admin API goes on asking it.
        let (stop, stopped) = watch::channel(false);
        let public = tokio::spawn(accept(public, http::router(&app), bounds, Some(Arc::clone(&app)), stopped));
        let keyed = Arc::clone(&app);
        let keys = tokio::spawn(async move { keyed.access.follow_keys(signal(SignalKind::hangup()).ok()).await });
        let tells = Arc::clone(&app);
        let webhooks = tokio::spawn(async move { tells.webhooks.run().await });
        let traced = app.traces.clone();
        let traces = tokio::spawn(async move { traced.run().await });
        let renews = Arc::clone(&app);
        let ice = tokio::spawn(async move { renew_ice(&renews).await });
        let follows = Arc::clone(&app);
        let engine = tokio::spawn(async move { follows.hub.follow().await });
        let keeps = Arc::clone(&app);
        let recordings = tokio::spawn(async move { sweep_recordings(&keeps).await });
        let counts = Arc::clone(&app);
        let quality = tokio::spawn(async move { keep_quality(&counts).await });
        shutdown.await;

        tracing::info!(connections = app.connections(), "shutting down");
        app.drain();
        stop.send_replace(true);
        let gone = async {
            app.emptied().await;
            app.hub.settled().await;
            // A panic of the accept loop has been logged; there is nothing left to wait for.
            let _ = public.await;
        };
        if tokio::time::timeout(app.config.drain_timeout, gone).await.is_err() {
            tracing::warn!(connections = app.connections(), "not everyone left in time");
        }
        // Last: it says until the end that the server is not ready.
        app.webhooks.settle(WEBHOOK_PATIENCE).await;
        app.traces.settle(TRACE_PATIENCE).await;
        for task in [ops, keys, webhooks, traces, ice, engine, recordings, quality] {
            task.abort();
        }
        tracing::info!("stopped");
    }
}

/// As long as it is polled.
async fn renew_ice(app: &App) {
    let Some(every) = app.hub.renew_ice_every() else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        app.hub.renew_ice().await;
    }
}

/// As long as it is polled.
async fn sweep_recordings(app: &Arc<App>) {
    loop {
        tokio::time::sleep(RECORDINGS_SWEEP).await;
        http::sweep_recordings(app).await;
    }
}

/// As long as it is polled.
async fn keep_quality(app: &App) {
    loop {
        tokio::time::sleep(QUALITY_STEP).await;
        app.metrics.quality.keep();
    }
}

fn listen(setting: &str, address: SocketAddr) -> Result<TcpListener, String> {
    let bind = || {
        let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| format!("{setting}: cannot listen on {address}: {error}"))
}

/// Serves what comes; `app` has the limits by address, which operators have none of.
async fn accept(
    listener: TcpListener,
    router: Router,
    Bounds { connections, times }: Bounds,
    app: Option<Arc<App>>,
    mut stopped: watch::Receiver<bool>,
) {
    // A WebSocket's connection is counted by `App::admit` instead, from its upgrade on.
    let places = Arc::new(Semaphore::new(connections));
    let stopping = stopped.clone();
    let mut refused = false;
    let next = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    refused = false;
                    // An address that has far too many open gets no word: it would cost what the limit is to save.
                    let Ok(visit) = visit(app.as_deref(), from.ip()) else { continue };
                    let crowded = places.available_permits() < connections / 2;
                    let head = if crowded { times.head / HURRY } else { times.head };
                    let times = Times { head, ..times };
                    let connection = serve(stream, from.ip(), times, router.clone(), stopping.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop((place, visit));
                    });
                }
                Err(error) => {
                    // Said once, not thousands of times a second; the connections wait meanwhile.
                    if !std::mem::replace(&mut refused, true) {
                        tracing::error!(%error, "cannot accept connections; is the limit of open files too low (ulimit -n)?");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = next => {}
        () = is_true(&mut stopped) => {}
    }
    drop(listener);
    // Until every place is free again: the last answers are on their way.
    let _ = places.acquire_many(u32::try_from(connections).unwrap_or(u32::MAX)).await;
}

/// Counts a connection by its address, but those of trusted proxies, which come for many.
fn visit(app: Option<&App>, from: IpAddr) -> Result<Option<Visit>, ()> {
    let Some(app) = app.filter(|app| !app.config.trusted_proxies.trusts(from)) else { return Ok(None) };
    app.doors.enter(from, Kind::Plain, Instant::now()).map(Some).ok_or_else(|| app.metrics.limited(Limit::Connections))
}

/// What a listener takes.
#[derive(Clone, Copy)]
struct Bounds {
    /// Connections that are no WebSockets. More wait to be accepted.
    connections: usize,
    times: Times,
}

/// How long a connection may take.
#[derive(Clone, Copy)]
struct Times {
    /// For a request's head, or without one.
    head: Duration,
    /// For all of its requests; and for the last answer, once more.
    longest: Duration,
}

async fn serve(
    stream: TcpStream,
    from: IpAddr,
    Times { head, longest }: Times,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // Signaling is small messages that wait for an answer: Nagle's algorithm would hold them.
    let _ = stream.set_nodelay(true);
    let patience = Patience::default();
    let asked = patience.clone();
    let router = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(from));
        request.extensions_mut().insert(asked.clone());
        request
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
            .with_upgrades()
    );
    let over = async {
        tokio::select! {
            () = is_true(&mut stopping) => {}
            () = async {
                tokio::time::sleep(longest).await;
                tokio::time::sleep(patience.time()).await;
            } => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = over => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(longest, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        Err(_) => tracing::debug!("a connection did not take its last answer"),
    }
}

/// Waits until it is so; for ever where nobody is left to say it.
async fn is_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}
