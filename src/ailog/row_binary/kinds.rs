//! The kinds of columns: each knows its [`Type`] and how to append a value.
//!
//! Pure. Does not: decide which value a column has (see `row`).

use std::borrow::Cow;

use super::Type;
use super::nested::{self, Attempt, Tag};
use super::parts::{prefix, put_text, put_text_of};
use crate::bounds::{
    LOG_LABEL_BYTES_MAX, LOG_TEXT_BYTES_MAX, NANO_USD_PER_CALL_MAX, WAL_RECORD_BYTES_MAX,
};
use crate::redact;

/// Room for everything but captured text: labels, tags, attempts, numbers and lengths.
const FIXED_BYTES_MAX: usize = 64 << 10;

/// Declares a kind of column.
macro_rules! kind {
    ($name:ident, |$out:ident, $value:ident: $of:ty| $put:expr) => {
        #[doc = concat!("Columns of [`Type::", stringify!($name), "`].")]
        pub(crate) struct $name;

        impl $name {
            pub(crate) const TYPE: Type = Type::$name;

            /// Appends a value.
            pub(crate) fn put($out: &mut Vec<u8>, $value: $of) {
                $put;
            }
        }
    };
}

kind!(Uuid, |out, id: uuid::Uuid| {
    let (high, low) = id.as_u64_pair();
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
});
kind!(Millis, |out, ms: i64| out.extend_from_slice(&ms.to_le_bytes()));
kind!(Text, |out, text: &str| put_label(out, text));
kind!(Label, |out, text: &str| put_label(out, text));
kind!(Bool, |out, is: bool| out.push(u8::from(is)));
kind!(U8, |out, n: u8| out.push(n));
kind!(U16, |out, n: u16| out.extend_from_slice(&n.to_le_bytes()));
kind!(U32, |out, n: u32| out.extend_from_slice(&n.to_le_bytes()));
kind!(U64, |out, n: u64| out.extend_from_slice(&n.to_le_bytes()));
kind!(NanoUsd, |out, nano: Option<i64>| put_optional(out, nano, |out, nano| {
    let nano = nano.clamp(-NANO_USD_PER_CALL_MAX, NANO_USD_PER_CALL_MAX);
    out.extend_from_slice(&nano.to_le_bytes());
}));
kind!(OptionalText, |out, text: Option<&str>| put_optional(out, text, put_text));
kind!(OptionalLabel, |out, text: Option<&str>| put_optional(out, text, put_label));
// ClickHouse would take a NaN, JSON and SQLite would not: it counts as absent.
kind!(OptionalFloat, |out, n: Option<f64>| {
    put_optional(out, n.filter(|n| n.is_finite()), |out, n| {
        out.extend_from_slice(&n.to_le_bytes())
    });
});

kind!(Tags, |out, tags: &[Tag]| nested::put_tags(out, tags));
kind!(Attempts, |out, attempts: &[Attempt]| nested::put_attempts(out, attempts));

fn put_label(out: &mut Vec<u8>, value: &str) {
    put_text_of(out, value, LOG_LABEL_BYTES_MAX);
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.push(1),
        Some(value) => {
            out.push(0);
            put(out, value);
        }
    }
}

/// The captured text of a row, as much of it as fits a record.
pub(crate) struct Bodies<'a> {
    pub(crate) request: Option<Cow<'a, str>>,
    pub(crate) response: Option<Cow<'a, str>>,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) answer: Option<&'a str>,
    /// A body was cut.
    pub(crate) are_cut: bool,
}

impl<'a> Bodies<'a> {
    /// Cuts both bodies so that they fit a record together, with the two texts; the shorter one
    /// keeps the room that the longer leaves.
    pub(crate) fn fit(
        [request, response]: [Option<&'a str>; 2],
        [prompt, answer]: [Option<&'a str>; 2],
    ) -> Bodies<'a> {
        let text = |text: Option<&'a str>| text.map(|text| prefix(text, LOG_TEXT_BYTES_MAX));
        let (prompt, answer) = (text(prompt), text(answer));
        let texts = prompt.map_or(0, str::len) + answer.map_or(0, str::len);
        let room = WAL_RECORD_BYTES_MAX - FIXED_BYTES_MAX - texts;
        let (a, b) = (request.map_or(0, str::len), response.map_or(0, str::len));
        if a + b <= room {
            let [request, response] = [request, response].map(|text| text.map(Cow::Borrowed));
            return Bodies { request, response, prompt, answer, are_cut: false };
        }
        let half = room / 2;
        let room_a = if b < half { room - b } else { half };
        let room_b = room - a.min(room_a);
        Bodies {
            request: request.map(|text| shortened(text, room_a)),
            response: response.map(|text| shortened(text, room_b)),
            prompt,
            answer,
            are_cut: true,
        }
    }
}

/// A captured body of at most so many bytes: JSON stays JSON.
fn shortened(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    redact::shortened(text, bytes_max)
        .map_or_else(|| Cow::Borrowed(prefix(text, bytes_max)), Cow::Owned)
}
