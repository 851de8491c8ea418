//! A connection before its join.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::SpanKind;
use serde_json::value::RawValue;

use super::{Ending, OwnPass, Trail, ending, pong, refuse, refuse_binary, refuse_for_now};
use crate::access::{Credentials, PendingProof};
use crate::app::App;
use crate::cluster::share::DECIDED_WITHIN;
use crate::core::Refusal;
use crate::hub::{self, Entrance, JoinError, Joining, Membership, Newcomer};
use crate::limits::{Attempt, Rejection, Visit};
use crate::link::{Event, Link};
use crate::protocol::client::{self, Request};
use crate::protocol::{CloseCode, ErrorCode, PeerId, RoomName};
use crate::socket::Received;
use crate::telemetry::{Limit, Parent, Traced, traces};

/// Time after which a client that found the server full should try again.
const FULL_RETRY: Duration = Duration::from_secs(10);

/// Connection that has not joined: all it may do is join.
pub(super) struct Hello<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) room: RoomName,
    pub(super) visit: &'a Visit,
    /// Present until the `join` has brought a valid origin proof, if it needs one (R92).
    pub(super) pending_proof: Option<Box<PendingProof>>,
    pub(super) trail: &'a Trail,
}

/// Membership and token of a connection that has joined, and the message that was read before the join was decided.
type Entered = (Membership, OwnPass, Option<Box<Received>>);

/// Outcome of a message before the join.
enum Step {
    Stay,
    /// Handle the message again after this time.
    Later(Duration, Traced),
    Join(Membership, OwnPass),
    /// Other servers decide about the join.
    Wait(Box<Wait>),
    End(CloseCode),
}

/// Join that other servers are deciding on.
struct Wait {
    joining: Joining,
    pass: OwnPass,
    reference: Option<Box<RawValue>>,
    /// Session to be resumed.
    stay: Option<u64>,
    /// Set if the join counts as a guess at a room's name, should the room be empty.
    guesses: bool,
    traced: Traced,
}

