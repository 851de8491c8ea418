//! Time limits of an HTTP connection by its phase: idle, sending a request's head, being served, or taking nothing of
//! its response.
//!
//! hyper has one timeout for the first two. A load balancer keeps idle connections for a minute or more, and must be
//! the one to close them: a request that it sends while the server closes is lost. A client that takes as long for a
//! head only occupies a slot.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::http::{Patience, RequestPlace};

/// Divisor of the time limits of connections that are idle, have sent a part of a head or take nothing of a response,
/// while half of the slots are in use.
const HURRY: u32 = 5;

/// Phase of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Nothing of a request has arrived.
    Idle,
    /// A part of a request's head has arrived.
    Head,
    /// A request is being served, up to the last byte of its response.
    Busy,
    /// A request is being served, and the client takes nothing of the response.
    Stalled,
}

/// Longest duration of each phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Time for a request's head, and for the first byte of the connection's first request.
    pub(crate) head: Duration,
    /// Time without a request, after the first one.
    pub(crate) keepalive: Duration,
    /// Time for a request, from its head to the end of its response.
    pub(crate) longest: Duration,
    /// Time during which the client takes not a byte of a response.
    pub(crate) stalled: Duration,
}

/// Activity of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Set once a request has been served.
    served: bool,
    /// Set while a request is with the router, or the body of its response has not ended.
    in_flight: bool,
    /// Set while the kernel may not have taken everything that was written.
    unflushed: bool,
    /// Time at which the kernel had no room for a part of a response; `None` once it takes bytes again.
    stalled_since: Option<Instant>,
    /// Slot of the request, released when it has ended.
    place: Option<RequestPlace>,
}

impl State {
    fn new() -> Self {
        Self {
            phase: Phase::Idle,
            since: Instant::now(),
            served: false,
            in_flight: false,
            unflushed: false,
            stalled_since: None,
            place: None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
        if phase == Phase::Idle {
            self.place = None;
        }
    }

    /// Returns the phase, and the time at which it has lasted too long.
    fn deadline(&self, times: Times, patience: Duration, crowded: bool) -> (Phase, Instant) {
        let hurry = if crowded { HURRY } else { 1 };
        let head = times.head / hurry;
        let limit = match self.phase {
            Phase::Idle if self.served && crowded => head.min(times.keepalive),
            Phase::Idle if self.served => times.keepalive,
            Phase::Idle | Phase::Head => head,
            Phase::Busy | Phase::Stalled => times.longest + patience,
        };
        let (phase, deadline) = (self.phase, self.since + limit);
        match self.stalled_since.map(|since| since + times.stalled / hurry + patience) {
            Some(earlier) if earlier < deadline => (Phase::Stalled, earlier),
            _ => (phase, deadline),
        }
    }

    fn has_ended(&self) -> bool {
        !self.in_flight && !self.unflushed
    }
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::new()), changed: Notify::new() }))
    }

    /// Begins a request, whose head is complete.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.in_flight = true;
        state.enter(Phase::Busy);
        self.0.changed.notify_one();
    }

    /// Holds the slot of a request until the kernel has taken all of its response.
    pub(crate) fn hold(&self, place: RequestPlace) {
        self.lock().place = Some(place);
    }

    /// Wraps the body of a response, so that the request ends with it.
    pub(crate) fn watch_body(&self, body: Body) -> WatchedBody {
        WatchedBody { body, _end: End(self.clone()) }
    }

    /// Waits until a phase has lasted too long, and returns it. The limits are shorter while the server is crowded.
    pub(crate) async fn overdue(&self, times: Times, patience: &Patience, mut crowded: watch::Receiver<bool>) -> Phase {
        loop {
            let in_crowd = *crowded.borrow_and_update();
            let (phase, deadline) = self.lock().deadline(times, patience.time(), in_crowd);
            if deadline <= Instant::now() {
                return phase;
            }
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => {}
                () = self.0.changed.notified() => {}
                // Its sender lives as long as the listener.
                Ok(()) = crowded.changed() => {}
            }
        }
    }

    fn end(&self) {
        let mut state = self.lock();
        state.in_flight = false;
        state.served = true;
        if state.has_ended() {
            state.enter(Phase::Idle);
            self.0.changed.notify_one();
        }
    }

    /// Notes received bytes, which may begin a request. Bytes that arrive while a request is served are its body, or
    /// the next request of a client that pipelines: that request has the time limit of an idle connection until its
    /// next byte.
    fn received(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.enter(Phase::Head);
            self.0.changed.notify_one();
        }
    }

    fn written(&self) {
        let mut state = self.lock();
        state.unflushed = true;
        if state.phase == Phase::Idle {
            state.enter(Phase::Busy);
            self.0.changed.notify_one();
        }
    }

    /// Notes whether the kernel has taken a part of what was to be written.
    fn wrote(&self, polled: &Poll<Result<usize>>) {
        let mut state = self.lock();
        if polled.is_ready() {
            state.stalled_since = None;
        } else if state.stalled_since.is_none() {
            state.stalled_since = Some(Instant::now());
            self.0.changed.notify_one();
        }
    }

    fn flushed(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.unflushed) && state.has_ended() {
            state.enter(Phase::Idle);
            self.0.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct End(Activity);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Body of a response, with which the request ends.
#[derive(Debug)]
pub(crate) struct WatchedBody {
    body: Body,
    _end: End,
}

impl hyper::body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Socket of an HTTP connection that notes reads and writes.
#[derive(Debug)]
pub(crate) struct WatchedStream {
    stream: TcpStream,
    activity: Activity,
}

impl WatchedStream {
    pub(crate) fn new(stream: TcpStream, activity: Activity) -> Self {
        Self { stream, activity }
    }

    /// Returns the socket, for the protocol that follows HTTP on it.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        polled
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.activity.written();
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.activity.written();
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.activity.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if polled.is_ready() {
            self.activity.flushed();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
