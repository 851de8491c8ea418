//! The state machine of one room.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::door::{Door, House};
use super::effect::{Effect, Refusal};
use super::entry::Entry;
use super::input::{Comeback, FolderId, Grant, Input, Seat};
use super::recording;
use crate::protocol::{
    CloseCode, Frame, LeaveReason, Link, Peer, PeerId, PeerName, Role, ServerMessage, Settings, State,
};

pub(super) const NOT_PERMITTED: &str = "The token by which this peer is here does not permit it.";

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Member<H> {
    pub(super) session: u64,
    /// Roster version of its join, which gives the order of joining.
    pub(super) since: u64,
    /// Grant of its join.
    pub(super) grant: Grant,
    pub(super) peer: Entry,
    pub(super) handle: H,
    /// Set while the member is disconnected: when it leaves if it does not reconnect, and for which reason.
    pub(super) lost: Option<(Duration, LeaveReason)>,
    /// Set for a host in place of an absent one, until that one returns (R112).
    pub(super) substitute: bool,
    /// Folders with an ongoing recording of this member. While there are any, its state has the indicator (R87).
    pub(super) folders: Vec<FolderId>,
}

/// State machine of one room. It exists from its first join until [`Room::is_over`]. Its serialized form is a snapshot:
/// a deserialized room behaves identically.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Room<H> {
    pub(super) capacity: usize,
    /// Resume window: how long a member may be disconnected (R52).
    pub(super) window: Duration,
    /// Grace period: how long the room is kept after its last member has left (R111).
    pub(super) grace: Duration,
    /// End of the grace period, while the room is empty.
    pub(super) empty_until: Option<Duration>,
    /// Time at which a substitute takes the place of the last host, who may return until then (R110).
    pub(super) vacant_until: Option<Duration>,
    /// Set if the room makes hosts itself, of the first member and of substitutes (R36), instead of leaving that to
    /// grants.
    pub(super) makes_hosts: bool,
    pub(super) version: u64,
    /// The hash has no random keys: the core has no randomness, so that the same inputs have the same effects. Nobody
    /// can choose colliding IDs, because the server generates them.
    pub(super) members: HashMap<PeerId, Member<H>, BuildHasherDefault<DefaultHasher>>,
    /// Members with a state that has not been announced, in order of change.
    pub(super) changed: Vec<PeerId>,
    /// Until this time, states are announced only if a snapshot needs them.
    pub(super) quiet_until: Duration,
    /// Set while an [`Effect::WakeAt`] for announcements is pending.
    pub(super) waking: bool,
    pub(super) house: House<H>,
}

impl<H> Room<H> {
    /// Creates an empty room for up to `capacity` members, with the resume window `window`.
    pub fn new(capacity: usize, window: Duration) -> Self {
        Self {
            capacity,
            window,
            grace: Duration::ZERO,
            empty_until: None,
            vacant_until: None,
            makes_hosts: true,
            version: 0,
            members: HashMap::default(),
            changed: Vec::new(),
            quiet_until: Duration::ZERO,
            waking: false,
            house: House::default(),
        }
    }

    /// Sets whether the room makes hosts itself, or leaves that to grants.
    pub fn making_hosts(self, makes_hosts: bool) -> Self {
        Self { makes_hosts, ..self }
    }

