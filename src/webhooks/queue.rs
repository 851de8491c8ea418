//! Bounded queue of the events that wait to be sent. Rooms take turns. A full queue drops whole meetings first, the
//! oldest one first: without them the receiver still knows the same rooms and members. Otherwise the room with the most
//! events loses its latest one, so that no room displaces the events of others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::protocol::RoomName;

/// A bounded queue with one receiver. The order is kept within a room.
#[derive(Debug)]
pub(super) struct RoomQueue<T> {
    bound: usize,
    waiting: Mutex<Waiting<T>>,
    added: Notify,
    /// Notified when an event has been sent or given up. A permit stays for a later waiter.
    done: Notify,
}

/// Position of an event within its meeting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Opening,
    During,
    Closing,
}

#[derive(Debug)]
struct Queued<T> {
    /// Increases from one event of the queue to the next.
    number: u64,
    phase: Phase,
    item: T,
}

#[derive(Debug)]
struct Waiting<T> {
    rooms: HashMap<RoomName, VecDeque<Queued<T>>>,
    /// Names of `rooms`, in the order of their turns.
    turns: VecDeque<RoomName>,
    /// Meetings that wait from their opening to their closing event, by the number of the opening one.
    whole: BTreeMap<u64, RoomName>,
    count: usize,
    numbered: u64,
    is_sending: bool,
}

impl<T> RoomQueue<T> {
    pub(super) fn new(bound: usize) -> Self {
        let waiting = Waiting {
            rooms: HashMap::new(),
            turns: VecDeque::new(),
            whole: BTreeMap::new(),
            count: 0,
            numbered: 0,
            is_sending: false,
        };
        Self { bound, waiting: Mutex::new(waiting), added: Notify::new(), done: Notify::new() }
    }

    /// Adds an event of a room. Returns the events that a full queue drops, which may include this one.
    pub(super) fn put(&self, room: &RoomName, phase: Phase, item: T) -> Vec<T> {
        let mut waiting = self.lock();
        waiting.add(room, phase, item);
        let dropped = if waiting.count > self.bound { waiting.make_room(room) } else { Vec::new() };
        drop(waiting);
        self.added.notify_one();
        dropped
    }

