//! Admission to a room: lock, lobby, and participants who return (R36, R39, R40).

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Refusal};
use super::input::{Comeback, Grant, Seat};
use super::removals::Removals;
use super::room::Room;
use super::tokens::Tokens;
use crate::protocol::{CloseCode, Frame, Link, Peer, PeerId, Role, ServerMessage, Settings, State, Waiting};

/// Former participants whose role a room remembers, so that they return with the same one.
const REMEMBERED: usize = 256;

/// Access state of a room: its settings, its lobby, and the participants that it remembers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct House<H> {
    /// Set once anybody has entered since the room was created.
    pub(super) begun: bool,
    pub(super) settings: Settings,
    /// Lobby in order of arrival. Empty while the room is locked or the lobby is off.
    waiting: Vec<Guest<H>>,
    /// Set if the lobby has changed since it was last sent to the hosts.
    pub(super) lobby_changed: bool,
    /// Former participants, who may return past lock and lobby, and their roles; the latest last.
    former: VecDeque<(PeerId, Role)>,
    /// Credentials that are no longer valid.
    pub(super) removals: Removals,
    pub(super) tokens: Tokens,
}

/// A participant in the lobby.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Guest<H> {
    session: u64,
    shown: Waiting,
    state: State,
    grant: Grant,
    comeback: Comeback,
    handle: H,
}

/// Decision on a join: enter with a role, or wait in the lobby.
pub(super) enum Door {
    In(Role),
    Lobby,
}

impl<H> Default for House<H> {
    fn default() -> Self {
        Self {
            begun: false,
            settings: Settings::default(),
            waiting: Vec::new(),
            lobby_changed: false,
            former: VecDeque::new(),
            removals: Removals::default(),
            tokens: Tokens::default(),
        }
    }
}

impl<H> House<H> {
    /// Returns the handles of the participants in the lobby.
    pub(super) fn guests(&self) -> impl Iterator<Item = &H> {
        self.waiting.iter().map(|guest| &guest.handle)
    }

    /// Remembers the last role of a participant who has left. If the list is full, it drops the oldest entry with the
    /// role of an ordinary newcomer, else the oldest that is no host; if all are hosts, it drops the new one. Otherwise
    /// strangers who join and leave repeatedly could make the room forget its hosts.
    pub(super) fn remember(&mut self, id: PeerId, role: Role) {
        self.forget(id);
        if self.former.len() == REMEMBERED {
            let usual = self.newcomer_role(Grant::default());
            let oldest =
                |is_expendable: &dyn Fn(Role) -> bool| self.former.iter().position(|(_, role)| is_expendable(*role));
            let Some(at) = oldest(&|role| role == usual).or_else(|| oldest(&|role| role != Role::Host)) else { return };
            self.former.remove(at);
        }
        self.former.push_back((id, role));
    }

    /// Forgets a participant, who is a stranger from now on.
    pub(super) fn forget(&mut self, id: PeerId) {
        self.former.retain(|(former, _)| *former != id);
    }

    fn newcomer_role(&self, grant: Grant) -> Role {
        grant.role.unwrap_or(if self.settings.talk { Role::Listener } else { Role::Participant })
    }

    fn take_guest(&mut self, id: PeerId) -> Option<Guest<H>> {
        let at = self.waiting.iter().position(|guest| guest.shown.id == id)?;
        Some(self.waiting.remove(at))
    }
}

