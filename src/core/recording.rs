//! The sign in a host's state that it records to the server, which only the server sets and removes (R87, R107).

use std::time::Duration;

use super::effect::{Effect, Refusal};
use super::input::{FolderId, Seat};
use super::room::Room;
use crate::protocol::{PeerId, SIGN, State, StatePatch, StateValue, has_sign, is_sign};

/// The key of the sign. A page sets it to `true` for a recording that it keeps on its own device.
const KEY: &str = SIGN.0;
/// Folders that a member is remembered to record to. It records to one at a time, where all servers have the same.
const FOLDERS: usize = 4;

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
    /// Returns the members with a recording in this folder that goes on.
    pub fn recorded_to(&self, folder: FolderId) -> impl Iterator<Item = PeerId> {
        self.members.iter().filter(move |(_, member)| member.folders.contains(&folder)).map(|(id, _)| *id)
    }

    /// Notes that a recording of a member goes on in this folder, or is over. It has the sign while any goes on: a server
    /// does not know the recordings in folders of other servers. Neither the number of keys nor a permission prevents the
    /// sign: nobody is recorded without it.
    pub(super) fn record(
        &mut self,
        now: Duration,
        seat: Seat,
        folder: FolderId,
        on: bool,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        self.check(seat)?;
        let member = self.members.get_mut(&seat.id).ok_or(Refusal::NotMember)?;
        member.folders.retain(|known| *known != folder);
        if on {
            if member.folders.len() == FOLDERS {
                member.folders.remove(0);
            }
            member.folders.push(folder);
        }
        let is_recorded = !member.folders.is_empty();
        if is_recorded == has_sign(&member.peer.state) {
            return Ok(());
        }
        let state = &mut member.peer.change().state;
        if is_recorded {
            state.insert(KEY.into(), sign());
        } else {
            state.remove(KEY);
        }
        self.state_changed(now, seat.id, emit);
        Ok(())
    }
}
