//! Settings of STUN and TURN servers.

use std::path::PathBuf;
use std::time::Duration;

use super::load::Refused;
use super::secret::{Secret, read_secret};
use super::values::{filled, list_items, parse_turn_lifetime};
use crate::ice::{IceServers, TurnAccess, turn_urls};

/// Settings of STUN and TURN servers.
#[derive(Clone, Debug, clap::Args)]
pub struct Relays {
    /// STUN and TURN servers for the browsers, separated by commas:
    /// stun:relay.example.org:3478,turn:relay.example.org:3478?transport=udp
    #[arg(long, value_name = "URLS", default_value = "", hide_default_value = true)]
    pub ice_urls: String,

    /// Name or address of a TURN server: short for three URLs, of STUN, TURN over UDP and TURN over TCP.
    #[arg(long, value_name = "HOST")]
    pub turn_host: Option<String>,

    /// Its port.
    #[arg(long, value_name = "PORT", default_value = "3478", value_parser = clap::value_parser!(u16).range(1..))]
    pub turn_port: u16,

    /// Lifetime of credentials that are made by the secret of the TURN server, up to 1h. Members get fresh ones four
    /// times as often.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_turn_lifetime)]
    pub turn_lifetime: Duration,

    /// Let browsers connect through the TURN server only, so that people in a room do not learn each other's addresses.
    #[arg(long, value_name = "BOOL", default_value = "false", action = clap::ArgAction::Set)]
    pub relay_only: bool,

    /// A user of a TURN server that has no such secret, the same for everybody.
    #[arg(long, value_name = "NAME")]
    pub turn_username: Option<String>,

    /// That user's password, which every client learns.
    #[arg(long, value_name = "SECRET")]
    pub turn_password: Option<Secret>,

    /// A file with that password.
    #[arg(long, value_name = "FILE")]
    pub turn_password_file: Option<PathBuf>,

    /// The secret shared with the TURN server (coturn: static-auth-secret).
    #[arg(long, value_name = "SECRET")]
    pub turn_secret: Option<Secret>,

    /// A file with that secret.
    #[arg(long, value_name = "FILE")]
    pub turn_secret_file: Option<PathBuf>,
}

impl Relays {
    pub(super) fn read_files(&mut self) -> Result<(), Refused> {
        read_secret("ROUNDTABLE_TURN_SECRET", &mut self.turn_secret, filled(&self.turn_secret_file))?;
        read_secret("ROUNDTABLE_TURN_PASSWORD", &mut self.turn_password, self.turn_password_file.as_ref())
    }

    /// Returns the STUN and TURN servers. The error names the invalid URL.
    pub fn ice_servers(&self) -> Result<IceServers, String> {
        let mut urls = self.turn_host.as_deref().map_or_else(Vec::new, |host| turn_urls(host, self.turn_port));
        urls.extend(list_items(&self.ice_urls)?.into_iter().map(str::to_owned));
        let servers = IceServers::new(&urls, self.turn_access()?)?;
        if self.relay_only && !servers.has_turn() {
            return Err(
                "ROUNDTABLE_RELAY_ONLY needs a TURN server: set ROUNDTABLE_TURN_HOST or ROUNDTABLE_ICE_URLS".into()
            );
        }
        Ok(servers)
    }

    fn turn_access(&self) -> Result<TurnAccess, String> {
        match (&self.turn_secret, &self.turn_username, &self.turn_password) {
            (None, None, None) => Ok(TurnAccess::Unknown),
            (Some(secret), None, None) => {
                Ok(TurnAccess::Shared { secret: secret.clone(), lifetime: self.turn_lifetime })
            }
            (None, Some(username), Some(password)) => {
                Ok(TurnAccess::Static { username: username.clone(), password: password.clone() })
            }
            _ => {
                Err("set either ROUNDTABLE_TURN_SECRET, or ROUNDTABLE_TURN_USERNAME and ROUNDTABLE_TURN_PASSWORD"
                    .into())
            }
        }
    }
}