impl<H> Room<H> {
    /// Decides on a join. `present` is the role of the peer's older session, which the new one supersedes; `has_secret`
    /// is set if the peer has proven its ID (R11). Clears the role of a grant by a host key that is no longer valid
    /// (R45).
    pub(super) fn door(
        &self,
        id: PeerId,
        present: Option<Role>,
        grant: &mut Grant,
        has_secret: bool,
    ) -> Result<Door, Refusal> {
        let House { begun, settings, waiting, former, removals, .. } = &self.house;
        let known = present.or_else(|| former.iter().find(|(former, _)| *former == id).map(|(_, role)| *role));
        if removals.has_host_key() && self.is_by_host_key(*grant) {
            grant.role = None;
            if known.is_none() {
                return Err(Refusal::Dismissed(CloseCode::Removed));
            }
        }
        if known.is_none() && has_secret && removals.rejects_secrets_of(id) {
            return Err(Refusal::Dismissed(CloseCode::Removed));
        }
        self.check_token(id, grant.token)?;
        let role = match known {
            // A host could turn off lock and lobby itself.
            _ if grant.role == Some(Role::Host) => Role::Host,
            Some(role) if self.makes_hosts => role,
            // If only grants make hosts, a former host without such a grant returns as a newcomer.
            Some(Role::Host) => self.house.newcomer_role(*grant),
            // A token issued since then may grant less.
            Some(role) => grant.role.map_or(role, |granted| role.limited_to(granted)),
            None if !begun && self.makes_hosts => Role::Host,
            None if self.len() >= self.capacity => return Err(Refusal::RoomFull),
            None if settings.locked => return Err(Refusal::RoomLocked),
            None if !settings.lobby => self.house.newcomer_role(*grant),
            None if waiting.iter().filter(|guest| guest.shown.id != id).count() < self.capacity => {
                return Ok(Door::Lobby);
            }
            None => return Err(Refusal::RoomFull),
        };
        // One seat is reserved for hosts, so that nobody can keep them out by filling the room (R98).
        let seats = self.capacity + usize::from(grant.role == Some(Role::Host));
        if present.is_none() && self.len() >= seats {
            return Err(Refusal::RoomFull);
        }
        Ok(Door::In(role))
    }

    /// Returns whether a grant comes from the room's host key. In a room that makes hosts, no other grant has a role.
    pub(super) fn is_by_host_key(&self, grant: Grant) -> bool {
        self.makes_hosts && grant.role == Some(Role::Host)
    }

    /// Puts a participant into the lobby and sends `waiting` to it. [`Room::lobby_changed`] notifies the hosts.
    pub(super) fn wait(
        &mut self,
        seat: Seat,
        peer: Peer,
        grant: Grant,
        comeback: Comeback,
        handle: H,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) {
        if let Some(old) = self.house.take_guest(seat.id) {
            emit(Effect::Close { handle: old.handle, code: CloseCode::Superseded });
        }
        self.assign_token(seat.id, grant.token);
        emit(Effect::Send { seat, to: &handle, frame: ServerMessage::Waiting.to_frame() });
        let shown = Waiting { id: peer.id, name: peer.name, name_from_token: peer.name_from_token };
        let Seat { session, .. } = seat;
        self.house.waiting.push(Guest { session, shown, state: peer.state, grant, comeback, handle });
    }

    /// Returns whether this session is in the lobby.
    pub(super) fn is_waiting(&self, seat: Seat) -> bool {
        self.guest(seat).is_some()
    }

    /// Returns the handle of this session if it is in the lobby.
    pub(super) fn guest(&self, seat: Seat) -> Option<&H> {
        let guest = self.house.waiting.iter().find(|guest| guest.shown.id == seat.id && guest.session == seat.session);
        guest.map(|guest| &guest.handle)
    }

    /// Removes a participant from the lobby and returns its handle.
    pub(super) fn stop_waiting(
        &mut self,
        now: Duration,
        id: PeerId,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<H, Refusal> {
        let guest = self.house.take_guest(id).ok_or(Refusal::PeerNotFound)?;
        self.lobby_changed(now, emit);
        Ok(guest.handle)
    }

    /// Returns the lobby in order of arrival.
    pub fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.house.waiting.iter().map(|guest| &guest.shown)
    }

