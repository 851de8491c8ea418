//! Somebody who means to stay: comes back by itself, at whichever server answers, numbers what it says, acknowledges
//! what it hears, and remembers all of both.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::common::client::upgrade;
use crate::view::View;

/// Who hears nothing for so long gives its connection up: the servers of these tests ping every second.
const DEAD: Duration = Duration::from_millis(2_500);
/// A door that does not open in this time is not tried any longer.
const DOOR: Duration = Duration::from_millis(1_500);
/// So long a join may take, if the server it comes from has to be found dead first.
const JOIN: Duration = Duration::from_secs(12);
/// After so many messages the server is told that they have come.
const ACK_MESSAGES: u64 = 12;

type Socket = WebSocketStream<TcpStream>;

/// All that was said and heard from one `welcome` to the next.
#[derive(Debug)]
pub struct Stay {
    /// Of all stays of this process.
    pub number: usize,
    pub sent: Vec<Sent>,
    /// Which stay said it, and its how manyth message it was.
    pub heard: Vec<(usize, u64)>,
}

/// One message; its number is its place.
#[derive(Debug)]
pub struct Sent {
    /// `None`: to everybody else.
    pub to: Option<String>,
    /// The server has said that it was not carried out.
    pub refused: bool,
}

/// What somebody knows.
#[derive(Debug, Default)]
pub struct Notes {
    pub is_in: bool,
    pub id: String,
    pub view: View,
    pub stays: Vec<Stay>,
    /// That its server has said so, and has not taken it back.
    pub degraded: bool,
    pub was_degraded: bool,
    /// What `sync` was answered with, while its answer is waited for.
    pub snapshot: Option<View>,
    pub unacknowledged: VecDeque<(u64, String)>,
    /// What must not be, by docs/PROTOCOL.md.
    pub wrong: Vec<String>,
    /// How connections have ended, and codes of errors, for the messages of failures.
    pub fate: Vec<String>,
    /// From the end of a connection to the next `welcome` or `resumed`.
    pub gaps: Vec<Duration>,
    secret: Option<String>,
    /// The numbers of the last message that has come, of the last one acknowledged, and of the last one said.
    last: u64,
    acknowledged: u64,
    number: u64,
}

pub struct Person {
    pub room: String,
    notes: Arc<Mutex<Notes>>,
    say: UnboundedSender<Value>,
    task: JoinHandle<()>,
}

impl Person {
    /// Goes in by the first of these doors that opens, and by the next one when that has closed.
    pub fn enter(room: &str, name: &str, doors: Vec<SocketAddr>) -> Self {
        let (say, said) = unbounded_channel();
        let notes = Arc::<Mutex<Notes>>::default();
        let life = Life { room: room.to_owned(), name: name.to_owned(), doors, at: 0, notes: Arc::clone(&notes), said };
        Self { room: room.to_owned(), notes, say, task: tokio::spawn(life.live()) }
    }

    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// Says something to one other, or to all; who is between two connections says it when it is back.
    pub fn tell(&self, to: Option<String>) {
        let message = {
            let mut notes = self.notes();
            let Some(stay) = notes.stays.last_mut() else { return };
            let n = stay.sent.len();
            let data = json!({"stay": stay.number, "n": n});
            stay.sent.push(Sent { to: to.clone(), refused: false });
            match to {
                Some(to) => json!({"type": "signal", "to": to, "data": data, "ref": n}),
                None => json!({"type": "broadcast", "data": data, "ref": n}),
            }
        };
        self.say(message);
    }

    pub fn say(&self, mut message: Value) {
        let text = {
            let mut notes = self.notes();
            notes.number += 1;
            message["seq"] = json!(notes.number);
            let (number, text) = (notes.number, message.to_string());
            notes.unacknowledged.push_back((number, text));
            // With the stay, so that nothing of the last one is said in the next.
            json!({"stay": notes.stays.last().map(|stay| stay.number), "number": number})
        };
        let _ = self.say.send(text);
    }

    /// Asks for the roster as the server has it.
    pub fn ask_for_snapshot(&self) {
        self.notes().snapshot = None;
        self.say(json!({"type": "sync"}));
    }

