//! The refusal of a call that no provider answered.
//!
//! Stage 10 of the walk. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::refusal::{self, Refusal, Tried};
use super::translation;
use crate::code::Code;
use crate::upstream::{NoAnswer, Trail};

/// The attempts of a call that no provider answered.
pub fn tried(trail: &Trail) -> Box<Tried> {
    let (provider, detail) = trail.told();
    let provider = provider.map(|provider| Arc::clone(&provider.name));
    Box::new(Tried { provider, attempts: trail.attempts(), detail })
}

/// The refusal of a call that no provider answered.
pub fn no_answer_refusal(no_answer: &NoAnswer) -> Refusal {
    match no_answer {
        NoAnswer::Unavailable { retry_after } => {
            let message =
                "The AI service is temporarily unavailable. Please try again in a few seconds.";
            Refusal::new(Code::ProviderUnavailable, message)
                .after(retry_after.unwrap_or(Duration::from_secs(5)))
        }
        NoAnswer::Timeout => {
            let message = "The AI service took too long to answer. Please try again.";
            Refusal::new(Code::ProviderTimeout, message).after(Duration::from_secs(5))
        }
        NoAnswer::Exhausted => refusal::overloaded(),
        NoAnswer::Invalid => {
            let message = "The AI service gave an answer that could not be read. Please try again.";
            Refusal::new(Code::ProviderAnswerInvalid, message)
        }
        NoAnswer::Untranslatable(refused) => translation::refusal(refused),
        NoAnswer::BodyBroken => {
            Refusal::new(Code::InvalidRequest, "the request body could not be read to its end")
                .closing()
        }
    }
}
