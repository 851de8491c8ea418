//! From a bound address to the last connection's end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::http;

/// How long a client may take to send a request's head, and how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request in bytes.
const HEADER_BYTES: usize = 16 * 1024;
/// How long to wait after the system refused a connection, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
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
        let public = listen("ROUNDTABLE_LISTEN", config.listen)?;
        let ops = listen("ROUNDTABLE_OPS_LISTEN", config.ops_listen)?;
        Ok(Self { app: App::new(config)?, public, ops })
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
        let (stop, stopped) = watch::channel(false);
        let ops = tokio::spawn(accept(ops, http::ops_router(&app), stopped));
        let (stop_public, public_stopped) = watch::channel(false);
        let public = tokio::spawn(accept(public, http::router(&app), public_stopped));
        shutdown.await;

        tracing::info!(connections = app.connections(), "shutting down");
        app.drain();
        stop_public.send_replace(true);
        let gone = async {
            app.emptied().await;
            // A panic of the accept loop has been logged; there is nothing left to wait for.
            let _ = public.await;
        };
        if tokio::time::timeout(app.config.drain_timeout, gone).await.is_err() {
            tracing::warn!(connections = app.connections(), "not everyone left in time");
        }
        stop.send_replace(true);
        ops.abort();
        tracing::info!("stopped");
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

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let mut refused = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                refused = false;
                serve(stream, router.clone(), &graceful);
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
    drop(listener);
    graceful.shutdown().await;
}

fn serve(stream: TcpStream, router: Router, graceful: &GracefulShutdown) {
    // Signaling is small messages that wait for an answer: Nagle's algorithm would hold them.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended badly");
        }
    });
}
