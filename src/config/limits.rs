//! `roundtable limits`: every limit at a glance.

use clap::CommandFactory;

use super::load::env_name;
use super::{Cli, Config};
use crate::cluster::bus::{LOG_BYTES, LOG_ENTRIES};
use crate::cluster::engine::{BYTES, ORDERS};
use crate::cluster::link::{LINK_BYTES, LINK_PARCELS};
use crate::cluster::share::{DECIDED_WITHIN, HELD, HELD_BYTES, PENDING, UNTOLD};
use crate::cluster::wire::MAX_BYTES;
use crate::cluster::{ended, replica};
use crate::core::session::SHIPPED_BYTES;
use crate::telemetry::Limits;

/// What a process opens anyway.
const OTHER_FILES: u64 = 1_000;

/// What is asked for where connections have no limit.
const ANY_CONNECTIONS: u64 = 1_000_000;

/// Setting, unit, and what it is for. Those without a setting are the protocol's own.
const LIMITS: [(&str, &str, &str); 61] = [
    ("ROUNDTABLE_CONNECTIONS", "WebSockets", "memory and open files: about 4 KiB and one file each"),
    ("ROUNDTABLE_ROOMS", "rooms", "memory, where somebody opens rooms without end"),
    ("ROUNDTABLE_MEMBERS", "members", "memory"),
    ("ROUNDTABLE_ROOM_MEMBERS", "members a room", "each sends to each: uplinks end long before"),
    ("ROUNDTABLE_ADDRESS_CONNECTIONS", "WebSockets an address", "one address takes no more than a large office has"),
    (
        "ROUNDTABLE_MAX_MEMBERS_PER_IP",
        "people a room",
        "less than the members of a room: one address does not fill it (R99)",
    ),
    ("ROUNDTABLE_ADDRESS_JOINS", "attempts a minute", "names of rooms and tokens are not guessed"),
    ("ROUNDTABLE_ADDRESS_BURST", "time", "so long's worth of attempts is free: a school comes back at once"),
    ("ROUNDTABLE_MESSAGE_RATE", "messages a second", "one member does not keep a room busy"),
    ("ROUNDTABLE_BYTE_RATE", "bytes a second", "one member does not fill everybody's downlink"),
    ("ROUNDTABLE_RATE_BURST", "time", "so long's worth is free: a join into a full room takes 596 KB"),
    ("ROUNDTABLE_RATE_PATIENCE", "time", "one that is slowed and never stops is let go"),
    ("ROUNDTABLE_ROOM_MESSAGE_RATE", "messages a second", "one room does not keep a processor busy"),
    ("ROUNDTABLE_ROOM_BYTE_RATE", "bytes a second", "one room does not fill the server's line"),
    ("ROUNDTABLE_SERVER_MESSAGE_RATE", "messages a second", "all together do not take more than some processors"),
    ("ROUNDTABLE_SERVER_BYTE_RATE", "bytes a second", "all together do not take more than a line of 1 Gbit/s"),
    ("ROUNDTABLE_OUTBOX_MESSAGES", "messages", "a member that reads slowly is let go"),
    ("ROUNDTABLE_OUTBOX_BYTES", "bytes", "a member that reads slowly costs no more memory"),
    ("ROUNDTABLE_REPLAY_MESSAGES", "messages", "what was sent and not acknowledged: enough for a lost socket"),
    ("ROUNDTABLE_REPLAY_BYTES", "bytes", "a member that acknowledges nothing costs no more memory"),
    ("ROUNDTABLE_MAX_QUEUED_BYTES", "bytes", "members that acknowledge nothing do not use up the memory"),
    ("ROUNDTABLE_MAX_QUEUED_BYTES_PER_IP", "bytes an address", "those of one address do not use up the memory of all"),
    ("ROUNDTABLE_RESUME_WINDOW", "time", "who is lost does not keep a place for ever"),
    ("ROUNDTABLE_EMPTY_ROOM_GRACE", "time", "rooms that nobody returns to are forgotten (R111)"),
    ("ROUNDTABLE_JOIN_TIMEOUT", "time", "connections that never join are let go"),
    (
        "ROUNDTABLE_REQUESTS",
        "HTTP connections at a time",
        "memory and open files; a quarter is kept for upgrades (R105)",
    ),
    ("ROUNDTABLE_REQUEST_HEAD_TIMEOUT", "time", "slow requests hold no place; a fifth of it in a crowd"),
    ("ROUNDTABLE_HTTP_KEEPALIVE_TIMEOUT", "time", "idle connections; balancers close theirs first"),
    ("ROUNDTABLE_REQUEST_TIMEOUT", "time", "who takes no answer holds no place"),
    ("ROUNDTABLE_PING_INTERVAL", "time", "dead connections are found after two"),
    ("ROUNDTABLE_DRAIN_TIMEOUT", "time", "a shutdown ends"),
    ("ROUNDTABLE_WEBHOOK_QUEUE", "events", "another program that is down costs no more memory"),
    ("ROUNDTABLE_RECORDINGS_QUOTA", "bytes", "all recordings together do not fill the disk"),
    ("ROUNDTABLE_RECORDINGS_MAX_BYTES", "bytes", "one recording ends, whoever forgot it"),
    ("ROUNDTABLE_RECORDINGS_AT_A_TIME", "recordings", "memory and the disk's speed: up to 4 MiB each on the way"),
    ("ROUNDTABLE_RECORDINGS_MIN_FREE", "bytes", "other programs on the disk of the recordings have space"),
    ("ROUNDTABLE_RECORDINGS_SILENCE", "time", "a recording that nobody goes on with is finished"),
    ("ROUNDTABLE_RECORDINGS_KEEP", "time", "recordings are deleted"),
    ("", "4194304 bytes, and 30 s, for a piece of a recording", "fixed: memory (R86)"),
    ("", "10000 recordings", "fixed: memory; with the smallest of them, too"),
    ("", "4 pieces a second, 60 at once, for a recording", "fixed: small pieces do not keep the disk busy (R86)"),
    ("", "16 requests that wait, for a recording", "fixed: the same of its other requests (R86)"),
    ("", "65536 bytes a message", "fixed: part of the protocol (R29)"),
    ("", "16384 bytes a request's head", "fixed: no request is longer"),
    ("", "as many requests an address as WebSockets", "fixed: one address does not take all of them (R65)"),
    ("", "30 s without progress of a response", "fixed: who takes no answer holds no place; a fifth of it in a crowd"),
    ("", "2048 bytes, and 5 s, for the body of a goodbye", "fixed: no goodbye is longer (R55)"),
    ("", "4 s for a page to reload", "fixed: a closed tab is gone within 5 s (R114)"),
    ("", "4096 WebSockets that wait for an origin proof", "fixed: pages elsewhere take no other places (R92)"),
    ("", "5 s for an origin proof", "fixed: a page has fetched it by then (R92)"),
    ("", "10 attempts for a guess, a tenth for a good secret", "fixed: guessing is slow, knowing is not (R66)"),
    (
        "",
        "65536 bytes of the answer to a join, an attempt more",
        "fixed: large answers cost more, beyond so many (R66)",
    ),
    ("", "32768 bytes of each member's queue", "fixed: guaranteed, however much others hold (R103)"),
    ("", "5 s that an attempt is held up", "fixed: a page that waits longer has given up (R66)"),
    ("", "100000 addresses remembered", "fixed: memory; of those that are not connected"),
    ("", "4096 removed stays remembered", "fixed: memory; R56 holds for the last ones"),
    ("", "256 of a room remembered who left", "fixed: memory; R36 holds for the last ones"),
    ("", "512 of a room remembered who were removed", "fixed: memory; with more, old secrets are rejected (R45)"),
    ("", "16 messages, or 8192 bytes, before others have their turn", "fixed: no socket keeps a processor"),
    ("", "2 s for the end of a connection", "fixed: who does not confirm it holds nothing"),
    ("", "10 s an attempt, 5 min an event", "fixed: another program that hangs is given up (R72)"),
];

