//! The WebSocket under one connection: a narrow layer, so that it can be changed without the hub
//! noticing.
//!
//! tungstenite reads: it parses, unmasks, checks and answers pings. Its buffer is small, and a
//! scratch buffer of the worker thread takes what the kernel has in one call. Messages go out as
//! the hub made them, straight from their shared bytes, behind a head that is made on the stack for
//! each write.

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

/// Size of a new socket's buffer for reading in bytes. A longer message grows it, and it stays as large.
const READ_BUFFER: usize = 512;
/// Size of a grown buffer that counts towards memory limits in bytes. Most messages are shorter.
const GROWN_BUFFER: usize = 16 * 1024;
/// What one read takes from the kernel at most: several offers.
const SCRATCH: usize = 64 * 1024;
/// What is taken of one connection in a row without a whole message: of fragments of nothing it is thousands, and what
/// they cost could be felt by others. Most messages are shorter.
const TURN: usize = 8 * 1024;
/// Length of the head of a client's control frame in bytes (RFC 6455, section 5.2).
const CONTROL_HEAD: usize = 6;
/// Frames handed to the kernel in one call.
const BATCH: usize = 16;

thread_local! {
    /// Shared by all sockets of a worker thread; nothing stays in it between two calls.
    static SCRATCH_BUFFER: RefCell<Scratch> = RefCell::new(Scratch { buffer: vec![0; SCRATCH].into(), filled: 0..0 });
}

/// What one call has taken from the kernel; `filled` is what `reader` has not taken yet.
struct Scratch {
    buffer: Box<[u8]>,
    filled: Range<usize>,
}

/// What arrived.
#[derive(Debug)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message; its content is of no interest.
    Binary,
    /// A ping or a pong: a sign of life.
    Alive,
}

/// Close code that a page sends in place of 1001, which browsers send by themselves and do not let scripts send.
const PAGE_ENDED: u16 = 3002;

/// How a socket ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed it and meant it: a close frame with 1000 or no code (R24).
    Closed,
    /// The page ended and may be about to reload: a close frame with 1001 or [`PAGE_ENDED`] (R114).
    PageEnded,
    /// It is just gone, or was closed with a code that is no goodbye.
    Lost,
    /// The message is longer than [`MESSAGE_BYTES`].
    TooLarge,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Something else that RFC 6455 forbids.
    Protocol(String),
}

/// What carries a WebSocket: a TCP connection, or what a test makes of the network.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + fmt::Debug> Stream for S {}

/// One WebSocket on one connection.
#[derive(Debug)]
pub struct Socket {
    tcp: Box<dyn Stream>,
    reader: WebSocketContext,
    /// Read from the kernel and not yet taken by `reader`.
    unread: Bytes,
    /// Frames on their way out.
    out: VecDeque<Outgoing>,
    /// How many bytes of the first of `out` have gone: if any, nothing may come between.
    sent: usize,
    /// Bytes that have come since [`Socket::take_read`].
    read: usize,
    /// Bytes of a message that has arrived in part, with the heads of its frames.
    partial: usize,
    /// Bytes of the longest message so far, if it has grown the buffer much.
    grown: usize,
}

impl Socket {
    /// Takes over a connection after its upgrade; `unread` is what came right behind it.
    pub fn new(tcp: impl Stream + 'static, unread: &[u8]) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let reader = WebSocketContext::new(Role::Server, Some(config));
        // A copy, mostly of nothing: the original keeps hyper's whole buffer alive.
        let unread = Bytes::copy_from_slice(unread);
        Self { tcp: Box::new(tcp), reader, unread, out: VecDeque::new(), sent: 0, read: 0, partial: 0, grown: 0 }
    }

    /// How many bytes have come since this was last asked, whatever they are.
    pub fn take_read(&mut self) -> usize {
        std::mem::take(&mut self.read)
    }

    /// Returns the size of the buffers for what arrives, as far as that is known.
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
            // It comes between the frames of a message.
            Ok(Message::Ping(payload) | Message::Pong(payload)) => {
                self.partial = self.partial.saturating_sub(CONTROL_HEAD + payload.len());
            }
            _ => {}
        }
        match result {
            Ok(Message::Text(text)) => Poll::Ready(Ok(Received::Text(text))),
            Ok(Message::Binary(_)) => Poll::Ready(Ok(Received::Binary)),
            Ok(Message::Ping(_)) => {
                // The pong is queued in `reader`; a socket that takes nothing gets it later.
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

    /// What goes out with the next [`Socket::poll_flush`]; frames are added behind.
    pub fn queue(&mut self) -> &mut VecDeque<Outgoing> {
        &mut self.out
    }

    /// Forgets what is queued, but for the rest of a frame that has gone in part.
    pub fn abandon(&mut self) {
        self.out.truncate(usize::from(self.sent > 0));
    }

    /// Says that nothing will follow and reads, unseen, to the peer's end, so that what it still
    /// sends is not met by a reset that could overtake our last frame.
    pub async fn finish(mut self) {
        if self.tcp.shutdown().await.is_err() {
            return;
        }
        let mut rest = [0; 1024];
        while matches!(self.tcp.read(&mut rest).await, Ok(1..)) {}
    }

    /// Hands what is queued to the kernel, as much at once as it takes.
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
            // A pong of which a part has gone must be whole before the next frame. Other
            // errors than WouldBlock show again on the write below.
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

/// A blocking-style view of the connection for tungstenite: what would block registers the task
/// and says [`io::ErrorKind::WouldBlock`].
struct Io<'a, 'c> {
    tcp: &'a mut dyn Stream,
    unread: &'a mut Bytes,
    /// `None` where nothing is to be read.
    scratch: Option<&'a mut Scratch>,
    /// Counts what has come.
    read: &'a mut usize,
    /// How much may still be taken before others have their turn.
    turn: usize,
    may_write: bool,
    cx: &'a mut Context<'c>,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.turn == 0 {
            // What has come so far is to be counted, too.
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
            // A read that does not fill the buffer tells tokio that the socket is empty, which
            // saves the call that would say so.
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

/// Lets others have their turn and comes back to this task, which is about to be pending: also others whose sockets
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
