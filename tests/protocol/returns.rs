//! R110 to R114: returning hosts, rooms that are empty for a while, and reloaded pages.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::people::{ROOM, Returning, act, back, expect_link, guest, host, knock, leave, member, pair};
use crate::common::client::Client;
use crate::common::http::ask;
use crate::common::raw::{CLOSE, FIN, Raw};
use crate::common::{TestServer, http};

/// Close codes of a page that ends: the browser's own, and that of the page's script.
const PAGE_ENDS: [u16; 2] = [1001, 3002];

/// Expects a role change with its reason.
async fn expect_role(client: &mut Client, id: &str, role: &str, reason: Value) {
    let message = client.expect("role").await;
    assert_eq!((&message["id"], &message["role"], &message["reason"]), (&json!(id), &json!(role), &reason));
}

/// Joins with a resume secret, like a reloaded page.
async fn join_again(server: &TestServer, resume: &Value) -> Client {
    let mut client = server.connect(ROOM).await;
    client.join_with(json!({"type": "join", "name": "Ada", "resume": resume})).await;
    client
}

#[tokio::test]
async fn r110_a_lost_host_is_still_host_and_its_guests_still_wait() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": true}})).await;
    for client in [&mut ada, &mut bob] {
        client.expect("settings").await;
    }
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    let (id, returning) = (ada.id().to_owned(), Returning::of(&ada));
    drop(ada);
    expect_link(&mut bob, &id, "lost").await;
    for client in [&mut bob, &mut eve] {
        client.expect_nothing().await;
    }
    let mut again = join_again(&server, &returning.resume).await;
    assert_eq!((&again.welcome["role"], again.id()), (&json!("host"), &*id));
    assert_eq!(again.welcome["settings"], json!({"locked": false, "lobby": true, "talk": true}));
    assert_eq!(again.expect("lobby").await["waiting"][0]["id"], json!(eve_id));
    bob.expect("peer_left").await;
    bob.expect("peer_joined").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r110_nobody_takes_the_place_of_a_host_before_its_window_is_over() {
    let server = TestServer::start(&[("ROUNDTABLE_RESUME_WINDOW", "6s")]).await;
    let (ada, mut bob) = pair(&server).await;
    let (id, begun) = (ada.id().to_owned(), Instant::now());
    page_ends(ada, 1001).await;
    expect_link(&mut bob, &id, "lost").await;
    // The tab may be closed, or it may load slowly.
    assert_eq!(bob.expect("peer_left").await["reason"], "closed");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    act(&mut bob, json!({"action": "settings", "settings": {"locked": true}})).await;
    bob.expect_error("not_allowed").await;
    // A newcomer cannot change the room either.
    let zoe = member(&server, "Zoe", &mut [&mut bob]).await;
    assert_eq!(zoe.welcome["role"], "participant");
    let own = bob.id().to_owned();
    expect_role(&mut bob, &own, "host", json!("host_absent")).await;
    assert!(begun.elapsed() >= Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn r110_a_host_that_was_gone_for_less_than_its_window_finds_its_place() {
    let server = TestServer::start(&[]).await;
    let (ada, mut bob) = pair(&server).await;
    let (id, resume) = (ada.id().to_owned(), ada.welcome["resume"].clone());
    page_ends(ada, 3002).await;
    expect_link(&mut bob, &id, "lost").await;
    bob.expect("peer_left").await;
    let again = join_again(&server, &resume).await;
    assert_eq!((&again.welcome["role"], again.id()), (&json!("host"), &*id));
    bob.expect("peer_joined").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r111_an_empty_room_keeps_its_settings_its_lobby_and_its_host() {
    let server = TestServer::start(&[]).await;
    assert_eq!(crate::common::config(&[]).empty_room_grace, Duration::from_secs(60));
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    let resume = ada.welcome["resume"].clone();
    leave(ada).await;
    server.metric_becomes("roundtable_members", 0).await;
    assert_eq!(server.metric("roundtable_rooms").await, 1);
    eve.expect_nothing().await;
    // A stranger does not create the room again.
    let mut zoe = knock(&server, "Zoe").await;
    zoe.expect("waiting").await;
    let mut again = join_again(&server, &resume).await;
    assert_eq!((&again.welcome["role"], &again.welcome["settings"]["lobby"]), (&json!("host"), &json!(true)));
    assert_eq!(again.expect("lobby").await["waiting"].as_array().unwrap().len(), 2);
    act(&mut again, json!({"action": "admit", "to": eve_id})).await;
    eve.expect("welcome").await;
}

#[tokio::test]
async fn r111_an_empty_room_stays_locked_and_shows_it() {
    let server = TestServer::start(&[]).await;
    let ada = host(&server, json!({"locked": true})).await;
    let resume = ada.welcome["resume"].clone();
    leave(ada).await;
    server.metric_becomes("roundtable_members", 0).await;
    knock(&server, "Eve").await.expect_error("room_locked").await;
    let shown = server.get(&format!("/signal-api/v1/rooms/{ROOM}")).await.json();
    assert_eq!((&shown["data"]["open"], &shown["data"]["locked"]), (&json!(false), &json!(true)));
    // Settings in a join only count if it creates the room.
    let mut again = server.connect(ROOM).await;
    let join = json!({"type": "join", "name": "Ada", "resume": resume, "settings": {"locked": false}});
    again.join_with(join).await;
    assert_eq!((&again.welcome["role"], &again.welcome["settings"]["locked"]), (&json!("host"), &json!(true)));
}

#[tokio::test]
async fn r111_after_the_grace_period_nothing_is_kept_and_whoever_waits_is_told() {
    let server = TestServer::start(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "500ms")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    leave(ada).await;
    eve.expect_nothing().await;
    assert_eq!(eve.expect_close().await, Some(4013));
    server.metric_becomes("roundtable_rooms", 0).await;
    let bob = server.join(ROOM, "Bob").await;
    assert_eq!((&bob.welcome["role"], bob.version()), (&json!("host"), 1));
    assert_eq!(bob.welcome["settings"]["lobby"], false);
}

#[tokio::test]
async fn r111_whoever_comes_in_time_ends_the_grace_period() {
    let server = TestServer::start(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "500ms")]).await;
    let ada = host(&server, json!({"talk": true})).await;
    let resume = ada.welcome["resume"].clone();
    leave(ada).await;
    server.metric_becomes("roundtable_members", 0).await;
    let mut again = join_again(&server, &resume).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    again.send(json!({"type": "sync"})).await;
    assert_eq!(again.expect("roster").await["settings"]["talk"], true);
}

#[tokio::test]
async fn r111_a_meeting_that_a_host_ends_leaves_nothing() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"locked": true})).await;
    act(&mut ada, json!({"action": "end"})).await;
    assert_eq!(ada.expect_close().await, Some(4009));
    server.metric_becomes("roundtable_rooms", 0).await;
    assert_eq!(server.join(ROOM, "Bob").await.welcome["role"], "host");
}

