//! An attempt at a target that takes a request for embeddings as several calls.
//!
//! Stage 10 of the walk. Guarantees: at most [`CALLS_AT_ONCE`] calls of a request run at once; one
//! that fails fails the attempt, and ends the others; the answer has the vectors of all calls, or
//! there is none; an attempt after a failure at the same target asks only for what is missing. All
//! calls together count as one attempt. Does not: know services (see `crates/wire`), or retry.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::header::HeaderMap;
use http::response;
use hyper::body::Incoming;
use tollgate_wire::Format;
use tollgate_wire::translate::TranslatedAnswer;
use tollgate_wire::translate::embeddings::{self, CALLS_AT_ONCE, CallAnswer, Context};
use tollgate_wire::translate::error::Invalid;

use super::answer::{Answer, AnswerBody, Attempted, Translated, gathered, whole};
use super::apart::apart;
use super::foreign::{Sides, hold_twice, in_callers_format};
use super::replay::Outgoing;
use super::request::{Destination, Rewritten};
use super::retry::Failure;
use super::trail::Sent;
use super::{Call, Upstream};
use crate::bounds::TRANSLATED_ANSWER_BYTES_MAX;
use crate::config::policy::Target;
use crate::redact::Redacted;
use crate::share::Held;

/// Bedrock reports the tokens of a text here.
const INPUT_TOKENS: &str = "x-amzn-bedrock-input-token-count";

/// A request for embeddings as the calls of one target.
pub struct Parts {
    calls: Vec<Part>,
    context: Arc<Context>,
    told: Translated,
    _held: Option<Held>,
}

/// One of the calls.
struct Part {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Outgoing,
}

/// The answer to one call.
#[derive(Debug)]
struct PartAnswer {
    body: Bytes,
    input_tokens: Option<u64>,
    _held: Option<Held>,
}

/// The answers that earlier attempts at the same target have got.
#[derive(Default)]
pub struct Kept {
    /// The target, by the addresses of its parts in the policy.
    of: Option<Target>,
    answers: Vec<Option<PartAnswer>>,
}

