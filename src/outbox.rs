//! The bounded queue between the hub and one socket.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use crate::protocol::{CloseCode, Frame};

/// A queue that has held this many frames gives its memory back when it is taken.
const KEEP_CAPACITY: usize = 32;

/// What an outbox holds at most.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Frames.
    pub frames: usize,
    /// Bytes on the wire.
    pub bytes: usize,
}

/// The frames that wait for one socket. Many push, one task takes.
///
/// Its full case: nothing is dropped in silence. [`Outbox::push`] fails, and whoever pushed
/// closes the outbox with [`CloseCode::SlowConsumer`]; the peer reconnects and starts afresh (R18).
#[derive(Debug)]
pub struct Outbox {
    limits: OutboxLimits,
    queue: Mutex<Queue>,
    reader: AtomicWaker,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Taken, and not yet in the kernel: it counts until the taker comes for more.
    taken_frames: usize,
    taken_bytes: usize,
    end: Option<CloseCode>,
}

/// The outbox is full.
#[derive(Debug, Eq, PartialEq)]
pub struct Full;

/// What [`Outbox::poll_take`] found.
#[derive(Debug, Eq, PartialEq)]
pub enum Taken {
    /// Frames were moved to the caller's list.
    Frames,
    /// Nothing will follow but a close frame with this code.
    End(CloseCode),
}

impl Outbox {
    /// An empty outbox.
    pub fn new(limits: OutboxLimits) -> Self {
        Self { limits, queue: Mutex::default(), reader: AtomicWaker::new() }
    }

    /// Adds a frame. What is pushed after [`Outbox::close`] is for nobody and forgotten.
    pub fn push(&self, frame: Frame) -> Result<(), Full> {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return Ok(());
        }
        let frames = queue.frames.len() + queue.taken_frames;
        let bytes = queue.bytes + queue.taken_bytes + frame.wire_len();
        if frames >= self.limits.frames || bytes > self.limits.bytes {
            return Err(Full);
        }
        queue.bytes += frame.wire_len();
        queue.frames.push_back(frame);
        drop(queue);
        self.reader.wake();
        Ok(())
    }

    /// Ends the outbox: what waits is still sent, unless the peer is too slow for it. The first
    /// code stands.
    pub fn close(&self, code: CloseCode) {
        let mut queue = self.lock();
        if queue.end.is_some() {
            return;
        }
        queue.end = Some(code);
        if code == CloseCode::SlowConsumer {
            queue.frames = VecDeque::new();
        }
        drop(queue);
        self.reader.wake();
    }

    /// Moves everything that waits into `frames`, which must be empty: what was taken before has gone.
    pub fn poll_take(&self, cx: &mut Context<'_>, frames: &mut VecDeque<Frame>) -> Poll<Taken> {
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

    fn take(&self, frames: &mut VecDeque<Frame>) -> Option<Taken> {
        let mut queue = self.lock();
        (queue.taken_frames, queue.taken_bytes) = (queue.frames.len(), queue.bytes);
        if queue.frames.is_empty() {
            return queue.end.map(Taken::End);
        }
        if frames.capacity() > KEEP_CAPACITY {
            *frames = VecDeque::new();
        }
        std::mem::swap(&mut queue.frames, frames);
        queue.bytes = 0;
        Some(Taken::Frames)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds this lock; should one ever, the queue is still a queue.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
