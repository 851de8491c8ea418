//! Numbering and buffering of one member's messages in both directions, so that a cut socket neither loses nor
//! duplicates any (R47 to R53).
//!
//! A [`Session`] outlives its sockets. An outgoing message waits to be sent first. Then it is kept for replay until the
//! client acknowledges it. A socket that takes over continues after the last message that the client has received.

mod shipped;

pub use shipped::SHIPPED_BYTES;

use std::collections::VecDeque;

use crate::protocol::{Frame, Outgoing};

/// Capacity of a queue above which its memory is freed when it is empty.
const KEEP_CAPACITY: usize = 32;

/// Limits of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Maximum number of frames.
    pub frames: usize,
    /// Maximum size in bytes, as [`Frame::cost`] counts them.
    pub bytes: usize,
}

/// Limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For messages that are not in the kernel yet. Beyond it, [`Session::push`] fails.
    pub waiting: Bound,
    /// For messages that were sent and not acknowledged. Beyond it, the oldest is dropped, and a client that has not
    /// received it cannot resume.
    pub replay: Bound,
}

/// Fill level of a session, each in frames and bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Load {
    /// Messages not yet in the kernel, limited by [`Bounds::waiting`].
    pub waiting: (usize, usize),
    /// Messages waiting to be sent again. [`Bounds::replay`] limited them before.
    pub again: (usize, usize),
    /// Messages sent and not acknowledged.
    pub replay: (usize, usize),
}

/// Error: more messages wait than the limit allows.
#[derive(Debug, Eq, PartialEq)]
pub struct Full;

/// Error: the client's number leaves a gap, or acknowledges a message that was never sent. Contains the number that
/// would be right.
#[derive(Debug, Eq, PartialEq)]
pub struct OutOfSequence(pub u64);

/// Numbering and queues of one member's messages in both directions.
#[derive(Debug)]
pub struct Session {
    bounds: Bounds,
    /// Session ID to which the numbers belong. Messages are not numbered while it is `None`.
    stay: Option<u64>,
    /// Number of the last message taken by a socket.
    sent: u64,
    /// Number of the last message pushed.
    pushed: u64,
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    /// Frames taken by the socket that may not be in the kernel yet. They count as waiting until the socket takes more.
    taken: usize,
    taken_bytes: usize,
    /// Frames and bytes that wait to be sent again. They were within the limit of the replay and do not count as
    /// waiting: otherwise a member could be closed as too slow because it has reconnected.
    again: (usize, usize),
    /// Messages up to `sent`, without a gap, that the client has not acknowledged.
    replay: VecDeque<Frame>,
    replay_bytes: usize,
    /// Number of the last message from the client.
    received: u64,
    /// Number up to which the client has been sent acknowledgements.
    told: u64,
}

