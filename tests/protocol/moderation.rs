//! R38 and R43 to R46: moderation.

use serde_json::{Value, json};

use super::people::{ROOM, act, guest, host, knock, leave, member};
use crate::common::TestServer;
use crate::common::http::ask;
use crate::common::raw::Raw;

#[tokio::test]
async fn r38_settings_are_merged_and_part_of_the_version() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    assert_eq!(ada.welcome["settings"], json!({"locked": false, "lobby": false, "talk": true}));
    // Settings in a join have no effect in an existing room.
    let mut bob = server.connect(ROOM).await;
    bob.join_with(json!({"type": "join", "name": "Bob", "settings": {"talk": false, "locked": true}})).await;
    assert_eq!(bob.welcome["settings"], ada.welcome["settings"]);
    ada.expect("peer_joined").await;
    act(&mut ada, json!({"action": "settings", "settings": {"talk": false, "locked": true}})).await;
    let settings = json!({"locked": true, "lobby": false, "talk": false});
    for client in [&mut ada, &mut bob] {
        let message = json!({"type": "settings", "version": 3, "settings": settings});
        assert_eq!(client.expect("settings").await, message);
    }
    // Settings that change nothing are not announced.
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true}})).await;
    bob.send(json!({"type": "sync"})).await;
    let roster = bob.expect("roster").await;
    assert_eq!((&roster["version"], &roster["settings"]), (&json!(3), &settings));
    assert_eq!((&roster["role"], &roster["peers"][0]["role"]), (&json!("listener"), &json!("host")));
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r43_to_ask_is_told_to_one_alone_and_changes_nothing() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let mut zoe = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    for ask in ["mute", "unmute"] {
        act(&mut ada, json!({"action": "ask", "to": bob.id(), "ask": ask})).await;
        assert_eq!(bob.expect("asked").await, json!({"type": "asked", "from": ada.id(), "ask": ask}));
    }
    for client in [&mut ada, &mut bob, &mut zoe] {
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn r44_what_a_host_switches_off_is_off_for_all_to_see() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = server.connect(ROOM).await;
    let on = json!({"mic": true, "camera": true, "screen": true, "hand": true});
    bob.join_with(json!({"type": "join", "name": "Bob", "state": on})).await;
    ada.expect("peer_joined").await;
    let mut state = on;
    for what in ["mic", "camera", "screen", "hand"] {
        act(&mut ada, json!({"action": "switch_off", "to": bob.id(), "what": what})).await;
        assert_eq!(bob.expect("switched_off").await, json!({"type": "switched_off", "from": ada.id(), "what": what}));
        state[what] = json!(false);
        // One after another, as changes within one interval are announced together.
        for client in [&mut ada, &mut bob] {
            assert_eq!(client.expect("state").await["state"], state);
        }
    }
    // If it is already off, only the peer is notified.
    act(&mut ada, json!({"action": "switch_off", "to": bob.id(), "what": "mic"})).await;
    bob.expect("switched_off").await;
    ada.expect_nothing().await;
    // A participant may turn it on again; a host can change the role or remove the member.
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    assert_eq!(ada.expect("state").await["state"]["mic"], true);
}

#[tokio::test]
async fn r45_who_is_removed_is_out_and_what_it_sends_reaches_nobody() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let (mut eve, welcome) = Raw::join(&server, ROOM, "Eve").await;
    ada.expect("peer_joined").await;
    let own = json!({"action": "remove", "to": ada.id()});
    act(&mut ada, own).await;
    ada.expect_error("not_allowed").await;
    act(&mut ada, json!({"action": "remove", "to": welcome["self"]})).await;
    let left = ada.expect("peer_left").await;
    assert_eq!((&left["id"], &left["reason"]), (&welcome["self"], &json!("removed")));
    // The client may keep sending until it confirms the close.
    let signal = json!({"type": "signal", "to": ada.id(), "data": 1}).to_string();
    for text in [
        r#"{"type":"broadcast","data":1}"#,
        r#"{"type":"state","state":{"mic":true}}"#,
        r#"{"type":"moderate","action":"end"}"#,
        &signal,
    ] {
        eve.text(text).await;
    }
    assert_eq!(eve.close_code().await, 4008);
    drop(eve);
    server.metric_becomes("roundtable_sockets", 1).await;
    ada.expect_nothing().await;

    // From now on it is a stranger, kept out by lock and lobby, and its secret is rejected.
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    let mut by_secret = server.connect(ROOM).await;
    by_secret.send(json!({"type": "join", "name": "Eve", "resume": welcome["resume"]})).await;
    assert_eq!(by_secret.expect_close().await, Some(4008));
    let mut again = server.connect(ROOM).await;
    again.send(json!({"type": "join", "name": "Eve"})).await;
    again.expect("waiting").await;
    assert_ne!(ada.expect("lobby").await["waiting"][0]["id"], welcome["self"]);
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true}})).await;
    assert_eq!(again.expect_close().await, Some(4006));
}

