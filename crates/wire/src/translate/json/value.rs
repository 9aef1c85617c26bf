//! JSON values as they were written: objects, lists, numbers.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Entries of one list.
pub const LIST_ENTRIES_MAX: usize = 1 << 16;

/// A JSON value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<'a>(Cow<'a, str>);

impl<'a> Raw<'a> {
    /// A value that the caller knows to be JSON.
    ///
    /// # Panics
    /// In debug builds, if it is not.
    pub fn trusted(json: impl Into<Cow<'a, str>>) -> Raw<'a> {
        let json = json.into();
        debug_assert!(serde_json::from_str::<IgnoredAny>(&json).is_ok(), "{json:?} is not JSON");
        Raw(json)
    }

    /// The JSON.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// The JSON, borrowed where it was.
    pub fn into_json(self) -> Cow<'a, str> {
        self.0
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// The same value with storage of its own.
    pub fn into_owned(self) -> Raw<'static> {
        Raw(Cow::Owned(self.0.into_owned()))
    }

    /// The same value, borrowed from this one.
    pub fn borrow(&self) -> Raw<'_> {
        Raw(Cow::Borrowed(&self.0))
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// It has another form.
    pub fn read<'s, T: Deserialize<'s>>(&'s self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
        Ok(Raw(Cow::Borrowed(<&'de RawValue>::deserialize(deserializer)?.get())))
    }
}

/// Whether this is the JSON of one object, with nothing else beside white space.
pub fn is_object(json: &str) -> bool {
    json.trim_ascii_start().starts_with('{') && serde_json::from_str::<&RawValue>(json).is_ok()
}

/// The JSON without white space between its tokens; borrowed if there is none. `json` must be JSON.
pub fn compact(json: &str) -> Cow<'_, str> {
    let mut kept = Vec::new();
    let (mut from, mut is_in_string, mut is_escaped) = (0, false, false);
    for (at, byte) in json.bytes().enumerate() {
        match (is_in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_in_string = !is_in_string,
            (false, b' ' | b'\n' | b'\r' | b'\t') => {
                kept.extend_from_slice(&json.as_bytes()[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if from == 0 {
        return Cow::Borrowed(json);
    }
    kept.extend_from_slice(&json.as_bytes()[from..]);
    Cow::Owned(super::text::into_string(kept))
}

/// A number as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number<'a>(Cow<'a, str>);

impl<'a> Number<'a> {
    /// The number of a whole number.
    pub fn whole(number: u64) -> Number<'static> {
        Number(Cow::Owned(number.to_string()))
    }

    /// The JSON.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// Its value, rounded to a double.
    pub fn value(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Its value if it is a whole number of 0 or more; also of `4096.0`.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok().or_else(|| {
            let value = self.value();
            let is_exact = value.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&value);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole and within 53 bits"
            )]
            is_exact.then_some(value as u64)
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number<'a>, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Ok(Number(Cow::Borrowed(raw))),
            _ => Err(D::Error::custom("expected a number")),
        }
    }
}

/// A list of at most `LIST_ENTRIES_MAX` entries; a longer one is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    if entries.len() == LIST_ENTRIES_MAX {
                        return Err(A::Error::custom("the list has too many entries"));
                    }
                    entries.push(entry);
                }
                Ok(List(entries))
            }
        }
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_is_left_out() {
        for (json, expected) in [
            (r#"{ "a b" : [ 1 , "\" c" ] }"#, r#"{"a b":[1,"\" c"]}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("\n{\r\n\t}\n", "{}"),
            (r#"" \\ " "#, r#"" \\ ""#),
        ] {
            assert_eq!(compact(json), expected, "{json}");
        }
    }

    #[test]
    fn numbers_keep_their_form() {
        for (json, whole) in [
            ("4096", Some(4096)),
            ("4096.0", Some(4096)),
            ("4e3", Some(4000)),
            ("-1", None),
            ("0.5", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("1e400", None),
        ] {
            let number: Number<'_> = serde_json::from_str(json).expect(json);
            assert_eq!((number.json(), number.as_u64()), (json, whole), "{json}");
        }
        assert!(serde_json::from_str::<Number<'_>>("\"1\"").is_err());
    }

    #[test]
    fn objects() {
        for (json, expected) in [
            ("{}", true),
            (r#" {"a":1e400} "#, true),
            ("[]", false),
            (r#"{"a":"#, false),
            ("{} {}", false),
            ("", false),
        ] {
            assert_eq!(is_object(json), expected, "{json:?}");
        }
    }
}
