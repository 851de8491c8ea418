//! Who reads a piece of a recording from its client: one at a time, so that one piece of each is in memory, and whoever
//! came last. The line of the one before may be dead without anybody having said so, and its client be here by another.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::Refused;

/// The turns of one recording.
#[derive(Debug, Default)]
pub(super) struct Turns {
    one: Arc<Mutex<()>>,
    /// Ends the last one's wait when it is dropped.
    last: Option<oneshot::Sender<()>>,
}

/// For one piece.
#[derive(Debug)]
pub struct Turn {
    one: Arc<Mutex<()>>,
    replaced: oneshot::Receiver<()>,
}

impl Turns {
    pub(super) fn next(&mut self) -> Turn {
        let (last, replaced) = oneshot::channel();
        self.last = Some(last);
        Turn { one: Arc::clone(&self.one), replaced }
    }
}

impl Turn {
    /// What `read` brings, and what is to be held until it is written. [`Refused::Replaced`] as soon as another piece
    /// comes, or the recording is gone.
    pub async fn read<T>(self, read: impl Future<Output = T>) -> Result<(OwnedMutexGuard<()>, T), Refused> {
        let Self { one, replaced } = self;
        let read = async { (one.lock_owned().await, read.await) };
        tokio::select! {
            read = read => Ok(read),
            _ = replaced => Err(Refused::Replaced),
        }
    }
}
