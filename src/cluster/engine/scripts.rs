//! Lua scripts, one for each kind of request, which Redis runs atomically. At `maxmemory`, Redis refuses only the first
//! write of a script, if that is a command that may enlarge the data. The keys and channels of a room are `rt:{room}`,
//! `rt:{room}:log` and `rt:{room}:<server>`: the hash tag in braces determines the cluster node. Leases are
//! `rt:server:{lease}:<server>`, all on one node: while that one is unreachable, no server counts as dead.

use std::time::Duration;

use redis::{Cmd, Value};

use crate::cluster::bus::{Answer, Request};
use crate::cluster::records::Limits;
use crate::cluster::wire::{self, Entry, Incarnation, Post, ServerId};
use crate::protocol::RoomName;

/// A Lua script.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Script {
    Attach,
    Detach,
    Evict,
    Found,
    Append,
    Fetch,
    Renew,
    Living,
    Ping,
}

impl Script {
    /// All scripts, in order of their numbers.
    pub(super) const ALL: [Self; 9] = [
        Self::Attach,
        Self::Detach,
        Self::Evict,
        Self::Found,
        Self::Append,
        Self::Fetch,
        Self::Renew,
        Self::Living,
        Self::Ping,
    ];

    /// Returns the name of the script and of its file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Evict => "evict",
            Self::Found => "found",
            Self::Append => "append",
            Self::Fetch => "fetch",
            Self::Renew => "renew",
            Self::Living => "living",
            Self::Ping => "ping",
        }
    }

    /// Returns the source of the script.
    pub(super) fn text(self) -> String {
        let (is_of_room, body) = match self {
            Self::Attach => (true, include_str!("scripts/attach.lua")),
            Self::Detach => (true, include_str!("scripts/detach.lua")),
            Self::Evict => (true, include_str!("scripts/evict.lua")),
            Self::Found => (true, include_str!("scripts/found.lua")),
            Self::Append => (true, include_str!("scripts/append.lua")),
            Self::Fetch => (true, include_str!("scripts/fetch.lua")),
            Self::Renew => (false, include_str!("scripts/renew.lua")),
            Self::Living => (false, include_str!("scripts/living.lua")),
            Self::Ping => (false, include_str!("scripts/ping.lua")),
        };
        let version = format!("local version = '{}'\n", char::from(wire::VERSION));
        let room = if is_of_room { include_str!("scripts/room.lua") } else { "" };
        let known = if is_of_room && self != Self::Attach { include_str!("scripts/known.lua") } else { "" };
        [&version, include_str!("scripts/answer.lua"), room, known, body].concat()
    }
}

/// A script with its keys and arguments, to be sent once or more.
#[derive(Clone, Debug)]
pub(super) struct Call {
    script: Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    /// Creates the call for a request about a room. `sharded` is set if Redis is a cluster.
    pub(super) fn ask(room: &RoomName, request: &Request, limits: Limits, sharded: bool) -> Self {
        let (script, post, incarnation) = match request {
            Request::Attach { post, after } => (Script::Attach, post, *after),
            Request::Detach { post, incarnation } => (Script::Detach, post, Some(*incarnation)),
            Request::Evict { post, incarnation, .. } => (Script::Evict, post, Some(*incarnation)),
            Request::Found { post, incarnation } => (Script::Found, post, Some(*incarnation)),
            Request::Append { post, incarnation, .. } => (Script::Append, post, Some(*incarnation)),
            Request::Fetch { post, incarnation, .. } => (Script::Fetch, post, Some(*incarnation)),
        };
        let publish = if sharded { "SPUBLISH" } else { "PUBLISH" };
        let mut arguments = vec![
            publish.into(),
            format!("{}:{}", limits.entries, limits.bytes).into(),
            limits.lasts.as_millis().to_string().into(),
            post_text(*post).into(),
            incarnation.map_or_else(String::new, incarnation_text).into(),
        ];
        match request {
            Request::Attach { after, .. } => {
                arguments.push(after.map_or(0, |after| after.born.saturating_add(1)).to_string().into());
            }
            Request::Evict { victim, .. } => arguments.push(post_text(*victim).into()),
            Request::Append { acts, .. } => {
                for (own, act) in acts {
                    arguments.push(own.to_string().into());
                    // Serializing our own types cannot fail.
                    arguments.push(serde_json::to_vec(act).unwrap_or_default());
                }
            }
            Request::Fetch { after, .. } => arguments.push(after.to_string().into()),
            Request::Detach { .. } | Request::Found { .. } => {}
        }
        let record = record(room);
        Self { script, keys: vec![record.clone(), format!("{record}:log")], arguments }
    }

    /// Creates a call that renews the lease of a server.
    pub(super) fn renew(server: ServerId, lease: Duration) -> Self {
        let arguments = vec![lease.as_millis().to_string().into()];
        Self { script: Script::Renew, keys: vec![lease_key(server)], arguments }
    }

    /// Creates a call that returns which of these servers have a lease.
    pub(super) fn living(servers: &[ServerId]) -> Self {
        let keys = servers.iter().copied().map(lease_key).collect();
        Self { script: Script::Living, keys, arguments: Vec::new() }
    }