#[tokio::test]
async fn r111_a_shutdown_does_not_wait_for_an_empty_room() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    leave(ada).await;
    let running = server.shut_down();
    eve.expect("go_away").await;
    assert_eq!(eve.expect_close().await, Some(1012));
    drop(eve);
    crate::common::within("the end of the server", running).await.unwrap();
}

#[tokio::test]
async fn r112_a_host_that_returns_gets_the_role_back_and_its_substitute_steps_down() {
    let server = TestServer::start(&[]).await;
    let (ada, mut bob) = pair(&server).await;
    let (id, resume, bob_id) = (ada.id().to_owned(), ada.welcome["resume"].clone(), bob.id().to_owned());
    leave(ada).await;
    bob.expect("peer_left").await;
    expect_role(&mut bob, &bob_id, "host", json!("host_absent")).await;
    let mut again = join_again(&server, &resume).await;
    assert_eq!((&again.welcome["role"], again.id()), (&json!("host"), &*id));
    bob.expect("peer_joined").await;
    for client in [&mut bob, &mut again] {
        expect_role(client, &bob_id, "participant", json!("host_returned")).await;
    }
    act(&mut bob, json!({"action": "settings", "settings": {"locked": true}})).await;
    bob.expect_error("not_allowed").await;
    // A member that a host makes a host keeps the role, whoever returns.
    act(&mut again, json!({"action": "role", "to": bob_id, "role": "host"})).await;
    expect_role(&mut bob, &bob_id, "host", Value::Null).await;
    let _again = back(&server, &again).await;
    bob.expect("peer_left").await;
    bob.expect("peer_joined").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn r112_strangers_who_come_and_go_do_not_make_a_room_forget_its_host() {
    let server = TestServer::start(&[]).await;
    let (ada, mut bob) = pair(&server).await;
    let (resume, bob_id) = (ada.welcome["resume"].clone(), bob.id().to_owned());
    leave(ada).await;
    bob.expect("peer_left").await;
    expect_role(&mut bob, &bob_id, "host", json!("host_absent")).await;
    // One more than the room remembers.
    for _ in 0..257 {
        leave(member(&server, "Eve", &mut [&mut bob]).await).await;
        bob.expect("peer_left").await;
    }
    let again = join_again(&server, &resume).await;
    assert_eq!(again.welcome["role"], "host");
    bob.expect("peer_joined").await;
    expect_role(&mut bob, &bob_id, "participant", json!("host_returned")).await;
}

#[tokio::test]
async fn r112_the_creator_needs_no_more_than_the_host_key() {
    let server = TestServer::start(&[]).await;
    let made = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
    let (room, key) = (made["data"]["room"].as_str().unwrap(), &made["data"]["host_key"]);
    let join = json!({"type": "join", "name": "Ada", "host_key": key});
    let mut ada = server.connect(room).await;
    ada.join_with(join.clone()).await;
    let mut bob = server.join(room, "Bob").await;
    let bob_id = bob.id().to_owned();
    leave(ada).await;
    bob.expect("peer_left").await;
    expect_role(&mut bob, &bob_id, "host", json!("host_absent")).await;
    let mut again = server.connect(room).await;
    again.join_with(join).await;
    assert_eq!(again.welcome["role"], "host");
    bob.expect("peer_joined").await;
    for client in [&mut bob, &mut again] {
        expect_role(client, &bob_id, "participant", json!("host_returned")).await;
    }
}

#[tokio::test]
async fn r112_a_substitute_that_loads_its_page_again_is_still_one() {
    let server = TestServer::start(&[]).await;
    let (ada, mut bob) = pair(&server).await;
    let resume = ada.welcome["resume"].clone();
    leave(ada).await;
    bob.expect("peer_left").await;
    bob.expect("role").await;
    let mut bob = back(&server, &bob).await;
    assert_eq!(bob.welcome["role"], "host");
    let own = bob.id().to_owned();
    join_again(&server, &resume).await;
    bob.expect("peer_joined").await;
    expect_role(&mut bob, &own, "participant", json!("host_returned")).await;
}

#[tokio::test]
async fn r112_a_substitute_that_left_returns_as_what_it_was_before() {
    let server = TestServer::start(&[]).await;
    let (ada, mut bob) = pair(&server).await;
    let mut zoe = member(&server, "Zoe", &mut [&mut bob]).await;
    leave(ada).await;
    for client in [&mut bob, &mut zoe] {
        client.expect_nothing_but(&["peer_joined", "peer_left", "role"]).await;
    }
    let resume = bob.welcome["resume"].clone();
    leave(bob).await;
    zoe.expect("peer_left").await;
    let own = zoe.id().to_owned();
    expect_role(&mut zoe, &own, "host", json!("host_absent")).await;
    assert_eq!(join_again(&server, &resume).await.welcome["role"], "participant");
    zoe.expect("peer_joined").await;
}

#[tokio::test]
async fn r113_a_talk_without_a_host_waits_for_one() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut eve = member(&server, "Eve", &mut [&mut ada]).await;
    let resume = ada.welcome["resume"].clone();
    leave(ada).await;
    eve.expect("peer_left").await;
    eve.send(json!({"type": "sync"})).await;
    assert_eq!(eve.expect("roster").await["role"], "listener");
    let mut again = join_again(&server, &resume).await;
    assert_eq!(again.welcome["role"], "host");
    eve.expect("peer_joined").await;
    // Only a host can change that.
    act(&mut again, json!({"action": "role", "to": eve.id(), "role": "host"})).await;
    assert_eq!(eve.expect("role").await["role"], "host");
}

