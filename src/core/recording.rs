//! The indicator in a host's state that it records to the server. Only the server sets and clears it (R87, R107).

use std::time::Duration;

use super::effect::{Effect, Refusal};
use super::input::{FolderId, Seat};
use super::room::Room;
use crate::protocol::{PeerId, SIGN, State, StatePatch, StateValue, has_sign, is_sign};

/// State key of the indicator. A page sets it to `true` for a recording on its own device.
const KEY: &str = SIGN.0;
/// Folders remembered per member. A member records to one at a time if all servers have the same folder.
const FOLDERS: usize = 4;

/// Removes changes that only the server may make from a member's patch: the indicator, and any change of the key while
/// it is set.
pub(super) fn without_sign(mut patch: StatePatch, state: &State) -> StatePatch {
    if patch.get(KEY).is_some_and(|value| value.is_some_and(is_sign) || has_sign(state)) {
        patch.remove(KEY);
    }
    patch
}

/// Removes the indicator from the initial state of a newcomer. `old` is the state of the newcomer's previous session:
/// an indicator that was set there stays set.
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
    /// Returns the members with an ongoing recording in this folder.
    pub fn recorded_to(&self, folder: FolderId) -> impl Iterator<Item = PeerId> {
        self.members.iter().filter(move |(_, member)| member.folders.contains(&folder)).map(|(id, _)| *id)
    }

    /// Records that a member's recording in this folder has started or ended. The indicator is set while any folder has
    /// one, because a server does not know the recordings in folders of other servers. Neither the limit of keys nor a
    /// permission prevents the indicator: nobody is recorded without it.
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
