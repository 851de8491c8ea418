//! What one connection may say. It is first a [`Hello`], which may only join, then a [`Joined`],
//! which may do the rest. Whatever ends it, its [`Membership`] announces the departure.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::value::RawValue;

use crate::app::App;
use crate::core::Refusal;
use crate::hub::{self, JoinError, Membership, Newcomer};
use crate::link::{Event, Link};
use crate::protocol::client::{self, Request};
use crate::protocol::{
    CloseCode, ErrorCode, FEATURES, Frame, LeaveReason, Limits, MESSAGE_BYTES, NAME_CHARS, Peer, PeerId, RoomName,
    STATE_KEYS, ServerMessage, Welcome, server,
};
use crate::socket::{End, Received, Socket};

/// Serves one connection from its upgrade to its end.
pub async fn serve(app: Arc<App>, room: RoomName, socket: Socket) {
    app.metrics.sockets.inc();
    let link = Link::new(&app.config, socket);
    let code = match (Hello { app: &app, room, link }).run().await {
        Ok(joined) => joined.run().await,
        Err(code) => code,
    };
    app.metrics.sockets.dec();
    app.metrics.closed(code);
}

/// How a connection ended: the code with which the server closed it, `None` where the client did.
type Ending = Option<CloseCode>;

/// A connection that has not joined.
struct Hello<'a> {
    app: &'a Arc<App>,
    room: RoomName,
    link: Link,
}

impl<'a> Hello<'a> {
    async fn run(mut self) -> Result<Joined<'a>, Ending> {
        let mut draining = self.app.draining();
        loop {
            let event = tokio::select! {
                event = self.link.next() => event,
                () = async { drop(draining.wait_for(|draining| *draining).await) } => {
                    hub::go_away(self.link.outbox());
                    return Err(Some(self.link.close(CloseCode::GoingAway).await));
                }
            };
            let text = match event {
                Event::Received(Received::Text(text)) => text,
                Event::Received(other) => {
                    refuse_binary(&self.link, &other);
                    continue;
                }
                other => return Err(end(self.link, other).await),
            };
            let parsed = client::parse(&text);
            let reference = parsed.reference;
            match parsed.request {
                Ok(Request::Join { name, state, resume }) => {
                    let known = resume.and_then(|secret| self.app.resume_key.check(&self.room, &secret));
                    let Some(id) = known.or_else(random_id) else {
                        return Err(Some(self.link.close(CloseCode::GoingAway).await));
                    };
                    let newcomer = Newcomer { id, name, state, outbox: Arc::clone(self.link.outbox()) };
                    let welcome = |version: u64, peers: Vec<&Peer>| self.welcome(id, known.is_some(), version, peers);
                    match self.app.hub.join(&self.room, newcomer, welcome) {
                        Ok(membership) => {
                            self.link.stop_join_timer();
                            return Ok(Joined { app: self.app, link: self.link, membership });
                        }
                        Err(JoinError::Draining) => hub::go_away(self.link.outbox()),
                        Err(JoinError::Refused(refusal)) => {
                            refuse(&self.link, &refusal, "join", reference);
                            if refusal == Refusal::RoomFull {
                                self.link.outbox().close(CloseCode::RoomFull);
                            }
                        }
                    }
                }
                Ok(Request::Ping) => self.link.send(ServerMessage::Pong { reference }.to_frame()),
                Ok(Request::Leave) => return Err(Some(self.link.close(CloseCode::Left).await)),
                Ok(other) => {
                    let message = "The first message is \"join\".";
                    self.link.refuse(ErrorCode::JoinFirst, message, Some(other.kind()), reference);
                }
                Err(bad) => self.link.refuse(bad.code, &bad.message, bad.re, reference),
            }
        }
    }

    fn welcome(&self, id: PeerId, resumed: bool, version: u64, peers: Vec<&Peer>) -> Frame {
        let config = &self.app.config;
        let welcome = Welcome {
            id,
            room: self.room.as_str(),
            version,
            peers,
            resume: &self.app.resume_key.issue(&self.room, id),
            resumed,
            ice_servers: &self.app.ice.for_peer(id, SystemTime::now()),
            limits: Limits {
                message_bytes: MESSAGE_BYTES as u32,
                name_chars: NAME_CHARS as u32,
                state_keys: STATE_KEYS as u32,
                room_members: config.room_members as u32,
            },
            heartbeat_seconds: config.heartbeat_seconds(),
            features: FEATURES,
            server: config.server_info(),
        };
        ServerMessage::Welcome(welcome).to_frame()
    }
}

