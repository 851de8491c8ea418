//! The operator's view of the rooms, and actions on them.

use std::sync::Arc;

use serde::Serialize;

use super::{Held, Hub, lock};
use crate::cluster::{ServerId, Way};
use crate::core::session::Load;
use crate::core::{Act, Input, Refusal, Room};
use crate::outbox::Outbox;
use crate::protocol::{Peer, PeerId, RoomName, Settings, Waiting, has_sign};

/// Public information about a room (R35).
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// Number of members.
    pub members: usize,
    /// Settings of the room.
    pub settings: Settings,
    /// Set if a host records the room to the server.
    pub recorded: bool,
}

/// Summary of a room in a list.
#[derive(Debug, Serialize)]
pub struct RoomSummary {
    /// Name of the room.
    pub room: String,
    /// Number of members.
    pub members: usize,
    /// Number of participants in the lobby.
    pub waiting: usize,
    /// Settings of the room.
    pub settings: Settings,
}

/// A room and its participants.
#[derive(Debug, Serialize)]
pub struct RoomDetail {
    /// Name of the room.
    pub room: String,
    /// Version of the roster.
    pub version: u64,
    /// Settings of the room.
    pub settings: Settings,
    /// Members, in order of joining.
    pub members: Vec<Placed>,
    /// Lobby, in order of arrival.
    pub waiting: Vec<Waiting>,
}

/// A member and its location.
#[derive(Debug, Serialize)]
pub struct Placed {
    /// Roster entry of the member.
    #[serde(flatten)]
    pub peer: Peer,
    /// Server that has its session, if there may be several; also `None` if that server is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// View of a room, whether other servers may have it or not.
struct View<'a> {
    version: u64,
    settings: Settings,
    members: Vec<(&'a Peer, Option<ServerId>)>,
    waiting: Vec<&'a Waiting>,
}

impl Held {
    /// Returns a view of the room, or `None` if it is over.
    fn view(&self) -> Option<View<'_>> {
        fn of<H>(room: &Room<H>, home: impl Fn(&H) -> Option<ServerId>) -> Option<View<'_>> {
            (!room.is_over()).then(|| View {
                version: room.version(),
                settings: room.settings(),
                members: room.members().map(|(peer, handle)| (peer, home(handle))).collect(),
                waiting: room.waiting().collect(),
            })
        }
        match self {
            Self::Own(room) => of(room, |_| None),
            Self::Shared(shared) => of(shared.room()?, |way| Some(way.home?.server)),
        }
    }
}

impl Hub {
    /// Returns the ID of this server and whether the store can be reached, or `None` without a store.
    pub fn among(&self) -> Option<(ServerId, bool)> {
        self.engine.as_ref().map(|engine| (engine.server(), engine.is_connected()))
    }

    /// Returns the fill levels of all outboxes, also of disconnected members.
    pub fn loads(&self) -> Vec<Load> {
        let load = |outbox: &Arc<Outbox>| outbox.load();
        let of_room = |held: &Held| match held {
            Held::Own(room) => room.handles().map(load).collect::<Vec<_>>(),
            Held::Shared(shared) => shared.share.locals().map(|(_, outbox, _)| load(outbox)).collect(),
        };
        self.shards.iter().flat_map(|shard| lock(shard).values().flat_map(of_room).collect::<Vec<_>>()).collect()
    }

    /// Returns public information about a room, or `None` if there is no such room.
    pub fn occupancy(&self, room: &RoomName) -> Option<Occupancy> {
        let rooms = self.lock(room);
        let View { settings, members, .. } = rooms.get(room)?.view()?;
        let recorded = members.iter().any(|(peer, _)| has_sign(&peer.state));
        Some(Occupancy { members: members.len(), settings, recorded })
    }

    /// Returns the rooms whose name contains `search`, ignoring case: those after `after`, in order of their names and
    /// up to `limit`. Also returns the number of all such rooms, and whether more follow.
    pub fn rooms(&self, search: &str, after: Option<&str>, limit: usize) -> (Vec<RoomSummary>, usize, bool) {
        let (mut total, mut found) = (0, Vec::new());
        let search = search.to_lowercase();
        let sought = |name: &RoomName| search.is_empty() || name.as_str().to_lowercase().contains(&search);
        for shard in &self.shards {
            for (name, held) in lock(shard).iter().filter(|(name, _)| sought(name)) {
                let Some(view) = held.view() else { continue };
                total += 1;
                if after.is_none_or(|after| name.as_str() > after) {
                    found.push(RoomSummary {
                        room: name.as_str().to_owned(),
                        members: view.members.len(),
                        waiting: view.waiting.len(),
                        settings: view.settings,
                    });
                }
            }
        }
        found.sort_unstable_by(|a, b| a.room.cmp(&b.room));
        let more = found.len() > limit;
        found.truncate(limit);
        (found, total, more)
    }

    /// Returns a room and its participants, or `None` if there is no such room.
    pub fn look(&self, name: &RoomName) -> Option<RoomDetail> {
        let rooms = self.lock(name);
        let View { version, settings, members, waiting } = rooms.get(name)?.view()?;
        Some(RoomDetail {
            room: name.as_str().to_owned(),
            version,
            settings,
            members: members
                .into_iter()
                .map(|(peer, server)| Placed { peer: peer.clone(), server: server.map(|id| id.to_string()) })
                .collect(),
            waiting: waiting.into_iter().cloned().collect(),
        })
    }

    /// Removes a member or rejects a waiting participant; `NotMember` if there is no such room. If other servers have
    /// the room, they have to agree first, and the removal follows a moment later.
    pub fn evict(self: &Arc<Self>, room: &RoomName, id: PeerId) -> Result<(), Refusal> {
        self.with(room, |held| match held {
            Held::Own(own) => self.apply(room, own, Input::Evict { id }),
            Held::Shared(shared) => {
                let waits = |at: &Room<Way>| at.waiting().any(|guest| guest.id == id);
                match shared.room().filter(|at| !at.is_over()) {
                    None => Err(Refusal::NotMember),
                    Some(at) if at.way_to(id).is_none() && !waits(at) => Err(Refusal::PeerNotFound),
                    Some(_) => self.act(room, shared, Act::Evict { id }, None, None).map(drop),
                }
            }
        })
    }

    /// Ends the meeting in a room; `NotMember` if there is no such room. If other servers have it, that follows a
    /// moment later.
    pub fn close_room(self: &Arc<Self>, room: &RoomName) -> Result<(), Refusal> {
        self.with(room, |held| match held {
            Held::Own(own) => self.apply(room, own, Input::End),
            Held::Shared(shared) if shared.room().is_some_and(|at| !at.is_over()) => {
                self.act(room, shared, Act::End, None, None).map(drop)
            }
            Held::Shared(_) => Err(Refusal::NotMember),
        })
    }
}
