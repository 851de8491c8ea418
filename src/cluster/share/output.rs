//! Outputs of a share to its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::locals::Local;
use super::telling::{Happenings, News};
use crate::cluster::bus::Request;
use crate::cluster::replica::Way;
use crate::cluster::wire::{Post, ServerId};
use crate::core::{Effect, Refusal, Room, Seat};
use crate::protocol::CloseCode;

/// An action for the owner, in the order of emission. `L` is the handle of a local member, `C` the context of an
/// answer.
#[derive(Debug)]
pub enum Output<'a, L, C> {
    /// Effect for a local member. [`Effect::Departed`] and [`Effect::WakeAt`] are not emitted.
    Effect(Effect<'a, L>),
    /// Event in the room, on whichever server, to be reported to other programs. Only one server of the room emits it.
    Happened(News),
    /// Session that was revoked, on whichever server it was, and its close code.
    Dismissed(u64, CloseCode),
    /// Result of a command, if it is known. (It is not if the command was applied elsewhere while this server had no
    /// replica.)
    Answer(C, Result<(), Refusal>),
    /// Request to the store. Its answer goes to [`Share::answered`](super::Share::answered).
    Ask(Request),
    /// Message to be published to one server.
    Tell(ServerId, Bytes),
    /// A member has moved to another server. Its session, with the messages that wait in it, goes to
    /// [`Share::ship`](super::Share::ship).
    Ship {
        /// Session of the member.
        seat: Seat,
        /// Node to which it has moved.
        to: Post,
        /// Handle that it had here.
        handle: L,
    },
    /// The session of a member that has moved here. Further messages for the member follow.
    Adopt {
        /// Session of the member.
        seat: Seat,
        /// Handle of the member.
        to: &'a L,
        /// Serialized session, as passed to [`Share::ship`](super::Share::ship).
        session: Bytes,
        /// Room, which has the grant of the member.
        room: &'a Room<Way>,
    },
    /// A member has moved here and its session cannot be resumed. It has to join with a new session, or to leave.
    Afresh {
        /// Session of the member.
        seat: Seat,
        /// Handle of the member.
        handle: L,
    },
    /// `true` if the members here are cut off from those on other servers, `false` when that is over. To be announced
    /// to all members here.
    Degraded(bool),
    /// The share has ended. [`Share::into_joins`](super::Share::into_joins) returns the joins that are left.
    Over,
}

/// Receives the outputs of a share.
pub type Emit<'a, L, C> = &'a mut dyn FnMut(Output<'_, L, C>);

/// Carries out an effect for this server's own members.
///
/// Records events in `news`, if the effect belongs to a command.
pub(super) fn carry_out<L, C>(
    own: Post,
    news: Option<&mut Happenings>,
    locals: &mut BTreeMap<Seat, Local<L>>,
    wakes: &mut BTreeSet<Duration>,
    effect: Effect<'_, Way>,
    emit: Emit<'_, L, C>,
) {
    if let Effect::Close { handle, code: code @ (CloseCode::Removed | CloseCode::Ended) } = &effect {
        emit(Output::Dismissed(handle.seat.session, *code));
    }
    match (&effect, news) {
        (Effect::Welcome { own, .. }, Some(news)) => news.joined(own),
        (Effect::Departed { peer, reason }, Some(news)) => news.left(peer, *reason),
        _ => {}
    }
    let is_own = |way: &Way| way.home == Some(own);
    match effect {
        Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers } if is_own(to) => {
            if let Some(Local { handle: to, .. }) = locals.get(&seat) {
                let welcome = Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers };
                emit(Output::Effect(welcome));
            }
        }
        Effect::Send { seat, to, frame } if is_own(to) => match locals.get_mut(&seat) {
            Some(Local { awaits: Some(awaited), .. }) => awaited.hold(frame),
            Some(Local { handle: to, .. }) => emit(Output::Effect(Effect::Send { seat, to, frame })),
            None => {}
        },
        Effect::Close { handle, code } if is_own(&handle) => {
            if let Some(Local { handle, .. }) = locals.remove(&handle.seat) {
                emit(Output::Effect(Effect::Close { handle, code }));
            }
        }
        Effect::WakeAt(at) => drop(wakes.insert(at)),
        Effect::Welcome { .. } | Effect::Send { .. } | Effect::Close { .. } | Effect::Departed { .. } => {}
    }
}
