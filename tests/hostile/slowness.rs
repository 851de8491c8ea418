//! Who is slow on purpose, to hold places: heads, bodies and frames byte by byte, connections without a byte.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::common::client::Client;
use crate::common::raw::{FIN, TEXT, masked};
use crate::common::{tcp_from, within};
use crate::stage::{Stage, room, stranger};

/// Between two bytes of who is slow.
const DRIP: Duration = Duration::from_millis(100);

/// Writes byte by byte until the server has had enough; what it said, and how long it took.
async fn drip(tcp: TcpStream, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let (mut from, to) = tcp.into_split();
    let mut said = Vec::new();
    within("the end of the server's patience", async {
        tokio::select! {
            _ = from.read_to_end(&mut said) => {}
            () = write(to, bytes) => {}
        }
    })
    .await;
    (said, begun.elapsed())
}

async fn write(mut to: OwnedWriteHalf, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if to.write_all(&[*byte]).await.is_err() {
            // The rest of what the server says is being read.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRIP).await;
    }
}

#[tokio::test]
async fn slow_heads_bodies_and_frames() {
    let frame = masked(FIN | TEXT, br#"{"type":"join","name":"Eve"}"#);
    Stage::set(&[("ROUNDTABLE_JOIN_TIMEOUT", "3s")])
        .await
        .under("byte by byte", async |stage| {
            let heads = join_all((0..100).map(|_| async {
                let (said, after) = drip(stage.tcp().await, b"GET /signal-api/ws?room=r HTTP/1.1\r\nHost: ").await;
                assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&said));
                after
            }));
            let bodies = join_all((0..100).map(|_| async {
                let mut tcp = stage.tcp().await;
                let head = "POST /signal-api/v1/leave HTTP/1.1\r\nHost: test\r\nContent-Length: 2000\r\n\r\n";
                tcp.write_all(head.as_bytes()).await.unwrap();
                let (said, after) = drip(tcp, b" ").await;
                assert!(said.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&said));
                after
            }));
            let chunks = join_all((0..50).map(|_| async {
                let mut tcp = stage.tcp().await;
                let head = "POST /signal-api/v1/rooms HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
                tcp.write_all(head.as_bytes()).await.unwrap();
                let (said, after) = drip(tcp, b"1\r\nx\r\n").await;
                assert!(said.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&said));
                after
            }));
            let joins = join_all((0..100).map(|_| async {
                let begun = Instant::now();
                let mut raw = stage.raw(&room()).await;
                // Not all of it: a frame that takes too long.
                for byte in frame.iter().take(25) {
                    raw.bytes(&[*byte]).await;
                    tokio::time::sleep(DRIP).await;
                }
                assert_eq!(raw.close_code().await, 4001);
                begun.elapsed()
            }));
            let (heads, bodies, chunks, joins) = tokio::join!(heads, bodies, chunks, joins);
            for (what, times, least, most) in
                [("heads", heads, 9, 30), ("bodies", bodies, 4, 25), ("chunks", chunks, 0, 25), ("joins", joins, 2, 18)]
            {
                let (first, last) = (times.iter().min().unwrap().as_secs(), times.iter().max().unwrap().as_secs());
                assert!(first >= least && last <= most, "{what} took {first} to {last} s");
            }
        })
        .await;
}

#[tokio::test]
async fn answers_that_nobody_reads() {
    // Far more than the kernels on both sides keep.
    const BYTES: u64 = 64 << 20;
    let dist = std::env::temp_dir().join(format!("roundtable-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&dist).unwrap();
    std::fs::File::create(dist.join("large.bin")).unwrap().set_len(BYTES).unwrap();
    let settings = [("ROUNDTABLE_STATIC_DIR", dist.to_str().unwrap()), ("ROUNDTABLE_REQUEST_TIMEOUT", "1s")];
    Stage::set(&settings)
        .await
        .under("answers that nobody reads", async |stage| {
            let readers = (0..20).map(|_| async {
                let mut tcp = stage.tcp().await;
                tcp.write_all(b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
                // What is written arrives nowhere any more once the server has closed.
                within("the end of the server's patience", async {
                    while tcp.write_all(b"\r\n").await.is_ok() {
                        tokio::time::sleep(DRIP).await;
                    }
                })
                .await;
            });
            join_all(readers).await;
        })
        .await;
    std::fs::remove_dir_all(dist).unwrap();
}

#[tokio::test]
async fn five_thousand_half_open() {
    const EACH: usize = 1_000;
    let limit = rlimit::increase_nofile_limit(10_000).unwrap();
    assert!(limit >= 6_000, "this test needs 6,000 open files, and may have {limit}");
    Stage::set(&[])
        .await
        .under("5,000 half-open", async |stage| {
            let begun = Instant::now();
            let addresses: [Ipv4Addr; 5] = std::array::from_fn(|_| stranger());
            let mut open = Vec::new();
            for address in addresses {
                for _ in 0..EACH {
                    open.push(tcp_from(address, stage.address()).await.unwrap());
                }
            }
            // All places are taken: who comes now waits until the first are reaped, which in a crowd is soon.
            let mut newcomer = Client::over(stage.tcp().await, &room()).await.unwrap();
            newcomer.join("Newcomer").await;
            let after = begun.elapsed();
            println!("a newcomer is in after {after:?}");
            assert!(after.as_secs() < 8, "as long as where there is room: {after:?}");
            newcomer.close().await;
            for tcp in &mut open {
                let mut said = Vec::new();
                let _ = within("the end of a silent connection", tcp.read_to_end(&mut said)).await;
                assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
            }
            println!("all are reaped after {:?}", begun.elapsed());
        })
        .await;
}

#[tokio::test]
async fn a_thousand_websockets_that_never_join() {
    Stage::set(&[("ROUNDTABLE_JOIN_TIMEOUT", "1s")])
        .await
        .under("1,000 WebSockets that never join", async |stage| {
            let mut open = Vec::new();
            for _ in 0..1_000 {
                open.push(stage.raw(&room()).await);
            }
            for mut raw in open {
                assert_eq!(raw.close_code().await, 4001);
            }
        })
        .await;
}
