//! R36 to R46: hosts, the lobby, locks and talks.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;
use crate::common::raw::Raw;

const ROOM: &str = "r";

/// Sends an act of a host.
async fn act(client: &mut Client, mut act: Value) {
    act["type"] = json!("moderate");
    client.send(act).await;
}

/// The maker of a room with these settings.
async fn host(server: &TestServer, settings: Value) -> Client {
    let mut host = server.connect(ROOM).await;
    host.join_with(json!({"type": "join", "name": "Ada", "settings": settings})).await;
    host
}

/// Joins, which is not answered yet.
async fn knock(server: &TestServer, name: &str) -> Client {
    let mut guest = server.connect(ROOM).await;
    guest.send(json!({"type": "join", "name": name})).await;
    guest
}

/// Waits in the lobby; the host is shown the guest, whose id comes too.
async fn guest(server: &TestServer, host: &mut Client, name: &str) -> (Client, String) {
    let mut guest = knock(server, name).await;
    assert_eq!(guest.expect("waiting").await, json!({"type": "waiting"}));
    let lobby = host.expect("lobby").await;
    let last = lobby["waiting"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["name"], name);
    (guest, last["id"].as_str().unwrap().to_owned())
}

/// Joins again with an earlier secret.
async fn back(server: &TestServer, earlier: &Client) -> Client {
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "again", "resume": earlier.welcome["resume"]})).await;
    assert_eq!(again.welcome["resumed"], true);
    again
}

/// A member, and the announcement of it taken from everybody else.
async fn member(server: &TestServer, name: &str, others: &mut [&mut Client]) -> Client {
    let member = server.join(ROOM, name).await;
    for other in others {
        assert_eq!(other.expect("peer_joined").await["peer"]["id"], member.id());
    }
    member
}

async fn leave(mut client: Client) {
    client.send(json!({"type": "leave"})).await;
    client.drain().await;
}

#[tokio::test]
async fn r36_who_makes_a_room_is_its_host_and_the_eldest_inherits() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    assert_eq!(ada.welcome["role"], "host");
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let mut zoe = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    assert_eq!((&zoe.welcome["role"], &zoe.welcome["peers"][0]["role"]), (&json!("participant"), &json!("host")));
    let before = ada.welcome["resume"].clone();
    leave(ada).await;
    for client in [&mut bob, &mut zoe] {
        assert_eq!(client.expect("peer_left").await["version"], 4);
    }
    for client in [&mut zoe, &mut bob] {
        let role = client.expect("role").await;
        assert_eq!((&role["version"], &role["role"]), (&json!(5), &json!("host")));
    }
    act(&mut bob, json!({"action": "settings", "settings": {"talk": true}})).await;
    assert_eq!(bob.expect("settings").await["version"], 6);

    // Who comes back is what it was, in a talk too.
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "Ada", "resume": before})).await;
    assert_eq!((&again.welcome["role"], &again.welcome["resumed"]), (&json!("host"), &json!(true)));
}

#[tokio::test]
async fn r36_a_listener_inherits_only_where_nobody_else_is() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut listener = member(&server, "Elder", &mut [&mut ada]).await;
    let mut speaker = member(&server, "Younger", &mut [&mut ada, &mut listener]).await;
    act(&mut ada, json!({"action": "role", "to": speaker.id(), "role": "participant"})).await;
    leave(ada).await;
    for client in [&mut speaker, &mut listener] {
        client.expect("role").await;
        client.expect("peer_left").await;
    }
    let role = listener.expect("role").await;
    assert_eq!((&role["id"], &role["role"]), (&json!(speaker.id()), &json!("host")));
    leave(speaker).await;
    listener.expect("peer_left").await;
    assert_eq!(listener.expect("role").await["id"], listener.id());
    listener.send(json!({"type": "state", "state": {"mic": true}})).await;
    assert_eq!(listener.expect("state").await["state"]["mic"], true);
}

#[tokio::test]
async fn r36_a_superseded_host_stays_host_and_has_no_heir() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let mut again = back(&server, &ada).await;
    assert_eq!(again.welcome["role"], "host");
    assert_eq!(ada.expect_close().await, Some(4004));
    bob.expect("peer_left").await;
    assert_eq!(bob.expect("peer_joined").await["peer"]["role"], "host");
    bob.expect_nothing().await;
    act(&mut bob, json!({"action": "end"})).await;
    bob.expect_error("not_allowed").await;
    again.expect_nothing().await;
}