/// The same between servers, all of them fixed.
fn between_servers() -> [(String, &'static str); 11] {
    let seconds = DECIDED_WITHIN.as_secs();
    [
        (format!("{} members of a room on several servers", replica::ROOM_MEMBERS), "a server can send it to another"),
        (format!("{PENDING} acts of a room that wait for the engine"), "an engine that is away costs no more memory"),
        (format!("{ORDERS} orders, {BYTES} bytes, that wait for the engine"), "the same, of all rooms"),
        (
            format!("{LOG_ENTRIES} entries, {LOG_BYTES} bytes of a room's log"),
            "the engine's memory; who lacks one asks a server",
        ),
        (
            format!("{LINK_PARCELS} frames, {LINK_BYTES} bytes, to another server"),
            "of a room, not acknowledged or not due",
        ),
        (format!("{MAX_BYTES} bytes a message between servers"), "what is longer is not read"),
        (format!("{SHIPPED_BYTES} bytes a session on its way"), "it fits in such a message"),
        (
            format!("{HELD} frames, {HELD_BYTES} bytes, for a session on its way"),
            "a session that does not come costs no more memory",
        ),
        (format!("{seconds} s for a join that other servers decide"), "nobody waits for ever (R78)"),
        (
            format!("{} removed stays a room's servers remember", ended::REMEMBERED),
            "memory; R56 holds for the last ones",
        ),
        (format!("{UNTOLD} events of a room remembered by all its servers"), "memory; R71 holds for the last ones"),
    ]
}

impl Config {
    /// One line for each limit.
    pub fn limits_table(&self) -> String {
        let settings = Cli::command();
        let mut rows = vec![["SETTING", "NOW", "DEFAULT", "UNIT", "FOR"].map(str::to_owned)];
        for (name, unit, why) in LIMITS {
            let arg = settings.get_arguments().find(|arg| env_name(arg).as_deref() == Some(name));
            let default = arg.and_then(|arg| arg.get_default_values().first()?.to_str()).unwrap_or("-");
            let now = self.limit(name).unwrap_or_else(|| default.to_owned());
            let now = if now == "0" { "none".to_owned() } else { now };
            let name = if name.is_empty() { "-" } else { name };
            rows.push([name.to_owned(), now, default.to_owned(), unit.to_owned(), why.to_owned()]);
        }
        for (unit, why) in between_servers() {
            rows.push(["-".to_owned(), "-".to_owned(), "-".to_owned(), unit, format!("fixed: {why}")]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        let widths: [usize; 4] = std::array::from_fn(width);
        let line = |row: &[String; 5]| {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
            format!("{}{}", cells.collect::<String>(), row[4])
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Returns the limits that metrics show beside what they limit.
    pub fn limits(&self) -> Limits {
        Limits {
            sockets: self.connections as u64,
            rooms: self.rooms as u64,
            members: self.members as u64,
            http_connections: self.requests as u64,
            messages_per_second: self.rates.server_message_rate.into(),
            bytes_per_second: self.rates.server_byte_rate.into(),
            queued_bytes: self.memory.of_server(),
            webhooks_queued: self.webhook_queue as u64,
            recordings_growing: self.recordings.recordings_at_a_time as u64,
        }
    }

    /// How many files a server with these limits may have open: each connection is one.
    pub fn open_files(&self) -> u64 {
        let connections = if self.connections == 0 { ANY_CONNECTIONS } else { self.connections as u64 };
        // There are two listeners for requests.
        connections + 2 * self.requests as u64 + OTHER_FILES
    }

    fn limit(&self, name: &str) -> Option<String> {
        let time = |time| humantime::format_duration(time).to_string();
        Some(match name {
            "ROUNDTABLE_CONNECTIONS" => self.connections.to_string(),
            "ROUNDTABLE_ROOMS" => self.rooms.to_string(),
            "ROUNDTABLE_MEMBERS" => self.members.to_string(),
            "ROUNDTABLE_ROOM_MEMBERS" => self.room_members.to_string(),
            "ROUNDTABLE_ADDRESS_CONNECTIONS" => self.address_connections.to_string(),
            "ROUNDTABLE_MAX_MEMBERS_PER_IP" => self.max_members_per_ip.to_string(),
            "ROUNDTABLE_ADDRESS_JOINS" => self.address_joins.to_string(),
            "ROUNDTABLE_ADDRESS_BURST" => time(self.address_burst),
            "ROUNDTABLE_MESSAGE_RATE" => self.rates.message_rate.to_string(),
            "ROUNDTABLE_BYTE_RATE" => self.rates.byte_rate.to_string(),
            "ROUNDTABLE_RATE_BURST" => time(self.rates.rate_burst),
            "ROUNDTABLE_RATE_PATIENCE" => time(self.rates.rate_patience),
            "ROUNDTABLE_ROOM_MESSAGE_RATE" => self.rates.room_message_rate.to_string(),
            "ROUNDTABLE_ROOM_BYTE_RATE" => self.rates.room_byte_rate.to_string(),
            "ROUNDTABLE_SERVER_MESSAGE_RATE" => self.rates.server_message_rate.to_string(),
            "ROUNDTABLE_SERVER_BYTE_RATE" => self.rates.server_byte_rate.to_string(),
            "ROUNDTABLE_OUTBOX_MESSAGES" => self.outbox_messages.to_string(),
            "ROUNDTABLE_OUTBOX_BYTES" => self.outbox().waiting.bytes.to_string(),
            "ROUNDTABLE_REPLAY_MESSAGES" => self.replay_messages.to_string(),
            "ROUNDTABLE_REPLAY_BYTES" => self.replay_bytes.to_string(),
            "ROUNDTABLE_MAX_QUEUED_BYTES" => self.memory.of_server().to_string(),
            "ROUNDTABLE_MAX_QUEUED_BYTES_PER_IP" => self.memory.per_ip().to_string(),
            "ROUNDTABLE_RESUME_WINDOW" => time(self.resume_window),
            "ROUNDTABLE_EMPTY_ROOM_GRACE" => time(self.empty_room_grace),
            "ROUNDTABLE_JOIN_TIMEOUT" => time(self.join_timeout),
            "ROUNDTABLE_REQUESTS" => self.requests.to_string(),
            "ROUNDTABLE_REQUEST_HEAD_TIMEOUT" => time(self.request_head_timeout),
            "ROUNDTABLE_HTTP_KEEPALIVE_TIMEOUT" => time(self.http_keepalive_timeout),
            "ROUNDTABLE_REQUEST_TIMEOUT" => time(self.request_timeout),
            "ROUNDTABLE_PING_INTERVAL" => time(self.ping_interval),
            "ROUNDTABLE_DRAIN_TIMEOUT" => time(self.drain_timeout),
            "ROUNDTABLE_WEBHOOK_QUEUE" => self.webhook_queue.to_string(),
            "ROUNDTABLE_RECORDINGS_QUOTA" => self.recordings.recordings_quota.to_string(),
            "ROUNDTABLE_RECORDINGS_MAX_BYTES" => self.recordings.recordings_max_bytes.to_string(),
            "ROUNDTABLE_RECORDINGS_AT_A_TIME" => self.recordings.recordings_at_a_time.to_string(),
            "ROUNDTABLE_RECORDINGS_MIN_FREE" => self.recordings.recordings_min_free.to_string(),
            "ROUNDTABLE_RECORDINGS_SILENCE" => time(self.recordings.recordings_silence),
            "ROUNDTABLE_RECORDINGS_KEEP" => time(self.recordings.recordings_keep),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_with_a_setting_is_one_and_has_a_default() {
        let config = Cli::load(["roundtable".to_owned()], &[("ROUNDTABLE_ADDRESS_JOINS".into(), "0".into())]).unwrap();
        let table = config.config.limits_table();
        assert_eq!(table.lines().count(), LIMITS.len() + between_servers().len() + 1);
        for (name, ..) in LIMITS.iter().filter(|(name, ..)| !name.is_empty()) {
            let row = table.lines().find(|row| row.split_whitespace().next() == Some(name)).unwrap();
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_ne!(cells[2], "-", "{row}");
            match cells[2] {
                "auto" => assert!(cells[1].parse::<u64>().is_ok(), "{row}"),
                _ if *name == "ROUNDTABLE_ADDRESS_JOINS" => assert_eq!(cells[1], "none", "{row}"),
                default => assert_eq!(cells[1], default, "{row}"),
            }
        }
    }
}
