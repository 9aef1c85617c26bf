//! An answer of a provider: its head, and as much of its body as must be read before it is shown.
//!
//! Stage 10 of the walk. Guarantees: a gathered answer is whole, or at most
//! [`ANSWER_GATHER_BYTES_MAX`] bytes of it are held and the rest is streamed; its memory is counted
//! in the caller's share. Does not: decide whether an answer is an error that is retried (see
//! [`retry`](super::retry)), or redact.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tollgate_wire::ErrorFacts;
use tollgate_wire::translate::Context;
use tollgate_wire::translate::loss::Refused;
use tollgate_wire::usage::TokenUsage;

use super::NoAnswer;
use super::health::Flying;
use super::retry::{self, Failure, MONEY_CODES, StatusFacts};
use crate::bounds::{ANSWER_GATHER_BYTES_MAX, CALL_BYTES_FREE};
use crate::config::policy::Target;
use crate::share::{Held, Share};

/// An answer that may be shown to the client.
pub struct Answer {
    pub head: http::response::Parts,
    pub body: AnswerBody,
    /// An error that waiting a moment does not help, or for which the gateway has waited already:
    /// the client should not retry either (`x-should-retry: false`).
    pub is_final: bool,
    /// Longest silence while the rest is read.
    pub idle: Duration,
    /// Interval of keep-alive comments to the client of a stream.
    pub keep_alive: Option<Duration>,
    /// Counts the call as in flight at its provider, if targets are chosen by load.
    pub load: Option<Flying>,
    /// Memory held for the part of a long answer that has been read.
    pub held: Option<Held>,
    /// The facts of the translation, if the provider speaks another format than the caller. A whole
    /// body is in the caller's format, a stream in the provider's.
    pub translated: Option<Box<Translated>>,
    /// The facts of a call that went on in its caller's format with something left out. Its answer
    /// is the provider's own.
    pub reduced: Option<Box<Reduced>>,
}

impl Answer {
    /// An answer of this target.
    pub fn of(
        target: &Target,
        head: http::response::Parts,
        body: AnswerBody,
        held: Option<Held>,
    ) -> Answer {
        Answer {
            head,
            body,
            is_final: false,
            idle: target.timeouts.idle,
            keep_alive: target.timeouts.keep_alive,
            load: None,
            held,
            translated: None,
            reduced: None,
        }
    }

    /// The value of `x-tollgate-translation`.
    pub fn translation(&self) -> Option<&str> {
        let translated = self.translated.as_ref().map(|told| &*told.header);
        translated.or(self.reduced.as_ref().map(|told| &*told.header))
    }
}

/// The facts of a translated call.
#[derive(Clone, Debug)]
pub struct Translated {
    /// `chat>anthropic`
    pub formats: String,
    /// The value of `x-tollgate-translation`.
    pub header: String,
    /// Names of fields, as in the row.
    pub dropped_fields: String,
    /// Translates the answer, if it is a stream.
    pub stream: Option<Arc<Context>>,
    /// The facts of an answer that is whole.
    pub whole: Option<WholeAnswer>,
}

/// The facts of a call in its caller's format that had something left out.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The value of `x-tollgate-translation`.
    pub header: String,
    /// Names of fields, as in the row.
    pub dropped_fields: String,
}

/// The facts of a translated answer that is whole.
#[derive(Clone, Debug)]
pub struct WholeAnswer {
    pub usage: Option<TokenUsage>,
    pub model: String,
    pub finish_reason: String,
    pub tool_calls: u16,
}

/// The body of an answer.
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// The part that has been read, and the rest.
    Streaming(Bytes, Incoming),
}

/// The end of one attempt.
pub(crate) enum Attempted {
    Answer(Answer),
    /// A failure, with the provider's error answer if there is one.
    Failed(Failure, Option<Answer>),
    /// The provider refused the gateway's key.
    KeyRefused,
    /// There is no credential for the provider: nothing was sent.
    KeyMissing,
    /// The target cannot do what the call asks for: nothing was sent.
    Untranslatable(Box<Refused>),
}

