//! State machine of a room, without tokio, clock, randomness or locks. Time, IDs and member handles are inputs;
//! everything that has to happen is emitted as [`Effect`]s.

mod act;
mod door;
mod effect;
mod entry;
mod input;
mod lost;
mod moderation;
mod recording;
mod removals;
mod replica;
mod room;
pub mod session;
mod states;
mod tokens;
mod vacancy;

pub use act::Act;
pub use effect::{Effect, Refusal};
pub use input::{Comeback, FolderId, Grant, Input, Seat, TokenId};
pub use removals::REMOVED;
pub use room::Room;
pub use states::STATE_INTERVAL;
pub use tokens::TOKENS;
