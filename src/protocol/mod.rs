//! Wire protocol of docs/PROTOCOL.md: the syntax of messages, not their meaning.
//!
//! [`client`] parses client messages, [`server`] encodes server messages, [`frame`] builds WebSocket frames, and
//! [`codes`] names errors, reasons and close codes. The TypeScript types of the frontend are generated from here (`make
//! protocol`).

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

/// Longest client message in bytes (R29). A Chromium offer with four media sections is about 8 KB.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Features that every server has beyond the minimum (R7).
pub const FEATURES: &[&str] = &["hosts", "resume", "session", "state", "sync"];

/// Features of a server that accepts tokens (R58).
pub const FEATURES_WITH_TOKENS: &[&str] = &["hosts", "resume", "session", "state", "sync", "tokens"];

/// Additional feature of a server that stores recordings (R84).
pub const FEATURE_RECORDINGS: &str = "recordings";
