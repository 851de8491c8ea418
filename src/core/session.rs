//! What one member was sent, and what came from it, in numbers: so that neither side loses anything or takes
//! anything twice when a socket is cut (R47 to R53).
//!
//! A [`Session`] outlives its sockets. What is sent waits first, then is kept as replay until the client
//! acknowledges it; a socket that takes over begins where the client says it was.

mod shipped;

pub use shipped::SHIPPED_BYTES;

use std::collections::VecDeque;

use crate::protocol::{Frame, Outgoing};

/// A queue that has held this many frames gives its memory back when it is empty.
const KEEP_CAPACITY: usize = 32;

/// What a queue holds at most.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Frames.
    pub frames: usize,
    /// Bytes, as [`Frame::cost`] counts them.
    pub bytes: usize,
}

/// What a session holds at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Not yet in the kernel. When full, [`Session::push`] fails.
    pub waiting: Bound,
    /// Sent and not acknowledged. When full, the oldest is forgotten, and who has not got it cannot resume.
    pub replay: Bound,
}

/// How full a session is: frames and bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Load {
    /// Not yet in the kernel, and counted by [`Bounds::waiting`].
    pub waiting: (usize, usize),
    /// The same for the second time, counted by [`Bounds::replay`] before.
    pub again: (usize, usize),
    /// Sent and not acknowledged.
    pub replay: (usize, usize),
}

/// More waits than the bound allows.
#[derive(Debug, Eq, PartialEq)]
pub struct Full;

/// The client's number leaves a gap, or acknowledges what was never sent. The number that would be right.
#[derive(Debug, Eq, PartialEq)]
pub struct OutOfSequence(pub u64);

/// One member's count of messages, both ways.
#[derive(Debug)]
pub struct Session {
    bounds: Bounds,
    /// Which stay in the room the numbers belong to; before it begins nothing is numbered.
    stay: Option<u64>,
    /// The number of the last message that a socket has taken.
    sent: u64,
    /// The number of the last message pushed.
    pushed: u64,
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    /// Taken and perhaps not yet in the kernel: it counts until the taker comes for more.
    taken: usize,
    taken_bytes: usize,
    /// What waits once more, frames and bytes: it was within the replay's bound, and does not count in that of
    /// what waits, or a member would be too slow for having come back.
    again: (usize, usize),
    /// The messages up to `sent`, without a gap, that the client has not acknowledged.
    replay: VecDeque<Frame>,
    replay_bytes: usize,
    /// The number of the last message from the client.
    received: u64,
    /// What of it the client has been told.
    told: u64,
}

impl Session {
    /// A session that has not begun.
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

    /// From here on messages are numbered, from 1. `stay` is never used twice for the same peer.
    pub fn begin(&mut self, stay: u64) {
        self.stay = Some(stay);
    }

    /// Which stay's messages it counts; `None` where it has not begun.
    pub fn stay(&self) -> Option<u64> {
        self.stay
    }

    /// Whether it counts the messages of this stay.
    pub fn is_of(&self, stay: u64) -> bool {
        self.stay == Some(stay)
    }

    /// Adds a message, numbered once the session has begun.
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

    /// Adds what is outside the count: what a client that comes back does not miss.
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

    /// Moves everything that waits into `out`, which must be empty: what was taken before has gone. Says
    /// whether there was anything.
    pub fn take(&mut self, out: &mut VecDeque<Outgoing>) -> bool {
        let (again, again_bytes) = std::mem::take(&mut self.again);
        (self.taken, self.taken_bytes) = (self.waiting.len() - again, self.waiting_bytes - again_bytes);
        if self.waiting.is_empty() {
            *out = VecDeque::new();
            return false;
        }
        // Moved, not swapped: the socket's list is only there while it sends, this one is there for the next message.
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
        // What a new socket had to say before it took over comes on top, once.
        debug_assert!(self.taken <= 2 * self.bounds.waiting.frames + 1, "{} taken", self.taken);
        true
    }

    /// How full it is.
    pub fn load(&self) -> Load {
        let (again, again_bytes) = self.again;
        Load {
            waiting: (self.waiting.len() - again + self.taken, self.waiting_bytes - again_bytes + self.taken_bytes),
            again: self.again,
            replay: (self.replay.len(), self.replay_bytes),
        }
    }

