//! The bounded queue between the hub and one socket: a [`Session`] under a lock, with a waker and an end.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::core::session::{Bounds, Full, Load, OutOfSequence, Session};
use crate::limits::{Holding, QueueAccount};
use crate::protocol::{CloseCode, Frame, Outgoing};

/// What waits for one member, whichever socket it comes by. Many push, one task takes.
///
/// Its full case: nothing is dropped in silence. [`Outbox::push`] fails, and whoever pushed
/// closes the outbox with [`CloseCode::SlowConsumer`]; the peer reconnects and starts afresh (R18).
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    reader: AtomicWaker,
    /// Address of the client, if there has been one.
    address: Option<IpAddr>,
}

#[derive(Debug)]
struct State {
    session: Session,
    /// The session's bytes.
    holding: Holding,
    end: Option<CloseCode>,
    /// The session that was forgotten because it was full: its secret is still that of the member.
    forgotten: Option<u64>,
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
    pub fn new(bounds: Bounds, account: QueueAccount) -> Self {
        Self::of(Session::new(bounds), account)
    }

    /// Returns an empty outbox with the same bounds and account, for the same client.
    pub fn successor(&self) -> Self {
        let state = self.lock();
        Self { address: self.address, ..Self::of(state.session.successor(), state.holding.account().clone()) }
    }

    /// Moves the session to another outbox of the same client, which has no socket. It keeps nothing if this one was full.
    pub fn detach(&self) -> Self {
        let mut state = self.lock();
        let mut detached = Self::of(state.release(), state.holding.account().clone());
        if state.end == Some(CloseCode::SlowConsumer) {
            detached.close(CloseCode::SlowConsumer);
            detached.lock().forgotten = state.forgotten;
        }
        detached.address = self.address;
        detached
    }

    /// Returns where its bytes count.
    pub fn account(&self) -> QueueAccount {
        self.lock().holding.account().clone()
    }

    /// Sets the address of the client that it is for.
    pub fn with_address(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Returns the address of the client that it is for.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
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
            // One that has not begun, since what was forgotten cannot be made up for: nobody resumes it.
            state.forgotten = state.release().stay();
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
        let mut state = self.lock();
        let acknowledged = state.session.acknowledge(number);
        state.count();
        acknowledged
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

    fn of(mut session: Session, account: QueueAccount) -> Self {
        session.pause();
        let mut state = State { session, holding: Holding::new(account), end: None, forgotten: None, most: 0 };
        state.count();
        Self { state: Mutex::new(state), reader: AtomicWaker::new(), address: None }
    }

    /// Returns the session of its member (see [`Session::stay`]), also if that was forgotten because it was full.
    pub fn stay(&self) -> Option<u64> {
        let state = self.lock();
        state.session.stay().or(state.forgotten)
    }

    /// Whether it serves this stay.
    pub fn is_of(&self, stay: u64) -> bool {
        self.stay() == Some(stay)
    }

    /// Gives the session away: its socket is lost. What is pushed here from now on is the socket's own affair.
    pub fn release(&self) -> Session {
        self.lock().release()
    }

    /// Gives the session away to a client that can go on with it (see [`Session::can_resume`]), and ends
    /// with [`CloseCode::Superseded`].
    pub fn release_to(&self, stay: u64, last: u64) -> Option<Session> {
        let mut state = self.lock();
        if state.end.is_some() || !state.session.can_resume(stay, last) {
            return None;
        }
        let session = state.release();
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
        state.count();
        drop(state);
        self.reader.wake();
    }

    /// Goes on with a session whose client is still to come: what has gathered here meanwhile is forgotten.
    pub fn keep(&self, mut session: Session) {
        session.pause();
        let mut state = self.lock();
        state.session = session;
        state.count();
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
        state.fit()?;
        state.most = state.most.max(state.waiting());
        drop(state);
        self.reader.wake();
        Ok(())
    }

    fn take(&self, frames: &mut VecDeque<Outgoing>) -> Option<Taken> {
        let mut state = self.lock();
        let has_taken = state.session.take(frames);
        state.count();
        if has_taken { Some(Taken::Frames) } else { state.end.map(Taken::End) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock; should one ever, the queue is still a queue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn release(&mut self) -> Session {
        let successor = self.session.successor();
        let session = std::mem::replace(&mut self.session, successor);
        self.count();
        session
    }

    /// Counts what the session holds now.
    fn count(&mut self) {
        self.holding.set(self.session.held_bytes());
    }

    /// Counts what was added. While its address or the server holds too much, a session keeps no more than its allowance
    /// (R103).
    fn fit(&mut self) -> Result<(), Full> {
        self.count();
        let allowance = self.holding.allowance();
        if allowance == self.holding.bytes() {
            return Ok(());
        }
        let fitted = self.session.shrink(allowance);
        self.count();
        fitted
    }

    /// How many messages are not yet in the kernel.
    fn waiting(&self) -> usize {
        self.session.load().waiting.0
    }
}
