//! Disconnected members reconnect at any server.

use roundtable::cluster::local::LocalEngine;
use serde_json::{Value, json};

use super::rooms::until;
use crate::common::client::Client;
use crate::common::several::{Node, two};
use crate::common::tokens::{Keys, later};
use crate::common::{eventually, metric};

#[tokio::test]
async fn who_comes_back_on_another_server_gets_what_it_missed_once() {
    let (engine, a, b) = two(&[]).await;
    let c = Node::start(&engine, &[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = b.join("r", "Bob").await;
    let mut eve = c.join("r", "Eve").await;
    until(&mut bob, "peer_joined").await;
    bob.send(json!({"type": "broadcast", "data": "before", "seq": 1})).await;
    until(&mut ada, "broadcast").await;
    until(&mut eve, "broadcast").await;
    let (resume, mut last, id) = (bob.welcome["resume"].clone(), bob.last, bob.id().to_owned());
    drop(bob);
    until(&mut ada, "link").await;
    let mut said = 0;
    // At another server that has the room, at the first one, at one that has no members in it, and back again.
    for node in [&a, &b, &c, &b] {
        for _ in 0..20 {
            for client in [&mut ada, &mut eve] {
                client.send(json!({"type": "signal", "to": id, "data": said})).await;
            }
            said += 1;
        }
        let (mut back, answer) = node.come_back("r", &resume, last).await;
        assert_eq!((&answer["type"], &answer["self"], &answer["ack"]), (&json!("resumed"), &json!(id), &json!(1)));
        let (mut by_ada, mut by_eve) = (said - 20, said - 20);
        while by_ada < said || by_eve < said {
            // `Client` checks that the numbers are contiguous.
            let message = back.next_message().await.unwrap();
            if message["type"] == "signal" {
                let count = if message["from"] == ada.id() { &mut by_ada } else { &mut by_eve };
                assert_eq!(message["data"], *count, "lost, repeated or out of order");
                *count += 1;
            }
        }
        // Its messages are received here, and the server knows which ones have arrived before.
        back.send(json!({"type": "broadcast", "data": "twice", "seq": 1})).await;
        back.expect_nothing_but(&["link"]).await;
        last = back.last;
        drop(back);
    }
}

#[tokio::test]
async fn who_comes_while_its_old_socket_is_open_supersedes_it() {
    let (_engine, a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    let (mut back, answer) = b.come_back("r", &bob.welcome["resume"], bob.last).await;
    assert_eq!(answer["type"], "resumed");
    assert_eq!(bob.skip_to_close().await, Some(4004));
    back.send(json!({"type": "broadcast", "data": 1})).await;
    assert_eq!(ada.expect("broadcast").await["data"], 1, "another message in between");
}

#[tokio::test]
async fn who_comes_twice_while_its_session_is_on_its_way_gets_it_by_the_later_socket() {
    let (_engine, a, b) = two(&[]).await;
    let mut bob = a.join("r", "Bob").await;
    let mut ada = b.join("r", "Ada").await;
    until(&mut bob, "peer_joined").await;
    let (resume, last, id) = (bob.welcome["resume"].clone(), bob.last, bob.id().to_owned());
    drop(bob);
    assert_eq!(until(&mut ada, "link").await["link"], "lost");
    ada.send(json!({"type": "signal", "to": id, "data": "missed"})).await;
    ada.expect_nothing().await;
    // Its old server does not respond for now, so that the session stays in transit.
    a.cut_off(true).await;
    let join = json!({"type": "join", "name": "Back", "resume": resume, "last_seq": last});
    let mut first = b.connect("r").await;
    first.send(join.clone()).await;
    assert_eq!(until(&mut ada, "link").await["link"], "ok", "the member is not shown as reconnected");
    let mut second = b.connect("r").await;
    second.send(join).await;
    assert_eq!(first.expect_close().await, Some(4004));
    a.cut_off(false).await;
    assert_eq!(second.expect("resumed").await["self"], id);
    second.last = last;
    while second.next_message().await.unwrap()["data"] != "missed" {}
    ada.send(json!({"type": "signal", "to": id, "data": "heard"})).await;
    assert_eq!(until(&mut second, "signal").await["data"], "heard");
}

#[tokio::test]
async fn a_session_that_does_not_go_on_is_begun_afresh_with_the_reason() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_REPLAY_MESSAGES", "5")]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    for number in 0..50 {
        ada.send(json!({"type": "broadcast", "data": number})).await;
        until(&mut bob, "broadcast").await;
    }
    let (mut back, answer) = b.come_back("r", &bob.welcome["resume"], 3).await;
    assert_eq!(
        (&answer["type"], &answer["not_resumed"], &answer["self"], &answer["resumed"]),
        (&json!("welcome"), &json!("resume_lost"), &bob.welcome["self"], &json!(true))
    );
    back.expect_nothing().await;
    // Messages that are sent before their server learns of the new session belong to the old one.
    assert_eq!(until(&mut ada, "peer_joined").await["peer"]["id"], bob.welcome["self"]);
    ada.send(json!({"type": "broadcast", "data": "again"})).await;
    assert_eq!(back.expect("broadcast").await["data"], "again");
}

#[tokio::test]
async fn a_server_that_is_drained_hands_everybody_on() {
    let (_engine, mut a, b) = two(&[]).await;
    let mut ada = a.join("r", "Ada").await;
    let mut bob = a.join("r", "Bob").await;
    until(&mut ada, "peer_joined").await;
    a.shut_down();
    let mut back = Vec::new();
    for client in [&mut ada, &mut bob] {
        let away = until(client, "go_away").await;
        assert!(away["reconnect_ms"].is_u64());
        assert_eq!(client.expect_close().await, Some(1012));
    }
    for client in [&ada, &bob] {
        let (again, answer) = b.come_back("r", &client.welcome["resume"], client.last).await;
        assert_eq!((&answer["type"], &answer["self"]), (&json!("resumed"), &client.welcome["self"]), "{answer}");
        back.push(again);
    }
    back[0].send(json!({"type": "broadcast", "data": 1})).await;
    assert_eq!(until(&mut back[1], "broadcast").await["data"], 1);
    // The draining server is not delayed, and leaves nothing behind: the room belongs to the other server alone.
    let address = a.ops;
    eventually("the server to end", async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    b.cut_off(true).await;
    for client in &mut back {
        client.expect_nothing_but(&["link"]).await;
    }
}

#[tokio::test]
async fn who_waits_to_come_in_while_the_server_drains_is_sent_on() {
    let (_engine, mut a, b) = two(&[]).await;
    let mut bob = b.join("r", "Bob").await;
    let mut ada = a.connect("r").await;
    // Its request to the store hangs.
    a.cut_off(true).await;
    ada.send(json!({"type": "join", "name": "Ada"})).await;
    eventually("the request to be sent", async || metric(a.ops, "roundtable_rooms").await == 1).await;
    a.shut_down();
    assert!(ada.expect("go_away").await["reconnect_ms"].is_u64());
    assert_eq!(ada.expect_close().await, Some(1012));
    let ada = b.join("r", "Ada").await;
    assert_eq!(bob.expect("peer_joined").await["peer"]["id"], *ada.id(), "another peer joined before");
}

#[tokio::test]
async fn a_session_on_another_server_is_no_way_around_a_token() {
    let keys = Keys::new();
    let engine = LocalEngine::default();
    let settings = keys.settings("open-hosts-by-token");
    let (a, b, c) = (
        Node::start(&engine, &settings).await,
        Node::start(&engine, &settings).await,
        Node::start(&engine, &settings).await,
    );
    let token = keys.token(json!({"room": "r", "role": "host", "exp": later(60.0)}));
    let mut bob = b.join("r", "Bob").await;
    // One server already has the room, and the other must request it first.
    for node in [&b, &c] {
        let mut ada = a.connect("r").await;
        ada.join_with(json!({"type": "join", "name": "Ada", "token": token})).await;
        assert_eq!(until(&mut bob, "peer_joined").await["peer"]["role"], "host");
        let (mut back, answer) = node.come_back("r", &ada.welcome["resume"], ada.last).await;
        assert_eq!(
            (&answer["type"], &answer["not_resumed"], &answer["role"], &answer["self"]),
            (&json!("welcome"), &json!("grant_changed"), &json!("participant"), &ada.welcome["self"])
        );
        until(&mut bob, "peer_joined").await;
        back.send(json!({"type": "leave"})).await;
        assert_eq!(back.skip_to_close().await, Some(1000));
    }
}

#[tokio::test]
async fn who_comes_back_when_everybody_has_gone_begins_afresh_and_stays() {
    let (_engine, a, b) = two(&[("ROUNDTABLE_EMPTY_ROOM_GRACE", "0s")]).await;
    for node in [&a, &b] {
        let mut ada = a.join("r", "Ada").await;
        ada.send(json!({"type": "leave"})).await;
        ada.expect_close().await;
        eventually("the room to end", async || a.app.metrics.rooms.get() == 0).await;
        let (mut back, answer) = node.come_back("r", &ada.welcome["resume"], ada.last).await;
        assert_eq!((&answer["type"], &answer["not_resumed"]), (&json!("welcome"), &json!("resume_expired")));
        back.expect_nothing().await;
        back.send(json!({"type": "leave"})).await;
        back.expect_close().await;
        eventually("the room to end", async || node.app.metrics.rooms.get() == 0).await;
    }
}

/// Waits until this member is shown as lost or back.
async fn until_link(client: &mut Client, id: &str, link: &str) {
    loop {
        let shown = until(client, "link").await;
        if shown["id"] == id && shown["link"] == link {
            return;
        }
    }
}

/// Waits until this member leaves; the reason.
async fn until_left(client: &mut Client, id: &str) -> Value {
    loop {
        let left = until(client, "peer_left").await;
        if left["id"] == id {
            return left["reason"].clone();
        }
    }
}

/// The client hangs up, and its server knows it.
async fn hang_up(client: Client, node: &Node) {
    let others = node.app.metrics.sockets.get() - 1;
    drop(client);
    eventually("the end of a socket", async || node.app.metrics.sockets.get() == others).await;
}

/// Passes a message from one to the other, behind everything that their servers have told each other before.
async fn pass(from: &mut Client, to: &mut Client) {
    from.send(json!({"type": "signal", "to": to.id(), "data": "pass"})).await;
    until(to, "signal").await;
}

#[tokio::test]
async fn r52_whose_new_session_comes_to_nothing_at_another_server_leaves_after_its_window() {
    let rates = ["MESSAGE", "ROOM_MESSAGE", "SERVER_MESSAGE"].map(|rate| format!("ROUNDTABLE_{rate}_RATE"));
    let mut settings = vec![("ROUNDTABLE_RESUME_WINDOW", "5s")];
    settings.extend(rates.iter().map(|rate| (rate.as_str(), "0")));
    for is_busy in [false, true] {
        let (_engine, a, b) = two(&settings).await;
        let (mut eve, mut ada) = (a.join("r", "Eve").await, b.join("r", "Ada").await);
        let bob = a.join("r", "Bob").await;
        let (resume, id) = (bob.welcome["resume"].clone(), bob.id().to_owned());
        drop(bob);
        until_link(&mut ada, &id, "lost").await;
        // The move is carried out, and the session does not come yet.
        a.cut_off(true).await;
        let mut back = b.connect("r").await;
        back.send(json!({"type": "join", "name": "Bob", "resume": resume, "last_seq": 1_000_000})).await;
        until_link(&mut ada, &id, "ok").await;
        // The new session in its place is to wait behind this.
        b.hold_acts(true);
        for number in 0..if is_busy { 1_100 } else { 1 } {
            ada.send(json!({"type": "state", "state": {"number": number}})).await;
        }
        ada.expect_nothing_but(&["error"]).await;
        b.acts_are_held().await;
        a.cut_off(false).await;
        until_link(&mut eve, &id, "ok").await;
        // Behind the question of the old server, the answer, and the session.
        pass(&mut eve, &mut ada).await;
        pass(&mut ada, &mut eve).await;
        pass(&mut eve, &mut ada).await;
        if is_busy {
            back.expect_error("busy").await;
            assert_eq!(back.expect_close().await, Some(4011));
        } else {
            hang_up(back, &b).await;
        }
        b.hold_acts(false);
        until_link(&mut ada, &id, "lost").await;
        assert_eq!(until_left(&mut ada, &id).await, "closed");
    }
}

#[tokio::test]
async fn r101_who_shows_the_token_of_another_one_at_another_server_leaves_after_its_window_or_with_that_token() {
    let keys = Keys::new();
    for (window, seconds, reason) in [("3s", 600.0, "closed"), ("20s", 6.0, "unauthorized")] {
        let single = [("ROUNDTABLE_TOKEN_SINGLE_PERSON", "true"), ("ROUNDTABLE_RESUME_WINDOW", window)];
        let (_engine, a, b) = two(&[&single[..], &keys.settings("token")].concat()).await;
        let token = |jti: &str, seconds| keys.token(json!({"room": "r", "exp": later(seconds), "jti": jti}));
        let eves = token("eve", seconds);
        let mut members = Vec::new();
        for (name, token) in [("Ada", token("ada", 600.0)), ("Bob", token("bob", 600.0)), ("Eve", eves.clone())] {
            let mut member = a.connect("r").await;
            member.join_with(json!({"type": "join", "name": name, "token": token})).await;
            members.push(member);
        }
        let [mut ada, bob, _eve] = members.try_into().ok().unwrap();
        let (resume, last, id) = (bob.welcome["resume"].clone(), bob.last, bob.id().to_owned());
        drop(bob);
        until_link(&mut ada, &id, "lost").await;
        let mut back = b.connect("r").await;
        let join = json!({"type": "join", "name": "Bob", "resume": resume, "last_seq": last, "token": eves});
        back.send(join).await;
        back.expect_error("token_in_use").await;
        assert_eq!(back.expect_close().await, Some(4010));
        assert_eq!(until_left(&mut ada, &id).await, reason);
    }
}

#[tokio::test]
async fn r110_a_host_whose_socket_ends_while_its_new_session_is_decided_keeps_its_window() {
    let (_engine, a, b) = two(&[]).await;
    let host = a.join("r", "Host").await;
    let (mut ada, mut eve) = (a.join("r", "Ada").await, b.join("r", "Eve").await);
    ada.expect("peer_joined").await;
    let (resume, id) = (host.welcome["resume"].clone(), host.id().to_owned());
    drop(host);
    until_link(&mut ada, &id, "lost").await;
    until_link(&mut eve, &id, "lost").await;
    b.hold_acts(true);
    let mut back = b.connect("r").await;
    let join = json!({"type": "join", "name": "Host", "resume": resume});
    back.send(join.clone()).await;
    b.acts_are_held().await;
    hang_up(back, &b).await;
    b.hold_acts(false);
    assert_eq!(ada.expect("peer_left").await["reason"], "superseded");
    assert_eq!(ada.expect("peer_joined").await["peer"]["role"], "host");
    assert_eq!(ada.expect("link").await["link"], "lost");
    let mut back = b.connect("r").await;
    assert_eq!(back.join_with(join).await["role"], "host");
    assert_eq!(ada.expect("peer_left").await["reason"], "superseded");
    assert_eq!(ada.expect("peer_joined").await["peer"]["role"], "host");
    ada.expect_nothing().await;
}

#[tokio::test]
async fn r62_a_token_ends_the_member_whose_socket_ends_while_its_session_is_on_its_way() {
    let keys = Keys::new();
    let (_engine, a, b) = two(&keys.settings("token")).await;
    let token = |seconds| keys.token(json!({"room": "r", "exp": later(seconds)}));
    let join = |name, seconds| json!({"type": "join", "name": name, "token": token(seconds)});
    let (mut ada, mut bob) = (b.connect("r").await, a.connect("r").await);
    ada.join_with(join("Ada", 600.0)).await;
    bob.join_with(join("Bob", 600.0)).await;
    let (resume, last, id) = (bob.welcome["resume"].clone(), bob.last, bob.id().to_owned());
    drop(bob);
    until_link(&mut ada, &id, "lost").await;
    a.cut_off(true).await;
    let mut back = b.connect("r").await;
    let mut again = join("Bob", 5.0);
    (again["resume"], again["last_seq"]) = (resume, json!(last));
    back.send(again).await;
    until_link(&mut ada, &id, "ok").await;
    drop(back);
    until_link(&mut ada, &id, "lost").await;
    assert_eq!(until_left(&mut ada, &id).await, "unauthorized");
}