#[tokio::test]
async fn r36_a_secret_of_an_earlier_life_of_a_room_gives_no_privilege() {
    let server = TestServer::start(&[]).await;
    let first = server.join(ROOM, "Ada").await;
    let resume = first.welcome["resume"].clone();
    leave(first).await;
    let mut bob = host(&server, json!({"locked": true})).await;
    assert_eq!(bob.version(), 1);
    let mut ada = server.connect(ROOM).await;
    ada.send(json!({"type": "join", "name": "Ada", "resume": resume})).await;
    ada.expect_error("room_locked").await;
    act(&mut bob, json!({"action": "settings", "settings": {"locked": false}})).await;
    bob.expect("settings").await;
    let mut ada = server.connect(ROOM).await;
    ada.join_with(json!({"type": "join", "name": "Ada", "resume": resume})).await;
    assert_eq!(ada.welcome["role"], "participant");
}

#[tokio::test]
async fn r37_only_hosts_moderate_and_only_who_is_there() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    bob.welcome = bob.expect("welcome").await;
    assert_eq!((bob.id(), &ada.expect("lobby").await["waiting"]), (&*id, &json!([])));
    ada.expect("peer_joined").await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    let acts = |to: &str| {
        vec![
            json!({"action": "role", "to": to, "role": "host"}),
            json!({"action": "ask", "to": to, "ask": "mute"}),
            json!({"action": "switch_off", "to": to, "what": "mic"}),
            json!({"action": "remove", "to": to}),
            json!({"action": "admit", "to": to}),
            json!({"action": "refuse", "to": to}),
        ]
    };
    // What a participant or a guest forges changes nothing, whomever it names.
    for target in [ada.id().to_owned(), id.clone(), eve_id] {
        for (client, code) in [(&mut bob, "not_allowed"), (&mut eve, "not_admitted")] {
            let everyone = [json!({"action": "end"}), json!({"action": "settings", "settings": {"locked": true}})];
            for mut forged in acts(&target).into_iter().chain(everyone) {
                forged["ref"] = json!(7);
                act(client, forged).await;
                let error = client.expect_error(code).await;
                assert_eq!((&error["re"], &error["ref"]), (&json!("moderate"), &json!(7)));
            }
        }
    }
    for missing in acts("AAAAAAAAAAAAAAAAAAAA") {
        act(&mut ada, missing).await;
        ada.expect_error("peer_not_found").await;
    }
    // A member is not admitted again, and nobody is removed who only waits.
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    ada.expect_error("peer_not_found").await;
    for client in [&mut ada, &mut bob, &mut eve] {
        client.expect_nothing().await;
    }
}

#[tokio::test]
async fn r38_settings_are_merged_and_part_of_the_version() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    assert_eq!(ada.welcome["settings"], json!({"locked": false, "lobby": false, "talk": true}));
    // Whoever comes later sets nothing by joining.
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
    // What changes nothing is not announced.
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true}})).await;
    bob.send(json!({"type": "sync"})).await;
    let roster = bob.expect("roster").await;
    assert_eq!((&roster["version"], &roster["settings"]), (&json!(3), &settings));
    assert_eq!((&roster["role"], &roster["peers"][0]["role"]), (&json!("listener"), &json!("host")));
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r39_a_locked_room_lets_only_those_in_who_were_in() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({})).await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let gone = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    let resume = gone.welcome["resume"].clone();
    leave(gone).await;
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true}})).await;
    for client in [&mut ada, &mut bob] {
        client.expect("peer_left").await;
        client.expect("settings").await;
    }
    let mut eve = knock(&server, "Eve").await;
    let error = eve.expect_error("room_locked").await;
    assert_eq!(error["re"], "join");
    assert_eq!(eve.expect_close().await, Some(4006));
    ada.expect_nothing().await;

    // One who had left, one who is still there, and a host.
    let mut zoe = server.connect(ROOM).await;
    zoe.join_with(json!({"type": "join", "name": "Zoe", "resume": resume})).await;
    back(&server, &bob).await;
    assert_eq!(back(&server, &ada).await.welcome["role"], "host");
}

#[tokio::test]
async fn r39_to_lock_sends_away_who_waits() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, id) = guest(&server, &mut ada, "Eve").await;
    // Though the lobby is switched off with it.
    act(&mut ada, json!({"action": "settings", "settings": {"locked": true, "lobby": false}})).await;
    assert_eq!(eve.expect_close().await, Some(4006));
    ada.expect("settings").await;
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    ada.expect_error("peer_not_found").await;
}

