//! What one connection may say. It is first a [`Hello`], which may only join, then a [`Joined`],
//! which may do the rest. Whatever ends it, its [`Membership`] announces the departure.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::access::{Change, Credentials, Pass};
use crate::app::App;
use crate::core::Refusal;
use crate::core::session::OutOfSequence;
use crate::hub::{self, Absence, JoinError, Membership, Newcomer};
use crate::limits::{Attempt, Visit};
use crate::link::{Event, Link, with_jitter};
use crate::protocol::client::{self, Request};
use crate::protocol::{
    CloseCode, ErrorBody, ErrorCode, LeaveReason, MESSAGE_BYTES, Outgoing, PeerId, RoomName, ServerMessage, server,
};
use crate::socket::{End, Received, Socket};

/// After which time somebody asks again who found the server full.
const FULL_RETRY: Duration = Duration::from_secs(10);
/// The same of who sent too fast (R75): by then what is free is whole again, twice over.
const PACE_RETRY: Duration = Duration::from_secs(10);

/// Serves one connection from its upgrade to its end.
pub async fn serve(app: Arc<App>, room: RoomName, visit: Visit, socket: Socket) {
    app.metrics.sockets.inc();
    let mut link = Link::new(&app.config, app.commons.of_server(), socket);
    let hello = Hello { app: &app, room, visit: &visit };
    let ending = match hello.run(&mut link).await {
        Ok((membership, pass)) => {
            link.enter_room(app.commons.of_room(&hello.room));
            Joined { app: &app, membership, pass }.run(&mut link).await
        }
        Err(ending) => ending,
    };
    let code = match ending {
        // In a box: the place for it would be kept by every connection for its whole life.
        Some(code) => Some(Box::pin(link.close(code)).await),
        None => None,
    };
    app.metrics.sockets.dec();
    app.metrics.closed(code);
}

/// How a connection is to end: the code to close it with, `None` where the client has closed it.
type Ending = Option<CloseCode>;

/// What a connection that has not joined may do: join.
struct Hello<'a> {
    app: &'a Arc<App>,
    room: RoomName,
    visit: &'a Visit,
}

/// The token by which somebody is in, if any.
type OwnPass = Option<Box<Pass>>;

/// What follows from a message before the join.
enum Step {
    Stay,
    /// To be taken again after this time.
    Later(Duration),
    Join(Membership, OwnPass),
    End(CloseCode),
}

