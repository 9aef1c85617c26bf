//! Errors of Google's APIs: `{"error": {code, message, status, details[]}}`, also in a list.

use serde::Deserialize;

use crate::lenient::{Count, Lenient, Text};
use crate::translate::error::{self, ProviderError};

/// Entries of a list that are looked at.
const ENTRIES_MAX: usize = 16;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    error: Lenient<Inner<'a>>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(default)]
    code: Count,
    #[serde(borrow, default)]
    details: Option<&'a serde_json::value::RawValue>,
}

/// The facts that a detail may state: how long to wait, and which quota is used up.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    #[serde(borrow, default)]
    retry_delay: Text<'a>,
    #[serde(borrow, default)]
    violations: Option<Vec<Lenient<Violation<'a>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Violation<'a> {
    #[serde(borrow, default)]
    quota_id: Text<'a>,
    #[serde(borrow, default)]
    quota_metric: Text<'a>,
}

/// Reads an error body.
pub(crate) fn read(status: u16, body: &[u8]) -> ProviderError {
    let body = object_of(body);
    let mut error = error::read_error(status, body);
    let details = serde_json::from_slice::<Body<'_>>(body).ok();
    let details = details.and_then(|body| body.error.0).and_then(|inner| inner.details);
    let Some(details) = details else { return error };
    // One odd entry must not hide the others.
    let Ok(entries) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(details.get())
    else {
        return error;
    };
    for entry in entries.into_iter().take(ENTRIES_MAX) {
        let Ok(detail) = serde_json::from_str::<Details<'_>>(entry.get()) else { continue };
        if let Some(delay) = detail.retry_delay.0.as_deref().and_then(milliseconds) {
            error.retry_after_ms = Some(delay);
        }
        let violations = detail.violations.unwrap_or_default();
        error.is_final |= violations.iter().take(ENTRIES_MAX).any(is_per_day);
    }
    error
}

/// Reads the error that a stream reports: the status is in the body.
pub(crate) fn read_in_stream(data: &str) -> ProviderError {
    let mut error = read(500, data.as_bytes());
    let body = serde_json::from_slice::<Body<'_>>(object_of(data.as_bytes())).ok();
    let code = body.and_then(|body| body.error.0).and_then(|inner| inner.code.0);
    error.status = match code.and_then(|code| u16::try_from(code).ok()) {
        Some(status @ 400..600) => status,
        _ => status_of_word(&error.code),
    };
    error
}

/// The object, which may stand in a list.
fn object_of(body: &[u8]) -> &[u8] {
    let list = serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(body);
    match list.as_deref() {
        Ok([first, ..]) => first.get().as_bytes(),
        _ => body,
    }
}

fn is_per_day(violation: &Lenient<Violation<'_>>) -> bool {
    let Some(violation) = &violation.0 else { return false };
    let says = |text: &Text<'_>| {
        let text = text.0.as_deref().unwrap_or_default();
        text.contains("PerDay") || text.contains("per_day")
    };
    says(&violation.quota_id) || says(&violation.quota_metric)
}

/// `45.8s` in milliseconds, rounded up.
fn milliseconds(delay: &str) -> Option<u64> {
    let seconds = delay.strip_suffix('s')?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = |text: &str| text.get(..3).unwrap_or(text).parse::<u64>().ok();
    let thousandths = match fraction.len() {
        0 => 0,
        1 => digits(fraction)? * 100,
        2 => digits(fraction)? * 10,
        _ => digits(fraction)? + u64::from(fraction[3..].bytes().any(|digit| digit != b'0')),
    };
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(thousandths)
}

/// The HTTP status of a word of Google's.
fn status_of_word(word: &str) -> u16 {
    match word {
        "invalid_argument" | "failed_precondition" | "out_of_range" => 400,
        "unauthenticated" => 401,
        "permission_denied" => 403,
        "not_found" => 404,
        "resource_exhausted" => 429,
        "cancelled" => 499,
        "unavailable" => 503,
        "deadline_exceeded" => 504,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        for (text, expected) in [
            ("45.8s", Some(45_800)),
            ("30s", Some(30_000)),
            ("0.000000001s", Some(1)),
            ("1.25s", Some(1_250)),
            ("1.2501s", Some(1_251)),
            ("s", None),
            ("-1s", None),
            ("1.-s", None),
            ("99999999999999999999s", None),
            ("10", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn error_bodies() {
        let quota = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]},
            {"retryDelay":7},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"45.8s"}]}}"#;
        let minute = quota.replace("PerDay", "PerMinute");
        let in_list = format!("[{minute}]");
        for (body, code, delay, is_final) in [
            (quota, "resource_exhausted", Some(45_800), true),
            (&minute, "resource_exhausted", Some(45_800), false),
            (&in_list, "resource_exhausted", Some(45_800), false),
            (
                r#"{"error":{"message":"m","status":"INTERNAL","details":7}}"#,
                "internal",
                None,
                false,
            ),
        ] {
            let error = read(429, body.as_bytes());
            assert_eq!(
                (error.code.as_str(), error.message.as_str(), error.retry_after_ms, error.is_final),
                (code, "m", delay, is_final),
                "{body}"
            );
        }
        for odd in ["", "[]", "null", "<html>", "{\"error\":7}"] {
            assert_eq!(read(503, odd.as_bytes()).status, 503, "{odd}");
        }
        for (data, status) in [
            (r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#, 503),
            (r#"[{"error":{"status":"RESOURCE_EXHAUSTED"}}]"#, 429),
            (r#"{"error":{"code":7,"status":"DEADLINE_EXCEEDED"}}"#, 504),
            (r#"{"error":"x"}"#, 500),
        ] {
            assert_eq!(read_in_stream(data).status, status, "{data}");
        }
    }
}
