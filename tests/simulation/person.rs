//! Behaviour of a client: it connects, sends messages, is cut off and reconnects.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use roundtable::protocol::CloseCode;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Standing};
use crate::frames::{self, Frame};
use crate::messages::is_documented_close;
use crate::network::{Cut, End, Weather};
use crate::world::{Phase, World};

/// Silence after which a client gives up its connection.
const DEAD: Duration = Duration::from_secs(4);
/// Interval of the client's pings and acknowledgements.
const BEAT: Duration = Duration::from_millis(900);

pub type Shared = Arc<Mutex<Client>>;

/// Next step with a connection.
enum Next {
    Stay,
    /// It has ended, or the client gives it up.
    Over,
    /// Another one is opened while this one lasts.
    Another,
}

struct Person {
    me: Shared,
    world: Arc<World>,
    phase: watch::Receiver<Phase>,
    /// The client was rejected after the storm and does not try again.
    gives_up: bool,
}

/// Runs a client until everybody leaves.
pub async fn live(me: Shared, world: Arc<World>, phase: watch::Receiver<Phase>) {
    let mut person = Person { me, world, phase, gives_up: false };
    loop {
        if person.gives_up {
            drop(person.phase.wait_for(|phase| *phase == Phase::Leaving).await);
        }
        person.pause().await;
        let (weather, random, room) = person.weather();
        if *person.phase.borrow() == Phase::Leaving {
            return;
        }
        let Some(end) = person.world.connect(&room, weather, random) else { continue };
        person.talk(end).await;
    }
}

/// Answers pings until the server closes the connection, which another one of the same client has superseded.
async fn linger(me: Shared, id: String, mut end: End, mut arrived: Vec<u8>) {
    while end.receive(&mut arrived).await && me.lock().unwrap().id == id {
        while let Some(frame) = frames::take(&mut arrived) {
            match frame {
                Frame::Ping => end.send(&frames::pong()),
                Frame::Close(_) => return,
                Frame::Text(_) => {}
            }
        }
    }
}

impl Person {
    /// Waits for some time before the next connection.
    async fn pause(&mut self) {
        let storm = *self.phase.borrow() == Phase::Storm;
        let millis = {
            let mut me = self.me.lock().unwrap();
            match me.random.u8(0..10) {
                // Longer than the resume window.
                0 if storm => me.random.u64(4_500..7_000),
                1..4 => me.random.u64(0..20),
                _ => me.random.u64(20..900),
            }
        };
        sleep(Duration::from_millis(millis)).await;
    }

    fn weather(&mut self) -> (Weather, fastrand::Rng, roundtable::protocol::RoomName) {
        let mut me = self.me.lock().unwrap();
        let random = me.random.fork();
        let room = me.room.clone();
        me.bold = *self.phase.borrow() == Phase::Storm;
        let mut weather = Weather { delay: (me.random.u64(0..60), me.random.u64(0..120)), piece: 0, cut: None };
        if *self.phase.borrow() == Phase::Storm {
            weather.piece = if me.random.bool() { me.random.usize(1..200) } else { 0 };
            // Most cuts happen while many messages are sent.
            let after = me.random.usize(0..6_000) * me.random.usize(1..=3) / 3;
            let up = me.random.bool();
            weather.cut = match me.random.u8(0..10) {
                0..4 => Some(Cut::Reset { up, after }),
                4..6 => Some(Cut::Deaf { up, after }),
                6 => Some(Cut::Half { after }),
                _ => None,
            };
        }
        (weather, random, room)
    }

