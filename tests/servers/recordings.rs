//! Several servers share one recordings directory: each can continue any recording, wherever its host is.

use std::fs;
use std::time::{Duration, SystemTime};

use roundtable::cluster::local::LocalEngine;
use roundtable::hub::HostPresence;
use roundtable::protocol::{PeerId, RoomName};
use roundtable::recordings::{Now, Recordings, Whose};
use roundtable::telemetry::RecordingMetrics;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::rooms::until;
use crate::common::client::Client;
use crate::common::eventually;
use crate::common::folder::Folder;
use crate::common::several::{Node, two};
use crate::common::upload::{TOKEN, Upload, admin, assert_refused, begin, length, media};

fn keeping(folder: &Folder) -> [(&str, &str); 2] {
    [("ROUNDTABLE_RECORDINGS_DIR", folder.path()), ("ROUNDTABLE_ADMIN_TOKEN", TOKEN)]
}

async fn sharing(folder: &Folder) -> (LocalEngine, Node, Node) {
    two(&keeping(folder)).await
}

/// Waits until the host's state shows that a recording is uploaded, or that it has ended.
async fn sees(client: &mut Client, host: &Client, on: bool) {
    loop {
        let told = until(client, "state").await;
        let expected = if on { json!({"recording": "server"}) } else { json!({}) };
        if told["id"] == host.id() && told["state"] == expected {
            return;
        }
    }
}

async fn recordings(node: &Node) -> Value {
    admin(node.address, "GET", "/recordings", &[]).await.json()["data"]["recordings"].clone()
}

#[tokio::test]
async fn each_server_goes_on_with_a_recording_lists_it_and_gives_it() {
    let folder = Folder::new();
    let (_engine, a, b) = sharing(&folder).await;
    let ada = a.join("r", "Ada").await;
    let mut eve = b.join("r", "Eve").await;
    let at_a = Upload::new(a.address, "r", &ada).await;
    sees(&mut eve, &ada, true).await;
    let at_b = Upload { address: b.address, ..at_a.clone() };
    for (at, upload) in [&at_a, &at_b, &at_b, &at_a].into_iter().enumerate() {
        assert_eq!(upload.put_well(at * 100, media(at * 100, at * 100 + 100)).await, at * 100 + 100);
    }
    assert_eq!(at_b.put_well(300, media(300, 400)).await, 400, "the piece was not stored");
    assert_refused(&at_b.put(401, b"x").await, 409, "OFFSET_INVALID");
    assert_eq!(recordings(&b).await[0]["bytes"], 400);
    assert_eq!(recordings(&a).await, recordings(&b).await);

    assert_eq!(length(&at_b.call("POST", "/finish", "").await), 400);
    sees(&mut eve, &ada, false).await;
    assert_refused(&at_a.put(400, b"x").await, 409, "RECORDING_OVER");
    let file = format!("/recordings/{}/file", at_a.id);
    for node in [&a, &b] {
        assert!(admin(node.address, "GET", &file, &[]).await.body == media(0, 400));
    }
    let path = format!("/recordings/{}", at_a.id);
    assert_eq!(admin(b.address, "DELETE", &path, &[]).await.status, 200);
    assert_refused(&admin(a.address, "GET", &file, &[]).await, 404, "RECORDING_NOT_FOUND");
    assert_eq!(recordings(&a).await, json!([]));
    assert_eq!(folder.files(".json").len(), 0);
}

#[tokio::test]
async fn r87_no_state_of_a_host_hides_a_recording_on_several_servers() {
    let folder = Folder::new();
    let (_engine, a, b) = sharing(&folder).await;
    let state: serde_json::Map<String, Value> = (0..16).map(|key| (format!("k{key}"), json!(true))).collect();
    let mut ada = a.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada"})).await;
    let mut eve = b.join("r", "Eve").await;
    let upload = Upload::new(a.address, "r", &ada).await;
    sees(&mut eve, &ada, true).await;
    // She returns to a room that was created again, with the maximum number of state keys.
    let resume = ada.welcome["resume"].clone();
    for client in [&mut ada, &mut eve] {
        client.send(json!({"type": "leave"})).await;
        client.drain().await;
    }
    let mut ada = a.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "resume": resume, "state": state})).await;
    let mut eve = b.join("r", "Eve").await;
    assert_eq!(upload.put_well(0, media(0, 1)).await, 1);
    let mut shown = eve.welcome["peers"][0]["state"].clone();
    if shown["recording"] != "server" {
        shown = until(&mut eve, "state").await["state"].clone();
    }
    let mut recorded = state;
    recorded.insert("recording".to_owned(), json!("server"));
    assert_eq!(shown, json!(recorded));
}

#[tokio::test]
async fn r87_a_server_with_a_folder_of_its_own_leaves_the_signs_of_others() {
    let (here, there) = (Folder::new(), Folder::new());
    let engine = LocalEngine::default();
    let a = Node::start(&engine, &[&keeping(&here)[..], &[("ROUNDTABLE_RECORDINGS_SILENCE", "1s")]].concat()).await;
    let b = Node::start(&engine, &keeping(&there)).await;
    let ada = a.join("r", "Ada").await;
    let mut eve = b.join("r", "Eve").await;
    let at_b = Upload::new(b.address, "r", &ada).await;
    sees(&mut eve, &ada, true).await;
    // That server sweeps its own directory and ends an idle recording there.
    let zoe = a.join("other", "Zoe").await;
    let mut bob = a.join("other", "Bob").await;
    let _silent = Upload::new(a.address, "other", &zoe).await;
    sees(&mut bob, &zoe, true).await;
    sees(&mut bob, &zoe, false).await;
    // She records to both for a while.
    let at_a = Upload::new(a.address, "r", &ada).await;
    at_a.call("POST", "/finish", "").await;
    eve.send(json!({"type": "sync"})).await;
    let roster = eve.next_message().await.unwrap();
    assert_eq!(roster["type"], "roster", "the marker has changed");
    assert_eq!(roster["peers"][0]["state"], json!({"recording": "server"}));
    at_b.put_well(0, media(0, 100)).await;
    at_b.call("POST", "/finish", "").await;
    sees(&mut eve, &ada, false).await;
}

