//! Serialization of a session for another server: counters, messages sent and not acknowledged, and waiting messages.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Bounds, Session};
use crate::protocol::{Frame, Outgoing};

/// Maximum size in bytes. A larger session is not transferred, because servers limit the messages that they read from
/// each other.
pub const SHIPPED_BYTES: usize = 1_900_000;

/// JSON header on a line of its own before the frames.
#[derive(Deserialize, Serialize)]
struct Header {
    stay: u64,
    sent: u64,
    received: u64,
    told: u64,
    /// Number of leading frames that were sent.
    kept: usize,
    /// Size of each frame in bytes.
    frames: Vec<usize>,
}

impl Session {
    /// Serializes the session for another server. Returns `None` if it has not begun or is too large. Unnumbered
    /// messages are left out.
    pub fn ship(&self) -> Option<Bytes> {
        let waiting = self.waiting.iter().filter_map(|out| match out {
            Outgoing::Message(Some(_), frame) => Some(frame),
            _ => None,
        });
        let frames: Vec<&Frame> = self.replay.iter().chain(waiting).collect();
        let header = Header {
            stay: self.stay?,
            sent: self.sent,
            received: self.received,
            told: self.told,
            kept: self.replay.len(),
            frames: frames.iter().map(|frame| frame.payload().len()).collect(),
        };
        let header = serde_json::to_vec(&header).ok()?;
        let total = header.len() + 1 + header_less(&frames);
        if total > SHIPPED_BYTES {
            return None;
        }
        let mut bytes = BytesMut::with_capacity(total);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(b"\n");
        frames.iter().for_each(|frame| bytes.extend_from_slice(frame.payload()));
        Some(bytes.freeze())
    }

    /// Restores a session, without a socket, from the output of [`Session::ship`]. Returns `None` if that is malformed
    /// or exceeds these limits.
    pub fn unship(bytes: &Bytes, bounds: Bounds) -> Option<Self> {
        let line = bytes.iter().position(|byte| *byte == b'\n')?;
        let header: Header = serde_json::from_slice(&bytes[..line]).ok()?;
        let Header { stay, sent, received, told, kept, frames } = header;
        let (waiting, replay) = (bounds.waiting, bounds.replay);
        if frames.len() > waiting.frames.saturating_add(replay.frames)
            || kept > frames.len().min(usize::try_from(sent).unwrap_or(usize::MAX))
            || told > received
        {
            return None;
        }
        let mut rest = bytes.slice(line + 1..);
        let mut all = VecDeque::with_capacity(frames.len());
        for len in frames {
            // Copied: a slice would keep the memory of all other frames.
            let frame = (len <= rest.len()).then(|| rest.split_to(len))?;
            all.push_back(Frame::of(Bytes::copy_from_slice(&frame))?);
        }
        if !rest.is_empty() {
            return None;
        }
        let unsent = all.split_off(kept);
        let pushed = sent.checked_add(u64::try_from(unsent.len()).ok()?)?;
        let mut session = Self::new(bounds);
        session.stay = Some(stay);
        (session.sent, session.pushed, session.received, session.told) = (sent, pushed, received, told);
        session.replay_bytes = all.iter().map(Frame::cost).sum();
        session.replay = all;
        session.waiting = (sent + 1..).zip(unsent).map(|(number, frame)| Outgoing::numbered(number, frame)).collect();
        session.waiting_bytes = session.waiting.iter().map(Outgoing::cost).sum();
        let total = session.replay_bytes + session.waiting_bytes;
        (total <= waiting.bytes.saturating_add(replay.bytes)).then_some(session)
    }
}

fn header_less(frames: &[&Frame]) -> usize {
    frames.iter().map(|frame| frame.payload().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::Bound;
    use super::*;

    fn bounds(frames: usize) -> Bounds {
        let bound = Bound { frames, bytes: 1 << 20 };
        Bounds { waiting: bound, replay: bound }
    }

    fn frame(number: usize) -> Frame {
        Frame::text([&format!(r#"{{"x":{number}}}"#)])
    }

    #[test]
    fn r53_a_session_goes_on_at_another_server_as_it_was() {
        let mut session = Session::new(bounds(64));
        session.begin(7);
        (0..10).for_each(|number| session.push(frame(number)).unwrap());
        session.take(&mut VecDeque::new());
        session.acknowledge(3).unwrap();
        (10..15).for_each(|number| session.push(frame(number)).unwrap());
        session.add(Outgoing::Ping).unwrap();
        assert_eq!((session.accept(1), session.accept(2)), (Ok(true), Ok(true)));
        session.pause();
        let mut other = Session::unship(&session.ship().unwrap(), bounds(64)).unwrap();
        assert!(other.can_resume(7, 5) && !other.can_resume(7, 2) && !other.can_resume(8, 5));
        assert_eq!((other.accept(2), other.accept(3)), (Ok(false), Ok(true)));
        other.resume(5, None);
        other.push(frame(15)).unwrap();
        let mut out = VecDeque::new();
        other.take(&mut out);
        let expected: Vec<_> = (5..16).map(|number| Outgoing::numbered(number as u64 + 1, frame(number))).collect();
        assert_eq!(format!("{out:?}"), format!("{expected:?}"));
    }

    #[test]
    fn what_is_no_session_is_none() {
        let mut session = Session::new(bounds(64));
        assert!(session.ship().is_none(), "it has not begun");
        session.begin(7);
        (0..10).for_each(|number| session.push(frame(number)).unwrap());
        let bytes = session.ship().unwrap();
        assert!(Session::unship(&bytes, bounds(4)).is_none(), "more than the bounds");
        for cut in 0..bytes.len() {
            assert!(Session::unship(&bytes.slice(..cut), bounds(64)).is_none(), "cut at {cut}");
        }
        let longer = [&bytes[..], b"x"].concat().into();
        assert!(Session::unship(&longer, bounds(64)).is_none());
    }
}
