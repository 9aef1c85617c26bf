//! An error that the gateway itself returns, before it becomes bytes.
//!
//! Any stage of the walk may end in one. Does not: become bytes here (see `server/reply`), or hold
//! text of a body, a credential or a provider's name for a host.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tollgate_wire::translate::error;

use crate::code::{Code, Outcome};
use crate::ids::RequestId;
use crate::limit::bucket::Decision;
use crate::share::{Resource, Short};

/// Why a call ends here.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: Code,
    /// For a person: what is wrong and what to do.
    pub message: Cow<'static, str>,
    /// The field or header concerned.
    pub param: Option<Cow<'static, str>>,
    pub retry_after: Option<Duration>,
    /// The limit that refuses, `org:requests_per_minute`; empty if none does.
    pub limited_by: Cow<'static, str>,
    /// The organisation's quota, where it was asked.
    pub quota: Option<Decision>,
    /// The value of `x-tollgate-budget`, over a limit.
    pub budget: Option<Box<str>>,
    /// The wait is longer than a client should sit out (a budget is used up).
    pub lasting: bool,
    /// The status of the provider's own refusal, where it stands in place of the code's.
    pub provider_status: Option<u16>,
    /// `allow` of a 405.
    pub allow: Option<&'static str>,
    /// The attempts at providers, where it came to that.
    pub tried: Option<Box<Tried>>,
    /// The connection cannot be used again (its framing is in doubt, or a body was left unread).
    pub close: bool,
}

/// The attempts of a call that has no answer.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The name of the last attempt's provider; none if every circuit was open.
    pub provider: Option<Arc<str>>,
    pub attempts: u8,
    /// How each attempt ended: `openai 503 120ms, local open`.
    pub detail: String,
}

impl Refusal {
    /// A refusal with a message and nothing else.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
            param: None,
            retry_after: None,
            limited_by: Cow::Borrowed(""),
            quota: None,
            budget: None,
            lasting: false,
            provider_status: None,
            allow: None,
            tried: None,
            close: false,
        }
    }

    /// A refusal with the general message of its code.
    pub fn of(code: Code) -> Refusal {
        Refusal::new(code, code.message())
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        self.provider_status.unwrap_or(self.code.status())
    }

    /// The outcome of the call in its row.
    pub fn outcome(&self) -> Outcome {
        self.provider_status.map_or(self.code.outcome(), Outcome::of_status)
    }

    /// Names the field concerned.
    pub fn about(mut self, param: impl Into<Cow<'static, str>>) -> Refusal {
        self.param = Some(param.into());
        self
    }

    /// Says when to come back.
    pub fn after(mut self, wait: Duration) -> Refusal {
        self.retry_after = Some(wait);
        self
    }

    /// Ends the connection after the answer.
    pub fn closing(mut self) -> Refusal {
        self.close = true;
        self
    }

    /// The error as the SDKs of the endpoint's API know it: Anthropic's at its endpoints, else
    /// OpenAI's.
    pub fn to_json(&self, is_anthropic: bool) -> serde_json::Value {
        if is_anthropic {
            let kind = error::anthropic_type(self.status());
            return serde_json::json!({
                "type": "error",
                "error": {"type": kind, "message": self.message, "code": self.code.as_str()},
            });
        }
        serde_json::json!({"error": {
            "message": self.message,
            "type": self.code.kind(),
            "param": self.param,
            "code": self.code.as_str(),
        }})
    }

    /// Writes the log line of a server error: the provider, how each attempt ended or else the
    /// cause, the number of attempts and the call's id.
    pub fn log(&self, request_id: &RequestId) {
        let (status, code, request_id) = (self.status(), self.code.as_str(), request_id.as_str());
        if self.code == Code::Overloaded {
            // Counted only; a line for each would let a flood of calls fill the log.
            tracing::debug!(
                event = "call_refused_at_bound",
                cause = &*self.message,
                request_id,
                "call refused at a bound"
            );
        } else if status >= 500 && self.code != Code::NotSupported {
            let tried = self.tried.as_deref();
            let provider = tried.and_then(|tried| tried.provider.as_deref()).unwrap_or_default();
            let detail = tried.map(|tried| tried.detail.as_str()).filter(|d| !d.is_empty());
            let cause = detail.unwrap_or(&self.message);
            let attempts = tried.map_or(0, |tried| tried.attempts);
            tracing::warn!(
                event = "call_failed",
                status,
                code,
                provider,
                cause,
                attempts,
                request_id,
                "call failed"
            );
        }
    }

    /// Whether the client's SDK should not try again: the gateway has done it, it would wait for
    /// hours, or the same request would be refused again.
    pub fn is_final(&self) -> bool {
        self.lasting || !self.code.may_pass_later()
    }
}

/// The refusal of a call that gets no share of a bound.
pub fn short_of(resource: Resource, short: Short) -> Refusal {
    if short == Short::Bound {
        return overloaded();
    }
    let message = match resource {
        Resource::Connections => {
            "your share of the gateway's connections is used up; use fewer, and keep them open"
        }
        Resource::Readers => {
            "too many of your calls are still sending their request bodies; wait for some of them"
        }
        Resource::Calls => {
            "your share of the gateway's calls in flight is used up; wait for some of them to end"
        }
        Resource::Bytes => {
            "your calls use up your share of the gateway's memory; wait for some of them to end"
        }
        Resource::DecoderBytes => {
            "your compressed request bodies use up your share of the gateway's memory; send them \
             as they are, or \
             fewer at once"
        }
        Resource::Background => {
            "your share of the work in the background is used up; wait for some of it to end"
        }
    };
    Refusal { message: message.into(), ..overloaded() }
}

/// The refusal of a call when a bound of the gateway itself is reached.
pub fn overloaded() -> Refusal {
    Refusal::of(Code::Overloaded).after(Duration::from_secs(1)).closing()
}
