//! Recording uploads through nginx to changing servers.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::folder::Folder;
use crate::common::http::send;
use crate::common::upload::{TOKEN, Upload, admin, begin, length, media};
use crate::common::{eventually, within};
use crate::stage::Stage;

/// Maximum bytes of a piece (R86).
const PIECE: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn a_piece_goes_through_nginx_and_nothing_longer_does() {
    let folder = Folder::new();
    let stage = Stage::set(1, &[("ROUNDTABLE_RECORDINGS_DIR", folder.path())]).await;
    let address = stage.front.address;
    let ada = Client::enter(address, "r", "Ada").await;
    let upload = Upload::new(address, "r", &ada).await;
    assert_eq!(upload.put(0, media(0, PIECE)).await.status, 200);
    assert_eq!(fs::metadata(folder.only(".part")).unwrap().len(), PIECE as u64);
    assert_eq!(upload.put(0, media(0, PIECE + 1)).await.status, 413);
    // Other requests have a lower limit.
    assert_eq!(send(address, "POST", "/signal-api/v1/leave", &[], vec![b' '; 5 * 1024]).await.status, 413);
}

/// Uploads a piece like a page, which retries until a server accepts it.
async fn put(upload: &Upload, offset: usize, piece: &[u8]) {
    eventually("a piece to be accepted", async || {
        let answer = upload.put(offset, piece).await;
        // The first half of a piece may reach the next server after the whole piece.
        let replaced = || answer.json()["code"] == "PIECE_REPLACED";
        assert!(answer.status == 200 || answer.status >= 500 || replaced(), "{}", answer.text());
        answer.status == 200
    })
    .await;
}

/// Reconnects through nginx, with as many attempts as necessary.
async fn back(stage: &Stage, resume: &Value) -> Client {
    let back = async {
        loop {
            if let Ok(mut client) = Client::connect(stage.front.address, "r").await {
                client.send(json!({"type": "join", "name": "Ada", "resume": resume})).await;
                match client.next_message().await {
                    Some(answer) if answer["type"] == "welcome" => {
                        client.welcome = answer;
                        return client;
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    within("Ada to reconnect", back).await
}

/// Waits until Eve is notified that a recording has started, or has ended.
async fn told(eve: &mut Client, on: bool) {
    let expected = if on { json!({"recording": "server"}) } else { json!({}) };
    let told = async {
        loop {
            let message = eve.next_message().await.expect("a message");
            if message["type"] == "state" && message["state"] == expected {
                return;
            }
        }
    };
    within("Eve to be notified", told).await;
}

/// Returns whether the roster shows that a recording is uploaded.
async fn is_shown(eve: &mut Client) -> bool {
    eve.send(json!({"type": "sync"})).await;
    let roster = async {
        loop {
            let message = eve.next_message().await.expect("a message");
            if message["type"] == "roster" {
                return message;
            }
        }
    };
    let roster = within("the roster", roster).await;
    roster["peers"].as_array().unwrap().iter().any(|peer| peer["state"]["recording"] == "server")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_of_a_recording_stays_when_its_host_begins_anew_at_a_server_without_the_room() {
    let folder = Folder::new();
    let stage = Stage::set(2, &[("ROUNDTABLE_RECORDINGS_DIR", folder.path())]).await;
    let [here, there] = [stage.servers[0].address, stage.servers[1].address];
    let ada = Client::enter(here, "r", "Ada").await;
    let mut eve = Client::enter(here, "r", "Eve").await;
    let upload = Upload::new(here, "r", &ada).await;
    put(&upload, 0, &media(0, 100_000)).await;
    told(&mut eve, true).await;
    let mut again = Client::connect(there, "r").await.unwrap();
    again
        .send(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"], "state": {"recording": null}}))
        .await;
    assert_eq!(eve.expect("peer_left").await["id"], ada.id());
    let joined = eve.expect("peer_joined").await;
    assert_eq!(joined["peer"]["state"], json!({"recording": "server"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_goes_on_while_its_servers_are_killed_and_come_back() {
    let folder = Folder::new();
    let mut stage =
        Stage::set(3, &[("ROUNDTABLE_RECORDINGS_DIR", folder.path()), ("ROUNDTABLE_ADMIN_TOKEN", TOKEN)]).await;
    let front = stage.front.address;
    let ada = Client::enter(front, "r", "Ada").await;
    let mut home = 0;
    for at in 0..3 {
        if stage.servers[at].members().await == 1 {
            home = at;
        }
    }
    let mut eve = Client::enter(stage.servers[(home + 1) % 3].address, "r", "Eve").await;
    let upload = Upload::new(front, "r", &ada).await;
    put(&upload, 0, &media(0, 100_000)).await;
    told(&mut eve, true).await;
    // nginx forwards it to the host's server.
    assert_eq!(stage.servers[home].metric("roundtable_recordings_pieces_total").await, 1);

    // In the middle of a piece.
    let _half = upload.half(100_000, &media(100_000, 200_000)).await;
    stage.servers[home].kill();
    put(&upload, 100_000, &media(100_000, 200_000)).await;
    let ada = back(&stage, &ada.welcome["resume"]).await;
    // Her new session's join does not mention the recording: the servers keep the marker (R107).
    eventually("the recording to be shown", async || is_shown(&mut eve).await).await;

    // The server is back, and nginx forwards everything of this room to it, but its members are on another server.
    stage.servers[home].begin().await;
    let mut end = 200_000;
    eventually("pieces to reach it again", async || {
        put(&upload, end, &media(end, end + 1_000)).await;
        end += 1_000;
        stage.servers[home].metric("roundtable_recordings_pieces_total").await > 0
    })
    .await;
    assert_eq!(stage.servers[home].members().await, 0);
    // A host can start a recording there, too, which ends the previous one. Until the server has found the store, it
    // responds that it cannot know the host.
    eventually("a recording to start", async || {
        let answer = begin(front, "r", &ada.welcome["resume"]).await;
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
        answer.status == 200
    })
    .await;
    let second = Upload::new(front, "r", &ada).await;
    put(&second, 0, &media(0, 1_000)).await;
    assert_eq!(length(&second.call("POST", "/finish", "").await), 1_000);
    let first = folder.file(&format!("{}.webm", upload.id));
    assert!(fs::read(first).unwrap() == media(0, end));
    told(&mut eve, false).await;

    // The operator gets the same list from each server.
    let list = admin(front, "GET", "/recordings", &[]).await.json();
    let sizes: Vec<_> =
        list["data"]["recordings"].as_array().unwrap().iter().map(|each| each["bytes"].clone()).collect();
    assert_eq!(sizes, [end, 1_000]);
    for server in &stage.servers {
        assert_eq!(admin(server.address, "GET", "/recordings", &[]).await.json(), list);
    }
    assert!(admin(front, "GET", &format!("/recordings/{}/file", upload.id), &[]).await.body == media(0, end));
    assert_eq!(admin(front, "DELETE", &format!("/recordings/{}", upload.id), &[]).await.status, 200);
}
