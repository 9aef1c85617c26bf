//! The columns of the `AILog`, and how one row becomes bytes: ClickHouse's RowBinary, in the order of [`COLUMNS`].
//!
//! Stage 9 of the walk. Pure. The write-ahead log, the ClickHouse store and the embedded store all work with exactly
//! these bytes: a row is encoded once, on the call's own thread, and is not taken apart again on its way to ClickHouse.
//!
//! Promises: every encoded row decodes to the values it was made of; every text is valid UTF-8; a row is never longer
//! than a record of the write-ahead log may be. Does not: decide what a row holds.
//!
//! # Source
//! ClickHouse documentation, "RowBinary" and "Data types binary encoding", read in November 2026.

use std::borrow::Cow;

use super::row::Row;
use crate::bounds::{LOG_LABEL_BYTES_MAX, NANO_USD_PER_CALL_MAX, WAL_RECORD_BYTES_MAX};

/// Version of [`COLUMNS`]; in every record of the write-ahead log. Columns are only ever added at the end, with a new
/// number here; what the records of older versions lack is added when they are read (see [`missing`]).
pub(crate) const SCHEMA_VERSION: u8 = 2;
/// Version 1 had so many columns.
pub(crate) const COLUMNS_OF_1: usize = 38;
/// What version 2 added, as a row has it of which nothing was known: empty text, zero.
pub(crate) const ADDED_IN_2: &[u8] = &[0; 1 + 8 + 8 + 8 + 1 + 1 + 8];

/// Largest number of tokens of one call that is believed, for the same reason.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// What a row needs besides its captured bodies, at most: labels, numbers and lengths.
const FIXED_BYTES_MAX: usize = 32 << 10;

/// How a column is encoded, and what it becomes in each store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Uuid,
    /// Milliseconds since 1970, UTC.
    Millis,
    Text,
    Bool,
    U8,
    U16,
    U32,
    U64,
    /// 10⁻⁹ USD, or absent.
    NanoUsd,
    OptionalText,
    OptionalFloat,
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Uuid(uuid::Uuid),
    Millis(i64),
    /// Valid UTF-8.
    Text(&'a [u8]),
    Bool(bool),
    Integer(u64),
    NanoUsd(i64),
    Float(f64),
}

/// Names and order of the columns: the public contract of both stores.
pub(crate) const COLUMNS: [(&str, Type); 45] = [
    ("id", Type::Uuid),
    ("created_at", Type::Millis),
    ("org_id", Type::Text),
    ("caller", Type::Text),
    ("route", Type::Text),
    ("endpoint", Type::Text),
    ("provider", Type::Text),
    ("model", Type::Text),
    ("response_model", Type::Text),
    ("stream", Type::Bool),
    ("status", Type::U16),
    ("outcome", Type::Text),
    ("error_code", Type::Text),
    ("attempts", Type::U8),
    ("latency_ms", Type::U32),
    ("ttfb_ms", Type::U32),
    ("gateway_us", Type::U32),
    ("input_tokens", Type::U64),
    ("cached_tokens", Type::U64),
    ("output_tokens", Type::U64),
    ("reasoning_tokens", Type::U64),
    ("cost_usd", Type::NanoUsd),
    ("usage_source", Type::Text),
    ("redacted_emails", Type::U32),
    ("redacted_phones", Type::U32),
    ("redacted_other", Type::U32),
    ("attachments_dropped", Type::U32),
    ("request", Type::OptionalText),
    ("response", Type::OptionalText),
    ("request_bytes", Type::U64),
    ("response_bytes", Type::U64),
    ("truncated", Type::Bool),
    ("category", Type::OptionalText),
    ("priority", Type::OptionalText),
    ("confidence", Type::OptionalFloat),
    ("request_id", Type::Text),
    ("policy_version", Type::Text),
    ("calls", Type::U32),
    ("price_version", Type::Text),
    ("cache_write_tokens", Type::U64),
    ("audio_input_tokens", Type::U64),
    ("audio_output_tokens", Type::U64),
    ("service_tier", Type::Text),
    ("attempts_detail", Type::Text),
    ("cache_write_1h_tokens", Type::U64),
];

