//! Events that wait to be sent. The rooms take turns, and the room with the most events drops one when the queue is full:
//! what happens in one room does not displace the events of others.

use std::collections::{HashMap, VecDeque};
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
    /// Something has been sent or given up; a permit stays for whoever asks later.
    done: Notify,
}

#[derive(Debug)]
struct Waiting<T> {
    rooms: HashMap<RoomName, VecDeque<T>>,
    /// Those of `rooms`, in the order of their turns.
    turns: VecDeque<RoomName>,
    count: usize,
    is_sending: bool,
}

impl<T> RoomQueue<T> {
    pub(super) fn new(bound: usize) -> Self {
        let waiting = Waiting { rooms: HashMap::new(), turns: VecDeque::new(), count: 0, is_sending: false };
        Self { bound, waiting: Mutex::new(waiting), added: Notify::new(), done: Notify::new() }
    }

    /// Adds an event of a room. Where the queue is full, returns the one that is dropped instead: this one, or the latest of
    /// the room that has the most.
    pub(super) fn put(&self, room: &RoomName, item: T) -> Option<T> {
        let mut waiting = self.lock();
        let mut dropped = None;
        if waiting.count >= self.bound {
            let own = waiting.rooms.get(room).map_or(0, VecDeque::len);
            let most = waiting.rooms.iter().max_by_key(|(_, items)| items.len());
            match most.filter(|(_, items)| items.len() > own + 1).map(|(name, _)| name.clone()) {
                Some(name) => dropped = waiting.rooms.get_mut(&name).and_then(VecDeque::pop_back),
                None => return Some(item),
            }
            waiting.count -= 1;
        }
        waiting.count += 1;
        let Waiting { rooms, turns, .. } = &mut *waiting;
        let items = rooms.entry(room.clone()).or_default();
        if items.is_empty() {
            turns.push_back(room.clone());
        }
        items.push_back(item);
        drop(waiting);
        self.added.notify_one();
        dropped
    }

    /// Waits for the next event. It counts until [`RoomQueue::done`].
    pub(super) async fn next(&self) -> T {
        loop {
            if let Some(item) = self.lock().take() {
                return item;
            }
            self.added.notified().await;
        }
    }

    /// The last event has been sent or given up.
    pub(super) fn done(&self) {
        self.lock().is_sending = false;
        self.done.notify_one();
    }

    /// Waits until nothing is left, for so long at most.
    pub(super) async fn settle(&self, patience: Duration) {
        let settled = async {
            while self.lock().is_busy() {
                self.done.notified().await;
            }
        };
        // What is left then is lost with the process.
        let _ = tokio::time::timeout(patience, settled).await;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    fn take(&mut self) -> Option<T> {
        let room = self.turns.pop_front()?;
        let items = self.rooms.get_mut(&room)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.rooms.remove(&room);
        } else {
            self.turns.push_back(room);
        }
        self.count -= 1;
        self.is_sending = true;
        item
    }

    fn is_busy(&self) -> bool {
        self.is_sending || self.count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rooms_take_turns_and_the_longest_one_drops() {
        let queue = RoomQueue::new(6);
        let [loud, quiet, late] = ["loud", "quiet", "late"].map(|name| RoomName::new(name).unwrap());
        let put = |room: &RoomName, items: std::ops::Range<u32>| -> Vec<u32> {
            items.filter_map(|item| queue.put(room, item)).collect()
        };
        assert_eq!(put(&loud, 0..8), [6, 7]);
        assert_eq!(put(&quiet, 10..12), [5, 4]);
        assert_eq!(put(&late, 20..21), [3]);
        assert_eq!(put(&loud, 8..9), [8]);
        let mut sent = Vec::new();
        for _ in 0..6 {
            sent.push(queue.next().await);
            queue.done();
        }
        assert_eq!(sent, [0, 10, 20, 1, 11, 2]);
        queue.settle(Duration::from_secs(60)).await;
    }
}
