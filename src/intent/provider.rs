//! The provider interface of the ticket endpoint: a ticket goes in, what it is about comes out.
//!
//! The walk of a ticket knows [`AiProvider`]. [`Adapter`] makes one of a [`TextExchange`] (the format of question and answer) and
//! a [`Carrier`] (the way of a question to the provider, with its retries, limits and record). Guarantees: title and body pass
//! the redactor before anything is built of them; the answer is read strictly; an answer without any JSON is followed by at
//! most one further question, if the policy asks for it. Does not send, wait or log by itself.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tollgate_wire::{Format, ProviderKind, TextExchange};

use super::parse::parse;
use super::prompt::{self, Question};
use super::ticket::{IntentRequest, IntentResponse};
use crate::code::Code;
use crate::redact::{Ledger, RedactError, Redacted, Rules, TextsRedactor};

/// Something that takes its time.
pub type Eventually<'a, T> = Pin<Box<dyn Future<Output = Result<T, IntentError>> + Send + 'a>>;

/// Whoever can say what a ticket is about.
pub trait AiProvider: Send + Sync {
    /// Classifies one ticket.
    ///
    /// # Errors
    /// There was no answer; an answer that makes no sense is one without category and priority.
    ///
    /// # Cancel safety
    /// Dropping it ends the call that is under way.
    fn classify_intent(&self, request: IntentRequest) -> Eventually<'_, IntentResponse>;
}

/// Why there is no classification. `Display` is for logs and holds nothing of the ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    /// The provider failed, and the attempts are used up.
    #[error("the provider is not available")]
    Unavailable { retry_after: Option<Duration> },
    /// There was no answer in time.
    #[error("the provider took too long")]
    Timeout,
    /// The caller is over a limit, or the gateway at a bound: nothing was sent.
    #[error("{message}")]
    Refused { code: Code, message: String, retry_after: Option<Duration>, lasting: bool },
    /// The ticket holds an attachment where the policy says `reject`.
    #[error("{0}")]
    Attachment(String),
    /// A defect of the redactor: nothing was sent.
    #[error("the ticket could not be redacted")]
    NotRedacted,
}

/// How a question reaches a provider.
pub trait Carrier: Send + Sync {
    /// Sends a request body and gives the whole answer. `ledger` is what was taken out of the ticket.
    fn carry(&self, path: &'static str, format: Format, body: Redacted, ledger: Ledger) -> Eventually<'_, Bytes>;
    /// Whether one more question is within the retry allowance.
    fn may_ask_again(&self) -> bool;
    /// Does work on the ticket, step by step, until a step says that it was the last. A step is given the bytes that it may
    /// work on; between steps other tasks run.
    fn work<'w>(
        &'w self,
        step: &'w mut (dyn FnMut(usize) -> bool + Send),
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'w>>;
}

/// A provider that is asked in the format of its kind.
pub struct Adapter<C> {
    exchange: &'static TextExchange,
    question: Arc<Question>,
    rules: Arc<Rules>,
    carrier: C,
}

impl<C: Carrier> Adapter<C> {
    /// A provider of this kind. `rules` are the redaction of the ticket's organisation.
    pub fn new(kind: ProviderKind, question: Arc<Question>, rules: Arc<Rules>, carrier: C) -> Adapter<C> {
        Adapter { exchange: kind.text_exchange(), question, rules, carrier }
    }

    /// The text of the provider's answer.
    async fn ask(&self, request: &IntentRequest, again: bool) -> Result<String, IntentError> {
        let (body, ledger) = self.body(request, again).await?;
        let answer = self.carrier.carry(self.exchange.path(), self.exchange.format, body, ledger).await?;
        Ok(self.exchange.text(&answer))
    }