    /// Is gone without a word, as by a crash.
    pub fn vanish(&self) {
        self.task.abort();
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the task of a person has.
struct Life {
    room: String,
    name: String,
    doors: Vec<SocketAddr>,
    /// The door that is tried next.
    at: usize,
    notes: Arc<Mutex<Notes>>,
    said: UnboundedReceiver<Value>,
}

impl Life {
    async fn live(mut self) {
        let mut lost: Option<Instant> = None;
        loop {
            let door = self.doors[self.at % self.doors.len()];
            let wait = match timeout(DOOR, self.knock(door)).await {
                Ok(Some(socket)) => self.stay(socket, &mut lost).await,
                _ => Duration::from_millis(fastrand::u64(20..200)),
            };
            self.notes().is_in = false;
            lost.get_or_insert_with(Instant::now);
            self.at += 1;
            sleep(wait).await;
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    async fn knock(&self, door: SocketAddr) -> Option<Socket> {
        let tcp = TcpStream::connect(door).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        upgrade(tcp, &self.room).await.ok()
    }

    /// One connection, from the join to its end; for how long to wait before the next one.
    async fn stay(&mut self, mut socket: Socket, lost: &mut Option<Instant>) -> Duration {
        let mut wait = Duration::from_millis(fastrand::u64(0..100));
        let join = self.notes().join(&self.name);
        if socket.send(Message::text(join)).await.is_err() {
            return wait;
        }
        let mut deadline = Instant::now() + JOIN;
        loop {
            let frame = tokio::select! {
                // What is there has come in time, however late this is.
                biased;
                frame = socket.next() => frame,
                Some(said) = self.said.recv() => {
                    let text = self.notes().text_of(&said);
                    if let Some(text) = text && socket.send(Message::text(text)).await.is_err() {
                        self.notes().fate.push("not sent".into());
                        return wait;
                    }
                    continue;
                }
                () = sleep_until(deadline) => {
                    self.notes().fate.push("silence".into());
                    return wait;
                }
            };
            let answers = match frame {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == "go_away" {
                        wait = Duration::from_millis(message["reconnect_ms"].as_u64().expect("a hint"));
                    }
                    if let Some(millis) = message["retry_after_ms"].as_u64().filter(|_| message["re"] == "join") {
                        wait = Duration::from_millis(millis);
                    }
                    let mut notes = self.notes();
                    let answers = notes.take(message);
                    if notes.is_in
                        && let Some(lost) = lost.take()
                    {
                        notes.gaps.push(lost.elapsed());
                    }
                    answers
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map_or_else(|| "no code".to_owned(), |frame| u16::from(frame.code).to_string());
                    self.notes().fate.push(code);
                    return wait;
                }
                Some(Ok(_)) => Vec::new(),
                Some(Err(_)) | None => {
                    self.notes().fate.push("cut".into());
                    return wait;
                }
            };
            if self.notes().is_in {
                deadline = Instant::now() + DEAD;
            }
            for text in answers {
                if socket.send(Message::text(text)).await.is_err() {
                    return wait;
                }
            }
        }
    }
}

impl Notes {
    fn join(&self, name: &str) -> String {
        let mut join = json!({"type": "join", "name": name});
        if let Some(secret) = &self.secret {
            join["resume"] = json!(secret);
            join["last_seq"] = json!(self.last);
        }
        join.to_string()
    }

    /// What was ordered to be said, unless it will be said on coming back or never more.
    fn text_of(&self, said: &Value) -> Option<String> {
        let now = self.is_in && said["stay"] == json!(self.stays.last().map(|stay| stay.number));
        let text =
            |number| self.unacknowledged.iter().find(|(known, _)| *known == number).map(|(_, text)| text.clone());
        now.then(|| text(said["number"].as_u64().expect("a number"))).flatten()
    }

    /// Takes a message; what is to be answered at once.
    fn take(&mut self, message: Value) -> Vec<String> {
        if let Some(seq) = message["seq"].as_u64() {
            if !self.is_in || seq != self.last + 1 {
                self.wrong.push(format!("R47: {message} after {}", self.last));
            }
            self.last = seq;
        }
        match message["type"].as_str().expect("a type") {
            "welcome" => self.begin(&message),
            "resumed" => {
                self.is_in = true;
                self.arrived(&message);
                return self.unacknowledged.iter().map(|(_, text)| text.clone()).collect();
            }
            "ack" => self.arrived(&message),
            "signal" | "broadcast" => self.hear(&message),
            "error" => self.refused(&message),
            "roster" => {
                let snapshot = View::of(&message);
                // Other than ours only where the servers had lost something.
                if snapshot.version == self.view.version && snapshot != self.view {
                    self.wrong.push(format!("R17: {snapshot:?} is not {:?}", self.view));
                }
                self.view = snapshot.clone();
                self.snapshot = Some(snapshot);
            }
            "degraded" => {
                self.degraded = message["active"].as_bool().expect("a boolean");
                self.was_degraded |= self.degraded;
            }
            _ => {
                if let Err(why) = self.view.take(&message, &self.id) {
                    self.wrong.push(why);
                }
            }
        }
        if self.last < self.acknowledged + ACK_MESSAGES {
            return Vec::new();
        }
        self.acknowledged = self.last;
        vec![json!({"type": "ack", "ack": self.last}).to_string()]
    }

    fn begin(&mut self, welcome: &Value) {
        static STAYS: AtomicUsize = AtomicUsize::new(0);
        let id = welcome["self"].as_str().expect("an id");
        if !self.id.is_empty() && self.id != id {
            self.wrong.push(format!("R11: {} is {id} now", self.id));
        }
        if let Some(why) = welcome["not_resumed"].as_str() {
            self.fate.push(format!("not resumed: {why}"));
        }
        self.is_in = true;
        self.id = id.to_owned();
        self.secret = welcome["resume"].as_str().map(str::to_owned);
        self.view = View::of(welcome);
        self.degraded = false;
        (self.last, self.acknowledged, self.number) = (0, 0, 0);
        self.unacknowledged.clear();
        let number = STAYS.fetch_add(1, Ordering::Relaxed);
        self.stays.push(Stay { number, sent: Vec::new(), heard: Vec::new() });
    }

    fn arrived(&mut self, message: &Value) {
        let ack = message["ack"].as_u64().expect("a number");
        self.unacknowledged.retain(|(number, _)| *number > ack);
    }

    fn hear(&mut self, message: &Value) {
        let from = message["from"].as_str().expect("a sender");
        if !self.view.has(from) {
            self.wrong.push(format!("R15: of somebody who is not there: {message}"));
        }
        let number = |field: &str| message["data"][field].as_u64().expect("a number");
        let said = (number("stay") as usize, number("n"));
        self.stays.last_mut().expect("a stay").heard.push(said);
    }

    fn refused(&mut self, error: &Value) {
        self.fate.push(error["code"].as_str().expect("a code").to_owned());
        if let (Some(n), Some(stay)) = (error["ref"].as_u64(), self.stays.last_mut()) {
            stay.sent[n as usize].refused = true;
        }
    }
}
