//! Values of attributes.
//!
//! Pure. Guarantees: a text is cut at `OTLP_TEXT_BYTES_MAX`. Does not: know names (see `names`).

use std::borrow::Cow;

use super::protobuf::{put_bytes, put_int, put_message};
use crate::bounds::OTLP_TEXT_BYTES_MAX;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Any<'a> {
    Text(Cow<'a, str>),
    Bool(bool),
    Int(u64),
    Double(f64),
    List(Vec<Any<'a>>),
    Map(Vec<(&'static str, Any<'a>)>),
}

impl<'a> From<&'a str> for Any<'a> {
    fn from(text: &'a str) -> Any<'a> {
        Any::Text(Cow::Borrowed(text))
    }
}

impl From<u64> for Any<'_> {
    fn from(n: u64) -> Any<'static> {
        Any::Int(n)
    }
}

/// Appends an attribute: a `KeyValue`.
pub(crate) fn put_attribute(out: &mut Vec<u8>, field: u64, name: &str, value: &Any<'_>) {
    put_message(out, field, |out| {
        put_bytes(out, 1, name.as_bytes());
        put_message(out, 2, |out| put_any(out, value));
    });
}

/// Fields of an `AnyValue`.
fn put_any(out: &mut Vec<u8>, value: &Any<'_>) {
    match value {
        Any::Text(text) => put_bytes(out, 1, cut(text).as_bytes()),
        Any::Bool(is) => put_int(out, 2, u64::from(*is)),
        Any::Int(n) => put_int(out, 3, *n),
        Any::Double(double) => super::protobuf::put_fixed64(out, 4, double.to_bits()),
        Any::List(values) => put_message(out, 5, |out| {
            for value in values {
                put_message(out, 1, |out| put_any(out, value));
            }
        }),
        Any::Map(entries) => put_message(out, 6, |out| {
            for (name, value) in entries {
                put_attribute(out, 1, name, value);
            }
        }),
    }
}

fn cut(text: &str) -> &str {
    let mut end = OTLP_TEXT_BYTES_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
