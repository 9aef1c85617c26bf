//! The meaning of a collector's answer.
//!
//! Pure. Guarantees: only 429, 502, 503, 504 and missing answers are repeated; a partial success is
//! not. Does not: wait (see `mod`).
//!
//! # Source
//! opentelemetry-proto, `docs/specification.md` @03dcdb9.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::protobuf::{Field, field};
use crate::bounds::{OTLP_RETRY_AFTER_MAX, OTLP_WAIT_MAX};

/// The first wait before a request is repeated; doubled with each further one.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The next step for the spans of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The collector has them, but for so many that it rejected, with its reason.
    Taken { rejected: u64, reason: String },
    /// The request is repeated, after this wait if the collector asks for one.
    Again(Option<Duration>),
    /// The request was too long.
    Split,
    /// The collector does not want it, now or later.
    Refused,
}

/// Judges an answer.
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
    match status.as_u16() {
        200..=299 => taken(body),
        429 | 502 | 503 | 504 => Verdict::Again(retry_after(headers)),
        413 => Verdict::Split,
        _ => Verdict::Refused,
    }
}

/// `ExportTraceServiceResponse { partial_success { rejected_spans, error_message } }`. An answer
/// that is none is a success: the status says so.
fn taken(body: &[u8]) -> Verdict {
    let mut verdict = (0, String::new());
    let mut rest = body;
    while let Some((number, value, after)) = field(rest) {
        rest = after;
        let (1, Field::Bytes(mut partial)) = (number, value) else { continue };
        while let Some((number, value, after)) = field(partial) {
            partial = after;
            match (number, value) {
                (1, Field::Int(rejected)) => verdict.0 = rejected,
                (2, Field::Bytes(reason)) => {
                    verdict.1 = String::from_utf8_lossy(reason).into_owned();
                }
                _ => {}
            }
        }
    }
    Verdict::Taken { rejected: verdict.0, reason: verdict.1 }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(OTLP_RETRY_AFTER_MAX))
}

/// The wait before a request is repeated for the `failures`th time; `part` is random, 0 to 1.
pub(crate) fn wait(failures: u32, part: f64) -> Duration {
    let most = WAIT_MIN.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(OTLP_WAIT_MAX);
    most.mul_f64(0.5 + part / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_statuses_are_repeated() {
        let of = |status: u16| {
            judge(StatusCode::from_u16(status).expect("a status"), &HeaderMap::new(), b"")
        };
        for status in 200..600 {
            let expected = match status {
                200..=299 => Verdict::Taken { rejected: 0, reason: String::new() },
                429 | 502 | 503 | 504 => Verdict::Again(None),
                413 => Verdict::Split,
                _ => Verdict::Refused,
            };
            assert_eq!(of(status), expected, "{status}");
        }
        for (value, wait) in [("7", Some(7)), ("100000", Some(600)), ("Mon, 30 Nov 2026", None)] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().expect("ok"))]);
            let verdict = judge(StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
            assert_eq!(verdict, Verdict::Again(wait.map(Duration::from_secs)), "{value}");
        }
    }

    #[test]
    fn a_partial_success_is_read() {
        let body = b"\x0a\x09\x08\x03\x12\x05quota";
        let expected = Verdict::Taken { rejected: 3, reason: "quota".to_owned() };
        assert_eq!(judge(StatusCode::OK, &HeaderMap::new(), body), expected);
        let none = Verdict::Taken { rejected: 0, reason: String::new() };
        for body in [&b"{}"[..], b"\x0a\x00", b"\x0a\x09\x08", b"\x12\x01x"] {
            assert_eq!(judge(StatusCode::OK, &HeaderMap::new(), body), none, "{body:?}");
        }
    }

    #[test]
    fn waits_grow_up_to_half_a_minute() {
        let seconds = |failures, part| wait(failures, part).as_secs_f64();
        assert_eq!((seconds(1, 0.0), seconds(1, 1.0)), (0.5, 1.0));
        assert_eq!((seconds(3, 0.0), seconds(3, 1.0)), (2.0, 4.0));
        assert_eq!((seconds(6, 1.0), seconds(1_000, 1.0)), (30.0, 30.0));
    }
}
