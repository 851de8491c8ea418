//! The bounded queue between the hub and one socket: a [`Session`] under a lock, with a waker and an end.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::core::session::{Bounds, Full, Load, OutOfSequence, Session};
use crate::limits::{Holding, QueueAccount};
use crate::protocol::{CloseCode, Frame, Outgoing};

/// Queue of messages to one member, over whichever socket it is connected. Many tasks push, one takes.
///
/// When it is full, nothing is dropped silently: [`Outbox::push`] fails, and the caller closes the outbox with
/// [`CloseCode::SlowConsumer`]. The peer reconnects and begins a new session (R18).
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
    reader: AtomicWaker,
    /// Address of the client, if it is known.
    address: Option<IpAddr>,
}

#[derive(Debug)]
struct State {
    session: Session,
    /// Memory of the session.
    holding: Holding,
    end: Option<CloseCode>,
    /// Largest number of messages that waited at once since [`Outbox::take_most`].
    most: usize,
}

/// Result of [`Outbox::poll_take`].
#[derive(Debug, Eq, PartialEq)]
pub enum Taken {
    /// Frames were moved to the caller's list.
    Frames,
    /// Nothing follows but a close frame with this code.
    End(CloseCode),
}

impl Outbox {
    /// Creates an empty outbox whose session has not begun.
    pub fn new(bounds: Bounds, account: QueueAccount) -> Self {
        Self::of(Session::new(bounds), account)
    }

    /// Returns an empty outbox with the same bounds and account, for the same client.
    pub fn successor(&self) -> Self {
        let state = self.lock();
        Self { address: self.address, ..Self::of(state.session.successor(), state.holding.account().clone()) }
    }

    /// Moves the session to another outbox of the same client, which has no socket. If this one was full, nothing is
    /// kept.
    pub fn detach(&self) -> Self {
        let mut state = self.lock();
        let mut detached = Self::of(state.release(), state.holding.account().clone());
        if state.end == Some(CloseCode::SlowConsumer) {
            detached.close(CloseCode::SlowConsumer);
        }
        detached.address = self.address;
        detached
    }

    /// Returns the account in which its bytes count.
    pub fn account(&self) -> QueueAccount {
        self.lock().holding.account().clone()
    }

    /// Sets the address of its client.
    pub fn with_address(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Returns the address of its client.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Queues a message, numbered once the session has begun. After [`Outbox::close`] it is discarded.
    pub fn push(&self, frame: Frame) -> Result<(), Full> {
        self.change(|session| session.push(frame))
    }

    /// Queues something that is not numbered.
    pub fn add(&self, out: Outgoing) -> Result<(), Full> {
        self.change(|session| session.add(out))
    }

    /// Begins a session with a `welcome`. From here on messages are numbered.
    pub fn begin(&self, stay: u64, welcome: Frame) -> Result<(), Full> {
        self.change(|session| {
            session.begin(stay);
            session.add(Outgoing::plain(welcome))
        })
    }

    /// Closes the outbox. What is queued is still sent, unless the peer is too slow for it. The first code stands.
    /// Returns whether it is this one.
    pub fn close(&self, code: CloseCode) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return false;
        }
        state.end = Some(code);
        if code == CloseCode::SlowConsumer {
            // Replaced by a session that has not begun, and so cannot be resumed: discarded messages cannot be
            // recovered.
            drop(state.release());
        }
        drop(state);
        self.reader.wake();
        true
    }

    /// Returns how full it is.
    pub fn load(&self) -> Load {
        self.lock().session.load()
    }

    /// Returns the largest number of messages that waited for the socket at once since the last call, even if they have
    /// been discarded or handed over since.
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
        let mut state = State { session, holding: Holding::new(account), end: None, most: 0 };
        state.count();
        Self { state: Mutex::new(state), reader: AtomicWaker::new(), address: None }
    }

    /// See [`Session::stay`].
    pub fn stay(&self) -> Option<u64> {
        self.lock().session.stay()
    }

    /// Returns whether it serves this session.
    pub fn is_of(&self, stay: u64) -> bool {
        self.lock().session.is_of(stay)
    }

    /// Hands the session over, because its socket is lost. What is pushed here from now on concerns the socket alone.
    pub fn release(&self) -> Session {
        self.lock().release()
    }

    /// Hands the session over to a client that can resume it (see [`Session::can_resume`]), and closes with
    /// [`CloseCode::Superseded`].
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

    /// Resumes a session whose client has everything up to `last`. `answer` makes the first message, given the number
    /// of the last one that was received from the client.
    pub fn adopt(&self, mut session: Session, last: u64, answer: impl FnOnce(u64) -> Frame) {
        let answer = Outgoing::plain(answer(session.tell()));
        let mut state = self.lock();
        // Responses to what arrived before the join.
        let early = state.session.take_waiting();
        session.resume(last, early.into_iter().chain([answer]));
        state.session = session;
        state.count();
        drop(state);
        self.reader.wake();
    }

    /// Keeps a session whose client has yet to reconnect. What was queued here meanwhile is discarded.
    pub fn keep(&self, mut session: Session) {
        session.pause();
        let mut state = self.lock();
        state.session = session;
        state.count();
    }

    /// Returns the bounds of a session here.
    pub fn bounds(&self) -> Bounds {
        self.lock().session.bounds()
    }

    /// Moves everything that waits into `frames`, which must be empty: what was taken before has been sent.
    pub fn poll_take(&self, cx: &mut Context<'_>, frames: &mut VecDeque<Outgoing>) -> Poll<Taken> {
        if let Some(taken) = self.take(frames) {
            return Poll::Ready(taken);
        }
        // Registered before the second attempt, so that no push is missed in between.
        self.reader.register(cx.waker());
        self.take(frames).map_or(Poll::Pending, Poll::Ready)
    }

    /// Completes when the outbox is closed. For a task whose socket takes nothing, so that it has no use for frames.
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
        // No code panics while it holds this lock. If it did, the queue would still be valid.
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

    /// Counts what was added. While its address or the server holds too much, the session is reduced to its allowance
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

    /// Returns the number of messages that are not yet in the kernel.
    fn waiting(&self) -> usize {
        self.session.load().waiting.0
    }
}
