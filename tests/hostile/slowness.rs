//! Slow clients that occupy connections: heads, bodies and frames byte by byte, and connections without data.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpSocket, TcpStream};

use crate::common::client::Client;
use crate::common::folder::Folder;
use crate::common::front::{CONNECTIONS, Front};
use crate::common::raw::{FIN, Raw, TEXT, masked};
use crate::common::{eventually, http, metric, tcp_from, within};
use crate::stage::{Stage, room, stranger};

/// Interval between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(100);

/// Writes byte by byte until the server closes. Returns the server's output, and the time it took.
async fn drip(tcp: TcpStream, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let begun = Instant::now();
    let (mut from, to) = tcp.into_split();
    let mut said = Vec::new();
    within("the server to close the connection", async {
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
            // The reading half continues until the end of the server's output.
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
                // Only a part of the frame, so that it is never complete.
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
    // Far more than the kernels on both sides buffer.
    const BYTES: u64 = 64 << 20;
    let dist = std::env::temp_dir().join(format!("roundtable-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&dist).unwrap();
    std::fs::File::create(dist.join("large.bin")).unwrap().set_len(BYTES).unwrap();
    let settings = [("ROUNDTABLE_STATIC_DIR", dist.to_str().unwrap()), ("ROUNDTABLE_REQUEST_TIMEOUT", "1s")];
    Stage::set(&settings)
        .await
        .under("unread responses", async |stage| {
            let readers = (0..20).map(|_| async {
                let mut tcp = stage.tcp().await;
                tcp.write_all(b"GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
                // After the server has closed, writing fails.
                within("the server to close the connection", async {
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

/// Measures three newcomers one after another, because the first may be delayed by the test's own work.
async fn newcomers_join_within_a_second(join: impl AsyncFn()) {
    let mut waits = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        join().await;
        waits.push(begun.elapsed());
    }
    println!("newcomers are in after {waits:?}");
    assert!(waits.iter().min().unwrap() < &Duration::from_secs(1), "newcomers from another address waited {waits:?}");
}

/// A client behind a trusted proxy, whose connections are not counted, requests more large responses than the server
/// serves concurrently, and reads none. All figures are an eighth of the defaults.
#[tokio::test]
async fn unread_answers_behind_a_proxy() {
    const BYTES: u64 = 64 << 20;
    const ATTACKERS: usize = 950;
    const PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);
    let dist = Folder::new();
    std::fs::create_dir_all(dist.path()).unwrap();
    std::fs::File::create(dist.file("large.bin")).unwrap().set_len(BYTES).unwrap();
    let settings = [
        ("ROUNDTABLE_STATIC_DIR", dist.path()),
        ("ROUNDTABLE_TRUSTED_PROXIES", "127.9.9.9"),
        ("ROUNDTABLE_REQUESTS", "512"),
        ("ROUNDTABLE_ADDRESS_CONNECTIONS", "128"),
    ];
    let stage = Stage::set(&settings).await;
    let mut open = Vec::new();
    for _ in 0..ATTACKERS {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind((PROXY, 0).into()).unwrap();
        let mut tcp = socket.connect(stage.address()).await.unwrap();
        let request = "GET /large.bin HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
        // A server without a free place has closed the connection.
        let _ = tcp.write_all(request.as_bytes()).await;
        open.push(tcp);
    }
    newcomers_join_within_a_second(async || {
        let tcp = tcp_from(PROXY, stage.address()).await.unwrap();
        let newcomer = Raw::over(tcp, &room(), "X-Forwarded-For: 198.51.100.8\r\n", b"").await;
        drop(newcomer.joined("Newcomer").await);
    })
    .await;
}

/// Opens more connections with half-sent heads from one address than nginx has, on each of its ports. nginx has the
/// image's configuration with an eighth of its connections.
#[tokio::test]
async fn half_sent_heads_through_nginx() {
    const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 8, 8, 8);
    let limit = rlimit::increase_nofile_limit(10_000).unwrap();
    assert!(limit >= 6_000, "this test needs 6,000 open files, and may have {limit}");
    let stage = Stage::set(&[("ROUNDTABLE_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let places = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let places = places.map(|listener| listener.local_addr().unwrap());
    let front = Front::start_with(places, &[stage.address()], &[("ROUNDTABLE_ADDRESS_CONNECTIONS", "256")]).await;
    stage
        .under("half-sent heads through nginx", async |_| {
            for place in places {
                let mut open = Vec::new();
                for _ in 0..CONNECTIONS + 100 {
                    let mut tcp = tcp_from(ATTACKER, place).await.unwrap();
                    // nginx may have closed it.
                    let _ = tcp.write_all(b"GET / HTTP/1.1\r\nHost: ").await;
                    open.push(tcp);
                }
                newcomers_join_within_a_second(async || {
                    let tcp = tcp_from(stranger(), front.address).await.unwrap();
                    drop(Raw::over(tcp, &room(), "", b"").await.joined("Newcomer").await);
                })
                .await;
            }
        })
        .await;
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
            // All places are taken: a newcomer waits until the first connections time out, which is soon when the
            // server is crowded.
            let mut newcomer = Client::over(stage.tcp().await, &room()).await.unwrap();
            newcomer.join("Newcomer").await;
            let after = begun.elapsed();
            println!("a newcomer is in after {after:?}");
            assert!(after.as_secs() < 8, "not shortened in a crowd: {after:?}");
            newcomer.close().await;
            for tcp in &mut open {
                let mut said = Vec::new();
                let _ = within("a silent connection to be closed", tcp.read_to_end(&mut said)).await;
                assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
            }
            println!("all are reaped after {:?}", begun.elapsed());
        })
        .await;
}

/// One request each, and then nothing: without a crowd, such a connection may stay open for minutes.
#[tokio::test]
async fn four_thousand_kept_alive() {
    const EACH: usize = 1_000;
    rlimit::increase_nofile_limit(10_000).unwrap();
    Stage::set(&[])
        .await
        .under("4,000 kept alive", async |stage| {
            let addresses: [Ipv4Addr; 4] = std::array::from_fn(|_| stranger());
            let mut open = Vec::new();
            for address in addresses {
                for _ in 0..EACH {
                    let mut tcp = tcp_from(address, stage.address()).await.unwrap();
                    tcp.write_all(b"GET /signal-api/v1/welcome HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
                    // One after another, because the test measures the connections and not the requests.
                    assert_eq!(within("the response", http::read(&mut tcp)).await.status, 200);
                    open.push(tcp);
                }
            }
            let begun = Instant::now();
            let mut newcomer = Client::over(stage.tcp().await, &room()).await.unwrap();
            newcomer.join("Newcomer").await;
            let after = begun.elapsed();
            println!("a newcomer is in after {after:?}");
            assert!(after.as_secs() < 8, "not shortened in a crowd: {after:?}");
            newcomer.close().await;
            // Below half of the places, the server is not crowded, and the other connections stay open.
            let held = "roundtable_http_connections{listener=\"public\"}";
            eventually("room", async || metric(stage.ops(), held).await <= 2_048).await;
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

/// Cross-origin pages open WebSockets in their visitors' browsers and send no proof (R92), or send it byte by byte.
#[tokio::test]
async fn websockets_that_wait_for_a_proof() {
    let frame = masked(FIN | TEXT, br#"{"type":"join","name":"Eve","proof":"0000000000000000"}"#);
    Stage::set(&[])
        .await
        .under("sockets that wait for a proof", async |stage| {
            let waits = join_all((0..300).map(|at| {
                let frame = &frame;
                async move {
                    let begun = Instant::now();
                    let headers = "Origin: https://evil.example\r\n";
                    let mut raw = Raw::over(stage.tcp().await, "bystanders", headers, b"").await;
                    for byte in frame.iter().take(if at % 2 == 0 { 0 } else { 25 }) {
                        raw.bytes(&[*byte]).await;
                        tokio::time::sleep(DRIP).await;
                    }
                    assert_eq!(raw.close_code().await, 4001);
                    begun.elapsed()
                }
            }))
            .await;
            let (first, last) = (waits.iter().min().unwrap().as_secs(), waits.iter().max().unwrap().as_secs());
            assert!(first >= 4 && last <= 9, "they waited for {first} to {last} s");
        })
        .await;
}
