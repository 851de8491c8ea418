//! Who is in a room, for the tests: hosts, members, guests, and who comes back.

use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::client::Client;

/// The room of all of them.
pub const ROOM: &str = "r";

/// Ada, who has been told of Bob, and Bob.
pub async fn pair(server: &TestServer) -> (Client, Client) {
    let mut ada = server.join(ROOM, "Ada").await;
    let bob = server.join(ROOM, "Bob").await;
    ada.expect("peer_joined").await;
    (ada, bob)
}

/// Sends an act of a host.
pub async fn act(client: &mut Client, mut act: Value) {
    act["type"] = json!("moderate");
    client.send(act).await;
}

/// The maker of a room with these settings.
pub async fn host(server: &TestServer, settings: Value) -> Client {
    let mut host = server.connect(ROOM).await;
    host.join_with(json!({"type": "join", "name": "Ada", "settings": settings})).await;
    host
}

/// Joins, which is not answered yet.
pub async fn knock(server: &TestServer, name: &str) -> Client {
    let mut guest = server.connect(ROOM).await;
    guest.send(json!({"type": "join", "name": name})).await;
    guest
}

/// Waits in the lobby; the host is shown the guest, whose id comes too.
pub async fn guest(server: &TestServer, host: &mut Client, name: &str) -> (Client, String) {
    let mut guest = knock(server, name).await;
    assert_eq!(guest.expect("waiting").await, json!({"type": "waiting"}));
    let lobby = host.expect("lobby").await;
    let last = lobby["waiting"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["name"], name);
    (guest, last["id"].as_str().unwrap().to_owned())
}

/// Joins again with an earlier secret.
pub async fn back(server: &TestServer, earlier: &Client) -> Client {
    let mut again = server.connect(ROOM).await;
    again.join_with(json!({"type": "join", "name": "again", "resume": earlier.welcome["resume"]})).await;
    assert_eq!(again.welcome["resumed"], true);
    again
}

/// A member, and the announcement of it taken from everybody else.
pub async fn member(server: &TestServer, name: &str, others: &mut [&mut Client]) -> Client {
    let member = server.join(ROOM, name).await;
    for other in others {
        assert_eq!(other.expect("peer_joined").await["peer"]["id"], member.id());
    }
    member
}

/// Says goodbye, and waits until that is heard.
pub async fn leave(mut client: Client) {
    client.send(json!({"type": "leave"})).await;
    client.drain().await;
}

/// Who has a client's secret and knows up to where it got.
pub struct Returning {
    pub resume: Value,
    pub last: u64,
}

impl Returning {
    /// As it is now.
    pub fn of(client: &Client) -> Self {
        Self { resume: client.welcome["resume"].clone(), last: client.last }
    }

    /// Joins anew; the answer is the next message.
    pub async fn on(&self, mut client: Client) -> Client {
        client.last = self.last;
        let join = json!({"type": "join", "name": "Again", "resume": self.resume, "last_seq": self.last});
        client.send(join).await;
        client
    }

    /// The same over a new connection.
    pub async fn to(&self, server: &TestServer) -> Client {
        self.on(server.connect(ROOM).await).await
    }
}

/// What one expects to be told of somebody's link.
pub async fn expect_link(client: &mut Client, id: &str, link: &str) {
    let message = client.expect("link").await;
    assert_eq!((&message["id"], &message["link"]), (&json!(id), &json!(link)));
}
