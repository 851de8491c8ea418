//! Moderation by hosts, and what each role may do (R36 to R38, R41 to R46).

use std::time::Duration;

use super::effect::{Effect, Refusal};
use super::input::Seat;
use super::room::Room;
use crate::protocol::{
    CloseCode, LeaveReason, Moderation, PeerId, Permissions, Role, RoleReason, SIGN, ServerMessage, SettingsPatch,
    State, StateValue,
};

/// State keys of media that listeners do not send (R42).
const SENDING: [&str; 3] = ["mic", "camera", "screen"];
/// Keys that every member may set to `true` or `false`.
const SIGNS: [&str; 2] = ["hand", "recording"];
const OFF: StateValue = StateValue::Flag(false);

/// Returns whether an entry of a state says that a medium is not sent.
fn is_off(key: &str, value: &StateValue) -> bool {
    SENDING.contains(&key) && *value == OFF
}

/// Returns whether an entry of a state is an indicator that every member may set (R108): a raised hand, or a recording.
fn is_sign(key: &str, value: &StateValue) -> bool {
    match value {
        StateValue::Flag(_) => SIGNS.contains(&key),
        // Set by the server while a recording is sent to it (R107).
        StateValue::Text(_) => key == SIGN.0 && crate::protocol::is_sign(value),
        StateValue::Number(_) => false,
    }
}

impl Role {
    /// Returns whether this role may signal the other one (R42).
    pub(super) fn may_signal(self, to: Self) -> bool {
        self != Self::Listener || to != Self::Listener
    }

    /// Returns whether this role may have this state (R42).
    pub(super) fn may_have(self, state: &State) -> bool {
        self != Self::Listener || state.iter().all(|(key, value)| is_off(key, value) || is_sign(key, value))
    }

    /// Returns the lesser of two roles.
    pub(super) fn limited_to(self, granted: Self) -> Self {
        match (self, granted) {
            (Self::Listener, _) | (_, Self::Listener) => Self::Listener,
            (Self::Participant, _) | (_, Self::Participant) => Self::Participant,
            (Self::Host, Self::Host) => Self::Host,
        }
    }

    /// Filters the initial state of a newcomer: a listener keeps only indicators.
    pub(super) fn quieted(self, mut state: State) -> State {
        if self == Self::Listener {
            state.retain(|key, value| is_sign(key, value));
        }
        state
    }
}

impl Permissions {
    /// Returns whether a member with these permissions may have this state (R59).
    pub(super) fn may_have(self, state: &State) -> bool {
        state.iter().all(|(key, value)| is_off(key, value) || self.permits(key, value))
    }

    /// Removes what these permissions do not allow from the initial state of a newcomer.
    pub(super) fn quieted(self, mut state: State) -> State {
        state.retain(|key, value| self.permits(key, value));
        state
    }

    /// Returns whether these permissions allow an entry of a state. Without `broadcast` no text is allowed.
    fn permits(self, key: &str, value: &StateValue) -> bool {
        if SENDING.contains(&key) {
            return self.has(key) && (self.has("broadcast") || matches!(value, StateValue::Flag(_)));
        }
        self.has("broadcast") || is_sign(key, value)
    }
}

impl<H> Room<H> {
    /// Applies a moderation command.
    pub(super) fn moderate(
        &mut self,
        now: Duration,
        seat: Seat,
        act: Moderation,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        let member = self.check(seat)?;
        if member.peer.role != Role::Host {
            return Err(Refusal::NotAllowed("Only a host may do this."));
        }
        member.permit("moderate")?;
        match act {
            Moderation::Settings { settings } => self.change_settings(now, settings, emit),
            Moderation::Role { to, role } => return self.change_role(now, seat.id, to, role, emit),
            Moderation::Ask { to, ask } => self.tell(to, &ServerMessage::Asked { from: seat.id, ask }, emit)?,
            Moderation::SwitchOff { to, what } => {
                self.tell(to, &ServerMessage::SwitchedOff { from: seat.id, what }, emit)?;
                self.switch_off(now, to, &[what.key()], emit);
            }
            Moderation::Remove { to } => return self.remove(now, seat.id, to, emit),
            Moderation::Admit { to } => return self.admit(now, to, emit),
            Moderation::Refuse { to } => {
                let handle = self.stop_waiting(now, to, emit)?;
                emit(Effect::Close { handle, code: CloseCode::Refused });
            }
            Moderation::RefuseAll => self.refuse_all(emit),
            Moderation::End => self.end(emit),
        }
        Ok(())
    }

