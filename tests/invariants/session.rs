//! Invariants of a session: it behaves like a list of all messages ever sent.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use roundtable::core::session::{Bound, Bounds, Full, OutOfSequence, Session};
use roundtable::protocol::{Frame, Outgoing};

const STAY: u64 = 7;

/// Operation on a session. Numbers are close to valid ones.
#[derive(Arbitrary, Debug)]
enum Op {
    Begin,
    Push { long: u8 },
    Plain { long: u8 },
    Ping,
    Take,
    Acknowledge { short: i8 },
    AcknowledgeFar { number: u64 },
    Accept { ahead: i8 },
    AcceptFar { number: u64 },
    Tell,
    Pause,
    Resume { short: i8, aside: bool },
    CannotResume { stay: u64, last: u64 },
    TakeWaiting,
    Release,
}

/// Reference model of a session, which forgets nothing.
struct Model {
    bounds: Bounds,
    begun: bool,
    /// All numbered messages, from 1 on.
    log: Vec<Frame>,
    sent: u64,
    /// First number that can still be replayed.
    kept_from: u64,
    waiting: Vec<Outgoing>,
    /// Bytes of each item that the socket took last, except those in `again`.
    taken: Vec<usize>,
    /// Numbers of the messages queued for replay, which do not count towards the bound.
    again: std::ops::Range<u64>,
    received: u64,
    told: u64,
}

/// Interprets the bytes as bounds and a sequence of operations.
pub fn check(data: &[u8]) {
    let mut random = Unstructured::new(data);
    let Ok([waiting_frames, replay_frames, waiting_bytes, replay_bytes]) = <[u8; 4]>::arbitrary(&mut random) else {
        return;
    };
    let bound = |frames: u8, bytes: u8| Bound { frames: usize::from(frames % 24), bytes: usize::from(bytes) * 16 };
    let bounds = Bounds { waiting: bound(waiting_frames, waiting_bytes), replay: bound(replay_frames, replay_bytes) };
    let mut session = Session::new(bounds);
    let mut model = Model {
        bounds,
        begun: false,
        log: Vec::new(),
        sent: 0,
        kept_from: 1,
        waiting: Vec::new(),
        taken: Vec::new(),
        again: 0..0,
        received: 0,
        told: 0,
    };
    while let Ok(op) = Op::arbitrary(&mut random) {
        model.run(&op, &mut session);
        model.compare(&session);
        if random.is_empty() {
            break;
        }
    }
}

fn near(number: u64, by: i8) -> u64 {
    number.saturating_add_signed(i64::from(by))
}

