//! A Redis cluster of three masters, each with a third of the slots.

use std::time::{Duration, Instant};

use bytes::Bytes;
use roundtable::cluster::bus::{Answer, Event};
use roundtable::cluster::records::Limits;
use roundtable::protocol::RoomName;

use crate::contract::Engine;
use crate::redis::{Folder, Process, connect, free_ports, memory_only, until};
use crate::server::{LONG, Server, act, new_room};

struct Cluster {
    nodes: Vec<(Process, Folder)>,
    ports: Vec<u16>,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_with(0).await
    }

    /// Starts a cluster with this many replicas for each master.
    async fn start_with(replicas: usize) -> Self {
        let count = 3 * (1 + replicas);
        let (ports, buses) = (free_ports::<6>(), free_ports::<6>());
        let nodes = (0..count).map(|at| {
            let folder = Folder::new();
            let (port, bus) = (ports[at].to_string(), buses[at].to_string());
            let arguments =
                ["--port", &port, "--cluster-port", &bus, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
            let arguments = [&["--bind", "127.0.0.1"][..], &memory_only(), &arguments].concat();
            (Process::start("redis-server", &folder, &arguments), folder)
        });
        let cluster = Self { nodes: nodes.collect(), ports: ports[..count].to_vec() };
        let addresses: Vec<String> = cluster.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        for at in 0..count {
            cluster.says(at, &["ping"], |text| text.starts_with("PONG")).await;
        }
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        let replicas = replicas.to_string();
        create.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        until(&create, |text| text.contains("All 16384 slots covered")).await;
        cluster.is_whole().await;
        cluster
    }

    async fn is_whole(&self) {
        let known = format!("cluster_known_nodes:{}", self.ports.len());
        for at in 0..self.ports.len() {
            let whole = |text: &str| text.contains("cluster_state:ok") && text.contains(&known);
            self.says(at, &["cluster", "info"], whole).await;
        }
    }

    async fn says(&self, node: usize, command: &[&str], says: impl Fn(&str) -> bool) -> String {
        let port = self.ports[node].to_string();
        until(&[&["-h", "127.0.0.1", "-p", &port], command].concat(), says).await
    }

    async fn say(&self, node: usize, command: &[&str]) -> String {
        self.says(node, command, |_| true).await.trim().to_owned()
    }

    /// Returns the node and the slot of a room.
    async fn place(&self, room: &RoomName) -> (usize, String) {
        let slot = self.say(0, &["cluster", "keyslot", room.as_str()]).await;
        let thirds = [5461, 10923, 16384];
        (thirds.iter().position(|end| slot.parse::<u16>().unwrap() < *end).unwrap(), slot)
    }
}

impl Engine for Cluster {
    fn server(&self, limits: Limits) -> Server {
        let (one, other) = (self.ports[0], self.ports[1]);
        connect(&format!("redis-cluster://127.0.0.1:{one},127.0.0.1:{other}"), None, limits).0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_all_promises() {
    crate::single::all(&Cluster::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_may_move_within_a_cluster() {
    let cluster = Cluster::start().await;
    let (mut a, b, room) = (cluster.join().await, cluster.join().await, new_room());
    let place = a.attach(&room).await;
    a.ask(&room, place.append(vec![(1, act(1))])).await;
    a.entry(&room).await;

    let (from, slot) = cluster.place(&room).await;
    let to = (from + 1) % 3;
    let (from_id, to_id) = (cluster.say(from, &["cluster", "myid"]).await, cluster.say(to, &["cluster", "myid"]).await);
    cluster.say(to, &["cluster", "setslot", &slot, "importing", &from_id]).await;
    cluster.say(from, &["cluster", "setslot", &slot, "migrating", &to_id]).await;
    let (record, port) = (format!("rt:{{{}}}", room.as_str()), cluster.ports[to].to_string());
    let log = format!("{record}:log");
    let moved = cluster.say(from, &["migrate", "127.0.0.1", &port, "", "0", "5000", "keys", &record, &log]).await;
    assert_eq!(moved, "OK");
    for node in [to, from, (from + 2) % 3] {
        assert_eq!(cluster.say(node, &["cluster", "setslot", &slot, "node", &to_id]).await, "OK");
    }

    // The server whose subscription has ended notices, and finds the room on its new node.
    a.disconnected().await;
    a.connected().await;
    assert!(
        matches!(a.ask(&room, place.fetch(1)).await, Answer::Entries { number: 2, entries: Some(log) } if log.len() == 1)
    );
    // A server that asks the old node is redirected, and finds the room too.
    let mut b = b;
    while b.try_ask(&room, place.fetch(1)).await.is_err() {}
    while let Ok(event) = b.events.try_recv() {
        assert!(matches!(event, Event::Connected | Event::Disconnected));
    }
    b.bus.tell(&room, a.id, Bytes::from_static(b"hello"));
    assert_eq!(a.told(&room).await, "hello");
    a.ask(&room, place.append(vec![(2, act(2))])).await;
    assert_eq!(a.entry(&room).await.1.number, 3);
}

/// Repeats a message until it arrives, because connections are replaced while a cluster settles.
async fn reaches(from: &Server, to: &mut Server, room: &RoomName) {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < LONG, "{room:?}");
        from.bus.tell(room, to.id, Bytes::copy_from_slice(room.as_str().as_bytes()));
        let wait = Duration::from_millis(200);
        while let Ok(Some(event)) = tokio::time::timeout(wait, to.events.recv()).await {
            if matches!(event, Event::Told(of, bytes) if of == *room && bytes == room.as_str()) {
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_die_and_come_back() {
    let mut cluster = Cluster::start().await;
    let (mut a, mut b) = (cluster.join().await, cluster.join().await);
    let rooms: Vec<_> = (0..30).map(|_| new_room()).collect();
    for room in &rooms {
        a.attach(room).await;
    }
    cluster.nodes[1].0.kill();
    a.disconnected().await;
    b.disconnected().await;
    cluster.nodes[1].0.start_again();
    cluster.is_whole().await;
    for room in &rooms {
        reaches(&b, &mut a, room).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_may_take_a_nodes_place() {
    let mut cluster = Cluster::start_with(1).await;
    // The replicas are in sync with their masters.
    for at in 0..6 {
        cluster.says(at, &["role"], |role| role.starts_with("master") || role.contains("connected")).await;
    }
    let (mut a, mut b) = (cluster.join().await, cluster.join().await);
    let rooms: Vec<_> = (0..30).map(|_| new_room()).collect();
    for room in &rooms {
        a.attach(room).await;
    }
    let mut master = 0;
    while !cluster.say(master, &["role"]).await.starts_with("master") {
        master += 1;
    }
    cluster.nodes[master].0.kill();
    a.disconnected().await;
    b.disconnected().await;
    for room in &rooms {
        reaches(&b, &mut a, room).await;
    }
}
