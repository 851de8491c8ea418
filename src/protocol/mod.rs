//! The wire protocol of docs/PROTOCOL.md: what is on the wire, and nothing about what it means.
//!
//! [`client`] reads what clients send, [`server`] writes what they get, [`frame`] makes a
//! WebSocket frame of it, [`codes`] names errors, reasons and close codes. The TypeScript types
//! of the frontend are generated from here (`make protocol`).

pub mod client;
pub mod codes;
pub mod frame;
pub mod moderation;
mod names;
mod quality;
pub mod server;
mod state;
#[cfg(test)]
mod typescript;

pub use client::{ClientMessage, Parsed};
pub use codes::{CloseCode, ErrorCode, LeaveReason, Link, NotResumed, RoleReason};
pub use frame::{Frame, Head, Outgoing};
pub use moderation::{Ask, Moderation, Permissions, Role, Settings, SettingsPatch, Switch};
pub use names::{NAME_CHARS, PeerId, PeerName, ROOM_CHARS, RoomName};
pub(crate) use names::{is_displayable, is_invisible};
pub use quality::{LINKS, LinkReport};
pub use server::{ErrorBody, IceServer, Limits, Peer, ServerInfo, ServerMessage, Waiting, Welcome};
pub(crate) use state::{KEY_CHARS, SIGN, TEXT_CHARS, has_sign, is_sign};
pub use state::{STATE_KEYS, State, StatePatch, StateValue};

/// The longest message in bytes that a client may send (R29). A Chromium offer with four
/// media sections is about 8 KB.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// What every server can do beyond the minimum (R7).
pub const FEATURES: &[&str] = &["hosts", "resume", "session", "state", "sync"];

/// What a server can do that takes tokens (R58).
pub const FEATURES_WITH_TOKENS: &[&str] = &["hosts", "resume", "session", "state", "sync", "tokens"];

/// What a server can do beside that keeps recordings (R84).
pub const FEATURE_RECORDINGS: &str = "recordings";
