//! Memory limits for messages that wait to be sent or acknowledged.

use std::fmt;
use std::str::FromStr;

use crate::memory::available_bytes;

/// Assumed if the system does not report its memory.
const UNKNOWN_MEMORY: u64 = 1 << 30;
/// Bounds of the derived limit of one address.
const DERIVED_PER_IP: (u64, u64) = (8 << 20, 256 << 20);

/// Limit in bytes, or the word `auto`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ByteLimit {
    /// Derived from the memory available to the server.
    Auto,
    /// Number of bytes; 0 for no limit.
    Bytes(u64),
}

impl FromStr for ByteLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "it is \"auto\", 0 for no limit, or a whole number of bytes from 1048576 to 1000000000000000";
        match text.parse() {
            Ok(bytes @ (0 | 1_048_576..=1_000_000_000_000_000)) => Ok(Self::Bytes(bytes)),
            Err(_) if text == "auto" => Ok(Self::Auto),
            _ => Err(wrong.to_owned()),
        }
    }
}

impl fmt::Display for ByteLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Bytes(bytes) => bytes.fmt(f),
        }
    }
}

/// Memory limits for queued messages.
#[derive(Clone, Debug, clap::Args)]
pub struct MemorySettings {
    /// The most bytes of messages that may wait to be sent or acknowledged, of all members. auto: half of the memory that
    /// the container or else the machine has. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "auto")]
    pub max_queued_bytes: ByteLimit,

    /// The same of the members with one address; an IPv6 /56 and /48 may have 4 and 16 times as many. auto: a sixteenth of
    /// that, from 8 to 256 MiB. 0: no limit.
    #[arg(long, value_name = "BYTES", default_value = "auto")]
    pub max_queued_bytes_per_ip: ByteLimit,
}

impl MemorySettings {
    /// Returns the limit of the whole server; 0 for none.
    pub fn of_server(&self) -> u64 {
        match self.max_queued_bytes {
            ByteLimit::Auto => derived(),
            ByteLimit::Bytes(bytes) => bytes,
        }
    }

    /// Returns the limit of one address; 0 for none.
    pub fn per_ip(&self) -> u64 {
        match (self.max_queued_bytes_per_ip, self.of_server()) {
            (ByteLimit::Bytes(bytes), _) => bytes,
            (ByteLimit::Auto, 0) => per_ip_of(derived()),
            (ByteLimit::Auto, of_server) => per_ip_of(of_server),
        }
    }
}

fn derived() -> u64 {
    available_bytes().unwrap_or(UNKNOWN_MEMORY) / 2
}

fn per_ip_of(of_server: u64) -> u64 {
    (of_server / 16).clamp(DERIVED_PER_IP.0, DERIVED_PER_IP.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::tests::load;

    #[test]
    fn limits_are_derived_unless_they_are_set() {
        let limits = |of_server: &str, per_ip: &str| {
            let set = [("ROUNDTABLE_MAX_QUEUED_BYTES", of_server), ("ROUNDTABLE_MAX_QUEUED_BYTES_PER_IP", per_ip)];
            load(&[], &set).map(|cli| (cli.config.memory.of_server(), cli.config.memory.per_ip()))
        };
        assert_eq!(limits("", "").unwrap().0, available_bytes().unwrap() / 2);
        assert_eq!(limits("536870912", "").unwrap(), (512 << 20, 32 << 20));
        assert_eq!(limits("1048576", "auto").unwrap(), (1 << 20, 8 << 20));
        assert_eq!(limits("0", "0").unwrap(), (0, 0));
        assert_eq!(limits("auto", "2097152").unwrap().1, 2 << 20);
        for wrong in ["1000", "-1", "1g", "half"] {
            assert!(limits(wrong, "").unwrap_err().contains("\"auto\", 0"), "{wrong}");
        }
    }
}