    /// Sets how long the room is kept after its last member has left (R111).
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Returns whether the room has no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns whether the room is empty and its grace period is over.
    pub fn is_over(&self) -> bool {
        self.is_empty() && self.empty_until.is_none()
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns the version of the roster (R14).
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the settings of the room.
    pub fn settings(&self) -> Settings {
        self.house.settings
    }

    /// Returns the handles of all members, and of everyone in the lobby.
    pub fn handles(&self) -> impl Iterator<Item = &H> {
        self.members.values().map(|member| &member.handle).chain(self.house.guests())
    }

    /// Returns the handle of a member, whatever its session.
    pub fn way_to(&self, id: PeerId) -> Option<&H> {
        self.members.get(&id).map(|member| &member.handle)
    }

    /// Returns the handle of the member with exactly this session.
    pub fn way_from(&self, seat: Seat) -> Result<&H, Refusal> {
        self.check(seat).map(|member| &member.handle)
    }

    /// Returns whether a grant equals that of a member's join, and so does the name if a token specifies it. Only then
    /// may the member's session be resumed.
    pub fn grants_alike(&self, id: PeerId, grant: Grant, name: Option<&PeerName>) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.grant == grant && name.is_none_or(|name| *name == member.peer.name))
    }

    /// Returns the current session of a member.
    pub fn seat_of(&self, id: PeerId) -> Option<Seat> {
        self.members.get(&id).map(|member| Seat { id, session: member.session })
    }

    /// Returns the roster and the handle of each member, in order of joining.
    pub fn members(&self) -> impl Iterator<Item = (&Peer, &H)> {
        let mut members: Vec<_> = self.members.values().collect();
        members.sort_unstable_by_key(|member| member.since);
        members.into_iter().map(|member| (&*member.peer, &member.handle))
    }

    /// Applies one input. `now` is the time since any fixed moment and never goes back.
    ///
    /// A refused input has changed nothing and has emitted nothing.
    pub fn handle(
        &mut self,
        now: Duration,
        input: Input<H>,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        match input {
            Input::Signal { from, to, frame } => self.signal(from, to, frame, emit),
            Input::Broadcast { from, frame } => {
                let member = self.check(from)?;
                if member.peer.role == Role::Listener {
                    return Err(Refusal::NotAllowed("Listeners do not broadcast."));
                }
                member.permit("broadcast")?;
                self.send_to_all(Some(from.id), &frame, emit);
                Ok(())
            }
            Input::State { seat, patch } => {
                let patch = recording::without_sign(patch, &self.check(seat)?.peer.state);
                self.change_state(now, seat, patch, emit)
            }
            Input::Record { seat, folder, on } => self.record(now, seat, folder, on, emit),
            Input::Join { .. } => self.join(now, input, emit),
            Input::Moderate { seat, act } => self.moderate(now, seat, act, emit),
            Input::Leave { seat, .. } | Input::Lose { seat, .. } if self.is_waiting(seat) => {
                self.stop_waiting(now, seat.id, emit).map(drop)
            }
            Input::Leave { seat, reason } => self.leave(now, seat, reason, emit).map(drop),
            Input::Lose { seat, reason, handle } => self.lose(now, seat, reason, handle, emit),
            Input::Return { seat, handle } => self.take_back(seat, handle, emit),
            Input::Renew { seat, token } => self.renew_token(seat, token),
            Input::Sync { seat } => self.sync(now, seat, emit),
            Input::Evict { id } => self.evict(now, id, emit),
            Input::End => {
                self.end(emit);
                Ok(())
            }
            Input::GiveUp => {
                (self.window, self.grace) = (Duration::ZERO, Duration::ZERO);
                self.expire(Duration::MAX, emit);
                self.expire_vacancies(Duration::MAX, emit);
                Ok(())
            }
            Input::Tell { to, frame } => {
                emit(self.members.get(&to).ok_or(Refusal::PeerNotFound)?.send(frame));
                Ok(())
            }
            Input::Tick => {
                self.expire(now, emit);
                self.expire_vacancies(now, emit);
                if mem::take(&mut self.waking) {
                    self.announce_or_wait(now, emit);
                }
                Ok(())
            }
        }
    }

    pub(super) fn check(&self, seat: Seat) -> Result<&Member<H>, Refusal> {
        let member = self.members.get(&seat.id).filter(|member| member.session == seat.session);
        member.ok_or_else(|| if self.is_waiting(seat) { Refusal::NotAdmitted } else { Refusal::NotMember })
    }

    fn signal(
        &self,
        from: Seat,
        to: Option<PeerId>,
        frame: Frame,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        let role = self.check(from)?.peer.role;
        if to == Some(from.id) {
            return Err(Refusal::SignalToSelf);
        }
        let receiver = to.and_then(|to| self.members.get(&to)).ok_or(Refusal::PeerNotFound)?;
        if !role.may_signal(receiver.peer.role) {
            return Err(Refusal::NotAllowed("Listeners do not signal each other."));
        }
        emit(receiver.send(frame));
        Ok(())
    }

    fn join(&mut self, now: Duration, join: Input<H>, emit: &mut impl FnMut(Effect<'_, H>)) -> Result<(), Refusal> {
        let Input::Join { seat, name, state, settings, comeback, mut grant, handle } = join else { return Ok(()) };
        let old = self.members.get(&seat.id);
        let state = recording::of_newcomer(state, old.map(|old| &old.peer.state));
        let state = state.apply(&State::new()).map_err(Refusal::StateInvalid)?;
        let folders = old.map(|old| old.folders.clone()).unwrap_or_default();
        let (present, substitute) = (old.map(|old| old.peer.role), old.is_some_and(|old| old.substitute));
        let old = old.map(|old| Seat { id: seat.id, session: old.session });
        let door = self.door(seat.id, present, &mut grant, comeback.known)?;
        // Settings apply only if the first member is a host: nobody else could turn off a lock or a lobby.
        if !self.house.begun && matches!(door, Door::In(Role::Host)) {
            self.house.settings = settings.apply(self.house.settings);
        }
        if let Some(old) = old {
            let handle = self.leave(now, old, LeaveReason::Superseded, emit)?;
            emit(Effect::Close { handle, code: CloseCode::Superseded });
        }
        let (role, permissions, name_from_token) = (Role::default(), grant.permissions, grant.name_from_token);
        let mut peer =
            Peer { id: seat.id, name, name_from_token, role, permissions, state, hand_since: None, link: Link::Ok };
        match door {
            Door::In(role) => {
                // The peer waited in the lobby and has joined again with a grant that admits it.
                if let Ok(handle) = self.stop_waiting(now, seat.id, emit) {
                    emit(Effect::Close { handle, code: CloseCode::Superseded });
                }
                peer.role = role;
                // A host by its own grant is no substitute.
                let substitute = substitute && grant.role != Some(Role::Host);
                self.enter(now, seat, peer, grant, comeback, handle, substitute, emit);
                if let Some(member) = self.members.get_mut(&seat.id) {
                    member.folders = folders;
                }
            }
            Door::Lobby => {
                self.wait(seat, peer, grant, comeback, handle, emit);
                self.lobby_changed(now, emit);
            }
        }
        Ok(())
    }

    /// Makes a participant a member without checking admission.
    #[expect(clippy::too_many_arguments, reason = "all that a member is made of")]
    pub(super) fn enter(
        &mut self,
        now: Duration,
        seat: Seat,
        mut peer: Peer,
        grant: Grant,
        comeback: Comeback,
        handle: H,
        mut substitute: bool,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) {
        if peer.role == Role::Participant && self.lacks_host(now) {
            (peer.role, substitute) = (Role::Host, true);
        }
        let role = peer.role;
        self.note_entry(role);
        peer.state = grant.permissions.quieted(peer.role.quieted(peer.state));
        if self.is_by_host_key(grant) {
            self.house.removals.note_host_key(seat.id);
        }
        self.assign_token(seat.id, grant.token);
        // The new member's snapshot must not contain a state that has not been announced to the others (R23).
        self.announce_states(now, emit);
        self.version += 1;
        let version = self.version;
        peer.note_hand(version);
        let frame = ServerMessage::PeerJoined { version, peer: &peer }.to_frame();
        let peer = Entry::new(peer);
        // The member must be reachable before it is announced (R15).
        let member = Member {
            session: seat.session,
            since: version,
            grant,
            peer,
            handle,
            lost: None,
            substitute,
            folders: Vec::new(),
        };
        self.members.insert(seat.id, member);
        if let Some(Member { peer: own, handle: to, .. }) = self.members.get(&seat.id) {
            let (permissions, settings, peers) = (grant.permissions, self.house.settings, self.others(seat.id));
            emit(Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers });
        }
        self.send_to_all(Some(seat.id), &frame, emit);
        self.show_lobby_to(seat.id, emit);
        if role == Role::Host && !substitute {
            self.demote_substitutes(emit);
        }
    }

    pub(super) fn leave(
        &mut self,
        now: Duration,
        seat: Seat,
        reason: LeaveReason,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<H, Refusal> {
        self.check(seat)?;
        let member = self.members.remove(&seat.id).ok_or(Refusal::NotMember)?;
        self.changed.retain(|id| *id != seat.id);
        self.version += 1;
        let frame = ServerMessage::PeerLeft { version: self.version, id: seat.id, reason }.to_frame();
        self.send_to_all(None, &frame, emit);
        emit(Effect::Departed { peer: &member.peer, reason: Some(reason) });
        match reason {
            // The peer joins again at once with the same role.
            LeaveReason::Superseded => return Ok(member.handle),
            LeaveReason::Removed => {
                self.house.forget(seat.id);
                self.house.removals.add(seat.id);
                self.house.tokens.remove(seat.id, member.grant.token);
            }
            LeaveReason::Unauthorized => self.house.forget(seat.id),
            _ => self.house.remember(seat.id, member.role_on_return()),
        }
        if member.peer.role == Role::Host && self.hosts() == 0 {
            let may_return = !matches!(reason, LeaveReason::Removed | LeaveReason::Unauthorized);
            // A host that leaves while connected has no window.
            self.vacant_until = member.lost.map(|(until, _)| until).filter(|_| may_return);
        }
        if self.is_empty() {
            self.start_grace_period(now, emit);
        } else {
            self.promote_next_host(now, emit);
        }
        Ok(member.handle)
    }

    fn sync(&mut self, now: Duration, seat: Seat, emit: &mut impl FnMut(Effect<'_, H>)) -> Result<(), Refusal> {
        self.check(seat)?;
        self.announce_states(now, emit);
        let member = self.check(seat)?;
        emit(member.send(self.roster(member)));
        Ok(())
    }

    pub(super) fn roster(&self, member: &Member<H>) -> Frame {
        let Peer { id, role, hand_since, .. } = *member.peer;
        let (version, peers, settings) = (self.version, self.others(id), self.house.settings);
        ServerMessage::Roster { version, peers, role, hand_since, settings }.to_frame()
    }

    /// Returns the roster entries of everybody else as JSON, in order of joining.
    pub(super) fn others(&self, id: PeerId) -> Vec<&RawValue> {
        let mut members: Vec<_> = self.members.values().filter(|member| member.peer.id != id).collect();
        members.sort_unstable_by_key(|member| member.since);
        members.into_iter().map(|member| member.peer.encoded()).collect()
    }

    /// Returns the approximate size of the roster as JSON, in bytes.
    pub fn roster_bytes(&self) -> usize {
        self.members.values().map(|member| member.peer.encoded().get().len()).sum()
    }

    pub(super) fn send_to_all(&self, but: Option<PeerId>, frame: &Frame, emit: &mut impl FnMut(Effect<'_, H>)) {
        for member in self.members.values().filter(|member| Some(member.peer.id) != but) {
            emit(member.send(frame.clone()));
        }
    }
}

impl<H> Member<H> {
    /// Refuses an action that the member's token does not permit (R59).
    pub(super) fn permit(&self, name: &str) -> Result<(), Refusal> {
        if self.grant.permissions.has(name) { Ok(()) } else { Err(Refusal::NotAllowed(NOT_PERMITTED)) }
    }

    /// Returns the role with which the member may return after it has left.
    fn role_on_return(&self) -> Role {
        if self.substitute { Role::Participant } else { self.peer.role }
    }

    pub(super) fn send(&self, frame: Frame) -> Effect<'_, H> {
        let seat = Seat { id: self.peer.id, session: self.session };
        Effect::Send { seat, to: &self.handle, frame }
    }
}
