//! `roundtable doctor`: finds problems in a server's environment and names their fixes. [`findings`] lists what it can
//! find, docs/DOCTOR.md describes it for people, and the page `/diag` uses the same names for problems that only a
//! browser sees.
//!
//! It uses the server's settings and protocol; the server does not depend on it.

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

/// Runs the checks. `settings` are this machine's own, or the error in them, and are ignored if another machine is
/// checked. The exit code is 0 if everything is right, 1 if something was found, and 2 if something could not be
/// checked.
pub async fn run(order: &DoctorOrder, settings: Result<&Config, &str>) -> ExitCode {
    let mut report = Report::new(order.json);
    match (&order.url, settings) {
        (Some(page), _) => outside::look(page, order, &mut report).await,
        (None, Ok(config)) => own::look(config, order, &mut report).await,
        (None, Err(why)) => report.found(own::refused(why)),
    }
    report.end()
}
