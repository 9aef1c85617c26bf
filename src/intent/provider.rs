//! The provider of the ticket endpoints: a ticket goes in, its classification comes out.
//!
//! Guarantees: the provider gets a ticket only after its redaction; all questions about a ticket
//! share its attempts and its deadline; an answer without any JSON is followed by at most one
//! further question, if the policy asks for it; attempts, usage and answer are known wherever the
//! work ends. Does not share work between callers (see `work`).

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::body::Incoming;
use tollgate_wire::estimate::{Asked, Expected, Makes};
use tollgate_wire::translate::{self, Operation};
use tollgate_wire::usage::TokenUsage;
use tollgate_wire::{TextExchange, written};

use super::context::TicketContext;
use super::parse::parse;
use super::question::QuestionBody;
use super::ticket::{IntentRequest, IntentResponse};
use crate::bounds::STEP_BYTES_MAX;
use crate::clock::{self, Nanos};
use crate::code::Code;
use crate::config::policy::{Provider, Targets};
use crate::config::sections::OnLoss;
use crate::cost::output;
use crate::limit::meters::Reservation;
use crate::lock::lock;
use crate::pipeline::admission::{Counting, Work};
use crate::pipeline::body_in::{Beside, Seen};
use crate::pipeline::no_answer_refusal;
use crate::pipeline::record::Record;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::shadow::{self, Shadowed};
use crate::redact::{self, Capture, Captured, Facts, Ledger, RedactError, Redacted, Rules};
use crate::share::Share;
use crate::upstream::replay::Outgoing;
use crate::upstream::translation::Translatable;
use crate::upstream::{Answer, AnswerBody, Call, NoAnswer, Trail, gathered, retry};

/// The provider of the ticket endpoints, as it is asked about one ticket.
pub struct AiProvider {
    context: TicketContext,
    target: Arc<Provider>,
    /// The format of question and answer.
    exchange: &'static TextExchange,
    /// The redaction of the ticket's organisation.
    rules: Arc<Rules>,
    trail: Arc<Trail>,
    seen: Arc<Mutex<Seen>>,
    progress: Mutex<Progress>,
    /// The call as the candidate policy judges it.
    shadow: Option<Arc<Mutex<Shadowed>>>,
}

/// The facts of the questions so far.
#[derive(Default)]
struct Progress {
    first_sent: Option<Nanos>,
    answered: Option<Nanos>,
    usage: Option<TokenUsage>,
    /// Text of answers that did not report their usage.
    unreported_bytes: u64,
    model: String,
    response: Option<Captured>,
    /// The questions' part of limits, by estimate.
    reserved: Option<Reservation>,
    /// A limit of the caller refused the question.
    is_over_limit: bool,
}

impl AiProvider {
    /// The provider of the policy, for a ticket of `bytes` bytes, as sent, of the call of `record`.
    ///
    /// # Errors
    /// The policy names no provider.
    pub fn new(
        context: &TicketContext,
        bytes: u64,
        record: &Record,
    ) -> Result<AiProvider, Refusal> {
        let policy = &context.policy;
        let target = policy
            .providers
            .get(policy.intent.provider)
            .cloned()
            .ok_or_else(|| unavailable(None))?;
        Ok(AiProvider {
            exchange: target.options.kind.text_exchange(),
            rules: Arc::clone(policy.redaction.of(&context.caller.org)),
            // The row shows the question, but the size of the ticket.
            seen: Arc::new(Mutex::new(Seen::of_size(bytes))),
            progress: Mutex::default(),
            context: context.clone(),
            target,
            trail: record.trail(),
            shadow: record.shadow().cloned(),
        })
    }

    /// Classifies one ticket. An answer that makes no sense is a classification without category
    /// and priority.
    ///
    /// # Errors
    /// There is no answer: the ticket cannot be redacted, a limit refuses the question, or the
    /// provider fails.
    ///
    /// # Cancel safety
    /// Dropping it ends the call that is under way.
    pub async fn classify_intent(
        &self,
        request: &IntentRequest,
    ) -> Result<IntentResponse, Refusal> {
        let question = &self.context.policy.intent.question;
        let answer = self.ask(request, false).await?;
        if let Some(intent) = parse(&answer, question) {
            return Ok(intent);
        }
        if !question.options.repair || !self.may_ask_again() {
            return Ok(IntentResponse::default());
        }
        // If the second question fails, the first answer stands.
        let answer = self.ask(request, true).await.unwrap_or_default();
        Ok(parse(&answer, question).unwrap_or_default())
    }