/// A failed call: a label for metrics, and the end of the attempt.
type Failed = (&'static str, Attempted);

impl Parts {
    /// Calls with these bodies.
    pub fn new(
        bodies: Vec<Redacted>,
        translated: embeddings::Translated,
        told: Translated,
        held: Option<Held>,
    ) -> Parts {
        let parts = translated.calls.into_iter().zip(bodies).map(|(call, body)| Part {
            path: call.path.into_owned(),
            headers: call.headers,
            body: Outgoing::Whole(body),
        });
        Parts { calls: parts.collect(), context: Arc::new(translated.context), told, _held: held }
    }
}

impl Kept {
    /// Forgets the answers of another target. Returns the numbers of the calls without an answer.
    fn missing(&mut self, target: &Target, calls: usize) -> Vec<usize> {
        let is_same = self.of.as_ref().is_some_and(|of| {
            Arc::ptr_eq(&of.provider, &target.provider) && of.model == target.model
        });
        if !is_same {
            self.of = Some(target.clone());
            self.answers.clear();
        }
        self.answers.resize_with(calls, || None);
        (0..calls).filter(|index| self.answers[*index].is_none()).collect()
    }

    fn bytes(&self) -> usize {
        self.answers.iter().flatten().map(|answer| answer.body.len()).sum()
    }
}

impl Upstream {
    /// Asks for all vectors that are missing. Returns a label for metrics, and the end of the
    /// attempt.
    ///
    /// # Cancel safety
    /// Dropping the future ends all calls that are under way.
    pub(crate) async fn embed(
        &self,
        to: Destination<'_>,
        call: &Call<'_>,
        parts: &Parts,
        kept: &mut Kept,
        sent: Sent,
    ) -> Failed {
        if let Err(failed) = self.ask_all(to, call, parts, kept, sent).await {
            return failed;
        }
        let answers: Vec<PartAnswer> = kept.answers.drain(..).flatten().collect();
        match answer(to.target, call, parts, answers).await {
            Ok(answer) => ("ok", Attempted::Answer(answer)),
            Err(failure) => (failure.reason(), Attempted::Failed(failure, None)),
        }
    }

    async fn ask_all(
        &self,
        to: Destination<'_>,
        call: &Call<'_>,
        parts: &Parts,
        kept: &mut Kept,
        sent: Sent,
    ) -> Result<(), Failed> {
        let mut missing = kept.missing(to.target, parts.calls.len()).into_iter();
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < CALLS_AT_ONCE
                && let Some(index) = missing.next()
            {
                let sent = sent.clone();
                under_way
                    .push(async move { (index, self.ask(to, call, parts, index, sent).await) });
            }
            let Some((index, answer)) = under_way.next().await else { return Ok(()) };
            kept.answers[index] = Some(answer?);
            if kept.bytes() > TRANSLATED_ANSWER_BYTES_MAX {
                kept.answers.clear();
                return Err(failed(Failure::TooLong));
            }
        }
    }

    /// Makes one of the calls.
    async fn ask(
        &self,
        to: Destination<'_>,
        call: &Call<'_>,
        parts: &Parts,
        index: usize,
        sent: Sent,
    ) -> Result<PartAnswer, Failed> {
        let part = &parts.calls[index];
        let rewritten = Rewritten {
            path: &part.path,
            headers: &part.headers,
            body: &part.body,
            keeps_headers: false,
        };
        let response = self.send(to, call, Some(&rewritten), sent).await;
        let (head, incoming) = response.map_err(failed)?.into_parts();
        if let Some(failed) = self.refused_by_head(to, call, &head) {
            return Err(failed);
        }
        if !head.status.is_success() {
            return Err(self.error(to.target, call, parts, head, incoming).await);
        }
        let idle = to.target.timeouts.idle;
        let read = whole(TRANSLATED_ANSWER_BYTES_MAX, incoming, idle, call.room).await;
        let (body, held) = read.map_err(failed)?;
        Ok(PartAnswer { body, input_tokens: input_tokens(&head.headers), _held: held })
    }

    async fn error(
        &self,
        target: &Target,
        call: &Call<'_>,
        parts: &Parts,
        head: response::Parts,
        incoming: Incoming,
    ) -> Failed {
        let sides = Sides {
            caller: Format::OpenAiEmbeddings,
            target: target.provider.options.kind.format(),
        };
        match gathered(incoming, target.timeouts.idle, call.room).await {
            Ok((body, held)) => {
                self.refused(Answer::of(target, head, body, held), Some((sides, &parts.told)))
            }
            Err(failure) => failed(failure),
        }
    }
}

fn failed(failure: Failure) -> Failed {
    (failure.reason(), Attempted::Failed(failure, None))
}

/// The tokens of a text that only a header reports.
fn input_tokens(headers: &HeaderMap) -> Option<u64> {
    headers.get(INPUT_TOKENS)?.to_str().ok()?.trim().parse().ok()
}

/// The caller's answer, of the answers to all calls in their order.
async fn answer(
    target: &Target,
    call: &Call<'_>,
    parts: &Parts,
    answers: Vec<PartAnswer>,
) -> Result<Answer, Failure> {
    let bytes = answers.iter().map(|answer| answer.body.len()).sum();
    let mut held = None;
    hold_twice(&mut held, bytes, call.room)?;
    let context = Arc::clone(&parts.context);
    let work = move || -> Result<TranslatedAnswer, Invalid> {
        let read: Vec<CallAnswer<'_>> = answers
            .iter()
            .map(|answer| CallAnswer { body: &answer.body, input_tokens: answer.input_tokens })
            .collect();
        embeddings::answer(&context, &read)
    };
    let ours = apart(bytes, call.apart, work).await.and_then(Result::ok);
    let (head, ()) = http::Response::new(()).into_parts();
    let answer = Answer::of(target, head, AnswerBody::Whole(Bytes::new()), held);
    Ok(in_callers_format(answer, ours.ok_or(Failure::Invalid)?, parts.told.clone()))
}
