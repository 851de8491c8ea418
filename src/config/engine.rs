//! Settings of the store (Valkey or Redis) through which several servers share rooms.

use std::path::PathBuf;
use std::time::Duration;

use super::load::Refused;
use super::secret::{Secret, read_secret};
use super::values::parse_lease;
use crate::cluster::engine::Address;
use crate::cluster::replica::ROOM_MEMBERS;

/// Settings of the store.
#[derive(Clone, Debug, clap::Args)]
pub struct EngineSettings {
    /// The Valkey or Redis through which several servers share rooms: redis://[user:password@]host[:port][/database], with TLS
    /// rediss://, or unix:///path; redis-sentinel://host,host?master=name; redis-cluster://host,host. Without one
    /// this server is alone.
    #[arg(long, value_name = "SECRET")]
    pub redis_url: Option<Secret>,

    /// A file with that address, which may have a password.
    #[arg(long, value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,

    /// Certificates (PEM) by which the engine's is checked, in place of those that browsers know.
    #[arg(long, value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// How long another server is taken for alive after it has last said so. Who is in its rooms is lost then; it is to be
    /// longer than a server or its way to the engine may stand still.
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = parse_lease)]
    pub lease: Duration,

    /// Whether this server is ready while the engine is away: rooms that are on it alone go on, new ones do not begin.
    /// false: a balancer sends people elsewhere.
    #[arg(long, value_name = "BOOL", default_value = "true", action = clap::ArgAction::Set)]
    pub ready_without_engine: bool,
}

impl EngineSettings {
    pub(super) fn read_files(&mut self) -> Result<(), Refused> {
        // An empty file is an error: the server would be alone, and its rooms apart from those of the others.
        read_secret("ROUNDTABLE_REDIS_URL", &mut self.redis_url, self.redis_url_file.as_ref())
    }

    /// Checks the room size: a server that joins a room receives a copy of it from another one in a single message.
    pub(super) fn check(&self, room_members: usize) -> Result<(), Refused> {
        if self.redis_url.is_none() || room_members <= ROOM_MEMBERS {
            return Ok(());
        }
        Err(Refused::Wrong(format!(
            "ROUNDTABLE_ROOM_MEMBERS (--room-members): {room_members} are too many for a room that servers share: with \
             ROUNDTABLE_REDIS_URL it is from 1 to {ROOM_MEMBERS}."
        )))
    }

    /// Returns the address of the store, if one is configured.
    pub fn address(&self) -> Result<Option<Address>, Refused> {
        let wrong = |name: &str, why: String| Refused::Wrong(format!("{name}: {why}."));
        let ca = match &self.redis_ca_file {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                wrong("ROUNDTABLE_REDIS_CA_FILE (--redis-ca-file)", format!("{}: {error}", path.display()))
            })?),
            None => None,
        };
        let Some(url) = &self.redis_url else { return Ok(None) };
        let address = Address::parse(url.expose(), ca.as_deref());
        address.map(Some).map_err(|why| wrong("ROUNDTABLE_REDIS_URL (--redis-url)", why))
    }
}