#[tokio::test]
async fn a_server_that_does_not_have_the_room_tells_it_and_keeps_to_its_hosts() {
    let folder = Folder::new();
    let (_engine, a, b) = sharing(&folder).await;
    let ada = a.join("r", "Ada").await;
    let mut eve = a.join("r", "Eve").await;
    // As if a load balancer forwarded this room to a server that has come back.
    assert_refused(&begin(b.address, "r", &eve.welcome["resume"]).await, 403, "HOSTS_ONLY");
    let upload = Upload::new(b.address, "r", &ada).await;
    sees(&mut eve, &ada, true).await;
    upload.put_well(0, media(0, 100)).await;
    eventually("the request's temporary room to end", async || b.app.metrics.rooms.get() == 0).await;
    // This server notifies the one that has the room of the end.
    assert_eq!(length(&upload.call("POST", "/finish", "").await), 100);
    sees(&mut eve, &ada, false).await;

    // Another recording at either server ends it, because a host has one at a time.
    let first = Upload::new(b.address, "r", &ada).await;
    first.put_well(0, media(0, 10)).await;
    let second = Upload::new(a.address, "r", &ada).await;
    assert_refused(&first.put(10, b"x").await, 409, "RECORDING_OVER");
    assert_eq!(second.put_well(0, media(0, 10)).await, 10);

    // A session that has ended.
    let resume = ada.welcome["resume"].clone();
    ada.close().await;
    until(&mut eve, "peer_left").await;
    assert_refused(&begin(b.address, "r", &resume).await, 403, "HOSTS_ONLY");
    assert_eq!(folder.files(".part").len(), 1);
}

#[tokio::test]
async fn a_recording_goes_on_at_another_server_when_its_own_is_dead_or_drains() {
    let folder = Folder::new();
    let (engine, mut a, b) = sharing(&folder).await;
    let c = Node::start(&engine, &keeping(&folder)).await;
    let ada = a.join("r", "Ada").await;
    let mut eve = c.join("r", "Eve").await;
    let upload = Upload::new(a.address, "r", &ada).await;
    sees(&mut eve, &ada, true).await;
    upload.put_well(0, media(0, 100)).await;

    a.shut_down();
    let mut ada = ada;
    ada.drain().await;
    let upload = Upload { address: b.address, ..upload };
    let (back, answer) = b.come_back("r", &ada.welcome["resume"], ada.last).await;
    assert_eq!(answer["type"], "resumed");
    upload.put_well(100, media(100, 200)).await;

    let last = back.last;
    b.kill();
    drop(back);
    let upload = Upload { address: c.address, ..upload };
    assert_eq!(upload.put_well(200, media(200, 300)).await, 300);
    let (_back, _) = c.come_back("r", &ada.welcome["resume"], last).await;
    upload.put_well(300, media(300, 400)).await;
    let mut zoe = c.join("r", "Zoe").await;
    let host = zoe.welcome["peers"].as_array().unwrap().iter().find(|peer| peer["id"] == ada.id()).unwrap().clone();
    if host["state"] != json!({"recording": "server"}) {
        sees(&mut zoe, &ada, true).await;
    }
    assert_eq!(length(&upload.call("POST", "/finish", "").await), 400);
    assert!(fs::read(folder.only(".webm")).unwrap() == media(0, 400));
    sees(&mut zoe, &ada, false).await;
}

#[test]
fn a_recording_waits_for_its_host_and_its_pieces_wherever_they_are_seen() {
    let folder = Folder::new();
    let settings = [("ROUNDTABLE_RECORDINGS_DIR", folder.path())];
    let config = crate::common::config(&settings);
    let begun = Now { wall: SystemTime::now(), tick: Instant::now() };
    let after = |seconds: u64| Now { tick: begun.tick + Duration::from_secs(seconds), ..begun };
    let open = || Recordings::open(config.recordings.rules(config.zone).unwrap(), RecordingMetrics::default(), begun);
    let (a, b) = (open().unwrap(), open().unwrap());
    let whose = Whose { room: RoomName::new("r").unwrap(), host: PeerId::parse("0123456789abcdefghij").unwrap() };
    let id = a.begin(whose, begun).unwrap().id;
    let over = |store: &Recordings, now, is_there| {
        let presence = if is_there { HostPresence::Host } else { HostPresence::Absent };
        store.sweep(now, |_| presence).unwrap();
        store.over().len()
    };
    // One server sees its host, and the other one its pieces.
    for minute in 1..10 {
        let now = after(60 * minute);
        b.append(&id, minute - 1, &media(minute as usize - 1, minute as usize), now).unwrap();
        assert_eq!(a.sweep(now, |_| HostPresence::Host).unwrap().len(), 1, "{minute}");
        assert_eq!(over(&b, now, false), 0, "{minute}");
    }
    // No server sees its host any more.
    b.append(&id, 9, &media(9, 10), after(690)).unwrap();
    assert_eq!(over(&b, after(690), false), 1);
    // The other server is notified once.
    assert_eq!(over(&a, after(691), true), 1);
    assert_eq!(over(&a, after(692), true), 0);
}
