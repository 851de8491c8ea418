//! Helpers for tests with hosts, members, guests, and reconnecting clients.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;

/// Room of all these clients.
pub const ROOM: &str = "r";

/// Joins Ada and Bob; Ada has received the announcement of Bob.
pub async fn pair(server: &TestServer) -> (Client, Client) {
    let mut ada = server.join(ROOM, "Ada").await;
    let bob = server.join(ROOM, "Bob").await;
    ada.expect("peer_joined").await;
    (ada, bob)
}

/// Sends a moderation action.
pub async fn act(client: &mut Client, mut act: Value) {
    act["type"] = json!("moderate");
    client.send(act).await;
}

/// Creates a room with these settings.
pub async fn host(server: &TestServer, settings: Value) -> Client {
    let mut host = server.connect(ROOM).await;
    host.join_with(json!({"type": "join", "name": "Ada", "settings": settings})).await;
    host
}

/// Sends a join without waiting for the response.
pub async fn knock(server: &TestServer, name: &str) -> Client {
    let mut guest = server.connect(ROOM).await;
    guest.send(json!({"type": "join", "name": name})).await;
    guest
}

/// Joins the lobby. Returns the guest with the ID that the host is shown.
pub async fn guest(server: &TestServer, host: &mut Client, name: &str) -> (Client, String) {
    let mut guest = knock(server, name).await;
    assert_eq!(guest.expect("waiting").await, json!({"type": "waiting"}));
    let lobby = host.expect("lobby").await;
    let last = lobby["waiting"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["name"], name);
    (guest, last["id"].as_str().unwrap().to_owned())
}

/// Joins with the secret of an earlier client.
pub async fn back(server: &TestServer, earlier: &Client) -> Client {
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "again", "resume": earlier.welcome["resume"]})).await;
    assert_eq!(again.welcome["resumed"], true);
    again
}

/// Joins, and consumes the announcement at all other members.
pub async fn member(server: &TestServer, name: &str, others: &mut [&mut Client]) -> Client {
    let member = server.join(ROOM, name).await;
    for other in others {
        assert_eq!(other.expect("peer_joined").await["peer"]["id"], member.id());
    }
    member
}

/// Sends `leave` and waits for the end of the connection.
pub async fn leave(mut client: Client) {
    client.send(json!({"type": "leave"})).await;
    client.drain().await;
}

/// Resume secret of a client and the number of its last message.
pub struct Returning {
    pub resume: Value,
    pub last: u64,
}

impl Returning {
    /// Copies the client's current state.
    pub fn of(client: &Client) -> Self {
        Self { resume: client.welcome["resume"].clone(), last: client.last }
    }

    /// Sends a join that resumes the session. The response is the next message.
    pub async fn on(&self, mut client: Client) -> Client {
        client.last = self.last;
        let join = json!({"type": "join", "name": "Again", "resume": self.resume, "last_seq": self.last});
        client.send(join).await;
        client
    }

    /// Resumes over a new connection.
    pub async fn to(&self, server: &TestServer) -> Client {
        self.on(server.connect(ROOM).await).await
    }
}

/// Expects a change of a member's connection state.
pub async fn expect_link(client: &mut Client, id: &str, link: &str) {
    let message = client.expect("link").await;
    assert_eq!((&message["id"], &message["link"]), (&json!(id), &json!(link)));
}
