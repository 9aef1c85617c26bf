//! One row of the `AILog`: what is kept of a call.
//!
//! Stage 9 of the walk. Data only. Text is [`Redacted`] or comes from a closed set or the configuration.
//! Names of columns are the public contract; GenAI words follow the OpenTelemetry GenAI conventions (status
//! Development, read in November 2026).

use std::borrow::Cow;
use std::sync::Arc;

use tollgate_wire::usage::{TokenUsage, UsageSource};
use uuid::Uuid;

use crate::code::Code;
use crate::ids::{OrgId, RequestId};
use crate::redact::Redacted;

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    /// The client's own mistake.
    ClientError,
    /// Over the organisation's limit, or the provider's.
    RateLimited,
    ProviderError,
    Timeout,
    /// The client left before its answer was complete.
    ClientDisconnect,
    /// The gateway's own no: overload, a defect.
    Refused,
}

impl Outcome {
    /// The form used in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::ClientError => "client_error",
            Outcome::RateLimited => "rate_limited",
            Outcome::ProviderError => "provider_error",
            Outcome::Timeout => "timeout",
            Outcome::ClientDisconnect => "client_disconnect",
            Outcome::Refused => "refused",
        }
    }
}

/// Which walk a call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    Proxy,
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
    pub org_id: OrgId,
    /// Key name or JWT subject.
    pub caller: Arc<str>,
    pub route: RouteKind,
    /// Canonical path, e.g. `/v1/chat/completions`.
    pub endpoint: Cow<'static, str>,
    /// Name of the provider that answered, or was tried last.
    pub provider: Arc<str>,
    /// As asked for.
    pub model: String,
    /// As answered.
    pub response_model: String,
    pub stream: bool,
    /// Status the client got; 499 for one that left before it got any.
    pub status: u16,
    pub outcome: Outcome,
    pub error_code: Option<Code>,
    /// Sends to a provider.
    pub attempts: u8,
    pub latency_ms: u32,
    /// Until the provider's first byte; 0 where there was none.
    pub ttfb_ms: u32,
    /// Spent in the gateway itself.
    pub gateway_us: u32,
    pub usage: TokenUsage,
    pub usage_source: UsageSource,
    /// 10⁻⁹ USD; absent when unpriced.
    pub cost_nano_usd: Option<i64>,
    pub redacted_emails: u32,
    pub redacted_phones: u32,
    pub redacted_other: u32,
    pub attachments_dropped: u32,
    /// Absent where capture is off.
    pub request: Option<Redacted>,
    /// Absent where capture is off.
    pub response: Option<Redacted>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// One of the captured bodies was cut.
    pub truncated: bool,
    pub category: Option<String>,
    pub priority: Option<String>,
    pub confidence: Option<f64>,
    pub request_id: RequestId,
    pub policy_version: Arc<str>,
    /// Calls this row stands for: 1, or more where a flood of refused calls was folded into one row.
    pub calls: u32,
    /// The price list that `cost_nano_usd` is from; absent where the call has no cost.
    pub price_version: Option<Arc<str>>,
    /// How each attempt went, in order, where there is more to say than that the first one answered.
    pub attempts_detail: String,
}

/// A UUIDv7 whose random bits come without a system call: they keep rows apart, they guard nothing.
fn row_id(created_at_ms: i64) -> Uuid {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&fastrand::u64(..).to_le_bytes());
    random[8..].copy_from_slice(&fastrand::u16(..).to_le_bytes());
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(created_at_ms).unwrap_or(0), &random).into_uuid()
}

impl Row {
    /// The row of a call that has just begun: a new id, nothing known of its course yet.
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
        }
    }
}
