//! Handling of the messages of one connection. It is first a [`Hello`], which may only join, then a [`Joined`], which
//! may do the rest. However it ends, its [`Membership`] announces the departure.

mod hello;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::Instrument;

use crate::access::{Change, Granted, PROOF_TIMEOUT, Pass, PendingProof};
use crate::app::App;
use crate::core::Refusal;
use crate::core::session::OutOfSequence;
use crate::hub::{Absence, Decision, Membership, PAGE_RELOAD_WINDOW, Said};
use crate::limits::{Attempt, Rejection, Visit};
use crate::link::{Event, Link, with_jitter};
use crate::outbox::Outbox;
use crate::protocol::client::{self, Request};
use crate::protocol::{
    CloseCode, ErrorBody, ErrorCode, LeaveReason, LinkReport, MESSAGE_BYTES, Outgoing, RoomName, ServerMessage, server,
};
use crate::refusal::millis;
use crate::socket::{End, Received, Socket};
use crate::telemetry::Relayed;
use hello::Hello;
pub use trail::Trail;

/// Time after which a client that sent too fast should come back (R75). By then its burst is available again, twice
/// over.
const PACE_RETRY: Duration = Duration::from_secs(10);

/// Number of messages as which a message counts that several servers must order (R81). It costs Redis about as much.
const ORDERED: u32 = 10;

/// Serves one connection from its upgrade to its end. Its log lines carry the connection's ID, but only at levels where
/// that is wanted, since a log span takes memory. `pending_proof` is set if the `join` must bring an origin proof.
pub fn serve(
    app: Arc<App>,
    room: RoomName,
    visit: Visit,
    pending_proof: Option<PendingProof>,
    trail: Trail,
    socket: Socket,
) -> impl Future<Output = ()> {
    let span = tracing::debug_span!("connection", conn = %trail.id());
    // Boxed: hardly any connection has a pending proof for long.
    converse(app, room, visit, pending_proof.map(Box::new), trail, socket).instrument(span)
}

async fn converse(
    app: Arc<App>,
    room: RoomName,
    visit: Visit,
    pending_proof: Option<Box<PendingProof>>,
    trail: Trail,
    socket: Socket,
) {
    let begun = Instant::now();
    trail.within(|| tracing::debug!("connected"));
    app.metrics.sockets.inc();
    let (metrics, of_server) = (Arc::clone(&app.metrics), app.commons.of_server());
    let outbox = Outbox::new(app.config.outbox(), visit.queue_account()).with_address(visit.address());
    let mut link = Link::new(&app.config, metrics, of_server, outbox, socket);
    if pending_proof.is_some() {
        link.join_within(PROOF_TIMEOUT.min(app.config.join_timeout));
    }
    let mut hello = Hello { app: &app, room, visit: &visit, pending_proof, trail: &trail };
    let (ending, traced) = match hello.run(&mut link).await {
        Ok((membership, pass, early)) => {
            let of_room = app.commons.of_room(&hello.room, membership.elsewhere());
            link.enter_room(of_room, membership.allowance());
            let others = membership.others();
            let mut joined =
                Joined { app: &app, visit: &visit, membership, pass, renewal: None, reported_at: None, others };
            let over = joined.run(&mut link, early).await;
            let traced = trail.end(&app.traces);
            (traced.within(|| joined.depart(&link, over)), traced)
        }
        Err(ending) => (ending, trail.end(&app.traces)),
    };
    link.count_waited();
    let messages = link.messages();
    let code = match ending {
        // Boxed: otherwise every connection would reserve space for it for its whole life.
        Some(code) => Some(Box::pin(link.close(code)).await),
        None => None,
    };
    let (reason, lasted_ms) = (code.map_or("client", CloseCode::as_str), millis(begun.elapsed()));
    traced.within(|| tracing::debug!(code = code.map(|code| code as u16), reason, lasted_ms, messages, "closed"));
    traced.set("roundtable.reason", reason);
    drop(traced);
    app.metrics.sockets.dec();
    app.metrics.closed(code);
}

