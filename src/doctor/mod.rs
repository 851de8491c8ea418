//! `roundtable doctor`: finds what is wrong with a server's surroundings, and names what mends it. The list of what it
//! can find is [`findings`]; docs/DOCTOR.md has it for people, and the page `/diag` finds by the same names what only a
//! browser sees.
//!
//! It uses the server's settings and its protocol, and nothing of the server knows of it.

use std::process::ExitCode;

use crate::config::{Config, DoctorOrder};

pub mod findings;
mod outside;
mod own;
mod proxies;
mod relays;
mod report;
mod target;
mod turn;
mod vantage;
mod web;

use self::report::Report;

/// Looks at what is ordered. `settings` are this machine's own, or what is wrong with them: of no interest where
/// another machine is looked at. The exit code is 0 where all is well, 1 where something was found, 2 where something
/// could not be looked at.
pub async fn run(order: &DoctorOrder, settings: Result<&Config, &str>) -> ExitCode {
    let mut report = Report::new(order.json);
    match (&order.url, settings) {
        (Some(page), _) => outside::look(page, order, &mut report).await,
        (None, Ok(config)) => own::look(config, order, &mut report).await,
        (None, Err(why)) => report.found(own::refused(why)),
    }
    report.end()
}
