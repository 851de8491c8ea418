//! The server, from its bound addresses to the end of the last connection.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::activity::{Activity, Phase, Times, WatchedStream};
use crate::app::App;
use crate::certificates::probe_certificates;
use crate::config::{Config, ListenAddress};
use crate::http::{self, Patience, PeerAddress};
use crate::hub::Connection;
use crate::limits::{Kind, Rejection, Visit};
use crate::listener::Listener;
use crate::telemetry::{HttpConnections, Limit, QUALITY_STEP};

/// Size of the largest head of a request, in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// Pause after the system has refused a connection, mostly for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Longest time in which a client takes nothing of a response: it is gone, or occupies the slot on purpose.
const STALLED_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that the shutdown waits for webhook events.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(2);
/// Time that it then waits for traces. With both and the drain, the shutdown is shorter than Docker's stop timeout.
const TRACE_PATIENCE: Duration = Duration::from_secs(2);
/// Interval of sweeps, and so the longest delay with which a recording is finished or deleted.
const RECORDINGS_SWEEP: Duration = Duration::from_secs(2);

/// Server that has bound its addresses and does not serve yet.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    public: Listener,
    ops: Listener,
    /// SIGHUP, on which the token keys are read again.
    hangup: Option<Signal>,
}

impl Server {
    /// Binds both listeners. Port 0 selects any free one. The error is a sentence for the operator.
    pub async fn bind(config: Config) -> Result<Self, String> {
        Self::bind_beside_others(config, None).await
    }

    /// Binds both listeners, as one of several servers if there is a connection between them.
    pub async fn bind_beside_others(config: Config, engine: Option<Connection>) -> Result<Self, String> {
        let public = listen("ROUNDTABLE_LISTEN (--listen)", config.listen)?;
        let ops = listen("ROUNDTABLE_OPS_LISTEN (--ops-listen)", config.ops_listen)?;
        // From here on, SIGHUP does not end the process.
        let hangup = signal(SignalKind::hangup()).ok();
        Ok(Self { app: App::beside_others(config, engine)?, public, ops, hangup })
    }

    /// Returns the first address where clients connect.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        first(self.addresses()?)
    }

    /// Returns all addresses where clients connect: `localhost` has two.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.public.addresses()
    }

    /// Returns the first address where operators connect.
    pub fn ops_address(&self) -> std::io::Result<SocketAddr> {
        first(self.ops_addresses()?)
    }

    /// Returns all addresses where operators connect.
    pub fn ops_addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.ops.addresses()
    }

    /// Returns the state that all connections share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `shutdown` completes, then sends all clients away, within the time that the settings allow.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { app, public, ops, hangup } = self;
        let times = Times {
            head: app.config.request_head_timeout,
            keepalive: app.config.http_keepalive_timeout,
            longest: app.config.request_timeout,
            stalled: STALLED_TIMEOUT,
        };
        let bounds = |open| Bounds { connections: app.config.requests, times, open };
        let (public_open, ops_open) = (app.metrics.http_connections.public(), app.metrics.http_connections.ops());
        let never = watch::Sender::new(false).subscribe();
        let ops = tokio::spawn(accept(ops, http::ops_router(&app), bounds(ops_open), None, never));
        // Not `App::draining`: an operator who drains a server by the admin API goes on using that API.
        let (stop, stopped) = watch::channel(false);
        let bounds = bounds(public_open);
        let public = tokio::spawn(accept(public, http::router(&app), bounds, Some(Arc::clone(&app)), stopped));
        let keyed = Arc::clone(&app);
        let keys = tokio::spawn(async move { keyed.access.follow_keys(hangup).await });
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
        let probed = Arc::clone(&app);
        let certificates = tokio::spawn(async move {
            probe_certificates(&probed.config.certificates, &probed.metrics.certificates).await;
        });
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
        // Last: the operators' listener reports until the end that the server is not ready.
        app.webhooks.settle(WEBHOOK_PATIENCE).await;
        app.traces.settle(TRACE_PATIENCE).await;
        for task in [ops, keys, webhooks, traces, ice, engine, recordings, quality, certificates] {
            task.abort();
        }
        tracing::info!("stopped");
    }
}

/// Sends fresh TURN credentials periodically, as long as it is polled.
async fn renew_ice(app: &App) {
    let Some(every) = app.hub.renew_ice_every() else { return std::future::pending().await };
    loop {
        tokio::time::sleep(every).await;
        app.hub.renew_ice().await;
    }
}

/// Sweeps the recordings periodically, as long as it is polled.
async fn sweep_recordings(app: &Arc<App>) {
    loop {
        tokio::time::sleep(RECORDINGS_SWEEP).await;
        http::sweep_recordings(app).await;
    }
}

/// Stores the counts of call quality periodically, as long as it is polled.
async fn keep_quality(app: &App) {
    loop {
        tokio::time::sleep(QUALITY_STEP).await;
        app.metrics.quality.keep();
    }
}

