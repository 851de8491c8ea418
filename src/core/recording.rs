//! The sign in a host's state that it records to the server, which only the server sets and removes (R87, R107).

use crate::protocol::{State, StatePatch, StateValue};

/// The key of the state, and its value for a recording that is sent to the server. What a page keeps on its own
/// device it says with `true`.
pub(super) const KEY: &str = "recording";
const SERVER: &str = "server";

/// Returns whether a member's state says that it records to the server.
pub fn is_recorded(state: &State) -> bool {
    is_sign(state.get(KEY))
}

/// Returns what sets the sign, or removes it.
pub(super) fn sign(on: bool) -> StatePatch {
    StatePatch::from([(KEY, on.then(|| StateValue::Text(SERVER.into())))])
}

/// Removes from a member's own patch what only the server may change: the sign, and the key while it has that value.
pub(super) fn without_sign(mut patch: StatePatch, state: &State) -> StatePatch {
    if patch.get(KEY).is_some_and(|value| is_sign(value) || is_recorded(state)) {
        patch.remove(KEY);
    }
    patch
}

/// The same of what a newcomer says of itself. The sign stays when its host begins a new session: `old` is the state that it
/// had in the session before.
pub(super) fn of_newcomer(patch: StatePatch, old: Option<&State>) -> StatePatch {
    let mut patch = without_sign(patch, &State::new());
    if old.is_some_and(is_recorded) {
        patch.set(KEY, StateValue::Text(SERVER.into()));
    }
    patch
}

/// Returns whether this value of the key is the sign.
pub(super) fn is_sign(value: Option<&StateValue>) -> bool {
    matches!(value, Some(StateValue::Text(text)) if **text == *SERVER)
}
