//! What one connection may say. It is first a [`Hello`], which may only join, then a [`Joined`],
//! which may do the rest. Whatever ends it, its [`Membership`] announces the departure.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::app::App;
use crate::core::session::OutOfSequence;
use crate::core::{Comeback, Refusal};
use crate::hub::{self, Bookmark, JoinError, Membership, Newcomer};
use crate::link::{Event, Link};
use crate::protocol::client::{self, Request};
use crate::protocol::{
    CloseCode, ErrorCode, LeaveReason, MESSAGE_BYTES, NotResumed, Outgoing, PeerId, RoomName, ServerMessage, server,
};
use crate::socket::{End, Received, Socket};

/// Serves one connection from its upgrade to its end.
pub async fn serve(app: Arc<App>, room: RoomName, socket: Socket) {
    app.metrics.sockets.inc();
    let mut link = Link::new(&app.config, socket);
    let hello = Hello { app: &app, room };
    let ending = match hello.run(&mut link).await {
        Ok(membership) => {
            link.stop_join_timer();
            Joined { app: &app, membership }.run(&mut link).await
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
}

/// What follows from a message before the join.
enum Step {
    Stay,
    Join(Membership),
    End(CloseCode),
}

impl Hello<'_> {
    async fn run(&self, link: &mut Link) -> Result<Membership, Ending> {
        let mut draining = self.app.draining();
        loop {
            let event = tokio::select! {
                event = link.next() => event,
                () = async { drop(draining.wait_for(|draining| *draining).await) } => {
                    hub::go_away(link.outbox());
                    return Err(Some(CloseCode::GoingAway));
                }
            };
            match event {
                Event::Received(Received::Text(text)) => match self.take(link, &text) {
                    Step::Stay => {}
                    Step::Join(membership) => return Ok(membership),
                    Step::End(code) => return Err(Some(code)),
                },
                Event::Received(received) => refuse_binary(link, &received),
                other => return Err(ending(link, other)),
            }
        }
    }

    fn take(&self, link: &Link, text: &str) -> Step {
        let client::Parsed { reference, request, .. } = client::parse(text);
        match request {
            Ok(Request::Join { name, state, resume, last_seq, settings }) => {
                let wishes = resume.is_some();
                let known = resume.and_then(|secret| self.app.resume_key.check(&self.room, &secret));
                let Some(id) = known.map(|(id, _)| id).or_else(random_id) else {
                    return Step::End(CloseCode::GoingAway);
                };
                let refused = (wishes && known.is_none()).then_some(NotResumed::ResumeInvalid);
                let comeback = Comeback { known: known.is_some(), refused };
                let session = known.zip(last_seq).map(|((_, stay), last)| Bookmark { stay, last });
                let outbox = Arc::clone(link.outbox());
                let newcomer = Newcomer { id, name, state, settings, comeback, session, outbox };
                match self.app.hub.join(&self.room, newcomer) {
                    Ok(membership) => return Step::Join(membership),
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
}

impl Joined<'_> {
    async fn run(self, link: &mut Link) -> Ending {
        loop {
            match link.next().await {
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
                        self.membership.lose(reason);
                    } else {
                        self.membership.leave(reason);
                    }
                    return ending(link, other);
                }
            }
        }
    }

    /// Carries a message out; whether the member stays.
    fn take(&self, link: &mut Link, text: &str) -> bool {
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
            Ok(Request::Ping | Request::Ack | Request::Join { .. }) | Err(_) => {
                let counted = self.membership.count(number);
                if counted == Ok(true) {
                    answer(link, request, reference);
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
}

fn answer(link: &Link, request: Result<Request<'_>, client::Bad>, reference: Option<&RawValue>) {
    match request {
        Ok(Request::Ping) => pong(link, reference),
        Ok(Request::Join { .. }) => {
            let message = "This connection has joined already; that join stands.";
            link.refuse(ErrorCode::AlreadyJoined, message, Some("join"), reference);
        }
        Ok(_) => {}
        Err(bad) => link.refuse(bad.code, &bad.message, bad.re, reference),
    }
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
        Event::End(End::TooLarge | End::NotUtf8 | End::Protocol(_)) => LeaveReason::ProtocolError,
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
        Event::Closed(code) => Some(code),
    }
}

fn random_id() -> Option<PeerId> {
    let mut random = [0; PeerId::LEN];
    match getrandom::fill(&mut random) {
        Ok(()) => Some(PeerId::from_random(random)),
        Err(error) => {
            tracing::error!(%error, "no random numbers: nobody can join");
            None
        }
    }
}
