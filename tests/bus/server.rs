//! A server as a client of the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use roundtable::cluster::bus::{Answer, Bus, Event, Request, Unavailable};
use roundtable::cluster::wire::{Entry, Incarnation};
use roundtable::cluster::{Post, ServerId};
use roundtable::core::{Act, Seat};
use roundtable::protocol::{PeerId, RoomName, StatePatch, StateValue};
use tokio::sync::mpsc;

/// Deadline of every step, generous enough for a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

static SERVERS: AtomicU64 = AtomicU64::new(0);

/// Returns a new 64-bit ID.
pub fn new_id() -> ServerId {
    ServerId(u64::MAX - SERVERS.fetch_add(1, Ordering::Relaxed))
}

/// Returns a new room.
pub fn new_room() -> RoomName {
    RoomName::new(&format!("room {}", SERVERS.fetch_add(1, Ordering::Relaxed))).unwrap()
}

pub struct Server {
    pub id: ServerId,
    pub bus: Arc<dyn Bus>,
    pub events: mpsc::Receiver<Event>,
    lives: u64,
}

impl Server {
    pub fn new(id: ServerId, bus: Arc<dyn Bus>, events: mpsc::Receiver<Event>) -> Self {
        Self { id, bus, events, lives: 0 }
    }

    pub async fn event(&mut self) -> Event {
        tokio::time::timeout(LONG, self.events.recv()).await.expect("an event").expect("a bus")
    }

    pub async fn connected(&mut self) {
        assert!(matches!(self.event().await, Event::Connected));
    }

    /// Skips events until the server is disconnected.
    pub async fn disconnected(&mut self) {
        while !matches!(self.event().await, Event::Disconnected) {}
    }

    /// Returns the next event, which must be an entry of this room.
    pub async fn entry(&mut self, room: &RoomName) -> (Incarnation, Entry) {
        match self.event().await {
            Event::Entry(of, incarnation, entry) if of == *room => (incarnation, entry),
            other => panic!("{other:?} is no entry of {room:?}"),
        }
    }

    pub async fn told(&mut self, room: &RoomName) -> Bytes {
        match self.event().await {
            Event::Told(of, bytes) if of == *room => bytes,
            other => panic!("{other:?} is no message in {room:?}"),
        }
    }

    pub fn post(&mut self) -> Post {
        self.lives += 1;
        Post { server: self.id, life: self.lives }
    }

    pub async fn try_ask(&self, room: &RoomName, request: Request) -> Result<Answer, Unavailable> {
        self.bus.ask(room, request).await
    }

    pub async fn ask(&self, room: &RoomName, request: Request) -> Answer {
        self.try_ask(room, request).await.expect("an answer")
    }

    /// Attaches to a room and reads the entry about it.
    pub async fn attach(&mut self, room: &RoomName) -> Place {
        let post = self.post();
        let answer = self.ask(room, Request::Attach { post, after: None }).await;
        let Answer::Attached { incarnation, number, others, .. } = answer else { panic!("{answer:?}") };
        let (of, entry) = self.entry(room).await;
        assert_eq!((of, entry.number), (incarnation, number));
        Place { post, incarnation, number, others }
    }

    /// Asserts that no event is pending: everything published before a request arrives before its answer.
    pub async fn nothing_came(&mut self, room: &RoomName, place: &Place) {
        let Place { post, incarnation, .. } = *place;
        self.ask(room, Request::Fetch { post, incarnation, after: 0 }).await;
        assert!(self.events.try_recv().is_err());
    }
}

/// Attachment of a server to a room.
#[derive(Debug)]
pub struct Place {
    pub post: Post,
    pub incarnation: Incarnation,
    pub number: u64,
    pub others: Vec<Post>,
}

impl Place {
    pub fn append(&self, acts: Vec<(u64, Act)>) -> Request {
        Request::Append { post: self.post, incarnation: self.incarnation, acts }
    }

    pub fn fetch(&self, after: u64) -> Request {
        Request::Fetch { post: self.post, incarnation: self.incarnation, after }
    }

    pub fn detach(&self) -> Request {
        Request::Detach { post: self.post, incarnation: self.incarnation }
    }
}

/// Makes an act that is identified by its session.
pub fn act(session: u64) -> Act {
    Act::Sync { seat: Seat { id: PeerId::from_random([7; PeerId::LEN]), session } }
}

/// Makes a state change with a text of this length.
pub fn act_of(bytes: usize) -> Act {
    let seat = Seat { id: PeerId::from_random([7; PeerId::LEN]), session: 1 };
    Act::State { seat, patch: StatePatch::from([("text", Some(StateValue::Text("x".repeat(bytes).into())))]) }
}
