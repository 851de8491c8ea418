//! Sends the events of rooms to another program by HTTP (R71, R72). Off unless there is an address.
//!
//! Events enter a bounded queue under a room's lock, and are sent one after the other. The events of a room arrive in
//! order, and the rooms take turns. Nothing waits for the receiver: events that do not fit are dropped and counted,
//! which is logged once.

mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{StatusCode, Uri};
use chrono_tz::Tz;
use hmac::{Hmac, KeyInit, Mac};
use opentelemetry::trace::SpanKind;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::cluster::Post;
use crate::cluster::share::{Happened, News};
use crate::cluster::wire::{Incarnation, Mark};
use crate::config::Secret;
use crate::outbound;
use crate::protocol::{LeaveReason, Peer, PeerId, Role, RoomName};
use crate::telemetry::{self, Metrics, Origin, Parent, Traced, Traces};
use queue::{Phase, RoomQueue};

/// Time limit of one attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Delay between two attempts, doubled from the first value to the last, with full jitter.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_LAST: Duration = Duration::from_secs(30);
/// Time after which an undelivered event is given up.
const GIVE_UP: Duration = Duration::from_secs(5 * 60);

/// Receiver of the events, and the secret that signs them.
#[derive(Clone, Debug)]
pub struct Target {
    /// URL of the scheme `http` or `https`.
    pub url: String,
    /// Secret shared with the receiver.
    pub secret: Secret,
    /// Time zone of the events' times.
    pub zone: Tz,
    /// Maximum number of queued events.
    pub queue: usize,
}

/// Sender of events, if there is a receiver.
#[derive(Debug)]
pub struct Webhooks {
    line: Option<Line>,
    metrics: Arc<Metrics>,
    traces: Traces,
}

#[derive(Debug)]
struct Line {
    target: Target,
    queue: RoomQueue<Event>,
    /// Set once the log says that events are dropped, until one is delivered.
    said: AtomicBool,
}

/// Event in the form in which it is sent.
#[derive(Debug, Serialize)]
struct Event {
    /// The same for each attempt.
    id: String,
    event: &'static str,
    time: String,
    room: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<Who>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip)]
    origin: Origin,
}

