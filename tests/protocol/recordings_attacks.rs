//! R84 to R88, R107: abuse of recordings by hosts and others.

use std::fs;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::people::leave;
use super::recordings::{keeping, kept};
use crate::common::client::Client;
use crate::common::eventually;
use crate::common::folder::Folder;
use crate::common::upload::{RECORDINGS, Upload, assert_refused, begin, length, media};

/// Exceeds the blocking threads of a runtime.
const FLOOD: usize = 600;

#[tokio::test]
async fn r86_requests_that_wait_for_one_recording_hold_up_no_other() {
    let folder = Folder::new();
    let server = keeping(&folder, &[("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    let (ada, eve) = (server.join("a", "Ada").await, server.join("e", "Eve").await);
    let victim = Upload::new(server.address, "e", &eve).await;
    let upload = Upload::new(server.address, "a", &ada).await;
    upload.put_well(0, media(0, 100)).await;
    // Another server that shares the directory holds the lock of this recording and stalls.
    let record = fs::File::options().write(true).open(folder.file(&format!("{}.json", upload.id))).unwrap();
    flock(&record, FlockOperation::LockExclusive).unwrap();
    let head = format!(
        "GET {RECORDINGS}/{} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n\r\n",
        upload.id, upload.secret
    );
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(head.as_bytes()).await.unwrap();
        flood.push(tcp);
    }
    let piece = tokio::time::timeout(Duration::from_secs(1), victim.put_well(0, media(0, 100))).await;
    assert_eq!(piece.expect("a piece of another recording to be accepted"), 100);
    drop(flood);
    drop(record);
    eventually("the recording to continue", async || upload.put(100, media(100, 200)).await.status == 200).await;
}

#[tokio::test]
async fn r86_only_webm_files_are_taken() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    for other in [&b"<!doctype html><script>"[..], b"MZ\x90\0", b"\0"] {
        assert_refused(&upload.put(0, other).await, 415, "NOT_WEBM");
    }
    // A browser may write the first byte separately.
    upload.put_well(0, media(0, 1)).await;
    assert_refused(&upload.put(1, b"html").await, 415, "NOT_WEBM");
    upload.put_well(1, media(1, 20)).await;
    assert_refused(&upload.put(20, [0; 20]).await, 415, "NOT_WEBM");
    assert_eq!(upload.put_well(20, media(20, 100)).await, 100);
}

#[tokio::test]
async fn r86_recordings_leave_a_minimum_of_the_disk_free() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 100)).await;
    // Too little space: the same directory, with more space required to stay free than the disk has.
    let short = keeping(&folder, &[("ROUNDTABLE_RECORDINGS_MIN_FREE", "1000000000000000")]).await;
    let upload = Upload { address: short.address, ..upload };
    assert_refused(&upload.put(100, media(100, 200)).await, 507, "STORAGE_FULL");
    let eve = short.join("e", "Eve").await;
    assert_refused(&begin(short.address, "e", &eve.welcome["resume"]).await, 507, "STORAGE_FULL");
    assert_eq!(length(&upload.call("POST", "/finish", "").await), 100);
}

async fn moderate(host: &mut Client, act: &str, more: serde_json::Value) {
    let mut message = json!({"type": "moderate", "action": act});
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    host.send(message).await;
}

#[tokio::test]
async fn r88_a_recording_ends_when_its_host_is_demoted_or_removed() {
    let folder = Folder::new();
    let server = keeping(&folder, &[("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    let mut ada = server.join("r", "Ada").await;
    let mut eve = server.join("r", "Eve").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 100)).await;
    eve.expect("state").await;
    moderate(&mut ada, "role", json!({"to": eve.id(), "role": "host"})).await;
    eve.expect("role").await;
    moderate(&mut eve, "role", json!({"to": ada.id(), "role": "participant"})).await;
    eve.expect("role").await;
    assert_refused(&upload.put(100, media(100, 200)).await, 409, "RECORDING_OVER");
    assert_eq!(eve.expect("state").await["state"], json!({}));
    assert!(fs::read(folder.only(".webm")).unwrap() == media(0, 100));

    // The host is removed and sends no more pieces: the server notices by itself.
    moderate(&mut eve, "role", json!({"to": ada.id(), "role": "host"})).await;
    eve.expect("role").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 100)).await;
    moderate(&mut eve, "remove", json!({"to": ada.id()})).await;
    eventually("the recording to end", async || folder.files(".webm").len() == 2).await;
    assert_refused(&upload.put(100, media(100, 200)).await, 409, "RECORDING_OVER");

    // A host that leaves may upload the rest.
    let upload = Upload::new(server.address, "r", &eve).await;
    upload.put_well(0, media(0, 100)).await;
    let resume = eve.welcome["resume"].clone();
    leave(eve).await;
    upload.put_well(100, media(100, 200)).await;

    // After a restart of the server, roles are assigned again, which does not end a recording.
    let again = keeping(&folder, &[]).await;
    let _zoe = again.join("r", "Zoe").await;
    let mut eve = again.connect("r").await;
    eve.join_with(json!({"type": "join", "name": "Eve", "resume": resume})).await;
    assert_eq!(eve.welcome["role"], "participant");
    let upload = Upload { address: again.address, ..upload };
    assert_eq!(upload.put_well(200, media(200, 300)).await, 300);
    assert_eq!(folder.files(".webm").len(), 2);
}

#[tokio::test]
async fn r107_only_the_server_says_that_a_recording_is_sent_to_it() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let mut ada = server.join("r", "Ada").await;
    let mut eve = server.connect("r").await;
    eve.join_with(json!({"type": "join", "name": "Eve", "state": {"recording": "server", "mic": true}})).await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["state"], json!({"mic": true}));
    eve.send(json!({"type": "state", "state": {"recording": "server", "mic": false}})).await;
    assert_eq!(ada.expect("state").await["state"], json!({"mic": false}));
    let recorded = async || server.get("/signal-api/v1/rooms/r").await.json()["data"]["recorded"].clone();
    assert_eq!(recorded().await, false);
    assert_eq!(kept(&folder), 0);

    // The marker cannot be hidden.
    let upload = Upload::new(server.address, "r", &ada).await;
    eve.expect("state").await;
    assert_eq!(eve.expect("state").await["state"], json!({"recording": "server"}));
    for hidden in [json!(null), json!(false), json!(true)] {
        ada.send(json!({"type": "state", "state": {"recording": hidden, "hand": true}})).await;
    }
    assert_eq!(eve.expect("state").await["state"], json!({"hand": true, "recording": "server"}));
    let mut back = server.connect("r").await;
    back.join_with(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
    eve.expect("peer_left").await;
    assert_eq!(eve.expect("peer_joined").await["peer"]["state"], json!({"recording": "server"}));
    upload.call("POST", "/finish", "").await;
    assert_eq!(eve.expect("state").await["state"], json!({}));
    // A page announces its own recording as before.
    back.send(json!({"type": "state", "state": {"recording": true}})).await;
    assert_eq!(eve.expect("state").await["state"], json!({"recording": true}));
}
