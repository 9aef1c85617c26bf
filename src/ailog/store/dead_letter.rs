//! The dead-letter file: rows that a store will never take, kept as JSON lines with the reason.
//!
//! Stage 12 of the walk, on the shipper's thread. `data_dir/dead-letter.jsonl`.
//!
//! Guarantees: a line that the end of a process has cut off does not spoil the next one. Does not:
//! delete anything, so rows stay here beyond `ailog.retention_days` until an operator deletes them.
//!
//! # Bounds
//! `DEAD_LETTER_BYTES_MAX`; above it a row is refused here too, and counted as lost.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use base64::Engine;
use serde_json::{Map, json};

use crate::ailog::columns::{COLUMNS, Decoder, Value, iso};
use crate::ailog::private;
use crate::bounds::DEAD_LETTER_BYTES_MAX;

/// Keeps an encoded row, with the reason.
///
/// # Errors
/// The file cannot be written, or is full.
pub(crate) fn keep(path: &Path, reason: &str, row: &[u8]) -> io::Result<()> {
    let mut file = private::options().create(true).read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    if length > DEAD_LETTER_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    let row = match as_json(row) {
        Some(row) => json!({ "reason": reason, "row": row }),
        None => json!({ "reason": reason, "base64": base64::prelude::BASE64_STANDARD.encode(row) }),
    };
    let mut line = if last == [b'\n'] { String::new() } else { "\n".to_owned() };
    line.push_str(&row.to_string());
    line.push('\n');
    file.write_all(line.as_bytes())
}

/// The row by column names; `None` if it is not a row of today's columns.
pub(crate) fn as_json(row: &[u8]) -> Option<Map<String, serde_json::Value>> {
    let mut decoder = Decoder::new(row);
    let mut object = Map::new();
    for column in &COLUMNS {
        let value = match decoder.next(column.of).ok()? {
            Value::Null => serde_json::Value::Null,
            Value::Uuid(id) => json!(id.to_string()),
            Value::Millis(ms) => json!(iso(ms)),
            Value::Text(text) => json!(String::from_utf8_lossy(text)),
            Value::Bool(b) => json!(b),
            Value::Integer(n) => json!(n),
            Value::NanoUsd(nano) => json!(nano as f64 / 1e9),
            Value::Float(f) => json!(f),
            Value::Tags(tags) => tags.to_json(),
            Value::Attempts(attempts) => attempts.to_json(),
        };
        object.insert(column.name.to_owned(), value);
    }
    decoder.is_at_end().then_some(object)
}
