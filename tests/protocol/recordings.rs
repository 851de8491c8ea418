//! R84 to R89: recordings that hosts upload to the server.

use std::fs;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use roundtable::hub::HostPresence;
use roundtable::protocol::{PeerId, RoomName};
use roundtable::recordings::{Now, Recordings, Whose};
use roundtable::telemetry::{Ended, RecordingMetrics};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::people::leave;
use crate::common::folder::Folder;
use crate::common::http::{ask, send};
use crate::common::upload::{RECORDINGS, TOKEN, Upload, admin, assert_refused, begin, length, media};
use crate::common::{TestServer, eventually};

const MINUTE: Duration = Duration::from_secs(60);

pub async fn keeping(folder: &Folder, settings: &[(&str, &str)]) -> TestServer {
    let own = [("ROUNDTABLE_RECORDINGS_DIR", folder.path()), ("ROUNDTABLE_ADMIN_TOKEN", TOKEN)];
    TestServer::start(&[settings, &own].concat()).await
}

/// Counts the files of recordings, without the directory's lock.
pub fn kept(folder: &Folder) -> usize {
    folder.files("").len() - folder.files(".lock").len()
}

#[tokio::test]
async fn r84_a_host_who_is_in_the_room_begins_and_nobody_else() {
    let folder = Folder::new();
    let server = keeping(&folder, &[("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    let ada = server.join("r", "Ada").await;
    assert!(ada.welcome["features"].as_array().unwrap().contains(&json!("recordings")));
    let eve = server.join("r", "Eve").await;
    let resume = &ada.welcome["resume"];
    assert_refused(&begin(server.address, "r", &eve.welcome["resume"]).await, 403, "HOSTS_ONLY");
    assert_refused(&begin(server.address, "r", &json!("a guess")).await, 403, "RESUME_INVALID");
    assert_refused(&begin(server.address, "other", resume).await, 403, "RESUME_INVALID");
    assert_refused(&begin(server.address, "a/b", resume).await, 400, "ROOM_INVALID");
    assert_refused(&send(server.address, "POST", RECORDINGS, &[], "[]").await, 400, "BODY_INVALID");
    let long = format!(r#"{{"room":"r","resume":"{}"}}"#, "x".repeat(3_000));
    assert_refused(&send(server.address, "POST", RECORDINGS, &[], long).await, 400, "BODY_INVALID");
    assert_eq!(kept(&folder), 0);

    let upload = Upload::new(server.address, "r", &ada).await;
    // Another page of the same host starts a new recording: an existing part is finished, and an empty one is deleted.
    upload.put_well(0, media(0, 10)).await;
    let again = Upload::new(server.address, "r", &ada).await;
    assert_refused(&upload.put(10, b"x").await, 409, "RECORDING_OVER");
    assert_eq!(fs::read(folder.only(".webm")).unwrap(), media(0, 10));
    assert_eq!(length(&again.call("POST", "/finish", "").await), 0);
    assert_eq!(folder.files(".json").len(), 1);

    // The secret of a session that has ended is rejected, even if its peer has reconnected.
    let room = ada.welcome["resume"].clone();
    drop(ada);
    let mut back = server.connect("r").await;
    back.join_with(json!({"type": "join", "name": "Ada", "resume": room})).await;
    assert_eq!(back.welcome["resumed"], true);
    assert_refused(&begin(server.address, "r", &room).await, 403, "HOSTS_ONLY");

    let off = TestServer::start(&[]).await;
    let host = off.join("r", "Ada").await;
    assert!(!host.welcome["features"].as_array().unwrap().contains(&json!("recordings")));
    assert_refused(&begin(off.address, "r", &host.welcome["resume"]).await, 404, "RECORDINGS_OFF");
}

#[tokio::test]
async fn r84_a_host_who_begins_twice_at_once_makes_one() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let begins = (0..8).map(|_| begin(server.address, "r", &ada.welcome["resume"]));
    for answer in join_all(begins).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // The earlier recordings were empty.
    assert_eq!((folder.files(".part").len(), folder.files(".json").len(), kept(&folder)), (1, 1, 2));
}

#[tokio::test]
async fn r85_pieces_come_in_order_once_and_whoever_has_lost_an_answer_goes_on_from_the_length() {
    let folder = Folder::new();
    let server = keeping(&folder, &[("ROUNDTABLE_ADDRESS_JOINS", "0")]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    assert_eq!(length(&upload.call("GET", "", "").await), 0);
    assert_eq!(upload.put_well(0, media(0, 1_000)).await, 1_000);
    // A repeated piece and an overlapping one: nothing is written.
    assert_eq!(upload.put_well(0, media(0, 1_000)).await, 1_000);
    assert_eq!(upload.put_well(500, media(500, 1_500)).await, 1_000);
    assert_refused(&upload.put(1_001, b"x").await, 409, "OFFSET_INVALID");
    assert_refused(&upload.call("PUT", "", b"x").await, 400, "PARAMETER_INVALID");
    assert_refused(&upload.call("PUT", "?offset=-1", b"x").await, 400, "PARAMETER_INVALID");
    assert_eq!(upload.put_well(1_000, media(1_000, 2_000)).await, 2_000);
    // A wrong secret and an unknown recording get the same response.
    let guess = Upload { secret: "a guess".into(), ..upload.clone() };
    let other = Upload { id: "20260102T030405Z-000000000000".into(), ..upload.clone() };
    for wrong in [guess, other] {
        assert_refused(&wrong.put(2_000, b"x").await, 403, "UPLOAD_INVALID");
        assert_refused(&wrong.call("GET", "", "").await, 403, "UPLOAD_INVALID");
        assert_refused(&wrong.call("POST", "/finish", "").await, 403, "UPLOAD_INVALID");
    }
    let bare = send(server.address, "PUT", &format!("{RECORDINGS}/{}?offset=2000", upload.id), &[], b"x").await;
    assert_refused(&bare, 403, "UPLOAD_INVALID");
    // A piece whose connection ends early is discarded.
    drop(upload.half(2_000, b"cut").await);
    assert_eq!(upload.put_well(2_000, media(2_000, 3_000)).await, 3_000);

    assert_eq!(length(&upload.call("POST", "/finish", "").await), 3_000);
    assert_eq!(length(&upload.call("POST", "/finish", "").await), 3_000);
    let told = upload.call("GET", "", "").await.json();
    assert_eq!(told["data"], json!({"length": 3_000, "finished": true}));
    assert_refused(&upload.put(3_000, b"x").await, 409, "RECORDING_OVER");
    assert_eq!(fs::read(folder.only(".webm")).unwrap(), media(0, 3_000));
    // The record does not identify the host and does not contain the secret.
    let record = fs::read_to_string(folder.only(".json")).unwrap();
    assert!(!record.contains("Ada") && !record.contains(&upload.secret), "{record}");
    assert_eq!(folder.files(".part").len(), 0);
}

#[tokio::test]
async fn r86_each_bound_has_its_own_code_and_what_is_there_stays_whole() {
    let folder = Folder::new();
    let bounds = [
        ("ROUNDTABLE_RECORDINGS_QUOTA", "10000"),
        ("ROUNDTABLE_RECORDINGS_MAX_BYTES", "6000"),
        ("ROUNDTABLE_RECORDINGS_AT_A_TIME", "2"),
        ("ROUNDTABLE_ADDRESS_JOINS", "0"),
    ];
    let server = keeping(&folder, &bounds).await;
    let (ada, eve, zoe) = (server.join("a", "Ada").await, server.join("e", "Eve").await, server.join("z", "Zoe").await);
    let first = Upload::new(server.address, "a", &ada).await;
    assert_refused(&first.put(0, vec![0; 4 * 1024 * 1024 + 1]).await, 413, "PIECE_TOO_LARGE");
    assert_eq!(first.put_well(0, media(0, 6_000)).await, 6_000);
    assert_refused(&first.put(6_000, b"x").await, 413, "RECORDING_TOO_LARGE");
    let second = Upload::new(server.address, "e", &eve).await;
    let third = begin(server.address, "z", &zoe.welcome["resume"]).await;
    assert_refused(&third, 503, "TOO_MANY_RECORDINGS");
    assert!(third.header("retry-after").is_some());
    assert_eq!(second.put_well(0, media(0, 3_000)).await, 3_000);
    assert_refused(&second.put(3_000, media(0, 1_001)).await, 507, "QUOTA_EXCEEDED");
    assert_eq!(second.put_well(3_000, media(3_000, 4_000)).await, 4_000);
    assert_eq!(length(&first.call("POST", "/finish", "").await), 6_000);
    assert_refused(&begin(server.address, "z", &zoe.welcome["resume"]).await, 507, "QUOTA_EXCEEDED");
    assert!(fs::read(folder.only(".webm")).unwrap() == media(0, 6_000));
    assert!(fs::read(folder.only(".part")).unwrap() == media(0, 4_000));
}

#[tokio::test]
async fn r87_everybody_in_the_room_and_before_it_is_told_by_the_server() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let mut eve = server.join("r", "Eve").await;
    let recorded = async || server.get("/signal-api/v1/rooms/r").await.json()["data"]["recorded"].clone();
    assert_eq!(recorded().await, false);
    let upload = Upload::new(server.address, "r", &ada).await;
    let told = eve.expect("state").await;
    assert_eq!((&told["id"], &told["state"]), (&json!(ada.id()), &json!({"recording": "server"})));
    assert_eq!(recorded().await, true);
    let zoe = server.join("r", "Zoe").await;
    assert_eq!(zoe.welcome["peers"][0]["state"], json!({"recording": "server"}));
    eve.expect("peer_joined").await;
    upload.put_well(0, media(0, 1)).await;
    upload.call("POST", "/finish", "").await;
    assert_eq!(eve.expect("state").await["state"], json!({}));
    assert_eq!(recorded().await, false);
}

#[tokio::test]
async fn r87_no_state_of_a_host_leaves_out_the_sign() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let mut state: serde_json::Map<String, Value> = (0..16).map(|key| (format!("k{key}"), json!(true))).collect();
    let mut ada = server.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "state": state})).await;
    let mut eve = server.join("r", "Eve").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    let mut recorded = state.clone();
    recorded.insert("recording".to_owned(), json!("server"));
    assert_eq!(eve.expect("state").await["state"], json!(recorded));
    // The marker does not take a key of the state.
    ada.expect("peer_joined").await;
    ada.expect("state").await;
    ada.send(json!({"type": "state", "state": {"another": true}})).await;
    ada.expect_error("state_invalid").await;
    // The host reconnects to a room that was created again.
    let resume = ada.welcome["resume"].clone();
    leave(eve).await;
    leave(ada).await;
    let mut ada = server.connect("r").await;
    ada.join_with(json!({"type": "join", "name": "Ada", "resume": resume, "state": state})).await;
    let mut eve = server.join("r", "Eve").await;
    assert_eq!(upload.put_well(0, media(0, 1)).await, 1);
    if eve.welcome["peers"][0]["state"] != json!(recorded) {
        assert_eq!(eve.expect("state").await["state"], json!(recorded));
    }
    upload.call("POST", "/finish", "").await;
    assert_eq!(eve.expect("state").await["state"], json!(state));
    state.insert("another".to_owned(), json!(true));
    assert_eq!(state.len(), 17);
}

