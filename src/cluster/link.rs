//! Frames from one server to another about one room: none lost, none twice, in order, as long as both are there. What
//! carries them may lose, and may be away for a while.

use std::collections::VecDeque;
use std::time::Duration;

use super::wire::{Packet, Parcel, Post};
use crate::protocol::Frame;

/// The most that waits to be acknowledged at one end, or to become due at the other.
pub const LINK_PARCELS: usize = 1024;
/// The same in bytes of frames.
pub const LINK_BYTES: usize = 4 * 1024 * 1024;
/// So many that have come are acknowledged at once.
const ACK_PARCELS: u64 = 32;
/// Fewer after this time.
const ACK_AFTER: Duration = Duration::from_millis(500);
/// What nobody has acknowledged is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// What is kept for a server that is in the room no more is kept so long.
const FORSAKEN_AFTER: Duration = Duration::from_secs(60);

/// One end of it.
#[derive(Debug)]
pub struct Link {
    own: Post,
    other: Post,
    /// The number of the last one sent.
    sent: u64,
    /// Sent and not acknowledged, up to `sent`.
    kept: VecDeque<Parcel>,
    kept_bytes: usize,
    again_at: Option<Duration>,
    /// The number of the last one that has come.
    received: u64,
    /// The same as far as the other end knows.
    told: u64,
    ack_at: Option<Duration>,
    /// It has been said that something is missing.
    complained: bool,
    /// What has come and is not due yet.
    held: VecDeque<Parcel>,
    held_bytes: usize,
    unknown_since: Option<Duration>,
}

impl Link {
    /// A link between these two, over which nothing has gone.
    pub fn new(own: Post, other: Post) -> Self {
        Self {
            own,
            other,
            sent: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            again_at: None,
            received: 0,
            told: 0,
            ack_at: None,
            complained: false,
            held: VecDeque::new(),
            held_bytes: 0,
            unknown_since: None,
        }
    }

    /// Whether everything has arrived at the other end.
    pub fn is_idle(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether the other end has been unknown for so long that it will not come back. (Where the engine has lost its data,
    /// a server may be unknown for a while, and go on with the same numbers.)
    pub fn is_forsaken(&mut self, now: Duration, is_known: bool) -> bool {
        if is_known {
            self.unknown_since = None;
            return false;
        }
        *self.unknown_since.get_or_insert(now) + FORSAKEN_AFTER <= now
    }

    /// When [`Link::tick`] is due.
    pub fn wake_at(&self) -> Option<Duration> {
        [self.again_at, self.ack_at].into_iter().flatten().min()
    }

    /// Whether one more may be sent.
    pub fn has_room(&self, frame: &Frame) -> bool {
        self.kept.len() < LINK_PARCELS && self.kept_bytes + frame.cost() <= LINK_BYTES
    }

    /// Sends something. For frames there must be room (see [`Link::has_room`]); what else there is comes seldom, and is
    /// bounded by the members there are.
    pub fn send(&mut self, now: Duration, parcel: Parcel) -> Packet {
        self.kept_bytes += parcel.cost();
        self.kept.push_back(parcel.clone());
        self.sent += 1;
        self.again_at.get_or_insert(now + AGAIN_AFTER);
        self.packet(Some((self.sent, parcel)))
    }

    /// Takes what has come from the other end. What it brings waits for [`Link::due`].
    pub fn receive(&mut self, now: Duration, packet: Packet, emit: &mut dyn FnMut(Packet)) {
        self.acknowledged(now, packet.ack);
        if packet.again {
            self.send_again(now, emit);
        }
        let Some((number, parcel)) = packet.parcel else { return };
        // One may go beyond the bytes: a session may be as long, and comes some time.
        let has_room = self.held.len() < LINK_PARCELS && self.held_bytes < LINK_BYTES;
        if number == self.received + 1 && has_room {
            self.received = number;
            self.complained = false;
            self.held_bytes += parcel.cost();
            self.held.push_back(parcel);
            self.ack_at.get_or_insert(now + ACK_AFTER);
            if self.received - self.told >= ACK_PARCELS {
                emit(self.packet(None));
            }
        } else if number <= self.received {
            // Who sends it again has not been told.
            self.ack_at.get_or_insert(now + ACK_AFTER);
        } else if !std::mem::replace(&mut self.complained, true) {
            let packet = self.packet(None);
            emit(Packet { again: true, ..packet });
        }
    }

    /// The next that has come, if it is due.
    pub fn due(&mut self, is_due: impl FnOnce(&Parcel) -> bool) -> Option<Parcel> {
        self.held.front().filter(|parcel| is_due(parcel))?;
        let parcel = self.held.pop_front()?;
        self.held_bytes -= parcel.cost();
        Some(parcel)
    }

    /// What time has brought about.
    pub fn tick(&mut self, now: Duration, emit: &mut dyn FnMut(Packet)) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.send_again(now, emit);
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            emit(self.packet(None));
        }
    }

    /// Sends everything that has not been acknowledged, as when the engine is back.
    pub fn send_again(&mut self, now: Duration, emit: &mut dyn FnMut(Packet)) {
        let first = self.sent + 1 - self.kept.len() as u64;
        for (at, parcel) in self.kept.clone().into_iter().enumerate() {
            emit(self.packet(Some((first + at as u64, parcel))));
        }
        self.again_at = (!self.kept.is_empty()).then_some(now + AGAIN_AFTER);
    }

    fn acknowledged(&mut self, now: Duration, number: u64) {
        let before = self.kept.len();
        while !self.kept.is_empty() && self.sent + 1 - self.kept.len() as u64 <= number {
            if let Some(parcel) = self.kept.pop_front() {
                self.kept_bytes -= parcel.cost();
            }
        }
        if self.kept.len() < before {
            self.again_at = (!self.kept.is_empty()).then_some(now + AGAIN_AFTER);
        }
    }

    /// Whatever is sent acknowledges.
    fn packet(&mut self, parcel: Option<(u64, Parcel)>) -> Packet {
        self.told = self.received;
        self.ack_at = None;
        Packet { from: self.own, to: self.other, ack: self.received, again: false, parcel }
    }
}
