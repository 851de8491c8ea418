//! Listening sockets of one [`ListenAddress`].

use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::config::ListenAddress;

/// Maximum number of connections that wait to be accepted: enough for the reconnect of a room, or of a thousand rooms.
const BACKLOG: i32 = 4096;

/// Listening sockets of one address: two for `localhost`, one for every other.
#[derive(Debug)]
pub(crate) struct Listener(Vec<TcpListener>);

impl Listener {
    /// Binds the sockets. Requires a tokio runtime.
    pub(crate) fn bind(address: ListenAddress) -> Result<Self> {
        match address {
            ListenAddress::One(address) => Ok(Self(vec![listen(address)?])),
            ListenAddress::Any(port) => match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
                Err(error) if has_no_ipv6(&error) => Ok(Self(vec![listen((Ipv4Addr::UNSPECIFIED, port).into())?])),
                bound => Ok(Self(vec![bound?])),
            },
            ListenAddress::Localhost(port) => {
                let v4 = listen((Ipv4Addr::LOCALHOST, port).into())?;
                // With port 0 both must get the same port.
                let v6 = listen((Ipv6Addr::LOCALHOST, v4.local_addr()?.port()).into());
                match v6 {
                    Err(error) if has_no_ipv6(&error) => Ok(Self(vec![v4])),
                    bound => Ok(Self(vec![v4, bound?])),
                }
            }
        }
    }

    /// Returns the addresses on which it listens.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>> {
        self.0.iter().map(TcpListener::local_addr).collect()
    }

    /// Accepts the next connection. Its address is IPv4 even if it came by a dual-stack socket.
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
        // Whatever the machine is set to (net.ipv6.bindv6only): [::] accepts IPv4, too.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Returns whether the kernel has no IPv6, or lacks the IPv6 address that was asked for.
fn has_no_ipv6(error: &Error) -> bool {
    error.kind() == ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}
