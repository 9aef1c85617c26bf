//! The kinds of columns: each knows its [`Type`] and how to append a value.
//!
//! Pure. Does not: decide which value a column has (see `row`).

use std::borrow::Cow;

use super::Type;
use crate::bounds::{LOG_LABEL_BYTES_MAX, NANO_USD_PER_CALL_MAX, WAL_RECORD_BYTES_MAX};

/// Room for everything but the captured bodies: labels, numbers and lengths.
const FIXED_BYTES_MAX: usize = 32 << 10;

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

fn put_label(out: &mut Vec<u8>, value: &str) {
    put_text(out, prefix(value, LOG_LABEL_BYTES_MAX));
}

fn put_text(out: &mut Vec<u8>, value: &str) {
    let mut length = value.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value.as_bytes());
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

/// Redacted bodies are text, but a provider may have sent any bytes.
pub(crate) fn valid_utf8(bytes: &[u8]) -> Cow<'_, str> {
    // The check alone is several times as fast as the repair.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The captured bodies of a row, as much of them as fits a record.
pub(crate) struct Bodies<'a> {
    pub(crate) request: Option<&'a str>,
    pub(crate) response: Option<&'a str>,
    /// One of them was cut.
    pub(crate) are_cut: bool,
}

impl<'a> Bodies<'a> {
    /// Cuts both bodies so that they fit a record together; the shorter one keeps the room that the
    /// longer leaves.
    pub(crate) fn fit(request: Option<&'a str>, response: Option<&'a str>) -> Bodies<'a> {
        const BODIES_BYTES_MAX: usize = WAL_RECORD_BYTES_MAX - FIXED_BYTES_MAX;
        let (a, b) = (request.map_or(0, str::len), response.map_or(0, str::len));
        if a + b <= BODIES_BYTES_MAX {
            return Bodies { request, response, are_cut: false };
        }
        let half = BODIES_BYTES_MAX / 2;
        let room_a = if b < half { BODIES_BYTES_MAX - b } else { half };
        let room_b = BODIES_BYTES_MAX - a.min(room_a);
        Bodies {
            request: request.map(|text| prefix(text, room_a)),
            response: response.map(|text| prefix(text, room_b)),
            are_cut: true,
        }
    }
}

/// The longest prefix of at most `bytes_max` bytes that ends between two characters.
fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
