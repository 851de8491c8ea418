//! The bounded queue between the hub and one socket: a [`Session`] under a lock, with a waker and an end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::core::session::{Bounds, Full, Load, OutOfSequence, Session};
use crate::protocol::{CloseCode, Frame, Outgoing};

/// What waits for one member, whichever socket it comes by. Many push, one task takes.
///
/// Its full case: nothing is dropped in silence. [`Outbox::push`] fails, and whoever pushed
/// closes the outbox with [`CloseCode::SlowConsumer`]; the peer reconnects and starts afresh (R18).
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    reader: AtomicWaker,
}

#[derive(Debug)]
struct State {
    session: Session,
    end: Option<CloseCode>,
    /// The most messages that waited at once since [`Outbox::take_most`].
    most: usize,
}

/// What [`Outbox::poll_take`] found.
#[derive(Debug, Eq, PartialEq)]
pub enum Taken {
    /// Frames were moved to the caller's list.
    Frames,
    /// Nothing will follow but a close frame with this code.
    End(CloseCode),
}

impl Outbox {
    /// An empty outbox, whose session has not begun.
    pub fn new(bounds: Bounds) -> Self {
        Self::of(Session::new(bounds))
    }

    /// Adds a message. What is pushed after [`Outbox::close`] is for nobody and forgotten.
    pub fn push(&self, frame: Frame) -> Result<(), Full> {
        self.change(|session| session.push(frame))
    }

    /// Adds what is outside the count of messages.
    pub fn add(&self, out: Outgoing) -> Result<(), Full> {
        self.change(|session| session.add(out))
    }

    /// Begins the count of messages with a `welcome`.
    pub fn begin(&self, stay: u64, welcome: Frame) -> Result<(), Full> {
        self.change(|session| {
            session.begin(stay);
            session.add(Outgoing::plain(welcome))
        })
    }

    /// Ends the outbox: what waits is still sent, unless the peer is too slow for it. The first
    /// code stands; whether it is this one.
    pub fn close(&self, code: CloseCode) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        state.end = Some(code);
        if code == CloseCode::SlowConsumer {
            state.session.abandon();
        }
        drop(state);
        self.reader.wake();
        true
    }

    /// How full it is.
    pub fn load(&self) -> Load {
        self.lock().session.load()
    }

    /// The most messages that waited for the socket at once since this was last asked: also where they were forgotten,
    /// or given away, since.
    pub fn take_most(&self) -> usize {
        let mut state = self.lock();
        let waiting = state.waiting();
        std::mem::replace(&mut state.most, waiting)
    }

    /// See [`Session::acknowledge`].
    pub fn acknowledge(&self, number: u64) -> Result<(), OutOfSequence> {
        self.lock().session.acknowledge(number)
    }

    /// See [`Session::accept`].
    pub fn accept(&self, number: u64) -> Result<bool, OutOfSequence> {
        self.lock().session.accept(number)
    }

    /// See [`Session::owed`].
    pub fn owed(&self) -> u64 {
        self.lock().session.owed()
    }

    /// See [`Session::tell`].
    pub fn tell(&self) -> u64 {
        self.lock().session.tell()
    }

    /// An outbox that goes on with a session, without a socket so far.
    pub fn of(mut session: Session) -> Self {
        session.pause();
        Self { state: Mutex::new(State { session, end: None, most: 0 }), reader: AtomicWaker::new() }
    }

    /// See [`Session::stay`].
    pub fn stay(&self) -> Option<u64> {
        self.lock().session.stay()
    }

    /// Whether it serves this stay.
    pub fn is_of(&self, stay: u64) -> bool {
        self.lock().session.is_of(stay)
    }

    /// Gives the session away: its socket is lost. What is pushed here from now on is the socket's own affair.
    pub fn release(&self) -> Session {
        let mut state = self.lock();
        let mut session = state.session.successor();
        std::mem::swap(&mut state.session, &mut session);
        session
    }

    /// Gives the session away to a client that can go on with it (see [`Session::can_resume`]), and ends
    /// with [`CloseCode::Superseded`].
    pub fn release_to(&self, stay: u64, last: u64) -> Option<Session> {
        let mut state = self.lock();
        if state.end.is_some() || !state.session.can_resume(stay, last) {
            return None;
        }
        let mut session = state.session.successor();
        std::mem::swap(&mut state.session, &mut session);
        drop(state);
        self.close(CloseCode::Superseded);
        Some(session)
    }

    /// Goes on with a session whose client has everything up to `last`. `answer` makes the first message from
    /// the number of the last one that has come from the client.
    pub fn adopt(&self, mut session: Session, last: u64, answer: impl FnOnce(u64) -> Frame) {
        let answer = Outgoing::plain(answer(session.tell()));
        let mut state = self.lock();
        // Answers to what came before the join.
        let early = state.session.take_waiting();
        session.resume(last, early.into_iter().chain([answer]));
        state.session = session;
        drop(state);
        self.reader.wake();
    }

    /// Goes on with a session whose client is still to come: what has gathered here meanwhile is forgotten.
    pub fn keep(&self, mut session: Session) {
        session.pause();
        self.lock().session = session;
    }

    /// What a session here may hold.
    pub fn bounds(&self) -> Bounds {
        self.lock().session.bounds()
    }

    /// Moves everything that waits into `frames`, which must be empty: what was taken before has gone.
    pub fn poll_take(&self, cx: &mut Context<'_>, frames: &mut VecDeque<Outgoing>) -> Poll<Taken> {
        if let Some(taken) = self.take(frames) {
            return Poll::Ready(taken);
        }
        // Registered before the second look, so that no push falls between.
        self.reader.register(cx.waker());
        self.take(frames).map_or(Poll::Pending, Poll::Ready)
    }

    /// Ready when the outbox was closed: for a task whose socket takes nothing, so that it has no
    /// use for frames.
    pub fn poll_end(&self, cx: &mut Context<'_>) -> Poll<CloseCode> {
        self.reader.register(cx.waker());
        self.lock().end.map_or(Poll::Pending, Poll::Ready)
    }

    fn change(&self, change: impl FnOnce(&mut Session) -> Result<(), Full>) -> Result<(), Full> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Ok(());
        }
        change(&mut state.session)?;
        state.most = state.most.max(state.waiting());
        drop(state);
        self.reader.wake();
        Ok(())
    }

    fn take(&self, frames: &mut VecDeque<Outgoing>) -> Option<Taken> {
        let mut state = self.lock();
        if state.session.take(frames) { Some(Taken::Frames) } else { state.end.map(Taken::End) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock; should one ever, the queue is still a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many messages are not yet in the kernel.
    fn waiting(&self) -> usize {
        self.session.load().waiting.0
    }
}
