//! What all connections of one server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

use crate::access::ResumeKey;
use crate::config::Config;
use crate::greeter::Greeter;
use crate::hub::Hub;
use crate::telemetry::Metrics;

/// One running server.
#[derive(Debug)]
pub struct App {
    /// Its settings.
    pub config: Config,
    /// Its rooms.
    pub hub: Arc<Hub>,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Checks resume secrets.
    pub resume_key: ResumeKey,
    draining: watch::Sender<bool>,
    places: Arc<Places>,
}

/// How many WebSockets there are.
#[derive(Debug, Default)]
struct Places {
    taken: AtomicUsize,
    emptied: Notify,
}

impl App {
    /// A server with these settings; the error is a sentence for the operator.
    pub fn new(config: Config) -> Result<Arc<Self>, String> {
        let metrics = Arc::new(Metrics::new());
        let resume_key = match &config.resume_key {
            Some(key) => ResumeKey::new(key.expose().as_bytes()),
            None => ResumeKey::random().map_err(|error| format!("no random numbers: {error}"))?,
        };
        Ok(Arc::new(Self {
            hub: Hub::new(
                config.room_members,
                config.resume_window,
                Greeter::new(&config, resume_key.clone())?,
                Arc::clone(&metrics),
            ),
            metrics,
            resume_key,
            draining: watch::Sender::new(false),
            places: Arc::default(),
            config,
        }))
    }

    /// Whether the server shuts down.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Tells that the server shuts down, now or at some time.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Sends everyone away and lets nobody in any more.
    pub fn drain(&self) {
        self.draining.send_replace(true);
        self.hub.drain();
    }

    /// Takes one of the server's places for WebSockets; `None` where none is left.
    pub fn admit(&self) -> Option<Place> {
        let before = self.places.taken.fetch_add(1, Ordering::Relaxed);
        // Made in any case: dropping it takes the count back.
        let place = Place(Arc::clone(&self.places));
        (before < self.config.connections).then_some(place)
    }

    /// How many WebSockets there are.
    pub fn connections(&self) -> usize {
        self.places.taken.load(Ordering::Relaxed)
    }

    /// Waits until there is no WebSocket any more.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.places.emptied.notified();
            if self.connections() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// A place for one WebSocket, free again when dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.taken.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}
