//! One connection to one Redis server. Orders go through a queue and are sent in order and in batches: those that
//! gather while a batch is under way go in the next. An answer that does not fit its order ends the connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, PushInfo, PushKind, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::Clock;
use super::route;
use super::scripts::{Call, Reply, Script};

/// Maximum number of waiting orders.
pub const ORDERS: usize = 8 * 1024;
/// Maximum size of waiting orders in bytes.
pub const BYTES: usize = 16 * 1024 * 1024;
/// Part of the free space that a channel may take, as a divisor. A channel belongs to one room and one server. So
/// some space stays free, however many rooms publish as much as they can: 8 of 18 parts with ten rooms.
const CHANNEL_SHARE: usize = 8;
/// Limits of one batch, in orders and in bytes.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;
/// Time limit of a batch of subscriptions on a new connection.
const SUBSCRIBE: Duration = Duration::from_secs(5);
/// Errors after which the Redis servers are looked up again: another server has the room now, or this one cannot serve
/// it.
const MOVED: [&str; 7] = ["MOVED", "READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "NOSCRIPT", "NOAUTH"];

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The connection has ended, or was too busy.
    Gone,
    /// Redis has refused the call.
    Refused(String),
}

/// Receives the reason when a connection has become unusable.
pub(super) type Broken = mpsc::Sender<String>;
/// Receives published messages, with their channel.
pub(super) type Published = Arc<dyn Fn(&str, Vec<u8>) + Send + Sync>;

/// A command to send to Redis.
#[derive(Debug)]
pub(super) enum Order {
    /// Calls a script, perhaps after subscribing to a channel.
    Call {
        call: Call,
        number: u64,
        until: i64,
        subscribe: Option<String>,
        reply: oneshot::Sender<Result<Reply, Fault>>,
    },
    /// Publishes a message to a channel.
    Publish {
        channel: String,
        bytes: Vec<u8>,
    },
    Unsubscribe {
        channel: String,
    },
}

impl Order {
    fn cost(&self) -> usize {
        match self {
            Self::Call { call, .. } => call.cost(),
            Self::Publish { bytes, .. } => bytes.len(),
            Self::Unsubscribe { .. } => 0,
        }
    }

    /// Returns whether this server would count as dead without the order.
    fn is_vital(&self) -> bool {
        matches!(self, Self::Call { call, .. } if matches!(call.script(), Script::Renew | Script::Living | Script::Ping))
    }

    /// Returns the number of answers to the order.
    fn answers(&self) -> usize {
        if matches!(self, Self::Call { subscribe: Some(_), .. }) { 2 } else { 1 }
    }
}

/// A connection, which ends when dropped.
#[derive(Debug)]
pub(super) struct Node {
    orders: mpsc::Sender<Order>,
    waiting: Arc<Mutex<Waiting>>,
    task: JoinHandle<()>,
    alive: Arc<AtomicBool>,
}

/// State of the task that serves the queue over the connection.
struct Line {
    connection: MultiplexedConnection,
    hashes: Vec<String>,
    is_cluster: bool,
    clock: Arc<Clock>,
    /// Number of subscriptions that were ended and not yet confirmed.
    ending: Arc<AtomicI64>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Contents of the queue.
#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    /// Messages to be published, by channel.
    channels: HashMap<String, Load>,
}

#[derive(Debug, Default)]
struct Load {
    orders: usize,
    bytes: usize,
}

impl Waiting {
    /// Returns whether a channel holds less than its share of the free space.
    fn has_share(&self, channel: &str, free: &Load) -> bool {
        self.channels.get(channel).is_none_or(|load| {
            load.orders < free.orders.div_ceil(CHANNEL_SHARE) && load.bytes < free.bytes.div_ceil(CHANNEL_SHARE)
        })
    }

    fn add(&mut self, order: &Order) {
        self.bytes += order.cost();
        if let Order::Publish { channel, bytes } = order {
            let load = self.channels.entry(channel.clone()).or_default();
            load.orders += 1;
            load.bytes += bytes.len();
        }
    }

