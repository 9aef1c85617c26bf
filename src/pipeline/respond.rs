//! Stage 8 of the walk: the provider's answer becomes the client's.
//!
//! An answer that is whole is read, recorded and handed on; one that is still coming is handed to `tee`. Promises: what
//! was used is noted either way; no credential of the call is in an error that is passed on. Does not: decide whether to
//! ask again.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, Version, header};
use tokio::sync::OwnedSemaphorePermit;

use super::body::Body;
use super::record::Record;
use super::silence::Patience;
use super::tee::{Held, Logged, Tee, outcome_of};
use super::walk::Walk;
use super::{framing, restore};
use crate::ailog::Pending;
use crate::auth::Caller;
use crate::bounds::CALL_BYTES_FREE;
use crate::provider::answer::{self, AnswerFacts};
use crate::provider::{Wire, estimate};
use crate::redact::{self, BodyRestorer};
use crate::route::table::Endpoint;
use crate::upstream::{Answer, AnswerBody, essence};

/// Stage 8: the provider's answer becomes the client's, as it comes. Where all of it is here it may go out when its row is
/// in the log.
pub fn respond(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    answer: Answer,
    mut record: Record,
    drop_usage: bool,
    permit: OwnedSemaphorePermit,
) -> (Response<Body>, Option<Pending>) {
    let policy = &walk.policy;
    let mut pending = None;
    let status = answer.head.status;
    let mut headers = framing::answer_headers(&answer.head.headers);
    let log = Logged {
        rules: Arc::clone(policy.redaction.of(&caller.org)),
        capture: policy.ailog.capture_response,
        capture_bytes: policy.ailog.capture_bytes,
    };
    // Given back when the answer is over.
    let held = move || {
        let room = answer.held.unwrap_or_else(|| walk.gateway.upstream.room().begin());
        Held { _permit: permit, _load: answer.load, room }
    };
    let deadline = walk.deadline(policy.timeouts.total);
    let patience = Patience { idle: answer.idle, deadline, keep_alive: answer.keep_alive };
    let values = record.values.take().filter(|values| !values.is_empty());
    let json = values.is_some() && is_textual(&headers) && essence(&headers).to_ascii_lowercase().ends_with("json");
    let body = match answer.body {
        AnswerBody::Whole(bytes) => {
            let bytes = if status.is_success() { bytes } else { blanked(bytes, caller, &record) };
            let facts = answer::read(endpoint.wire, &bytes);
            note_usage(&mut record, endpoint.wire, status.is_success(), facts, &bytes);
            record.row().response_bytes = bytes.len() as u64;
            // Compressed it says nothing to a reader of the row.
            if log.capture && !headers.contains_key(header::CONTENT_ENCODING) {
                let (text, cut) = redact::answer(&log.rules, &bytes, true, log.capture_bytes);
                record.answered(text, cut);
            }
            if answer.about_money {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
            pending = record.close_soon(status.as_u16(), outcome_of(status.as_u16()), None);
            let restored = values.filter(|_| json).map(|values| BodyRestorer::whole(&values, &bytes));
            let bytes = restored.unwrap_or(bytes);
            // A short one is as good as gone; a long one holds its room until it has been written.
            if bytes.len() <= CALL_BYTES_FREE {
                Body::full(bytes)
            } else {
                Body::Held { bytes: Some(bytes), _held: Box::new(held()) }
            }
        }
        AnswerBody::Streaming(read, incoming) if is_event_stream(&headers) && read.is_empty() => {
            record.row().stream = true;
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            let restore = values.map(|values| restore::Events::new(&values));
            let tee = Tee::events(endpoint.wire, drop_usage, restore, incoming, patience, record, log, held());
            Body::Teed(Box::new(tee))
        }
        AnswerBody::Streaming(read, incoming) => {
            let restore = values.filter(|_| json).map(|values| Box::new(BodyRestorer::new(&values)));
            let length = answer.head.headers.get(header::CONTENT_LENGTH);
            if let Some(length) = length.filter(|_| restore.is_none()) {
                headers.insert(header::CONTENT_LENGTH, length.clone());
            }
            let textual = is_textual(&headers);
            let wire = endpoint.wire;
            let status = status.as_u16();
            let tee = Tee::plain(wire, status, textual, restore, read, incoming, patience, record, log, held());
            Body::Teed(Box::new(tee))
        }
    };
    let body = if walk.head.version == Version::HTTP_2 { body.watched(&walk.gateway.tasks) } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    (response, pending)
}

/// A provider's error with every credential of this call blanked: some providers quote the key they were given.
fn blanked(body: Bytes, caller: &Caller, record: &Record) -> Bytes {
    let provider = record.trail().provider();
    let keys = caller.upstream_key.iter().chain(provider.iter().map(|p| &p.api_key));
    keys.map(|key| key.reveal().as_bytes()).filter(|key| key.len() >= KEY_BYTES_MIN).fold(body, without)
}

/// Shorter keys are words that an error may well hold.
const KEY_BYTES_MIN: usize = 8;

/// `body` with a mark in place of each `key`. One pass: the caller chooses the key, and it may be a part of the mark.
fn without(body: Bytes, key: &[u8]) -> Bytes {
    let mut blank = Vec::new();
    let mut rest = 0;
    for at in memchr::memmem::find_iter(&body, key) {
        blank.extend_from_slice(&body[rest..at]);
        blank.extend_from_slice(b"[credential]");
        rest = at + key.len();
    }
    if rest == 0 {
        return body;
    }
    blank.extend_from_slice(&body[rest..]);
    Bytes::from(blank)
}

/// Notes what a whole answer used; where it is a model's and says nothing about that, what it used about.
fn note_usage(record: &mut Record, wire: Wire, succeeded: bool, facts: AnswerFacts, answer: &[u8]) {
    let silent = facts.usage.is_none() && facts.is_object && succeeded && estimate::is_generated(wire);
    let text_bytes = if silent { estimate::text_bytes(answer) } else { 0 };
    if text_bytes > 0 {
        record.used_about(None, text_bytes, &facts.model);
    } else {
        record.used(facts.usage, &facts.model);
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    essence(headers).eq_ignore_ascii_case("text/event-stream") && !headers.contains_key(header::CONTENT_ENCODING)
}

fn is_textual(headers: &HeaderMap) -> bool {
    let kind = essence(headers).to_ascii_lowercase();
    (kind.starts_with("text/") || kind.ends_with("json")) && !headers.contains_key(header::CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_blanked_wherever_it_stands_even_one_that_is_in_the_mark() {
        for (body, key, expected) in [
            ("no such key: sk-secret-1, sk-secret-1", "sk-secret-1", "no such key: [credential], [credential]"),
            ("model `credential` not found", "credential", "model `[credential]` not found"),
            ("nothing here", "sk-secret-1", "nothing here"),
            ("aaaaaaaaaaaaaaaaa", "aaaaaaaa", "[credential][credential]a"),
            ("", "sk-secret-1", ""),
        ] {
            assert_eq!(without(Bytes::from(body), key.as_bytes()), expected, "{body}");
        }
    }
}
