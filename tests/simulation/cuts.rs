//! One conversation that uses everything a session preserves, cut at each byte of each of its connections, in both
//! directions and in three ways.

use std::time::Duration;

use roundtable::protocol::RoomName;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::{Client, Standing};
use crate::frames::{self, Frame};
use crate::network::{Cut, End, Weather};
use crate::world::{Rules, World};
use crate::{checks, fails, in_virtual_time};

/// Position of a cut: client, index of its connection, and kind of cut.
#[derive(Clone, Copy, Debug)]
struct Place {
    who: usize,
    connection: usize,
    cut: Cut,
}

/// Two clients and their connections.
struct Talk {
    world: std::sync::Arc<World>,
    place: Option<Place>,
    pair: [Side; 2],
}

struct Side {
    client: Client,
    end: End,
    arrived: Vec<u8>,
    connections: usize,
    /// Bytes that have passed each connection, up and down.
    passed: Vec<[usize; 2]>,
}

const STEP: Duration = Duration::from_millis(3);

fn dice() -> fastrand::Rng {
    fastrand::Rng::with_seed(7)
}

impl Talk {
    fn new(place: Option<Place>) -> Self {
        let storm = Duration::ZERO;
        let world = World::new(Rules {
            clients: 2,
            rooms: 1,
            moderated: false,
            tight: false,
            tokens: false,
            restarts: 0,
            storm,
        });
        let room = RoomName::new("room 0").unwrap();
        let pair = [0, 1].map(|who| {
            let random = fastrand::Rng::with_seed(who as u64);
            let client = Client::new(who, room.clone(), true, random, &world);
            let end = open(&world, &client, None);
            Side { client, end, arrived: Vec::new(), connections: 0, passed: Vec::new() }
        });
        Self { world, place, pair }
    }

    /// Opens a client's next connection and joins.
    fn connect(&mut self, who: usize) {
        let side = &mut self.pair[who];
        let cut = self.place.filter(|place| place.who == who && place.connection == side.connections);
        if side.connections > 0 {
            side.passed.push(side.end.passed());
        }
        side.connections += 1;
        side.end = open(&self.world, &side.client, cut.map(|place| place.cut));
        side.arrived.clear();
        side.client.join(&side.end, None, &self.world);
    }

    /// Processes messages for some time. A disconnected client reconnects immediately.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let [ada, alan] = &mut self.pair;
            let (who, open) = tokio::select! {
                biased;
                open = ada.end.receive(&mut ada.arrived), if ada.connections > 0 => (0, open),
                open = alan.end.receive(&mut alan.arrived), if alan.connections > 0 => (1, open),
                () = sleep_until(until) => return,
            };
            let side = &mut self.pair[who];
            while let Some(frame) = frames::take(&mut side.arrived) {
                match frame {
                    Frame::Text(text) => {
                        let message = serde_json::from_str(&text).unwrap();
                        side.client.receive(message, &side.end, &self.world);
                    }
                    Frame::Ping => side.end.send(&frames::pong()),
                    Frame::Close(code) => panic!("{code:?}"),
                }
            }
            if !open {
                side.client.standing = Standing::Out;
                self.connect(who);
            }
        }
    }

    /// Waits until a client is in. A client that receives nothing gives up its connection.
    async fn be_in(&mut self, who: usize) {
        for _ in 0..5 {
            self.pass(20 * STEP).await;
            if self.pair[who].client.standing == Standing::In {
                return;
            }
            self.pair[who].client.standing = Standing::Out;
            self.connect(who);
        }
        panic!("client {who} cannot join");
    }

    fn tell(&mut self, who: usize, directly: bool) {
        let to = directly.then(|| self.pair[1 - who].client.id.clone());
        let side = &mut self.pair[who];
        side.client.tell(&side.end, to);
    }

    /// Returns whether both clients have a server that responds and that has acknowledged everything.
    async fn is_quiet(&mut self) -> bool {
        let mut quiet = true;
        // Long enough for the server's acknowledgements, and for the end of old connections.
        self.pass(Duration::from_secs(3)).await;
        for who in [0, 1] {
            let side = &mut self.pair[who];
            let before = side.client.pongs;
            side.end.send(&frames::text(r#"{"type":"ping"}"#));
            self.pass(20 * STEP).await;
            if self.pair[who].client.pongs == before {
                self.pair[who].client.standing = Standing::Out;
                self.connect(who);
                self.be_in(who).await;
                quiet = false;
            }
        }
        quiet
    }

    async fn run(mut self) -> [Vec<[usize; 2]>; 2] {
        for who in [0, 1] {
            self.connect(who);
            self.be_in(who).await;
        }
        for round in 0..3 {
            for who in [0, 1] {
                self.tell(who, true);
                self.tell(who, false);
                self.pass(STEP).await;
                let side = &mut self.pair[who];
                side.client.say(&side.end, json!({"type": "state", "state": {"n": round}}));
                self.tell(who, true);
                let side = &mut self.pair[who];
                if side.client.standing == Standing::In {
                    side.client.say_again(&side.end);
                }
            }
            self.pass(STEP).await;
            let side = &mut self.pair[round % 2];
            side.client.say(&side.end, json!({"type": "sync"}));
            side.client.acknowledge(&side.end);
            // Each client opens a second connection once, while the first one still exists.
            if round < 2 {
                self.tell(round, false);
                self.pair[round].client.standing = Standing::Out;
                self.connect(round);
                self.tell(1 - round, true);
            }
            self.pass(3 * STEP).await;
        }
        // A client without a response was cut off without notification.
        while !self.is_quiet().await {}
        for side in &mut self.pair {
            side.passed.push(side.end.passed());
            assert_eq!(side.client.stays.len(), 1, "more than one session over all connections");
        }
        let clients = [&self.pair[0].client, &self.pair[1].client];
        checks::quiet(&self.world, &[clients[0].room.clone()], &clients);
        for (from, to) in [(0, 1), (1, 0)] {
            let said = clients[from].stays[0].sent.len();
            assert_eq!(clients[to].stays[0].heard.len(), said, "not all messages were received");
        }
        self.pair.map(|side| side.passed)
    }
}

fn open(world: &World, client: &Client, cut: Option<Cut>) -> End {
    let weather = Weather { delay: (1, 0), piece: 0, cut };
    world.connect(&client.room, weather, dice()).expect("a server")
}

fn converse(place: Option<Place>) -> [Vec<[usize; 2]>; 2] {
    let minute = Duration::from_secs(60);
    in_virtual_time(1, async { timeout(minute, Talk::new(place).run()).await.expect("an end") })
}

#[test]
fn a_cut_at_any_byte_of_a_conversation_loses_nothing() {
    let whole = converse(None);
    let mut places = Vec::new();
    for (who, connections) in whole.iter().enumerate() {
        assert!(connections.len() >= 2, "{connections:?}");
        for (connection, passed) in connections.iter().enumerate() {
            assert!(passed.iter().all(|bytes| *bytes > 300), "too few bytes to cut: {connections:?}");
            for (up, bytes) in [(true, passed[0]), (false, passed[1])] {
                for after in 0..bytes {
                    let mut add = |cut| places.push(Place { who, connection, cut });
                    add(Cut::Reset { up, after });
                    add(Cut::Deaf { up, after });
                    if up {
                        add(Cut::Half { after });
                    }
                }
            }
        }
    }
    println!("{} cuts", places.len());
    let failed = fails(&places, |place| _ = converse(Some(*place)));
    assert!(failed.is_none(), "fails: {failed:?}");
}
