//! The sign in a host's state that it records to the server, which only the server sets and removes (R87, R107).

use std::time::Duration;

use super::effect::{Effect, Refusal};
use super::input::Seat;
use super::room::Room;
use crate::protocol::{SIGN, State, StatePatch, StateValue, has_sign, is_sign};

/// The key of the sign. A page sets it to `true` for a recording that it keeps on its own device.
const KEY: &str = SIGN.0;

/// Returns whether a member's state says that it records to the server.
pub fn is_recorded(state: &State) -> bool {
    has_sign(state)
}

/// Removes from a member's own patch what only the server may change: the sign, and the key while it has that value.
pub(super) fn without_sign(mut patch: StatePatch, state: &State) -> StatePatch {
    if patch.get(KEY).is_some_and(|value| value.is_some_and(is_sign) || has_sign(state)) {
        patch.remove(KEY);
    }
    patch
}

/// The same of what a newcomer says of itself. The sign stays when its host begins a new session: `old` is the state that it
/// had in the session before.
pub(super) fn of_newcomer(patch: StatePatch, old: Option<&State>) -> StatePatch {
    let mut patch = without_sign(patch, &State::new());
    if old.is_some_and(has_sign) {
        patch.set(KEY, sign());
    }
    patch
}

fn sign() -> StateValue {
    StateValue::Text(SIGN.1.into())
}

impl<H> Room<H> {
    /// Sets the sign of a member, or removes it. Neither the number of keys nor a permission prevents it: nobody is recorded
    /// without it.
    pub(super) fn record(
        &mut self,
        now: Duration,
        seat: Seat,
        on: bool,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        self.check(seat)?;
        let member = self.members.get_mut(&seat.id).ok_or(Refusal::NotMember)?;
        if has_sign(&member.peer.state) == on {
            return Ok(());
        }
        let state = &mut member.peer.change().state;
        if on {
            state.insert(KEY.into(), sign());
        } else {
            state.remove(KEY);
        }
        self.state_changed(now, seat.id, emit);
        Ok(())
    }
}