#[tokio::test]
async fn r40_a_guest_waits_until_a_host_admits_it() {
    let server = TestServer::start(&[("ROUNDTABLE_JOIN_TIMEOUT", "300ms")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    for message in [
        json!({"type": "signal", "to": ada.id(), "data": 1, "ref": 1}),
        json!({"type": "signal", "to": "nobody", "data": 1, "ref": 1}),
        json!({"type": "broadcast", "data": 1, "ref": 1}),
        json!({"type": "state", "state": {"hand": true}, "ref": 1}),
        json!({"type": "sync", "ref": 1}),
    ] {
        bob.send(message.clone()).await;
        assert_eq!(bob.expect_error("not_admitted").await["re"], message["type"]);
    }
    bob.send(json!({"type": "join", "name": "Bob"})).await;
    bob.expect_error("already_joined").await;
    // Nothing of the room reaches it, and nobody can address it.
    ada.send(json!({"type": "broadcast", "data": "secret"})).await;
    ada.send(json!({"type": "signal", "to": id, "data": "secret"})).await;
    ada.expect_error("peer_not_found").await;
    ada.send(json!({"type": "state", "state": {"mic": true}})).await;
    ada.expect("state").await;
    bob.expect_nothing().await;
    assert_eq!(server.metric("roundtable_members").await, 1);
    // Longer than one may take to join.
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(500), bob.next_text()).await;
    assert!(quiet.is_err(), "{quiet:?}");

    act(&mut ada, json!({"action": "admit", "to": id})).await;
    bob.welcome = bob.expect("welcome").await;
    assert_eq!((bob.id(), &bob.welcome["role"], bob.version()), (&*id, &json!("participant"), 3));
    assert_eq!(bob.welcome["peers"][0]["state"], json!({"mic": true}));
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    assert_eq!(ada.expect("peer_joined").await["version"], 3);
    assert_eq!(server.metric("roundtable_members").await, 2);
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    ada.expect("broadcast").await;
    // Whoever was in does not wait a second time.
    back(&server, &bob).await;
}

#[tokio::test]
async fn r40_a_guest_is_refused_or_goes_by_itself() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, bob_id) = guest(&server, &mut ada, "Bob").await;
    let (zoe, _) = guest(&server, &mut ada, "Zoe").await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    act(&mut ada, json!({"action": "refuse", "to": bob_id})).await;
    assert_eq!(bob.expect_close().await, Some(4007));
    assert_eq!(ada.expect("lobby").await["waiting"].as_array().unwrap().len(), 2);
    // A connection that just breaks.
    drop(zoe);
    assert_eq!(ada.expect("lobby").await["waiting"], json!([{"id": eve_id, "name": "Eve"}]));
    eve.send(json!({"type": "leave"})).await;
    assert_eq!(eve.expect_close().await, Some(1000));
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    ada.expect_nothing().await;
    assert_eq!(server.metric("roundtable_members").await, 1);
}

#[tokio::test]
async fn r40_an_open_door_admits_as_many_as_there_are_places() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "2")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, _) = guest(&server, &mut ada, "Bob").await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    let mut third = knock(&server, "Zoe").await;
    third.expect_error("room_full").await;
    assert_eq!(third.expect_close().await, Some(4003));
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": false}})).await;
    assert_eq!(bob.expect("welcome").await["peers"].as_array().unwrap().len(), 1);
    assert_eq!(eve.expect_close().await, Some(4003));
    ada.expect("settings").await;
    assert_eq!(ada.expect("lobby").await["waiting"], json!([]));
    ada.expect("peer_joined").await;
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r40_in_a_full_room_admit_is_refused_and_the_guest_stays() {
    let server = TestServer::start(&[("ROUNDTABLE_ROOM_MEMBERS", "2")]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, bob_id) = guest(&server, &mut ada, "Bob").await;
    let (mut eve, eve_id) = guest(&server, &mut ada, "Eve").await;
    act(&mut ada, json!({"action": "admit", "to": bob_id})).await;
    bob.expect("welcome").await;
    ada.expect("lobby").await;
    ada.expect("peer_joined").await;
    act(&mut ada, json!({"action": "admit", "to": eve_id})).await;
    ada.expect_error("room_full").await;
    leave(bob).await;
    ada.expect("peer_left").await;
    act(&mut ada, json!({"action": "admit", "to": eve_id})).await;
    eve.expect("welcome").await;
}

