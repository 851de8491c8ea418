//! Rooms that only this server has: each input is decided at once.

use std::sync::Arc;
use std::time::Duration;

use super::{Held, Hub, JoinError, Newcomer};
use crate::core::{Comeback, Effect, Input, Refusal, Room, Seat};
use crate::greeter::Greeting;
use crate::ice::Client;
use crate::outbox::Outbox;
use crate::protocol::{CloseCode, Frame, LeaveReason, NotResumed, RoomName, ServerMessage};

impl Hub {
    /// Joins a peer to a room, or resumes its session.
    pub(super) fn enter(
        self: &Arc<Self>,
        name: &RoomName,
        room: &mut Room<Arc<Outbox>>,
        seat: Seat,
        newcomer: Newcomer,
    ) -> Result<(), JoinError> {
        let Newcomer { name: own, named, state, settings, stay, last_seq, disproved, grant, outbox: handle, .. } =
            newcomer;
        let present = room.way_to(seat.id);
        let mut comeback = Comeback { known: stay.is_some(), refused: disproved.then_some(NotResumed::ResumeInvalid) };
        let released = stay.zip(last_seq).and_then(|(stay, last)| {
            let named = named.then_some(&own);
            let released = match present {
                None => Err(NotResumed::ResumeExpired),
                Some(_) if !room.grants_alike(seat.id, grant, named) => Err(NotResumed::GrantChanged),
                Some(outbox) => outbox.release_to(stay, last).ok_or(NotResumed::ResumeLost),
            };
            released.map_err(|why| comeback.refused = Some(why)).ok().zip(Some(last))
        });
        let input = if let Some((session, last)) = released {
            self.metrics.resume(None);
            handle.adopt(session, last, |ack| ServerMessage::Resumed { id: seat.id, ack }.to_frame());
            Input::Return { seat, handle }
        } else {
            Input::Join { seat, name: own, state, settings, comeback, grant, handle }
        };
        self.apply(name, room, input).map_err(JoinError::from)
    }

    /// Applies one input and carries out its effects.
    pub(super) fn apply(
        self: &Arc<Self>,
        name: &RoomName,
        room: &mut Room<Arc<Outbox>>,
        input: Input<Arc<Outbox>>,
    ) -> Result<(), Refusal> {
        let (now, before) = (self.started.elapsed(), room.len());
        let mut opens = before == 0;
        let mut superseded = None;
        let result = room.handle(now, input, &mut |effect| {
            match &effect {
                Effect::Departed { peer, reason: Some(LeaveReason::Superseded) } => superseded = Some(peer.id),
                // The peer was in the room all the time.
                Effect::Welcome { own, .. } if superseded == Some(own.id) => {}
                Effect::Welcome { own, .. } => {
                    if std::mem::take(&mut opens) {
                        self.webhooks.opened(name);
                    }
                    self.webhooks.joined(name, own);
                }
                _ => {}
            }
            self.carry_out(name, effect);
        });
        if room.is_empty() && before > 0 {
            self.webhooks.closed(name);
        }
        if room.len() != before {
            self.metrics.members.inc_by(room.len() as i64 - before as i64);
        }
        result
    }

    fn carry_out(self: &Arc<Self>, name: &RoomName, effect: Effect<'_, Arc<Outbox>>) {
        match effect {
            Effect::Send { to, frame, .. } => self.put(to, frame),
            Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers } => {
                if comeback.refused.is_some() {
                    self.metrics.resume(comeback.refused);
                }
                let stay = seat.session;
                let client = Client::of(to.address(), own.id);
                let greeting =
                    Greeting { room: name, version, own, peers, permissions, settings, comeback, stay, client };
                self.greet(to, greeting);
            }
            Effect::Departed { peer, reason } => {
                self.note_departure(name, peer, reason);
                self.webhooks.left(name, peer, reason);
            }
            Effect::Close { handle, code } => {
                if let (CloseCode::Removed | CloseCode::Ended, Some(stay)) = (code, handle.stay()) {
                    self.dismissed.add(stay, code);
                }
                handle.close(code);
            }
            Effect::WakeAt(at) => self.wake(name.clone(), at),
        }
    }

    pub(super) fn put(&self, to: &Outbox, frame: Frame) {
        if to.push(frame).is_err() {
            self.overrun(to);
        }
    }

    pub(super) fn greet(&self, to: &Outbox, greeting: Greeting<'_>) {
        if to.begin(greeting.stay, self.greeter.welcome(greeting)).is_err() {
            self.overrun(to);
        }
    }

    /// Closes the connection of a session whose queue is full. Its member becomes disconnected and may reconnect (R18,
    /// R52): otherwise a client that fills the queue of a host could take its place.
    fn overrun(&self, to: &Outbox) {
        if to.close(CloseCode::SlowConsumer) {
            self.metrics.slow_consumers.inc();
        }
    }

    fn wake(self: &Arc<Self>, room: RoomName, at: Duration) {
        // A member may be dropped with the runtime: then there is no timer any more.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (hub, at) = (Arc::downgrade(self), self.started + at);
        runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(hub) = hub.upgrade() {
                // The room may be gone by then; another one of its name ignores the tick.
                let _ = hub.with(&room, |held| match held {
                    Held::Own(own) => hub.apply(&room, own, Input::Tick),
                    Held::Shared(_) => Ok(()),
                });
            }
        });
    }
}
