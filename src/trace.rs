//! Trace context: the ids of traces and spans, and the headers `traceparent` and `tracestate`.
//!
//! A leaf. Pure, but for random ids. Guarantees: a header that is not valid gives no context, and
//! never an error; an id is never zero. Does not: export spans (see `otlp`).
//!
//! # Source
//! W3C Trace Context, level 2 (spec/20), read in November 2026; the sampler `TraceIdRatioBased` of
//! the OpenTelemetry SDK for Go.

use std::fmt;

use crate::bounds::TRACESTATE_BYTES_MAX;

/// The most entries of a `tracestate`.
const STATE_MEMBERS_MAX: usize = 32;
const HEX: &[u8; 16] = b"0123456789abcdef";

macro_rules! id {
    ($(#[doc = $doc:literal])* $name:ident, $bytes:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// A new one.
            pub fn random() -> $name {
                loop {
                    let mut bytes = [0; $bytes];
                    fastrand::fill(&mut bytes);
                    if bytes != [0; $bytes] {
                        return $name(bytes);
                    }
                }
            }

            /// The id of these bytes, unless all are zero.
            pub fn of(bytes: [u8; $bytes]) -> Option<$name> {
                (bytes != [0; $bytes]).then_some($name(bytes))
            }

            /// The id that is written in lower-case hexadecimal digits.
            pub fn parse(text: &[u8]) -> Option<$name> {
                let mut bytes = [0; $bytes];
                if text.len() != 2 * $bytes {
                    return None;
                }
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = (hex(pair[0])? << 4) | hex(pair[1])?;
                }
                $name::of(bytes)
            }

            /// Its bytes.
            pub fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl $name {
            /// Its hexadecimal digits, without an allocation.
            pub(crate) fn digits(self) -> [u8; 2 * $bytes] {
                let mut digits = [0; 2 * $bytes];
                for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = HEX[usize::from(byte >> 4)];
                    pair[1] = HEX[usize::from(byte & 15)];
                }
                digits
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(str::from_utf8(&self.digits()).unwrap_or_default())
            }
        }
    };
}

id! {
    /// The id of a trace.
    TraceId, 16
}
id! {
    /// The id of a span.
    SpanId, 8
}

/// A `traceparent`: the caller's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// The caller records its part of the trace.
    pub is_sampled: bool,
}

impl Parent {
    /// Reads a `traceparent`; `None` if it is not valid.
    pub fn parse(value: &[u8]) -> Option<Parent> {
        let (head, rest) = value.split_first_chunk::<55>()?;
        let [v0, v1, b'-', rest_of_head @ ..] = head else { return None };
        let version = (hex(*v0)? << 4) | hex(*v1)?;
        let fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            // A later version may have more fields.
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let (trace_id, rest) = rest_of_head.split_at(32);
        let (span_id, flags) = (rest.get(1..17)?, rest.get(18..20)?);
        if !fits || rest[0] != b'-' || rest[17] != b'-' {
            return None;
        }
        let flags = (hex(flags[0])? << 4) | hex(flags[1])?;
        Some(Parent {
            trace_id: TraceId::parse(trace_id)?,
            span_id: SpanId::parse(span_id)?,
            is_sampled: flags & 1 == 1,
        })
    }
}

/// Joins the lines of a `tracestate`; empty if they are not valid, or too long.
pub fn state<'a>(lines: impl Iterator<Item = &'a [u8]>) -> String {
    let mut joined = String::new();
    let mut members = 0;
    for member in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
        let member = member.trim_ascii();
        if member.is_empty() {
            continue;
        }
        members += 1;
        let text = std::str::from_utf8(member).ok().filter(|text| is_member(text));
        let Some(text) = text.filter(|_| members <= STATE_MEMBERS_MAX) else {
            return String::new();
        };
        if joined.len() + text.len() + 1 > TRACESTATE_BYTES_MAX {
            return String::new();
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(text);
    }
    joined
}

/// `key=value`, as the standard has it.
fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else { return false };
    let in_key = |b: u8| {
        b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let in_value = |b: u8| (0x20..=0x7e).contains(&b) && b != b',' && b != b'=';
    (1..=256).contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.bytes().all(in_key)
        && (1..=256).contains(&value.len())
        && value.bytes().all(in_value)
}

/// Which traces that begin here are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Of 2⁶³.
    below: u64,
}

impl Sampling {
    /// So many of a hundred.
    pub fn percent(percent: f64) -> Sampling {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast of a float ends at the type's limits"
        )]
        let below = (percent / 100.0 * 2f64.powi(63)) as u64;
        Sampling { below: if percent >= 100.0 { u64::MAX } else { below } }
    }

    /// Whether a trace is recorded. Decided by its id alone, so that services agree.
    pub fn takes(self, id: &TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *id.bytes();
        (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1) < self.below
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_read_by_the_standard() {
        let read = |text: &str| Parent::parse(text.as_bytes());
        let usual = format!("00-{TRACE}-{SPAN}-01");
        let parent = read(&usual).expect("valid");
        assert_eq!(
            (parent.trace_id.to_string(), parent.span_id.to_string()),
            (TRACE.into(), SPAN.into())
        );
        assert!(parent.is_sampled);
        // Only one bit of the flags has a meaning.
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let parent = read(&format!("00-{TRACE}-{SPAN}-{flags}")).expect("valid");
            assert_eq!(parent.is_sampled, sampled, "{flags}");
        }
        for later in ["", "-", "-more", "-00-x"] {
            assert_eq!(read(&format!("cc-{TRACE}-{SPAN}-01{later}")), Some(parent), "{later}");
        }
        let zeroes = ("0".repeat(32), "0".repeat(16));
        for wrong in [
            String::new(),
            usual.to_uppercase(),
            format!("{usual}-"),
            format!("{usual}-more"),
            format!("{usual}0"),
            usual[..54].to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01x"),
            format!("00-{}-{SPAN}-01", zeroes.0),
            format!("00-{TRACE}-{}-01", zeroes.1),
            format!("00-{TRACE}_{SPAN}-01"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}_01"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_tracestate_is_joined_or_left_out() {
        let read = |lines: &[&str]| state(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(read(&["a=1, b@c=2", "", "d=3 x"]), "a=1,b@c=2,d=3 x");
        let many = (0..33).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        let long = format!("k={}", "v".repeat(257));
        for wrong in ["a", "A=1", "=1", "a=", "a=1=2", "a=\u{e9}", "_a=1", &many, &long] {
            assert_eq!(read(&["x=1", wrong]), "", "{wrong}");
        }
    }

    #[test]
    fn sampling_takes_its_part_by_the_id_alone() {
        let id = |last: u64| {
            let mut bytes = [1; 16];
            bytes[8..].copy_from_slice(&last.to_be_bytes());
            TraceId::of(bytes).expect("an id")
        };
        let half = Sampling::percent(50.0);
        assert!(half.takes(&id(u64::MAX / 2)) && !half.takes(&id(u64::MAX / 2 + 2)));
        assert!(Sampling::percent(100.0).takes(&id(u64::MAX)));
        assert!(!Sampling::percent(0.0).takes(&id(0)));
        let taken = (0..4_000).filter(|_| half.takes(&TraceId::random())).count();
        assert!((1_700..=2_300).contains(&taken), "{taken} of 4,000");
    }
}