#[tokio::test]
async fn r45_a_removal_holds_for_earlier_secrets_and_for_the_host_key() {
    // More members than the server remembers: the removal of the key's holder must not be forgotten.
    for others in [0, 257] {
        let server = TestServer::start(&[]).await;
        let answer = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
        let (room, key) = (answer["data"]["room"].as_str().unwrap(), &answer["data"]["host_key"]);
        let join = async |credentials: &[(&str, &Value)]| {
            let mut client = server.connect(room).await;
            let mut join = json!({"type": "join", "name": "Eve"});
            credentials.iter().for_each(|(field, value)| join[*field] = (*value).clone());
            client.send(join).await;
            client
        };
        let mut maker = join(&[("host_key", key)]).await;
        let earlier = maker.expect("welcome").await["resume"].clone();
        // Without the key: the server still knows who holds it.
        let mut maker = join(&[("resume", &earlier)]).await;
        let present = maker.expect("welcome").await;
        for _ in 0..others {
            let mut other = join(&[("host_key", key)]).await;
            other.expect("welcome").await;
            other.send(json!({"type": "leave"})).await;
            other.expect_close().await;
        }
        let mut ada = server.join(room, "Ada").await;
        maker.expect("peer_joined").await;
        act(&mut maker, json!({"action": "role", "to": ada.id(), "role": "host"})).await;
        ada.expect("role").await;
        act(&mut ada, json!({"action": "remove", "to": present["self"]})).await;
        ada.expect("peer_left").await;
        assert_eq!(maker.skip_to_close().await, Some(4008));
        for credentials in [
            &[("resume", &earlier)][..],
            &[("resume", &present["resume"])],
            &[("host_key", key)],
            &[("resume", &earlier), ("host_key", key)],
        ] {
            assert_eq!(join(credentials).await.expect_close().await, Some(4008), "{credentials:?}");
        }
        ada.expect_nothing().await;
        assert_eq!(
            join(&[]).await.expect("welcome").await["role"],
            "participant",
            "a stranger did not join as a participant"
        );
        ada.expect("peer_joined").await;
        ada.expect("link").await;
        // The next meeting with this name is not affected.
        act(&mut ada, json!({"action": "end"})).await;
        assert_eq!(ada.expect_close().await, Some(4009));
        assert_eq!(join(&[("host_key", key)]).await.expect("welcome").await["role"], "host");
    }
}

#[tokio::test]
async fn r45_an_invalid_host_key_does_not_make_a_substitute_a_host_for_good() {
    let server = TestServer::start(&[]).await;
    let answer = ask(server.address, "POST", "/signal-api/v1/rooms", &[]).await.json();
    let (room, key) = (answer["data"]["room"].as_str().unwrap(), &answer["data"]["host_key"]);
    let join = async |mut join: Value| {
        let mut client = server.connect(room).await;
        (join["type"], join["name"]) = (json!("join"), json!("Eve"));
        client.join_with(join).await;
        client
    };
    let mut ada = join(json!({})).await;
    let mut bob = join(json!({})).await;
    let mallory = join(json!({"host_key": key})).await;
    for _ in [&bob, &mallory] {
        ada.expect("peer_joined").await;
    }
    bob.expect("peer_joined").await;
    act(&mut ada, json!({"action": "remove", "to": mallory.id()})).await;
    bob.expect("peer_left").await;
    let resume = ada.welcome["resume"].clone();
    leave(ada).await;
    bob.expect("peer_left").await;
    bob.expect("role").await;
    // The secret admits the member, but the key that it was given is no longer valid.
    let mut bob = join(json!({"resume": bob.welcome["resume"], "host_key": key})).await;
    assert_eq!(bob.welcome["role"], "host");
    join(json!({"resume": resume})).await;
    bob.expect("peer_joined").await;
    let role = bob.expect("role").await;
    assert_eq!((&role["id"], &role["role"]), (&json!(bob.id()), &json!("participant")));
}

#[tokio::test]
async fn r46_end_closes_everyone_and_whoever_waits() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    bob.expect("settings").await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    act(&mut ada, json!({"action": "end"})).await;
    for client in [&mut ada, &mut bob, &mut eve] {
        assert_eq!(client.expect_close().await, Some(4009));
    }
    for gauge in ["roundtable_rooms", "roundtable_members"] {
        server.metric_becomes(gauge, 0).await;
    }
    // Nothing is kept: neither the members nor the lobby.
    let mut zoe = server.join(ROOM, "Zoe").await;
    assert_eq!(
        (zoe.version(), &zoe.welcome["role"], &zoe.welcome["settings"]["lobby"]),
        (1, &json!("host"), &json!(false))
    );
    assert_eq!(server.join(ROOM, "Ada").await.welcome["role"], "participant");
    zoe.expect("peer_joined").await;
    // A secret of an ended meeting is not valid for the next one.
    let mut by_secret = server.connect(ROOM).await;
    by_secret.send(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
    assert_eq!(by_secret.expect_close().await, Some(4009));
    zoe.expect("link").await;
}

#[tokio::test]
async fn r111_without_a_grace_period_a_room_ends_with_its_last_member() {
    let server = TestServer::start(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    leave(ada).await;
    assert_eq!(eve.expect_close().await, Some(4013));
    server.metric_becomes("roundtable_rooms", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r46_who_comes_while_a_meeting_ends_is_in_the_next_one_or_is_closed_with_it() {
    let server = TestServer::start(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    for round in 0..10 {
        let mut ada = server.join(ROOM, "Ada").await;
        let comers = futures_util::future::join_all((0..4).map(|_| knock(&server, "Bob")));
        let ((), comers) = tokio::join!(act(&mut ada, json!({"action": "end"})), comers);
        ada.drain().await;
        let mut hosts = 0;
        let mut stay = Vec::new();
        for mut comer in comers {
            let welcome = comer.expect("welcome").await;
            hosts += usize::from(welcome["role"] == "host");
            stay.push(comer);
        }
        assert!(hosts <= 1, "round {round}: {hosts} hosts of the next meeting");
        for client in stay {
            leave(client).await;
        }
        server.metric_becomes("roundtable_rooms", 0).await;
        assert_eq!(server.metric("roundtable_members").await, 0);
    }
}
