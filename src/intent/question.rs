//! The request body of a question about a ticket, redacted in steps.
//!
//! Pure. Only the ticket passes the redactor: the instructions are the gateway's own.
//!
//! Guarantees: title and body of the ticket are in the question in no other form than redacted; a
//! defect of the redactor is an error. Does not send the question.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tollgate_wire::TextExchange;

use super::prompt::{self, Question};
use super::ticket::IntentRequest;
use crate::redact::{Ledger, RedactError, Redacted, Rules, TextsRedactor};

/// A question that is being redacted.
pub struct QuestionBody<'q> {
    question: &'q Question,
    exchange: &'static TextExchange,
    instructions: String,
    ticket: TextsRedactor<2>,
    is_broken: bool,
}

impl<'q> QuestionBody<'q> {
    /// A question about a ticket, in the format of `exchange`. `again`: the last answer held no
    /// JSON.
    pub fn new(
        question: &'q Question,
        exchange: &'static TextExchange,
        rules: &Rules,
        request: &IntentRequest,
        again: bool,
    ) -> QuestionBody<'q> {
        QuestionBody {
            question,
            exchange,
            instructions: prompt::instructions(question, &request.org_id, again),
            ticket: TextsRedactor::new(rules, [request.title.clone(), request.body.clone()]),
            is_broken: false,
        }
    }

    /// Redacts at most the next `bytes_max` bytes of the ticket; returns whether that was all.
    pub fn step(&mut self, bytes_max: usize) -> bool {
        let over = catch_unwind(AssertUnwindSafe(|| self.ticket.step(bytes_max)));
        self.is_broken |= over.is_err();
        over.unwrap_or(true)
    }

    /// The request body, and the redactions in the ticket.
    ///
    /// # Errors
    /// The ticket holds an attachment and the policy says `reject`, or the redactor is broken.
    pub fn finish(self) -> Result<(Redacted, Ledger), RedactError> {
        let QuestionBody { question, exchange, instructions, ticket, is_broken } = self;
        if is_broken {
            return Err(RedactError::Internal);
        }
        let redacted = catch_unwind(AssertUnwindSafe(|| {
            ticket.finish(|[title, body]| {
                let message = prompt::ticket(title, body);
                prompt::request(question, exchange, &instructions, &message).to_string()
            })
        }));
        redacted.unwrap_or(Err(RedactError::Internal))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tollgate_wire::ProviderKind;

    use super::super::prompt::tests::question;
    use super::*;
    use crate::ids::OrgId;
    use crate::redact::{Attachments, RulesSpec};

    fn body(text: &str, step_bytes: usize, again: bool) -> Result<(Value, Ledger), RedactError> {
        let spec = RulesSpec {
            entities: vec!["email".into()],
            attachments: Attachments::Reject,
            ..RulesSpec::default()
        };
        let rules = Rules::compile(&spec).expect("rules");
        let question = question(&["billing"], &["low"]);
        let org_id = OrgId::new("acme").expect("name");
        let request = IntentRequest { title: "Refund".into(), body: text.into(), org_id };
        let exchange = ProviderKind::OpenAi.text_exchange();
        let mut body = QuestionBody::new(&question, exchange, &rules, &request, again);
        while !body.step(step_bytes) {}
        let (body, ledger) = body.finish()?;
        Ok((serde_json::from_slice(body.as_bytes()).expect("JSON"), ledger))
    }

    #[test]
    fn the_ticket_is_redacted_whatever_the_steps() {
        let (whole, ledger) = body("I am jane@example.com", 1 << 20, false).expect("body");
        assert!(!whole.to_string().contains("jane"), "{whole}");
        assert!(
            whole["messages"][1]["content"].as_str().expect("text").contains("[REDACTED_EMAIL]"),
            "{whole}"
        );
        assert_eq!(ledger.count("email"), 1);
        assert_eq!(body("I am jane@example.com", 1, false).expect("body").0, whole);
    }

    #[test]
    fn a_second_question_says_that_the_answer_was_no_json() {
        for again in [false, true] {
            let (body, _) = body("x", 100, again).expect("body");
            let instructions = body["messages"][0]["content"].as_str().expect("text");
            assert_eq!(instructions.contains("no JSON"), again, "{instructions}");
        }
    }

    #[test]
    fn an_attachment_is_an_error() {
        let text = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAA";
        assert!(matches!(body(text, 100, false), Err(RedactError::Attachment { .. })));
    }
}