/// Code with which to close a connection; `None` if the client has closed it.
type Ending = Option<CloseCode>;

/// Token by which a member has joined, if any.
type OwnPass = Option<Box<Pass>>;

/// Connection of a member of a room, or of a client in its lobby.
struct Joined<'a> {
    app: &'a Arc<App>,
    visit: &'a Visit,
    membership: Membership,
    pass: OwnPass,
    /// Renewal that the room has not accepted yet.
    renewal: Option<Box<Renewal>>,
    /// Time at which the last quality report was read.
    reported_at: Option<Instant>,
    /// Number of other members at that time, or at the join.
    others: usize,
}

/// Renewal of a member's token.
struct Renewal {
    decision: Decision,
    token: String,
    granted: Granted,
    reference: Option<Box<RawValue>>,
}

/// Reason for which a connection is no longer that of a member.
enum Over {
    /// The client sent `leave`.
    Leaves,
    /// Its token has ended.
    Denied,
    Happened(Event),
}

impl Joined<'_> {
    /// Handles messages until the connection is over. `early` is the message that arrived before the join was decided.
    async fn run(&mut self, link: &mut Link, early: Option<Box<Received>>) -> Over {
        if let Some(received) = early {
            match *received {
                Received::Text(text) if !self.take(link, &text) => return Over::Leaves,
                received => refuse_binary(link, &received),
            }
        }
        loop {
            let event = match &mut self.pass {
                None => link.next().await,
                // Boxed: most members have no token, and would reserve space for its timer.
                Some(pass) => match Box::pin(next(link, pass, self.renewal.as_deref_mut())).await {
                    Next::Happened(event) => event,
                    Next::Decided(decision) => {
                        self.renewed(link, decision);
                        continue;
                    }
                    Next::Changed(Change::Expiring(left)) => {
                        link.tell(ServerMessage::TokenExpiring { expires_in_ms: millis(left) }.to_frame());
                        continue;
                    }
                    Next::Changed(Change::Ended(denied)) => {
                        link.refuse(denied.code, &denied.message, None, None);
                        return Over::Denied;
                    }
                },
            };
            match event {
                Event::Received(Received::Text(text)) => {
                    if !self.take(link, &text) {
                        return Over::Leaves;
                    }
                }
                Event::Received(received) => refuse_binary(link, &received),
                other => return Over::Happened(other),
            }
        }
    }

    /// Announces the departure to the room, and returns how the connection is to end.
    fn depart(self, link: &Link, over: Over) -> Ending {
        let reason = match &over {
            Over::Leaves => LeaveReason::Left,
            Over::Denied => LeaveReason::Unauthorized,
            Over::Happened(event) => reason(event),
        };
        match &over {
            Over::Happened(event) if keeps_place(event) => {
                let how = if has_page_ended(event) { "page ended" } else { "lost" };
                tracing::debug!(reason = reason.as_str(), "{how}");
                watch(self.membership.lose(reason), self.pass, event);
            }
            // Somebody else has ended the session or resumed it: the close code says which.
            Over::Happened(Event::Closed(_)) => self.membership.leave(reason),
            _ => {
                tracing::debug!(reason = reason.as_str(), "left");
                self.membership.leave(reason);
            }
        }
        match over {
            Over::Leaves => Some(CloseCode::Left),
            Over::Denied => Some(CloseCode::Unauthorized),
            Over::Happened(event) => ending(self.app, link, event),
        }
    }

    /// Handles a message. Returns whether the member stays.
    fn take(&mut self, link: &mut Link, text: &str) -> bool {
        let client::Parsed { reference, number, ack, request } = client::parse(text);
        let kind = request.as_ref().map_or_else(|bad| bad.re, |request| Some(request.kind()));
        let acknowledged = ack.map_or(Ok(()), |ack| link.outbox().acknowledge(ack));
        if let Err(OutOfSequence(sent)) = acknowledged {
            let message = format!("\"ack\" is up to {sent}, the number of the last message that was sent.");
            link.refuse(ErrorCode::OutOfSequence, &message, kind, reference);
        }
        let (messages, said) = (&self.app.metrics.messages, Said { number, reference });
        let nth = messages.received(kind, text.len());
        let (mut ordered, mut answer_bytes, mut for_room) = (false, 0, true);
        let mut asked = |result: Result<bool, Refusal>| result.map(|asked| ordered = asked);
        let result = match request {
            Ok(Request::Signal { to, data }) => {
                let result = self.membership.signal(said, to, server::signal(self.membership.id(), data));
                messages.relayed(Relayed::Signal, nth, link.read_at());
                result
            }
            Ok(Request::Broadcast { data }) => {
                let result = self.membership.broadcast(said, server::broadcast(self.membership.id(), data));
                messages.relayed(Relayed::Broadcast, nth, link.read_at());
                result
            }
            Ok(Request::State(patch)) => asked(self.membership.change_state(said, patch)),
            Ok(Request::Moderate(act)) => asked(self.membership.moderate(said, act)),
            Ok(Request::Sync) => {
                let result = asked(self.membership.sync(said));
                if result.is_ok() {
                    answer_bytes = self.membership.roster_bytes();
                }
                result
            }
            Ok(Request::Leave) => return false,
            // Messages between this connection and its server alone.
            Ok(Request::Ping | Request::Ack | Request::Join { .. } | Request::Renew { .. } | Request::Quality(_))
            | Err(_) => {
                for_room = false;
                let counted = self.membership.count(number);
                if counted == Ok(true) {
                    self.answer(link, request, reference);
                }
                counted.map(drop)
            }
        };
        match result {
            Ok(()) => {
                let more = if ordered { ORDERED - 1 } else { 0 };
                if more > 0 || answer_bytes > 0 {
                    link.charge(more, answer_bytes);
                }
                if for_room {
                    link.charge_room(1 + more, text.len() + answer_bytes);
                }
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::TooManySignals(_)) {
                    link.pardon(text.len());
                }
                refuse(link, &refusal, kind, reference);
            }
        }
        if number.is_some() {
            link.owe_ack();
        }
        true
    }

    fn answer(&mut self, link: &Link, request: Result<Request<'_>, client::Bad>, reference: Option<&RawValue>) {
        match request {
            Ok(Request::Ping) => pong(link, reference),
            Ok(Request::Join { .. }) => {
                let message = "This connection has joined already; that join stands.";
                link.refuse(ErrorCode::AlreadyJoined, message, Some("join"), reference);
            }
            Ok(Request::Renew { token }) => self.renew(link, &token, reference),
            Ok(Request::Quality(links)) => self.report(link, &links, reference),
            Ok(_) => {}
            Err(bad) => link.refuse(bad.code, &bad.message, bad.re, reference),
        }
    }

    /// R82, R83: counts a quality report. It is passed on to nobody.
    fn report(&mut self, link: &Link, links: &[LinkReport], reference: Option<&RawValue>) {
        let interval = self.app.config.quality.quality_interval;
        let now = link.read_at();
        let refuse = |code, message| link.refuse(code, message, Some("quality"), reference);
        if interval.is_zero() {
            let message = "This server takes no reports of quality: its welcome has no \"quality_seconds\".";
            return refuse(ErrorCode::NotAllowed, message);
        }
        if self.reported_at.is_some_and(|before| now - before < interval / 2) {
            let message = "Reports of quality come half of \"quality_seconds\" apart at least.";
            return refuse(ErrorCode::NotAllowed, message);
        }
        let others = self.membership.others();
        // A report that is on its way may still include a member that has just left.
        if links.len() > self.others.max(others) {
            let message = format!("\"links\" has one entry for each of the others: {others} at most.");
            return refuse(ErrorCode::BadField, &message);
        }
        (self.reported_at, self.others) = (Some(now), others);
        self.app.metrics.quality.report(links);
    }

    /// R61: renews the token. If the new one is rejected, the previous one remains valid.
    fn renew(&mut self, link: &Link, token: &str, reference: Option<&RawValue>) {
        let Some(pass) = &mut self.pass else {
            let message = "This connection has not joined by a token: there is nothing to renew.";
            return link.refuse(ErrorCode::NoToken, message, Some("renew"), reference);
        };
        let granted = match pass.check_renewal(token) {
            Ok(granted) => granted,
            Err(denied) => {
                // A member must not lock out its whole address: no more is counted than joins may use up.
                if let Attempt::After(_) = self.visit.attempt(None) {
                    self.visit.guessed();
                }
                return link.refuse(denied.code, &denied.message, Some("renew"), reference);
            }
        };
        let Some(id) = granted.id else {
            let expires_in_ms = millis(pass.renew(token, &granted));
            return link.tell(ServerMessage::Renewed { expires_in_ms, reference }.to_frame());
        };
        if self.renewal.is_some() {
            return refuse(link, &Refusal::Busy, Some("renew"), reference);
        }
        match self.membership.renew(id) {
            Ok(decision) => {
                let (token, reference) = (token.to_owned(), reference.map(ToOwned::to_owned));
                self.renewal = Some(Box::new(Renewal { decision, token, granted, reference }));
            }
            Err(refusal) => refuse(link, &refusal, Some("renew"), reference),
        }
    }

    /// Applies the room's decision on a renewal.
    fn renewed(&mut self, link: &Link, decision: Result<(), Refusal>) {
        let Some((renewal, pass)) = self.renewal.take().zip(self.pass.as_mut()) else { return };
        let Renewal { token, granted, reference, .. } = *renewal;
        match decision {
            Ok(()) => {
                let (expires_in_ms, reference) = (millis(pass.renew(&token, &granted)), reference.as_deref());
                link.tell(ServerMessage::Renewed { expires_in_ms, reference }.to_frame());
            }
            Err(Refusal::Dismissed(_)) => {
                let message = "The token belongs to a participant who was removed.";
                link.refuse(ErrorCode::TokenRevoked, message, Some("renew"), reference.as_deref());
            }
            Err(refusal) => refuse(link, &refusal, Some("renew"), reference.as_deref()),
        }
    }
}

