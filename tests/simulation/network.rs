//! Simulated connections. Bytes arrive late, in pieces of any size, in order, and possibly not completely.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bytes that the kernel buffers for a reader that does not read.
const CAPACITY: usize = 8 * 1024;

/// Faults of one connection.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Latency of a byte in milliseconds: minimum, and maximum addition.
    pub delay: (u64, u64),
    /// Maximum bytes that arrive at once; 0 for no limit.
    pub piece: usize,
    /// Premature end of the connection.
    pub cut: Option<Cut>,
}

/// Premature end of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Both sides receive a reset after so many bytes in one direction. Bytes in transit are lost.
    Reset { up: bool, after: usize },
    /// Nothing passes in either direction after so many bytes in one direction, and neither side is notified.
    Deaf { up: bool, after: usize },
    /// The server receives the end of the stream after so many bytes upward, as from a client that has exited.
    Half { after: usize },
}

/// One end of a connection. The real code reads and writes the server's end; [`End::send`] and [`End::receive`] are for
/// the client's.
pub struct End {
    wire: Arc<Mutex<Wire>>,
    /// Direction that this end writes.
    writes: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Wire {
    weather: Weather,
    random: fastrand::Rng,
    ways: [Way; 2],
    reset: bool,
    deaf: bool,
}

/// One direction: 0 is up, to the server.
#[derive(Debug, Default)]
struct Way {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    passed: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

const UP: usize = 0;
const DOWN: usize = 1;

/// Makes a connection. Returns the client's end and the server's.
pub fn connect(weather: Weather, random: fastrand::Rng) -> (End, End) {
    let ways = [Way::default(), Way::default()];
    let wire = Arc::new(Mutex::new(Wire { weather, random, ways, reset: false, deaf: false }));
    let end = |writes| End { wire: Arc::clone(&wire), writes, sleep: None };
    (end(UP), end(DOWN))
}

impl Wire {
    fn put(&mut self, way: usize, bytes: &[u8]) {
        let (least, more) = self.weather.delay;
        let delay = least + self.random.u64(0..=more);
        let way = &mut self.ways[way];
        let at = Instant::now() + Duration::from_millis(delay);
        // Bytes of one connection stay in order.
        let at = way.under_way.back().map_or(at, |(last, _)| at.max(*last));
        way.bytes += bytes.len();
        way.under_way.push_back((at, bytes.to_vec()));
        wake(&mut way.reader);
    }

    /// Returns how many bytes may still pass before the cut.
    fn left(&self, way: usize) -> usize {
        match self.weather.cut {
            Some(Cut::Reset { up, after } | Cut::Deaf { up, after }) if up == (way == UP) => {
                after - self.ways[way].passed
            }
            Some(Cut::Half { after }) if way == UP => after - self.ways[UP].passed,
            _ => usize::MAX,
        }
    }

    fn cut(&mut self) {
        match self.weather.cut {
            Some(Cut::Deaf { .. }) => self.deaf = true,
            Some(Cut::Half { .. }) => self.ways[UP].ended = true,
            _ => self.reset(),
        }
    }

    fn reset(&mut self) {
        self.reset = true;
        for way in &mut self.ways {
            wake(&mut way.reader);
            wake(&mut way.writer);
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl End {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().expect("no panic under this lock")
    }

    /// Removes a cut that has not happened yet.
    pub fn clear(&self) {
        self.wire().weather.cut = None;
    }

    /// Returns the bytes that have passed, up and down.
    pub fn passed(&self) -> [usize; 2] {
        let wire = self.wire();
        [wire.ways[UP].passed, wire.ways[DOWN].passed]
    }

    /// Sends without waiting: bytes that the server does not read yet stay in transit.
    pub fn send(&self, bytes: &[u8]) {
        let mut wire = self.wire();
        if !wire.reset && !wire.ways[self.writes].ended {
            wire.put(self.writes, bytes);
        }
    }

    /// Receives bytes. Returns `false` if the connection has ended. Cancel-safe.
    pub async fn receive(&mut self, into: &mut Vec<u8>) -> bool {
        let mut piece = [0; 4096];
        let mut piece = ReadBuf::new(&mut piece);
        let read = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut piece)).await;
        into.extend_from_slice(piece.filled());
        read.is_ok() && !piece.filled().is_empty()
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let until = {
                let mut wire = self.wire();
                let at = 1 - self.writes;
                if wire.reset {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                let left = wire.left(at);
                if left == 0 && !wire.deaf && !wire.ways[at].ended {
                    wire.cut();
                    continue;
                }
                let (deaf, piece) = (wire.deaf, wire.weather.piece);
                let piece = if piece == 0 { usize::MAX } else { wire.random.usize(1..=piece) };
                let way = &mut wire.ways[at];
                way.reader = Some(cx.waker().clone());
                if deaf {
                    return Poll::Pending;
                }
                if way.ended && (way.under_way.is_empty() || left == 0) {
                    return Poll::Ready(Ok(()));
                }
                let Some((time, bytes)) = way.under_way.front_mut() else { return Poll::Pending };
                if *time <= Instant::now() {
                    let len = bytes.len().min(buf.remaining()).min(piece).min(left);
                    buf.put_slice(&bytes[..len]);
                    bytes.drain(..len);
                    if bytes.is_empty() {
                        way.under_way.pop_front();
                    }
                    way.bytes -= len;
                    way.passed += len;
                    wake(&mut way.writer);
                    return Poll::Ready(Ok(()));
                }
                *time
            };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if sleep.deadline() != until {
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        if wire.reset || wire.ways[self.writes].ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let free = CAPACITY.saturating_sub(wire.ways[self.writes].bytes);
        if free == 0 {
            wire.ways[self.writes].writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = bytes.len().min(free);
        wire.put(self.writes, &bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        let way = &mut wire.ways[self.writes];
        way.ended = true;
        wake(&mut way.reader);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    /// Bytes that were sent still arrive, as with a closed socket. Nothing can be received any more.
    fn drop(&mut self) {
        let mut wire = self.wire();
        let other = 1 - self.writes;
        for way in [self.writes, other] {
            wire.ways[way].ended = true;
            wake(&mut wire.ways[way].reader);
            wake(&mut wire.ways[way].writer);
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End({})", self.writes)
    }
}