/// The names, comma-separated, for SQL.
pub(crate) fn column_list() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// Appends the RowBinary form of `row` to `out`.
///
/// # Bounds
/// Labels are cut at `LOG_LABEL_BYTES_MAX`, the captured bodies so that the row fits a record; a row whose body was cut
/// here says `truncated`.
pub(crate) fn encode(row: &Row, out: &mut Vec<u8>) {
    let request = row.request.as_ref().map(|r| valid_utf8(r.as_bytes()));
    let response = row.response.as_ref().map(|r| valid_utf8(r.as_bytes()));
    let (request, response, cut) = fit(request.as_deref(), response.as_deref());

    let (high, low) = row.id.as_u64_pair();
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&row.created_at_ms.to_le_bytes());
    label(out, row.org_id.as_str());
    label(out, &row.caller);
    label(out, row.route.as_str());
    label(out, &row.endpoint);
    label(out, &row.provider);
    label(out, &row.model);
    label(out, &row.response_model);
    out.push(u8::from(row.stream));
    out.extend_from_slice(&row.status.to_le_bytes());
    label(out, row.outcome.as_str());
    label(out, row.error_code.map_or("", |code| code.as_str()));
    out.push(row.attempts);
    for n in [row.latency_ms, row.ttfb_ms, row.gateway_us] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    for n in [row.usage.input, row.usage.cached, row.usage.output, row.usage.reasoning] {
        out.extend_from_slice(&n.min(TOKENS_MAX).to_le_bytes());
    }
    optional(out, row.cost_nano_usd, |out, nano| {
        out.extend_from_slice(&nano.clamp(-NANO_USD_PER_CALL_MAX, NANO_USD_PER_CALL_MAX).to_le_bytes());
    });
    label(out, row.usage_source.as_str());
    for n in [row.redacted_emails, row.redacted_phones, row.redacted_other, row.attachments_dropped] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    optional(out, request, text);
    optional(out, response, text);
    out.extend_from_slice(&row.request_bytes.to_le_bytes());
    out.extend_from_slice(&row.response_bytes.to_le_bytes());
    out.push(u8::from(row.truncated || cut));
    optional(out, row.category.as_deref(), label);
    optional(out, row.priority.as_deref(), label);
    // ClickHouse would take a NaN, JSON and SQLite would not: not a number is not known.
    optional(out, row.confidence.filter(|c| c.is_finite()), |out, c| out.extend_from_slice(&c.to_le_bytes()));
    label(out, row.request_id.as_str());
    label(out, &row.policy_version);
    out.extend_from_slice(&row.calls.to_le_bytes());
    label(out, row.price_version.as_deref().unwrap_or(""));
    for n in [row.usage.cache_write, row.usage.audio_input, row.usage.audio_output] {
        out.extend_from_slice(&n.min(TOKENS_MAX).to_le_bytes());
    }
    label(out, row.usage.tier.as_str());
    label(out, &row.attempts_detail);
    out.extend_from_slice(&row.usage.cache_write_1h.min(TOKENS_MAX).to_le_bytes());
}

/// Redacted bodies are text, but a provider may have sent anything.
fn valid_utf8(bytes: &[u8]) -> Cow<'_, str> {
    // The check alone is several times as fast as the repair.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Cuts both bodies so that they fit a record together; the shorter one keeps what the longer leaves.
fn fit<'a>(request: Option<&'a str>, response: Option<&'a str>) -> (Option<&'a str>, Option<&'a str>, bool) {
    const BODIES_BYTES_MAX: usize = WAL_RECORD_BYTES_MAX - FIXED_BYTES_MAX;
    let (a, b) = (request.map_or(0, str::len), response.map_or(0, str::len));
    if a + b <= BODIES_BYTES_MAX {
        return (request, response, false);
    }
    let half = BODIES_BYTES_MAX / 2;
    let room_a = if b < half { BODIES_BYTES_MAX - b } else { half };
    let room_b = BODIES_BYTES_MAX - a.min(room_a);
    (request.map(|t| prefix(t, room_a)), response.map(|t| prefix(t, room_b)), true)
}

/// The longest prefix of at most `bytes_max` bytes that ends between two characters.
fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn label(out: &mut Vec<u8>, value: &str) {
    text(out, prefix(value, LOG_LABEL_BYTES_MAX));
}

fn text(out: &mut Vec<u8>, value: &str) {
    let mut length = value.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value.as_bytes());
}

fn optional<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.push(1),
        Some(value) => {
            out.push(0);
            write(out, value);
        }
    }
}

