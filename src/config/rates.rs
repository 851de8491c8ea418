//! Rate limits for sending: of a member, of a room, and of the server.

use std::time::Duration;

use super::values::parse_time;
use crate::limits::{CommonRate, Rate};

/// Burst of a room whose members have no limit of their own, as a duration at the room's rate.
const ROOM_BURST: Duration = Duration::from_secs(60);

/// Rate limits.
#[derive(Clone, Debug, clap::Args)]
pub struct Rates {
    /// Messages a second that a member may send for long. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "200")]
    pub message_rate: u32,

    /// Bytes a second that a member may send for long. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "131072")]
    pub byte_rate: u32,

    /// How long a member may send twice as fast: so much is free at once. What is, has to fit into an outbox.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    pub rate_burst: Duration,

    /// How long a member that sends faster is only slowed, without a break, before it is closed.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub rate_patience: Duration,

    /// Messages a second that all members of a room may send together for long; free is what is free to each of as
    /// many as a room takes. Nobody is slowed for it who keeps to an equal share. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub room_message_rate: u32,

    /// The same in bytes. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    pub room_byte_rate: u32,

    /// Messages a second that all connections may send together for long; as many seconds' worth is free as of a
    /// member's. Nobody is slowed for it who keeps to an equal share. 0: no limit.
    #[arg(long, value_name = "COUNT", default_value = "200000")]
    pub server_message_rate: u32,

    /// The same in bytes: a line of 1 Gbit/s. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "134217728")]
    pub server_byte_rate: u32,
}

impl Rates {
    /// Returns the limit of one member.
    pub fn member(&self) -> Rate {
        let Self { message_rate: messages, byte_rate: bytes, rate_burst: burst, rate_patience: patience, .. } = *self;
        Rate { messages, bytes, burst, patience }
    }

    /// Returns the limit of a room with this many members. Its burst is the sum of the members' bursts, so that all of
    /// them can join at the same time.
    pub fn room(&self, members: usize) -> CommonRate {
        let free = |own: u32, all: u32| match own {
            0 => worth(all, ROOM_BURST),
            own => worth(own, self.rate_burst).saturating_mul(members as u64),
        };
        CommonRate {
            messages: self.room_message_rate,
            bytes: self.room_byte_rate,
            free_messages: free(self.message_rate, self.room_message_rate),
            free_bytes: free(self.byte_rate, self.room_byte_rate),
        }
    }

    /// Returns the limit of the whole server.
    pub fn server(&self) -> CommonRate {
        let (messages, bytes) = (self.server_message_rate, self.server_byte_rate);
        let free = |rate| worth(rate, self.rate_burst);
        CommonRate { messages, bytes, free_messages: free(messages), free_bytes: free(bytes) }
    }
}

/// Returns the amount that a rate allows in that time.
fn worth(rate: u32, time: Duration) -> u64 {
    (f64::from(rate) * time.as_secs_f64()) as u64
}
