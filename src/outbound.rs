//! HTTP requests to other programs: a bounded queue for senders that must not wait, and the client.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

/// Bounded queue of items to be sent. Those being sent count as well.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<T>,
    receiver: Mutex<Option<mpsc::Receiver<T>>>,
    /// Number of items that are queued, or taken and not yet done.
    left: AtomicUsize,
    /// Notified when items are done. A permit stays for a later waiter.
    done: Notify,
}

impl<T> Queue<T> {
    pub(crate) fn new(bound: usize) -> Self {
        let (sender, receiver) = mpsc::channel(bound);
        Self { sender, receiver: Mutex::new(Some(receiver)), left: AtomicUsize::new(0), done: Notify::new() }
    }

    /// Adds an item; `false` if the queue is full.
    pub(crate) fn put(&self, item: T) -> bool {
        self.left.fetch_add(1, Ordering::Relaxed);
        let put = self.sender.try_send(item).is_ok();
        if !put {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        put
    }

    /// Returns the receiver, once. Its owner sends the items, and calls [`Queue::done`] for them.
    pub(crate) fn receiver(&self) -> Option<mpsc::Receiver<T>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Marks this many items as sent or given up.
    pub(crate) fn done(&self, count: usize) {
        self.left.fetch_sub(count, Ordering::Relaxed);
        self.done.notify_one();
    }

    /// Waits until no item is left, for `patience` at most. Returns the number of those left.
    pub(crate) async fn settle(&self, patience: Duration) -> usize {
        let settled = async {
            while self.left.load(Ordering::Relaxed) > 0 {
                self.done.notified().await;
            }
        };
        // The number that is returned covers a timeout.
        let _ = tokio::time::timeout(patience, settled).await;
        self.left.load(Ordering::Relaxed)
    }
}

/// Creates an HTTP client with this time limit for each request. It follows no redirects, so that private data goes
/// where it was meant to, or nowhere.
pub(crate) fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("roundtable/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}
