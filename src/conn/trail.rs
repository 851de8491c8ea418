//! Correlation of the log lines and spans of one connection.

use opentelemetry::trace::SpanKind;

use crate::telemetry::{Origin, Parent, Traced, Traces, traces};

/// Random ID of a connection, which grants no access, and the request from which it came. A call lasts for hours, and
/// no span of it does: each belongs to that request, or is linked to it, and carries the ID.
#[derive(Debug)]
pub struct Trail {
    conn: u32,
    upgrade: Origin,
}

impl Trail {
    /// Creates the trail, within the request that becomes a connection.
    pub fn begin() -> Self {
        let trail = Self { conn: fastrand::u32(..), upgrade: Origin::here() };
        traces::note("roundtable.conn", trail.id());
        trail
    }

    pub(super) fn id(&self) -> String {
        format!("{:08x}", self.conn)
    }

    /// Runs work that belongs to the request itself.
    pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.upgrade.within(work)
    }

    /// Begins the span from a `join` to its response.
    pub(super) fn join(&self, traces: &Traces) -> Traced {
        self.span(traces, "join", Parent::Of(&self.upgrade))
    }

    /// Begins the span from the reason for ending the connection to its end. The request's trace may have ended long
    /// before.
    pub(super) fn end(&self, traces: &Traces) -> Traced {
        self.span(traces, "end", Parent::Linked(&self.upgrade))
    }

    fn span(&self, traces: &Traces, name: &'static str, parent: Parent<'_>) -> Traced {
        let traced = traces.begin(SpanKind::Internal, name, parent);
        if traces.is_on() {
            traced.set("roundtable.conn", self.id());
        }
        traced
    }
}
