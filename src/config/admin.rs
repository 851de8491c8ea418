//! Settings of the admin API: its listener and its allowed clients.

use std::net::IpAddr;

use clap::ValueEnum;

use crate::http::Networks;

/// Listener of the admin API.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum AdminListener {
    /// Listener of the meeting, `ROUNDTABLE_LISTEN`.
    Public,
    /// Listener of operators, `ROUNDTABLE_OPS_LISTEN`.
    Ops,
}

/// Settings of the admin API.
#[derive(Clone, Debug, clap::Args)]
pub struct AdminSettings {
    /// Listener of the admin API and its page: "public", that of the meeting; "ops", that of /metrics, so that nobody
    /// reaches them through the public name.
    #[arg(long, value_name = "LISTENER", default_value = "public")]
    pub admin_listener: AdminListener,

    /// Addresses and networks from which the admin API and its page may be asked, separated by commas. Others get 404.
    /// Empty: all.
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    pub admin_allowed_ips: Networks,
}

impl AdminSettings {
    /// Returns whether a client with this address may access the admin API.
    pub fn allows(&self, client: IpAddr) -> bool {
        self.admin_allowed_ips.is_empty() || self.admin_allowed_ips.contain(client)
    }
}