    /// The request body as the row shows it.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        Arc::clone(&self.seen)
    }

    /// The attempts.
    pub fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// When the first question was sent.
    pub fn first_sent(&self) -> Option<Nanos> {
        self.progress().first_sent
    }

    /// Whether a limit of the caller refused the question.
    pub fn is_over_limit(&self) -> bool {
        self.progress().is_over_limit
    }

    /// Moves reservation, usage and answer onto the record; returns the model that the provider
    /// named.
    pub fn settle(&self, record: &mut Record, is_ok: bool) -> String {
        let progress = std::mem::take(&mut *self.progress());
        if let Some(answered) = progress.answered.filter(|_| is_ok) {
            record.first_byte(answered);
        }
        progress.reserved.into_iter().for_each(|reserved| record.hold(reserved));
        if progress.usage.is_none() && progress.unreported_bytes > 0 {
            record.used_about(None, progress.unreported_bytes, &progress.model);
        } else {
            record.used(progress.usage, &progress.model);
        }
        if let Some(kept) = progress.response {
            record.answered(kept);
        }
        progress.model
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }

    /// Whether one more question is within the retries of the policy.
    fn may_ask_again(&self) -> bool {
        u32::from(self.trail.attempts()) <= self.context.policy.retry.max_retries
    }

    /// Asks about a ticket; returns the text of the provider's answer.
    async fn ask(&self, request: &IntentRequest, again: bool) -> Result<String, Refusal> {
        let (body, ledger) = self.question(request, again).await?;
        let beside = self.beside(request, again);
        self.note_question(&body, ledger, beside);
        self.reserve(&body).await?;
        let answer = self.send(body).await?;
        Ok(self.exchange.text(&answer))
    }

    /// The redacted question, made in turns with the bodies of other callers.
    async fn question(
        &self,
        request: &IntentRequest,
        again: bool,
    ) -> Result<(Redacted, Ledger), Refusal> {
        let question = &self.context.policy.intent.question;
        let mut body = QuestionBody::new(question, self.exchange, &self.rules, request, again);
        let turns = &self.context.gateway.turns;
        let mut pace = turns.pace(turns.group(&self.context.caller));
        loop {
            pace.turn().await;
            let bytes = pace.step_bytes();
            if pace.step(bytes, || body.step(bytes)) {
                break;
            }
        }
        drop(pace);
        body.finish().map_err(|error| match error {
            RedactError::Attachment { reason } => Refusal::new(Code::AttachmentsNotAllowed, reason),
            error @ RedactError::Sensitive { .. } => {
                Refusal::new(Code::SensitiveData, error.to_string())
            }
            _ => Refusal::new(
                Code::RedactionFailed,
                "the ticket could not be redacted and was not forwarded",
            ),
        })
    }

    /// The redactions that the candidate policy would have made, where its rules are others. A
    /// ticket is short, and this is one more look at it.
    fn beside(&self, request: &IntentRequest, again: bool) -> Option<Beside> {
        let rules = lock(self.shadow.as_ref()?).other_rules(&self.rules)?;
        let question = &self.context.policy.intent.question;
        let mut body = QuestionBody::new(question, self.exchange, &rules, request, again);
        while !body.step(STEP_BYTES_MAX) {}
        let (ledger, error) = match body.finish() {
            Ok((_, ledger)) => (ledger, None),
            Err(error) => (Ledger::default(), Some(error)),
        };
        Some(Beside { ledger, error, is_done: true })
    }

    /// The row shows the first question, and its redactions are counted once.
    fn note_question(&self, body: &Redacted, ledger: Ledger, beside: Option<Beside>) {
        let mut progress = self.progress();
        if progress.first_sent.is_some() {
            return;
        }
        progress.first_sent = Some(self.context.gateway.clock.now());
        let policy = &self.context.policy;
        let bytes = policy.ailog.request_bytes();
        let capture = (bytes > 0).then(|| Capture::request(bytes, policy.ailog.capture.keep));
        let model = Some(policy.intent.question.model.clone());
        let facts = Facts { model, output_tokens_max: output_tokens_max(body), ..Facts::default() };
        let mut seen = lock(&self.seen);
        let bytes = seen.bytes;
        *seen = Seen::of_whole(body, ledger, facts, capture);
        (seen.bytes, seen.beside) = (bytes, beside);
        drop(seen);
        if let Some(shadow) = &self.shadow {
            // In the order of the record, which locks them, too.
            lock(shadow).note_body(&lock(&self.seen), &self.rules);
        }
    }

    /// The usage is the sum over the questions; the row shows the last answer.
    fn note_answer(&self, bytes: &Bytes) {
        let facts = self.exchange.format.read_answer(bytes);
        let ailog = &self.context.policy.ailog;
        let response = ailog
            .capture_response
            .then(|| redact::answer(&self.rules, bytes, true, ailog.capture_bytes()));
        let mut progress = self.progress();
        progress.answered.get_or_insert(self.context.gateway.clock.now());
        progress.usage = match (progress.usage, facts.usage) {
            (Some(before), Some(now)) => Some(before.plus(now)),
            (before, now) => now.or(before),
        };
        progress.unreported_bytes +=
            if facts.usage.is_none() { written::text_bytes(bytes) } else { 0 };
        progress.model = facts.model;
        progress.response = response;
    }

    /// Reserves the estimate of the first question; a second one is settled with it.
    async fn reserve(&self, body: &Redacted) -> Result<(), Refusal> {
        if self.trail.attempts() > 0 {
            return Ok(());
        }
        let TicketContext { gateway, policy, caller, .. } = &self.context;
        let model = policy.intent.question.model.as_str();
        let bound = output_tokens_max(body);
        let asked =
            Asked { makes: Makes::Text, bound, choices: 1, longest: output::longest(model) };
        let expected = asked.expected(body.as_bytes().len() as u64);
        self.judge_by_candidate(expected);
        let work = Work { targets: &[(&self.target.name, None)], model, expected };
        let reserved =
            (Counting { gateway, policy, counts_only: false }).reserve(caller, work).await;
        let mut progress = self.progress();
        progress.is_over_limit = reserved.is_err();
        // The ticket has been read, so that the connection can be used again.
        progress.reserved = reserved.map_err(|refusal| Refusal { close: false, ..refusal })?;
        Ok(())
    }

    /// The question under the candidate policy, if there is one.
    fn judge_by_candidate(&self, expected: Expected) {
        let Some(shadow) = &self.shadow else { return };
        let TicketContext { gateway, policy, .. } = &self.context;
        let asked = shadow::Asked {
            policy,
            facts: &Facts::default(),
            to: shadow::To::Ticket,
            targets: &Targets::only(Arc::clone(&self.target), policy.timeouts),
            model: Some(policy.intent.question.model.as_str()),
            is_guided: false,
            expected,
        };
        lock(shadow).judge_body(gateway, &asked);
    }

    /// Sends a question; returns the whole answer.
    async fn send(&self, body: Redacted) -> Result<Bytes, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION"))),
        );
        let TicketContext { gateway, policy, caller, party, work_deadline, .. } = &self.context;
        let (body, room) = (Outgoing::Whole(body), gateway.tenants.bytes.of(party));
        let turns = &gateway.turns;
        let apart = |job| turns.apart(turns.group(caller), job);
        let call = Call {
            caller: caller.org.as_str(),
            // Tickets need a JWT.
            is_known: true,
            method: &Method::POST,
            path_and_query: self.exchange.path(),
            headers: &headers,
            forwarded: &HeaderMap::new(),
            body: &body,
            room: &room,
            model: Some(&policy.intent.question.model),
            model_at: None,
            is_form: false,
            translatable: (!self.target.takes(self.exchange.format)).then(|| Translatable {
                call: translate::Call {
                    format: self.exchange.format,
                    operation: Operation::Generate,
                    id: "ticket",
                    created: u64::try_from(gateway.clock.wall_ms() / 1000).unwrap_or(0),
                },
                model: &policy.intent.question.model,
                // The question is the gateway's own: the options that a target has are enough.
                on_loss: OnLoss::Note,
            }),
            apart: &apart,
            own_key: None,
            stateful: false,
            // A second question on a ticket has only the retries that the first one left.
            attempts_before: u32::from(self.trail.attempts()),
            deadline: *work_deadline,
        };
        let targets = Targets::only(Arc::clone(&self.target), policy.timeouts);
        let answer = gateway.upstream.call(policy, &targets, &call, &self.trail).await;
        let answer = answer.map_err(|no_answer| refusal_of(&no_answer))?;
        let success = answer.head.status.is_success();
        let refused =
            refusal_of_status(answer.head.status.as_u16(), retry_after(&answer), answer.is_final);
        let bytes = match answer.body {
            AnswerBody::Whole(bytes) => bytes,
            // Not labelled as JSON; it is read all the same, because it was paid for.
            AnswerBody::Streaming(_, rest) if success => {
                whole(rest, policy.timeouts.idle, &room).await.ok_or(refused.clone())?
            }
            AnswerBody::Streaming(..) => return Err(refused),
        };
        self.note_answer(&bytes);
        if success { Ok(bytes) } else { Err(refused) }
    }
}