    fn remove(&mut self, order: &Order) {
        self.bytes -= order.cost();
        if let Order::Publish { channel, bytes } = order
            && let Some(load) = self.channels.get_mut(channel)
        {
            load.orders -= 1;
            load.bytes -= bytes.len();
            if load.orders == 0 {
                self.channels.remove(channel);
            }
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Connects, loads the scripts, and subscribes to these channels. The error is for people.
    pub(super) async fn connect(
        info: &ConnectionInfo,
        is_cluster: bool,
        channels: &[String],
        clock: Arc<Clock>,
        published: Published,
        broken: Broken,
    ) -> Result<Self, String> {
        let (alive, ending) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicI64::new(0)));
        let push = {
            let (alive, ending, broken) = (Arc::clone(&alive), Arc::clone(&ending), broken.clone());
            move |push: PushInfo| {
                if alive.load(Ordering::Relaxed) {
                    pushed(push, &published, &ending, &broken);
                }
                Ok::<(), ()>(())
            }
        };
        let mut connection = route::connect(info, AsyncConnectionConfig::new().set_push_sender(push)).await?;
        route::check(&mut connection, is_cluster).await?;
        let mut hashes = Vec::new();
        for script in Script::ALL {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.text());
            match route::query(&mut connection, &load).await? {
                Value::BulkString(hash) => hashes.push(String::from_utf8_lossy(&hash).into_owned()),
                other => return Err(format!("a script was not taken: {other:?}")),
            }
        }
        let waiting = Arc::<Mutex<Waiting>>::default();
        let mut line = Line { connection, hashes, is_cluster, clock, ending, waiting: Arc::clone(&waiting) };
        line.ping().await?;
        for channels in channels.chunks(BATCH) {
            let mut pipeline = Pipeline::new();
            for channel in channels {
                pipeline.add_command(line.subscribe(channel));
            }
            let answers = tokio::time::timeout(SUBSCRIBE, line.send(&pipeline)).await;
            let answers = answers.map_err(|_| "subscribing takes too long")??;
            for (channel, answer) in channels.iter().zip(&answers) {
                is_subscribed(answer, channel).map_err(|fault| format!("cannot subscribe: {fault:?}"))?;
            }
        }
        let (orders, queue) = mpsc::channel(ORDERS);
        let task = tokio::spawn(line.work(queue, broken));
        Ok(Self { orders, waiting, task, alive })
    }

    /// Adds an order to the queue. Returns `false` if the queue is full or the connection has ended.
    pub(super) fn put(&self, order: Order) -> bool {
        // Part of the queue is reserved for orders that keep this server alive, however much members send.
        let (orders, bytes) = if order.is_vital() { (0, BYTES) } else { (ORDERS / 4, BYTES / 4 * 3) };
        let mut waiting = lock(&self.waiting);
        let free =
            Load { orders: self.orders.capacity().saturating_sub(orders), bytes: bytes.saturating_sub(waiting.bytes) };
        let is_full = free.orders == 0 || free.bytes < order.cost();
        if is_full || matches!(&order, Order::Publish { channel, .. } if !waiting.has_share(channel, &free)) {
            return false;
        }
        let Ok(place) = self.orders.try_reserve() else { return false };
        waiting.add(&order);
        place.send(order);
        true
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
        self.task.abort();
    }
}

impl Line {
    async fn work(mut self, mut queue: mpsc::Receiver<Order>, broken: Broken) {
        while let Some(first) = queue.recv().await {
            let (mut bytes, mut batch) = (first.cost(), vec![first]);
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Ok(order) = queue.try_recv() else { break };
                bytes += order.cost();
                batch.push(order);
            }
            {
                let mut waiting = lock(&self.waiting);
                batch.iter().for_each(|order| waiting.remove(order));
            }
            if let Err(why) = self.carry_out(batch).await {
                // Fails if another reason was reported already: one is enough.
                let _ = broken.try_send(why);
                return;
            }
        }
    }

    /// Sends a batch and passes on the answers. The error says why the connection has become unusable.
    async fn carry_out(&mut self, batch: Vec<Order>) -> Result<(), String> {
        let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
        for order in &batch {
            match order {
                Order::Call { call, number, until, subscribe, .. } => {
                    if let Some(channel) = subscribe {
                        pipeline.add_command(self.subscribe(channel));
                    }
                    pipeline.add_command(call.command(&self.hashes[call.script() as usize], *number, *until));
                }
                Order::Publish { channel, bytes } => {
                    let mut publish = redis::cmd(if self.is_cluster { "SPUBLISH" } else { "PUBLISH" });
                    publish.arg(channel).arg(bytes);
                    pipeline.add_command(publish);
                }
                Order::Unsubscribe { channel } => {
                    self.ending.fetch_add(1, Ordering::Relaxed);
                    let mut end = redis::cmd(if self.is_cluster { "SUNSUBSCRIBE" } else { "UNSUBSCRIBE" });
                    end.arg(channel);
                    pipeline.add_command(end);
                }
            }
        }
        let sent = Instant::now();
        let mut answers = self.send(&pipeline).await?.into_iter();
        let received = Instant::now();
        let mut moved = None;
        for order in batch {
            let answers: Vec<Value> = answers.by_ref().take(order.answers()).collect();
            let result = check(&order, answers)?;
            if let Err(Fault::Refused(why)) = &result
                && MOVED.iter().any(|code| why.starts_with(code))
            {
                moved = Some(why.clone());
            }
            if let Ok(Some(reply)) = &result {
                self.clock.heard(sent, received, reply.time);
            }
            if let Order::Call { reply, .. } = order {
                // Fails if the caller has given up.
                let _ = reply.send(result.and_then(|reply| reply.ok_or(Fault::Gone)));
            }
        }
        moved.map_or(Ok(()), Err)
    }

    async fn send(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, String> {
        let count = pipeline.len();
        let answers =
            self.connection.req_packed_commands(pipeline, 0, count).await.map_err(|error| error.to_string())?;
        if answers.len() == count { Ok(answers) } else { Err("answers are missing".into()) }
    }

    /// Sends a ping, by whose answer the clock is known from here on.
    async fn ping(&mut self) -> Result<(), String> {
        let command = Call::ping().command(&self.hashes[Script::Ping as usize], 0, i64::MAX);
        let sent = Instant::now();
        let reply = Reply::parse(route::query(&mut self.connection, &command).await?);
        self.clock.heard(sent, Instant::now(), reply.ok_or("it does not understand scripts")?.time);
        Ok(())
    }

    fn subscribe(&self, channel: &str) -> Cmd {
        let mut subscribe = redis::cmd(if self.is_cluster { "SSUBSCRIBE" } else { "SUBSCRIBE" });
        subscribe.arg(channel);
        subscribe
    }
}