    /// What is sent, and what was taken out of the ticket for it.
    async fn body(&self, request: &IntentRequest, again: bool) -> Result<(Redacted, Ledger), IntentError> {
        let instructions = prompt::instructions(&self.question, &request.org_id, again);
        // Only the ticket passes the redactor: what the gateway writes around it is its own.
        let mut texts = TextsRedactor::new(&self.rules, [request.title.clone(), request.body.clone()]);
        let mut broken = false;
        let mut step = |bytes| match catch_unwind(AssertUnwindSafe(|| texts.step(bytes))) {
            Ok(over) => over,
            Err(_) => {
                broken = true;
                true
            }
        };
        self.carrier.work(&mut step).await;
        if broken {
            return Err(IntentError::NotRedacted);
        }
        let redacted = catch_unwind(AssertUnwindSafe(|| {
            texts.finish(|[title, body]| {
                let ticket = prompt::ticket(title, body);
                prompt::request(&self.question, self.exchange, &instructions, &ticket).to_string()
            })
        }));
        match redacted {
            Ok(Ok(redacted)) => Ok(redacted),
            Ok(Err(error @ RedactError::Attachment { .. })) => Err(IntentError::Attachment(error.to_string())),
            Ok(Err(_)) | Err(_) => Err(IntentError::NotRedacted),
        }
    }
}

impl<C: Carrier> AiProvider for Adapter<C> {
    fn classify_intent(&self, request: IntentRequest) -> Eventually<'_, IntentResponse> {
        Box::pin(async move {
            let answer = self.ask(&request, false).await?;
            if let Some(intent) = parse(&answer, &self.question) {
                return Ok(intent);
            }
            if !self.question.repair || !self.carrier.may_ask_again() {
                return Ok(IntentResponse::default());
            }
            // There was an answer; that it could not be bettered is no reason to fail.
            let answer = self.ask(&request, true).await.unwrap_or_default();
            Ok(parse(&answer, &self.question).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::super::prompt::tests::question;
    use super::*;
    use crate::ids::OrgId;
    use crate::redact::{Attachments, RulesSpec};

    /// Plays answers in order and keeps what was asked.
    #[derive(Default)]
    struct Played {
        answers: Mutex<Vec<Result<&'static str, IntentError>>>,
        asked: Mutex<Vec<(Value, Ledger)>>,
        allowed: usize,
    }

    impl Carrier for Arc<Played> {
        fn carry(&self, _: &'static str, _: Format, body: Redacted, ledger: Ledger) -> Eventually<'_, Bytes> {
            let body = serde_json::from_slice(body.as_bytes()).expect("JSON");
            self.asked.lock().expect("lock").push((body, ledger));
            let answer = self.answers.lock().expect("lock").remove(0);
            let chat = |text| json!({"choices": [{"message": {"content": text}}]}).to_string().into();
            Box::pin(async move { answer.map(chat) })
        }

        fn may_ask_again(&self) -> bool {
            self.asked.lock().expect("lock").len() < self.allowed
        }

        fn work<'w>(
            &'w self,
            step: &'w mut (dyn FnMut(usize) -> bool + Send),
        ) -> Pin<Box<dyn Future<Output = ()> + Send + 'w>> {
            // The shortest steps find what the longest would.
            while !step(1) {}
            Box::pin(std::future::ready(()))
        }
    }

    fn classify(
        repair: bool,
        allowed: usize,
        answers: &[Result<&'static str, IntentError>],
    ) -> (Result<IntentResponse, IntentError>, Arc<Played>) {
        let spec = RulesSpec {
            entities: vec!["email".into()],
            attachments: Attachments::Reject,
            restore: false,
            restore_arguments: false,
            custom: vec![],
            terms: vec![],
            allow: vec![],
        };
        let played = Arc::new(Played { answers: Mutex::new(answers.to_vec()), allowed, ..Played::default() });
        let question = Question { repair, ..question(&["billing"], &["low"]) };
        let rules = Arc::new(Rules::compile(&spec).expect("rules"));
        let provider: Box<dyn AiProvider> =
            Box::new(Adapter::new(ProviderKind::OpenAi, Arc::new(question), rules, Arc::clone(&played)));
        let org_id = OrgId::new("acme").expect("name");
        let request = IntentRequest { title: "Refund".into(), body: "I am jane@example.com".into(), org_id };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        (runtime.block_on(provider.classify_intent(request)), played)
    }

    const GOOD: &str = r#"{"category":"billing","priority":"low","confidence":1}"#;

    #[test]
    fn a_ticket_is_redacted_asked_about_and_read() {
        let (answer, played) = classify(true, 3, &[Ok(GOOD)]);
        assert_eq!(answer.expect("answer").category.as_deref(), Some("billing"));
        let asked = played.asked.lock().expect("lock");
        let (body, ledger) = &asked[0];
        assert!(!body.to_string().contains("jane") && ledger.count("email") == 1, "{body}");
    }

    #[test]
    fn an_answer_without_json_is_asked_for_once_more_where_the_policy_says_so() {
        let unavailable = || Err(IntentError::Unavailable { retry_after: None });
        let table = [
            // (repair, questions allowed, answers, category, questions)
            (false, 3, vec![Ok("billing")], None, 1),
            (true, 3, vec![Ok("billing"), Ok(GOOD)], Some("billing"), 2),
            (true, 3, vec![Ok("billing"), Ok("no")], None, 2),
            (true, 3, vec![Ok("billing"), unavailable()], None, 2),
            (true, 1, vec![Ok("billing")], None, 1),
            // JSON that says nothing is an answer.
            (true, 3, vec![Ok("{}")], None, 1),
        ];
        for (repair, allowed, answers, category, questions) in table {
            let (answer, played) = classify(repair, allowed, &answers);
            assert_eq!(answer.expect("answer").category.as_deref(), category, "{answers:?}");
            let asked = played.asked.lock().expect("lock");
            assert_eq!(asked.len(), questions, "{answers:?}");
            let again = |body: &Value| body["messages"][0]["content"].as_str().expect("text").contains("no JSON");
            assert!(asked.iter().enumerate().all(|(n, (body, _))| again(body) == (n > 0)));
        }
    }

    #[test]
    fn without_an_answer_there_is_an_error() {
        let (answer, _) = classify(true, 3, &[Err(IntentError::Timeout)]);
        assert_eq!(answer, Err(IntentError::Timeout));
    }
}
