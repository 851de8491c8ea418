//! A token in use: it ends, it can be renewed, and it can be revoked (R61 to R63).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use super::keys::KeySet;
use super::token::{Denied, check};
use crate::protocol::{ErrorCode, RoomName};

/// The longest sleep at a time: timers cannot be set to any time, and clocks are put right.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);

/// A token by which somebody is in a room.
#[derive(Debug)]
pub struct Pass {
    room: RoomName,
    token: Box<str>,
    until: SystemTime,
    /// How long before the end its holder is told.
    notice: Duration,
    told: bool,
    keys: watch::Receiver<Arc<KeySet>>,
    clock: fn() -> SystemTime,
}

/// What becomes of a pass.
#[derive(Debug, Eq, PartialEq)]
pub enum Change {
    /// It ends after this time.
    Expiring(Duration),
    /// It is good no more.
    Ended(Denied),
}

impl Pass {
    pub(super) fn new(
        room: RoomName,
        token: &str,
        until: SystemTime,
        keys: watch::Receiver<Arc<KeySet>>,
        notice: Duration,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self { room, token: token.into(), until, notice, told: false, keys, clock }
    }

    /// How long it is still good.
    pub fn left(&self) -> Duration {
        self.until.duration_since((self.clock)()).unwrap_or_default()
    }

    /// Waits for what becomes of it. Cancel-safe.
    pub async fn changed(&mut self) -> Change {
        loop {
            let left = self.left();
            if left.is_zero() {
                let message = "The token has expired, and was not renewed.";
                return Change::Ended(Denied::new(ErrorCode::TokenExpired, message));
            }
            if !self.told && left <= self.notice {
                self.told = true;
                return Change::Expiring(left);
            }
            let sleep = if self.told { left } else { left - self.notice };
            let wake = Instant::now() + sleep.min(LONGEST_SLEEP);
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(wake) => {}
                // The sender lives as long as the server.
                Ok(()) = self.keys.changed() => {
                    let keys = Arc::clone(&self.keys.borrow_and_update());
                    if let Err(denied) = check(&keys, &self.token, &self.room, (self.clock)()) {
                        let message = "The token, or the key that made it, was revoked.";
                        let expired = denied.code == ErrorCode::TokenExpired;
                        let revoked = Denied::new(ErrorCode::TokenRevoked, message);
                        return Change::Ended(if expired { denied } else { revoked });
                    }
                }
            }
        }
    }

    /// Takes another token in its place; what the first one granted stays as it is.
    pub fn renew(&mut self, token: &str) -> Result<Duration, Denied> {
        let keys = Arc::clone(&self.keys.borrow());
        let granted = check(&keys, token, &self.room, (self.clock)())?;
        self.token = token.into();
        self.until = granted.until;
        self.told = false;
        Ok(self.left())
    }
}
