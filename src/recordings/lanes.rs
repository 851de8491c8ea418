//! Bounds the disk work that requests cause, including requests with a valid secret.
//!
//! Each recording has a lane, and so has each host that begins one. A lane runs one job at a time, so that the requests
//! of one client wait for each other and do not delay others. All lanes share a few threads. No thread waits for a file
//! lock that another server holds: the job ends with [`Refused::Busy`] and is repeated later.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::{Instant, sleep};

use super::{Now, Recordings, Refused};

/// Maximum number of threads for all recordings. A disk that hangs blocks no more of the server's threads.
const THREADS: usize = 16;
/// Maximum number of requests in a lane, with the one that runs. A page sends one at a time, and repeats those that got
/// no response.
const PER_LANE: usize = 16;
/// Time for which a job is repeated while another server holds the lock.
const PATIENCE: Duration = Duration::from_secs(2);
/// Delay between two attempts.
const RETRY: Duration = Duration::from_millis(5);

/// Lanes that have requests.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Mutex<HashMap<String, Lane>>,
    threads: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Lane {
    requests: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// One request in a lane. Dropping it leaves the lane.
struct Entered {
    recordings: Arc<Recordings>,
    lane: String,
    /// Time until which the job is repeated.
    until: Instant,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { lanes: Mutex::default(), threads: Arc::new(Semaphore::new(THREADS)) }
    }
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.turn = None;
        let mut lanes = self.recordings.lanes.lock();
        if let Some(lane) = lanes.get_mut(&self.lane) {
            lane.requests -= 1;
            if lane.requests == 0 {
                lanes.remove(&self.lane);
            }
        }
    }
}

impl Recordings {
    /// Runs a job on a blocking thread, after those before it in its lane. A job that has begun runs to its end even if
    /// this future is dropped. [`Refused::Busy`] if the lane is full.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        lane: &str,
        job: impl Fn(&Self) -> Result<T, Refused> + Send + Sync + 'static,
    ) -> Result<T, Refused> {
        let entered = self.enter(lane).await?;
        self.run_in(entered, job).await
    }

    /// Appends a piece as [`Recordings::append`] does, no faster than pieces of this recording may come. `held` is
    /// dropped when the piece is on disk, even if this future is dropped before.
    pub async fn write(
        self: &Arc<Self>,
        id: &str,
        offset: u64,
        piece: Bytes,
        held: impl Send + Sync + 'static,
        now: Now,
    ) -> Result<u64, Refused> {
        let mut entered = self.enter(id).await?;
        let wait = self.table().entries.get_mut(id).map(|entry| entry.pace(Instant::now())).unwrap_or_default();
        entered.until += wait;
        sleep(wait).await;
        let id = id.to_owned();
        let job = move |store: &Self| {
            let _held = &held;
            store.append(&id, offset, &piece, now)
        };
        self.run_in(entered, job).await
    }

    async fn enter(self: &Arc<Self>, lane: &str) -> Result<Entered, Refused> {
        let turn = {
            let mut lanes = self.lanes.lock();
            let lane = lanes.entry(lane.to_owned()).or_default();
            if lane.requests >= PER_LANE {
                return Err(Refused::Busy);
            }
            lane.requests += 1;
            Arc::clone(&lane.turn)
        };
        let until = Instant::now() + PATIENCE;
        let mut entered = Entered { recordings: Arc::clone(self), lane: lane.to_owned(), until, turn: None };
        entered.turn = Some(turn.lock_owned().await);
        Ok(entered)
    }

    async fn run_in<T: Send + 'static>(
        self: &Arc<Self>,
        mut entered: Entered,
        job: impl Fn(&Self) -> Result<T, Refused> + Send + Sync + 'static,
    ) -> Result<T, Refused> {
        let job = Arc::new(job);
        loop {
            // The semaphore is never closed.
            let thread = Arc::clone(&self.lanes.threads).acquire_owned().await.map_err(|_| Refused::Busy)?;
            let (store, work) = (Arc::clone(self), Arc::clone(&job));
            let ran = tokio::task::spawn_blocking(move || {
                let done = work(&store);
                drop(thread);
                (entered, done)
            });
            let done;
            (entered, done) = ran.await.map_err(|panic| Refused::Broken(io::Error::other(panic)))?;
            match done {
                Err(Refused::Busy) if Instant::now() < entered.until => sleep(RETRY).await,
                done => return done,
            }
        }
    }
}