impl Hello<'_> {
    async fn run(&self, link: &mut Link) -> Result<(Membership, OwnPass), Ending> {
        let mut draining = self.app.draining();
        loop {
            let event = tokio::select! {
                biased;
                () = async { drop(draining.wait_for(|draining| *draining).await) } => {
                    hub::go_away(link.outbox());
                    return Err(Some(CloseCode::GoingAway));
                }
                event = link.next() => event,
            };
            match event {
                Event::Received(Received::Text(text)) => match self.take_in_time(link, &text).await {
                    Step::Stay | Step::Later(_) => {}
                    Step::Join(membership, pass) => return Ok((membership, pass)),
                    Step::End(code) => return Err(Some(code)),
                },
                Event::Received(received) => refuse_binary(link, &received),
                other => return Err(ending(link, other)),
            }
        }
    }

    /// Whoever tries to join too often is slowed first (R66).
    async fn take_in_time(&self, link: &Link, text: &str) -> Step {
        // Nothing of the step may live across the await: every connection would keep room for it.
        let wait = match self.take(link, text, false) {
            Step::Later(wait) => wait,
            step => return step,
        };
        // In a box: hardly anybody waits, and everybody's task would keep room for it.
        Box::pin(tokio::time::sleep(wait)).await;
        self.take(link, text, true)
    }

    fn take(&self, link: &Link, text: &str, waited: bool) -> Step {
        let client::Parsed { reference, request, .. } = client::parse(text);
        match request {
            Ok(Request::Join { name, state, resume, last_seq, token, host_key, settings }) => {
                let known = resume.as_ref().and_then(|secret| self.app.resume_key.check(&self.room, secret));
                match if waited { Attempt::After(Duration::ZERO) } else { self.visit.attempt(known.is_some()) } {
                    Attempt::After(Duration::ZERO) => {}
                    Attempt::After(wait) => return Step::Later(wait),
                    Attempt::Refused(wait) => {
                        let message = "Too many attempts to join came from this address.";
                        refuse_for_now(link, ErrorCode::TooManyAttempts, message, wait, Some("join"), reference);
                        return Step::End(CloseCode::TryLater);
                    }
                }
                let shown = Credentials { token: token.as_deref(), host_key: host_key.as_deref() };
                let admission = match self.app.access.admit(&self.room, shown, (self.app.surroundings.clock)()) {
                    Ok(admission) => admission,
                    Err(denied) => {
                        // Who shows none has not tried one.
                        if denied.code != ErrorCode::TokenMissing {
                            self.visit.guessed();
                        }
                        link.refuse(denied.code, &denied.message, Some("join"), reference);
                        return Step::End(CloseCode::Unauthorized);
                    }
                };
                let Some(id) = known.map(|(id, _)| id).or_else(|| random_id(self.app)) else {
                    return Step::End(CloseCode::GoingAway);
                };
                let newcomer = Newcomer {
                    id,
                    named: admission.name.is_some(),
                    name: admission.name.unwrap_or(name),
                    state,
                    settings,
                    stay: known.map(|(_, stay)| stay),
                    last_seq,
                    disproved: resume.is_some() && known.is_none(),
                    grant: admission.grant,
                    outbox: Arc::clone(link.outbox()),
                };
                match self.app.hub.join(&self.room, newcomer) {
                    Ok(membership) => {
                        // To open a room by its name and to find out that nobody is there are the same.
                        let by_name =
                            || !self.room.is_trial() && !self.app.access.is_maker(&self.room, host_key.as_deref());
                        if membership.made_the_room() && known.is_none() && by_name() {
                            self.visit.guessed();
                        }
                        return Step::Join(membership, admission.pass);
                    }
                    Err(JoinError::Full) => {
                        let message = "The server has as many rooms or members as it takes.";
                        refuse_for_now(link, ErrorCode::ServerFull, message, FULL_RETRY, Some("join"), reference);
                        return Step::End(CloseCode::TryLater);
                    }
                    Err(JoinError::Dismissed(code)) => return Step::End(code),
                    Err(JoinError::Draining) => {
                        hub::go_away(link.outbox());
                        return Step::End(CloseCode::GoingAway);
                    }
                    Err(JoinError::Refused(refusal)) => {
                        refuse(link, &refusal, Some("join"), reference);
                        match refusal {
                            Refusal::RoomFull => return Step::End(CloseCode::RoomFull),
                            Refusal::RoomLocked => return Step::End(CloseCode::RoomLocked),
                            _ => {}
                        }
                    }
                }
            }
            Ok(Request::Ping) => pong(link, reference),
            // Of a client that acknowledges in the dark; it does no harm.
            Ok(Request::Ack) => {}
            Ok(Request::Leave) => return Step::End(CloseCode::Left),
            Ok(other) => {
                let message = "The first message is \"join\".";
                link.refuse(ErrorCode::JoinFirst, message, Some(other.kind()), reference);
            }
            Err(bad) => link.refuse(bad.code, &bad.message, bad.re, reference),
        }
        Step::Stay
    }
}

/// What a member of a room may do, and who waits to become one.
struct Joined<'a> {
    app: &'a Arc<App>,
    membership: Membership,
    pass: OwnPass,
}