#[derive(Debug, Serialize)]
struct Who {
    id: PeerId,
    name: String,
    role: Role,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Reason {
    Left(LeaveReason),
    Ended(&'static str),
}

impl From<Option<LeaveReason>> for Reason {
    fn from(reason: Option<LeaveReason>) -> Self {
        reason.map_or(Self::Ended("ended"), Self::Left)
    }
}

impl Webhooks {
    /// Creates a sender. Without a target it sends nothing.
    pub fn new(target: Option<Target>, metrics: Arc<Metrics>) -> Self {
        let line = target.map(|target| {
            let queue = RoomQueue::new(target.queue);
            Line { target, queue, said: AtomicBool::new(false) }
        });
        Self { line, metrics, traces: Traces::default() }
    }

    /// Returns the sender with traces: each attempt has a span.
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Reports an event of a room that several servers may have.
    pub fn happened(&self, room: &RoomName, news: &News) {
        let when = (UNIX_EPOCH + news.time, news.by.map_or_else(new_id, |(mark, at)| id_of(mark, at)));
        match &news.what {
            Happened::Opened => self.put(when, "room_opened", room, None, None),
            Happened::Joined(peer) => self.put(when, "peer_joined", room, Some(peer), None),
            Happened::Left(peer, reason) => self.put(when, "peer_left", room, Some(peer), Some((*reason).into())),
            Happened::Closed => self.put(when, "room_closed", room, None, None),
        }
    }

    /// Reports that a room has begun.
    pub fn opened(&self, room: &RoomName) {
        self.put(now(), "room_opened", room, None, None);
    }

    /// Reports that a room has ended.
    pub fn closed(&self, room: &RoomName) {
        self.put(now(), "room_closed", room, None, None);
    }

    /// Reports that a member has joined.
    pub fn joined(&self, room: &RoomName, peer: &Peer) {
        self.put(now(), "peer_joined", room, Some(peer), None);
    }

    /// Reports that a member has left; `reason` is `None` if the meeting was ended. A session that another one of the
    /// same peer supersedes is not reported.
    pub fn left(&self, room: &RoomName, peer: &Peer, reason: Option<LeaveReason>) {
        if reason == Some(LeaveReason::Superseded) {
            return;
        }
        self.put(now(), "peer_left", room, Some(peer), Some(reason.into()));
    }

    fn put(
        &self,
        (time, id): (SystemTime, String),
        event: &'static str,
        room: &RoomName,
        peer: Option<&Peer>,
        reason: Option<Reason>,
    ) {
        let Some(line) = self.line.as_ref().filter(|_| !room.is_trial()) else { return };
        let who = |peer: &Peer| Who { id: peer.id, name: peer.name.as_str().to_owned(), role: peer.role };
        let event = Event {
            id,
            event,
            time: telemetry::timestamp_of(time, line.target.zone),
            room: room.as_str().to_owned(),
            peer: peer.map(who),
            reason,
            origin: Origin::here(),
        };
        // Counted before it is queued: by the next line it may have been sent already.
        self.metrics.webhooks_queued.inc();
        let phase = match event.event {
            "room_opened" => Phase::Opening,
            "room_closed" => Phase::Closing,
            _ => Phase::During,
        };
        for _ in line.queue.put(room, phase, event) {
            self.metrics.webhooks_queued.dec();
            self.dropped(line, "more waits than may");
        }
    }

    fn dropped(&self, line: &Line, why: &str) {
        self.metrics.webhooks_dropped.inc();
        if !line.said.swap(true, Ordering::Relaxed) {
            tracing::error!(why, "events are dropped: the other end of ROUNDTABLE_WEBHOOK_URL does not take them");
        }
    }

    /// Delivers events until it is no longer polled. Must be called once.
    pub async fn run(&self) {
        let Some(line) = &self.line else { return std::future::pending().await };
        let agent = outbound::agent(ATTEMPT);
        loop {
            let event = line.queue.next().await;
            match self.deliver(&agent, &line.target, &event).await {
                Ok(()) => {
                    self.metrics.webhooks_delivered.inc();
                    line.said.store(false, Ordering::Relaxed);
                }
                Err(why) => self.dropped(line, &why),
            }
            self.metrics.webhooks_queued.dec();
            line.queue.done();
        }
    }

    /// Sends one event until it is accepted. The error is the reason why it was given up.
    async fn deliver(&self, agent: &ureq::Agent, target: &Target, event: &Event) -> Result<(), String> {
        let body: Arc<str> = serde_json::to_string(event).map_err(|error| error.to_string())?.into();
        let give_up = Instant::now() + GIVE_UP;
        let mut longest = BACKOFF_FIRST;
        for attempts in 0.. {
            let traced = self.traced(target, event, attempts);
            let answer = attempt(agent, target, event, Arc::clone(&body), &traced).await;
            drop(traced);
            let why = match answer {
                Ok(status) if status.is_success() => break,
                Ok(status) => format!("it answers {status}"),
                Err(error) => error,
            };
            let wait = longest.mul_f64(fastrand::f64());
            if Instant::now() + wait > give_up {
                return Err(why);
            }
            tracing::debug!(%why, "an event was not taken, and is sent again");
            tokio::time::sleep(wait).await;
            longest = (longest * 2).min(BACKOFF_LAST);
        }
        Ok(())
    }

    /// Begins the span of one attempt.
    fn traced(&self, Target { url, .. }: &Target, event: &Event, attempts: i64) -> Traced {
        let traced = self.traces.begin(SpanKind::Client, "POST", Parent::Of(&event.origin));
        if self.traces.is_on()
            && let Ok(uri) = url.parse::<Uri>()
        {
            traced.set("http.request.method", "POST");
            traced.set("server.address", uri.host().unwrap_or_default().to_owned());
            let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            traced.set("server.port", i64::from(uri.port_u16().unwrap_or(usual)));
            traced.set("roundtable.event", event.event);
        }
        if attempts > 0 {
            traced.set("http.request.resend_count", attempts);
        }
        traced
    }

    /// Waits until all events are sent when the server shuts down, for `patience` at most.
    pub async fn settle(&self, patience: Duration) {
        let Some(line) = &self.line else { return };
        line.queue.settle(patience).await;
    }
}

/// Returns the time and the ID of an event that only this server reports.
fn now() -> (SystemTime, String) {
    (SystemTime::now(), new_id())
}

fn new_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(20).collect()
}

/// Returns the ID of an event, the same on every server that may report it.
fn id_of(Mark { incarnation, number }: Mark, at: usize) -> String {
    let Incarnation { born, founder: Post { server, life } } = incarnation;
    let digest = Sha256::digest(format!("{born}:{}:{life}:{number}:{at}", server.0));
    digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

async fn attempt(
    agent: &ureq::Agent,
    target: &Target,
    event: &Event,
    body: Arc<str>,
    traced: &Traced,
) -> Result<StatusCode, String> {
    // Signed again for each attempt: the receiver rejects old signatures.
    let mut request = agent
        .post(&target.url)
        .header("Content-Type", "application/json")
        .header("Roundtable-Event", event.event)
        .header("Roundtable-Delivery", &event.id)
        .header("Roundtable-Signature", sign(&target.secret, SystemTime::now(), &body));
    for (name, value) in traced.headers() {
        request = request.header(name, value);
    }
    let send = move || request.send(&*body).map(|response| response.status()).map_err(|error| error.to_string());
    let answer = tokio::task::spawn_blocking(send).await.unwrap_or_else(|error| Err(error.to_string()));
    match &answer {
        Ok(status) => {
            traced.set("http.response.status_code", i64::from(status.as_u16()));
            if !status.is_success() {
                traced.fail(status.as_str().to_owned());
            }
        }
        Err(_) => traced.fail("unreachable"),
    }
    answer
}

/// Returns the signature of a body: `t=<seconds since 1970>,v1=<hexadecimal HMAC-SHA256 of "<seconds>.<body>">`.
fn sign(secret: &Secret, now: SystemTime, body: &str) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length");
    let mac = mac.chain_update(seconds.to_string()).chain_update(".").chain_update(body).finalize().into_bytes();
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_what_openssl_makes() {
        // printf %s '1700000000.{"a":1}' | openssl dgst -sha256 -hmac north
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let signature = sign(&Secret::new("north"), now, r#"{"a":1}"#);
        assert_eq!(signature, "t=1700000000,v1=9412835788608fdba6e8472a372d9e0c2f3d5bfe22088a3cdce2c504bd861ac6");
    }
}
