//! Lookup of the Redis servers, and of the server that has a key.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, Value};

use super::address::{self, Address, Kind};

/// Time limit of connecting.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// Time limit of a query while connecting.
pub(super) const STEP: Duration = Duration::from_secs(2);
/// Number of slots in a cluster.
const SLOTS: u16 = 16_384;

/// Redis servers: a single one, or those of a cluster that have slots.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) nodes: Vec<ConnectionInfo>,
    /// First and last slot of each range, and the index of the node that has it; in order.
    slots: Vec<(u16, u16, usize)>,
    /// Set if the servers are a cluster.
    pub(super) is_cluster: bool,
}

impl Route {
    /// Looks up the servers at an address. The error is for people.
    pub(super) async fn find(address: &Address) -> Result<Self, String> {
        let seeds = &address.seeds;
        match &address.kind {
            Kind::Single => Ok(Self { nodes: seeds.clone(), slots: vec![(0, SLOTS - 1, 0)], is_cluster: false }),
            Kind::Sentinel { master, engine } => {
                let node = first_of(seeds, |seed| ask_sentinel(seed, master, engine)).await?;
                Ok(Self { nodes: vec![node], slots: vec![(0, SLOTS - 1, 0)], is_cluster: false })
            }
            Kind::Cluster => first_of(seeds, ask_cluster).await,
        }
    }

    /// Returns the index of the node that has a key, or `None` if no node has it.
    pub(super) fn node(&self, key: &str) -> Option<usize> {
        let slot = slot(key);
        let at = self.slots.partition_point(|(_, last, _)| *last < slot);
        self.slots.get(at).filter(|(first, ..)| *first <= slot).map(|(.., node)| *node)
    }
}

/// Queries the seeds one after the other, beginning with a random one. Returns the last error if all fail.
async fn first_of<'a, T, F>(seeds: &'a [ConnectionInfo], ask: impl Fn(&'a ConnectionInfo) -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
{
    let mut error = "there is no address".to_owned();
    let from = fastrand::usize(..seeds.len().max(1));
    for at in 0..seeds.len() {
        let seed = &seeds[(from + at) % seeds.len()];
        match ask(seed).await {
            Ok(answer) => return Ok(answer),
            Err(why) => error = format!("{}: {why}", seed.addr()),
        }
    }
    Err(error)
}

/// Opens a connection.
pub(super) async fn connect(
    info: &ConnectionInfo,
    config: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, String> {
    let config = config.set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
    let connect = async {
        let client = Client::open(info.clone())?;
        client.get_multiplexed_async_connection_with_config(&config).await
    };
    connect.await.map_err(|error| error.to_string())
}

/// Sends a query with a time limit.
pub(super) async fn query(connection: &mut MultiplexedConnection, command: &redis::Cmd) -> Result<Value, String> {
    match tokio::time::timeout(STEP, command.query_async(connection)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it does not answer".into()),
    }
}

async fn ask_sentinel(
    sentinel: &ConnectionInfo,
    name: &str,
    engine: &ConnectionInfo,
) -> Result<ConnectionInfo, String> {
    let mut connection = connect(sentinel, AsyncConnectionConfig::new()).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer = query(&mut connection, &command).await?;
    let (host, port): (String, u16) =
        redis::from_redis_value(answer).map_err(|_| format!("this Sentinel knows no master {name:?}"))?;
    Ok(engine.clone().set_addr(address::at(engine.addr(), Some(&host), port)))
}

/// Checks that a server has the expected role.
pub(super) async fn check(connection: &mut MultiplexedConnection, is_cluster: bool) -> Result<(), String> {
    let answer = query(connection, &redis::cmd("HELLO")).await?;
    let about: HashMap<String, Value> = redis::from_redis_value(answer).map_err(|error| error.to_string())?;
    let is = |name: &str, text: &str| about.get(name).is_some_and(|value| is_text(value, text));
    if is("mode", "sentinel") {
        return Err("it is a Sentinel: the address begins with redis-sentinel://".into());
    }
    if is("mode", "cluster") && !is_cluster {
        return Err("it is of a cluster: the address begins with redis-cluster://".into());
    }
    if is("role", "master") { Ok(()) } else { Err("it is a replica".into()) }
}

async fn ask_cluster(seed: &ConnectionInfo) -> Result<Route, String> {
    let mut connection = connect(seed, AsyncConnectionConfig::new()).await?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let answer = query(&mut connection, &command).await?;
    parse_slots(seed, answer).ok_or_else(|| "what it says of the cluster is not understood".to_owned())
}

/// Parses the answer to `CLUSTER SLOTS`. It has, for each range, the first and last slot, the node that has them, and
/// the replicas of that node.
fn parse_slots(seed: &ConnectionInfo, answer: Value) -> Option<Route> {
    let Value::Array(ranges) = answer else { return None };
    let mut route = Route { nodes: Vec::new(), slots: Vec::new(), is_cluster: true };
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(owner), ..] = range.as_slice() else { return None };
        let [host, Value::Int(port), ..] = owner.as_slice() else { return None };
        let host = match host {
            // The node does not know its own host: use the one by which it was reached.
            Value::Nil => None,
            Value::BulkString(host) if matches!(host.as_slice(), b"" | b"?") => None,
            Value::BulkString(host) => Some(std::str::from_utf8(host).ok()?),
            _ => return None,
        };
        let addr: ConnectionAddr = address::at(seed.addr(), host, u16::try_from(*port).ok()?);
        let known = route.nodes.iter().position(|node| *node.addr() == addr);
        let node = known.unwrap_or_else(|| {
            route.nodes.push(seed.clone().set_addr(addr));
            route.nodes.len() - 1
        });
        route.slots.push((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, node));
    }
    route.slots.sort_unstable();
    (!route.slots.is_empty()).then_some(route)
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::BulkString(bytes) => bytes == text.as_bytes(),
        Value::SimpleString(other) => other == text,
        _ => false,
    }
}

/// Returns the cluster slot of a key ("Redis cluster specification", "Key distribution model" and "Hash tags").
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        // CRC-16/XMODEM.
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // From the specification, and by CLUSTER KEYSLOT.
        for (key, is) in [("123456789", 12739), ("foo", 12182), ("bar", 5061), ("{foo}:log", 12182), ("{}", 15257)] {
            assert_eq!(slot(key), is, "{key}");
        }
    }

    #[test]
    fn keys_are_where_the_cluster_says() {
        let seed = "redis://seed:1".into_connection_info().unwrap();
        let host = |host: &str| Value::BulkString(host.into());
        let range = |first, last, host, port| {
            Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(vec![host, Value::Int(port)])])
        };
        let answer = Value::Array(vec![
            range(8_000, 12_182, host("b"), 2),
            range(0, 5_000, Value::Nil, 3),
            range(12_183, 16_383, host("b"), 2),
        ]);
        let route = parse_slots(&seed, answer).unwrap();
        let nodes: Vec<String> = route.nodes.iter().map(|node| node.addr().to_string()).collect();
        assert_eq!(nodes, ["b:2", "seed:3"]);
        assert_eq!((route.node("foo"), route.node("bar"), route.node("123456789")), (Some(0), None, Some(0)));
        assert!(parse_slots(&seed, Value::Array(Vec::new())).is_none());
    }
}
