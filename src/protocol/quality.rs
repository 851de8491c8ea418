//! Call quality reports of clients (R82): figures only, which identify nobody.

use serde::{Deserialize, Serialize};

/// Maximum links in a report, more than a mesh can sustain.
pub const LINKS: usize = 64;

/// Quality of one peer connection since the previous report. Figures that the browser does not provide are absent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LinkReport {
    /// Round-trip time in milliseconds, up to 60,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub round_trip_ms: Option<u32>,
    /// Share of incoming packets that were lost, in percent: 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub loss_percent: Option<f64>,
    /// Highest jitter of the incoming streams in milliseconds, up to 60,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub jitter_ms: Option<u32>,
    /// Number of video freezes, up to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub freezes: Option<u32>,
    /// Total duration of video freezes in milliseconds, up to 600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub frozen_ms: Option<u32>,
    /// Width of the incoming video in pixels, up to 16,384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub width: Option<u32>,
    /// Height of the incoming video in pixels, up to 16,384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub height: Option<u32>,
    /// Frame rate of the incoming video, up to 240 per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub fps: Option<u32>,
    /// Incoming bit rate in kbit/s, up to 10,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub kbps: Option<u32>,
    /// Set if the connection goes through a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub relayed: Option<bool>,
    /// Time from the start of the connection to its first video frame, in milliseconds, up to 600,000. Reported once
    /// per connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub first_frame_ms: Option<u32>,
}

impl LinkReport {
    /// Checks the bounds of all figures. The error names the figure that exceeds its bound.
    pub(super) fn check(&self) -> Result<(), String> {
        let whole = [
            ("round_trip_ms", self.round_trip_ms, 60_000),
            ("jitter_ms", self.jitter_ms, 60_000),
            ("freezes", self.freezes, 1_000),
            ("frozen_ms", self.frozen_ms, 600_000),
            ("width", self.width, 16_384),
            ("height", self.height, 16_384),
            ("fps", self.fps, 240),
            ("kbps", self.kbps, 10_000_000),
            ("first_frame_ms", self.first_frame_ms, 600_000),
        ];
        if let Some((name, _, most)) = whole.into_iter().find(|(_, value, most)| value.is_some_and(|is| is > *most)) {
            return Err(format!("{name:?} is up to {most}"));
        }
        if self.loss_percent.is_some_and(|loss| !(0.0..=100.0).contains(&loss)) {
            return Err("\"loss_percent\" is from 0 to 100".into());
        }
        Ok(())
    }
}
