//! What a share says, to whoever holds it.

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

/// What is to be done, in this order. `L` is the way to a member of this server, `C` what the answer to it needs.
#[derive(Debug)]
pub enum Output<'a, L, C> {
    /// For a member of this server. [`Effect::Departed`] and [`Effect::WakeAt`] do not come.
    Effect(Effect<'a, L>),
    /// Something has happened in the room, on whichever server: to be told to other programs. It comes on one server of
    /// the room alone.
    Happened(News),
    /// This stay was ended by somebody else, on whichever server it was.
    Dismissed(u64, CloseCode),
    /// What has become of an act, where it is known. (When it was carried out elsewhere while this server knew nothing,
    /// it is not.)
    Answer(C, Result<(), Refusal>),
    /// For the engine; its answer goes to [`Share::answered`](super::Share::answered).
    Ask(Request),
    /// To be published to one server.
    Tell(ServerId, Bytes),
    /// A member has moved to another server: its session, with what waits in it, goes to [`Share::ship`](super::Share::ship).
    Ship {
        /// Whose.
        seat: Seat,
        /// Where to.
        to: Post,
        /// The way that it had.
        handle: L,
    },
    /// A member has moved here, and this is its session. What comes for it follows.
    Adopt {
        /// Whose.
        seat: Seat,
        /// The way to it.
        to: &'a L,
        /// As it was given to [`Share::ship`](super::Share::ship).
        session: Bytes,
        /// The room, which knows by what it is here.
        room: &'a Room<Way>,
    },
    /// A member has moved here, and its session does not go on. It is to be lost ([`Act::Lose`](crate::core::Act::Lose)),
    /// by a way without a socket, and may join in another session, which may be refused.
    Afresh {
        /// Who.
        seat: Seat,
    },
    /// Whether the members of this server are cut off from those of others, to be told to all of them.
    Degraded(bool),
    /// It has ended; [`Share::into_joins`](super::Share::into_joins) has what is left.
    Over,
}

/// Where what a share has to say goes.
pub type Emit<'a, L, C> = &'a mut dyn FnMut(Output<'_, L, C>);

/// Carries out what concerns this server's own members.
///
/// What happens by it is noted in `news`, where it is an act.
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
