//! R84 to R86: recordings with failing connections, disks and processes.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::recordings::{keeping, kept};
use crate::common::folder::Folder;
use crate::common::http::read;
use crate::common::program::{BINARY, Running, program};
use crate::common::upload::{RECORDINGS, Upload, admin, assert_refused, begin, length, media};
use crate::common::{eventually, within};

#[tokio::test]
async fn r84_what_a_client_begins_that_hangs_up_is_undone() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let wish = json!({"room": "r", "resume": ada.welcome["resume"]}).to_string();
    // Another server holds the lock, because it is starting a recording.
    let lock = fs::File::options().write(true).open(folder.file(".lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let length = wish.len();
    let head = format!("POST {RECORDINGS} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{wish}");
    tcp.write_all(head.as_bytes()).await.unwrap();
    server.get("/signal-api/v1/welcome").await;
    drop(tcp);
    server.get("/signal-api/v1/welcome").await;
    drop(lock);
    // Queued behind it, in the same lane.
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.call("POST", "/finish", "").await;
    eventually("the recording to be deleted", async || kept(&folder) == 0).await;
}

#[tokio::test]
async fn r85_what_was_acknowledged_outlives_the_program() {
    let folder = Folder::new();
    let settings = [("ROUNDTABLE_RECORDINGS_DIR", folder.path())];
    let mut running = Running::start(&settings);
    let ada = running.join("r").await;
    let upload = Upload::new(running.address, "r", &ada).await;
    assert_eq!(upload.put_well(0, media(0, 100_000)).await, 100_000);
    // The server is killed during a piece, and another piece was written to the disk in part.
    let _half = upload.half(100_000, &media(100_000, 150_000)).await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    fs::OpenOptions::new()
        .append(true)
        .open(folder.only(".webm.part"))
        .map(|mut file| {
            std::io::Write::write_all(&mut file, b"torn").unwrap();
        })
        .unwrap();

    // A recording whose creation was interrupted has one of its files, or a part of it.
    let begun = folder.only(".webm.part");
    fs::write(folder.file("20260102T030405Z-000000000000.webm.part"), "").unwrap();
    fs::write(folder.file("20260102T030405Z-111111111111.json.new"), "{").unwrap();

    let again = Running::start(&settings);
    assert_eq!((folder.only(".webm.part"), kept(&folder)), (begun, 2));
    assert_eq!(fs::metadata(folder.only(".part")).unwrap().len(), 100_000);
    let upload = Upload { address: again.address, ..upload };
    assert_eq!(length(&upload.call("GET", "", "").await), 100_000);
    assert_eq!(upload.put_well(100_000, media(100_000, 150_000)).await, 150_000);
    assert_eq!(length(&upload.call("POST", "/finish", "").await), 150_000);
    assert!(fs::read(folder.only(".webm")).unwrap() == media(0, 150_000));
}

#[tokio::test]
async fn r86_a_piece_that_stands_still_is_replaced_by_the_next() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    // The client has changed networks, and its old connection was not closed.
    let mut still = upload.half(0, &media(0, 2_000)).await;
    assert_eq!(upload.put_well(0, media(0, 1_000)).await, 1_000);
    assert_refused(&within("the response", read(&mut still)).await, 409, "PIECE_REPLACED");
    // The same applies when the recording is deleted.
    let mut still = upload.half(1_000, &media(1_000, 2_000)).await;
    assert_eq!(admin(server.address, "DELETE", &format!("/recordings/{}", upload.id), &[]).await.status, 200);
    assert_refused(&within("the response", read(&mut still)).await, 409, "PIECE_REPLACED");
}

#[tokio::test]
async fn r86_a_full_disk_is_told_and_nothing_is_torn() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 1_000)).await;
    // /dev/full, the kernel's full disk, in place of the file.
    let (part, aside) = (folder.only(".part"), folder.file("aside"));
    fs::rename(&part, &aside).unwrap();
    symlink("/dev/full", &part).unwrap();
    assert_refused(&upload.put(1_000, media(1_000, 2_000)).await, 507, "STORAGE_FULL");
    fs::rename(&aside, &part).unwrap();
    assert_eq!(upload.put_well(1_000, media(1_000, 2_000)).await, 2_000);

    // A disk that accepts a part of a piece: files are limited to 64 KiB, and longer writes fail.
    let small = Folder::new();
    let mut shell = program("/bin/sh", &[("ROUNDTABLE_RECORDINGS_DIR", small.path())]);
    shell.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$0\"", BINARY]);
    let running = Running::spawn(shell);
    let ada = running.join("r").await;
    let upload = Upload::new(running.address, "r", &ada).await;
    upload.put_well(0, media(0, 40_000)).await;
    assert_refused(&upload.put(40_000, media(40_000, 80_000)).await, 507, "STORAGE_FULL");
    assert!(fs::read(small.only(".part")).unwrap() == media(0, 40_000));
    assert_eq!(upload.put_well(40_000, media(40_000, 60_000)).await, 60_000);
    assert_eq!(length(&upload.call("POST", "/finish", "").await), 60_000);
    assert!(fs::read(small.only(".webm")).unwrap() == media(0, 60_000));
}

#[tokio::test]
async fn r84_a_record_that_cannot_be_read_is_in_nobodys_way() {
    let folder = Folder::new();
    fs::create_dir_all(folder.file("20260102T030405Z-000000000000.json")).unwrap();
    fs::write(folder.file("20260102T030405Z-111111111111.json"), "torn").unwrap();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 1_000)).await;
    let list = admin(server.address, "GET", "/recordings", &[]).await.json();
    assert_eq!((&list["data"]["total"], &list["data"]["recordings"][0]["id"]), (&json!(1), &json!(upload.id)));
}

#[tokio::test]
async fn r84_a_folder_that_is_gone_is_the_servers_own_trouble() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    fs::remove_dir_all(folder.path()).unwrap();
    assert_refused(&begin(server.address, "r", &ada.welcome["resume"]).await, 500, "INTERNAL");
    assert_refused(&admin(server.address, "GET", "/recordings", &[]).await, 500, "INTERNAL");
    fs::create_dir_all(folder.path()).unwrap();
    Upload::new(server.address, "r", &ada).await;
}

#[test]
fn r84_a_server_does_not_begin_with_a_folder_that_it_cannot_write_to() {
    let folder = Folder::new();
    drop(Running::start(&[("ROUNDTABLE_RECORDINGS_DIR", folder.path())]));
    // Also fails for root.
    fs::create_dir(folder.file(".probe")).unwrap();
    let any_port = "127.0.0.1:0";
    let settings = [
        ("ROUNDTABLE_RECORDINGS_DIR", folder.path()),
        ("ROUNDTABLE_LISTEN", any_port),
        ("ROUNDTABLE_OPS_LISTEN", any_port),
    ];
    let said = program(BINARY, &settings).output().unwrap();
    assert!(!said.status.success());
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("ROUNDTABLE_RECORDINGS_DIR") && said.contains(folder.path()), "{said}");
}
