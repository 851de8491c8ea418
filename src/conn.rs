//! What one connection may say. It is first a [`Hello`], which may only join, then a [`Joined`],
//! which may do the rest. Whatever ends it, its [`Membership`] announces the departure.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::app::App;
use crate::core::Refusal;
use crate::hub::{self, JoinError, Membership, Newcomer};
use crate::link::{Event, Link};
use crate::protocol::client::{self, Request};
use crate::protocol::{CloseCode, ErrorCode, LeaveReason, MESSAGE_BYTES, PeerId, RoomName, ServerMessage, server};
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
        let client::Parsed { reference, request } = client::parse(text);
        match request {
            Ok(Request::Join { name, state, resume, settings }) => {
                let known = resume.and_then(|secret| self.app.resume_key.check(&self.room, &secret));
                let Some(id) = known.or_else(random_id) else {
                    return Step::End(CloseCode::GoingAway);
                };
                let (resumed, outbox) = (known.is_some(), Arc::clone(link.outbox()));
                let newcomer = Newcomer { id, name, state, settings, resumed, outbox };
                match self.app.hub.join(&self.room, newcomer) {
                    Ok(membership) => return Step::Join(membership),
                    Err(JoinError::Draining) => {
                        hub::go_away(link.outbox());
                        return Step::End(CloseCode::GoingAway);
                    }
                    Err(JoinError::Refused(refusal)) => {
                        refuse(link, &refusal, "join", reference);
                        match refusal {
                            Refusal::RoomFull => return Step::End(CloseCode::RoomFull),
                            Refusal::RoomLocked => return Step::End(CloseCode::RoomLocked),
                            _ => {}
                        }
                    }
                }
            }
            Ok(Request::Ping) => link.send(ServerMessage::Pong { reference }.to_frame()),
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
                    self.membership.leave(reason(&other));
                    return ending(link, other);
                }
            }
        }
    }

    /// Carries a message out; whether the member stays.
    fn take(&self, link: &Link, text: &str) -> bool {
        let client::Parsed { reference, request } = client::parse(text);
        let request = match request {
            Ok(request) => request,
            Err(bad) => {
                link.refuse(bad.code, &bad.message, bad.re, reference);
                return true;
            }
        };
        let kind = request.kind();
        let metrics = &self.app.metrics;
        let result = match request {
            Request::Signal { to, data } => {
                metrics.signals.inc();
                self.membership.signal(to, server::signal(self.membership.id(), data))
            }
            Request::Broadcast { data } => {
                metrics.broadcasts.inc();
                self.membership.broadcast(server::broadcast(self.membership.id(), data))
            }
            Request::State(patch) => self.membership.change_state(patch),
            Request::Moderate(act) => self.membership.moderate(act),
            Request::Sync => self.membership.sync(),
            Request::Ping => {
                link.send(ServerMessage::Pong { reference }.to_frame());
                Ok(())
            }
            Request::Join { .. } => {
                let message = "This connection has joined already; that join stands.";
                link.refuse(ErrorCode::AlreadyJoined, message, Some(kind), reference);
                Ok(())
            }
            Request::Leave => return false,
        };
        if let Err(refusal) = result {
            refuse(link, &refusal, kind, reference);
        }
        true
    }
}

fn refuse(link: &Link, refusal: &Refusal, re: &str, reference: Option<&RawValue>) {
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
        // The hub has closed this connection, and its close frame is on the way.
        Refusal::NotMember => return,
    };
    link.refuse(code, message, Some(re), reference);
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
        Event::End(End::Closed) | Event::Received(_) => None,
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