/// A member of a room.
struct Joined<'a> {
    app: &'a Arc<App>,
    link: Link,
    membership: Membership,
}

impl Joined<'_> {
    async fn run(mut self) -> Ending {
        loop {
            let text = match self.link.next().await {
                Event::Received(Received::Text(text)) => text,
                Event::Received(other) => {
                    refuse_binary(&self.link, &other);
                    continue;
                }
                other => {
                    self.membership.leave(reason(&other));
                    return end(self.link, other).await;
                }
            };
            let parsed = client::parse(&text);
            let reference = parsed.reference;
            match parsed.request {
                Ok(Request::Leave) => {
                    self.membership.leave(LeaveReason::Left);
                    return Some(self.link.close(CloseCode::Left).await);
                }
                Ok(request) => self.carry_out(request, reference),
                Err(bad) => self.link.refuse(bad.code, &bad.message, bad.re, reference),
            }
        }
    }

    fn carry_out(&self, request: Request<'_>, reference: Option<&RawValue>) {
        let kind = request.kind();
        let metrics = &self.app.metrics;
        let result = match request {
            Request::Signal { to: Some(to), data } => {
                metrics.signals.inc();
                self.membership.signal(to, server::signal(self.membership.id(), data))
            }
            Request::Signal { to: None, .. } => Err(Refusal::PeerNotFound),
            Request::Broadcast { data } => {
                metrics.broadcasts.inc();
                self.membership.broadcast(server::broadcast(self.membership.id(), data))
            }
            Request::State(patch) => self.membership.change_state(patch),
            Request::Sync => self.membership.sync(),
            Request::Ping => {
                self.link.send(ServerMessage::Pong { reference }.to_frame());
                Ok(())
            }
            Request::Join { .. } => {
                let message = "This connection has joined already; that join stands.";
                self.link.refuse(ErrorCode::AlreadyJoined, message, Some(kind), reference);
                Ok(())
            }
            // `run` takes the membership apart for it.
            Request::Leave => Ok(()),
        };
        if let Err(refusal) = result {
            refuse(&self.link, &refusal, kind, reference);
        }
    }
}

fn refuse(link: &Link, refusal: &Refusal, re: &str, reference: Option<&RawValue>) {
    let (code, message) = match refusal {
        Refusal::RoomFull => (ErrorCode::RoomFull, "The room has as many members as it takes."),
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

/// Ends a connection as the event wants it.
async fn end(link: Link, event: Event) -> Ending {
    let code = match event {
        Event::End(End::Closed) | Event::Received(_) => return None,
        Event::End(End::TooLarge) => {
            let message = format!("A message has up to {MESSAGE_BYTES} bytes.");
            link.refuse(ErrorCode::MessageTooLarge, &message, None, None);
            CloseCode::MessageTooLarge
        }
        Event::End(End::NotUtf8) => CloseCode::InvalidUtf8,
        Event::End(End::Protocol(what)) => {
            tracing::debug!(%what, "a client broke RFC 6455");
            CloseCode::ProtocolError
        }
        Event::JoinTimeout => CloseCode::JoinTimeout,
        Event::PeerTimeout => CloseCode::PeerTimeout,
        Event::Closed(code) => code,
    };
    Some(link.close(code).await)
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