impl Joined<'_> {
    async fn run(mut self, link: &mut Link) -> Ending {
        loop {
            let event = match &mut self.pass {
                None => link.next().await,
                // In a box: most have no pass, and would keep room for its timer.
                Some(pass) => match Box::pin(next_or_change(link, pass)).await {
                    Ok(event) => event,
                    Err(Change::Expiring(left)) => {
                        link.tell(ServerMessage::TokenExpiring { expires_in_ms: millis(left) }.to_frame());
                        continue;
                    }
                    Err(Change::Ended(denied)) => {
                        link.refuse(denied.code, &denied.message, None, None);
                        self.membership.leave(LeaveReason::Unauthorized);
                        return Some(CloseCode::Unauthorized);
                    }
                },
            };
            match event {
                Event::Received(Received::Text(text)) => {
                    if !self.take(link, &text) {
                        self.membership.leave(LeaveReason::Left);
                        return Some(CloseCode::Left);
                    }
                }
                Event::Received(received) => refuse_binary(link, &received),
                other => {
                    let reason = reason(&other);
                    if matches!(other, Event::End(End::Lost) | Event::PeerTimeout) {
                        let absence = self.membership.lose(reason);
                        if let Some(pass) = self.pass {
                            tokio::spawn(watch_absent(absence, pass));
                        }
                    } else {
                        self.membership.leave(reason);
                    }
                    return ending(link, other);
                }
            }
        }
    }

    /// Carries a message out; whether the member stays.
    fn take(&mut self, link: &mut Link, text: &str) -> bool {
        let client::Parsed { reference, number, ack, request } = client::parse(text);
        let kind = request.as_ref().map_or_else(|bad| bad.re, |request| Some(request.kind()));
        let acknowledged = ack.map_or(Ok(()), |ack| link.outbox().acknowledge(ack));
        if let Err(OutOfSequence(sent)) = acknowledged {
            let message = format!("\"ack\" is up to {sent}, the number of the last message that was sent.");
            link.refuse(ErrorCode::OutOfSequence, &message, kind, reference);
        }
        let metrics = &self.app.metrics;
        let result = match request {
            Ok(Request::Signal { to, data }) => {
                metrics.signals.inc();
                self.membership.signal(number, to, server::signal(self.membership.id(), data))
            }
            Ok(Request::Broadcast { data }) => {
                metrics.broadcasts.inc();
                self.membership.broadcast(number, server::broadcast(self.membership.id(), data))
            }
            Ok(Request::State(patch)) => self.membership.change_state(number, patch),
            Ok(Request::Moderate(act)) => self.membership.moderate(number, act),
            Ok(Request::Sync) => self.membership.sync(number),
            Ok(Request::Leave) => return false,
            // What is between this connection and its server.
            Ok(Request::Ping | Request::Ack | Request::Join { .. } | Request::Renew { .. }) | Err(_) => {
                let counted = self.membership.count(number);
                if counted == Ok(true) {
                    self.answer(link, request, reference);
                }
                counted.map(drop)
            }
        };
        if let Err(refusal) = result {
            refuse(link, &refusal, kind, reference);
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
            Ok(_) => {}
            Err(bad) => link.refuse(bad.code, &bad.message, bad.re, reference),
        }
    }

    /// R61: a token that is refused leaves the one before it as it is.
    fn renew(&mut self, link: &Link, token: &str, reference: Option<&RawValue>) {
        let Some(pass) = &mut self.pass else {
            let message = "This connection has not joined by a token: there is nothing to renew.";
            return link.refuse(ErrorCode::NoToken, message, Some("renew"), reference);
        };
        match pass.renew(token) {
            Ok(left) => link.tell(ServerMessage::Renewed { expires_in_ms: millis(left), reference }.to_frame()),
            Err(denied) => link.refuse(denied.code, &denied.message, Some("renew"), reference),
        }
    }
}

/// Who has no socket is no longer there than its token is good (R62, R63).
async fn watch_absent(absence: Absence, mut pass: Box<Pass>) {
    let ended = async {
        // When it ends soon, there is nobody to be told.
        while matches!(pass.changed().await, Change::Expiring(_)) {}
    };
    if tokio::time::timeout(absence.window(), ended).await.is_ok() {
        absence.end(LeaveReason::Unauthorized);
    }
}

