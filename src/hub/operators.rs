//! What whoever runs the server sees of rooms, and does to them.

use std::sync::Arc;

use serde::Serialize;

use super::{Held, Hub, lock};
use crate::cluster::{ServerId, Way};
use crate::core::session::Load;
use crate::core::{Act, Input, Refusal, Room};
use crate::outbox::Outbox;
use crate::protocol::{Peer, PeerId, RoomName, Settings, Waiting, has_sign};

/// What anybody may know of a room (R35).
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// How many are in it.
    pub members: usize,
    /// What it is set to.
    pub settings: Settings,
    /// Whether a host records it to the server.
    pub recorded: bool,
}

/// A room in a list.
#[derive(Debug, Serialize)]
pub struct RoomSummary {
    /// Its name.
    pub room: String,
    /// How many are in it.
    pub members: usize,
    /// How many wait before it.
    pub waiting: usize,
    /// What it is set to.
    pub settings: Settings,
}

/// A room, and who is there.
#[derive(Debug, Serialize)]
pub struct RoomDetail {
    /// Its name.
    pub room: String,
    /// The roster's version.
    pub version: u64,
    /// What it is set to.
    pub settings: Settings,
    /// In the order in which they joined.
    pub members: Vec<Placed>,
    /// In the order in which they came.
    pub waiting: Vec<Waiting>,
}

/// A member, and where it is.
#[derive(Debug, Serialize)]
pub struct Placed {
    /// As the others see it.
    #[serde(flatten)]
    pub peer: Peer,
    /// The server that has its session, where there may be several; `None` too where that server is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

/// What is to be seen of a room, whoever has it.
struct View<'a> {
    version: u64,
    settings: Settings,
    members: Vec<(&'a Peer, Option<ServerId>)>,
    waiting: Vec<&'a Waiting>,
}

impl Held {
    /// `None` where the room is over.
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
    /// Where there is an engine between servers: who this one is, and whether the engine can be reached.
    pub fn among(&self) -> Option<(ServerId, bool)> {
        self.engine.as_ref().map(|engine| (engine.server(), engine.is_connected()))
    }

    /// How full the outboxes of everybody are, lost or not.
    pub fn loads(&self) -> Vec<Load> {
        let load = |outbox: &Arc<Outbox>| outbox.load();
        let of_room = |held: &Held| match held {
            Held::Own(room) => room.handles().map(load).collect::<Vec<_>>(),
            Held::Shared(shared) => shared.share.locals().map(|(_, outbox, _)| load(outbox)).collect(),
        };
        self.shards.iter().flat_map(|shard| lock(shard).values().flat_map(of_room).collect::<Vec<_>>()).collect()
    }

    /// How many are in a room, what it is set to, and whether it is recorded here; `None` where there is no such room.
    pub fn occupancy(&self, room: &RoomName) -> Option<Occupancy> {
        let rooms = self.lock(room);
        let View { settings, members, .. } = rooms.get(room)?.view()?;
        let recorded = members.iter().any(|(peer, _)| has_sign(&peer.state));
        Some(Occupancy { members: members.len(), settings, recorded })
    }

    /// Rooms by name, those behind `after`, `limit` at most, of those with `search` in their names, whatever its case; of
    /// how many in all, and whether there are more behind.
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

    /// A room and who is in it; `None` where there is no such room.
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

    /// Sends somebody away; `NotMember` where there is no such room. Where others have the room, they have to agree
    /// first, and it is done a moment later.
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

    /// Sends everybody in a room away; `NotMember` where there is no such room. The same holds where others have it.
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