#[tokio::test]
async fn r87_everybody_is_told_of_the_end_where_the_next_one_is_refused() {
    let folder = Folder::new();
    let server = keeping(&folder, &[("ROUNDTABLE_RECORDINGS_QUOTA", "100")]).await;
    let ada = server.join("r", "Ada").await;
    let mut eve = server.join("r", "Eve").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    assert_eq!(eve.expect("state").await["state"], json!({"recording": "server"}));
    upload.put_well(0, media(0, 100)).await;
    // The host's page was closed and starts another recording: the first one is kept and uses up the quota.
    assert_refused(&begin(server.address, "r", &ada.welcome["resume"]).await, 507, "QUOTA_EXCEEDED");
    assert_eq!(eve.expect("state").await["state"], json!({}));
}

#[tokio::test]
async fn r88_what_nobody_goes_on_with_is_finished_and_what_is_old_is_deleted() {
    let folder = Folder::new();
    let server = keeping(
        &folder,
        &[
            ("ROUNDTABLE_RECORDINGS_SILENCE", "1s"),
            ("ROUNDTABLE_RESUME_WINDOW", "1s"),
            ("ROUNDTABLE_RECORDINGS_KEEP", "2days"),
        ],
    )
    .await;
    let ada = server.join("r", "Ada").await;
    let mut eve = server.join("r", "Eve").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 100)).await;
    // No more pieces arrive: the server ends the recording and announces that.
    assert_eq!(eve.expect("state").await["state"], json!({"recording": "server"}));
    assert_eq!(eve.expect("state").await["state"], json!({}));
    assert!(fs::read(folder.only(".webm")).unwrap() == media(0, 100));
    assert_refused(&upload.put(100, b"x").await, 409, "RECORDING_OVER");

    // Pieces still arrive, but their host has gone.
    let other = server.join("other", "Zoe").await;
    let upload = Upload::new(server.address, "other", &other).await;
    upload.put_well(0, media(0, 100)).await;
    drop(other);
    let mut at = 100;
    eventually("the recording to end", async || {
        let answer = upload.put(at, b"x").await;
        at += 1;
        if answer.status != 200 {
            assert_refused(&answer, 409, "RECORDING_OVER");
        }
        answer.status != 200
    })
    .await;

    // Two days later, by the clock, nothing is left; a minute earlier it was.
    let now = Now { wall: SystemTime::now(), tick: Instant::now() };
    let later = |minutes: u32| Now { wall: now.wall + MINUTE * minutes, tick: now.tick + MINUTE * minutes };
    let store = server.app.recordings.as_ref().unwrap();
    assert_eq!(folder.files(".webm").len(), 2);
    store.sweep(later(2 * 24 * 60 - 5), |_| HostPresence::Host).unwrap();
    assert_eq!(folder.files(".webm").len(), 2);
    store.sweep(later(2 * 24 * 60 + 5), |_| HostPresence::Host).unwrap();
    assert_eq!(kept(&folder), 0);
}

