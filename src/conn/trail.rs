//! By what the log lines and the spans of one connection are found.

use opentelemetry::trace::SpanKind;

use crate::telemetry::{Origin, Parent, Traced, Traces, traces};

/// A connection's id, which is random and opens no door, and the request that it came by. A call lasts for hours, and no
/// span of it does: each belongs to that request, or is linked to it, and has the id.
#[derive(Debug)]
pub struct Trail {
    conn: u32,
    upgrade: Origin,
}

impl Trail {
    /// Within the request that becomes a connection.
    pub fn begin() -> Self {
        let trail = Self { conn: fastrand::u32(..), upgrade: Origin::here() };
        traces::note("roundtable.conn", trail.id());
        trail
    }

    pub(super) fn id(&self) -> String {
        format!("{:08x}", self.conn)
    }

    /// What belongs to the request itself.
    pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.upgrade.within(work)
    }

    /// From a hello to its answer.
    pub(super) fn join(&self, traces: &Traces) -> Traced {
        self.span(traces, "join", Parent::Of(&self.upgrade))
    }

    /// From the reason to end the connection to its end. By then the request's trace may have been closed for long.
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
