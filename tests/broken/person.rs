//! Persistent client: reconnects to whichever server responds, numbers and acknowledges messages, and records
//! everything that it sends and receives.

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

/// Silence after which the client gives up a connection; the servers of these tests ping every second.
const DEAD: Duration = Duration::from_millis(2_500);
/// Timeout for opening a connection.
const DOOR: Duration = Duration::from_millis(1_500);
/// Timeout for joining, which may include the detection of a dead server.
const JOIN: Duration = Duration::from_secs(12);
/// Messages after which the client acknowledges.
const ACK_MESSAGES: u64 = 12;

type Socket = WebSocketStream<TcpStream>;

/// Messages sent and received in one session, from one `welcome` to the next.
#[derive(Debug)]
pub struct Stay {
    /// Unique in this process.
    pub number: usize,
    pub sent: Vec<Sent>,
    /// Number of the sender's session, and index of the message in it.
    pub heard: Vec<(usize, u64)>,
}

/// One message; its number is its index.
#[derive(Debug)]
pub struct Sent {
    /// Recipient; `None` for everybody else.
    pub to: Option<String>,
    /// The server reported that it was not carried out.
    pub refused: bool,
}

/// State and history of a client.
#[derive(Debug, Default)]
pub struct Notes {
    pub is_in: bool,
    pub id: String,
    pub view: View,
    pub stays: Vec<Stay>,
    /// The server reported `degraded`, and has not reported its end.
    pub degraded: bool,
    pub was_degraded: bool,
    /// Response to `sync`, once it has arrived.
    pub snapshot: Option<View>,
    pub unacknowledged: VecDeque<(u64, String)>,
    /// Violations of docs/PROTOCOL.md.
    pub wrong: Vec<String>,
    /// Ends of connections and error codes, shown when a test fails.
    pub fate: Vec<String>,
    /// Interruptions: from the end of a connection to the next `welcome` or `resumed`.
    pub gaps: Vec<Duration>,
    secret: Option<String>,
    /// Numbers of the last message received, of the last one acknowledged, and of the last one sent.
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
    /// Joins at the first of these servers that responds, and at the next one when the connection ends.
    pub fn enter(room: &str, name: &str, doors: Vec<SocketAddr>) -> Self {
        let (say, said) = unbounded_channel();
        let notes = Arc::<Mutex<Notes>>::default();
        let life = Life { room: room.to_owned(), name: name.to_owned(), doors, at: 0, notes: Arc::clone(&notes), said };
        Self { room: room.to_owned(), notes, say, task: tokio::spawn(life.live()) }
    }

    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    /// Sends a message to one peer, or to all. Between two connections it is sent after the reconnect.
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
            // With the session's number, so that no message of one session is sent in the next.
            json!({"stay": notes.stays.last().map(|stay| stay.number), "number": number})
        };
        let _ = self.say.send(text);
    }

    /// Requests the roster from the server.
    pub fn ask_for_snapshot(&self) {
        self.notes().snapshot = None;
        self.say(json!({"type": "sync"}));
    }

    /// Disappears without `leave`, like a crashed client.
    pub fn vanish(&self) {
        self.task.abort();
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// State of a client's task.
struct Life {
    room: String,
    name: String,
    doors: Vec<SocketAddr>,
    /// Index of the server to try next.
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

    /// Runs one connection from the join to its end. Returns the delay before the next one.
    async fn stay(&mut self, mut socket: Socket, lost: &mut Option<Instant>) -> Duration {
        let mut wait = Duration::from_millis(fastrand::u64(0..100));
        let join = self.notes().join(&self.name);
        if socket.send(Message::text(join)).await.is_err() {
            return wait;
        }
        let mut deadline = Instant::now() + JOIN;
        loop {
            let frame = tokio::select! {
                // Data that has arrived is in time, however late it is read.
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

    /// Returns a message that is to be sent now. Returns `None` if it will be sent after the reconnect, or if its
    /// session has ended.
    fn text_of(&self, said: &Value) -> Option<String> {
        let now = self.is_in && said["stay"] == json!(self.stays.last().map(|stay| stay.number));
        let text =
            |number| self.unacknowledged.iter().find(|(known, _)| *known == number).map(|(_, text)| text.clone());
        now.then(|| text(said["number"].as_u64().expect("a number"))).flatten()
    }

    /// Processes a message. Returns the messages to send in response.
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
                // It may differ from the client's view only if the servers had lost state.
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
