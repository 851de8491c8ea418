//! A token in use: it expires, it can be renewed, and it can be revoked (R61 to R63).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use super::keys::KeySet;
use super::token::{Denied, Granted, check};
use crate::protocol::{ErrorCode, RoomName};

/// Maximum time between two checks of the wall clock. Timers do not notice when that is set ahead, and stand still
/// while a virtual machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Token of a participant in a room.
#[derive(Debug)]
pub struct Pass {
    room: RoomName,
    token: Box<str>,
    granted: Granted,
    /// Time before the end at which the holder is notified.
    notice: Duration,
    told: bool,
    keys: watch::Receiver<Arc<KeySet>>,
    clock: fn() -> SystemTime,
}

/// Change in the validity of a token.
#[derive(Debug, Eq, PartialEq)]
pub enum Change {
    /// The token expires after this time.
    Expiring(Duration),
    /// The token is no longer valid.
    Ended(Denied),
}

impl Pass {
    pub(super) fn new(
        room: RoomName,
        token: &str,
        granted: Granted,
        keys: watch::Receiver<Arc<KeySet>>,
        notice: Duration,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self { room, token: token.into(), granted, notice, told: false, keys, clock }
    }

    /// Returns the remaining validity.
    pub fn left(&self) -> Duration {
        self.granted.until.duration_since((self.clock)()).unwrap_or_default()
    }

    /// Waits for the next change. Cancel-safe.
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
                // `changed` does not fail: the sender lives as long as the server.
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

    /// Checks a token that is to replace this one. It has to grant the same: a holder of one that grants something else
    /// has to join with it.
    pub fn check_renewal(&self, token: &str) -> Result<Granted, Denied> {
        let keys = Arc::clone(&self.keys.borrow());
        let granted = check(&keys, token, &self.room, (self.clock)())?;
        if self.granted.is_like(&granted) {
            return Ok(granted);
        }
        let message = "The token grants another role, other permissions or another name: join with it instead.";
        Err(Denied::new(ErrorCode::NotAllowed, message))
    }

    /// Replaces the token with one that [`Pass::check_renewal`] has accepted. Returns its remaining validity.
    pub fn renew(&mut self, token: &str, granted: &Granted) -> Duration {
        self.token = token.into();
        self.granted.until = granted.until;
        self.told = false;
        self.left()
    }
}