impl Session {
    /// Creates a session that has not begun.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            stay: None,
            sent: 0,
            pushed: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            taken: 0,
            taken_bytes: 0,
            again: (0, 0),
            replay: VecDeque::new(),
            replay_bytes: 0,
            received: 0,
            told: 0,
        }
    }

    /// Begins the session: from here on, messages are numbered from 1. `stay` is never used twice for the same peer.
    pub fn begin(&mut self, stay: u64) {
        self.stay = Some(stay);
    }

    /// Returns the session ID, or `None` if the session has not begun.
    pub fn stay(&self) -> Option<u64> {
        self.stay
    }

    /// Returns whether the session has this ID.
    pub fn is_of(&self, stay: u64) -> bool {
        self.stay == Some(stay)
    }

    /// Adds a message. It is numbered once the session has begun.
    pub fn push(&mut self, frame: Frame) -> Result<(), Full> {
        match self.stay {
            Some(_) => {
                self.add(Outgoing::numbered(self.pushed + 1, frame))?;
                self.pushed += 1;
                Ok(())
            }
            None => self.add(Outgoing::plain(frame)),
        }
    }

    /// Adds a message without a number of its own, which is not replayed to a client that resumes.
    pub fn add(&mut self, out: Outgoing) -> Result<(), Full> {
        let Bound { frames, bytes } = self.bounds.waiting;
        let cost = out.cost();
        let (waiting, waiting_bytes) = self.load().waiting;
        if waiting >= frames || waiting_bytes + cost > bytes {
            return Err(Full);
        }
        self.waiting_bytes += cost;
        push(&mut self.waiting, out);
        Ok(())
    }

    /// Moves all waiting messages into `out`, which must be empty: the messages taken before are in the kernel. Returns
    /// whether there were any.
    pub fn take(&mut self, out: &mut VecDeque<Outgoing>) -> bool {
        let (again, again_bytes) = std::mem::take(&mut self.again);
        (self.taken, self.taken_bytes) = (self.waiting.len() - again, self.waiting_bytes - again_bytes);
        if self.waiting.is_empty() {
            *out = VecDeque::new();
            return false;
        }
        // Moved, not swapped: the socket's list exists only while it sends; this one is kept for the next message.
        out.extend(self.waiting.drain(..));
        if self.waiting.capacity() > KEEP_CAPACITY {
            self.waiting = VecDeque::new();
        }
        self.waiting_bytes = 0;
        for sent in out.iter() {
            if let Outgoing::Message(Some(number), frame) = sent {
                self.sent = number.get();
                self.replay_bytes += frame.cost();
                push(&mut self.replay, frame.clone());
            }
        }
        let Bound { frames, bytes } = self.bounds.replay;
        while self.replay.len() > frames || self.replay_bytes > bytes {
            self.forget_first();
        }
        // Messages that were queued for a new socket before it took over are added once.
        debug_assert!(self.taken <= 2 * self.bounds.waiting.frames + 1, "{} taken", self.taken);
        true
    }

    /// Returns the fill level.
    pub fn load(&self) -> Load {
        let (again, again_bytes) = self.again;
        Load {
            waiting: (self.waiting.len() - again + self.taken, self.waiting_bytes - again_bytes + self.taken_bytes),
            again: self.again,
            replay: (self.replay.len(), self.replay_bytes),
        }
    }

    /// Returns the bytes held in memory. Messages taken by a socket are also in the replay.
    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.taken_bytes.max(self.replay_bytes)
    }

    /// Drops the oldest messages of the replay until at most `allowance` bytes are held, as far as possible. Fails if
    /// several messages with more bytes than that wait to be sent for the first time: a single one may always wait.
    pub fn shrink(&mut self, allowance: usize) -> Result<(), Full> {
        while self.held_bytes() > allowance && !self.replay.is_empty() {
            self.forget_first();
        }
        let (frames, bytes) = self.load().waiting;
        if frames > 1 && bytes > allowance { Err(Full) } else { Ok(()) }
    }

    /// Detaches the session from its socket: no message is on its way to the kernel any more.
    pub fn pause(&mut self) {
        (self.taken, self.taken_bytes) = (0, 0);
    }

    /// Drops messages up to this number from the replay: the client has received them.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), OutOfSequence> {
        if number > self.sent {
            return Err(OutOfSequence(self.sent));
        }
        while self.kept_from() <= number && !self.replay.is_empty() {
            self.forget_first();
        }
        if self.replay.is_empty() {
            self.replay = VecDeque::new();
        }
        Ok(())
    }

    /// Counts a message of the client. Returns `false` if it is a duplicate.
    pub fn accept(&mut self, number: u64) -> Result<bool, OutOfSequence> {
        if number > self.received + 1 {
            return Err(OutOfSequence(self.received + 1));
        }
        let is_new = number == self.received + 1;
        self.received += u64::from(is_new);
        // A client that sends a message again has not received its acknowledgement.
        self.told = self.told.min(number.saturating_sub(1));
        Ok(is_new)
    }

    /// Returns the number of received messages whose acknowledgement has not been sent.
    pub fn owed(&self) -> u64 {
        self.received - self.told
    }

    /// Returns the number of the last message from the client, and records that its acknowledgement is being sent.
    pub fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.received
    }

    /// Returns whether a client of this session that has received everything up to `last` can be sent all that it
    /// lacks.
    pub fn can_resume(&self, stay: u64, last: u64) -> bool {
        self.is_of(stay) && (self.kept_from() - 1..=self.sent).contains(&last)
    }

    /// Resumes the session over another socket, whose client has received everything up to `last` (see
    /// [`Session::can_resume`]). The messages in `aside` are sent first and are not numbered.
    pub fn resume(&mut self, last: u64, aside: impl IntoIterator<Item = Outgoing>) {
        // Cannot fail: `can_resume` has checked that `last` was sent.
        let _ = self.acknowledge(last);
        let unsent = std::mem::take(&mut self.waiting);
        self.again = (self.replay.len() + self.again.0, self.replay_bytes + self.again.1);
        let missed = std::mem::take(&mut self.replay).into_iter();
        let missed = (last + 1..).zip(missed).map(|(number, frame)| Outgoing::numbered(number, frame));
        // Pings and pongs were for the other socket.
        let unsent = unsent.into_iter().filter(|out| matches!(out, Outgoing::Message(Some(_), _)));
        self.waiting = aside.into_iter().chain(missed).chain(unsent).collect();
        self.waiting_bytes = self.waiting.iter().map(Outgoing::cost).sum();
        (self.taken, self.taken_bytes, self.replay_bytes) = (0, 0, 0);
        self.sent = last;
    }

    /// Takes all waiting messages, for another session to send.
    pub fn take_waiting(&mut self) -> VecDeque<Outgoing> {
        self.waiting_bytes = 0;
        self.again = (0, 0);
        std::mem::take(&mut self.waiting)
    }

    /// Returns the limits of the session.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Creates an empty session with the same limits, for the socket from which this one is detached.
    pub fn successor(&self) -> Self {
        Self::new(self.bounds)
    }

    /// Returns the number of the first message in the replay, or `sent + 1` if it is empty.
    fn kept_from(&self) -> u64 {
        self.sent + 1 - self.replay.len() as u64
    }

    fn forget_first(&mut self) {
        if let Some(frame) = self.replay.pop_front() {
            self.replay_bytes -= frame.cost();
        }
    }
}

/// Reserves space for one item at first, not for four: most members are sent few messages, most of the time.
fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.capacity() == 0 {
        queue.reserve_exact(1);
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r53_who_comes_back_is_not_too_slow_for_what_it_missed() {
        let bounds = |frames| Bound { frames, bytes: 1 << 20 };
        let mut session = Session::new(Bounds { waiting: bounds(1_024), replay: bounds(256) });
        let frame = || Frame::text([r#"{"x":1}"#]);
        session.begin(1);
        (0..200).for_each(|_| session.push(frame()).unwrap());
        session.take(&mut VecDeque::new());
        session.pause();
        (0..1_000).for_each(|_| session.push(frame()).unwrap());
        session.resume(0, None);
        assert_eq!(session.push(frame()), Ok(()), "that its link is back");
        let mut out = VecDeque::new();
        session.take(&mut out);
        assert_eq!(out.len(), 1_201);
        // From here on the usual limit of 1,024 applies: 1,001 are on their way.
        assert_eq!((0..100).take_while(|_| session.push(frame()).is_ok()).count(), 23);
    }
}
