//! Listening sockets of one [`ListenAddress`].

use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::ListenAddress;

/// Connections that may wait to be accepted: a room's reconnect, or a thousand rooms'.
const BACKLOG: i32 = 4096;

/// Listening sockets of one address: two for `localhost`, one for every other.
#[derive(Debug)]
pub(crate) struct Listener(Vec<TcpListener>);

impl Listener {
    /// Listens; within a tokio runtime.
    pub(crate) fn bind(address: ListenAddress) -> Result<Self> {
        match address {
            ListenAddress::One(address) => Ok(Self(vec![listen(address)?])),
            ListenAddress::Any(port) => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
                Err(error) if has_no_ipv6(&error) => Ok(Self(vec![listen((Ipv4Addr::UNSPECIFIED, port).into())?])),
                bound => Ok(Self(vec![bound?])),
            },
            ListenAddress::Localhost(port) => {
                let v4 = listen((Ipv4Addr::LOCALHOST, port).into())?;
                // Port 0 is to be the same one on both.
                let v6 = listen((Ipv6Addr::LOCALHOST, v4.local_addr()?.port()).into());
                match v6 {
                    Err(error) if has_no_ipv6(&error) => Ok(Self(vec![v4])),
                    bound => Ok(Self(vec![v4, bound?])),
                }
            }
        }
    }

    /// Returns the addresses that it listens on.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>> {
        self.0.iter().map(TcpListener::local_addr).collect()
    }

    /// Accepts the next connection; its address is IPv4 also where it came by a socket for both.
    pub(crate) async fn accept(&self) -> Result<(TcpStream, IpAddr)> {
        let (stream, from) = poll_fn(|context| {
            let mut polled = self.0.iter().map(|listener| listener.poll_accept(context));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await?;
        Ok((stream, from.ip().to_canonical()))
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Not what the machine is set to (net.ipv6.bindv6only): [::] takes IPv4, too.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Returns whether the kernel has no IPv6, or no IPv6 address where one is asked for.
fn has_no_ipv6(error: &Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}
