//! Reading of requests: what the readers of all formats share.
//!
//! Guarantees: an error names the place in the caller's request. Does not know any format.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{JsonText, Number};
use super::loss::Refused;
use super::neutral::{Effort, Field};

/// Reads the whole body.
pub(crate) fn body<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, Refused> {
    serde_json::from_str(body).map_err(|odd| Refused::unreadable(&odd, None))
}

/// Reads a part of the body; an error names its place, which is written only then.
pub(crate) fn parse<'a, T: Deserialize<'a>>(
    json: &'a RawValue,
    place: impl fmt::Display,
) -> Result<T, Refused> {
    serde_json::from_str(json.get())
        .map_err(|odd| Refused::unreadable(&odd, Some(place.to_string())))
}

/// A whole number of 0 or more.
pub(crate) fn whole(name: &'static str, number: &Number<'_>) -> Result<Field<u64>, Refused> {
    match number.as_u64() {
        Some(value) => Ok(Field { name, value }),
        None => Err(Refused::invalid(name, format!("`{name}` is not a whole number of 0 or more"))),
    }
}

/// An effort by its word.
pub(crate) fn effort(name: &'static str, word: &JsonText<'_>) -> Result<Field<Effort>, Refused> {
    match Effort::of_word(&word.plain()) {
        Some(value) => Ok(Field { name, value }),
        None => Err(Refused::invalid(name, format!("`{name}` is not a known word"))),
    }
}
