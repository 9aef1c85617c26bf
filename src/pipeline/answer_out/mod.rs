//! The answer on its way out: the provider's answer becomes the client's.
//!
//! Stage 11 of the walk. An answer that is whole is read, recorded and sent; one that is still
//! coming is handed to `tee`, with `rewrite` (values put back, and those of others taken out),
//! `idle` (how long it may be silent)
//! and, over HTTP/2, `h2_stall` (answers that the client does not take).
//!
//! Guarantees: the usage is noted either way; no credential of the call is in an error that is
//! passed on. Does not decide whether to retry.

pub mod answering;
pub mod body;
mod cut;
mod h2_stall;
mod idle;
pub mod rewrite;
mod slices;
mod tee;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, Version, header};
use hyper::body::Incoming;
use tollgate_wire::{AnswerFacts, Format, translate, written};

use super::headers;
use super::ownership::Learning;
use super::record::Record;
use super::refusal::Refusal;
use super::turns::Pace;
use super::walk::Walk;
use crate::ailog::Pending;
use crate::ailog::row::Outcome;
use crate::auth::Caller;
use crate::bounds::{CALL_BYTES_FREE, STEP_BYTES_MAX};
use crate::code::Code;
use crate::redact::AnswerRedactor;
use crate::route::table::Endpoint;
use crate::share;
use crate::upstream::answer::{Reduced, Translated};
use crate::upstream::foreign::STREAM_BOUNDS;
use crate::upstream::{Answer, AnswerBody, Upstream, WholeAnswer, essence};
use answering::{Answering, Held, Logged};
use body::Body;
use idle::Patience;
use rewrite::{Rewriting, Unreadable};
use tee::{Arriving, Tee};

/// Reads an answer that is whole: what was used is noted, the row gets its text, values are put
/// back, and those of others taken out. A long one in steps.
///
/// # Errors
/// Values of others have to be taken out, and it cannot be read.
pub async fn read(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    answer: &mut Answer,
    record: &mut Record,
) -> Result<(), Refusal> {
    let is_stream = is_event_stream(&answer.head.headers);
    if record.cached.is_hit() && !is_json(&answer.head.headers) {
        return Ok(());
    }
    record.cached.head(answer, is_stream);
    let AnswerBody::Whole(bytes) = &mut answer.body else { return Ok(()) };
    let (bytes, headers) = (std::mem::take(bytes), &answer.head.headers);
    let succeeded = answer.head.status.is_success();
    let mut pace = (bytes.len() > STEP_BYTES_MAX).then(|| walk.pace(caller));
    let bytes =
        if succeeded { bytes } else { blanked(bytes, caller, record, &walk.gateway.upstream) };
    record.cached.take(&bytes);
    let translated = answer.translated.as_deref();
    step(&mut pace, |_| {
        match translated.and_then(|told| told.whole.as_ref()) {
            Some(whole) => note_translated(record, whole, &bytes),
            None => {
                let facts = endpoint.answer.read_answer(&bytes);
                note_usage(record, endpoint.answer, succeeded, facts, &bytes);
            }
        }
        bytes.len()
    })
    .await;
    let is_own = succeeded && translated.is_none();
    if let Some(learning) = learning(walk, endpoint, caller).filter(|_| is_own) {
        step(&mut pace, |_| {
            learning.answer(&bytes);
            bytes.len()
        })
        .await;
    }
    record.row().response_bytes = bytes.len() as u64;
    let log = Logged::of(walk, caller);
    // Compressed it says nothing to a reader of the row.
    if log.capture && !headers.contains_key(header::CONTENT_ENCODING) {
        let mut text = AnswerRedactor::new(&log.rules, bytes.clone(), true, log.capture_bytes);
        let mut done = false;
        while !done {
            step(&mut pace, |most| {
                let before = text.left();
                done = text.step(most);
                before.saturating_sub(text.left())
            })
            .await;
        }
        record.answered(text.finish());
    }
    let is_translated = answer.translated.is_some();
    let (is_json, textual) = (is_json(headers), is_textual(headers));
    let whole = match rewritten(&mut pace, record, bytes, (is_json, textual, is_translated)).await {
        Ok(whole) => whole,
        Err(Unreadable) => return Err(unreadable()),
    };
    answer.body = AnswerBody::Whole(whole);
    Ok(())
}

/// The answer with values put back, and those of others taken out.
async fn rewritten(
    pace: &mut Option<Pace>,
    record: &mut Record,
    bytes: Bytes,
    (is_json, textual, is_translated): (bool, bool, bool),
) -> Result<Bytes, Unreadable> {
    let Some(mut body) = record.rewriting(is_translated).body(is_json).filter(|_| textual) else {
        return Ok(bytes);
    };
    let (mut rest, mut pieces, mut read) = (bytes, Vec::new(), Ok(()));
    while !rest.is_empty() && read.is_ok() {
        step(pace, |most| {
            let piece = rest.split_to(most.min(rest.len()));
            let len = piece.len();
            read = body.push(piece, &mut pieces);
            len
        })
        .await;
    }
    read.and_then(|()| body.finish(&mut pieces))?;
    body.masked().into_iter().for_each(|ledger| record.masked(ledger));
    Ok(if let [one] = &pieces[..] { one.clone() } else { Bytes::from(pieces.concat()) })
}