#[tokio::test]
async fn r88_a_clock_that_is_set_ends_nothing_and_keeps_nothing_going() {
    let folder = Folder::new();
    let server = keeping(&folder, &[]).await;
    let ada = server.join("r", "Ada").await;
    let upload = Upload::new(server.address, "r", &ada).await;
    upload.put_well(0, media(0, 100)).await;
    let store = server.app.recordings.as_ref().unwrap();
    let now = Now { wall: SystemTime::now(), tick: Instant::now() };
    for wall in [now.wall + MINUTE * 60 * 24, now.wall - MINUTE * 60 * 24] {
        let growing = store.sweep(Now { wall, ..now }, |_| HostPresence::Host).unwrap();
        assert_eq!((store.over().len(), growing.len()), (0, 1));
    }
    let growing =
        store.sweep(Now { wall: now.wall - MINUTE, tick: now.tick + MINUTE * 3 }, |_| HostPresence::Host).unwrap();
    assert_eq!((store.over().len(), growing.len()), (1, 0));
    assert_refused(&upload.put(100, b"x").await, 409, "RECORDING_OVER");
}

#[test]
fn r88_a_clock_that_is_wrong_for_less_than_an_hour_deletes_nothing() {
    let folder = Folder::new();
    let config = crate::common::config(&[("ROUNDTABLE_RECORDINGS_DIR", folder.path())]);
    let begun = Now { wall: SystemTime::now(), tick: Instant::now() };
    let at = |minutes: u32, days_ahead: u32| Now {
        wall: begun.wall + MINUTE * (minutes + days_ahead * 24 * 60),
        tick: begun.tick + MINUTE * minutes,
    };
    let rules = config.recordings.rules(config.zone).unwrap();
    let store = Recordings::open(rules, RecordingMetrics::default(), begun).unwrap();
    let whose = Whose { room: RoomName::new("r").unwrap(), host: PeerId::parse("0123456789abcdefghij").unwrap() };
    let id = store.begin(whose, begun).unwrap().id;
    store.append(&id, 0, &media(0, 100), begun).unwrap();
    store.end(&id, Ended::Finished, begun).unwrap();
    let left = |now| {
        store.sweep(now, |_| HostPresence::Host).unwrap();
        folder.files(".webm").len()
    };
    assert_eq!(left(at(120, 0)), 1);
    assert!((121..181).all(|minutes| left(at(minutes, 3_650)) == 1));
    // The clock is corrected.
    assert!((181..300).all(|minutes| left(at(minutes, 0)) == 1));
    // Time continues steadily, as in a directory that is not swept for a while.
    assert_eq!((left(at(7 * 24 * 60 - 1, 0)), left(at(7 * 24 * 60 + 1, 0))), (1, 0));
}

