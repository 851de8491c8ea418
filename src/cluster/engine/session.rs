//! Connections to all Redis servers, with all subscriptions, and the task that keeps them up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, try_join_all};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Shared;
use super::node::{Node, Order, Published};
use super::route::Route;
use super::scripts::Call;
use crate::cluster::bus::Event;

/// Interval at which each server is pinged, and time limit of its answer.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// Upper bound of the delay between two attempts to connect. It doubles from the first value to the last; the delay is
/// random below it (full jitter).
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(3);
/// Maximum number of reasons logged during one outage.
const REASONS: usize = 4;
/// Time connected after which the backoff starts again with its first value.
const STEADY: Duration = Duration::from_secs(5);

/// Connections to all Redis servers, while all of them are usable.
pub(super) struct Session {
    route: Route,
    nodes: Vec<Node>,
}

impl Session {
    /// Returns the connection to the server that has this key.
    pub(super) fn node(&self, key: &str) -> Option<&Node> {
        self.nodes.get(self.route.node(key)?)
    }
}

impl Shared {
    /// Connects to all servers. Also returns the channels that were subscribed to.
    pub(super) async fn connect(
        self: &Arc<Self>,
        broken: mpsc::Sender<String>,
    ) -> Result<(Session, Vec<String>), String> {
        let route = Route::find(&self.address).await?;
        let mut channels = vec![Vec::new(); route.nodes.len()];
        for channel in self.rooms().keys() {
            if let Some(node) = route.node(channel) {
                channels[node].push(channel.clone());
            }
        }
        let connect = route.nodes.iter().zip(&channels).map(|(info, channels)| {
            let shared = Arc::downgrade(self);
            let published: Published = Arc::new(move |channel, bytes| {
                if let Some(shared) = shared.upgrade() {
                    shared.published(channel, bytes);
                }
            });
            let node =
                Node::connect(info, route.is_cluster, channels, Arc::clone(&self.clock), published, broken.clone());
            node.map(|node| node.map_err(|why| format!("{}: {why}", info.addr())))
        });
        let nodes = try_join_all(connect).await?;
        Ok((Session { route, nodes }, channels.concat()))
    }
}

/// Connects, and reconnects for ever. Returns when the receiver of the events is gone.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut longest = BACKOFF_FIRST;
    // Start of the outage, and the reasons that were logged.
    let (mut gone, mut said): (Option<Instant>, Vec<String>) = (None, Vec::new());
    loop {
        let (broken, mut breaks) = mpsc::channel(1);
        let why = match shared.connect(broken).await {
            Ok((session, subscribed)) => {
                let (session, began) = (Arc::new(session), Instant::now());
                *shared.session() = Some(Arc::clone(&session));
                // Unsubscribes from rooms that were left meanwhile. Under the lock, so that attaching again subscribes
                // after it.
                {
                    let rooms = shared.rooms();
                    for channel in subscribed.into_iter().filter(|channel| !rooms.contains_key(channel)) {
                        shared.put(&channel.clone(), Order::Unsubscribe { channel });
                    }
                }
                shared.metrics.connected.set(1);
                said.clear();
                match gone.take() {
                    Some(since) => {
                        tracing::info!(engine = %shared.address, after = ?since.elapsed(), "the engine is back");
                    }
                    None => tracing::info!(engine = %shared.address, "connected to the engine"),
                }
                if shared.events.send(Event::Connected).await.is_err() {
                    return;
                }
                let why = tokio::select! {
                    why = breaks.recv() => why.unwrap_or_default(),
                    why = watch(&shared, &session) => why,
                };
                *shared.session() = None;
                shared.metrics.connected.set(0);
                if began.elapsed() >= STEADY {
                    longest = BACKOFF_FIRST;
                }
                drop(session);
                if shared.events.send(Event::Disconnected).await.is_err() {
                    return;
                }
                why
            }
            Err(why) => why,
        };
        gone.get_or_insert_with(Instant::now);
        // Once for each reason: a server that does not listen yet may turn out to need another password.
        if said.len() < REASONS && !said.contains(&why) {
            tracing::error!(engine = %shared.address, why, "the engine cannot be reached; connecting goes on");
            said.push(why);
        } else {
            tracing::debug!(engine = %shared.address, why, "the engine still cannot be reached");
        }
        tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
        longest = (longest * 2).min(BACKOFF_LAST);
    }
}

/// Pings every server at intervals. Returns when one does not answer.
async fn watch(shared: &Shared, session: &Session) -> String {
    loop {
        tokio::time::sleep(PING_EVERY).await;
        let asked = session.nodes.iter().map(|node| async {
            let ping = async {
                loop {
                    let (reply, answered) = oneshot::channel();
                    let number = shared.calls.fetch_add(1, Ordering::Relaxed);
                    let ping = Order::Call { call: Call::ping(), number, until: i64::MAX, subscribe: None, reply };
                    if node.put(ping) {
                        return answered.await;
                    }
                    // A full queue does not mean that the server hangs.
                    tokio::time::sleep(PING_EVERY / 20).await;
                }
            };
            matches!(tokio::time::timeout(PING_PATIENCE, ping).await, Ok(Ok(Ok(_))))
        });
        if join_all(asked).await.contains(&false) {
            return "it does not answer".into();
        }
    }
}
