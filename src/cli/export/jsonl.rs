//! Rows as JSON lines.
//!
//! Guarantees: every line is an object of all columns in their order; amounts have all their
//! digits; no character of a line steers a terminal.

use super::{Form, nested_json};
use crate::ailog::columns::{COLUMNS, Value, iso_millis};
use crate::ailog::store::measures::Values;
use crate::money::usd;
use crate::visible::visible_json;

/// The format.
pub(crate) struct JsonLines;

impl Form for JsonLines {
    fn begin(&mut self, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Values<'_>, out: &mut Vec<u8>) {
        let mut line = String::with_capacity(2_048);
        for (place, column) in COLUMNS.iter().enumerate() {
            line.push(if place == 0 { '{' } else { ',' });
            line.push('"');
            line.push_str(column.name);
            line.push_str("\":");
            let value = row.get(place);
            match nested_json(column, value) {
                Some(json) => line.push_str(&json),
                None => push(value, &mut line),
            }
        }
        line.push_str("}\n");
        // The line's end stays: it is ASCII.
        out.extend_from_slice(visible_json(&line).as_bytes());
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

fn push(value: Value<'_>, line: &mut String) {
    match value {
        Value::Text(text) => line.push_str(&quoted(&String::from_utf8_lossy(text))),
        Value::Uuid(id) => line.push_str(&quoted(&id.to_string())),
        Value::Millis(ms) => line.push_str(&quoted(&String::from_utf8_lossy(&iso_millis(ms)))),
        Value::Bool(is) => line.push_str(if is { "true" } else { "false" }),
        Value::Integer(number) => line.push_str(&number.to_string()),
        Value::NanoUsd(nano) => line.push_str(&usd(nano)),
        // With a point, also where it is a whole number.
        Value::Float(number) if number.is_finite() => line.push_str(&format!("{number:?}")),
        Value::Null | Value::Float(_) | Value::Tags(_) | Value::Attempts(_) => {
            line.push_str("null");
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
