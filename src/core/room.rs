//! The state machine of one room.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::door::{Door, House};
use crate::protocol::{
    CloseCode, Frame, LeaveReason, Link, Moderation, NotResumed, Peer, PeerId, PeerName, Permissions, Role,
    ServerMessage, Settings, SettingsPatch, State, StatePatch,
};

/// Changes of state within this time are announced together (R22).
pub const STATE_INTERVAL: Duration = Duration::from_millis(100);

const NOT_PERMITTED: &str = "The token by which this peer is here does not permit it.";

/// One stay of a peer in a room. A peer that comes back has the same id in another session, so
/// that what its old connection still says has no effect.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Seat {
    /// Who.
    pub id: PeerId,
    /// Which stay; never used twice for the same id.
    pub session: u64,
}

/// What became of a newcomer's wish to be who it was.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Comeback {
    /// It proved that the id was its own before (R11).
    pub known: bool,
    /// Why it begins afresh all the same, where it wished to go on (R54).
    pub refused: Option<NotResumed>,
}

/// What somebody was granted before it came to the door.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// What it is; the room decides where nothing was said. A host passes lock and lobby.
    pub role: Option<Role>,
    /// What it may do, whatever its role allows.
    pub permissions: Permissions,
}

/// What happens to a room. `H` is the way to a member; the room passes it on and never looks
/// into it.
#[derive(Debug)]
pub enum Input<H> {
    /// Somebody enters, superseding an older session of the same id.
    Join {
        /// Who.
        seat: Seat,
        /// Display name.
        name: PeerName,
        /// The state to start with.
        state: StatePatch,
        /// What the room is to be set to, where this join makes it.
        settings: SettingsPatch,
        /// Whether it has been here before.
        comeback: Comeback,
        /// What it was granted.
        grant: Grant,
        /// The way to this member.
        handle: H,
    },
    /// A member's socket is lost: it has the room's window to come back (R52).
    Lose {
        /// Who.
        seat: Seat,
        /// Why it leaves, if it does not.
        reason: LeaveReason,
        /// Where what is sent to it waits.
        handle: H,
    },
    /// A member goes on over another socket, lost or not, and has missed nothing (R53).
    Return {
        /// Who, in its new session.
        seat: Seat,
        /// The way to this member.
        handle: H,
    },
    /// A member is gone.
    Leave {
        /// Who.
        seat: Seat,
        /// Why, as the others are told.
        reason: LeaveReason,
    },
    /// A frame for one member.
    Signal {
        /// The sender.
        from: Seat,
        /// The receiver; `None` where the sender named what is nobody's id.
        to: Option<PeerId>,
        /// Complete, with the sender's id in it.
        frame: Frame,
    },
    /// A frame for everybody but the sender.
    Broadcast {
        /// The sender.
        from: Seat,
        /// Complete, with the sender's id in it.
        frame: Frame,
    },
    /// A member changes its state.
    State {
        /// Who.
        seat: Seat,
        /// What changes.
        patch: StatePatch,
    },
    /// A host decides.
    Moderate {
        /// The host.
        seat: Seat,
        /// What.
        act: Moderation,
    },
    /// A member asks for the roster.
    Sync {
        /// Who.
        seat: Seat,
    },
    /// Whoever runs the server sends somebody away, who is in or waits.
    Evict {
        /// Whom.
        id: PeerId,
    },
    /// Whoever runs the server ends the meeting.
    End,
    /// Nobody who is lost can come back any more: the server goes away.
    GiveUp,
    /// A frame of the server's own for one member.
    Tell {
        /// The receiver.
        to: PeerId,
        /// Complete.
        frame: Frame,
    },
    /// The time of an [`Effect::WakeAt`] has come.
    Tick,
}

/// What has to be done, in this order.
#[derive(Debug)]
pub enum Effect<'a, H> {
    /// Tell a new member that it is in: its first message.
    Welcome {
        /// The new member.
        seat: Seat,
        /// The way there.
        to: &'a H,
        /// The roster's version.
        version: u64,
        /// The member itself.
        own: &'a Peer,
        /// What the member may do.
        permissions: Permissions,
        /// What the room is set to.
        settings: Settings,
        /// Whether it has been here before.
        comeback: Comeback,
        /// Everybody else, in the order in which they joined.
        peers: Vec<&'a Peer>,
    },
    /// Send a frame to a member.
    Send {
        /// To whom; a full outbox is reported back by [`Input::Leave`] of this seat.
        seat: Seat,
        /// The way there.
        to: &'a H,
        /// What.
        frame: Frame,
    },
    /// Take note that somebody is no member any more.
    Departed {
        /// As it was last.
        peer: &'a Peer,
        /// Why; `None` where the meeting was ended.
        reason: Option<LeaveReason>,
    },
    /// Close a connection that is no member's any more.
    Close {
        /// Which.
        handle: H,
        /// Why.
        code: CloseCode,
    },
    /// Give [`Input::Tick`] at this time.
    WakeAt(Duration),
}

