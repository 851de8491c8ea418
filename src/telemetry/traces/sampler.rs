//! Sampling of traces.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

/// Sampler of a share of traces, from 0 to 1. It decides at random, so that an ID that a caller has chosen has no
/// influence. A trace that another program has begun is dropped if that program drops it, and otherwise sampled like
/// any other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    pub(super) ratio: f64,
}

impl ShouldSample for Sampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let span = parent.map(TraceContextExt::span);
        let parent = span.as_ref().map(|span| span.span_context()).filter(|span| span.is_valid());
        let keep = match parent {
            Some(own) if !own.is_remote() => own.is_sampled(),
            Some(other) if !other.is_sampled() => false,
            _ => fastrand::f64() < self.ratio,
        };
        SamplingResult {
            decision: if keep { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: parent.map_or(TraceState::NONE, |span| span.trace_state().clone()),
        }
    }
}