/// What happens next on the link, or to the pass.
async fn next_or_change(link: &mut Link, pass: &mut Pass) -> Result<Event, Change> {
    tokio::select! {
        // Whose token has ended says nothing more.
        biased;
        change = pass.changed() => Err(change),
        event = link.next() => Ok(event),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn pong(link: &Link, reference: Option<&RawValue>) {
    link.send(Outgoing::plain(ServerMessage::Pong { reference }.to_frame()));
}

fn refuse(link: &Link, refusal: &Refusal, re: Option<&str>, reference: Option<&RawValue>) {
    let sentence;
    let (code, message) = match refusal {
        Refusal::RoomFull => (ErrorCode::RoomFull, "The room has as many members as it takes."),
        Refusal::RoomLocked => (ErrorCode::RoomLocked, "The room is locked."),
        Refusal::NotAllowed(why) => (ErrorCode::NotAllowed, *why),
        Refusal::NotAdmitted => (ErrorCode::NotAdmitted, "A host has not admitted this connection yet."),
        Refusal::PeerNotFound => {
            (ErrorCode::PeerNotFound, "No peer with this id is in this room: it left, or never was here.")
        }
        Refusal::SignalToSelf => (ErrorCode::SignalToSelf, "\"to\" is the sender's own id."),
        Refusal::StateInvalid(why) => (ErrorCode::StateInvalid, why.as_str()),
        Refusal::OutOfSequence(next) => {
            sentence = format!("\"seq\" leaves a gap; the next number is {next}.");
            (ErrorCode::OutOfSequence, &*sentence)
        }
        // The hub has closed this connection, and its close frame is on the way.
        Refusal::NotMember => return,
    };
    link.refuse(code, message, re, reference);
}

/// Says when to come back, which differs by up to a quarter from client to client.
fn refuse_for_now(
    link: &Link,
    code: ErrorCode,
    message: &str,
    wait: Duration,
    re: Option<&str>,
    reference: Option<&RawValue>,
) {
    let retry_after_ms = Some(millis(with_jitter(wait)));
    link.tell(ServerMessage::Error(ErrorBody { code, message, re, reference, retry_after_ms }).to_frame());
}

fn refuse_binary(link: &Link, received: &Received) {
    if matches!(received, Received::Binary) {
        let message = "Messages are text frames of JSON; this one was binary.";
        link.refuse(ErrorCode::BinaryUnsupported, message, None, None);
    }
}

/// What the others are told of a member whose connection came to this end.
fn reason(event: &Event) -> LeaveReason {
    match event {
        Event::PeerTimeout => LeaveReason::Timeout,
        Event::TooFast | Event::End(End::TooLarge | End::NotUtf8 | End::Protocol(_)) => LeaveReason::ProtocolError,
        Event::Closed(CloseCode::SlowConsumer) => LeaveReason::SlowConsumer,
        _ => LeaveReason::Closed,
    }
}

/// How this event wants the connection to end.
fn ending(link: &Link, event: Event) -> Ending {
    match event {
        Event::End(End::Closed | End::Lost) | Event::Received(_) => None,
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
            let message = "Far more was sent than this server takes of one connection, for too long.";
            refuse_for_now(link, ErrorCode::RateLimited, message, PACE_RETRY, None, None);
            Some(CloseCode::TryLater)
        }
        Event::Closed(code) => Some(code),
    }
}

fn random_id(app: &App) -> Option<PeerId> {
    let mut random = [0; PeerId::LEN];
    match (app.surroundings.random)(&mut random) {
        Ok(()) => Some(PeerId::from_random(random)),
        Err(error) => {
            tracing::error!(%error, "no random numbers: nobody can join");
            None
        }
    }
}
