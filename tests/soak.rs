//! Creates and leaves 100,000 rooms over real sockets with the real binary. Memory must not grow.

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use common::program::Running;
use common::raw::{FIN, TEXT, masked};
use common::{eventually, metric, tcp_from, within};

/// Rooms before memory is first measured, so that buffers and tables have grown to their final size.
const WARM_UP: usize = 10_000;
const ROOMS: usize = 100_000;
/// Concurrent clients.
const CLIENTS: usize = 32;
/// Bound for the growth of memory. A leaked room takes at least 1 KiB, so that one leak in twenty rooms exceeds it.
const MAY_GROW_KIB: u64 = 5 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_made_and_left_100_000_times_leave_nothing_behind() {
    let server = Running::start(&[
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
        ("ROUNDTABLE_ADDRESS_CONNECTIONS", "0"),
        ("ROUNDTABLE_RESUME_WINDOW", "100ms"),
        ("ROUNDTABLE_EMPTY_ROOM_GRACE", "100ms"),
    ]);
    let begun = Instant::now();
    pass(&server, 0..WARM_UP).await;
    let before = resident_kib(&server).await;
    pass(&server, WARM_UP..WARM_UP + ROOMS).await;
    let after = resident_kib(&server).await;
    println!("{ROOMS} rooms: {before} KiB before, {after} KiB after, {:.1} s", begun.elapsed().as_secs_f64());
    assert!(after <= before + MAY_GROW_KIB, "{before} KiB grew to {after} KiB");
}

/// Creates and leaves each of these rooms.
async fn pass(server: &Running, rooms: std::ops::Range<usize>) {
    let (next, address) = (AtomicUsize::new(rooms.start), server.address);
    join_all((0..CLIENTS).map(|_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= rooms.end {
                return;
            }
            within("a visit", visit(address, number)).await;
        }
    }))
    .await;
}

/// Sends everything in one packet. One client in ten disconnects without `leave`, and leaves when its resume window
/// ends.
async fn visit(server: SocketAddr, number: usize) {
    // Each of these addresses has enough ports for the connections of a minute, for which a closed one stays in
    // TIME_WAIT.
    let source = Ipv4Addr::from_bits(u32::from_be_bytes([127, 2, 0, 1]) + (number % 200) as u32);
    let mut tcp = tcp_from(source, server).await.unwrap();
    let stays = number.is_multiple_of(10);
    let mut said = format!(
        "GET /signal-api/ws?room=soak-{number} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    said.extend(masked(FIN | TEXT, br#"{"type":"join","name":"Ada","state":{"mic":true}}"#));
    if !stays {
        said.extend(masked(FIN | TEXT, br#"{"type":"leave"}"#));
    }
    tcp.write_all(&said).await.unwrap();
    if stays {
        tcp.shutdown().await.unwrap();
    }
    let mut heard = Vec::new();
    tcp.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 101 ") && heard.contains(r#""type":"welcome""#), "{heard}");
    assert_eq!(heard.contains("left"), !stays, "{heard}");
}

/// Returns the resident memory after everybody has left.
async fn resident_kib(server: &Running) -> u64 {
    for name in ["roundtable_rooms", "roundtable_members", "roundtable_sockets"] {
        eventually(name, async || metric(server.ops, name).await == 0).await;
    }
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", server.child.id())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("an Rss line");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
