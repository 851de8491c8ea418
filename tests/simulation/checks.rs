//! Checks of the final state, after all cuts have ended and everything has been delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundtable::app::App;
use roundtable::protocol::RoomName;
use serde_json::{Value, json};

use crate::client::{Client, Standing, Stay};
use crate::messages::Known;
use crate::world::World;

/// Checks that server and clients agree about the members of each room, and that all messages were received.
pub fn quiet(world: &World, rooms: &[RoomName], clients: &[&Client]) {
    for room in rooms {
        let here: Vec<_> = clients.iter().copied().filter(|client| client.room == *room).collect();
        roster(world, room, &here);
    }
    let online = clients.iter().filter(|client| client.standing != Standing::Out).count();
    assert_eq!(world.connections(), online, "connections without a client");
    for client in clients.iter().filter(|client| client.standing == Standing::In) {
        assert!(client.unacknowledged.is_empty(), "R51: {:?}", client.unacknowledged);
        assert!(client.may_be_in(world), "R62: still connected after its token expired");
    }
    heard(clients);
}

/// Compares the server's roster of a room with each client's.
fn roster(world: &World, room: &RoomName, here: &[&Client]) {
    let ids = |standing| -> BTreeSet<&str> {
        here.iter().filter(|client| client.standing == standing).map(|client| &*client.id).collect()
    };
    assert!(here.iter().all(|client| client.standing != Standing::Joining), "an unanswered join");
    let Some(detail) = world.with_app(|app| app.hub.look(room)) else {
        assert!(
            ids(Standing::In).is_empty() && ids(Standing::Waiting).is_empty(),
            "members of a room that does not exist"
        );
        return;
    };
    let peers: Vec<_> = detail.members.iter().map(|placed| &placed.peer).collect();
    let members: BTreeSet<&str> = peers.iter().map(|peer| peer.id.as_str()).collect();
    assert_eq!(members.len(), peers.len(), "a member is listed twice");
    assert_eq!(members, ids(Standing::In), "unknown or missing members");
    let waiting: BTreeSet<&str> = detail.waiting.iter().map(|guest| guest.id.as_str()).collect();
    assert_eq!(waiting, ids(Standing::Waiting), "different lobbies");
    for client in here.iter().filter(|client| client.standing == Standing::In) {
        let view = &client.view;
        assert_eq!((view.version, &view.settings), (detail.version, &json!(detail.settings)));
        let others = peers.iter().filter(|peer| peer.id.as_str() != client.id).map(|peer| {
            let id = peer.id.as_str().to_owned();
            let since = view.peers.get(&id).map_or(0, |known| known.since);
            let role = json!(peer.role).as_str().expect("a role").to_owned();
            (id, Known { since, role, state: json!(peer.state), lost: !peer.link.is_ok() })
        });
        assert_eq!(view.peers, others.collect::<BTreeMap<_, _>>(), "the roster of {}", client.id);
        let role = peers.iter().find(|peer| peer.id.as_str() == client.id).map(|peer| json!(peer.role));
        assert_eq!(Some(json!(view.role)), role);
        let lobby: Vec<Value> = view.lobby.iter().map(|id| json!(id)).collect();
        if view.role == "host" {
            let waiting: Vec<Value> = detail.waiting.iter().map(|guest| json!(guest.id)).collect();
            assert_eq!(lobby, waiting, "R40");
        }
    }
}

/// Checks that no message was lost, repeated or reordered.
fn heard(clients: &[&Client]) {
    let all: BTreeMap<usize, (&Client, &Stay, bool)> = clients
        .iter()
        .flat_map(|client| {
            let alive = |at: usize| at + 1 == client.stays.len() && client.standing == Standing::In;
            client.stays.iter().enumerate().map(move |(at, stay)| (stay.number, (*client, stay, alive(at))))
        })
        .collect();
    for (receiver, stay, alive) in all.values() {
        for (sender, said, sends_still) in all.values() {
            let heard: Vec<u64> =
                stay.heard.iter().filter(|(number, _)| *number == said.number).map(|(_, n)| *n).collect();
            let what = || format!("from {} {} to {} {}: {heard:?}", said.number, said.id, stay.number, stay.id);
            assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "repeated or out of order {}", what());
            if said.id == stay.id || sender.room != receiver.room {
                assert!(heard.is_empty(), "received by somebody else {}", what());
                continue;
            }
            let sent = said.sent.iter().filter(|sent| sent.to.as_ref().is_none_or(|to| *to == stay.id));
            let sent: Vec<_> = sent.filter(|sent| !sent.refused).collect();
            assert!(heard.iter().all(|n| sent.iter().any(|sent| sent.n == *n)), "never sent {}", what());
            if !alive || !sends_still {
                continue;
            }
            // Both sessions have lasted: all messages from the first received one on have arrived, and the first one is
            // not too late.
            let knew = |since: u64| since == stay.since || (since == 0 && stay.since <= said.since);
            let first = sent.iter().position(|sent| {
                heard.first() == Some(&sent.n) || sent.seen.iter().any(|(id, since)| *id == stay.id && knew(*since))
            });
            let due: Vec<u64> = sent[first.unwrap_or(sent.len())..].iter().map(|sent| sent.n).collect();
            assert_eq!(heard, due, "lost {}", what());
        }
    }
}

/// Checks that no room has members.
pub fn nobody(app: &Arc<App>) {
    assert_eq!(app.hub.rooms("", None, 10).1, 0, "rooms without members");
    let counted = [&app.metrics.rooms, &app.metrics.members].map(|gauge| gauge.get());
    assert_eq!(counted, [0; 2], "counted rooms and members");
}

/// Checks that everybody has left, and that no state is left.
pub fn empty(world: &World) {
    assert_eq!(world.connections(), 0, "connections without a client");
    world.with_app(|app| {
        nobody(app);
        assert_eq!(app.metrics.sockets.get(), 0, "sockets without a client");
        assert_eq!(Arc::strong_count(&app.hub), 1, "a membership without a client");
        assert_eq!(Arc::strong_count(app), 1, "a connection without a client");
    });
}