/// Returns whether a member whose connection ended with this event may return within a window (R52, R114).
fn keeps_place(event: &Event) -> bool {
    has_page_ended(event)
        || matches!(
            event,
            Event::End(End::Lost)
                | Event::PeerTimeout
                | Event::TooFast
                | Event::HoldsTooMuch
                | Event::Closed(CloseCode::SlowConsumer)
        )
}

fn has_page_ended(event: &Event) -> bool {
    matches!(event, Event::End(End::PageEnded))
}

/// Ends the absence of a member whose connection ended with this event when its token ends, or soon if its page has ended.
fn watch(absence: Absence, pass: OwnPass, event: &Event) {
    if has_page_ended(event) {
        tokio::spawn(watch_absent(absence, pass, PAGE_RELOAD_WINDOW, Some(reason(event))));
    } else if pass.is_some() {
        let window = absence.window();
        tokio::spawn(watch_absent(absence, pass, window, None));
    }
}

/// Ends the absence of a member when its token ends (R62, R63), and, given an `at_end`, for that reason after `window`.
async fn watch_absent(absence: Absence, pass: OwnPass, window: Duration, at_end: Option<LeaveReason>) {
    let ended = async {
        match pass {
            // A token that expires soon is announced to nobody.
            Some(mut pass) => while matches!(pass.changed().await, Change::Expiring(_)) {},
            None => std::future::pending().await,
        }
    };
    match tokio::time::timeout(window, ended).await {
        Ok(()) => absence.end(LeaveReason::Unauthorized),
        Err(_) => {
            if let Some(reason) = at_end {
                absence.end(reason);
            }
        }
    }
}

