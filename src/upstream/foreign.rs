//! An attempt at a target of another format: the call in that format, and its answer in the
//! caller's.
//!
//! Stage 10 of the walk. Guarantees: a provider's answer that cannot be carried is a failed
//! attempt, and no byte of it is shown; a stream is begun only when its first event could be
//! carried. Does not: translate requests (see `translation`), or know formats (see `crates/wire`).

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tollgate_wire::Format;
use tollgate_wire::translate::error::{self, ProviderError};
use tollgate_wire::translate::{self, Bounds, Context};

use super::answer::{Answer, AnswerBody, Reduced, Translated, WholeAnswer};
use super::apart::{Apart, apart};
use super::replay::Outgoing;
use super::request::Rewritten;
use super::retry::{Failure, StatusFacts};
use crate::bounds::{ANSWER_GATHER_BYTES_MAX, CALL_BYTES_FREE, SSE_EVENT_BYTES_MAX};
use crate::redact::Redacted;
use crate::share::{Held, Share};

/// The bounds of a translated stream.
pub const STREAM_BOUNDS: Bounds =
    Bounds { event_bytes_max: SSE_EVENT_BYTES_MAX, held_bytes_max: ANSWER_GATHER_BYTES_MAX };

/// A call translated for one target, or in another form of its own format.
pub struct Foreign {
    /// The path below the target's base URL, with its query.
    path: String,
    /// Headers of the target's format.
    headers: Vec<(&'static str, String)>,
    body: Outgoing,
    /// The way back; `None` if the answer is in the caller's format.
    back: Option<(Arc<Context>, Translated)>,
    /// Something was left out of a call that is not translated.
    reduced: Option<Reduced>,
    _held: Option<Held>,
}

/// The way back of a translated call: what its answer is translated by.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    context: &'a Arc<Context>,
    told: &'a Translated,
}

/// The formats on both sides of an error.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    pub caller: Format,
    pub target: Format,
}

impl Foreign {
    /// A call in the target's format: its `body`, and what the translation says besides.
    pub fn new(
        body: Redacted,
        translated: translate::Translated,
        told: Translated,
        held: Option<Held>,
    ) -> Foreign {
        Foreign {
            path: translated.path.into_owned(),
            headers: translated.headers,
            body: Outgoing::Whole(body),
            back: Some((Arc::new(translated.context), told)),
            reduced: None,
            _held: held,
        }
    }

    /// A call in the same format, but in another form. Its answer is passed on as it is.
    pub fn reshaped(
        body: Redacted,
        path: String,
        reduced: Option<Reduced>,
        held: Option<Held>,
    ) -> Foreign {
        let body = Outgoing::Whole(body);
        Foreign { path, headers: vec![], body, back: None, reduced, _held: held }
    }

    /// The facts of a call that is not translated and had something left out.
    pub fn reduced(&self) -> Option<&Reduced> {
        self.reduced.as_ref()
    }

    /// The request.
    pub fn rewritten(&self) -> Rewritten<'_> {
        Rewritten {
            path: &self.path,
            headers: &self.headers,
            body: &self.body,
            keeps_headers: self.back.is_none(),
        }
    }

    /// The way back of a translated call.
    pub fn back(&self) -> Option<Back<'_>> {
        self.back.as_ref().map(|(context, told)| Back { context, told })
    }
}

impl Back<'_> {
    /// The formats of errors, and the facts of the translation.
    pub fn sides(&self) -> (Sides, &Translated) {
        (Sides { caller: self.context.caller, target: self.context.target }, self.told)
    }

    /// Whether the answer is read whole before it is shown.
    pub fn is_whole(&self) -> bool {
        !self.context.stream
    }

    /// A successful answer in the caller's format.
    ///
    /// # Errors
    /// It cannot be read or carried, or there is no memory for it.
    pub async fn read(
        &self,
        mut answer: Answer,
        room: &Share,
        run: Apart<'_>,
    ) -> Result<Answer, Failure> {
        let idle = answer.idle;
        match &mut answer.body {
            AnswerBody::Whole(theirs) => {
                let theirs = std::mem::take(theirs);
                hold_twice(&mut answer.held, theirs.len(), room)?;
                let context = Arc::clone(self.context);
                let ours =
                    apart(theirs.len(), run, move || translate::answer(&context, &theirs)).await;
                let ours = ours.and_then(Result::ok).ok_or(Failure::Invalid)?;
                Ok(in_callers_format(answer, ours, self.told.clone()))
            }
            AnswerBody::Streaming(read, incoming) if self.context.stream => {
                begin(self.context, read, incoming, idle).await?;
                let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
                strip(&mut answer.head.headers);
                answer.head.headers.insert(header::CONTENT_TYPE, kind);
                let stream = Some(Arc::clone(self.context));
                answer.translated = Some(Box::new(Translated { stream, ..self.told.clone() }));
                Ok(answer)
            }
            AnswerBody::Streaming(..) => Err(Failure::Invalid),
        }
    }
}

