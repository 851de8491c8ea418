//! Periodic work: recordings that nobody continues are finished, and old ones are deleted.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use chrono::DateTime;
use tokio::time::Instant;

use super::{Now, Recordings, Refused, Whose};
use crate::hub::HostPresence;
use crate::telemetry::Ended;

/// Largest deviation of the wall clock from the monotonic one between two sweeps. A larger one is a step of the wall
/// clock.
const STEP: Duration = Duration::from_secs(60);
/// Time without a step before recordings are deleted by the wall clock. Meanwhile NTP, or a person, corrects a wrong
/// clock.
const STEADY: Duration = Duration::from_secs(60 * 60);

/// Check of the wall clock for steps: a clock that is set years ahead would otherwise delete all recordings at once.
#[derive(Debug)]
pub(super) struct WallClock {
    last: Now,
    steady_since: Instant,
}

impl WallClock {
    pub(super) fn new(now: Now) -> Self {
        Self { last: now, steady_since: now.tick }
    }

    /// Returns whether the clock has run without a step for long enough.
    fn is_steady(&mut self, now: Now) -> bool {
        let expected = self.last.wall + now.tick.duration_since(self.last.tick);
        let step = now.wall.duration_since(expected).unwrap_or_else(|error| error.duration());
        if step > STEP {
            self.steady_since = now.tick;
            tracing::warn!(seconds = step.as_secs(), "the system clock was set: no recording is deleted for an hour");
        }
        self.last = now;
        now.tick.duration_since(self.steady_since) >= STEADY
    }
}

impl Recordings {
    /// Finishes recordings that nobody continues, or whose host is gone or no longer a host, and deletes those whose
    /// retention is over. Returns the recordings that go on and whose hosts are present, with their IDs.
    pub fn sweep(&self, now: Now, presence: impl Fn(&Whose) -> HostPresence) -> Result<Vec<(String, Whose)>, Refused> {
        self.look(now)?;
        let silence = self.rules.silence;
        let growing: Vec<(String, Whose)> = {
            let table = self.table();
            let of_known = table.grown().filter_map(|(id, entry)| Some((id.clone(), entry.whose.clone()?)));
            of_known.collect()
        };
        // Without the lock, because this asks the rooms.
        let mut over = Vec::new();
        let mut present = Vec::new();
        for (id, whose) in growing {
            let presence = presence(&whose);
            if self.has_role_ended(&id, presence) {
                over.push((id, Ended::RoleEnded));
            } else if presence != HostPresence::Absent {
                self.attend(&id, now);
                present.push((id, whose));
            }
        }
        let is_steady = self.wall_clock.lock().unwrap_or_else(PoisonError::into_inner).is_steady(now);
        let (mut silent, mut old) = (Vec::new(), Vec::new());
        for (id, entry) in &self.table().entries {
            match &entry.record.ended {
                Some(ended) => {
                    let age = now.wall.duration_since(read(ended).unwrap_or(now.wall)).unwrap_or_default();
                    if is_steady && age > self.rules.keep {
                        old.push(id.clone());
                    }
                }
                None if now.tick.duration_since(entry.touched.min(entry.attended)) > silence => {
                    silent.push(id.clone());
                }
                None => {}
            }
        }
        over.extend(silent.into_iter().map(|id| (id, Ended::Silent)));
        let old = old.iter().map(|id| (id, self.delete(id)));
        let over = over.iter().map(|(id, how)| (id, self.end(id, *how, now).map(drop)));
        for (id, done) in old.chain(over) {
            match done {
                // Another server was faster, or is writing it now: the next sweep tries again.
                Ok(()) | Err(Refused::Unknown | Refused::Busy) => {}
                Err(error) => tracing::error!(id, ?error, "a recording cannot be finished or deleted"),
            }
        }
        Ok(present.into_iter().filter(|(id, _)| self.whose(id).is_some()).collect())
    }

    /// Records from time to time that the host is in the room, for other servers, which may not have the room.
    fn attend(&self, id: &str, now: Now) {
        let is_due = self
            .table()
            .entries
            .get(id)
            .is_some_and(|entry| now.tick.duration_since(entry.attended) > self.rules.silence / 4);
        if !is_due {
            return;
        }
        if let Ok(mut grip) = self.grip(id)
            && let Err(error) = grip.attend()
        {
            tracing::error!(id, %error, "the record of a recording cannot be written");
        }
        if let Some(entry) = self.table().entries.get_mut(id) {
            entry.attended = now.tick;
        }
    }
}

fn read(time: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc3339(time).ok().map(SystemTime::from)
}
