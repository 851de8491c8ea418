//! Reliable transport from one server to another for one room: payloads arrive once and in order while both are
//! attached. The messages that carry them may be lost, and the store may be unreachable for a while.

use std::collections::VecDeque;
use std::time::Duration;

use super::wire::{Packet, Parcel, Post};
use crate::protocol::Frame;

/// Maximum number of payloads that wait, unacknowledged at one end, or not due at the other.
pub const LINK_PARCELS: usize = 1024;
/// Maximum size of these payloads in bytes.
pub const LINK_BYTES: usize = 4 * 1024 * 1024;
/// Number of received payloads after which an acknowledgement is sent at once.
const ACK_PARCELS: u64 = 32;
/// Delay before fewer payloads are acknowledged.
const ACK_AFTER: Duration = Duration::from_millis(500);
/// Time after which unacknowledged payloads are sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Time for which payloads are kept for a server that is not in the room any more.
const FORSAKEN_AFTER: Duration = Duration::from_secs(60);

/// One end of a link.
#[derive(Debug)]
pub struct Link {
    own: Post,
    other: Post,
    /// Number of the last payload sent.
    sent: u64,
    /// Payloads sent and not acknowledged, up to `sent`.
    kept: VecDeque<Parcel>,
    kept_bytes: usize,
    again_at: Option<Duration>,
    /// Number of the last payload received.
    received: u64,
    /// Number of the last payload that the other end knows to be received.
    told: u64,
    ack_at: Option<Duration>,
    /// Set once a retransmission was requested, until the next payload arrives.
    complained: bool,
    /// Payloads received and not yet due.
    held: VecDeque<Parcel>,
    held_bytes: usize,
    unknown_since: Option<Duration>,
}

impl Link {
    /// Creates a link between two nodes.
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

    /// Returns whether the other end has acknowledged everything.
    pub fn is_idle(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns whether the other end has been unknown for so long that it will not return. (If the store has lost its
    /// data, a server may be unknown for a while and continue with the same numbers.)
    pub fn is_forsaken(&mut self, now: Duration, is_known: bool) -> bool {
        if is_known {
            self.unknown_since = None;
            return false;
        }
        *self.unknown_since.get_or_insert(now) + FORSAKEN_AFTER <= now
    }

    /// Returns when [`Link::tick`] is due.
    pub fn wake_at(&self) -> Option<Duration> {
        [self.again_at, self.ack_at].into_iter().flatten().min()
    }

    /// Returns whether another frame may be sent.
    pub fn has_room(&self, frame: &Frame) -> bool {
        self.kept.len() < LINK_PARCELS && self.kept_bytes + frame.cost() <= LINK_BYTES
    }

    /// Sends a payload. A frame needs room (see [`Link::has_room`]); other payloads are rare, and bounded by the number
    /// of members.
    pub fn send(&mut self, now: Duration, parcel: Parcel) -> Packet {
        self.kept_bytes += parcel.cost();
        self.kept.push_back(parcel.clone());
        self.sent += 1;
        self.again_at.get_or_insert(now + AGAIN_AFTER);
        self.packet(Some((self.sent, parcel)))
    }

    /// Takes a packet from the other end. [`Link::due`] returns its payload.
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
            // The other end sends it again because it has no acknowledgement.
            self.ack_at.get_or_insert(now + ACK_AFTER);
        } else if !std::mem::replace(&mut self.complained, true) {
            let packet = self.packet(None);
            emit(Packet { again: true, ..packet });
        }
    }

    /// Returns the next received payload, if it is due.
    pub fn due(&mut self, is_due: impl FnOnce(&Parcel) -> bool) -> Option<Parcel> {
        self.held.front().filter(|parcel| is_due(parcel))?;
        let parcel = self.held.pop_front()?;
        self.held_bytes -= parcel.cost();
        Some(parcel)
    }

    /// Sends what is due: unacknowledged payloads and acknowledgements.
    pub fn tick(&mut self, now: Duration, emit: &mut dyn FnMut(Packet)) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.send_again(now, emit);
        }
        if self.ack_at.is_some_and(|at| at <= now) {
            emit(self.packet(None));
        }
    }

    /// Sends all unacknowledged payloads again, for example after the store could not be reached.
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

    /// Creates a packet, which also acknowledges what has arrived.
    fn packet(&mut self, parcel: Option<(u64, Parcel)>) -> Packet {
        self.told = self.received;
        self.ack_at = None;
        Packet { from: self.own, to: self.other, ack: self.received, again: false, parcel }
    }
}