/// Holds room for an answer of so many bytes and for its translation.
///
/// # Errors
/// There is none.
pub fn hold_twice(held: &mut Option<Held>, bytes: usize, room: &Share) -> Result<(), Failure> {
    let fits = bytes <= CALL_BYTES_FREE
        || held.get_or_insert_with(|| room.begin()).grow_to(bytes.saturating_mul(2));
    if fits { Ok(()) } else { Err(Failure::NoRoom) }
}

/// The answer with a translated body.
pub fn in_callers_format(
    mut answer: Answer,
    ours: translate::TranslatedAnswer,
    told: Translated,
) -> Answer {
    answer.body = AnswerBody::Whole(Bytes::from(ours.body));
    set_json(&mut answer.head.headers);
    let whole = WholeAnswer {
        usage: ours.usage,
        model: ours.model,
        finish_reason: ours.finish_reason,
        tool_calls: ours.tool_calls.try_into().unwrap_or(u16::MAX),
    };
    answer.translated = Some(Box::new(Translated { whole: Some(whole), ..told }));
    answer
}

/// An error of the provider in the caller's format, if it was read whole. `facts` get the waits
/// that only its body tells.
pub fn tell_error(
    answer: &mut Answer,
    facts: &mut StatusFacts,
    (sides, told): (Sides, &Translated),
) {
    let AnswerBody::Whole(bytes) = &mut answer.body else { return };
    let error = translate::provider_error(sides.target, facts.status, bytes);
    if facts.retry_after.is_none() {
        facts.retry_after = error.retry_after_ms.map(Duration::from_millis);
    }
    facts.about_money |= error.is_final;
    *bytes = Bytes::from(error::body(sides.caller, &error));
    set_json(&mut answer.head.headers);
    mark_waits(&mut answer.head.headers, &error);
    answer.translated = Some(Box::new(told.clone()));
}

/// Reads a stream until the first of its events can be carried. The bytes read are kept in `read`.
async fn begin(
    context: &Context,
    read: &mut Bytes,
    incoming: &mut Incoming,
    idle: Duration,
) -> Result<(), Failure> {
    let mut stream =
        translate::Stream::new(context, STREAM_BOUNDS).map_err(|_| Failure::Invalid)?;
    let (mut kept, mut out) = (BytesMut::new(), Vec::new());
    loop {
        let frame = tokio::time::timeout(idle, incoming.frame())
            .await
            .map_err(|_| Failure::FirstByteTimeout)?;
        let pushed = match frame {
            None => {
                let ended = stream.end(&mut out);
                *read = kept.freeze();
                return ended.map_err(failure);
            }
            Some(Err(_)) => return Err(Failure::Truncated),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    kept.extend_from_slice(&data);
                    stream.push(data, &mut out)
                }
                Err(_) => continue,
            },
        };
        pushed.map_err(failure)?;
        if !out.is_empty() {
            *read = kept.freeze();
            return Ok(());
        }
        if kept.len() > SSE_EVENT_BYTES_MAX {
            return Err(Failure::Invalid);
        }
    }
}

fn failure(failed: translate::Failure) -> Failure {
    match failed {
        translate::Failure::Provider(error) => Failure::Status(StatusFacts {
            status: error.status,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
            about_money: error.is_final,
            ..StatusFacts::default()
        }),
        translate::Failure::Invalid(_) => Failure::Invalid,
        translate::Failure::Cut => Failure::Truncated,
    }
}

/// Takes out of an answer's head the description of a body that is no longer there.
fn strip(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::ETAG] {
        headers.remove(name);
    }
}

fn set_json(headers: &mut HeaderMap) {
    strip(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// Writes the waits that only the body of an error tells as headers.
fn mark_waits(headers: &mut HeaderMap, error: &ProviderError) {
    const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
    if let Some(wait) = error.retry_after_ms
        && !headers.contains_key(header::RETRY_AFTER)
    {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(wait));
    }
    if error.is_final {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
}