/// Next event of a member with a token.
enum Next {
    Changed(Change),
    Decided(Result<(), Refusal>),
    Happened(Event),
}

async fn next(link: &mut Link, pass: &mut Pass, renewal: Option<&mut Renewal>) -> Next {
    let decided = async {
        match renewal {
            Some(renewal) => (&mut renewal.decision).await.unwrap_or(Err(Refusal::Busy)),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // The room's decision takes precedence over the next message, and after the end of its token a client is not
        // heard.
        biased;
        decision = decided => Next::Decided(decision),
        change = pass.changed() => Next::Changed(change),
        event = link.next() => Next::Happened(event),
    }
}

fn pong(link: &Link, reference: Option<&RawValue>) {
    link.send(Outgoing::plain(ServerMessage::Pong { reference }.to_frame()));
}

fn refuse(link: &Link, refusal: &Refusal, re: Option<&str>, reference: Option<&RawValue>) {
    if let Some(error) = crate::refusal::error(link.metrics(), refusal, re, reference) {
        link.tell(error);
    }
}

/// Sends an error with a time to retry, which varies by up to a quarter from client to client.
fn refuse_for_now(
    link: &Link,
    code: ErrorCode,
    message: &str,
    wait: Duration,
    re: Option<&str>,
    reference: Option<&RawValue>,
) {
    link.metrics().error(code);
    let retry_after_ms = Some(millis(with_jitter(wait)));
    link.tell(ServerMessage::Error(ErrorBody { code, message, re, reference, retry_after_ms }).to_frame());
}

fn refuse_binary(link: &Link, received: &Received) {
    if matches!(received, Received::Binary) {
        let message = "Messages are text frames of JSON; this one was binary.";
        link.refuse(ErrorCode::BinaryUnsupported, message, None, None);
    }
}

/// Returns the reason that is announced to the others when a connection ends by this event.
fn reason(event: &Event) -> LeaveReason {
    match event {
        Event::PeerTimeout => LeaveReason::Timeout,
        Event::TooFast | Event::End(End::TooLarge | End::NotUtf8 | End::Protocol(_)) => LeaveReason::ProtocolError,
        Event::Closed(CloseCode::SlowConsumer) => LeaveReason::SlowConsumer,
        _ => LeaveReason::Closed,
    }
}

/// Returns how the connection is to end after this event.
fn ending(app: &App, link: &Link, event: Event) -> Ending {
    match event {
        Event::End(End::Closed | End::PageEnded | End::Lost) | Event::Received(_) => None,
        Event::End(End::TooLarge) => {
            let message = format!("A message has up to {MESSAGE_BYTES} bytes.");
            link.refuse(ErrorCode::MessageTooLarge, &message, None, None);
            Some(CloseCode::MessageTooLarge)
        }
        Event::End(End::NotUtf8) => Some(CloseCode::InvalidUtf8),
        Event::End(End::Protocol(what)) => {
            tracing::debug!(%what, "a client broke RFC 6455");
            Some(CloseCode::ProtocolError)
        }
        Event::JoinTimeout => Some(CloseCode::JoinTimeout),
        Event::PeerTimeout => Some(CloseCode::PeerTimeout),
        Event::TooFast => {
            app.report_rejection(Rejection::Rates, None);
            let message = "Far more was sent than this server takes of one connection, for too long.";
            refuse_for_now(link, ErrorCode::RateLimited, message, PACE_RETRY, None, None);
            Some(CloseCode::TryLater)
        }
        Event::HoldsTooMuch => {
            let message = "Unfinished messages of this address, or of all, take too much memory: send each at once.";
            refuse_for_now(link, ErrorCode::RateLimited, message, PACE_RETRY, None, None);
            Some(CloseCode::TryLater)
        }
        Event::Closed(code) => Some(code),
    }
}
