//! Values of a row that hold several: its tags, and its attempts.
//!
//! Pure. In ClickHouse `Map(LowCardinality(String), String)` and an array of named tuples, in
//! SQLite JSON text. Guarantees: both are read without a copy; any bytes give entries or
//! [`NotARow`]. Does not: decide which tags or attempts a row has (see `row`).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::parts::{NotARow, Unread, put_text, put_text_of, valid_utf8};
use crate::bounds::{ATTEMPTS_LOGGED_MAX, TAG_BYTES_MAX, TAGS_MAX};
use crate::redact::Redacted;

/// A tag of a call: a name from the policy, and a value from the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The name in `ailog.tags`.
    pub name: Arc<str>,
    /// Redacted, and cut at `TAG_BYTES_MAX`.
    pub value: Redacted,
}

/// One attempt at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the provider.
    pub provider: Arc<str>,
    /// Status of its answer; 0 if there was none.
    pub status: u16,
    /// Why it failed, in a word; empty if it succeeded.
    pub error: Cow<'static, str>,
    /// From the send to its end.
    pub ms: u32,
}

/// Appends tags.
pub(crate) fn put_tags(out: &mut Vec<u8>, tags: &[Tag]) {
    let tags = &tags[..tags.len().min(TAGS_MAX)];
    out.push(tags.len() as u8);
    for Tag { name, value } in tags {
        put_text_of(out, name, TAG_BYTES_MAX);
        put_text_of(out, &valid_utf8(value.as_bytes()), TAG_BYTES_MAX);
    }
}

/// Appends attempts.
pub(crate) fn put_attempts(out: &mut Vec<u8>, attempts: &[Attempt]) {
    let attempts = &attempts[..attempts.len().min(ATTEMPTS_LOGGED_MAX)];
    out.push(attempts.len() as u8);
    for Attempt { provider, status, error, ms } in attempts {
        put_text_of(out, provider, TAG_BYTES_MAX);
        out.extend_from_slice(&status.to_le_bytes());
        put_text(out, error);
        out.extend_from_slice(&ms.to_le_bytes());
    }
}

// Their number is one byte of a LEB128 number.
const _: () = assert!(TAGS_MAX < 0x80 && ATTEMPTS_LOGGED_MAX < 0x80);

/// The encoded tags of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tags<'a>(&'a [u8]);

/// The encoded attempts of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attempts<'a>(&'a [u8]);

/// One attempt, as it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodedAttempt<'a> {
    pub(crate) provider: &'a str,
    pub(crate) status: u16,
    pub(crate) error: &'a str,
    pub(crate) ms: u32,
}

impl<'a> EncodedAttempt<'a> {
    fn read(unread: &mut Unread<'a>) -> Result<EncodedAttempt<'a>, NotARow> {
        let provider = str::from_utf8(unread.text()?).map_err(|_| NotARow)?;
        let status = u16::from_le_bytes(unread.array()?);
        let error = str::from_utf8(unread.text()?).map_err(|_| NotARow)?;
        Ok(EncodedAttempt { provider, status, error, ms: u32::from_le_bytes(unread.array()?) })
    }
}

impl<'a> Tags<'a> {
    /// Reads the tags at the beginning of `row`; returns the bytes after them.
    pub(crate) fn read(row: Unread<'a>) -> Result<(Tags<'a>, Unread<'a>), NotARow> {
        let mut unread = row;
        for _ in 0..unread.count()? {
            unread.text()?;
            unread.text()?;
        }
        Ok((Tags(&row.0[..row.0.len() - unread.0.len()]), unread))
    }

    /// The tags as they are encoded.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Names and values.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut unread = Unread(self.0);
        let count = unread.count().unwrap_or(0);
        let mut text = move || str::from_utf8(unread.text().unwrap_or_default());
        (0..count).map(move |_| (text().unwrap_or_default(), text().unwrap_or_default()))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0.first().is_none_or(|count| *count == 0)
    }

    /// An object of names and values.
    pub(crate) fn to_json(self) -> Value {
        self.iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect::<Map<_, _>>()
            .into()
    }
}

impl<'a> Attempts<'a> {
    /// Reads the attempts at the beginning of `row`; returns the bytes after them.
    pub(crate) fn read(row: Unread<'a>) -> Result<(Attempts<'a>, Unread<'a>), NotARow> {
        let mut unread = row;
        for _ in 0..unread.count()? {
            EncodedAttempt::read(&mut unread)?;
        }
        Ok((Attempts(&row.0[..row.0.len() - unread.0.len()]), unread))
    }

    /// The attempts in their order.
    pub(crate) fn iter(self) -> impl Iterator<Item = EncodedAttempt<'a>> {
        let mut unread = Unread(self.0);
        let count = unread.count().unwrap_or(0);
        (0..count).map_while(move |_| EncodedAttempt::read(&mut unread).ok())
    }

    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0.first().is_none_or(|count| *count == 0)
    }

    /// An array of objects.
    pub(crate) fn to_json(self) -> Value {
        let attempt = |EncodedAttempt { provider, status, error, ms }: EncodedAttempt<'_>| json!({"provider": provider, "status": status, "error": error, "ms": ms});
        self.iter().map(attempt).collect::<Vec<_>>().into()
    }
}