impl Hello<'_> {
    pub(super) async fn run(&mut self, link: &mut Link) -> Result<Entered, Ending> {
        let mut draining = self.app.draining();
        let mut early: Option<Box<Received>> = None;
        loop {
            let event = match early.take() {
                Some(received) => Event::Received(*received),
                None => tokio::select! {
                    biased;
                    () = async { drop(draining.wait_for(|draining| *draining).await) } => {
                        hub::go_away(link.outbox());
                        return Err(Some(CloseCode::GoingAway));
                    }
                    event = link.next() => event,
                },
            };
            match event {
                Event::Received(Received::Text(text)) => match self.take_in_time(link, &text).await {
                    Step::Stay | Step::Later(..) => {}
                    Step::Join(membership, pass) => return Ok((membership, pass, None)),
                    // Boxed, as below.
                    Step::Wait(wait) => match Box::pin(self.wait(link, wait)).await? {
                        (Step::Join(membership, pass), after) => return Ok((membership, pass, after)),
                        (Step::End(code), _) => return Err(Some(code)),
                        (Step::Stay | Step::Later(..) | Step::Wait(_), after) => early = after,
                    },
                    Step::End(code) => return Err(Some(code)),
                },
                Event::Received(received) => refuse_binary(link, &received),
                other => return Err(ending(self.app, link, other)),
            }
        }
    }

    /// Waits for other servers while reading from the socket: if the client disconnects, the join is withdrawn. One
    /// message that follows the join is held back meanwhile.
    async fn wait(&self, link: &mut Link, wait: Box<Wait>) -> Result<(Step, Option<Box<Received>>), Ending> {
        let Wait { mut joining, pass, reference, stay, guesses, traced } = *wait;
        let decides = traced.within(|| self.app.traces.begin(SpanKind::Internal, "join.decided", Parent::Here));
        let mut draining = self.app.draining();
        let mut early = None;
        let mut deadline = std::pin::pin!(tokio::time::sleep(DECIDED_WITHIN));
        let decided = loop {
            tokio::select! {
                biased;
                decided = joining.answered() => break decided,
                () = async { drop(draining.wait_for(|draining| *draining).await) } => {
                    hub::go_away(link.outbox());
                    return Err(Some(CloseCode::GoingAway));
                }
                () = &mut deadline => break Err(JoinError::Refused(Refusal::Busy)),
                event = link.next(), if early.is_none() => match event {
                    Event::Received(Received::Alive) => {}
                    Event::Received(received) => early = Some(Box::new(received)),
                    Event::JoinTimeout => break Err(JoinError::Refused(Refusal::Busy)),
                    other => return Err(ending(self.app, link, other)),
                },
            }
        };
        drop(decides);
        let step = traced.within(|| match decided {
            // It came too late to be sent away with all others. Without its socket, another server can take over its
            // session.
            Ok(membership) if self.app.is_draining() => {
                drop(membership);
                hub::go_away(link.outbox());
                Step::End(CloseCode::GoingAway)
            }
            Ok(membership) => self.entered(link, membership, pass, stay, guesses),
            Err(error) => self.refused(link, &error, reference.as_deref()),
        });
        Ok((step, early))
    }

    /// Handles a message. A client that tries to join too often is delayed first (R66).
    async fn take_in_time(&mut self, link: &mut Link, text: &str) -> Step {
        // Nothing of the step may live across the await: the task of every connection would reserve space for it.
        let held = match self.take(link, text, None) {
            Step::Later(wait, traced) => {
                self.app.metrics.limited(Limit::Attempts);
                self.hold(wait, traced)
            }
            step => return step,
        };
        // Boxed: hardly any client waits here, and the task of every connection would reserve space for it.
        let traced = Box::pin(held).await;
        self.take(link, text, Some(traced))
    }

    async fn hold(&self, wait: Duration, traced: Traced) -> Traced {
        let _held = traced.within(|| self.app.traces.begin(SpanKind::Internal, "join.held", Parent::Here));
        tokio::time::sleep(wait).await;
        traced
    }

    /// Handles a message. `waited` is the span of a message that is handled again after its delay.
    fn take(&mut self, link: &mut Link, text: &str, waited: Option<Traced>) -> Step {
        let client::Parsed { reference, request, .. } = client::parse(text);
        let has_waited = waited.is_some();
        let kind = request.as_ref().map_or_else(|bad| bad.re, |request| Some(request.kind()));
        if !has_waited {
            self.app.metrics.messages.received(kind, text.len());
        }
        let traced = match waited {
            Some(traced) => traced,
            None if kind == Some("join") => self.trail.join(&self.app.traces),
            None => Traced::default(),
        };
        if matches!(request, Ok(Request::Join { resume: Some(_), .. })) {
            traced.rename("resume");
        }
        let _inside = traced.enter();
        match request {
            Ok(Request::Join { name, state, resume, last_seq, token, host_key, settings, proof }) => {
                // Before any work for the room, and before the attempt counts for the address.
                if let Some(rejected) = self.check_proof(link, proof.as_deref(), reference) {
                    return rejected;
                }
                let known = resume.as_ref().and_then(|secret| self.app.resume_key.check(&self.room, secret));
                match if has_waited {
                    Attempt::After(Duration::ZERO)
                } else {
                    self.visit.attempt(known.map(|(id, _)| id))
                } {
                    Attempt::After(Duration::ZERO) => {}
                    Attempt::After(wait) => return Step::Later(wait, traced),
                    Attempt::Refused(wait) => {
                        self.count_refused(ErrorCode::TooManyAttempts.as_str());
                        self.app.report_rejection(Rejection::AddressJoins, Some(self.visit.address()));
                        let message = "Too many attempts to join came from this address.";
                        refuse_for_now(link, ErrorCode::TooManyAttempts, message, wait, Some("join"), reference);
                        return Step::End(CloseCode::TryLater);
                    }
                }
                let shown = Credentials { token: token.as_deref(), host_key: host_key.as_deref() };
                let admission = match self.app.access.admit(&self.room, shown, (self.app.surroundings.clock)()) {
                    Ok(admission) => admission,
                    Err(denied) => {
                        self.count_refused(denied.code.as_str());
                        // A client that shows no token has not tried one.
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
                let stay = known.map(|(_, stay)| stay);
                let newcomer = Newcomer {
                    id,
                    named: admission.name.is_some(),
                    name: admission.name.unwrap_or(name),
                    state,
                    settings,
                    stay,
                    last_seq,
                    disproved: resume.is_some() && known.is_none(),
                    grant: admission.grant,
                    limited_by_address: self.app.limit_reports.is_person(self.visit.address()),
                    outbox: Arc::clone(link.outbox()),
                };
                // Opening a room by its name is the same as finding out that nobody is in it.
                let guesses = known.is_none()
                    && !self.room.is_trial()
                    && !self.app.access.is_maker(&self.room, host_key.as_deref());
                let pass = admission.pass;
                return match self.app.hub.join(&self.room, newcomer) {
                    Ok(Entrance::In(membership)) => self.entered(link, membership, pass, stay, guesses),
                    Ok(Entrance::Waits(joining)) => {
                        let reference = reference.map(ToOwned::to_owned);
                        Step::Wait(Box::new(Wait { joining, pass, reference, stay, guesses, traced }))
                    }
                    Err(error) => self.refused(link, &error, reference),
                };
            }
            Ok(Request::Ping) => pong(link, reference),
            // A client may acknowledge before anything was sent. This does no harm.
            Ok(Request::Ack) => {}
            Ok(Request::Leave) => return Step::End(CloseCode::Left),
            Ok(other) => {
                let message = "The first message is \"join\".";
                link.refuse(ErrorCode::JoinFirst, message, Some(other.kind()), reference);
            }
            Err(bad) => {
                if bad.re == Some("join") {
                    self.count_refused(bad.code.as_str());
                }
                link.refuse(bad.code, &bad.message, bad.re, reference);
            }
        }
        Step::Stay
    }

    /// Checks the origin proof, if one is needed. Returns the step that ends the connection of a page of another
    /// origin.
    fn check_proof(&mut self, link: &mut Link, proof: Option<&str>, reference: Option<&RawValue>) -> Option<Step> {
        let pending = self.pending_proof.as_ref()?;
        let proofs = &self.app.origin_proofs;
        let Err(why) = proofs.check(proof, (self.app.surroundings.clock)()) else {
            self.pending_proof = None;
            link.join_within(self.app.config.join_timeout);
            return None;
        };
        self.count_refused(ErrorCode::OriginNotAllowed.as_str());
        proofs.log_rejection(pending.from(), why, link.read_at());
        link.refuse(ErrorCode::OriginNotAllowed, why.message(), Some("join"), reference);
        Some(Step::End(CloseCode::OriginNotAllowed))
    }

    fn entered(&self, link: &Link, membership: Membership, pass: OwnPass, stay: Option<u64>, guesses: bool) -> Step {
        self.app.metrics.join("joined");
        // A session that was not resumed has become another one.
        let resumed = stay.is_some() && link.outbox().stay() == stay;
        if resumed {
            self.visit.resumed(membership.id());
        }
        let how = if resumed { "resumed" } else { "joined" };
        tracing::debug!(peer = membership.id().as_str(), "{how}");
        traces::note("roundtable.outcome", how);
        traces::note("roundtable.peer", membership.id().as_str().to_owned());
        if membership.made_the_room() && guesses {
            self.visit.guessed();
        }
        // Nothing has been sent yet: the outbox holds the `welcome`, or what a resumed session has missed.
        let answer = link.outbox().load();
        self.visit.charge_answer(answer.waiting.1 + answer.again.1);
        Step::Join(membership, pass)
    }

    /// Counts a rejected join, by the code of its error or of the close.
    fn count_refused(&self, code: &'static str) {
        self.app.metrics.join(code);
        tracing::debug!(code, "refused");
        traces::note("roundtable.outcome", code);
    }

    fn refused(&self, link: &Link, error: &JoinError, reference: Option<&RawValue>) -> Step {
        let counted = match error {
            JoinError::Full => Some(ErrorCode::ServerFull.as_str()),
            JoinError::AddressFull => Some(ErrorCode::RoomFull.as_str()),
            JoinError::Dismissed(code) => Some(code.as_str()),
            JoinError::Draining => Some(CloseCode::GoingAway.as_str()),
            JoinError::Refused(refusal) => crate::refusal::code(refusal).map(ErrorCode::as_str),
        };
        if let Some(outcome) = counted {
            self.count_refused(outcome);
        }
        match error {
            JoinError::Full => {
                self.app.report_rejection(Rejection::RoomsOrMembers, None);
                let message = "The server has as many rooms or members as it takes.";
                refuse_for_now(link, ErrorCode::ServerFull, message, FULL_RETRY, Some("join"), reference);
                Step::End(CloseCode::TryLater)
            }
            JoinError::AddressFull => {
                self.app.report_rejection(Rejection::AddressMembers, Some(self.visit.address()));
                let message = "The room has as many people from this address as it takes.";
                link.refuse(ErrorCode::RoomFull, message, Some("join"), reference);
                Step::End(CloseCode::RoomFull)
            }
            JoinError::Dismissed(code) => Step::End(*code),
            JoinError::Draining => {
                hub::go_away(link.outbox());
                Step::End(CloseCode::GoingAway)
            }
            JoinError::Refused(refusal) => {
                refuse(link, refusal, Some("join"), reference);
                if matches!(refusal, Refusal::RoomFull) {
                    self.app.report_rejection(Rejection::RoomMembers, None);
                }
                match refusal {
                    Refusal::RoomFull => Step::End(CloseCode::RoomFull),
                    Refusal::RoomLocked => Step::End(CloseCode::RoomLocked),
                    Refusal::TokenInUse => Step::End(CloseCode::Unauthorized),
                    Refusal::Busy => Step::End(CloseCode::TryLater),
                    _ => Step::Stay,
                }
            }
        }
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