/// Reads the values of one encoded row, in the order of [`COLUMNS`], without copying.
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

/// The bytes are not a row of this schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not hold a row of this schema")]
pub(crate) struct NotARow;

impl<'a> Decoder<'a> {
    /// Begins at the first column.
    pub(crate) fn new(row: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: row }
    }

    /// The next value; `of` is the column it stands in.
    ///
    /// # Errors
    /// The bytes end too early, or hold no such value.
    pub(crate) fn next(&mut self, of: Type) -> Result<Value<'a>, NotARow> {
        match of {
            Type::Uuid => {
                let (high, low) = (self.u64()?, self.u64()?);
                Ok(Value::Uuid(uuid::Uuid::from_u64_pair(high, low)))
            }
            Type::Millis => Ok(Value::Millis(i64::from_le_bytes(self.array()?))),
            Type::Text => Ok(Value::Text(self.text()?)),
            Type::Bool => Ok(Value::Bool(self.array::<1>()?[0] != 0)),
            Type::U8 => Ok(Value::Integer(u64::from(self.array::<1>()?[0]))),
            Type::U16 => Ok(Value::Integer(u64::from(u16::from_le_bytes(self.array()?)))),
            Type::U32 => Ok(Value::Integer(u64::from(u32::from_le_bytes(self.array()?)))),
            Type::U64 => Ok(Value::Integer(self.u64()?)),
            Type::NanoUsd | Type::OptionalText | Type::OptionalFloat if self.is_null()? => Ok(Value::Null),
            Type::NanoUsd => Ok(Value::NanoUsd(i64::from_le_bytes(self.array()?))),
            Type::OptionalText => Ok(Value::Text(self.text()?)),
            Type::OptionalFloat => Ok(Value::Float(f64::from_le_bytes(self.array()?))),
        }
    }

    /// Whether everything was read.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], NotARow> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(NotARow)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u64(&mut self) -> Result<u64, NotARow> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn is_null(&mut self) -> Result<bool, NotARow> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(NotARow),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], NotARow> {
        let mut length = 0usize;
        for shift in (0..28).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let (text, rest) = self.rest.split_at_checked(length).ok_or(NotARow)?;
                self.rest = rest;
                return Ok(text);
            }
        }
        Err(NotARow)
    }
}

/// What has to follow the bytes of a record of the given version to make them one whole row of [`COLUMNS`]; nothing for
/// a record of today's.
///
/// # Errors
/// The bytes are not one whole row of that version, or the version is not known.
pub(crate) fn missing(version: u8, row: &[u8]) -> Result<&'static [u8], NotARow> {
    let (columns, added) = match version {
        SCHEMA_VERSION => (COLUMNS.len(), &[][..]),
        1 => (COLUMNS_OF_1, ADDED_IN_2),
        _ => return Err(NotARow),
    };
    let mut decoder = Decoder::new(row);
    for (_, of) in &COLUMNS[..columns] {
        decoder.next(*of)?;
    }
    if decoder.is_at_end() { Ok(added) } else { Err(NotARow) }
}

/// When the row was made, read from its encoded form.
pub(crate) fn created_at_ms(row: &[u8]) -> Option<i64> {
    row.get(16..24).and_then(|b| b.first_chunk::<8>()).map(|b| i64::from_le_bytes(*b))
}

/// `2026-11-23T10:00:00.000Z`, the form of `created_at` in the embedded store and in JSON.
pub(crate) fn iso_millis(ms: i64) -> [u8; 24] {
    // Outside the four-digit years there is no such form; no clock of a running machine is there.
    let ms = ms.clamp(0, 253_402_300_799_999);
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Civil date from a day number, counting years from March so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);

    let mut out = *b"0000-00-00T00:00:00.000Z";
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, in_day / 3_600_000),
        (14, 2, in_day / 60_000 % 60),
        (17, 2, in_day / 1_000 % 60),
        (20, 3, in_day % 1_000),
    ];
    for (at, digits, mut n) in fields {
        for i in (at..at + digits).rev() {
            out[i] = b'0' + (n % 10) as u8;
            n /= 10;
        }
    }
    out
}

/// [`iso_millis`] as text.
pub(crate) fn iso(ms: i64) -> String {
    String::from_utf8_lossy(&iso_millis(ms)).into_owned()
}