/// The refusal of an answer in which values of others cannot be found.
fn unreadable() -> Refusal {
    let message = "the provider's answer could not be read, and this policy takes personal data \
        out of \
                   answers; it was not passed on";
    Refusal::new(Code::ProviderAnswerInvalid, message)
}

/// Whether an answer may be passed on, as its head tells.
///
/// # Errors
/// Values of others have to be taken out, and its coding cannot be read.
pub fn judge(answer: &Answer, record: &Record) -> Result<(), Refusal> {
    let coding = answer.head.headers.get(header::CONTENT_ENCODING);
    let is_coded =
        coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if record.own.is_none() || !is_coded {
        return Ok(());
    }
    let message = "the provider sent a compressed answer, and this policy takes personal data out of \
                   answers; it was not passed on";
    Err(Refusal::new(Code::ProviderUnavailable, message))
}

/// Does a step of work, which is told how many bytes it may take and says how many it took. Without
/// a pace it is done at once.
async fn step(pace: &mut Option<Pace>, work: impl FnOnce(usize) -> usize) {
    let Some(pace) = pace else {
        work(STEP_BYTES_MAX);
        return;
    };
    pace.turn().await;
    let begun = pace.begin();
    let bytes = work(pace.step_bytes());
    pace.end(begun, bytes);
}

/// Whether [`read`] has much to do.
pub fn is_long(answer: &Answer) -> bool {
    matches!(&answer.body, AnswerBody::Whole(bytes) if bytes.len() > STEP_BYTES_MAX)
}

