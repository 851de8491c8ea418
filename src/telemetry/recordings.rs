//! Metrics of the recordings on this server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Reason {
    reason: &'static str,
}

/// Reason for which a recording ended.
#[derive(Clone, Copy, Debug)]
pub enum Ended {
    /// Its host finished it.
    Finished,
    /// No piece arrived, or its host was absent, for too long.
    Silent,
    /// Its host was removed, or is no longer a host.
    RoleEnded,
    /// Its host began another one.
    Replaced,
    /// The operator deleted it while it grew.
    Deleted,
    /// It was undone: the room could not be informed, or the client had disconnected.
    Refused,
}

/// Metrics of recordings. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RecordingMetrics {
    /// Maximum bytes of all recordings.
    pub quota: Gauge,
    /// Free bytes on the disk.
    pub disk_free: Gauge,
    /// Pieces written.
    pub pieces: Counter,
    /// Bytes written.
    pub bytes: Counter,
    kept: Family<State, Gauge>,
    used: Gauge,
    ended: Family<Reason, Counter>,
}

impl RecordingMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("recordings", "Recordings in the folder", self.kept.clone());
        registry.register("recordings_ended", "Recordings that came to their end", self.ended.clone());
        let registry = registry.sub_registry_with_prefix("recordings");
        registry.register("pieces", "Pieces that were written", self.pieces.clone());
        registry.register_with_unit("received", "What was written", Unit::Bytes, self.bytes.clone());
        registry.register_with_unit("used", "What all recordings have", Unit::Bytes, self.used.clone());
        registry.register_with_unit("quota", "What all recordings may have", Unit::Bytes, self.quota.clone());
        registry.register_with_unit("disk_free", "What their disk takes yet", Unit::Bytes, self.disk_free.clone());
        // Exported from the start, so that the first of each is an increase.
        for how in [Ended::Finished, Ended::Silent, Ended::RoleEnded, Ended::Replaced, Ended::Deleted, Ended::Refused] {
            drop(self.ended.get_or_create(&Reason { reason: how.as_str() }));
        }
        self.show(0, 0, 0);
    }

    /// Sets the number of growing and of finished recordings, and the size of all.
    pub fn show(&self, growing: usize, finished: usize, bytes: u64) {
        for (state, count) in [("growing", growing), ("finished", finished)] {
            self.kept.get_or_create(&State { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.used.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a recording that has ended.
    pub fn ended(&self, how: Ended) {
        self.ended.get_or_create(&Reason { reason: how.as_str() }).inc();
    }
}

impl Ended {
    fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Silent => "silent",
            Self::RoleEnded => "role_ended",
            Self::Replaced => "replaced",
            Self::Deleted => "deleted",
            Self::Refused => "refused",
        }
    }
}
