//! TCP proxy between a client and the server that injects network faults.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Faults of a proxy. Each change applies to open and to future connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    /// Resets both ends.
    pub cut: bool,
    /// Drops data to the client (`deaf_client`) or to the server (`deaf_server`) without an error.
    pub deaf_client: bool,
    pub deaf_server: bool,
    /// Shuts down the write half to the server, as if the client sent nothing more.
    pub half_closed: bool,
    /// Delay of all data.
    pub delay: Duration,
    /// Resets the connection after so many bytes from the server.
    pub cut_after: Option<usize>,
}

pub struct Proxy {
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    open: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, open) = (watch::Sender::new(Weather::default()), Arc::new(AtomicUsize::new(0)));
        let (forecast, count) = (weather.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (forecast, count) = (forecast.subscribe(), Arc::clone(&count));
                tokio::spawn(async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    carry(client, server, forecast).await;
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, weather, open }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets all connections. New ones are forwarded.
    pub async fn cut(&self) {
        self.set(Weather { cut: true, ..Weather::default() });
        super::eventually("the end of all connections", async || self.open.load(Ordering::Relaxed) == 0).await;
        self.set(Weather::default());
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mut forecast: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    for tcp in [&client, &server] {
        tcp.set_nodelay(true).unwrap();
        // Closes with a reset, like a router that has dropped its connection state.
        tcp.set_zero_linger().unwrap();
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let up = pump(from_client, to_server, forecast.clone(), |weather| (weather.deaf_server, weather.half_closed, None));
    let down =
        pump(from_server, to_client, forecast.clone(), |weather| (weather.deaf_client, false, weather.cut_after));
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = forecast.wait_for(|weather| weather.cut) => {}
    }
}

/// Forwards one direction until it ends. `what` returns whether data is dropped, whether the direction is shut down,
/// and after how many bytes it is cut.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut forecast: watch::Receiver<Weather>,
    what: impl Fn(&Weather) -> (bool, bool, Option<usize>),
) {
    let mut buffer = [0; 4096];
    let mut passed = 0;
    loop {
        let weather = *forecast.borrow_and_update();
        let (deaf, ended, limit) = what(&weather);
        if ended {
            let _ = to.shutdown().await;
            std::future::pending::<()>().await;
        }
        tokio::select! {
            _ = forecast.changed() => {}
            read = from.read(&mut buffer), if !deaf => {
                let Ok(len @ 1..) = read else { return };
                tokio::time::sleep(weather.delay).await;
                let len = limit.map_or(len, |limit| len.min(limit - passed));
                if to.write_all(&buffer[..len]).await.is_err() {
                    return;
                }
                passed += len;
                if limit == Some(passed) {
                    // Bytes that were written are sent before the reset.
                    let _ = to.shutdown().await;
                    return;
                }
            }
        }
    }
}