/// Turns the provider's answer into the client's, as it comes. An answer that is whole ([`read`]
/// has seen it) may be sent when its row is in the log: when the second value is ready.
pub fn respond(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    answer: Answer,
    mut record: Record,
    place: share::Held,
) -> (Response<Body>, Option<Pending>) {
    let Answer { head, body, held: room, load, idle, keep_alive, is_final, translated, reduced } =
        answer;
    note_losses(&mut record, translated.as_deref(), reduced.as_deref());
    let is_replay = record.cached.is_hit() && !is_json(&head.headers);
    let mut headers = headers::returning(&head.headers);
    let room = move || Held {
        _place: place,
        _load: load,
        room: room.unwrap_or_else(|| walk.bytes().begin()),
    };
    let (body, pending) = match body {
        AnswerBody::Whole(bytes) if !is_replay => {
            if is_final {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
            let status = head.status.as_u16();
            let pending = record.close_soon(status, Outcome::of_status(status), None);
            // A short one is sent soon; a long one holds its bounds until it has been written.
            let is_short = bytes.len() <= CALL_BYTES_FREE;
            let body = if is_short { Body::full(bytes) } else { Body::held(bytes, room()) };
            (body, pending)
        }
        body => {
            let (read, incoming) = match body {
                AnswerBody::Whole(read) => (read, None),
                AnswerBody::Streaming(read, incoming) => (read, Some(incoming)),
            };
            let is_own = head.status.is_success() && translated.is_none();
            let learning = learning(walk, endpoint, caller).filter(|_| is_own);
            let rewriting = record.rewriting(translated.is_some());
            let answering = Answering {
                format: endpoint.answer,
                status: head.status.as_u16(),
                record,
                log: Logged { learning, ..Logged::of(walk, caller) },
                patience: Patience {
                    idle,
                    deadline: walk.deadline(walk.policy.timeouts.total),
                    keep_alive,
                },
                held: room(),
                pace: walk.pace(caller),
            };
            let context = translated.and_then(|told| told.stream);
            let translated =
                context.and_then(|context| translate::Stream::new(&context, STREAM_BOUNDS).ok());
            let is_translated = translated.is_some();
            let is_whole = read.is_empty() || is_translated || is_replay;
            let tee = if is_event_stream(&headers) && is_whole {
                let stream = Arriving { incoming, read, translated };
                events(answering, stream, rewriting, &mut headers)
            } else {
                plain(answering, incoming, read, rewriting, &head.headers, &mut headers)
            };
            (Body::Teed(Box::new(tee)), None)
        }
    };
    let body =
        if walk.head.version == Version::HTTP_2 { body.watched(&walk.gateway.tasks) } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    (response, pending)
}

/// A stream of events.
fn events(
    mut answering: Answering,
    stream: Arriving,
    rewriting: Rewriting,
    headers: &mut HeaderMap,
) -> Tee {
    answering.record.row().stream = true;
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Tee::events(answering, stream, rewriting.events())
}

/// Any other answer that is still coming. Its length is passed on unless it is changed.
fn plain(
    answering: Answering,
    incoming: Option<Incoming>,
    read: Bytes,
    rewriting: Rewriting,
    provider_headers: &HeaderMap,
    headers: &mut HeaderMap,
) -> Tee {
    let textual = is_textual(headers);
    let rewrite = rewriting.body(is_json(headers)).filter(|_| textual).map(Box::new);
    let length = provider_headers.get(header::CONTENT_LENGTH);
    if let Some(length) = length.filter(|_| rewrite.is_none()) {
        headers.insert(header::CONTENT_LENGTH, length.clone());
    }
    Tee::plain(answering, incoming, read, textual, rewrite)
}

/// A provider's error with every credential of this call blanked: some providers quote the key they
/// were given.
fn blanked(body: Bytes, caller: &Caller, record: &Record, upstream: &Upstream) -> Bytes {
    let mut blanked = body;
    let mut blank = |key: &[u8]| {
        if key.len() >= KEY_BYTES_MIN {
            blanked = without(std::mem::take(&mut blanked), key);
        }
    };
    caller.upstream_key.iter().for_each(|key| blank(key.reveal().as_bytes()));
    if let Some(provider) = record.trail().provider() {
        upstream.secrets_of(&provider, blank);
    }
    blanked
}

/// Shorter keys are words that an error may well hold.
const KEY_BYTES_MIN: usize = 8;

/// `body` with a mark in place of each `key`. One pass: the caller chooses the key, and it may be a
/// part of the mark.
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

/// Notes the fields that were left out of the call.
fn note_losses(record: &mut Record, translated: Option<&Translated>, reduced: Option<&Reduced>) {
    if let Some(told) = translated {
        let row = record.row();
        row.translated.clone_from(&told.formats);
        row.dropped_fields.clone_from(&told.dropped_fields);
    }
    if let Some(told) = reduced {
        record.row().dropped_fields.clone_from(&told.dropped_fields);
    }
}

/// Notes what a translated answer used: the provider's own figures, whatever its caller sees.
fn note_translated(record: &mut Record, whole: &WholeAnswer, answer: &[u8]) {
    record.answer_ended(whole.finish_reason.clone().into(), whole.tool_calls);
    match whole.usage {
        Some(usage) => record.used(Some(usage), &whole.model),
        None => record.used_about(None, written::text_bytes(answer), &whole.model),
    }
}

/// Notes what a whole answer used; where it is a model's and says nothing about that, what it used
/// about.
fn note_usage(
    record: &mut Record,
    format: Format,
    succeeded: bool,
    facts: AnswerFacts,
    answer: &[u8],
) {
    if succeeded {
        record.answer_ended(facts.finish_reason, facts.tool_calls);
    }
    let silent = facts.usage.is_none() && facts.is_object && succeeded && format.is_generated();
    let text_bytes = if silent { written::text_bytes(answer) } else { 0 };
    if text_bytes > 0 {
        record.used_about(None, text_bytes, &facts.model);
    } else {
        record.used(facts.usage, &facts.model);
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    essence(headers).eq_ignore_ascii_case("text/event-stream")
        && !headers.contains_key(header::CONTENT_ENCODING)
}

fn is_json(headers: &HeaderMap) -> bool {
    names_json(essence(headers)) && !headers.contains_key(header::CONTENT_ENCODING)
}

fn is_textual(headers: &HeaderMap) -> bool {
    let kind = essence(headers);
    let is_text = kind.as_bytes().get(..5).is_some_and(|b| b.eq_ignore_ascii_case(b"text/"));
    (is_text || names_json(kind)) && !headers.contains_key(header::CONTENT_ENCODING)
}

fn names_json(kind: &str) -> bool {
    let kind = kind.as_bytes();
    kind.last_chunk::<4>().is_some_and(|end| end.eq_ignore_ascii_case(b"json"))
}

/// The notes on stored objects that the answer of a call names.
fn learning(walk: &Walk<'_>, endpoint: &Endpoint, caller: &Caller) -> Option<Learning> {
    Learning::of(walk.gateway, &walk.policy, &walk.head.method, endpoint, caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_blanked_wherever_it_stands_even_one_that_is_in_the_mark() {
        for (body, key, expected) in [
            (
                "no such key: sk-secret-1, sk-secret-1",
                "sk-secret-1",
                "no such key: [credential], [credential]",
            ),
            ("model `credential` not found", "credential", "model `[credential]` not found"),
            ("nothing here", "sk-secret-1", "nothing here"),
            ("aaaaaaaaaaaaaaaaa", "aaaaaaaa", "[credential][credential]a"),
            ("", "sk-secret-1", ""),
        ] {
            assert_eq!(without(Bytes::from(body), key.as_bytes()), expected, "{body}");
        }
    }
}
