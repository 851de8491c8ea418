//! The WebSocket of one connection: a narrow layer, so that it can be replaced without changes to the hub.
//!
//! tungstenite reads: it parses, unmasks, checks and answers pings. Its buffer is small, and a scratch buffer of the
//! worker thread takes what the kernel has in one call. Messages are sent as the hub encoded them, straight from their
//! shared bytes, behind a frame header that is made on the stack for each write.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WsCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::protocol::{Head, MESSAGE_BYTES, Outgoing};

/// Initial size in bytes of a socket's buffer for reading. A longer message grows it, and it stays as large.
const READ_BUFFER: usize = 512;
/// Size in bytes from which a grown buffer counts towards memory limits. Most messages are shorter.
const GROWN_BUFFER: usize = 16 * 1024;
/// Number of bytes that one read takes from the kernel at most: several offers.
const SCRATCH: usize = 64 * 1024;
/// Number of bytes taken from one connection in a row without a complete message. In empty fragments these are
/// thousands of frames, whose cost could delay others. Most messages are shorter.
const TURN: usize = 8 * 1024;
/// Length in bytes of the header of a client's control frame (RFC 6455, section 5.2).
const CONTROL_HEAD: usize = 6;
/// Number of frames handed to the kernel in one call.
const BATCH: usize = 16;

thread_local! {
    /// Shared by all sockets of a worker thread. It is empty between two calls.
    static SCRATCH_BUFFER: RefCell<Scratch> = RefCell::new(Scratch { buffer: vec![0; SCRATCH].into(), filled: 0..0 });
}

/// Buffer of what one call has taken from the kernel. `filled` is the part that `reader` has not consumed.
struct Scratch {
    buffer: Box<[u8]>,
    filled: Range<usize>,
}

/// Received message or sign of life.
#[derive(Debug)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message. Its content is ignored.
    Binary,
    /// A ping or a pong: a sign of life.
    Alive,
}

/// Close code that a page sends in place of 1001, which browsers send by themselves and do not let scripts send.
const PAGE_ENDED: u16 = 3002;

/// Way in which a socket ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed it deliberately: a close frame with 1000 or no code (R24).
    Closed,
    /// The page ended and may be about to reload: a close frame with 1001 or [`PAGE_ENDED`] (R114).
    PageEnded,
    /// The connection was lost, or closed with a code that does not mean leaving.
    Lost,
    /// A message was longer than [`MESSAGE_BYTES`].
    TooLarge,
    /// A text message was not UTF-8.
    NotUtf8,
    /// Another violation of RFC 6455.
    Protocol(String),
}

/// Transport of a WebSocket: a TCP connection, or a simulated network in a test.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Stream for S {}

/// One WebSocket on one connection.
#[derive(Debug)]
pub struct Socket {
    tcp: Box<dyn Stream>,
    reader: WebSocketContext,
    /// Bytes read from the kernel and not yet consumed by `reader`.
    unread: Bytes,
    /// Frames to be sent.
    out: VecDeque<Outgoing>,
    /// Number of bytes of the first of `out` that were sent. If there are any, nothing may be sent in between.
    sent: usize,
    /// Number of bytes received since [`Socket::take_read`].
    read: usize,
    /// Number of bytes of a message that has arrived in part, with the headers of its frames.
    partial: usize,
    /// Number of bytes of the longest message so far, if it has grown the buffer much.
    grown: usize,
}

impl Socket {
    /// Takes over a connection after its upgrade. `unread` are the bytes received right behind it.
    pub fn new(tcp: impl Stream + 'static, unread: &[u8]) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let reader = WebSocketContext::new(Role::Server, Some(config));
        // A copy, mostly of nothing: the original would keep hyper's whole buffer alive.
        let unread = Bytes::copy_from_slice(unread);
        Self { tcp: Box::new(tcp), reader, unread, out: VecDeque::new(), sent: 0, read: 0, partial: 0, grown: 0 }
    }