    /// Waits for the next event. It counts as being sent until [`RoomQueue::done`].
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(item) = self.lock().take() {
                return item;
            }
            self.added.notified().await;
        }
    }

    /// Marks the last event as sent or given up.
    pub(super) fn done(&self) {
        self.lock().is_sending = false;
        self.done.notify_one();
    }

    /// Waits until the queue is empty, for `patience` at most.
    pub(super) async fn settle(&self, patience: Duration) {
        let settled = async {
            while self.lock().is_busy() {
                self.done.notified().await;
            }
        };
        // Events that are left then are lost with the process.
        let _ = tokio::time::timeout(patience, settled).await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    fn add(&mut self, room: &RoomName, phase: Phase, item: T) {
        self.count += 1;
        self.numbered += 1;
        let queued = self.rooms.entry(room.clone()).or_default();
        if queued.is_empty() {
            self.turns.push_back(room.clone());
        }
        if phase == Phase::Closing
            && let Some(bound) = queued.iter().rfind(|queued| queued.phase != Phase::During)
            && bound.phase == Phase::Opening
        {
            self.whole.insert(bound.number, room.clone());
        }
        queued.push_back(Queued { number: self.numbered, phase, item });
    }

    /// Drops the oldest whole meeting, or else one event: the latest of the room that has the most. `latest` is the
    /// room of the newest event, which is dropped if no room has more.
    fn make_room(&mut self, latest: &RoomName) -> Vec<T> {
        let (room, meeting) = match self.whole.pop_first() {
            Some((number, room)) => (room, Some(number)),
            None => {
                let own = self.rooms.get(latest).map_or(0, VecDeque::len);
                let most = self.rooms.iter().max_by_key(|(_, queued)| queued.len());
                let most = most.filter(|(_, queued)| queued.len() > own).map_or(latest, |(name, _)| name);
                (most.clone(), None)
            }
        };
        let Some(queued) = self.rooms.get_mut(&room) else { return Vec::new() };
        let first = meeting.and_then(|number| queued.iter().position(|queued| queued.number == number));
        let first = first.unwrap_or(queued.len().saturating_sub(1));
        let length = queued.iter().skip(first).position(|queued| queued.phase == Phase::Closing);
        let last = length.map_or(queued.len(), |length| first + length + 1);
        let dropped: Vec<T> = queued.drain(first..last).map(|queued| queued.item).collect();
        self.count -= dropped.len();
        if queued.is_empty() {
            self.rooms.remove(&room);
            self.turns.retain(|name| *name != room);
        }
        dropped
    }

    fn take(&mut self) -> Option<T> {
        let room = self.turns.pop_front()?;
        let queued = self.rooms.get_mut(&room)?;
        let first = queued.pop_front()?;
        if queued.is_empty() {
            self.rooms.remove(&room);
        } else {
            self.turns.push_back(room);
        }
        self.whole.remove(&first.number);
        self.count -= 1;
        self.is_sending = true;
        Some(first.item)
    }

    fn is_busy(&self) -> bool {
        self.is_sending || self.count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms() -> [RoomName; 3] {
        ["loud", "quiet", "late"].map(|name| RoomName::new(name).unwrap())
    }

    async fn sent(queue: &RoomQueue<u32>, count: usize) -> Vec<u32> {
        let mut sent = Vec::new();
        for _ in 0..count {
            sent.push(queue.next().await);
            queue.done();
        }
        queue.settle(Duration::from_secs(60)).await;
        sent
    }

    #[tokio::test]
    async fn rooms_take_turns_and_the_longest_one_drops() {
        let (queue, [loud, quiet, late]) = (RoomQueue::new(6), rooms());
        let put = |room: &RoomName, items: std::ops::Range<u32>| -> Vec<u32> {
            items.flat_map(|item| queue.put(room, Phase::During, item)).collect()
        };
        assert_eq!(put(&loud, 0..8), [6, 7]);
        assert_eq!(put(&quiet, 10..12), [5, 4]);
        assert_eq!(put(&late, 20..21), [3]);
        assert_eq!(put(&loud, 8..9), [8]);
        assert_eq!(sent(&queue, 6).await, [0, 10, 20, 1, 11, 2]);
    }

    #[tokio::test]
    async fn whole_meetings_are_dropped_first_and_the_oldest_one_before_others() {
        use Phase::{Closing, During, Opening};
        let (queue, [loud, quiet, late]) = (RoomQueue::new(6), rooms());
        let put = |room: &RoomName, phase, item| queue.put(room, phase, item);
        for (room, phase, item) in
            [(&loud, During, 0), (&quiet, Opening, 10), (&quiet, Closing, 11), (&loud, Closing, 1)]
        {
            assert!(put(room, phase, item).is_empty());
        }
        assert!(put(&late, Opening, 20).is_empty() && put(&late, Closing, 21).is_empty());
        // The meeting in `loud` has begun to be sent.
        assert_eq!(put(&loud, Opening, 2), [10, 11]);
        assert!(put(&loud, During, 3).is_empty());
        // A meeting that the newest event completes is whole as well.
        assert_eq!(put(&loud, Closing, 4), [20, 21]);
        assert!(put(&quiet, Opening, 12).is_empty());
        assert_eq!(put(&quiet, Closing, 13), [2, 3, 4]);
        assert!(put(&late, Opening, 22).is_empty() && put(&late, Closing, 23).is_empty());
        // A meeting whose opening event has been sent is not whole.
        assert_eq!(queue.next().await, 0);
        assert_eq!(queue.next().await, 12);
        assert!(put(&loud, Opening, 5).is_empty() && put(&loud, During, 6).is_empty());
        assert_eq!(put(&loud, During, 7), [22, 23]);
        assert_eq!(sent(&queue, 5).await, [1, 13, 5, 6, 7]);
    }
}