/// The result of a call that will not be retried: the provider's own error, or none.
pub fn used_up(failure: &Failure, words: Option<Answer>) -> Result<Answer, NoAnswer> {
    match failure {
        Failure::FirstByteTimeout => Err(NoAnswer::Timeout),
        Failure::Exhausted | Failure::NoRoom => Err(NoAnswer::Exhausted),
        Failure::Status(facts) if facts.status < 500 => match words {
            Some(answer) => Ok(Answer { is_final: facts.is_final(), ..answer }),
            None => Err(NoAnswer::Unavailable { retry_after: facts.retry_after }),
        },
        Failure::Status(facts) => Err(NoAnswer::Unavailable { retry_after: facts.retry_after }),
        Failure::Connect
        | Failure::Certificate
        | Failure::ClientCertificate
        | Failure::Proxy(_)
        | Failure::Reset
        | Failure::Stale
        | Failure::Protocol
        | Failure::Truncated => Err(NoAnswer::Unavailable { retry_after: None }),
        Failure::Invalid | Failure::TooLong => Err(NoAnswer::Invalid),
    }
}

/// The content type without its parameters; empty if there is none.
pub fn essence(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let end = kind.bytes().position(|byte| byte == b';').unwrap_or(kind.len());
    kind.get(..end).unwrap_or_default().trim_ascii()
}

/// Whether the content type is `kind`; parameters are ignored.
pub fn is(headers: &HeaderMap, kind: &str) -> bool {
    essence(headers).eq_ignore_ascii_case(kind)
}

/// Reads an answer to its end, or to the bound. If there is no memory for the whole answer, the
/// rest of it is streamed.
///
/// # Errors
/// The answer was truncated, or nothing arrived for `idle`.
pub async fn gathered(
    incoming: Incoming,
    idle: Duration,
    room: &Share,
) -> Result<(AnswerBody, Option<Held>), Failure> {
    gathered_to(ANSWER_GATHER_BYTES_MAX, incoming, idle, room).await
}

/// The whole of an answer that is to be translated.
///
/// # Errors
/// It is longer than `bytes_max`, there is no memory for it, it was truncated, or nothing arrived
/// for `idle`.
pub async fn whole(
    bytes_max: usize,
    incoming: Incoming,
    idle: Duration,
    room: &Share,
) -> Result<(Bytes, Option<Held>), Failure> {
    match gathered_to(bytes_max, incoming, idle, room).await? {
        (AnswerBody::Whole(bytes), held) => Ok((bytes, held)),
        (AnswerBody::Streaming(read, _), _) if read.len() > bytes_max => Err(Failure::TooLong),
        (AnswerBody::Streaming(..), _) => Err(Failure::NoRoom),
    }
}

async fn gathered_to(
    bytes_max: usize,
    mut incoming: Incoming,
    idle: Duration,
    room: &Share,
) -> Result<(AnswerBody, Option<Held>), Failure> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    let mut held = None;
    loop {
        if incoming.is_end_stream() {
            break;
        }
        match tokio::time::timeout(idle, incoming.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if first.is_empty() {
                    first = data;
                } else {
                    if more.is_empty() {
                        more.extend_from_slice(&first);
                    }
                    more.extend_from_slice(&data);
                }
                let bytes = first.len().max(more.len());
                let fits = bytes <= CALL_BYTES_FREE
                    || held.get_or_insert_with(|| room.begin()).grow_to(bytes);
                if bytes > bytes_max || !fits {
                    let read = if more.is_empty() { first } else { more.freeze() };
                    return Ok((AnswerBody::Streaming(read, incoming), held));
                }
            }
            Ok(Some(Err(_))) => return Err(Failure::Truncated),
            Err(_) => return Err(Failure::FirstByteTimeout),
        }
    }
    Ok((AnswerBody::Whole(if more.is_empty() { first } else { more.freeze() }), held))
}

/// The facts of an error answer that decide whether it is retried.
pub fn status_facts(answer: &Answer, now_ms: i64) -> StatusFacts {
    let headers = &answer.head.headers;
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let about_money = match &answer.body {
        AnswerBody::Whole(body) => {
            let error = ErrorFacts::read(body);
            [&error.code, &error.kind].iter().any(|c| MONEY_CODES.contains(&c.as_str()))
        }
        AnswerBody::Streaming(..) => false,
    };
    StatusFacts {
        status: answer.head.status.as_u16(),
        should_retry: text("x-should-retry").and_then(|v| v.trim().parse().ok()),
        retry_after: retry::retry_after(text("retry-after-ms"), text("retry-after"), now_ms),
        about_money: about_money || answer.head.status == StatusCode::PAYMENT_REQUIRED,
    }
}