#[tokio::test]
async fn r40_a_new_host_is_shown_who_waits() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    act(&mut ada, json!({"action": "settings", "settings": {"lobby": true}})).await;
    ada.expect("settings").await;
    bob.expect("settings").await;
    let (_eve, id) = guest(&server, &mut ada, "Eve").await;
    bob.expect_nothing().await;
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "host"})).await;
    bob.expect("role").await;
    assert_eq!(bob.expect("lobby").await["waiting"], json!([{"id": id, "name": "Eve"}]));
    bob.expect_nothing().await;
    ada.expect("role").await;
    ada.expect_nothing().await;
    // And so is one who comes back.
    let mut again = back(&server, &ada).await;
    assert_eq!(again.expect("lobby").await["waiting"][0]["name"], "Eve");
}

#[tokio::test]
async fn r40_who_waits_is_told_of_a_shutdown() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut bob, _) = guest(&server, &mut ada, "Bob").await;
    let running = server.shut_down();
    for client in [&mut bob, &mut ada] {
        client.expect("go_away").await;
        assert_eq!(client.expect_close().await, Some(1012));
    }
    drop((ada, bob));
    crate::common::within("the end of the server", running).await.unwrap();
}

#[tokio::test]
async fn r41_newcomers_of_a_talk_are_listeners() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true, "lobby": true})).await;
    assert_eq!(ada.welcome["role"], "host");
    let (mut bob, id) = guest(&server, &mut ada, "Bob").await;
    act(&mut ada, json!({"action": "admit", "to": id})).await;
    assert_eq!(bob.expect("welcome").await["role"], "listener");
    act(&mut ada, json!({"action": "settings", "settings": {"talk": false, "lobby": false}})).await;
    ada.expect("lobby").await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["role"], "listener");
    // Those who are in stay what they are.
    bob.expect("settings").await;
    bob.expect_nothing().await;
    assert_eq!(server.join(ROOM, "Zoe").await.welcome["role"], "participant");
}

#[tokio::test]
async fn r42_a_listener_sends_nothing_until_a_host_lets_it() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"talk": true})).await;
    let mut bob = server.connect(ROOM).await;
    bob.join_with(json!({"type": "join", "name": "Bob", "state": {"mic": true, "screen": 1, "hand": false}})).await;
    let joined = ada.expect("peer_joined").await;
    assert_eq!((&joined["peer"]["role"], &joined["peer"]["state"]), (&json!("listener"), &json!({"hand": false})));
    let mut zoe = member(&server, "Zoe", &mut [&mut ada, &mut bob]).await;
    for message in [
        json!({"type": "broadcast", "data": 1}),
        json!({"type": "signal", "to": zoe.id(), "data": 1}),
        json!({"type": "state", "state": {"mic": true}}),
        json!({"type": "state", "state": {"camera": "on"}}),
        json!({"type": "state", "state": {"hand": true, "screen": 1}}),
    ] {
        bob.send(message.clone()).await;
        assert_eq!(bob.expect_error("not_allowed").await["re"], message["type"]);
    }
    for client in [&mut ada, &mut zoe] {
        client.expect_nothing().await;
    }
    // It is connected with hosts, and applies with its hand.
    bob.send(json!({"type": "signal", "to": ada.id(), "data": "offer"})).await;
    assert_eq!(ada.expect("signal").await["data"], "offer");
    bob.send(json!({"type": "state", "state": {"hand": true, "mic": false}})).await;
    for client in [&mut ada, &mut bob, &mut zoe] {
        assert_eq!(client.expect("state").await["state"]["hand"], true);
    }
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "participant"})).await;
    for client in [&mut ada, &mut bob, &mut zoe] {
        let role = json!({"type": "role", "version": 5, "id": joined["peer"]["id"], "role": "participant"});
        assert_eq!(client.expect("role").await, role);
    }
    bob.send(json!({"type": "broadcast", "data": 1})).await;
    bob.send(json!({"type": "state", "state": {"mic": true, "camera": true}})).await;
    for client in [&mut ada, &mut zoe] {
        client.expect("broadcast").await;
        client.expect("state").await;
    }
    bob.expect("state").await;
    // Taken back.
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "listener"})).await;
    for client in [&mut ada, &mut bob, &mut zoe] {
        assert_eq!(client.expect("role").await["role"], "listener");
        let state = json!({"mic": false, "camera": false, "hand": true});
        assert_eq!(client.expect("state").await["state"], state);
    }
    bob.send(json!({"type": "state", "state": {"mic": true}})).await;
    bob.expect_error("not_allowed").await;
    // A way around: to come back.
    let mut again = server.connect(ROOM).await;
    let resume = bob.welcome["resume"].clone();
    again.join_with(json!({"type": "join", "name": "Bob", "resume": resume, "state": {"mic": true}})).await;
    assert_eq!(again.welcome["role"], "listener");
    ada.expect("peer_left").await;
    assert_eq!(ada.expect("peer_joined").await["peer"]["state"], json!({}));
}

