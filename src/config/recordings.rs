//! Settings of recordings on the server.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;

use super::values::{parse_bytes, parse_bytes_or_none, parse_count, parse_days, parse_time};
use crate::recordings::Rules;

/// Settings of recordings.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordingSettings {
    /// Folder for recordings that hosts send here, one for all servers. Without one recordings stay with who makes them.
    #[arg(long, value_name = "DIR")]
    pub recordings_dir: Option<PathBuf>,

    /// Bytes that all recordings together may have: 20 GiB.
    #[arg(long, value_name = "BYTES", default_value = "21474836480", value_parser = parse_bytes)]
    pub recordings_quota: u64,

    /// Bytes that one recording may have: 2 GiB, some two hours.
    #[arg(long, value_name = "BYTES", default_value = "2147483648", value_parser = parse_bytes)]
    pub recordings_max_bytes: u64,

    /// Recordings that may be made at a time.
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = parse_count)]
    pub recordings_at_a_time: usize,

    /// Bytes that recordings leave free on their disk: 1 GiB; 0 for none.
    #[arg(long, value_name = "BYTES", default_value = "1073741824", value_parser = parse_bytes_or_none)]
    pub recordings_min_free: u64,

    /// How long a recording waits for its next piece, or for its host to come back, before it is finished: longer than
    /// a restart of the server.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_time)]
    pub recordings_silence: Duration,

    /// How long a finished recording is kept before it is deleted.
    #[arg(long, value_name = "TIME", default_value = "7days", value_parser = parse_days)]
    pub recordings_keep: Duration,
}

impl RecordingSettings {
    /// Returns the rules of recordings; `None` if recordings are disabled.
    pub fn rules(&self, zone: Tz) -> Option<Rules> {
        Some(Rules {
            dir: self.recordings_dir.clone()?,
            quota: self.recordings_quota,
            largest: self.recordings_max_bytes,
            at_a_time: self.recordings_at_a_time,
            min_free: self.recordings_min_free,
            silence: self.recordings_silence,
            keep: self.recordings_keep,
            zone,
        })
    }
}