/// Returns the result of an order. The outer error is that answers and orders do not fit.
fn check(order: &Order, answers: Vec<Value>) -> Result<Result<Option<Reply>, Fault>, String> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().ok_or("an answer is missing");
    let result = match order {
        Order::Call { number, subscribe, .. } => {
            let subscribed = match subscribe {
                Some(channel) => is_subscribed(&next()?, channel),
                None => Ok(()),
            };
            match next()? {
                Value::ServerError(error) => Err(refused(&error)),
                value => {
                    let reply = Reply::parse(value).filter(|reply| reply.number == *number);
                    let reply = reply.ok_or("an answer is to another question")?;
                    subscribed.map(|()| Some(reply))
                }
            }
        }
        Order::Publish { .. } => match next()? {
            Value::Int(_) => Ok(None),
            Value::ServerError(error) => Err(refused(&error)),
            _ => return Err("an answer is to another question".into()),
        },
        Order::Unsubscribe { channel } => match next()? {
            Value::Push { kind: PushKind::Unsubscribe | PushKind::SUnsubscribe, data } if is_of(&data, channel) => {
                Ok(None)
            }
            Value::ServerError(error) => Err(refused(&error)),
            _ => return Err("an answer is to another question".into()),
        },
    };
    Ok(result)
}

fn is_subscribed(answer: &Value, channel: &str) -> Result<(), Fault> {
    match answer {
        Value::Push { kind: PushKind::Subscribe | PushKind::SSubscribe, data } if is_of(data, channel) => Ok(()),
        Value::ServerError(error) => Err(refused(error)),
        _ => Err(Fault::Refused("an answer is to another question".into())),
    }
}

fn is_of(data: &[Value], channel: &str) -> bool {
    matches!(data.first(), Some(Value::BulkString(name)) if name == channel.as_bytes())
}

fn refused(error: &redis::ServerError) -> Fault {
    Fault::Refused(format!("{} {}", error.code(), error.details().unwrap_or_default()))
}

/// Handles a push message.
fn pushed(push: PushInfo, published: &Published, ending: &AtomicI64, broken: &Broken) {
    match push.kind {
        PushKind::Message | PushKind::SMessage => {
            let mut data = push.data.into_iter();
            if let (Some(Value::BulkString(channel)), Some(Value::BulkString(bytes))) = (data.next(), data.next())
                && let Ok(channel) = std::str::from_utf8(&channel)
            {
                published(channel, bytes);
            }
        }
        // Not requested: the channel's slot has moved to another server of the cluster.
        PushKind::Unsubscribe | PushKind::SUnsubscribe if ending.fetch_sub(1, Ordering::Relaxed) <= 0 => {
            let _ = broken.try_send("a subscription has ended".into());
        }
        PushKind::Disconnection => {
            let _ = broken.try_send("the connection has ended".into());
        }
        _ => {}
    }
}
