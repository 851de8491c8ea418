//! What goes to other programs by HTTP: a bounded queue for those who must not wait, and the way out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

/// What waits to be sent, up to a bound, and what is being sent.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<T>,
    receiver: Mutex<Option<mpsc::Receiver<T>>>,
    /// What is in the queue, or taken out and not yet done with.
    left: AtomicUsize,
    /// Something has been done with; a permit stays for whoever asks later.
    done: Notify,
}

impl<T> Queue<T> {
    pub(crate) fn new(bound: usize) -> Self {
        let (sender, receiver) = mpsc::channel(bound);
        Self { sender, receiver: Mutex::new(Some(receiver)), left: AtomicUsize::new(0), done: Notify::new() }
    }

    /// Puts something in; `false` where it is full.
    pub(crate) fn put(&self, item: T) -> bool {
        self.left.fetch_add(1, Ordering::Relaxed);
        let put = self.sender.try_send(item).is_ok();
        if !put {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        put
    }

    /// Where what was put in comes out: for one who sends it, and says [`Queue::done`] of it.
    pub(crate) fn receiver(&self) -> Option<mpsc::Receiver<T>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// So many have been sent or given up.
    pub(crate) fn done(&self, count: usize) {
        self.left.fetch_sub(count, Ordering::Relaxed);
        self.done.notify_one();
    }

    /// Waits until nothing is left, but not for ever; how many are.
    pub(crate) async fn settle(&self, patience: Duration) -> usize {
        let settled = async {
            while self.left.load(Ordering::Relaxed) > 0 {
                self.done.notified().await;
            }
        };
        // What is left is said by the number.
        let _ = tokio::time::timeout(patience, settled).await;
        self.left.load(Ordering::Relaxed)
    }
}

/// Sends by HTTP, each time with so much patience. What is private goes where it was meant to, or nowhere.
pub(crate) fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("roundtable/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}
