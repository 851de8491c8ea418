//! The same with a real Redis, configured by settings.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::rooms::until;
use crate::common::{TestServer, eventually};

/// redis-server on a Unix socket, whose path nobody else takes while it is down. Killed on drop.
struct Redis(Child, PathBuf);

impl Redis {
    fn start(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("roundtable-{name}-{}.sock", std::process::id()));
        Self(Self::spawn(&path), path)
    }

    fn spawn(path: &PathBuf) -> Child {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().expect("redis-server; tests/tools installs it")
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.0 = Self::spawn(&self.1);
    }

    async fn server(&self) -> TestServer {
        let url = format!("unix://{}", self.1.display());
        let key = "the same for all of them, and long enough";
        TestServer::start(&[("ROUNDTABLE_REDIS_URL", &url), ("ROUNDTABLE_RESUME_KEY", key)]).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(&self.1);
    }
}

#[tokio::test]
async fn servers_share_a_room_through_redis_which_is_killed_and_comes_back_empty() {
    let mut engine = Redis::start("killed");
    let (a, b) = (engine.server().await, engine.server().await);
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    for number in 0..100 {
        ada.send(json!({"type": "signal", "to": bob.id(), "data": number})).await;
        assert_eq!(until(&mut bob, "signal").await["data"], number);
    }
    engine.kill();
    for client in [&mut ada, &mut bob] {
        assert_eq!(until(client, "degraded").await["active"], true);
    }
    ada.send(json!({"type": "signal", "to": bob.id(), "data": "waits"})).await;
    engine.start_again();
    assert_eq!(until(&mut ada, "degraded").await["active"], false);
    // Either message may arrive first.
    let (mut waited, mut is_back) = (false, false);
    while !(waited && is_back) {
        let message = bob.next_message().await.expect("a message");
        waited |= message["data"] == "waits";
        is_back |= message["type"] == "degraded" && message["active"] == false;
    }
    // A member may reconnect at either server.
    let (resume, last) = (bob.welcome["resume"].clone(), bob.last);
    drop(bob);
    let mut back = a.connect("r").await;
    back.send(json!({"type": "join", "name": "Bob", "resume": resume, "last_seq": last})).await;
    back.expect("resumed").await;
    eventually("all members to be on this server", async || a.metric("roundtable_members").await == 2).await;
    assert_eq!(b.metric("roundtable_members").await, 0);
}

#[tokio::test]
async fn members_of_rooms_on_several_servers_notice_nothing_of_a_full_redis() {
    let engine = Redis::start("full");
    let (a, b) = (engine.server().await, engine.server().await);
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    let mut cli = Command::new("redis-cli");
    cli.arg("-s").arg(&engine.1).args(["config", "set", "maxmemory", "1"]);
    assert_eq!(cli.output().unwrap().stdout, b"OK\n");
    for number in 0..20 {
        ada.send(json!({"type": "state", "state": {"number": number}})).await;
        let message = bob.expect("state").await;
        assert_eq!(message["state"]["number"].as_f64(), Some(f64::from(number)));
    }
    let mut eve = b.join("r", "Eve").await;
    assert_eq!(until(&mut ada, "peer_joined").await["peer"]["name"], "Eve");
    bob.expect("peer_joined").await;
    ada.send(json!({"type": "leave"})).await;
    for client in [&mut bob, &mut eve] {
        client.expect("peer_left").await;
    }
    // New rooms can be created, too.
    let mut zoe = a.join("another", "Zoe").await;
    let _max = b.join("another", "Max").await;
    zoe.expect("peer_joined").await;
}
