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
    /// The roster's version with which it came: the order of joining.
    pub(super) since: u64,
    /// What it came by.
    pub(super) grant: Grant,
    pub(super) peer: Entry,
    pub(super) handle: H,
    /// Its socket is lost: until when it may come back, and why it leaves if it does not.
    pub(super) lost: Option<(Duration, LeaveReason)>,
    /// Host in place of an absent one, until that one returns (R112).
    pub(super) substitute: bool,
    /// Folders that have a recording of it which goes on: while there are any, its state has the sign (R87).
    pub(super) folders: Vec<FolderId>,
}

/// One room. It lives from its first join until [`Room::is_over`]. Serialised it is a snapshot: what is read back goes
/// on just alike.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Room<H> {
    pub(super) capacity: usize,
    /// How long a member may be lost (R52).
    pub(super) window: Duration,
    /// How long the room is kept after its last member has left (R111).
    pub(super) grace: Duration,
    /// End of the grace period, while the room is empty.
    pub(super) empty_until: Option<Duration>,
    /// When a substitute takes the place of the last host, while that one may return (R110).
    pub(super) vacant_until: Option<Duration>,
    /// Whether it makes hosts of its members: the first one, and substitutes (R36).
    pub(super) makes_hosts: bool,
    pub(super) version: u64,
    /// With a hash that is the same each time: the core has no randomness, so that what follows from an input can be
    /// repeated. Ids are made by the server, so that nobody chooses where they fall.
    pub(super) members: HashMap<PeerId, Member<H>, BuildHasherDefault<DefaultHasher>>,
    /// Members whose state changed and has not been announced, in the order of their change.
    pub(super) changed: Vec<PeerId>,
    /// Before this time no state is announced on its own.
    pub(super) quiet_until: Duration,
    /// A [`Effect::WakeAt`] is under way.
    pub(super) waking: bool,
    pub(super) house: House<H>,
}

impl<H> Room<H> {
    /// An empty room that takes up to `capacity` members, each of whom may be lost for as long as `window`.
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

    /// The same room, which makes hosts of its members or leaves that to their grants.
    pub fn making_hosts(self, makes_hosts: bool) -> Self {
        Self { makes_hosts, ..self }
    }

    /// Sets how long the room is kept after its last member has left (R111).
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns whether the room is empty and its grace period is over.
    pub fn is_over(&self) -> bool {
        self.is_empty() && self.empty_until.is_none()
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// The roster's version (R14).
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the room is set to.
    pub fn settings(&self) -> Settings {
        self.house.settings
    }

    /// The ways to all members, and to all who wait.
    pub fn handles(&self) -> impl Iterator<Item = &H> {
        self.members.values().map(|member| &member.handle).chain(self.house.guests())
    }

    /// The way to somebody, in whichever session.
    pub fn way_to(&self, id: PeerId) -> Option<&H> {
        self.members.get(&id).map(|member| &member.handle)
    }

    /// The way to the member in this very session.
    pub fn way_from(&self, seat: Seat) -> Result<&H, Refusal> {
        self.check(seat).map(|member| &member.handle)
    }

    /// Whether somebody who comes with this grant, and with this name where its token says one, is what the member
    /// is that came by another: only then may it go on as that.
    pub fn grants_alike(&self, id: PeerId, grant: Grant, name: Option<&PeerName>) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.grant == grant && name.is_none_or(|name| *name == member.peer.name))
    }

    /// The present session of somebody.
    pub fn seat_of(&self, id: PeerId) -> Option<Seat> {
        self.members.get(&id).map(|member| Seat { id, session: member.session })
    }

    /// The roster, in the order of joining, and the way to each member.
    pub fn members(&self) -> impl Iterator<Item = (&Peer, &H)> {
        let mut members: Vec<_> = self.members.values().collect();
        members.sort_unstable_by_key(|member| member.since);
        members.into_iter().map(|member| (&*member.peer, &member.handle))
    }

    /// Takes one input; `now` is the time since any fixed moment and never goes back.
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
        // A lobby or a lock that nobody could open again is none.
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
                // It waited, and has come again with a grant that opens the door.
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

    /// Makes somebody a member, whatever the door says.
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
        // The snapshot must not contain what the others have not been told (R23).
        self.announce_states(now, emit);
        self.version += 1;
        let version = self.version;
        peer.note_hand(version);
        let frame = ServerMessage::PeerJoined { version, peer: &peer }.to_frame();
        let peer = Entry::new(peer);
        // First reachable, then announced (R15).
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
            // Is back at once, as what it was.
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
            // A host that leaves with a connection has no window.
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

    /// Returns everybody else, encoded, in the order of joining.
    pub(super) fn others(&self, id: PeerId) -> Vec<&RawValue> {
        let mut members: Vec<_> = self.members.values().filter(|member| member.peer.id != id).collect();
        members.sort_unstable_by_key(|member| member.since);
        members.into_iter().map(|member| member.peer.encoded()).collect()
    }

    /// Returns the size of the roster as JSON, about.
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
    /// Refuses what the member's token does not permit (R59).
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