    /// Returns the bytes that it keeps in memory. What a socket has taken is in the replay, too.
    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes + self.taken_bytes.max(self.replay_bytes)
    }

    /// Forgets the oldest messages of the replay until no more than `allowance` bytes are held, as far as it goes. Fails if
    /// several messages with more bytes than that wait to be sent for the first time: one may always wait.
    pub fn shrink(&mut self, allowance: usize) -> Result<(), Full> {
        while self.held_bytes() > allowance && !self.replay.is_empty() {
            self.forget_first();
        }
        let (frames, bytes) = self.load().waiting;
        if frames > 1 && bytes > allowance { Err(Full) } else { Ok(()) }
    }

    /// Has no socket any more: nothing is on its way.
    pub fn pause(&mut self) {
        (self.taken, self.taken_bytes) = (0, 0);
    }

    /// The client has everything up to this number.
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

    /// Counts a message of the client: whether it is new, or has been here before.
    pub fn accept(&mut self, number: u64) -> Result<bool, OutOfSequence> {
        if number > self.received + 1 {
            return Err(OutOfSequence(self.received + 1));
        }
        let is_new = number == self.received + 1;
        self.received += u64::from(is_new);
        // Whoever sends again has not been told.
        self.told = self.told.min(number.saturating_sub(1));
        Ok(is_new)
    }

    /// How many messages have come that the client has not been told of.
    pub fn owed(&self) -> u64 {
        self.received - self.told
    }

    /// The number of the last message from the client, which is being told now.
    pub fn tell(&mut self) -> u64 {
        self.told = self.received;
        self.received
    }

    /// Whether a client of that stay that has everything up to `last` can be given all that it lacks.
    pub fn can_resume(&self, stay: u64, last: u64) -> bool {
        self.is_of(stay) && (self.kept_from() - 1..=self.sent).contains(&last)
    }

    /// Goes on over another socket, whose client has everything up to `last` (see [`Session::can_resume`]).
    /// First goes `aside`, outside the count.
    pub fn resume(&mut self, last: u64, aside: impl IntoIterator<Item = Outgoing>) {
        // Cannot be ahead: `can_resume` has said so.
        let _ = self.acknowledge(last);
        let unsent = std::mem::take(&mut self.waiting);
        self.again = (self.replay.len() + self.again.0, self.replay_bytes + self.again.1);
        let missed = std::mem::take(&mut self.replay).into_iter();
        let missed = (last + 1..).zip(missed).map(|(number, frame)| Outgoing::numbered(number, frame));
        // Pongs and pings were for the other socket.
        let unsent = unsent.into_iter().filter(|out| matches!(out, Outgoing::Message(Some(_), _)));
        self.waiting = aside.into_iter().chain(missed).chain(unsent).collect();
        self.waiting_bytes = self.waiting.iter().map(Outgoing::cost).sum();
        (self.taken, self.taken_bytes, self.replay_bytes) = (0, 0, 0);
        self.sent = last;
    }

    /// What waits now, for another session to send.
    pub fn take_waiting(&mut self) -> VecDeque<Outgoing> {
        self.waiting_bytes = 0;
        self.again = (0, 0);
        std::mem::take(&mut self.waiting)
    }

    /// What it may hold.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// An empty one with the same bounds, for the socket that loses this one.
    pub fn successor(&self) -> Self {
        Self::new(self.bounds)
    }

    /// The number of the first message in the replay; one more than `sent` where it is empty.
    fn kept_from(&self) -> u64 {
        self.sent + 1 - self.replay.len() as u64
    }

    fn forget_first(&mut self) {
        if let Some(frame) = self.replay.pop_front() {
            self.replay_bytes -= frame.cost();
        }
    }
}

/// Makes room for one at first, not for four: most members have little to be told, and most of the time.
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
        // From here on it counts like anybody: 1,000 and one are on their way.
        assert_eq!((0..100).take_while(|_| session.push(frame()).is_ok()).count(), 23);
    }
}
