//! One row of the `AILog`: the record of a call, and the columns that it becomes.
//!
//! Stage 12 of the walk. Data only. Text is [`Redacted`], or comes from a closed set or from the
//! configuration. Names of columns are the public contract; GenAI words follow the OpenTelemetry
//! GenAI conventions (status Development, read in November 2026).
//!
//! To add a column: a field of [`Row`], and an entry at the end of `columns!` below (see
//! CONTRIBUTING.md). Both stores, their migrations and the documentation follow from it.

use std::borrow::Cow;
use std::sync::Arc;

use tollgate_wire::usage::{TokenUsage, UsageSource};
use uuid::Uuid;

pub use super::row_binary::nested::{Attempt, Tag};
use super::row_binary::{Column, columns, kinds};
pub use super::traced::{Traced, TracedAttempt};
use crate::code::Code;
pub use crate::code::Outcome;
use crate::ids::{OrgId, RequestId};
use crate::redact::Redacted;
use crate::trace::{SpanId, TraceId};

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// A call to a provider's endpoint.
    Proxy,
    /// A ticket to be classified.
    Intent,
}

impl RouteKind {
    /// The form used in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            RouteKind::Proxy => "proxy",
            RouteKind::Intent => "intent",
        }
    }
}

/// One call. Units are in the names; empty text means "not known".
#[derive(Clone, Debug)]
pub struct Row {
    /// UUIDv7.
    pub id: Uuid,
    /// Milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// Organisation of the caller.
    pub org_id: OrgId,
    /// Key name or JWT subject.
    pub caller: Arc<str>,
    /// The kind of call.
    pub route: RouteKind,
    /// Canonical path, e.g. `/v1/chat/completions`.
    pub endpoint: Cow<'static, str>,
    /// Name of the provider that answered, or was tried last.
    pub provider: Arc<str>,
    /// As requested.
    pub model: String,
    /// As answered.
    pub response_model: String,
    /// The answer was requested as server-sent events.
    pub stream: bool,
    /// Status the client got; 499 if it left before it got any.
    pub status: u16,
    /// The result of the call.
    pub outcome: Outcome,
    /// The gateway's own error, if it returned one.
    pub error_code: Option<Code>,
    /// Sends to a provider.
    pub attempts: u8,
    /// Duration of the whole call.
    pub latency_ms: u32,
    /// Until the provider's first byte; 0 if there was none.
    pub ttfb_ms: u32,
    /// Spent in the gateway itself.
    pub gateway_us: u32,
    /// Tokens that the call used.
    pub usage: TokenUsage,
    /// The source of `usage`.
    pub usage_source: UsageSource,
    /// 10⁻⁹ USD; absent when unpriced.
    pub cost_nano_usd: Option<i64>,
    /// E-mail addresses taken out of the request.
    pub redacted_emails: u32,
    /// Phone numbers taken out of the request.
    pub redacted_phones: u32,
    /// Everything else taken out of the request.
    pub redacted_other: u32,
    /// Attachments taken out of the request.
    pub attachments_dropped: u32,
    /// Absent if capture is off.
    pub request: Option<Redacted>,
    /// Absent if capture is off.
    pub response: Option<Redacted>,
    /// Length of the whole request body.
    pub request_bytes: u64,
    /// Length of the whole answer body.
    pub response_bytes: u64,
    /// One of the captured bodies was cut.
    pub truncated: bool,
    /// Category of a ticket.
    pub category: Option<String>,
    /// Priority of a ticket.
    pub priority: Option<String>,
    /// Confidence in the answer to a ticket, 0 to 1.
    pub confidence: Option<f64>,
    /// `x-request-id`.
    pub request_id: RequestId,
    /// The policy under which the call was made.
    pub policy_version: Arc<str>,
    /// Calls that this row stands for: more than 1 if a flood of refused calls was folded into it.
    pub calls: u32,
    /// The price list that `cost_nano_usd` is from; absent if the call has no cost.
    pub price_version: Option<Arc<str>>,
    /// The attempts in order; empty if the first one answered.
    pub attempts_detail: String,
    /// The formats of the call and of its provider, if the call was translated: `chat>gemini`.
    pub translated: String,
    /// Request fields that the provider's format cannot express; `~name`: carried with another
    /// value.
    pub dropped_fields: String,
    /// The provider's own word for the end of the answer.
    pub finish_reason: Cow<'static, str>,
    /// Actions on matches besides placeholders: `count:phone=2,drop_message=1`.
    pub redaction_actions: String,
    /// Values taken out of the answer.
    pub answer_masked: u32,
    /// The limit that refused the call or chose a cheaper model for it: `org:requests_per_minute`, `provider`; empty if none did.
    pub limited_by: Cow<'static, str>,
    /// By `ailog.tags`.
    pub tags: Vec<Tag>,
    /// Until the first content event of a stream; 0 if there was none.
    pub first_token_ms: u32,
    /// The parts of `cost_nano_usd`; absent if the call has no cost.
    pub cost_parts: Option<CostParts>,
    /// The request has stop sequences.
    pub stop_requested: bool,
    /// The bound of the answer that the request asks for; 0 if it has none.
    pub max_tokens: u32,
    /// Characters of text for a model in the request.
    pub prompt_chars: u32,
    /// Calls of tools in the answer.
    pub tool_calls: u16,
    /// The SDK of the caller and its version; empty if its headers name none.
    pub client: String,
    /// Text of the last user message; absent if capture is off.
    pub prompt: Option<Redacted>,
    /// Text of the answer; absent if capture is off.
    pub answer: Option<Redacted>,
    /// Every attempt, in order.
    pub attempts_log: Vec<Attempt>,
    /// The model that was asked in place of `model`, because a budget was used up; empty if none was.
    pub downgraded: Arc<str>,
    /// `hit` or `miss` of the exact cache; empty if the call was none for it.
    pub cache: &'static str,
    /// The trace that the call belongs to, if its caller named one or traces are exported.
    pub trace_id: Option<TraceId>,
    /// The call's own span.
    pub span_id: Option<SpanId>,
    /// The caller's span.
    pub parent_span_id: Option<SpanId>,
    /// The parts of its trace that are no columns; `None` if it is not exported. No column.
    pub traced: Option<Box<Traced>>,
    /// The decision of the candidate policy where it differs, as JSON; else empty.
    pub shadow: String,
}