    /// Creates a call that returns the Redis server's time.
    pub(super) fn ping() -> Self {
        Self { script: Script::Ping, keys: Vec::new(), arguments: Vec::new() }
    }

    /// Returns the script.
    pub(super) fn script(&self) -> Script {
        self.script
    }

    /// Returns the key that determines the cluster node.
    pub(super) fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// Returns the size of the arguments in bytes, the largest part of the call.
    pub(super) fn cost(&self) -> usize {
        self.arguments.iter().map(Vec::len).sum()
    }

    /// Creates the Redis command. `number` identifies the call, `until` is its deadline by the Redis server's clock in
    /// microseconds, and `hash` is that of the script.
    pub(super) fn command(&self, hash: &str, number: u64, until: i64) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(hash).arg(self.keys.len()).arg(&self.keys).arg(number).arg(until).arg(&self.arguments);
        command
    }
}

/// Returns the key of a room's record, with which its channels begin.
fn record(room: &RoomName) -> String {
    // Escaped, because the first closing brace ends the hash tag.
    let room = room.as_str().replace('%', "%25").replace('{', "%7B").replace('}', "%7D");
    format!("rt:{{{room}}}")
}

/// Returns the channel on which one server gets the entries of a room and the messages about it.
pub(super) fn channel(room: &RoomName, server: ServerId) -> String {
    format!("{}:{}", record(room), server.0)
}

fn lease_key(server: ServerId) -> String {
    format!("rt:server:{{lease}}:{}", server.0)
}

fn post_text(post: Post) -> String {
    format!("{}:{}", post.server.0, post.life)
}

fn incarnation_text(incarnation: Incarnation) -> String {
    format!("{}:{}", incarnation.born, post_text(incarnation.founder))
}

fn parse_post(text: &str) -> Option<Post> {
    let (server, life) = text.split_once(':')?;
    Some(Post { server: ServerId(server.parse().ok()?), life: life.parse().ok()? })
}

fn parse_incarnation(text: &str) -> Option<Incarnation> {
    let (born, founder) = text.split_once(':')?;
    Some(Incarnation { born: born.parse().ok()?, founder: parse_post(founder)? })
}

/// Answer of a script.
#[derive(Debug)]
pub(super) struct Reply {
    /// Number of the call.
    pub(super) number: u64,
    /// The Redis server's clock in microseconds.
    pub(super) time: i64,
    status: String,
    rest: Vec<Value>,
}

impl Reply {
    /// Parses an answer. Returns `None` if it is not from one of these scripts.
    pub(super) fn parse(value: Value) -> Option<Self> {
        let Value::Array(values) = value else { return None };
        let mut values = values.into_iter();
        Some(Self {
            number: text(&values.next()?)?.parse().ok()?,
            time: text(&values.next()?)?.parse().ok()?,
            status: text(&values.next()?)?.to_owned(),
            rest: values.collect(),
        })
    }

    /// Returns whether the call came too late. Nothing was done then.
    pub(super) fn is_late(&self) -> bool {
        self.status == "late"
    }

    /// Parses the answer to a [`Call::ask`] of this node.
    pub(super) fn answer(&self, own: Post) -> Option<Answer> {
        let number = || text(self.rest.first()?)?.parse().ok();
        Some(match self.status.as_str() {
            "unknown" => Answer::Unknown,
            "absent" => Answer::NotAttached,
            "done" => Answer::Done { number: number()? },
            "entries" => {
                let entries = match self.rest.get(1) {
                    None => None,
                    Some(Value::Array(entries)) => Some(entries.iter().map(entry).collect::<Option<_>>()?),
                    Some(_) => return None,
                };
                Answer::Entries { number: number()?, entries }
            }
            "attached" => {
                let [incarnation, number, time, posts] = self.rest.as_slice() else { return None };
                let posts: Vec<Post> = text(posts)?.split(' ').map(parse_post).collect::<Option<_>>()?;
                Answer::Attached {
                    incarnation: parse_incarnation(text(incarnation)?)?,
                    number: text(number)?.parse().ok()?,
                    time: Duration::from_micros(text(time)?.parse().ok()?),
                    others: posts.into_iter().filter(|post| *post != own).collect(),
                }
            }
            _ => return None,
        })
    }

    /// Parses the answer to [`Call::renew`].
    pub(super) fn renewed(&self) -> Option<bool> {
        (self.status == "lease").then_some(text(self.rest.first()?)? == "1")
    }

    /// Parses the answer to [`Call::living`]: one value for each server, in the order of the call.
    pub(super) fn living(&self) -> Option<Vec<bool>> {
        let Some(Value::Array(living)) = self.rest.first().filter(|_| self.status == "living") else { return None };
        living.iter().map(|lives| Some(text(lives)? == "1")).collect()
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn entry(value: &Value) -> Option<Entry> {
    match value {
        Value::BulkString(bytes) => wire::from_bytes(bytes).ok(),
        _ => None,
    }
}

/// Parses what a script has published: a record and an entry.
pub(super) fn parse_published(bytes: &[u8]) -> Result<(Incarnation, Entry), String> {
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or("There is no entry.")?;
    let record = std::str::from_utf8(&bytes[..line]).ok().and_then(parse_incarnation);
    Ok((record.ok_or("It is of no record.")?, wire::from_bytes(&bytes[line + 1..])?))
}
