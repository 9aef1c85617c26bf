//! The place of a call in its trace.
//!
//! Stages 5 and 12 of the walk. Pure. Guarantees: the ids of a call's span are fixed with its
//! record; a caller's decision to record a trace is kept; without export a call costs one look at
//! its headers. Does not: export spans (see `otlp`), or send a trace's headers to providers.

use std::sync::Arc;

use http::HeaderName;
use http::request::Parts;
use http::uri::Scheme;

use crate::ailog::row::{Row, Traced, TracedAttempt};
use crate::clock::Nanos;
use crate::trace::{self, Parent, Sampling, SpanId, TraceId};
use crate::upstream::Attempt;

const PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Gives a call its place in the trace that its caller names, or in a new one if traces are
/// exported.
pub fn begin(row: &mut Row, head: &Parts, sampling: Option<Sampling>) {
    let mut given = head.headers.get_all(PARENT).iter();
    let parent = match (given.next(), given.next()) {
        (Some(value), None) => Parent::parse(value.as_bytes()),
        _ => None,
    };
    if parent.is_none() && sampling.is_none() {
        return;
    }
    let trace_id = parent.map_or_else(TraceId::random, |parent| parent.trace_id);
    row.trace_id = Some(trace_id);
    row.span_id = Some(SpanId::random());
    row.parent_span_id = parent.map(|parent| parent.span_id);
    let Some(sampling) = sampling else { return };
    if !parent.map_or_else(|| sampling.takes(&trace_id), |parent| parent.is_sampled) {
        return;
    }
    let lines = head.headers.get_all("tracestate").iter().map(|line| line.as_bytes());
    let state = if parent.is_some() { trace::state(lines) } else { String::new() };
    let method = head.method.as_str().to_owned();
    row.traced = Some(Box::new(Traced { state, method, ..Traced::default() }));
}

/// Gives work that goes on after its call a span below the call's.
pub fn continue_from(call: &Row, work: &mut Row) {
    work.trace_id = call.trace_id;
    work.parent_span_id = call.span_id;
    work.span_id = call.span_id.map(|_| SpanId::random());
    work.traced = call.traced.as_ref().map(|traced| {
        let (state, method) = (traced.state.clone(), traced.method.clone());
        Box::new(Traced { state, method, ..Traced::default() })
    });
}

/// The attempts of a call that began at `started`, with new spans. The last one gave the answer
/// that began at `first_byte`, if there is one.
pub fn attempts(all: &[Attempt], started: Nanos, first_byte: Option<Nanos>) -> Vec<TracedAttempt> {
    let since = |at: Nanos| u64::try_from(at.since(started).as_nanos()).unwrap_or(u64::MAX);
    let last = all.len().saturating_sub(1);
    let attempt = |(n, attempt): (usize, &Attempt)| {
        let address = &attempt.provider.base_url;
        let usual = if address.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        TracedAttempt {
            span_id: SpanId::random(),
            sent_ns: since(attempt.sent_at),
            ended_ns: since(attempt.over_at),
            first_byte_ns: first_byte.filter(|_| n == last).map_or(0, since),
            kind: attempt.provider.options.kind.name(),
            host: Arc::from(address.host().unwrap_or_default()),
            port: address.port_u16().unwrap_or(usual),
            model: attempt.model.clone().unwrap_or_else(|| Arc::from("")),
        }
    };
    all.iter().enumerate().map(attempt).collect()
}