fn frame(long: u8) -> Frame {
    Frame::text([r#"{"x":""#, &"x".repeat(usize::from(long)), r#""}"#])
}

impl Model {
    fn run(&mut self, op: &Op, session: &mut Session) {
        match *op {
            // Only once: a session is never started again.
            Op::Begin if self.begun => {}
            Op::Begin => {
                session.begin(STAY);
                self.begun = true;
            }
            Op::Push { long } => {
                let frame = frame(long);
                let out = match self.begun {
                    true => Outgoing::numbered(self.log.len() as u64 + 1, frame.clone()),
                    false => Outgoing::plain(frame.clone()),
                };
                let added = self.add(out);
                assert_eq!(session.push(frame.clone()), added);
                if added.is_ok() && self.begun {
                    self.log.push(frame);
                }
            }
            Op::Plain { long } => {
                let out = Outgoing::plain(frame(long));
                assert_eq!(session.add(out.clone()), self.add(out));
            }
            Op::Ping => assert_eq!(session.add(Outgoing::Ping), self.add(Outgoing::Ping)),
            Op::Take => self.take(session),
            Op::Acknowledge { short } => self.acknowledge(near(self.sent, short), session),
            Op::AcknowledgeFar { number } => self.acknowledge(number, session),
            Op::Accept { ahead } => self.accept(near(self.received, ahead), session),
            Op::AcceptFar { number } => self.accept(number, session),
            Op::Tell => {
                assert_eq!(session.tell(), self.received);
                self.told = self.received;
            }
            Op::Pause => {
                session.pause();
                self.taken.clear();
            }
            Op::Resume { short, aside } => self.resume(near(self.sent, short), aside, session),
            Op::CannotResume { stay, last } => {
                let can = self.begun && stay == STAY && (self.kept_from - 1..=self.sent).contains(&last);
                assert_eq!(session.can_resume(stay, last), can);
            }
            // Only items from before the start of the session are moved this way.
            Op::TakeWaiting if self.begun => {}
            Op::TakeWaiting => {
                assert_eq!(Vec::from(session.take_waiting()), std::mem::take(&mut self.waiting));
            }
            Op::Release => {
                let mut rest = session.successor();
                assert!(rest.stay().is_none() && !rest.take(&mut VecDeque::new()) && rest.owed() == 0);
                std::mem::swap(session, &mut rest);
                // What is pushed to the old socket does not affect the session.
                assert!(!session.can_resume(STAY, 0));
                let _ = session.push(frame(1));
                std::mem::swap(session, &mut rest);
            }
        }
    }

    fn add(&mut self, out: Outgoing) -> Result<(), Full> {
        let Bound { frames, bytes } = self.bounds.waiting;
        let counted = self.counted();
        let all: usize = counted.iter().chain(&self.taken).sum();
        if counted.len() + self.taken.len() >= frames || all + out.cost() > bytes {
            return Err(Full);
        }
        self.waiting.push(out);
        Ok(())
    }

    fn take(&mut self, session: &mut Session) {
        let mut out = VecDeque::new();
        assert_eq!(session.take(&mut out), !self.waiting.is_empty());
        assert_eq!(Vec::from(out), self.waiting, "not all queued items in order");
        self.taken = self.counted();
        self.again = 0..0;
        for out in self.waiting.drain(..) {
            if let Outgoing::Message(Some(number), _) = out {
                assert_eq!(number.get(), self.sent + 1, "not the next number");
                self.sent += 1;
            }
        }
        let Bound { frames, bytes } = self.bounds.replay;
        while self.kept().len() > frames || self.kept().iter().map(Frame::cost).sum::<usize>() > bytes {
            self.kept_from += 1;
        }
    }

    /// Returns the bytes of the queued items that count towards the bound.
    fn counted(&self) -> Vec<usize> {
        let is_again =
            |out: &&Outgoing| matches!(out, Outgoing::Message(Some(number), _) if self.again.contains(&number.get()));
        self.waiting.iter().filter(|out| !is_again(out)).map(Outgoing::cost).collect()
    }

    /// Returns the messages that were sent and can be replayed.
    fn kept(&self) -> &[Frame] {
        &self.log[self.kept_from as usize - 1..self.sent as usize]
    }

    fn acknowledge(&mut self, number: u64, session: &mut Session) {
        let expected = if number > self.sent { Err(OutOfSequence(self.sent)) } else { Ok(()) };
        assert_eq!(session.acknowledge(number), expected);
        if expected.is_ok() {
            self.kept_from = self.kept_from.max(number + 1);
        }
    }

    fn accept(&mut self, number: u64, session: &mut Session) {
        let next = self.received + 1;
        let expected = if number > next { Err(OutOfSequence(next)) } else { Ok(number == next) };
        assert_eq!(session.accept(number), expected);
        match expected {
            Ok(true) => self.received = number,
            // A client that repeats a message has not received its acknowledgement.
            Ok(false) => self.told = self.told.min(number.saturating_sub(1)),
            Err(_) => {}
        }
    }

    fn resume(&mut self, last: u64, aside: bool, session: &mut Session) {
        let can = self.begun && (self.kept_from - 1..=self.sent).contains(&last);
        assert_eq!(session.can_resume(STAY, last), can);
        if !can {
            return;
        }
        let aside: Vec<Outgoing> = aside.then(|| Outgoing::plain(frame(2))).into_iter().collect();
        session.resume(last, aside.clone());
        let numbered = self.log.iter().zip(1..).skip(last as usize);
        self.waiting = aside;
        self.waiting.extend(numbered.map(|(frame, number)| Outgoing::numbered(number, frame.clone())));
        self.taken.clear();
        self.again = last + 1..self.again.end.max(self.sent + 1);
        (self.sent, self.kept_from) = (last, last + 1);
    }

    fn compare(&self, session: &Session) {
        assert_eq!(session.stay(), self.begun.then_some(STAY));
        assert_eq!(session.owed(), self.received - self.told);
        if self.begun {
            let edges = [self.kept_from - 1, self.sent];
            assert!(edges.iter().all(|last| session.can_resume(STAY, *last)), "{session:?}");
            assert!(!session.can_resume(STAY, self.sent + 1));
            assert!(self.kept_from < 2 || !session.can_resume(STAY, self.kept_from - 2));
        }
    }
}