#[tokio::test]
async fn r42_the_last_host_hands_over_before_it_steps_down() {
    let server = TestServer::start(&[]).await;
    let mut ada = server.join(ROOM, "Ada").await;
    let mut bob = member(&server, "Bob", &mut [&mut ada]).await;
    let own = json!({"action": "role", "to": ada.id(), "role": "participant"});
    act(&mut ada, own.clone()).await;
    ada.expect_error("not_allowed").await;
    act(&mut ada, json!({"action": "role", "to": bob.id(), "role": "host"})).await;
    act(&mut ada, own).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.expect("role").await["version"], 3);
        assert_eq!(client.expect("role").await["version"], 4);
    }
    act(&mut ada, json!({"action": "end"})).await;
    ada.expect_error("not_allowed").await;
    act(&mut bob, json!({"action": "remove", "to": ada.id()})).await;
    assert_eq!(ada.expect_close().await, Some(4008));
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
        // One after the other, as changes of one interval are announced together.
        for client in [&mut ada, &mut bob] {
            assert_eq!(client.expect("state").await["state"], state);
        }
    }
    // What is off already is told to the peer alone.
    act(&mut ada, json!({"action": "switch_off", "to": bob.id(), "what": "mic"})).await;
    bob.expect("switched_off").await;
    ada.expect_nothing().await;
    // A participant may open it again; a host who minds takes the role, or sends it out.
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
    // It may go on to send on the connection, whose close it has not confirmed.
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

    // A stranger from then on, whom lock and lobby keep out; its secret is good for nothing.
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
    // Nothing is kept: neither who was in, nor the lobby.
    let mut zoe = server.join(ROOM, "Zoe").await;
    assert_eq!(
        (zoe.version(), &zoe.welcome["role"], &zoe.welcome["settings"]["lobby"]),
        (1, &json!("host"), &json!(false))
    );
    assert_eq!(server.join(ROOM, "Ada").await.welcome["role"], "participant");
    zoe.expect("peer_joined").await;
    // The secret of a meeting that was ended is not for the next one.
    let mut by_secret = server.connect(ROOM).await;
    by_secret.send(json!({"type": "join", "name": "Ada", "resume": ada.welcome["resume"]})).await;
    assert_eq!(by_secret.expect_close().await, Some(4009));
    zoe.expect("link").await;
}

#[tokio::test]
async fn r46_a_meeting_that_everyone_has_left_lets_nobody_wait() {
    let server = TestServer::start(&[]).await;
    let mut ada = host(&server, json!({"lobby": true})).await;
    let (mut eve, _) = guest(&server, &mut ada, "Eve").await;
    leave(ada).await;
    assert_eq!(eve.expect_close().await, Some(4009));
    server.metric_becomes("roundtable_rooms", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r46_who_comes_while_a_meeting_ends_is_in_the_next_one_or_is_closed_with_it() {
    let server = TestServer::start(&[]).await;
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
        assert!(hosts <= 1, "round {round}: {hosts} made the next meeting");
        for client in stay {
            leave(client).await;
        }
        server.metric_becomes("roundtable_rooms", 0).await;
        assert_eq!(server.metric("roundtable_members").await, 0);
    }
}

#[tokio::test]
async fn r36_a_host_that_reads_too_slowly_leaves_an_heir() {
    let settings = ["ROUNDTABLE_MESSAGE_RATE", "ROUNDTABLE_BYTE_RATE"].map(|rate| (rate, "0"));
    let server = TestServer::start(&[&settings[..], &[("ROUNDTABLE_OUTBOX_MESSAGES", "40")]].concat()).await;
    let (_stalled, welcome) = Raw::connect_small(&server, ROOM).await.joined("Slow").await;
    assert_eq!(welcome["role"], "host");
    let mut bob = server.join(ROOM, "Bob").await;
    for _ in 0..2_000 {
        bob.send(json!({"type": "broadcast", "data": "x".repeat(20_000)})).await;
        if server.metric("roundtable_slow_consumers_total").await > 0 {
            break;
        }
    }
    let left = bob.expect("peer_left").await;
    let role = bob.expect("role").await;
    assert_eq!((&left["reason"], &role["id"]), (&json!("slow_consumer"), &json!(bob.id())));
    assert_eq!(role["version"], left["version"].as_u64().unwrap() + 1);
    assert_eq!(server.metric("roundtable_members").await, 1);
}
