//! Frames from one server to another about one room: none lost, none twice, in order, as long as both are there. What
//! carries them may lose, and may be away for a while.

use std::collections::VecDeque;
use std::time::Duration;

use super::wire::{Packet, Parcel, Post};
use crate::protocol::Frame;

/// The most that waits to be acknowledged.
pub const LINK_PARCELS: usize = 1024;
/// The same in bytes of frames.
pub const LINK_BYTES: usize = 4 * 1024 * 1024;
/// The most parcels in flight: sent and not acknowledged. The others wait here, because all rooms share the queue to Redis
/// and the receiver's queue of events.
const WINDOW_PARCELS: usize = 128;
/// The same in bytes. The last parcel may exceed it, so that one of any size can be sent.
const WINDOW_BYTES: usize = 256 * 1024;
/// So many that have come are acknowledged at once.
const ACK_PARCELS: u64 = 32;
/// The same in bytes.
const ACK_BYTES: usize = WINDOW_BYTES / 4;
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
    /// The number of the last one in `kept`.
    last: u64,
    /// Not acknowledged, up to `last`.
    kept: VecDeque<Parcel>,
    kept_bytes: usize,
    /// The first of `kept`, which have been sent.
    in_flight: usize,
    in_flight_bytes: usize,
    again_at: Option<Duration>,
    /// The number of the last one that has come.
    received: u64,
    /// The same as far as the other end knows.
    told: u64,
    /// Bytes of what came behind `told`.
    untold_bytes: usize,
    ack_at: Option<Duration>,
    /// It has been said that something is missing.
    complained: bool,
    /// What has come and is not due yet.
    held: VecDeque<Parcel>,
    unknown_since: Option<Duration>,
}

impl Link {
    /// A link between these two, over which nothing has gone.
    pub fn new(own: Post, other: Post) -> Self {
        Self {
            own,
            other,
            last: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            in_flight: 0,
            in_flight_bytes: 0,
            again_at: None,
            received: 0,
            told: 0,
            untold_bytes: 0,
            ack_at: None,
            complained: false,
            held: VecDeque::new(),
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

    /// Sends something, or keeps it until earlier ones are acknowledged. For frames there must be room (see
    /// [`Link::has_room`]); what else there is comes seldom, and is bounded by the members there are.
    pub fn send(&mut self, now: Duration, parcel: Parcel, emit: &mut dyn FnMut(Packet)) {
        self.kept_bytes += parcel.cost();
        self.kept.push_back(parcel);
        self.last += 1;
        self.again_at.get_or_insert(now + AGAIN_AFTER);
        self.fill_window(emit);
    }

    /// Takes what has come from the other end. What it brings waits for [`Link::due`].
    pub fn receive(&mut self, now: Duration, packet: Packet, emit: &mut dyn FnMut(Packet)) {
        self.acknowledged(now, packet.ack);
        if packet.again {
            self.send_again(now, emit);
        } else {
            self.fill_window(emit);
        }
        let Some((number, parcel)) = packet.parcel else { return };
        if number == self.received + 1 && self.held.len() < LINK_PARCELS {
            self.received = number;
            self.complained = false;
            self.untold_bytes += parcel.cost();
            self.held.push_back(parcel);
            self.ack_at.get_or_insert(now + ACK_AFTER);
            if self.received - self.told >= ACK_PARCELS || self.untold_bytes >= ACK_BYTES {
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
        if self.held.front().is_some_and(is_due) { self.held.pop_front() } else { None }
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

    /// Sends again what has not been acknowledged, as when the engine is back: as much as may be in flight.
    pub fn send_again(&mut self, now: Duration, emit: &mut dyn FnMut(Packet)) {
        (self.in_flight, self.in_flight_bytes) = (0, 0);
        self.fill_window(emit);
        self.again_at = (!self.kept.is_empty()).then_some(now + AGAIN_AFTER);
    }

    /// Sends what waits, as much as may be in flight.
    fn fill_window(&mut self, emit: &mut dyn FnMut(Packet)) {
        while self.in_flight < WINDOW_PARCELS
            && self.in_flight_bytes < WINDOW_BYTES
            && let Some(parcel) = self.kept.get(self.in_flight).cloned()
        {
            self.in_flight += 1;
            self.in_flight_bytes += parcel.cost();
            let number = self.last - (self.kept.len() - self.in_flight) as u64;
            emit(self.packet(Some((number, parcel))));
        }
    }

    fn acknowledged(&mut self, now: Duration, number: u64) {
        let before = self.kept.len();
        while !self.kept.is_empty() && self.last + 1 - self.kept.len() as u64 <= number {
            if let Some(parcel) = self.kept.pop_front() {
                self.kept_bytes -= parcel.cost();
                // A faulty server may acknowledge what was not sent.
                self.in_flight = self.in_flight.saturating_sub(1);
                self.in_flight_bytes = self.in_flight_bytes.saturating_sub(parcel.cost());
            }
        }
        if self.kept.len() < before {
            self.again_at = (!self.kept.is_empty()).then_some(now + AGAIN_AFTER);
        }
    }

    /// Whatever is sent acknowledges.
    fn packet(&mut self, parcel: Option<(u64, Parcel)>) -> Packet {
        self.told = self.received;
        self.untold_bytes = 0;
        self.ack_at = None;
        Packet { from: self.own, to: self.other, ack: self.received, again: false, parcel }
    }
}