#[tokio::test]
async fn r89_whoever_runs_the_server_lists_fetches_and_deletes() {
    let folder = Folder::new();
    let server = keeping(&folder, &[("TZ", "Asia/Shanghai")]).await;
    let mut hosts = Vec::new();
    for room in ["a", "b", "c"] {
        let host = server.join(room, "Ada").await;
        let upload = Upload::new(server.address, room, &host).await;
        upload.put_well(0, media(0, 1_000)).await;
        hosts.push((host, upload));
    }
    hosts[0].1.call("POST", "/finish", "").await;
    let page = admin(server.address, "GET", "/recordings?limit=2", &[]).await.json()["data"].clone();
    assert_eq!((&page["total"], &page["bytes"]), (&json!(3), &json!(3_000)));
    let rest =
        admin(server.address, "GET", &format!("/recordings?after={}", page["next"].as_str().unwrap()), &[]).await;
    let rest = rest.json()["data"].clone();
    assert_eq!(rest.get("next"), None);
    let all: Vec<Value> =
        [&page, &rest].iter().flat_map(|page| page["recordings"].as_array().unwrap().clone()).collect();
    let mut rooms: Vec<&str> = all.iter().map(|recording| recording["room"].as_str().unwrap()).collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["a", "b", "c"]);
    let finished = all.iter().find(|recording| recording["room"] == "a").unwrap();
    assert!(finished["begun"].as_str().unwrap().ends_with("+08:00"), "{finished}");
    assert!(finished["ended"].is_string());
    let growing = all.iter().find(|recording| recording["room"] == "b").unwrap();
    assert_eq!((&growing["ended"], &growing["bytes"]), (&Value::Null, &json!(1_000)));

    let file = |recording: &Value| format!("/recordings/{}/file", recording["id"].as_str().unwrap());
    let whole = admin(server.address, "GET", &file(finished), &[]).await;
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/webm")));
    let name = format!("attachment; filename=\"{}.webm\"", finished["id"].as_str().unwrap());
    assert_eq!(whole.header("content-disposition"), Some(&*name));
    assert!(whole.body == media(0, 1_000));
    // This includes growing recordings, and ranges of them.
    let part = admin(server.address, "GET", &file(growing), &[("Range", "bytes=10-19")]).await;
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 10-19/1000")));
    assert!(part.body == media(10, 20));

    for wrong in ["nothing", "..%2F..%2Fetc%2Fpasswd", "%2E%2E"] {
        assert_refused(
            &admin(server.address, "GET", &format!("/recordings/{wrong}/file"), &[]).await,
            404,
            "RECORDING_NOT_FOUND",
        );
        assert_refused(
            &admin(server.address, "DELETE", &format!("/recordings/{wrong}"), &[]).await,
            404,
            "RECORDING_NOT_FOUND",
        );
    }
    let target = format!("/signal-api/v1/admin{}", file(finished));
    assert_refused(&ask(server.address, "GET", &target, &[]).await, 401, "UNAUTHORIZED");
    for recording in [finished, growing] {
        let path = format!("/recordings/{}", recording["id"].as_str().unwrap());
        assert_eq!(admin(server.address, "DELETE", &path, &[]).await.status, 200);
        assert_refused(&admin(server.address, "GET", &format!("{path}/file"), &[]).await, 404, "RECORDING_NOT_FOUND");
    }
    assert_refused(&hosts[1].1.put(1_000, b"x").await, 403, "UPLOAD_INVALID");
    assert_eq!(kept(&folder), 2);
}