/// The parts of a cost, in 10⁻⁹ USD. The first four add up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostParts {
    /// Prompt tokens that are in none of the following.
    pub input: i64,
    /// Prompt tokens read from the provider's cache.
    pub cached: i64,
    /// Prompt tokens written to it.
    pub cache_write: i64,
    /// Answer tokens.
    pub output: i64,
    /// The additional cost of the cached tokens without the cache.
    pub saved: i64,
}

/// A UUIDv7 whose random bits need no system call: they distinguish rows, they are not a secret.
fn row_id(created_at_ms: i64) -> Uuid {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&fastrand::u64(..).to_le_bytes());
    random[8..].copy_from_slice(&fastrand::u16(..).to_le_bytes());
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(created_at_ms).unwrap_or(0), &random)
        .into_uuid()
}

/// The digits of an id as text; empty if there is none.
fn digits<const N: usize>(digits: &Option<[u8; N]>) -> &str {
    digits.as_ref().and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default()
}

impl Row {
    /// The row of a call that has just begun, with a new id.
    pub fn begin(
        created_at_ms: i64,
        org_id: OrgId,
        route: RouteKind,
        request_id: RequestId,
        policy_version: Arc<str>,
    ) -> Row {
        Row {
            id: row_id(created_at_ms),
            created_at_ms,
            org_id,
            caller: Arc::from(""),
            route,
            endpoint: Cow::Borrowed(""),
            provider: Arc::from(""),
            model: String::new(),
            response_model: String::new(),
            stream: false,
            status: 0,
            outcome: Outcome::ClientDisconnect,
            error_code: None,
            attempts: 0,
            latency_ms: 0,
            ttfb_ms: 0,
            gateway_us: 0,
            usage: TokenUsage::default(),
            usage_source: UsageSource::None,
            cost_nano_usd: None,
            redacted_emails: 0,
            redacted_phones: 0,
            redacted_other: 0,
            attachments_dropped: 0,
            request: None,
            response: None,
            request_bytes: 0,
            response_bytes: 0,
            truncated: false,
            category: None,
            priority: None,
            confidence: None,
            request_id,
            policy_version,
            calls: 1,
            price_version: None,
            attempts_detail: String::new(),
            translated: String::new(),
            dropped_fields: String::new(),
            finish_reason: Cow::Borrowed(""),
            redaction_actions: String::new(),
            answer_masked: 0,
            limited_by: Cow::Borrowed(""),
            tags: Vec::new(),
            first_token_ms: 0,
            cost_parts: None,
            stop_requested: false,
            max_tokens: 0,
            prompt_chars: 0,
            tool_calls: 0,
            client: String::new(),
            prompt: None,
            answer: None,
            attempts_log: Vec::new(),
            downgraded: Arc::from(""),
            cache: "",
            trace_id: None,
            span_id: None,
            parent_span_id: None,
            traced: None,
            shadow: String::new(),
        }
    }
}

