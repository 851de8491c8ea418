//! Failover of a Redis master by Sentinel.

use roundtable::cluster::records::Limits;

use crate::contract::Engine;
use crate::redis::{Folder, Process, connect, free_ports, memory_only, until};
use crate::server::{Server, new_room};

struct Watched {
    master: Process,
    _others: [Process; 2],
    _folder: Folder,
    sentinel: u16,
}

impl Watched {
    async fn start() -> Self {
        let (folder, [first, second, sentinel]) = (Folder::new(), free_ports::<3>());
        let engine = |port: u16, more: &[&str]| {
            let port = port.to_string();
            let arguments = ["--bind", "127.0.0.1", "--port", &port, "--repl-diskless-sync-delay", "0"];
            Process::start("redis-server", &folder, &[&memory_only()[..], &arguments, more].concat())
        };
        let (master, replica) = (engine(first, &[]), engine(second, &["--replicaof", "127.0.0.1", &first.to_string()]));
        until(&["-p", &second.to_string(), "role"], |text| text.contains("connected")).await;
        let settings = format!(
            "bind 127.0.0.1\nport {sentinel}\nsentinel monitor main 127.0.0.1 {first} 1\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n"
        );
        std::fs::write(folder.path("sentinel.conf"), settings).unwrap();
        let watcher = Process::start("redis-server", &folder, &[&folder.path("sentinel.conf"), "--sentinel"]);
        // Sentinel has found the replica.
        let known = ["-p", &sentinel.to_string(), "sentinel", "replicas", "main"];
        until(&known, |text| text.contains(&second.to_string()) && text.contains("master-link-status\nok")).await;
        Self { master, _others: [replica, watcher], _folder: folder, sentinel }
    }
}

impl Engine for Watched {
    fn server(&self, limits: Limits) -> Server {
        // The first Sentinel does not respond.
        let address = format!("redis-sentinel://127.0.0.1:1,127.0.0.1:{}?master=main", self.sentinel);
        connect(&address, None, limits).0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_sentinels_watch_keeps_all_promises() {
    crate::single::all(&Watched::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_the_engines_place() {
    let mut engine = Watched::start().await;
    let (mut a, mut b, room) = (engine.join().await, engine.join().await, new_room());
    a.attach(&room).await;
    engine.master.kill();
    a.disconnected().await;
    b.disconnected().await;
    a.connected().await;
    b.connected().await;
    b.bus.tell(&room, a.id, bytes::Bytes::from_static(b"hello"));
    assert_eq!(a.told(&room).await, "hello");
    assert_eq!(b.attach(&new_room()).await.number, 1);
}
