//! A row of the log as a policy is asked about it.
//!
//! Pure data. Does not: read a store (see `report/export`).

use tollgate_wire::usage::TokenUsage;

/// A row of the log, as far as a policy can be asked about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoggedCall<'a> {
    pub(crate) id: String,
    pub(crate) created_at_ms: i64,
    pub(crate) org: &'a str,
    /// Key or user; empty if it is not known.
    pub(crate) caller: &'a str,
    /// A ticket.
    pub(crate) is_ticket: bool,
    /// Canonical path.
    pub(crate) endpoint: &'a str,
    /// The provider that was asked first; empty if none was.
    pub(crate) provider: &'a str,
    /// As asked for.
    pub(crate) model: &'a str,
    /// The cheaper model that was asked because of a budget; empty if none was.
    pub(crate) downgraded: &'a str,
    /// As answered.
    pub(crate) response_model: &'a str,
    pub(crate) is_ok: bool,
    /// The gateway's own error; empty if there is none.
    pub(crate) error_code: &'a str,
    /// The limit that refused; empty if none did.
    pub(crate) limited_by: &'a str,
    pub(crate) attempts: u32,
    pub(crate) latency_ms: u64,
    pub(crate) usage: TokenUsage,
    /// The usage is known.
    pub(crate) has_usage: bool,
    pub(crate) cost_nano_usd: Option<i64>,
    pub(crate) emails: u32,
    pub(crate) phones: u32,
    /// Everything else that was taken out.
    pub(crate) others: u32,
    pub(crate) attachments: u32,
    /// `count:phone=2,drop_message=1,reject:iban=1`.
    pub(crate) actions: &'a str,
    /// The redacted request, if it was captured.
    pub(crate) request: Option<&'a [u8]>,
    /// The captured request is not whole.
    pub(crate) is_cut: bool,
    pub(crate) request_bytes: u64,
    pub(crate) prompt_chars: u64,
    /// The request's bound on its answer; 0 if there is none.
    pub(crate) max_tokens: u64,
    pub(crate) policy_version: &'a str,
    /// Calls that the row stands for.
    pub(crate) calls: u32,
}

impl LoggedCall<'_> {
    /// Whether the policy in force refused it, and not a provider or a defect.
    pub(crate) fn was_refused(&self) -> bool {
        match self.error_code {
            "rate_limit_exceeded" => !self.limited_by.is_empty() && self.limited_by != "provider",
            code => REFUSALS.contains(&code),
        }
    }

    /// The model that a provider was asked for.
    pub(crate) fn asked(&self) -> &str {
        if self.downgraded.is_empty() { self.model } else { self.downgraded }
    }

    /// Whether it was refused before its body was read.
    pub(crate) fn ended_at_head(&self) -> bool {
        !self.error_code.is_empty() && self.attempts == 0 && self.request_bytes == 0
    }
}

/// The codes of a policy besides that of limits, see `verdict::is_of_policy`.
const REFUSALS: [&str; 6] = [
    "attachments_not_allowed",
    "sensitive_data",
    "model_not_found",
    "wrong_endpoint",
    "endpoint_not_allowed",
    "feature_disabled",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::judge::verdict::is_of_policy;

    #[test]
    fn the_codes_of_a_policy_are_those_of_calls_in_progress() {
        for code in Code::ALL {
            for limited_by in ["", "provider", "org:requests_per_minute"] {
                let error_code = code.as_str();
                let row = LoggedCall { error_code, limited_by, ..LoggedCall::default() };
                assert_eq!(row.was_refused(), is_of_policy(*code, limited_by), "{code:?}");
            }
        }
    }
}