/// The bound that a question sets to its answer.
fn output_tokens_max(body: &Redacted) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Bounded {
        max_tokens: Option<u64>,
    }
    serde_json::from_slice::<Bounded>(body.as_bytes()).ok()?.max_tokens
}

fn unavailable(retry_after: Option<Duration>) -> Refusal {
    no_answer_refusal(&NoAnswer::Unavailable { retry_after })
}

/// The refusal of a ticket that the provider did not answer.
fn refusal_of(no_answer: &NoAnswer) -> Refusal {
    match no_answer {
        NoAnswer::Unavailable { .. } | NoAnswer::Timeout => no_answer_refusal(no_answer),
        // A question is whole before it is sent.
        NoAnswer::BodyBroken | NoAnswer::Invalid | NoAnswer::Untranslatable(_) => unavailable(None),
        NoAnswer::Exhausted => unavailable(Some(Duration::from_secs(1))),
    }
}

/// The refusal of a ticket whose question the provider answered with an error. To a help desk, an
/// error means that the service is unavailable; the statuses that say when to come back are kept, as
/// those of any call are.
fn refusal_of_status(status: u16, retry_after: Option<Duration>, is_final: bool) -> Refusal {
    let (code, message) = match status {
        429 => (
            Code::RateLimitExceeded,
            "The AI service has reached the limit of its provider. Please try again later.",
        ),
        408 | 409 => (
            Code::ProviderUnavailable,
            "The AI service could not complete the request. Please try again later.",
        ),
        _ => return unavailable(retry_after),
    };
    let (provider_status, lasting) = (Some(status), is_final);
    Refusal { retry_after, provider_status, lasting, ..Refusal::new(code, message) }
}

