//! The parts of a call's trace that are not in its row.
//!
//! Stage 12 of the walk. Pure. In the write-ahead log it stands behind the row, of calls whose
//! trace is exported; no store has it.
//!
//! Guarantees: any bytes give a value or `None`, never a panic. Does not: know spans (see `otlp`).
//!
//! # Bounds
//! `TRACESTATE_BYTES_MAX`, `ATTEMPTS_LOGGED_MAX`; names are cut at `TAG_BYTES_MAX`.

use std::sync::Arc;

use super::row_binary::parts::{Unread, put_text, put_text_of};
use crate::bounds::{ATTEMPTS_LOGGED_MAX, TAG_BYTES_MAX, TRACESTATE_BYTES_MAX};
use crate::trace::SpanId;

/// The part of a trace that a row does not have. Times are nanoseconds since the call began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// The caller's `tracestate`.
    pub state: String,
    /// Method of the call.
    pub method: String,
    /// Length of the call.
    pub took_ns: u64,
    /// Its attempts, in the order of the row's `attempts_log`.
    pub attempts: Vec<TracedAttempt>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedAttempt {
    /// Its span.
    pub span_id: SpanId,
    /// When it was sent.
    pub sent_ns: u64,
    /// When it was over.
    pub ended_ns: u64,
    /// When its answer began; 0 if the client got none from it.
    pub first_byte_ns: u64,
    /// Kind of its provider.
    pub kind: &'static str,
    /// Host of its provider.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// The model's name there; empty: as the call asked for it.
    pub model: Arc<str>,
}

/// A [`Traced`] that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadTraced<'a> {
    pub(crate) state: &'a str,
    pub(crate) method: &'a str,
    pub(crate) took_ns: u64,
    pub(crate) attempts: Vec<ReadAttempt<'a>>,
}

/// A [`TracedAttempt`] that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadAttempt<'a> {
    pub(crate) span_id: [u8; 8],
    pub(crate) sent_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) first_byte_ns: u64,
    pub(crate) kind: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) model: &'a str,
}

impl Traced {
    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_text_of(out, &self.state, TRACESTATE_BYTES_MAX);
        put_text_of(out, &self.method, TAG_BYTES_MAX);
        out.extend_from_slice(&self.took_ns.to_le_bytes());
        let attempts = &self.attempts[..self.attempts.len().min(ATTEMPTS_LOGGED_MAX)];
        out.push(attempts.len() as u8);
        for attempt in attempts {
            out.extend_from_slice(attempt.span_id.bytes());
            for ns in [attempt.sent_ns, attempt.ended_ns, attempt.first_byte_ns] {
                out.extend_from_slice(&ns.to_le_bytes());
            }
            put_text(out, attempt.kind);
            put_text_of(out, &attempt.host, TAG_BYTES_MAX);
            out.extend_from_slice(&attempt.port.to_le_bytes());
            put_text_of(out, &attempt.model, TAG_BYTES_MAX);
        }
    }
}

impl<'a> ReadTraced<'a> {
    /// Reads what [`Traced::encode`] has written; `None` for anything else.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<ReadTraced<'a>> {
        let mut unread = Unread(bytes);
        let (state, method) = (text(&mut unread)?, text(&mut unread)?);
        let took_ns = unread.u64().ok()?;
        let attempts = (0..unread.count().ok()?).map(|_| {
            Some(ReadAttempt {
                span_id: unread.array().ok()?,
                sent_ns: unread.u64().ok()?,
                ended_ns: unread.u64().ok()?,
                first_byte_ns: unread.u64().ok()?,
                kind: text(&mut unread)?,
                host: text(&mut unread)?,
                port: u16::from_le_bytes(unread.array().ok()?),
                model: text(&mut unread)?,
            })
        });
        let attempts = attempts.collect::<Option<_>>()?;
        unread.0.is_empty().then_some(ReadTraced { state, method, took_ns, attempts })
    }
}

fn text<'a>(unread: &mut Unread<'a>) -> Option<&'a str> {
    std::str::from_utf8(unread.text().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let attempt = |n: u8| TracedAttempt {
            span_id: SpanId::of([n + 1; 8]).expect("an id"),
            sent_ns: u64::from(n) + 10,
            ended_ns: u64::MAX,
            first_byte_ns: 20,
            kind: "openai",
            host: Arc::from("api.example.com"),
            port: 443,
            model: Arc::from("gpt"),
        };
        let traced = Traced {
            state: "a=1".to_owned(),
            method: "POST".to_owned(),
            took_ns: 5,
            attempts: (0..3).map(attempt).collect(),
        };
        let mut bytes = Vec::new();
        traced.encode(&mut bytes);
        let read = ReadTraced::read(&bytes).expect("read");
        assert_eq!((read.state, read.method, read.took_ns), ("a=1", "POST", 5));
        assert_eq!(read.attempts.len(), 3);
        let last = ReadAttempt {
            span_id: [3; 8],
            sent_ns: 12,
            ended_ns: u64::MAX,
            first_byte_ns: 20,
            kind: "openai",
            host: "api.example.com",
            port: 443,
            model: "gpt",
        };
        assert_eq!(read.attempts[2], last);
        for cut in 0..bytes.len() {
            assert_eq!(ReadTraced::read(&bytes[..cut]), None, "{cut}");
        }
        bytes.push(0);
        assert_eq!(ReadTraced::read(&bytes), None, "too long");
    }
}
