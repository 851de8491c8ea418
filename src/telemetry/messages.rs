//! Metrics on the message path: no lock, no allocation, and a reading of the clock only once in many messages.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::Histogram;

/// Sampling rate of the latency histogram: one in this many messages of each type, starting with the first.
const TIMED: u64 = 16;
/// Types of messages from clients, the most frequent first. The last one stands for all others.
const RECEIVED: &[&str] = &[
    "signal",
    "broadcast",
    "ack",
    "ping",
    "state",
    "quality",
    "join",
    "moderate",
    "sync",
    "renew",
    "leave",
    "invalid",
];
/// Types of messages to clients, likewise.
const SENT: &[&str] = &[
    "signal",
    "broadcast",
    "ack",
    "pong",
    "peer_joined",
    "peer_left",
    "state",
    "link",
    "welcome",
    "roster",
    "role",
    "settings",
    "waiting",
    "lobby",
    "asked",
    "switched_off",
    "resumed",
    "error",
    "ice_servers",
    "token_expiring",
    "renewed",
    "degraded",
    "go_away",
    "other",
];
const TIMES: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.05, 0.1, 1.0];
const FILLS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    direction: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Type {
    r#type: &'static str,
}

/// Counters of messages and of their bytes, by type.
type Counters = Box<[(Counter, Counter)]>;

/// Metrics of messages from and to clients.
#[derive(Debug)]
pub struct MessageMetrics {
    received: Counters,
    sent: Counters,
    signals: Histogram,
    broadcasts: Histogram,
    /// Largest number of messages that waited for one socket between two pings.
    outboxes: Histogram,
}

/// Type of a relayed message.
#[derive(Clone, Copy, Debug)]
pub enum Relayed {
    /// `signal`, to one member.
    Signal,
    /// `broadcast`, to all other members.
    Broadcast,
}

impl MessageMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let messages = Family::<Labels, Counter>::default();
        let bytes = Family::<Labels, Counter>::default();
        let resolve = |direction, types: &'static [&'static str]| -> Counters {
            let labels = types.iter().map(|r#type| Labels { direction, r#type });
            labels
                .map(|labels| (messages.get_or_create(&labels).clone(), bytes.get_or_create(&labels).clone()))
                .collect()
        };
        let (received, sent) = (resolve("received", RECEIVED), resolve("sent", SENT));
        let relays = Family::<Type, Histogram, _>::new_with_constructor(|| Histogram::new(TIMES));
        // In statements of their own: the family stays locked until the end of the statement.
        let signals = relays.get_or_create(&Type { r#type: "signal" }).clone();
        let broadcasts = relays.get_or_create(&Type { r#type: "broadcast" }).clone();
        let outboxes = Histogram::new(FILLS);
        registry.register("messages", "Messages of clients and to them", messages);
        registry.register_with_unit("message", "Their JSON, without their numbers", Unit::Bytes, bytes);
        let help = "From the reading of a relayed message to the outboxes of its receivers, of one in 16";
        registry.register_with_unit("relay_duration", help, Unit::Seconds, relays);
        let help = "The most messages that waited for a socket at once, between two pings";
        registry.register_with_unit("outbox", help, Unit::Other("messages".into()), outboxes.clone());
        Self { received, sent, signals, broadcasts, outboxes }
    }

    /// Counts a message from a client, and returns how many of its type came before. `None` counts as invalid.
    pub fn received(&self, kind: Option<&str>, bytes: usize) -> u64 {
        count(RECEIVED, &self.received, kind.unwrap_or_default(), bytes)
    }

    /// Counts a message to a client.
    pub fn sent(&self, kind: &str, bytes: usize) {
        count(SENT, &self.sent, kind, bytes);
    }

    /// Records the latency of a message that was read at `since` and is now in outboxes, if it is one of those sampled.
    pub fn relayed(&self, what: Relayed, nth: u64, since: Instant) {
        if nth.is_multiple_of(TIMED) {
            let times = match what {
                Relayed::Signal => &self.signals,
                Relayed::Broadcast => &self.broadcasts,
            };
            times.observe_time(since.elapsed());
        }
    }

    /// Records the largest number of messages that waited for a socket.
    pub fn waited(&self, most: usize) {
        self.outboxes.observe(most as f64);
    }
}

/// Counts a message, under the last of `types` if its type is none of them.
fn count(types: &[&str], counters: &Counters, kind: &str, bytes: usize) -> u64 {
    let at = types.iter().position(|known| *known == kind).unwrap_or(types.len() - 1);
    let (messages, all_bytes) = &counters[at];
    all_bytes.inc_by(bytes as u64);
    messages.inc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_its_type() {
        let golden: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../tests/fixtures/messages.json")).unwrap();
        for message in golden {
            let types = if message["direction"] == "client" { RECEIVED } else { SENT };
            let kind = message["message"]["type"].as_str().unwrap();
            assert!(types.contains(&kind), "{kind}");
        }
    }
}