    pub(super) fn hosts(&self) -> usize {
        self.members.values().filter(|member| member.peer.role == Role::Host).count()
    }

    fn change_settings(&mut self, now: Duration, patch: SettingsPatch, emit: &mut impl FnMut(Effect<'_, H>)) {
        let settings = patch.apply(self.house.settings);
        if settings == self.house.settings {
            return;
        }
        self.house.settings = settings;
        self.version += 1;
        let frame = ServerMessage::Settings { version: self.version, settings }.to_frame();
        self.send_to_all(None, &frame, emit);
        self.clear_lobby(now, emit);
    }

    fn change_role(
        &mut self,
        now: Duration,
        own: PeerId,
        to: PeerId,
        role: Role,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        let present = self.members.get(&to).ok_or(Refusal::PeerNotFound)?.peer.role;
        if present == role {
            return Ok(());
        }
        if to == own && self.hosts() == 1 {
            return Err(Refusal::NotAllowed("The last host hands over first."));
        }
        self.set_role(to, role, None, emit);
        if role == Role::Listener {
            self.quiet(now, to, emit);
        }
        Ok(())
    }

    pub(super) fn set_role(
        &mut self,
        id: PeerId,
        role: Role,
        reason: Option<RoleReason>,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.peer.change().role = role;
        member.substitute = reason == Some(RoleReason::HostAbsent);
        self.version += 1;
        let frame = ServerMessage::Role { version: self.version, id, role, reason }.to_frame();
        self.send_to_all(None, &frame, emit);
        self.show_lobby_to(id, emit);
    }

    /// Removes what a listener may not have from the state of a new listener.
    fn quiet(&mut self, now: Duration, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let before = member.peer.state.len();
        member.peer.change().state.retain(|key, value| SENDING.contains(&&**key) || is_sign(key, value));
        if member.peer.state.len() != before {
            self.state_changed(now, id, emit);
        }
        self.switch_off(now, id, &SENDING, emit);
    }

    fn switch_off(&mut self, now: Duration, id: PeerId, keys: &[&str], emit: &mut impl FnMut(Effect<'_, H>)) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let mut changed = false;
        let state = &mut member.peer.change().state;
        for key in keys {
            if let Some(value) = state.get_mut(*key).filter(|value| **value != OFF) {
                *value = OFF;
                changed = true;
            }
        }
        if changed {
            self.state_changed(now, id, emit);
        }
    }

    fn remove(
        &mut self,
        now: Duration,
        own: PeerId,
        to: PeerId,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        if to == own {
            return Err(Refusal::NotAllowed("To go oneself, send \"leave\"."));
        }
        self.send_out(now, to, emit)
    }

    fn send_out(&mut self, now: Duration, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) -> Result<(), Refusal> {
        let session = self.members.get(&id).ok_or(Refusal::PeerNotFound)?.session;
        let handle = self.leave(now, Seat { id, session }, LeaveReason::Removed, emit)?;
        emit(Effect::Close { handle, code: CloseCode::Removed });
        Ok(())
    }

    /// Removes a member, or rejects a participant in the lobby.
    pub(super) fn evict(
        &mut self,
        now: Duration,
        id: PeerId,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        match self.stop_waiting(now, id, emit) {
            Ok(handle) => emit(Effect::Close { handle, code: CloseCode::Refused }),
            Err(_) => return self.send_out(now, id, emit),
        }
        Ok(())
    }

    pub(super) fn end(&mut self, emit: &mut impl FnMut(Effect<'_, H>)) {
        let mut members: Vec<_> = self.members.drain().map(|(_, member)| member).collect();
        members.sort_unstable_by_key(|member| member.since);
        for member in members {
            emit(Effect::Departed { peer: &member.peer, reason: None });
            emit(Effect::Close { handle: member.handle, code: CloseCode::Ended });
        }
        self.changed.clear();
        self.disband(CloseCode::Ended, emit);
    }

    fn tell(
        &self,
        to: PeerId,
        message: &ServerMessage<'_>,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        emit(self.members.get(&to).ok_or(Refusal::PeerNotFound)?.send(message.to_frame()));
        Ok(())
    }
}
