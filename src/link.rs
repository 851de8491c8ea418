//! One connection without the meaning of its messages: a socket, its outbox, its timers and its meter, all polled by
//! one task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, Sleep};

use crate::config::Config;
use crate::core::session::Full;
use crate::limits::{Allowance, Holding, Meter, Pace, Share};
use crate::outbox::{Outbox, Taken};
use crate::protocol::{CloseCode, ErrorBody, ErrorCode, Frame, Outgoing, ServerMessage};
use crate::socket::{End, Received, Socket, give_way};
use crate::telemetry::{Limit, Metrics};

/// Number of unanswered pings in a row after which a peer counts as dead (R26).
const MISSED_PINGS: u8 = 2;
/// Time that a closed connection may take to send what is queued and to confirm the close.
const LINGER: Duration = Duration::from_secs(2);

/// Number of messages that are handled in a row, if more have arrived, before other tasks have their turn.
const TURN: u8 = 16;

/// Longest time for which the client's messages may stay unacknowledged, and the largest number of them (R51).
const ACK_DELAY: Duration = Duration::from_millis(500);
const ACK_MESSAGES: u64 = 32;

/// Event on a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message or a sign of life.
    Received(Received),
    /// [`Link::enter_room`] was not called in time.
    JoinTimeout,
    /// The pings went unanswered.
    PeerTimeout,
    /// The peer has sent too fast for too long (R75).
    TooFast,
    /// The socket holds more memory for received data than its address has left (R103).
    HoldsTooMuch,
    /// The socket has ended.
    End(End),
    /// The outbox was closed, and its content has been sent.
    Closed(CloseCode),
}

/// Socket with its outbox, timers and meter.
pub(crate) struct Link {
    socket: Socket,
    outbox: Arc<Outbox>,
    metrics: Arc<Metrics>,
    meter: Meter,
    /// Time at which the last message was read.
    read_at: Instant,
    /// Time before which nothing is read: the peer sent too fast (R31), or many together did (R79).
    read_after: Option<Instant>,
    /// Set if the peer did so for too long.
    too_fast: bool,
    /// Memory that the socket holds for received data.
    holding: Holding,
    /// Number of messages received.
    messages: u64,
    /// Number of messages since this task was last pending.
    in_a_row: u8,
    join_by: Option<Instant>,
    /// Time at which received messages are acknowledged.
    ack_at: Option<Instant>,
    ping_interval: Duration,
    ping_at: Instant,
    unanswered: u8,
    /// Set if anything has arrived since the last ping, even a part of a message.
    heard: bool,
    /// Set once [`Link::close`] has begun.
    closing: bool,
    timer: Pin<Box<Sleep>>,
}

impl Link {
    /// Boxed, because it is handed on from stage to stage of a connection, and a future reserves space for every place
    /// that a value has been in.
    pub(crate) fn new(
        config: &Config,
        metrics: Arc<Metrics>,
        of_server: Share,
        outbox: Outbox,
        socket: Socket,
    ) -> Box<Self> {
        let now = Instant::now();
        let join_by = now + config.join_timeout;
        // As late as any ping may be: a proxy that cuts connections after such a silence then cuts every one before its
        // first ping, so that the problem is visible to all.
        let ping_at = now + config.longest_silence();
        Box::new(Self {
            socket,
            holding: Holding::new(outbox.account()),
            outbox: Arc::new(outbox),
            metrics,
            read_at: now,
            meter: Meter::new(config.rates.member(), of_server, now),
            read_after: None,
            too_fast: false,
            messages: 0,
            in_a_row: 0,
            join_by: Some(join_by),
            ack_at: None,
            ping_interval: config.ping_interval,
            ping_at,
            unanswered: 0,
            heard: false,
            closing: false,
            timer: Box::pin(tokio::time::sleep_until(join_by.min(ping_at))),
        })
    }

    /// Returns the outbox, into which the hub puts what this connection is to send.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Returns the server's metrics.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns the number of messages received.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Returns the time at which the last message was read. This needs no clock: the meter has already read it.
    pub(crate) fn read_at(&self) -> Instant {
        self.read_at
    }

    /// Sets how much longer the peer may take to join.
    pub(crate) fn join_within(&mut self, time: Duration) {
        self.join_by = Some(Instant::now() + time);
        self.set_timer();
    }