/// An answer that was not gathered before, if it is short.
async fn whole(rest: Incoming, idle: Duration, room: &Share) -> Option<Bytes> {
    match gathered(rest, idle, room).await {
        Ok((AnswerBody::Whole(bytes), _)) => Some(bytes),
        Ok((AnswerBody::Streaming(..), _)) | Err(_) => None,
    }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = |name: &str| answer.head.headers.get(name).and_then(|v| v.to_str().ok());
    retry::retry_after(text("retry-after-ms"), text("retry-after"), clock::wall_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Outcome;

    #[test]
    fn a_provider_s_limit_and_conflict_keep_their_status() {
        let wait = Some(Duration::from_secs(60));
        for (status, expected) in [
            (429, (429, "rate_limit_exceeded", Outcome::ProviderRateLimited, true)),
            (409, (409, "provider_unavailable", Outcome::ClientError, true)),
            (408, (408, "provider_unavailable", Outcome::ClientError, true)),
            (400, (503, "provider_unavailable", Outcome::ProviderError, true)),
            (500, (503, "provider_unavailable", Outcome::ProviderError, true)),
        ] {
            let refused = refusal_of_status(status, wait, true);
            let told =
                (refused.status(), refused.code.as_str(), refused.outcome(), refused.is_final());
            assert_eq!((told, refused.retry_after), (expected, wait), "{status}");
        }
    }
}