/// The newest version of the columns; in every record of the write-ahead log. A released version is
/// never changed: a new column has the next version.
pub(crate) const SCHEMA_VERSION: u8 = 5;

/// The largest believed number of tokens of one call.
const TOKENS_MAX: u64 = 1_000_000_000_000;

columns! { |row, bodies|
    /// UUIDv7 of the row
    id: Uuid, 1, row.id;
    /// when the call began, UTC, milliseconds
    created_at: Millis, 1, row.created_at_ms;
    /// organisation of the caller
    org_id: Label, 1, row.org_id.as_str();
    /// name of the gateway key, or subject of the JWT
    caller: Text, 1, &row.caller;
    /// proxy or intent
    route: Label, 1, row.route.as_str();
    /// canonical path, e.g. /v1/chat/completions
    endpoint: Label, 1, &row.endpoint;
    /// provider that answered, or was tried last
    provider: Label, 1, &row.provider;
    /// model as asked for
    model: Label, 1, &row.model;
    /// model as answered
    response_model: Label, 1, &row.response_model;
    /// the answer was asked for as server-sent events
    stream: Bool, 1, row.stream;
    /// status the client got; 499 if it left before
    status: U16, 1, row.status;
    /// ok, client_error, rate_limited, provider_rate_limited, provider_error, timeout, client_disconnect, refused
    outcome: Label, 1, row.outcome.as_str();
    /// the gateway's own error code; empty if there is none
    error_code: Label, 1, row.error_code.map_or("", |code| code.as_str());
    /// sends to a provider
    attempts: U8, 1, row.attempts;
    /// whole call
    latency_ms: U32, 1, row.latency_ms;
    /// until the provider's first byte; 0 if there was none
    ttfb_ms: U32, 1, row.ttfb_ms;
    /// microseconds spent in the gateway itself
    gateway_us: U32, 1, row.gateway_us;
    /// all prompt tokens, cached ones included
    input_tokens: U64, 1, row.usage.input.min(TOKENS_MAX);
    /// prompt tokens read from the provider's cache
    cached_tokens: U64, 1, row.usage.cached.min(TOKENS_MAX);
    /// all answer tokens, reasoning included
    output_tokens: U64, 1, row.usage.output.min(TOKENS_MAX);
    /// answer tokens spent on reasoning
    reasoning_tokens: U64, 1, row.usage.reasoning.min(TOKENS_MAX);
    /// exact; null when the model has no price
    cost_usd: NanoUsd, 1, row.cost_nano_usd;
    /// provider, estimated or none
    usage_source: Label, 1, row.usage_source.as_str();
    /// addresses taken out of the request
    redacted_emails: U32, 1, row.redacted_emails;
    /// phone numbers taken out of the request
    redacted_phones: U32, 1, row.redacted_phones;
    /// everything else taken out of the request
    redacted_other: U32, 1, row.redacted_other;
    /// attachments taken out of the request
    attachments_dropped: U32, 1, row.attachments_dropped;
    /// redacted and cut; null where capture is off
    request: OptionalText, 1, bodies.request.as_deref();
    /// redacted and cut; null where capture is off
    response: OptionalText, 1, bodies.response.as_deref();
    /// length of the whole request body
    request_bytes: U64, 1, row.request_bytes;
    /// length of the whole answer body
    response_bytes: U64, 1, row.response_bytes;
    /// one of the captured bodies was cut
    truncated: Bool, 1, row.truncated || bodies.are_cut;
    /// of a ticket
    category: OptionalLabel, 1, row.category.as_deref();
    /// of a ticket
    priority: OptionalLabel, 1, row.priority.as_deref();
    /// of a ticket, 0 to 1
    confidence: OptionalFloat, 1, row.confidence;
    /// x-request-id
    request_id: Text, 1, row.request_id.as_str();
    /// the policy in force
    policy_version: Label, 1, &row.policy_version;
    /// calls this row stands for; more than 1 where refused calls were folded
    calls: U32, 1, row.calls;
    /// price list that cost_usd is from; empty if unpriced
    price_version: Label, 2, row.price_version.as_deref().unwrap_or_default();
    /// prompt tokens written to the provider's cache
    cache_write_tokens: U64, 2, row.usage.cache_write.min(TOKENS_MAX);
    /// prompt tokens of sound
    audio_input_tokens: U64, 2, row.usage.audio_input.min(TOKENS_MAX);
    /// answer tokens of sound
    audio_output_tokens: U64, 2, row.usage.audio_output.min(TOKENS_MAX);
    /// standard, flex, priority, scale, batch, standard_us, other_geo or other; empty if not reported
    service_tier: Label, 2, row.usage.tier.as_str();
    /// how each attempt went, where the first one did not just answer
    attempts_detail: Text, 2, &row.attempts_detail;
    /// those of cache_write_tokens that are kept for an hour
    cache_write_1h_tokens: U64, 2, row.usage.cache_write_1h.min(TOKENS_MAX);
    /// formats of a translated call, e.g. chat>anthropic; empty where bytes passed as they are
    translated: Label, 3, &row.translated;
    /// request fields that the provider's format cannot express; ~name: carried with another value
    dropped_fields: Text, 3, &row.dropped_fields;
    /// the provider's own word for the end of the answer
    finish_reason: Label, 3, &row.finish_reason;
    /// what redaction.actions did besides placeholders: count:phone=2,drop_message=1,reject:iban=1
    redaction_actions: Text, 3, &row.redaction_actions;
    /// values taken out of the answer that the call did not send (redaction.answers)
    answer_masked: U32, 3, row.answer_masked;
    /// limit that refused the call or chose a cheaper model for it, e.g. org:requests_per_minute, user:usd_per_day, provider
    limited_by: Label, 4, &row.limited_by;
    /// by ailog.tags; redacted
    tags: Tags, 4, &row.tags;
    /// until the first content event of a stream; 0 if there was none
    first_token_ms: U32, 4, row.first_token_ms;
    /// part of cost_usd: prompt tokens that the cache neither served nor took
    input_cost_usd: NanoUsd, 4, row.cost_parts.map(|parts| parts.input);
    /// part of cost_usd: prompt tokens read from the cache
    cached_cost_usd: NanoUsd, 4, row.cost_parts.map(|parts| parts.cached);
    /// part of cost_usd: prompt tokens written to the cache
    cache_write_cost_usd: NanoUsd, 4, row.cost_parts.map(|parts| parts.cache_write);
    /// part of cost_usd: answer tokens
    output_cost_usd: NanoUsd, 4, row.cost_parts.map(|parts| parts.output);
    /// cached_tokens times the difference between the rates of input and of cached input; for cache = hit, the cost of the first call
    saved_by_cache_usd: NanoUsd, 4, row.cost_parts.map(|parts| parts.saved);
    /// the request has stop sequences
    stop_requested: Bool, 4, row.stop_requested;
    /// bound of the answer as asked for, in tokens; 0 if there is none
    max_tokens: U32, 4, row.max_tokens;
    /// characters of text for a model in the request
    prompt_chars: U32, 4, row.prompt_chars;
    /// calls of tools in the answer
    tool_calls: U16, 4, row.tool_calls;
    /// name and version of the caller's SDK, e.g. openai-python/2.9.0; empty if not known
    client: Label, 4, &row.client;
    /// text of the last user message, redacted and cut; null where capture is off
    prompt: OptionalText, 4, bodies.prompt;
    /// text of the answer, redacted and cut; null where capture is off
    answer: OptionalText, 4, bodies.answer;
    /// every attempt: provider, status (0 if no answer came), error, ms
    attempts_log: Attempts, 4, &row.attempts_log;
    /// hit or miss of the exact cache; empty if the call was none for it
    cache: Label, 5, row.cache;
    /// model that was asked in place of model, because a budget (limited_by) was used up
    downgraded: Label, 5, &row.downgraded;
    /// trace of the call, 32 hex digits; empty if its caller named none and traces are not exported
    trace_id: Text, 5, digits(&row.trace_id.map(TraceId::digits));
    /// span of the call, 16 hex digits; empty if it has no trace
    span_id: Text, 5, digits(&row.span_id.map(SpanId::digits));
    /// the caller's span; empty if it named none
    parent_span_id: Text, 5, digits(&row.parent_span_id.map(SpanId::digits));
    /// JSON of what the candidate policy in shadow/ would have decided, where it differs; empty if nothing does
    shadow: Text, 5, &row.shadow;
}
