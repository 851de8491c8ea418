//! What time brings about: what nobody goes on with is finished, and what is old is deleted.

use std::time::SystemTime;

use chrono::DateTime;

use super::{Now, Recordings, Refused, Whose};
use crate::telemetry::Ended;

/// What a sweep has found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Whose recordings are over, as their rooms may not know.
    pub over: Vec<Whose>,
    /// What goes on, of hosts who are there: the id, and whose.
    pub growing: Vec<(String, Whose)>,
}

impl Recordings {
    /// Finishes those that nobody goes on with, or whose host is gone, and deletes those whose time is over.
    pub fn sweep(&self, now: Now, is_there: impl Fn(&Whose) -> bool) -> Result<Swept, Refused> {
        self.look(now)?;
        let silence = self.rules.silence;
        let growing: Vec<(String, Whose)> = {
            let table = self.table();
            let of_known = table.grown().filter_map(|(id, entry)| Some((id.clone(), entry.whose.clone()?)));
            of_known.collect()
        };
        // Without the lock: it asks the rooms.
        let growing: Vec<_> = growing.into_iter().filter(|(_, whose)| is_there(whose)).collect();
        for (id, _) in &growing {
            self.attend(id, now);
        }
        let (mut silent, mut old) = (Vec::new(), Vec::new());
        for (id, entry) in &self.table().entries {
            match &entry.record.ended {
                Some(ended) => {
                    let age = now.wall.duration_since(read(ended).unwrap_or(now.wall)).unwrap_or_default();
                    if age > self.rules.keep {
                        old.push(id.clone());
                    }
                }
                None if now.tick.duration_since(entry.touched.min(entry.attended)) > silence => {
                    silent.push((id.clone(), entry.whose.clone()));
                }
                None => {}
            }
        }
        let failed =
            |id: &str, error: Refused| tracing::error!(id, ?error, "a recording cannot be finished or deleted");
        for id in old {
            match self.delete(&id) {
                // Another server was sooner.
                Ok(_) | Err(Refused::Unknown) => {}
                Err(error) => failed(&id, error),
            }
        }
        let mut over = std::mem::take(&mut self.table().over);
        for (id, whose) in silent {
            match self.end(&id, Ended::Silent, now) {
                Ok(_) | Err(Refused::Unknown) => over.extend(whose),
                Err(error) => failed(&id, error),
            }
        }
        let growing: Vec<_> = growing.into_iter().filter(|(id, _)| self.whose(id).is_some()).collect();
        // Who has begun another one meanwhile is recorded.
        over.retain(|whose| growing.iter().all(|(_, other)| other != whose));
        Ok(Swept { over, growing })
    }

    /// The host of this one is in the room: other servers, which may not have the room, are told so now and then.
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
