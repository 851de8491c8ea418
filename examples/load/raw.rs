//! Lower bound for every server: a process that only copies bytes between two TCP connections. The example runs itself
//! as that process, so that it is measured in the same way.

use std::net::SocketAddr;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Running, free_address};
use crate::traffic::Link;

/// Buffer in bytes; holds every measured message completely.
const BUFFER: usize = 64 * 1024;

/// Header of a masked frame with a payload of 126 to 65,535 bytes (RFC 6455 §5.2).
const FRAME_HEADER: usize = 8;

/// Copies between the first connection and the second, the third and the fourth, and so on, with one task per
/// direction, as a relay has one per connection.
pub async fn serve(address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (a, _) = listener.accept().await?;
        let (b, _) = listener.accept().await?;
        a.set_nodelay(true)?;
        b.set_nodelay(true)?;
        let (a_read, a_write) = a.into_split();
        let (b_read, b_write) = b.into_split();
        tokio::spawn(copy(a_read, b_write));
        tokio::spawn(copy(b_read, a_write));
    }
}

/// Copies one direction until either connection ends.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            length => to.write_all(&buffer[..length]).await?,
        }
    }
}

/// Starts the server as a separate process.
pub async fn start() -> Result<(Running, SocketAddr), String> {
    let address = free_address().map_err(|error| error.to_string())?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let running = Running::start(Command::new(this).arg("raw-copy").arg(address.to_string()), address.port()).await?;
    Ok((running, address))
}

/// Connection that sends as many bytes as a client's WebSocket frame with `size` bytes of text.
pub struct RawLink {
    stream: TcpStream,
    message: Vec<u8>,
    received: Vec<u8>,
    filled: usize,
}

impl Link for RawLink {
    async fn send(&mut self) -> Result<(), String> {
        self.stream.write_all(&self.message).await.map_err(|error| format!("send: {error}"))
    }

    async fn receive(&mut self) -> Result<(), String> {
        while self.filled < self.received.len() {
            match self.stream.read(&mut self.received[self.filled..]).await {
                Ok(0) => return Err("closed by the server".into()),
                Ok(more) => self.filled += more,
                Err(error) => return Err(format!("receive: {error}")),
            }
        }
        self.filled = 0;
        Ok(())
    }
}

/// Opens pairs of connections in the order in which the server pairs them.
pub async fn pairs(address: SocketAddr, count: usize, size: usize) -> std::io::Result<Vec<Vec<RawLink>>> {
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        pairs.push(vec![connect(address, size).await?, connect(address, size).await?]);
    }
    Ok(pairs)
}

async fn connect(address: SocketAddr, size: usize) -> std::io::Result<RawLink> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let bytes = vec![b'x'; size + FRAME_HEADER];
    Ok(RawLink { stream, message: bytes.clone(), received: bytes, filled: 0 })
}
