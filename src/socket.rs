//! The WebSocket under one connection: a narrow layer, so that it can be changed without the hub
//! noticing.
//!
//! tungstenite reads: it parses, unmasks, checks and answers pings. Its buffer is small, and a
//! scratch buffer of the worker thread takes what the kernel has in one call. Frames go out as
//! the hub made them, straight from their shared bytes, without being copied into a buffer of
//! the socket's own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::protocol::{Frame, MESSAGE_BYTES};

/// What an idle socket keeps for reading. A longer message grows it for as long as it is read.
const READ_BUFFER: usize = 128;
/// What one read takes from the kernel at most: several offers.
const SCRATCH: usize = 64 * 1024;
/// Frames handed to the kernel in one call.
const BATCH: usize = 32;

thread_local! {
    /// Shared by all sockets of a worker thread; nothing stays in it between two calls.
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
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

/// How a socket ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed it, in whichever way.
    Closed,
    /// The message is longer than [`MESSAGE_BYTES`].
    TooLarge,
    /// Text that is not UTF-8.
    NotUtf8,
    /// Something else that RFC 6455 forbids.
    Protocol(String),
}

/// One WebSocket on one TCP connection.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    reader: WebSocketContext,
    /// Read from the kernel and not yet taken by `reader`.
    unread: Bytes,
    /// Frames on their way out; the first may have gone in part.
    out: VecDeque<Bytes>,
    /// Whether the first of `out` has gone in part, so that nothing may come between.
    mid_frame: bool,
}

impl Socket {
    /// Takes over a connection after its upgrade; `unread` is what came right behind it.
    pub fn new(tcp: TcpStream, unread: Bytes) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let reader = WebSocketContext::new(Role::Server, Some(config));
        Self { tcp, reader, unread, out: VecDeque::new(), mid_frame: false }
    }

    /// Reads the next message.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, End>> {
        let mut io = Io { tcp: &mut self.tcp, unread: &mut self.unread, may_write: !self.mid_frame, cx };
        match self.reader.read(&mut io) {
            Ok(Message::Text(text)) => Poll::Ready(Ok(Received::Text(text))),
            Ok(Message::Binary(_)) => Poll::Ready(Ok(Received::Binary)),
            Ok(Message::Ping(_)) => {
                // The pong is queued in `reader`; a socket that takes nothing gets it later.
                let _ = self.reader.flush(&mut io);
                Poll::Ready(Ok(Received::Alive))
            }
            Ok(Message::Pong(_) | Message::Frame(_)) => Poll::Ready(Ok(Received::Alive)),
            Ok(Message::Close(_)) => {
                let _ = self.reader.flush(&mut io);
                Poll::Ready(Err(End::Closed))
            }
            Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => Poll::Ready(Err(End::TooLarge)),
            Err(WsError::Utf8(_)) => Poll::Ready(Err(End::NotUtf8)),
            Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Poll::Ready(Err(End::Closed)),
            Err(WsError::Protocol(error)) => Poll::Ready(Err(End::Protocol(error.to_string()))),
            Err(_) => Poll::Ready(Err(End::Closed)),
        }
    }

    /// Adds frames to what goes out with the next [`Socket::poll_flush`].
    pub fn queue(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.out.extend(frames.into_iter().map(Frame::into_bytes));
    }

    /// Forgets what is queued, but for the rest of a frame that has gone in part.
    pub fn abandon(&mut self) {
        self.out.truncate(usize::from(self.mid_frame));
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
        if !self.mid_frame {
            let mut io = Io { tcp: &mut self.tcp, unread: &mut self.unread, may_write: true, cx };
            // A pong of which a part has gone must be whole before the next frame. Other
            // errors than WouldBlock show again on the write below.
            if let Err(WsError::Io(error)) = self.reader.flush(&mut io)
                && error.kind() == io::ErrorKind::WouldBlock
            {
                return Poll::Pending;
            }
        }
        while !self.out.is_empty() {
            let written = if self.out.len() == 1 {
                ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.out[0]))?
            } else {
                let mut slices = [IoSlice::new(&[]); BATCH];
                let filled =
                    slices.iter_mut().zip(&self.out).map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count();
                ready!(Pin::new(&mut self.tcp).poll_write_vectored(cx, &slices[..filled]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.out.capacity() > BATCH {
            self.out = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.out.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.mid_frame |= written > 0;
                return;
            }
            written -= first.len();
            self.out.pop_front();
            self.mid_frame = false;
        }
    }
}

/// A blocking-style view of the connection for tungstenite: what would block registers the task
/// and says [`io::ErrorKind::WouldBlock`].
struct Io<'a, 'c> {
    tcp: &'a mut TcpStream,
    unread: &'a mut Bytes,
    may_write: bool,
    cx: &'a mut Context<'c>,
}

impl Read for Io<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.unread.is_empty() {
            let len = buf.len().min(self.unread.len());
            buf[..len].copy_from_slice(&self.unread[..len]);
            self.unread.advance(len);
            if self.unread.is_empty() {
                *self.unread = Bytes::new();
            }
            return Ok(len);
        }
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            // A read that does not fill the buffer tells tokio that the socket is empty, which
            // saves the call that would say so.
            done(Pin::new(&mut *self.tcp).poll_read(self.cx, &mut read))?;
            let read = read.filled();
            let len = buf.len().min(read.len());
            buf[..len].copy_from_slice(&read[..len]);
            if read.len() > len {
                *self.unread = Bytes::copy_from_slice(&read[len..]);
            }
            Ok(len)
        })
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

fn done<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
