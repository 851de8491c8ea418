//! Exact allocation counts of the relay path. A message that is copied or decoded once too often shows here before it
//! shows in a benchmark.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};

use roundtable::access::ResumeKey;
use roundtable::cluster::ServerId;
use roundtable::cluster::local::LocalEngine;
use roundtable::cluster::watch::LEASE;
use roundtable::config::Cli;
use roundtable::core::Grant;
use roundtable::core::session::{Bound, Bounds};
use roundtable::greeter::Greeter;
use roundtable::hub::{Connection, Entrance, Hub, HubRules, Membership, Newcomer, Said};
use roundtable::limits::QueueAccount;
use roundtable::outbox::Outbox;
use roundtable::protocol::client::{Request, parse};
use roundtable::protocol::{Frame, Outgoing, PeerId, PeerName, RoomName, SettingsPatch, StatePatch, server};
use roundtable::telemetry::Metrics;
use roundtable::webhooks::Webhooks;

/// System allocator that counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and no test reads it.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

// SAFETY: every call is forwarded to `System` unchanged. Counting touches only a thread-local that needs neither memory
// nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` and counts the allocations of this thread.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATIONS.get();
    let result = work();
    (result, ALLOCATIONS.get() - before)
}

fn message(kind: &str, bytes: usize) -> String {
    let line = r"a=rtpmap:111 opus/48000/2\r\n".repeat(bytes / 29);
    format!(r#"{{"type":"{kind}","to":"AAAAAAAAAAAAAAAAAAAA","data":{{"sdp":"{line}"}}}}"#)
}

fn relay(text: &str, from: PeerId) -> Frame {
    match parse(text).request {
        Ok(Request::Signal { data, .. }) => server::signal(from, data),
        Ok(Request::Broadcast { data }) => server::broadcast(from, data),
        other => panic!("not relayed: {other:?}"),
    }
}

#[test]
fn reading_a_relayed_message_allocates_nothing() {
    for bytes in [200, 5_400, 60_000] {
        let text = message("signal", bytes);
        let (read, allocations) = counted(|| parse(&text).request.is_ok());
        assert!(read);
        assert_eq!(allocations, 0, "{bytes} bytes");
    }
}

#[test]
fn relaying_a_message_allocates_its_frame_once() {
    let from = PeerId::from_random([7; PeerId::LEN]);
    for kind in ["signal", "broadcast"] {
        for bytes in [200, 5_400, 60_000] {
            let text = message(kind, bytes);
            let (_frame, allocations) = counted(|| relay(&text, from));
            assert_eq!(allocations, 1, "{kind} of {bytes} bytes");
        }
    }
}

/// Makes the greeter of a server with default settings.
fn greeter() -> Greeter {
    let config = Cli::load(["roundtable".to_owned()], &[]).unwrap().config;
    Greeter::new(&config, ResumeKey::new(b"key")).unwrap()
}

/// Makes a newcomer and the socket's end of its outbox.
fn newcomer(number: u8) -> (Newcomer, Arc<Outbox>) {
    let bound = Bound { frames: 1024, bytes: 1 << 20 };
    let outbox = Arc::new(Outbox::new(Bounds { waiting: bound, replay: bound }, QueueAccount::default()));
    let newcomer = Newcomer {
        id: PeerId::from_random([number; PeerId::LEN]),
        name: PeerName::new("Ada").unwrap(),
        state: StatePatch::default(),
        settings: SettingsPatch::default(),
        named: false,
        stay: None,
        last_seq: None,
        disproved: false,
        limited_by_address: false,
        grant: Grant::default(),
        outbox: outbox.clone(),
    };
    (newcomer, outbox)
}

/// Member with the socket's end of its outbox.
struct Seated {
    membership: Membership,
    outbox: Arc<Outbox>,
    frames: VecDeque<Outgoing>,
}

impl Seated {
    fn new(hub: &Arc<Hub>, number: u8) -> Self {
        let (newcomer, outbox) = newcomer(number);
        let room = RoomName::new("allocations").unwrap();
        let membership = hub.join(&room, newcomer).unwrap().now().unwrap();
        Self { membership, outbox, frames: VecDeque::new() }
    }

    fn drain(&mut self) {
        let taken = self.outbox.poll_take(&mut Context::from_waker(Waker::noop()), &mut self.frames);
        assert!(taken.is_ready());
        self.frames.clear();
    }
}

#[test]
fn delivering_a_message_allocates_what_it_takes_to_keep_it_for_a_replay() {
    let hub = Hub::new(HubRules::open(50), greeter(), Arc::new(Metrics::new()));
    let mut member = Seated::new(&hub, 0);
    let text = message("signal", 5_400);
    let mut deliver = |number| {
        let frame = relay(&text, member.membership.id());
        let ((), allocations) = counted(|| {
            member.outbox.push(frame).unwrap();
            member.drain();
        });
        member.outbox.acknowledge(number).unwrap();
        allocations
    };
    // Warm-up: the buffers must have grown.
    for number in 1..4 {
        deliver(number);
    }
    // One for the replay's list, which is freed whenever everything is acknowledged, and one for the reference count of
    // the frame's bytes, which are not copied.
    assert_eq!(deliver(4), 2);
}

#[test]
fn a_broadcast_to_fifty_members_allocates_twice() {
    let hub = Hub::new(HubRules::open(50), greeter(), Arc::new(Metrics::new()));
    let mut members: Vec<_> = (0..50).map(|number| Seated::new(&hub, number)).collect();
    let text = message("broadcast", 200);
    let mut broadcast = || {
        let ((), allocations) = counted(|| {
            let sender = &members[0].membership;
            sender.broadcast(Said::default(), relay(&text, sender.id())).unwrap();
        });
        members[1..].iter_mut().for_each(Seated::drain);
        allocations
    };
    // Warm-up: the buffers of each outbox and its reader must have grown. The first read also takes the messages of the
    // joins.
    for _ in 0..3 {
        broadcast();
    }
    assert_eq!(broadcast(), 2, "the frame and its reference count");
}

#[test]
fn a_room_that_others_could_have_and_have_not_costs_no_allocation_more() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (sender, events) = tokio::sync::mpsc::channel(64);
        let server = ServerId(1);
        let bus = Arc::new(LocalEngine::default().connect(server, sender));
        let metrics = Arc::new(Metrics::new());
        let webhooks = Arc::new(Webhooks::new(None, Arc::clone(&metrics)));
        let engine = Some(Connection { server, lease: LEASE, bus, events });
        let hub = Hub::sharing(HubRules::open(50), greeter(), metrics, webhooks, engine);
        let follows = Arc::clone(&hub);
        tokio::spawn(async move { follows.follow().await });
        let mut members = Vec::new();
        for number in 0..50 {
            let (newcomer, outbox) = newcomer(number);
            let membership = match hub.join(&RoomName::new("allocations").unwrap(), newcomer).unwrap() {
                Entrance::In(membership) => membership,
                // The store is asked for the room once.
                Entrance::Waits(mut joining) => joining.answered().await.unwrap(),
            };
            members.push(Seated { membership, outbox, frames: VecDeque::new() });
        }
        let (text, to) = (message("broadcast", 200), members[1].membership.id());
        for kind in ["broadcast", "signal"] {
            let mut say = || {
                let ((), allocations) = counted(|| {
                    let sender = &members[0].membership;
                    let frame = relay(&text, sender.id());
                    let said = Said::default();
                    if kind == "signal" { sender.signal(said, Some(to), frame) } else { sender.broadcast(said, frame) }
                        .unwrap();
                });
                let heard = if kind == "signal" { 1..2 } else { 1..50 };
                members[heard].iter_mut().for_each(Seated::drain);
                allocations
            };
            for _ in 0..3 {
                say();
            }
            assert_eq!(say(), 2, "{kind}: the frame and its reference count");
        }
    });
}
