//! An engine within the process: several servers of one process may share it. It is lost with the process.

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

/// The engine. It takes its time from tokio's clock, which may stand still in a test.
#[derive(Clone, Debug)]
pub struct LocalEngine(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    records: Records,
    servers: BTreeMap<ServerId, Server>,
    reachable: bool,
    /// The clock at this moment.
    began: (Duration, Instant),
}

#[derive(Debug)]
struct Server {
    events: mpsc::Sender<Event>,
    /// Rooms whose entries and messages it gets.
    rooms: HashSet<RoomName>,
}

/// One server's way to it, which ends when it is dropped. What its channel of events has no room for is lost.
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
    /// An engine that knows nothing.
    pub fn new() -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(Arc::new(Mutex::new(State {
            records: Records::new(Limits::default()),
            servers: BTreeMap::new(),
            reachable: true,
            began: (clock, Instant::now()),
        })))
    }

    /// A server's way here.
    pub fn connect(&self, server: ServerId, events: mpsc::Sender<Event>) -> Local {
        let mut state = self.state();
        if state.reachable {
            emit(&events, Event::Connected);
        }
        state.servers.insert(server, Server { events, rooms: HashSet::new() });
        Local { engine: self.clone(), server }
    }

    /// Can be reached by nobody from now on, or by all again; waits until all have taken the event of it.
    pub async fn set_reachable(&self, reachable: bool) {
        let told: Vec<_> = {
            let mut state = self.state();
            let changed = std::mem::replace(&mut state.reachable, reachable) != reachable;
            state.servers.values().filter(|_| changed).map(|server| server.events.clone()).collect()
        };
        for events in told {
            // Who has gone meanwhile need not know.
            let _ = events.send(if reachable { Event::Connected } else { Event::Disconnected }).await;
        }
    }

    /// Sets how much is kept from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.state().records.set_limits(limits);
    }

    /// Forgets everything, as an engine without persistence does when it is begun anew.
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

    /// What arrives, if the engine can be reached and that server is in the room.
    fn publish(servers: &BTreeMap<ServerId, Server>, room: &RoomName, to: ServerId, event: Event) {
        if let Some(server) = servers.get(&to).filter(|server| server.rooms.contains(room)) {
            emit(&server.events, event);
        }
    }
}

fn emit(events: &mpsc::Sender<Event>, event: Event) {
    // Full, or nobody listens.
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
