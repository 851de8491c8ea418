//! What clients report of their calls (R82): numbers, of nobody.

use serde::{Deserialize, Serialize};

/// The most links of a report: more than a mesh can bear.
pub const LINKS: usize = 64;

/// One link of a call, over the time since the report before. What a browser does not tell is absent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LinkReport {
    /// To the other one and back, in milliseconds: up to 60,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub round_trip_ms: Option<u32>,
    /// Packets that did not arrive here: 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub loss_percent: Option<f64>,
    /// The most of what arrives here, in milliseconds: up to 60,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub jitter_ms: Option<u32>,
    /// How often the picture stood still: up to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub freezes: Option<u32>,
    /// For how long in all, in milliseconds: up to 600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub frozen_ms: Option<u32>,
    /// Of the picture that arrives: up to 16,384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub width: Option<u32>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub height: Option<u32>,
    /// Pictures a second: up to 240.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub fps: Option<u32>,
    /// What arrives, in kbit/s: up to 10,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub kbps: Option<u32>,
    /// Whether it goes by a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub relayed: Option<bool>,
    /// From the beginning of the link to its first picture, in milliseconds, once for each link: up to 600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub first_frame_ms: Option<u32>,
}

impl LinkReport {
    /// The error says which number is beyond its bound.
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