/// Why an input had no effect.
#[derive(Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The room has as many members as it takes.
    RoomFull,
    /// The room is locked.
    RoomLocked,
    /// The sender's role does not allow it; the sentence says what would.
    NotAllowed(&'static str),
    /// The sender waits in the lobby.
    NotAdmitted,
    /// The seat is not, or no longer, in this room.
    NotMember,
    /// The receiver is not in this room.
    PeerNotFound,
    /// The receiver is the sender.
    SignalToSelf,
    /// The state would break R20; the sentence says how.
    StateInvalid(String),
    /// The message's number leaves a gap; this one would be right.
    OutOfSequence(u64),
    /// What several servers have to decide waits already, as much as may (R78). Said by no room.
    Busy,
    /// It comes with the secret of a stay that was ended (R56). Said by no room.
    Dismissed(CloseCode),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Member<H> {
    pub(super) session: u64,
    /// The roster's version with which it came: the order of joining.
    pub(super) since: u64,
    /// What it came by.
    pub(super) grant: Grant,
    pub(super) peer: Peer,
    pub(super) handle: H,
    /// Its socket is lost: until when it may come back, and why it leaves if it does not.
    pub(super) lost: Option<(Duration, LeaveReason)>,
}

/// One room. It lives from its first join until [`Room::is_empty`]. Serialised it is a snapshot: what is read back goes
/// on just alike.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Room<H> {
    pub(super) capacity: usize,
    /// How long a member may be lost (R52).
    pub(super) window: Duration,
    /// Whether it makes hosts of its members: the first one, and heirs (R36).
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

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
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
        members.into_iter().map(|member| (&member.peer, &member.handle))
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
            Input::State { seat, patch } => self.change_state(now, seat, patch, emit),
            Input::Join { .. } => self.join(now, input, emit),
            Input::Moderate { seat, act } => self.moderate(now, seat, act, emit),
            Input::Leave { seat, .. } | Input::Lose { seat, .. } if self.is_waiting(seat) => {
                self.stop_waiting(seat.id, emit).map(drop)
            }
            Input::Leave { seat, reason } => self.leave(seat, reason, emit).map(drop),
            Input::Lose { seat, reason, handle } => self.lose(now, seat, reason, handle, emit),
            Input::Return { seat, handle } => self.take_back(seat, handle, emit),
            Input::Sync { seat } => self.sync(now, seat, emit),
            Input::Evict { id } => self.evict(id, emit),
            Input::End => {
                self.end(emit);
                Ok(())
            }
            Input::GiveUp => {
                self.window = Duration::ZERO;
                self.expire(Duration::MAX, emit);
                Ok(())
            }
            Input::Tell { to, frame } => {
                emit(self.members.get(&to).ok_or(Refusal::PeerNotFound)?.send(frame));
                Ok(())
            }
            Input::Tick => {
                self.expire(now, emit);
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
        let Input::Join { seat, name, state, settings, comeback, grant, handle } = join else { return Ok(()) };
        let state = state.apply(&State::new()).map_err(Refusal::StateInvalid)?;
        let old = self.members.get(&seat.id).map(|old| (Seat { id: seat.id, session: old.session }, old.peer.role));
        let door = self.door(seat.id, old.map(|(_, role)| role), grant)?;
        // A lobby or a lock that nobody could open again is none.
        if self.is_empty() && matches!(door, Door::In(Role::Host)) {
            self.house.settings = settings.apply(self.house.settings);
        }
        if let Some((old, _)) = old {
            let handle = self.leave(old, LeaveReason::Superseded, emit)?;
            emit(Effect::Close { handle, code: CloseCode::Superseded });
        }
        let mut peer = Peer { id: seat.id, name, role: Role::default(), state, link: Link::Ok };
        match door {
            Door::In(role) => {
                // It waited, and has come again with a grant that opens the door.
                if let Ok(handle) = self.stop_waiting(seat.id, emit) {
                    emit(Effect::Close { handle, code: CloseCode::Superseded });
                }
                peer.role = role;
                self.enter(now, seat, peer, grant, comeback, handle, emit);
            }
            Door::Lobby => self.wait(seat, peer, grant, comeback, handle, emit),
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
        emit: &mut impl FnMut(Effect<'_, H>),
    ) {
        peer.state = grant.permissions.quieted(peer.role.quieted(peer.state));
        // The snapshot must not contain what the others have not been told (R23).
        self.announce_states(now, emit);
        self.version += 1;
        let version = self.version;
        let frame = ServerMessage::PeerJoined { version, peer: &peer }.to_frame();
        // First reachable, then announced (R15).
        let member = Member { session: seat.session, since: version, grant, peer, handle, lost: None };
        self.members.insert(seat.id, member);
        if let Some(Member { peer: own, handle: to, .. }) = self.members.get(&seat.id) {
            let (permissions, settings, peers) = (grant.permissions, self.house.settings, self.others(seat.id));
            emit(Effect::Welcome { seat, to, version, own, permissions, settings, comeback, peers });
        }
        self.send_to_all(Some(seat.id), &frame, emit);
        self.show_lobby_to(seat.id, emit);
    }

    pub(super) fn leave(
        &mut self,
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
            LeaveReason::Removed | LeaveReason::Unauthorized => self.house.forget(seat.id),
            _ => self.house.remember(seat.id, member.peer.role),
        }
        if self.is_empty() {
            self.disband(emit);
        } else {
            self.crown_heir(emit);
        }
        Ok(member.handle)
    }

    fn change_state(
        &mut self,
        now: Duration,
        seat: Seat,
        patch: StatePatch,
        emit: &mut impl FnMut(Effect<'_, H>),
    ) -> Result<(), Refusal> {
        let member = self.check(seat)?;
        let state = patch.apply(&member.peer.state).map_err(Refusal::StateInvalid)?;
        if state == member.peer.state {
            return Ok(());
        }
        if !member.peer.role.may_have(&state) {
            return Err(Refusal::NotAllowed("Listeners send nothing; raise a hand to be let speak."));
        }
        if !member.grant.permissions.may_have(&state) {
            return Err(Refusal::NotAllowed(NOT_PERMITTED));
        }
        if let Some(member) = self.members.get_mut(&seat.id) {
            member.peer.state = state;
        }
        self.state_changed(now, seat.id, emit);
        Ok(())
    }

    pub(super) fn state_changed(&mut self, now: Duration, id: PeerId, emit: &mut impl FnMut(Effect<'_, H>)) {
        if !self.changed.contains(&id) {
            self.changed.push(id);
        }
        if !self.waking {
            self.announce_or_wait(now, emit);
        }
    }

    /// A tick may come early: it is of an earlier room of this name, or a snapshot has announced
    /// states since it was asked for.
    fn announce_or_wait(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if now >= self.quiet_until {
            self.announce_states(now, emit);
        } else if !self.changed.is_empty() {
            self.waking = true;
            emit(Effect::WakeAt(self.quiet_until));
        }
    }

    fn announce_states(&mut self, now: Duration, emit: &mut impl FnMut(Effect<'_, H>)) {
        if self.changed.is_empty() {
            return;
        }
        self.quiet_until = now + STATE_INTERVAL;
        for id in mem::take(&mut self.changed) {
            let Some(member) = self.members.get(&id) else { continue };
            self.version += 1;
            let state = &member.peer.state;
            let frame = ServerMessage::State { version: self.version, id, state }.to_frame();
            self.send_to_all(None, &frame, emit);
        }
    }

    fn sync(&mut self, now: Duration, seat: Seat, emit: &mut impl FnMut(Effect<'_, H>)) -> Result<(), Refusal> {
        self.check(seat)?;
        self.announce_states(now, emit);
        let member = self.check(seat)?;
        emit(member.send(self.roster(member)));
        Ok(())
    }

    pub(super) fn roster(&self, member: &Member<H>) -> Frame {
        let (role, settings) = (member.peer.role, self.house.settings);
        ServerMessage::Roster { version: self.version, peers: self.others(member.peer.id), role, settings }.to_frame()
    }

    pub(super) fn others(&self, id: PeerId) -> Vec<&Peer> {
        self.members().map(|(peer, _)| peer).filter(|peer| peer.id != id).collect()
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

    pub(super) fn send(&self, frame: Frame) -> Effect<'_, H> {
        let seat = Seat { id: self.peer.id, session: self.session };
        Effect::Send { seat, to: &self.handle, frame }
    }
}
