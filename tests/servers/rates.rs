//! Rate limits of rooms on several servers.

use serde_json::json;

use super::rooms::until;
use crate::common::several::{Node, two};
use crate::common::{eventually, metric};

/// Limits a room to 400 messages a second with a burst of 200.
const ROOM_RATE: &[(&str, &str)] = &[
    ("ROUNDTABLE_ROOM_MESSAGE_RATE", "400"),
    ("ROUNDTABLE_ROOM_MEMBERS", "2"),
    ("ROUNDTABLE_MESSAGE_RATE", "100000"),
    ("ROUNDTABLE_RATE_BURST", "1ms"),
];

const BROADCASTS: &str = "roundtable_messages_total{direction=\"received\",type=\"broadcast\"}";

#[tokio::test]
async fn a_room_on_two_servers_has_one_rate() {
    let (engine, a, b) = two(ROOM_RATE).await;
    let c = Node::start(&engine, ROOM_RATE).await;
    let (mut ada, mut bob) = (a.join("r", "Ada").await, b.join("r", "Bob").await);
    until(&mut ada, "peer_joined").await;
    let mut carl = c.join("alone", "Carl").await;
    // All three send without pause. Carl's room, which is on one server, is the reference.
    let said = async |node: &Node| metric(node.ops, BROADCASTS).await;
    for number in 0..3_000 {
        carl.send(json!({"type": "broadcast", "data": number})).await;
    }
    for number in 0..3_000 {
        ada.send(json!({"type": "broadcast", "data": number})).await;
        bob.send(json!({"type": "broadcast", "data": number})).await;
    }
    let before = said(&c).await;
    let (by_ada, by_bob) = (said(&a).await, said(&b).await);
    eventually("messages of Carl", async || said(&c).await >= before + 800).await;
    let (by_ada, by_bob, by_carl) = (said(&a).await - by_ada, said(&b).await - by_bob, said(&c).await - before);
    // Without a shared limit, each of them would reach Carl's rate.
    assert!((by_ada + by_bob) * 2 < by_carl * 3, "{by_ada} and {by_bob} exceed the room's {by_carl}");
    assert!(by_ada > by_carl / 4 && by_bob > by_carl / 4, "unfair shares: {by_ada}, {by_bob} of {by_carl}");
}