    /// Returns the number of bytes of any kind received since the last call.
    pub fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.read)
    }

    /// Returns the size of the buffers for received data, as far as that is known.
    pub fn held_bytes(&self) -> usize {
        self.partial.max(self.grown) + self.unread.len()
    }

    /// Reads the next message.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, End>> {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let received = self.poll_receive_with(cx, scratch);
            let rest = std::mem::take(&mut scratch.filled);
            if !rest.is_empty() {
                self.unread = Bytes::copy_from_slice(&scratch.buffer[rest]);
            }
            received
        })
    }

    fn poll_receive_with(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Result<Received, End>> {
        let may_write = self.sent == 0;
        let mut io = Io {
            tcp: &mut *self.tcp,
            unread: &mut self.unread,
            scratch: Some(scratch),
            read: &mut self.read,
            turn: TURN,
            may_write,
            cx,
        };
        let result = self.reader.read(&mut io);
        self.partial += TURN - io.turn;
        match &result {
            Ok(Message::Text(_) | Message::Binary(_)) => {
                if self.partial > GROWN_BUFFER {
                    self.grown = self.grown.max(self.partial);
                }
                self.partial = 0;
            }
            // Control frames may come between the frames of a message.
            Ok(Message::Ping(payload) | Message::Pong(payload)) => {
                self.partial = self.partial.saturating_sub(CONTROL_HEAD + payload.len());
            }
            _ => {}
        }
        match result {
            Ok(Message::Text(text)) => Poll::Ready(Ok(Received::Text(text))),
            Ok(Message::Binary(_)) => Poll::Ready(Ok(Received::Binary)),
            Ok(Message::Ping(_)) => {
                // The pong is queued in `reader`. If the socket takes nothing now, it is sent later.
                let _ = self.reader.flush(&mut io);
                Poll::Ready(Ok(Received::Alive))
            }
            Ok(Message::Pong(_) | Message::Frame(_)) => Poll::Ready(Ok(Received::Alive)),
            Ok(Message::Close(frame)) => {
                let _ = self.reader.flush(&mut io);
                Poll::Ready(Err(match frame.map(|frame| frame.code) {
                    None | Some(WsCode::Normal) => End::Closed,
                    Some(WsCode::Away | WsCode::Iana(PAGE_ENDED)) => End::PageEnded,
                    Some(_) => End::Lost,
                }))
            }
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => Poll::Ready(Err(End::TooLarge)),
            Err(WsError::Utf8(_)) => Poll::Ready(Err(End::NotUtf8)),
            Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Poll::Ready(Err(End::Lost)),
            Err(WsError::Protocol(error)) => Poll::Ready(Err(End::Protocol(error.to_string()))),
            Err(_) => Poll::Ready(Err(End::Lost)),
        }
    }

    /// Returns the queue that the next [`Socket::poll_flush`] sends. Frames are added at its end.
    pub fn queue(&mut self) -> &mut VecDeque<Outgoing> {
        &mut self.out
    }

    /// Discards what is queued, except for the rest of a frame that was sent in part.
    pub fn abandon(&mut self) {
        self.out.truncate(usize::from(self.sent > 0));
    }

    /// Shuts down the sending side, then reads and discards until the peer's end: otherwise what the peer still sends
    /// would be met by a reset, which could overtake our last frame.
    pub async fn finish(mut self) {
        if self.tcp.shutdown().await.is_err() {
            return;
        }
        let mut rest = [0; 1024];
        while matches!(self.tcp.read(&mut rest).await, Ok(1..)) {}
    }

    /// Hands the queued frames to the kernel, as many at once as it takes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.sent == 0 {
            let mut io = Io {
                tcp: &mut *self.tcp,
                unread: &mut self.unread,
                scratch: None,
                read: &mut self.read,
                turn: 0,
                may_write: true,
                cx,
            };
            // A pong that was sent in part must be completed before the next frame. Errors other than WouldBlock show
            // again on the write below.
            if let Err(WsError::Io(error)) = self.reader.flush(&mut io)
                && error.kind() == io::ErrorKind::WouldBlock
            {
                return Poll::Pending;
            }
        }
        while !self.out.is_empty() {
            let mut heads = [Head::default(); BATCH];
            let mut slices = [IoSlice::new(&[]); 2 * BATCH];
            for (head, out) in heads.iter_mut().zip(&self.out) {
                *head = out.head();
            }
            let parts = heads.iter().zip(&self.out).flat_map(|(head, out)| [head.as_bytes(), out.body()]);
            let mut gone = self.sent;
            let mut count = 0;
            for part in parts {
                let skipped = gone.min(part.len());
                gone -= skipped;
                if skipped < part.len() {
                    slices[count] = IoSlice::new(&part[skipped..]);
                    count += 1;
                }
            }
            let written = ready!(Pin::new(&mut *self.tcp).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.sent += written;
        while let Some(first) = self.out.front() {
            let len = first.head().as_bytes().len() + first.body().len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            self.out.pop_front();
        }
    }
}

/// Synchronous view of the connection for tungstenite. What would block registers the task and fails with
/// [`io::ErrorKind::WouldBlock`].
struct Io<'a, 'c> {
    tcp: &'a mut dyn Stream,
    unread: &'a mut Bytes,
    /// `None` if nothing is to be read.
    scratch: Option<&'a mut Scratch>,
    /// Counter of received bytes.
    read: &'a mut usize,
    /// Number of bytes that may still be taken before other tasks have their turn.
    turn: usize,
    may_write: bool,
    cx: &'a mut Context<'c>,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.turn == 0 {
            // What has been received so far must be counted, too.
            give_way(self.cx);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = buf.len().min(self.turn);
        let buf = &mut buf[..most];
        if !self.unread.is_empty() {
            let len = buf.len().min(self.unread.len());
            self.turn -= len;
            self.unread.split_to(len).copy_to_slice(&mut buf[..len]);
            if self.unread.is_empty() {
                *self.unread = Bytes::new();
            }
            return Ok(len);
        }
        let Some(scratch) = &mut self.scratch else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        if scratch.filled.is_empty() {
            let mut read = ReadBuf::new(&mut scratch.buffer);
            // A read that does not fill the buffer tells tokio that the socket is empty, which saves the call that
            // would find that out.
            done(Pin::new(&mut *self.tcp).poll_read(self.cx, &mut read))?;
            scratch.filled = 0..read.filled().len();
            *self.read += scratch.filled.len();
        }
        let start = scratch.filled.start;
        let len = buf.len().min(scratch.filled.len());
        self.turn -= len;
        buf[..len].copy_from_slice(&scratch.buffer[start..start + len]);
        scratch.filled.start += len;
        Ok(len)
    }
}

impl Write for Io<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if !self.may_write {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        done(Pin::new(&mut *self.tcp).poll_write(self.cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Yields to other tasks and wakes this one later, which is about to be pending. The others include those whose sockets
/// have just become ready. A task that wakes itself would be run 61 times before the runtime looks for those.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

fn done<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