fn first(addresses: Vec<SocketAddr>) -> std::io::Result<SocketAddr> {
    addresses.into_iter().next().ok_or_else(|| std::io::ErrorKind::AddrNotAvailable.into())
}

fn listen(setting: &str, address: ListenAddress) -> Result<Listener, String> {
    Listener::bind(address).map_err(|error| format!("{setting}: cannot listen on {address}: {error}"))
}

/// Accepts connections and serves them. `app` has the limits by address, which do not apply to operators.
async fn accept(
    listener: Listener,
    router: Router,
    Bounds { connections, times, open }: Bounds,
    app: Option<Arc<App>>,
    mut stopped: watch::Receiver<bool>,
) {
    // A WebSocket's connection is counted by `App::admit` instead, from its upgrade on.
    let places = Arc::new(Semaphore::new(connections));
    let crowd = Arc::new(Crowd { places: Arc::clone(&places), connections, crowded: watch::Sender::new(false) });
    let stopping = stopped.clone();
    let mut refused = false;
    let next = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    refused = false;
                    // An address with far too many connections gets no response: that would cost what the limit is to
                    // save.
                    let Ok(visit) = visit(app.as_deref(), from) else { continue };
                    crowd.update();
                    let connection =
                        serve(stream, from, times, crowd.crowded.subscribe(), router.clone(), stopping.clone());
                    let crowd = Arc::clone(&crowd);
                    let open = open.count();
                    tokio::spawn(async move {
                        connection.await;
                        drop((place, visit, open));
                        crowd.update();
                    });
                }
                Err(error) => {
                    // Logged once, not thousands of times a second. The connections wait meanwhile.
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
    // Waits until every slot is free again: the last responses are being sent.
    let _ = places.acquire_many(u32::try_from(connections).unwrap_or(u32::MAX)).await;
}

/// State of a listener: true while so many slots are in use that idle connections are closed sooner.
#[derive(Debug)]
struct Crowd {
    places: Arc<Semaphore>,
    connections: usize,
    crowded: watch::Sender<bool>,
}

impl Crowd {
    /// Updates the state. It begins when half of the slots are in use, and ends at three eighths: each change wakes
    /// every connection.
    fn update(&self) {
        let free = self.places.available_permits();
        self.crowded.send_if_modified(|crowded| {
            let now = if *crowded { free <= self.connections * 5 / 8 } else { free < self.connections / 2 };
            std::mem::replace(crowded, now) != now
        });
    }
}

/// Counts a connection by its address. Those of trusted proxies serve many clients, whose requests are counted one by
/// one.
fn visit(app: Option<&App>, from: IpAddr) -> Result<Option<Visit>, ()> {
    let Some(app) = app.filter(|app| !app.config.trusted_proxies.trusts(from)) else { return Ok(None) };
    app.doors.enter(from, Kind::Plain, Instant::now()).map(Some).ok_or_else(|| {
        app.metrics.limited(Limit::Connections);
        app.report_rejection(Rejection::AddressConnections, Some(from));
    })
}

/// Limits of a listener.
#[derive(Clone, Debug)]
struct Bounds {
    /// Maximum number of connections other than WebSockets. Further ones wait to be accepted.
    connections: usize,
    times: Times,
    /// Gauge of these connections.
    open: HttpConnections,
}

async fn serve(
    stream: TcpStream,
    from: IpAddr,
    times: Times,
    crowded: watch::Receiver<bool>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // Signaling consists of small messages that wait for an answer: Nagle's algorithm would delay them.
    let _ = stream.set_nodelay(true);
    let (activity, patience) = (Activity::new(), Patience::default());
    let (begun, ended, asked) = (activity.clone(), activity.clone(), patience.clone());
    let router = router.map_request(move |mut request: Request<Incoming>| {
        begun.begin();
        request.extensions_mut().insert(PeerAddress(from));
        request.extensions_mut().insert(asked.clone());
        request.extensions_mut().insert(begun.clone());
        request
    });
    let router = router.map_response(move |response: Response<Body>| response.map(|body| ended.watch_body(body)));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // `Activity` limits the time for a head.
            .header_read_timeout(None)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(
                TokioIo::new(WatchedStream::new(stream, activity.clone())),
                TowerToHyperService::new(router)
            )
            .with_upgrades()
    );
    let over = async {
        tokio::select! {
            () = is_true(&mut stopping) => None,
            phase = activity.overdue(times, &patience, crowded) => Some(phase),
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        over = over => match over {
            Some(Phase::Idle | Phase::Head | Phase::Stalled) => return,
            // The last response may take as long again.
            Some(Phase::Busy) | None => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(times.longest, connection).await
            }
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        Err(_) => tracing::debug!("a connection did not take its last answer"),
    }
}

/// Waits until the flag is true. Never completes if its sender is gone.
async fn is_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}