    /// Ends the time limit of the join. Sets the peer's share of its room's rate, and continues with the allowance that
    /// the member's earlier connections have left.
    pub(crate) fn enter_room(&mut self, of_room: Share, allowance: Arc<Allowance>) {
        self.meter.enter(of_room);
        let now = Instant::now();
        let pace = self.meter.resume(allowance, now);
        self.keep(now, pace);
        self.join_by = None;
        self.set_timer();
    }

    /// Sends what is queued, and waits for the next event. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Poll::Ready(event) = self.poll_send(cx) {
                return Poll::Ready(event);
            }
            // There may be a ping to send: start again.
            if self.timer.as_mut().poll(cx).is_ready() {
                if let Some(event) = self.on_timer(Instant::now()) {
                    return Poll::Ready(event);
                }
                continue;
            }
            if self.too_fast {
                return Poll::Ready(Event::TooFast);
            }
            if self.read_after.is_some() {
                return self.hold();
            }
            if self.in_a_row == TURN {
                self.in_a_row = 0;
                give_way(cx);
                return Poll::Pending;
            }
            let received = self.socket.poll_receive(cx);
            let paused = self.meter(received.is_ready());
            if let Poll::Ready(received) = received {
                self.in_a_row += 1;
                self.messages += u64::from(matches!(received, Ok(Received::Text(_) | Received::Binary)));
                return Poll::Ready(received.map_or_else(Event::End, Event::Received));
            }
            self.in_a_row = 0;
            // The timer was reset, and must be polled again to wake this task.
            if !paused {
                return self.hold();
            }
        }
    }

    /// Counts what the socket holds while nothing more is read from it.
    fn hold(&mut self) -> Poll<Event> {
        self.holding.set(self.socket.held_bytes());
        if self.holding.allowance() < self.holding.bytes() { Poll::Ready(Event::HoldsTooMuch) } else { Poll::Pending }
    }

    /// Counts what was read, and pauses or ends reading if it was too much. What has been read is still carried out.
    fn meter(&mut self, is_message: bool) -> bool {
        let bytes = self.socket.take_read();
        if bytes == 0 && !is_message {
            return false;
        }
        self.heard |= bytes > 0;
        let now = Instant::now();
        self.read_at = now;
        let pace = self.meter.take(now, u32::from(is_message), bytes);
        self.keep(now, pace)
    }

    /// Counts the last message as this many further messages and bytes (R81).
    pub(crate) fn charge(&mut self, messages: u32, bytes: usize) {
        let pace = self.meter.take(self.read_at, messages, bytes);
        self.keep(self.read_at, pace);
    }

    /// Counts the load of the last message on the room (R79).
    pub(crate) fn charge_room(&mut self, messages: u32, bytes: usize) {
        let pace = self.meter.share(self.read_at, messages, bytes);
        self.keep(self.read_at, pace);
    }

    /// Excludes the last message, which was rejected, from what counts as sent too fast (R102).
    pub(crate) fn pardon(&mut self, bytes: usize) {
        self.meter.pardon(self.read_at, 1, bytes);
    }

    /// Applies a decision of the meter. Returns whether reading is paused or is to end.
    fn keep(&mut self, now: Instant, pace: Pace) -> bool {
        match pace {
            Pace::Free => return false,
            Pace::Held(wait) => {
                self.metrics.limited(Limit::Rate);
                self.read_after = self.read_after.max(Some(now + wait));
                self.set_timer();
            }
            Pace::TooMuch => self.too_fast = true,
        }
        true
    }

    /// Takes everything that is queued, hands it over and flushes once; repeats this until nothing is queued or the
    /// socket takes no more. What it does not take stays in the outbox, whose bounds apply.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.socket.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Event::End(End::Lost)),
                Poll::Pending => {
                    // While closing, the close frame must still be sent, unless the client is too slow even for that.
                    return match self.outbox.poll_end(cx) {
                        Poll::Ready(code) if !self.closing || code == CloseCode::SlowConsumer => {
                            Poll::Ready(Event::Closed(code))
                        }
                        _ => Poll::Pending,
                    };
                }
            }
            match self.outbox.poll_take(cx, self.socket.queue()) {
                Poll::Ready(Taken::Frames) => self.count_sent(),
                Poll::Ready(Taken::End(code)) => return Poll::Ready(Event::Closed(code)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Counts what was just taken from the outbox. The socket's queue was empty before.
    fn count_sent(&mut self) {
        for out in self.socket.queue().iter() {
            if let Outgoing::Message(_, frame) = out {
                self.metrics.messages.sent(frame.kind(), frame.payload().len());
            }
        }
    }

    /// Records how full the outbox has been since the last call: with each ping, and at the end.
    pub(crate) fn count_waited(&self) {
        self.metrics.messages.waited(self.outbox.take_most());
    }

    fn on_timer(&mut self, now: Instant) -> Option<Event> {
        if self.join_by.is_some_and(|at| at <= now) {
            return Some(Event::JoinTimeout);
        }
        if self.read_after.is_some_and(|at| at <= now) {
            self.read_after = None;
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            self.acknowledge();
        }
        if self.ping_at <= now {
            // A peer from which nothing is read cannot be called silent.
            if std::mem::take(&mut self.heard) || self.read_after.is_some() {
                self.unanswered = 0;
            }
            if self.unanswered == MISSED_PINGS {
                return Some(Event::PeerTimeout);
            }
            self.unanswered += 1;
            self.count_waited();
            self.ping_at = now + with_jitter(self.ping_interval);
            self.send(Outgoing::Ping);
        }
        self.set_timer();
        None
    }

    fn set_timer(&mut self) {
        let others = [self.join_by, self.read_after, self.ack_at];
        let next = others.into_iter().flatten().fold(self.ping_at, Instant::min);
        self.timer.as_mut().reset(next);
    }

    /// Schedules the acknowledgement of a numbered message, some messages or some time later.
    pub(crate) fn owe_ack(&mut self) {
        let owed = self.outbox.owed();
        if owed >= ACK_MESSAGES {
            self.acknowledge();
        } else if owed > 0 && self.ack_at.is_none() {
            self.ack_at = Some(Instant::now() + ACK_DELAY);
            self.set_timer();
        }
    }

    fn acknowledge(&mut self) {
        self.ack_at = None;
        if self.outbox.owed() > 0 {
            let ack = self.outbox.tell();
            self.send(Outgoing::plain(ServerMessage::Ack { ack }.to_frame()));
        }
    }

    /// Queues an unnumbered frame of the connection's own, behind what the hub has queued.
    pub(crate) fn send(&self, out: Outgoing) {
        self.or_too_slow(self.outbox.add(out));
    }

    /// Sends the error for a message that was not carried out (R28). It is numbered, because the message counts, too.
    pub(crate) fn refuse(&self, code: ErrorCode, message: &str, re: Option<&str>, reference: Option<&RawValue>) {
        self.metrics.error(code);
        let body = ErrorBody { code, message, re, reference, retry_after_ms: None };
        self.tell(ServerMessage::Error(body).to_frame());
    }

    /// Queues a numbered message of the connection's own: a client that resumes does not miss it.
    pub(crate) fn tell(&self, frame: Frame) {
        self.or_too_slow(self.outbox.push(frame));
    }

    fn or_too_slow(&self, added: Result<(), Full>) {
        if added.is_err() && self.outbox.close(CloseCode::SlowConsumer) {
            self.metrics.slow_consumers.inc();
        }
    }

    /// Closes the connection: sends what is queued and a close frame, and waits a little for the peer's close. Returns
    /// the close code: if the outbox was closed before, that code stands.
    pub(crate) async fn close(mut self: Box<Self>, code: CloseCode) -> CloseCode {
        self.closing = true;
        self.outbox.close(code);
        let goodbye = async {
            let Event::Closed(code) = poll_fn(|cx| self.poll_send(cx)).await else {
                return code;
            };
            if code == CloseCode::SlowConsumer {
                self.socket.abandon();
            }
            self.socket.queue().push_back(Outgoing::Close(code));
            if poll_fn(|cx| self.socket.poll_flush(cx)).await.is_ok() {
                self.socket.finish().await;
            }
            code
        };
        tokio::time::timeout(LINGER, goodbye).await.unwrap_or(code)
    }
}

/// Returns a time that is longer by up to a quarter, so that many connections spread.
pub(crate) fn with_jitter(interval: Duration) -> Duration {
    interval.mul_f64(1.0 + fastrand::f64() / 4.0)
}
