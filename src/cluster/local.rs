//! A store within the process, which several servers of one process may share. Its data ends with the process.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::bus::{Answer, Bus, Event, Reply, Request, Unavailable};
use super::records::{Limits, Records};
use super::wire::ServerId;
use crate::protocol::RoomName;

/// In-process store. It uses tokio's clock, which may be paused in a test.
#[derive(Clone, Debug)]
pub struct LocalEngine(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    records: Records,
    servers: BTreeMap<ServerId, Server>,
    reachable: bool,
    /// The store's clock at this instant.
    began: (Duration, Instant),
}

#[derive(Debug)]
struct Server {
    events: mpsc::Sender<Event>,
    /// Rooms whose entries and messages this server gets.
    rooms: HashSet<RoomName>,
}

/// Connection of one server to the store, which ends when dropped. Events that its channel has no space for are lost.
#[derive(Debug)]
pub struct Local {
    engine: LocalEngine,
    server: ServerId,
}

impl Default for LocalEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalEngine {
    /// Creates an empty store.
    pub fn new() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(Mutex::new(State {
            records: Records::new(Limits::default()),
            servers: BTreeMap::new(),
            reachable: true,
            began: (clock, Instant::now()),
        })))
    }

    /// Connects a server.
    pub fn connect(&self, server: ServerId, events: mpsc::Sender<Event>) -> Local {
        let mut state = self.state();
        if state.reachable {
            emit(&events, Event::Connected);
        }
        state.servers.insert(server, Server { events, rooms: HashSet::new() });
        Local { engine: self.clone(), server }
    }

    /// Makes the store unreachable for all servers, or reachable again. Waits until all have taken the event.
    pub async fn set_reachable(&self, reachable: bool) {
        let told: Vec<_> = {
            let mut state = self.state();
            let changed = std::mem::replace(&mut state.reachable, reachable) != reachable;
            state.servers.values().filter(|_| changed).map(|server| server.events.clone()).collect()
        };
        for events in told {
            // Fails if the server is gone meanwhile.
            let _ = events.send(if reachable { Event::Connected } else { Event::Disconnected }).await;
        }
    }

    /// Sets the limits from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.state().records.set_limits(limits);
    }

    /// Deletes all data, like a restart of a store without persistence.
    pub fn forget(&self) {
        self.state().records.forget();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn now(&self) -> Duration {
        self.began.0 + self.began.1.elapsed()
    }

    /// Delivers an event to a server, if it is subscribed to the room.
    fn publish(servers: &BTreeMap<ServerId, Server>, room: &RoomName, to: ServerId, event: Event) {
        if let Some(server) = servers.get(&to).filter(|server| server.rooms.contains(room)) {
            emit(&server.events, event);
        }
    }
}

fn emit(events: &mpsc::Sender<Event>, event: Event) {
    // Fails if the channel is full or closed.
    let _ = events.try_send(event);
}

impl Local {
    fn state(&self) -> Result<MutexGuard<'_, State>, Unavailable> {
        let state = self.engine.state();
        if state.reachable { Ok(state) } else { Err(Unavailable) }
    }

    fn carry_out(&self, room: &RoomName, request: Request) -> Result<Answer, Unavailable> {
        let mut state = self.state()?;
        let now = state.now();
        let State { records, servers, .. } = &mut *state;
        if let (Request::Attach { .. }, Some(server)) = (&request, servers.get_mut(&self.server)) {
            server.rooms.insert(room.clone());
        }
        Ok(records.ask(now, room, request, &mut |to, incarnation, entry| {
            State::publish(servers, room, to, Event::Entry(room.clone(), incarnation, entry));
        }))
    }
}

impl Bus for Local {
    fn ask(&self, room: &RoomName, request: Request) -> Reply<Answer> {
        std::future::ready(self.carry_out(room, request)).boxed()
    }

    fn tell(&self, room: &RoomName, to: ServerId, bytes: Bytes) {
        if let Ok(state) = self.state() {
            State::publish(&state.servers, room, to, Event::Told(room.clone(), bytes));
        }
    }

    fn forget(&self, room: &RoomName) {
        if let Some(server) = self.engine.state().servers.get_mut(&self.server) {
            server.rooms.remove(room);
        }
    }

    fn renew(&self, lease: Duration) -> Reply<bool> {
        let renewed = self.state().map(|mut state| {
            let now = state.now();
            state.records.renew(now, self.server, lease)
        });
        std::future::ready(renewed).boxed()
    }

    fn living(&self, servers: &[ServerId]) -> Reply<Vec<ServerId>> {
        let living = self.state().map(|state| state.records.living(state.now(), servers.iter().copied()));
        std::future::ready(living).boxed()
    }

    fn clock(&self) -> Duration {
        self.engine.state().now()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.engine.state().servers.remove(&self.server);
    }
}
