//! An attempt at a target of another format: the call is translated for it, and its answer back.
//!
//! Stage 10 of the walk. Guarantees: every attempt is translated from the caller's redacted
//! request; a provider's answer that cannot be carried is a failed attempt, and no byte of it is
//! shown; a stream is begun only when its first event could be carried. Does not: know formats (see
//! `crates/wire`), or choose targets.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::{Handle, RuntimeFlavor};
use tollgate_wire::translate::error::{self, ProviderError};
use tollgate_wire::translate::loss::Refused;
use tollgate_wire::translate::{self, Bounds, Context, Operation, Server};
use tollgate_wire::{Format, ProviderKind};

use super::answer::{Answer, AnswerBody, Translated, WholeAnswer};
use super::replay::Outgoing;
use super::retry::{Failure, StatusFacts};
use crate::bounds::{
    ANSWER_GATHER_BYTES_MAX, CALL_BYTES_FREE, SSE_EVENT_BYTES_MAX, STEP_BYTES_MAX,
};
use crate::config::policy::{Provider, Target};
use crate::config::sections::{MaxTokensField, OnLoss};
use crate::redact::Redacted;
use crate::share::{Held, Share};

/// The bounds of a translated stream.
pub const STREAM_BOUNDS: Bounds =
    Bounds { event_bytes_max: SSE_EVENT_BYTES_MAX, held_bytes_max: ANSWER_GATHER_BYTES_MAX };

/// A call that may be translated.
#[derive(Clone, Copy, Debug)]
pub struct Translatable<'a> {
    /// The call, in its caller's format.
    pub call: translate::Call<'a>,
    /// The model as asked for.
    pub model: &'a str,
    /// The treatment of fields that a target cannot express.
    pub on_loss: OnLoss,
}

/// Why a call is not sent to a target.
#[derive(Debug)]
pub enum Unable {
    /// The target cannot do what the call asks for, or the call itself is wrong.
    Refused(Box<Refused>),
    /// There is no memory for the translation.
    NoRoom,
}

/// A call translated for one target.
pub struct Foreign {
    /// The path below the target's base URL, with its query.
    pub path: String,
    /// Headers of the target's format.
    pub headers: Vec<(&'static str, String)>,
    pub body: Outgoing,
    told: Translated,
    _held: Option<Held>,
}

impl Provider {
    /// Whether calls of this format are sent to it as they are.
    pub fn speaks(&self, format: Format) -> bool {
        let wires = &self.options.wires;
        let has = wires.is_empty() || wires.contains(&format);
        let is_object = matches!(format, Format::Other | Format::StoredObject);
        self.options.kind.speaks(format) && (has || is_object)
    }

    /// Whether calls of this format are sent to it as they are, or translated.
    pub fn serves(&self, format: Format, operation: Operation) -> bool {
        self.speaks(format) || translate::is_possible(format, self.options.kind.format(), operation)
    }

    fn server(&self) -> Server<'_> {
        let host = self.base_url.host().unwrap_or_default();
        let is_openai =
            self.options.kind == ProviderKind::AzureOpenAi || host.ends_with(".openai.com");
        Server {
            is_openai,
            max_tokens_field: match self.options.max_tokens_field {
                MaxTokensField::MaxTokens => "max_tokens",
                MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
            },
            reasoning_back: self.options.reasoning_back,
            is_vertex: host.ends_with("aiplatform.googleapis.com"),
            anthropic_version: self.options.version.as_deref(),
        }
    }
}

