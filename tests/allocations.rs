//! How often the relay path asks for memory, as an exact number: a message that is copied or
//! decoded once more than needed shows here before it shows in a benchmark.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use roundtable::protocol::client::{Request, parse};
use roundtable::protocol::{Frame, PeerId, server};

/// The system's allocator, which counts what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and nobody who would read it.
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

// SAFETY: every call is passed on to `System` unchanged; counting touches only a thread-local
// that needs neither memory nor a destructor.
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

/// What `work` returns and how many allocations this thread made in it.
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

#[test]
fn sharing_a_frame_among_fifty_members_allocates_once() {
    let from = PeerId::from_random([7; PeerId::LEN]);
    let frame = relay(&message("broadcast", 200), from);
    let mut outboxes = Vec::with_capacity(49);
    let ((), allocations) = counted(|| outboxes.extend(std::iter::repeat_n(frame, 49)));
    assert_eq!(allocations, 1, "the count of who shares the bytes");
}
