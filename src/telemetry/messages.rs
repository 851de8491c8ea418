//! What is counted on the way of messages: no lock and no allocation, and a look at the clock once in many messages.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::Histogram;

/// Of how many messages of a type one is timed, the first among them.
const TIMED: u64 = 16;
/// What a client may send, the most frequent first; and whatever is none of these.
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
/// What the server sends, likewise.
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

/// Messages and their bytes.
type Counters = Box<[(Counter, Counter)]>;

/// Messages as they come and go.
#[derive(Debug)]
pub struct MessageMetrics {
    received: Counters,
    sent: Counters,
    signals: Histogram,
    broadcasts: Histogram,
    /// The most messages that waited for one socket between two pings.
    outboxes: Histogram,
}

/// What is passed on, and timed.
#[derive(Clone, Copy, Debug)]
pub enum Relayed {
    /// To one.
    Signal,
    /// To everybody else.
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
        // Each in a statement of its own: the family is locked until the statement's end.
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

    /// Counts a client's message; how many of its type came before. `None` is no message.
    pub fn received(&self, kind: Option<&str>, bytes: usize) -> u64 {
        count(RECEIVED, &self.received, kind.unwrap_or_default(), bytes)
    }

    /// Counts a message to a client.
    pub fn sent(&self, kind: &str, bytes: usize) {
        count(SENT, &self.sent, kind, bytes);
    }

    /// Times a message that was read at `since` and now is in outboxes, where it is the turn of this one.
    pub fn relayed(&self, what: Relayed, nth: u64, since: Instant) {
        if nth.is_multiple_of(TIMED) {
            let times = match what {
                Relayed::Signal => &self.signals,
                Relayed::Broadcast => &self.broadcasts,
            };
            times.observe_time(since.elapsed());
        }
    }

    /// Counts how many messages waited for a socket at most.
    pub fn waited(&self, most: usize) {
        self.outboxes.observe(most as f64);
    }
}

/// By the last of `types` where it is none of them.
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