impl Translatable<'_> {
    /// The call for this target; `None` if the target takes it as it is.
    ///
    /// # Errors
    /// Nothing is to be sent.
    pub fn to(
        &self,
        target: &Target,
        body: &Outgoing,
        room: &Share,
    ) -> Result<Option<Foreign>, Unable> {
        let provider = &target.provider;
        if provider.speaks(self.call.format) {
            return Ok(None);
        }
        let kind = provider.options.kind;
        let model = target.model.as_deref().unwrap_or(self.model);
        let mut to = translate::Target::new(kind.format(), model);
        to.server = provider.server();
        // It was gathered before: its targets were known.
        let Outgoing::Whole(redacted) = body else { return Err(Unable::NoRoom) };
        let written = apart(redacted.as_bytes().len(), || {
            redacted.rewritten(|bytes| {
                translate::request(&self.call, &to, bytes)
                    .map(|mut translated| (std::mem::take(&mut translated.body), translated))
            })
        });
        let (redacted, translated): (Redacted, translate::Translated) =
            written.map_err(|refused| Unable::Refused(Box::new(refused)))?;
        if self.on_loss == OnLoss::Refuse
            && let Some(refused) = translated.losses.refusal()
        {
            return Err(Unable::Refused(Box::new(refused)));
        }
        let (from, losses) = (self.call.format.name(), &translated.losses);
        let changed = losses.changed().into_iter().map(|name| ["~", name].concat());
        let dropped = losses.dropped().into_iter().map(str::to_owned);
        let told = Translated {
            formats: [from, ">", kind.name()].concat(),
            header: losses.header_value(from, kind.name()),
            dropped_fields: dropped.chain(changed).collect::<Vec<_>>().join(", "),
            context: translated.context,
            whole: None,
        };
        let bytes = redacted.as_bytes().len();
        let mut held = (bytes > CALL_BYTES_FREE).then(|| room.begin());
        if held.as_mut().is_some_and(|held| !held.grow_to(bytes)) {
            return Err(Unable::NoRoom);
        }
        Ok(Some(Foreign {
            path: translated.path.into_owned(),
            headers: translated.headers,
            body: Outgoing::Whole(redacted),
            told,
            _held: held,
        }))
    }
}

impl Foreign {
    /// Whether the answer is read whole before it is shown.
    pub fn is_whole(&self) -> bool {
        !self.told.context.stream
    }

    /// Notes how long the body of an error asks to wait, where its head does not say so.
    pub fn note_waits(&self, answer: &Answer, facts: &mut StatusFacts) {
        let AnswerBody::Whole(bytes) = &answer.body else { return };
        let error = translate::provider_error(self.told.context.target, facts.status, bytes);
        if facts.retry_after.is_none() {
            facts.retry_after = error.retry_after_ms.map(Duration::from_millis);
        }
        facts.about_money |= error.is_final;
    }

    /// An answer in the caller's format, and its failure if it is one.
    pub async fn read(&self, mut answer: Answer, idle: Duration) -> (Answer, Option<Failure>) {
        let status = answer.head.status;
        let told = &self.told;
        let failure = match &mut answer.body {
            body @ AnswerBody::Whole(_) if !status.is_success() => {
                let AnswerBody::Whole(bytes) = body else { return (answer, None) };
                let error = translate::provider_error(told.context.target, status.as_u16(), bytes);
                *bytes = Bytes::from(error::body(told.context.caller, &error));
                set_json(&mut answer.head.headers);
                mark_waits(&mut answer.head.headers, &error);
                answer.translated = Some(Box::new(told.clone()));
                return (answer, None);
            }
            AnswerBody::Whole(bytes) => {
                match apart(bytes.len(), || translate::answer(&told.context, bytes)) {
                    Ok(ours) => {
                        *bytes = Bytes::from(ours.body);
                        set_json(&mut answer.head.headers);
                        let whole = WholeAnswer {
                            usage: ours.usage,
                            model: ours.model,
                            finish_reason: ours.finish_reason,
                        };
                        let told = Translated { whole: Some(whole), ..told.clone() };
                        answer.translated = Some(Box::new(told));
                        None
                    }
                    Err(_) => Some(Failure::Invalid),
                }
            }
            AnswerBody::Streaming(read, incoming) if told.context.stream => {
                let failure = begin(&told.context, read, incoming, idle).await.err();
                let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
                strip(&mut answer.head.headers);
                answer.head.headers.insert(header::CONTENT_TYPE, kind);
                answer.translated = Some(Box::new(told.clone()));
                failure
            }
            AnswerBody::Streaming(..) => Some(Failure::Invalid),
        };
        (answer, failure)
    }
}

/// Does work on so many bytes. Long work holds up no other call of this thread, whose tasks go to
/// another one meanwhile.
fn apart<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let is_multi_thread =
        Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > STEP_BYTES_MAX && is_multi_thread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Reads a stream until the first of its events can be carried. What was read is kept in `read`.
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