    /// Runs one connection from the join to its end.
    async fn talk(&mut self, mut end: End) {
        self.join(&end);
        let mut arrived = Vec::new();
        let (mut heard, mut beat, mut act) = (Instant::now(), Instant::now() + BEAT, self.next_act());
        loop {
            let next = tokio::select! {
                biased;
                open = end.receive(&mut arrived) => {
                    heard = Instant::now();
                    let mut next = Next::Stay;
                    while let (Next::Stay, Some(frame)) = (&next, frames::take(&mut arrived)) {
                        next = self.take(frame, &end);
                    }
                    if open { next } else { Next::Over }
                }
                Ok(()) = self.phase.changed() => self.turn(&end),
                () = tokio::time::sleep_until(heard + DEAD) => {
                    end.send(&frames::close(3001));
                    Next::Over
                }
                () = tokio::time::sleep_until(beat) => {
                    beat += BEAT;
                    end.send(&frames::text(r#"{"type":"ping"}"#));
                    self.me.lock().unwrap().acknowledge(&end);
                    Next::Stay
                }
                () = tokio::time::sleep_until(act) => {
                    act = self.next_act();
                    self.act(&end).await
                }
            };
            match next {
                Next::Stay => {}
                Next::Over => return self.end(),
                Next::Another => {
                    let id = self.me.lock().unwrap().id.clone();
                    tokio::spawn(linger(Arc::clone(&self.me), id, end, arrived));
                    return;
                }
            }
        }
    }

    fn join(&mut self, end: &End) {
        let mut me = self.me.lock().unwrap();
        if !me.resumes {
            me.become_new(&self.world);
        }
        let settings = (self.world.rules.moderated && me.random.bool())
            .then(|| json!({"lobby": me.random.bool(), "talk": me.random.u8(0..4) == 0}));
        me.join(end, settings, &self.world);
    }

    fn next_act(&self) -> Instant {
        let mut me = self.me.lock().unwrap();
        let millis = if me.random.u8(0..3) == 0 { me.random.u64(1..8) } else { me.random.u64(20..400) };
        Instant::now() + Duration::from_millis(millis)
    }

    fn take(&mut self, frame: Frame, end: &End) -> Next {
        let mut me = self.me.lock().unwrap();
        match frame {
            Frame::Text(text) => {
                self.world.note(&me, &text);
                let message = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                me.receive(message, end, &self.world);
            }
            Frame::Ping => end.send(&frames::pong()),
            Frame::Close(code) => {
                let code = code.expect("a close code of the server");
                assert!(is_documented_close(code), "{code}");
                // Codes that a well-behaved client never receives.
                assert!(![1002, 1007, 1009, 4001, 4011].contains(&code), "{code}");
                assert!(code != CloseCode::GoingAway as u16 || self.world.drained(), "{code}");
                assert!(code != CloseCode::Unauthorized as u16 || self.world.rules.tokens, "{code}");
                // After these codes the client returns with its ID and another token; the others end its membership for
                // good.
                let passing =
                    [CloseCode::PeerTimeout, CloseCode::SlowConsumer, CloseCode::GoingAway, CloseCode::Unauthorized];
                if !passing.iter().any(|known| *known as u16 == code) {
                    me.become_new(&self.world);
                    self.gives_up = *self.phase.borrow() != Phase::Storm;
                }
                return Next::Over;
            }
        }
        Next::Stay
    }

    fn turn(&mut self, end: &End) -> Next {
        self.me.lock().unwrap().bold = false;
        if *self.phase.borrow() != Phase::Leaving {
            end.clear();
            return Next::Stay;
        }
        let mut me = self.me.lock().unwrap();
        match me.random.u8(0..3) {
            0 => end.send(&frames::text(r#"{"type":"leave"}"#)),
            1 => end.send(&frames::close(1001)),
            // Without `leave`: the resume window must expire.
            _ => {}
        }
        me.forget();
        Next::Over
    }

    fn end(&mut self) {
        let mut me = self.me.lock().unwrap();
        me.standing = Standing::Out;
    }

    /// Performs an action if it is time for one.
    async fn act(&mut self, end: &End) -> Next {
        if *self.phase.borrow() != Phase::Storm {
            return Next::Stay;
        }
        self.world.check_loads();
        let stall = {
            let mut me = self.me.lock().unwrap();
            if me.standing != Standing::In {
                return Next::Stay;
            }
            let other = {
                let count = me.view.peers.len();
                let at = me.random.usize(0..count.max(1));
                me.view.peers.keys().nth(at).cloned()
            };
            let hosts = self.world.rules.moderated && me.view.role == "host";
            let mut stall = 0;
            match me.random.u8(0..100) {
                0..30 if other.is_some() => me.tell(end, other),
                30..55 => me.tell(end, None),
                55..67 => {
                    let key = ["mic", "hand", "n"][me.random.usize(0..3)];
                    let value = me.random.bool();
                    me.say(end, json!({"type": "state", "state": {key: value}}));
                }
                67..70 => me.say(end, json!({"type": "sync"})),
                70..76 => me.say_again(end),
                76..88 if hosts => {
                    let act = self.moderation(&mut me, other);
                    me.say(end, act);
                }
                // The connection is dropped, given up, abandoned, or ended with `leave`.
                88..91 => return Next::Over,
                91 => {
                    end.send(&frames::close(3001));
                    return Next::Over;
                }
                92..94 => return Next::Another,
                94 => {
                    end.send(&frames::text(r#"{"type":"leave"}"#));
                    me.forget();
                    return Next::Over;
                }
                95 => {
                    let (id, stay) = me.own_stay(&self.world);
                    assert!(
                        !self.world.leave(&me.room, id, stay.wrapping_sub(1)),
                        "R55: left by the secret of another session"
                    );
                    self.world.leave(&me.room, id, stay);
                    me.forget();
                    return Next::Over;
                }
                // A crashed program has lost everything.
                96 => {
                    me.become_new(&self.world);
                    return Next::Over;
                }
                97 => stall = me.random.u64(500..6_000),
                _ => {}
            }
            stall
        };
        // It reads nothing meanwhile.
        if stall > 0 {
            sleep(Duration::from_millis(stall)).await;
        }
        Next::Stay
    }

    fn moderation(&self, me: &mut Client, other: Option<String>) -> serde_json::Value {
        let to = other.unwrap_or_else(|| me.id.clone());
        let guest = me.view.lobby.first().cloned();
        let role = ["host", "participant", "listener"][me.random.usize(0..3)];
        let on = me.random.bool();
        let act = match me.random.u8(0..40) {
            0..20 if guest.is_some() => json!({"action": "admit", "to": guest}),
            20..23 if guest.is_some() => json!({"action": "refuse", "to": guest}),
            0..12 => json!({"action": "role", "to": to, "role": role}),
            12..17 => json!({"action": "settings", "settings": {"lobby": on}}),
            17..20 => json!({"action": "settings", "settings": {"locked": on}}),
            20..24 => json!({"action": "settings", "settings": {"talk": on}}),
            24..30 => json!({"action": "switch_off", "to": to, "what": "mic"}),
            30..34 => json!({"action": "ask", "to": to, "ask": "mute"}),
            34..38 => json!({"action": "remove", "to": to}),
            38 => json!({"action": "end"}),
            _ => json!({"action": "settings", "settings": {"locked": false, "lobby": false}}),
        };
        let mut message = json!({"type": "moderate"});
        message.as_object_mut().unwrap().extend(act.as_object().unwrap().clone());
        message
    }
}