/// Ends a page with this close code.
async fn page_ends(mut client: Client, code: u16) {
    client.close_with(code).await;
}

#[tokio::test]
async fn r114_a_page_that_ends_is_gone_within_five_seconds() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    for code in PAGE_ENDS {
        let (mut raw, welcome) = Raw::join(&server, ROOM, "Bob").await;
        ada.expect("peer_joined").await;
        let begun = Instant::now();
        raw.frame(FIN | CLOSE, &code.to_be_bytes()).await;
        assert_eq!(raw.read().await, Some((CLOSE, code.to_be_bytes().to_vec())));
        expect_link(&mut ada, welcome["self"].as_str().unwrap(), "lost").await;
        assert_eq!(ada.expect("peer_left").await["reason"], "closed");
        let took = begun.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn r114_a_page_that_loads_again_has_not_left() {
    let server = TestServer::start(&[]).await;
    for code in PAGE_ENDS {
        let (mut ada, bob) = pair(&server).await;
        let (id, resume) = (bob.id().to_owned(), bob.welcome["resume"].clone());
        let late = json!({"room": ROOM, "resume": resume, "may_return": true}).to_string();
        page_ends(bob, code).await;
        expect_link(&mut ada, &id, "lost").await;
        let again = join_again(&server, &resume).await;
        assert_eq!((again.id(), &again.welcome["resumed"]), (&*id, &json!(true)));
        assert_eq!(ada.expect("peer_left").await["reason"], "superseded");
        ada.expect("peer_joined").await;
        // The ended page's request to leave may arrive last.
        let answer = http::post(server.address, "/signal-api/v1/leave", &late).await;
        assert_eq!(answer.json(), json!({"code": "SUCCESS", "data": {"left": false}}));
        tokio::time::sleep(Duration::from_secs(5)).await;
        ada.expect_nothing().await;
        leave(again).await;
        leave(ada).await;
        server.metric_becomes("roundtable_members", 0).await;
    }
}

#[tokio::test]
async fn r114_a_page_whose_socket_is_lost_says_over_http_that_it_ends() {
    let server = TestServer::start(&[]).await;
    let (mut ada, bob) = pair(&server).await;
    let (id, resume) = (bob.id().to_owned(), bob.welcome["resume"].clone());
    drop(bob);
    expect_link(&mut ada, &id, "lost").await;
    let begun = Instant::now();
    let goodbye = json!({"room": ROOM, "resume": resume, "may_return": true}).to_string();
    assert_eq!(http::post(server.address, "/signal-api/v1/leave", &goodbye).await.status, 200);
    ada.expect_nothing().await;
    ada.expect("peer_left").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