    /// Admits a participant from the lobby.
    pub(super) fn admit(
        &mut self,
        now: Duration,
        id: PeerId,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        if self.len() >= self.capacity && self.house.waiting.iter().any(|guest| guest.shown.id == id) {
            return Err(Refusal::RoomFull);
        }
        let guest = self.house.take_guest(id).ok_or(Refusal::PeerNotFound)?;
        self.show_lobby(emit);
        self.enter_guest(now, guest, emit);
        Ok(())
    }

    /// Rejects everyone in the lobby.
    pub(super) fn refuse_all(&mut self, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.house.waiting.is_empty() {
            return;
        }
        let waiting = mem::take(&mut self.house.waiting);
        self.show_lobby(emit);
        for guest in waiting {
            emit(Effect::Close { handle: guest.handle, code: CloseCode::Refused });
        }
    }

    /// Empties the lobby if the room is locked or the lobby is off, after a change of the settings.
    pub(super) fn clear_lobby(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        let Settings { locked, lobby, .. } = self.house.settings;
        if (lobby && !locked) || self.house.waiting.is_empty() {
            return;
        }
        let waiting = mem::take(&mut self.house.waiting);
        self.show_lobby(emit);
        for guest in waiting {
            if locked {
                emit(Effect::Close { handle: guest.handle, code: CloseCode::RoomLocked });
            } else if self.len() >= self.capacity {
                emit(Effect::Close { handle: guest.handle, code: CloseCode::RoomFull });
            } else {
                self.enter_guest(now, guest, emit);
            }
        }
    }

    /// Ends the room: closes the connections of everyone in the lobby with this code, and resets the access state (R25,
    /// R46, R111).
    pub(super) fn disband(&mut self, code: CloseCode, emit: &mut impl FnMut(Effect<'_, H>)) {
        (self.empty_until, self.vacant_until) = (None, None);
        for guest in mem::take(&mut self.house).waiting {
            emit(Effect::Close { handle: guest.handle, code });
        }
    }

    /// Sends the lobby to a member that is a host, if anyone is waiting.
    pub(super) fn show_lobby_to(&self, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) {
        let host = self.members.get(&id).filter(|member| member.peer.role == Role::Host);
        if let Some(host) = host.filter(|_| !self.house.waiting.is_empty()) {
            emit(host.send(self.lobby_frame()));
        }
    }

    /// Sends the lobby to the hosts, now or at the end of the interval: strangers who join and leave repeatedly must
    /// not flood the hosts (R36).
    pub(super) fn lobby_changed(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        self.house.lobby_changed = true;
        if !self.waking {
            self.announce_or_wait(now, emit);
        }
    }

    /// Sends the lobby to the hosts if it has changed. Returns whether it was sent.
    pub(super) fn announce_lobby(&mut self, emit: &mut impl FnMut(Effect<'_, H>)) -> bool {
        let is_due = self.house.lobby_changed;
        if is_due {
            self.show_lobby(emit);
        }
        is_due
    }

    fn show_lobby(&mut self, emit: &mut impl FnMut(Effect<'_, H>)) {
        self.house.lobby_changed = false;
        let frame = self.lobby_frame();
        for host in self.members.values().filter(|member| member.peer.role == Role::Host) {
            emit(host.send(frame.clone()));
        }
    }

    pub(super) fn lobby_frame(&self) -> Frame {
        ServerMessage::Lobby { waiting: self.house.waiting.iter().map(|guest| &guest.shown).collect() }.to_frame()
    }

    fn enter_guest(&mut self, now: Duration, guest: Guest<H>, emit: &mut impl FnMut(Effect<'_, H>)) {
        let Guest { session, shown: Waiting { id, name, name_from_token }, state, grant, comeback, handle } = guest;
        let (role, permissions) = (self.house.newcomer_role(grant), grant.permissions);
        let peer = Peer { id, name, name_from_token, role, permissions, state, hand_since: None, link: Link::Ok };
        self.enter(now, Seat { id, session }, peer, grant, comeback, handle, false, emit);
    }
}
