//! Order in which the pieces of a recording are received: one at a time, so that only one of each recording is in
//! memory, and the latest request goes first. The connection of the one before may have died unnoticed, and its client
//! be back on another.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::Refused;

/// Turns of one recording.
#[derive(Debug, Default)]
pub(super) struct Turns {
    one: Arc<Mutex<()>>,
    /// Ends the wait of the previous turn when it is dropped.
    last: Option<oneshot::Sender<()>>,
}

/// Turn to receive one piece.
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
    /// Awaits `read`, and returns its result with a guard to be held until the piece is written. [`Refused::Replaced`]
    /// as soon as another piece arrives, or the recording is gone.
    pub async fn read<T>(self, read: impl Future<Output = T>) -> Result<(OwnedMutexGuard<()>, T), Refused> {
        let Self { one, replaced } = self;
        let read = async { (one.lock_owned().await, read.await) };
        tokio::select! {
            read = read => Ok(read),
            _ = replaced => Err(Refused::Replaced),
        }
    }
}
