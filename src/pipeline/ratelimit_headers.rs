//! Headers of every answer about its organisation's requests: OpenAI's `x-ratelimit-*-requests`,
//! and the IETF's `RateLimit` and `RateLimit-Policy`.
//!
//! On every answer, so written without going through the heap for text. Does not: speak of other
//! limits; a refusal names them in its message.
//!
//! # Source
//! OpenAI's API reference, "Rate limits"; draft-ietf-httpapi-ratelimit-headers-10 (a draft: the
//! names may change).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::limit::bucket::Decision;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const IETF_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const IETF: HeaderName = HeaderName::from_static("ratelimit");

/// Adds them.
pub fn ratelimit_headers(headers: &mut HeaderMap, decision: &Decision) {
    // A bucket may hold more calls than a minute has. Both families name the quota of a window, of
    // which no more than all can be left.
    let remaining = decision.remaining.min(decision.limit);
    headers.insert(LIMIT, HeaderValue::from(decision.limit));
    headers.insert(REMAINING, HeaderValue::from(remaining));
    set(headers, RESET, &go_duration(decision.reset));
    let mut policy = Line::default();
    policy.text("\"org\";q=").number(u64::from(decision.limit)).text(";w=60");
    set(headers, IETF_POLICY, &policy);
    let mut left = Line::default();
    let seconds =
        u64::try_from(decision.reset.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
    left.text("\"org\";r=").number(u64::from(remaining)).text(";t=").number(seconds);
    set(headers, IETF, &left);
}

/// `850ms`, `1s`, `6m0s`: as OpenAI writes them, rounded up to the millisecond.
fn go_duration(d: Duration) -> Line {
    let ms = u64::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let (minutes, seconds, millis) = (ms / 60_000, ms / 1000 % 60, ms % 1000);
    let mut line = Line::default();
    if minutes == 0 && seconds == 0 && millis > 0 {
        line.number(millis).text("ms");
        return line;
    }
    if minutes > 0 {
        line.number(minutes).text("m");
    }
    line.number(seconds);
    if millis > 0 {
        line.text(".");
        // Three digits without the zeros at their end.
        let (mut rest, mut place) = (millis, 100);
        while rest > 0 {
            line.number(rest / place);
            (rest, place) = (rest % place, place / 10);
        }
    }
    line.text("s");
    line
}

fn set(headers: &mut HeaderMap, name: HeaderName, line: &Line) {
    if let Ok(value) = HeaderValue::from_bytes(&line.bytes[..line.length]) {
        headers.insert(name, value);
    }
}

/// A short line of ASCII. Text that does not fit is left out; nothing here is nearly so long.
struct Line {
    bytes: [u8; 64],
    length: usize,
}

impl Default for Line {
    fn default() -> Line {
        Line { bytes: [0; 64], length: 0 }
    }
}

impl Line {
    fn text(&mut self, text: &str) -> &mut Line {
        let end = self.length + text.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(text.as_bytes());
            self.length = end;
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Line {
        let (mut digits, mut from, mut rest) = ([0; 20], 20, number);
        while rest > 0 || from == 20 {
            from -= 1;
            digits[from] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        self.text(std::str::from_utf8(&digits[from..]).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_written_as_openai_writes_them() {
        let table = [
            (0, "0s"),
            (1, "1ms"),
            (850, "850ms"),
            (1000, "1s"),
            (1500, "1.5s"),
            (1050, "1.05s"),
            (360_000, "6m0s"),
            (61_250, "1m1.25s"),
            (61_001, "1m1.001s"),
        ];
        for (ms, expected) in table {
            let line = go_duration(Duration::from_millis(ms));
            assert_eq!(std::str::from_utf8(&line.bytes[..line.length]), Ok(expected));
        }
    }

    #[test]
    fn no_more_is_left_than_the_quota_has() {
        let mut headers = HeaderMap::new();
        let reset = Duration::from_millis(30);
        let decision = Decision { wait: None, limit: 8_000, remaining: 9_997, reset };
        ratelimit_headers(&mut headers, &decision);
        let told = [LIMIT, REMAINING, IETF_POLICY, IETF].map(|name| headers[name].clone());
        assert_eq!(told, ["8000", "8000", "\"org\";q=8000;w=60", "\"org\";r=8000;t=1"]);
    }

    #[test]
    fn both_families_say_the_same() {
        let mut headers = HeaderMap::new();
        for (limit, remaining, reset_ms, policy, left) in [
            (60, 59, 1_000, "\"org\";q=60;w=60", "\"org\";r=59;t=1"),
            (
                u32::MAX,
                u32::MAX,
                u64::MAX,
                "\"org\";q=4294967295;w=60",
                "\"org\";r=4294967295;t=18446744073709552",
            ),
            (1, 0, 59_001, "\"org\";q=1;w=60", "\"org\";r=0;t=60"),
        ] {
            let reset = Duration::from_millis(reset_ms);
            ratelimit_headers(&mut headers, &Decision { wait: None, limit, remaining, reset });
            assert_eq!(headers[IETF_POLICY], policy);
            assert_eq!(headers[IETF], left);
            assert_eq!(headers[LIMIT], limit.to_string().as_str());
            assert_eq!(headers[REMAINING], remaining.to_string().as_str());
        }
    }
}
