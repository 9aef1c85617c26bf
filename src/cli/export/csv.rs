//! Rows as CSV (RFC 4180), with the names of the columns in the first line.
//!
//! Guarantees: no cell is a formula, and no character steers a terminal. Line ends and tabs of
//! texts stay, within quotes. An absent value is an empty cell. Does not: tell an absent text from
//! an empty one.

use super::{Form, nested_json};
use crate::ailog::columns::{COLUMNS, Value, iso_millis};
use crate::ailog::store::measures::Values;
use crate::cli::csv::{quoted, quoted_lines};
use crate::money::usd;

/// The format.
pub(crate) struct Csv;

impl Form for Csv {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let names = COLUMNS.map(|column| column.name).join(",");
        out.extend_from_slice(names.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn row(&mut self, row: &Values<'_>, out: &mut Vec<u8>) {
        for (place, column) in COLUMNS.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            let value = row.get(place);
            let cell = match nested_json(column, value) {
                Some(json) => quoted(&json),
                None => cell(value),
            };
            out.extend_from_slice(cell.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

fn cell(value: Value<'_>) -> String {
    match value {
        Value::Text(text) => quoted_lines(&String::from_utf8_lossy(text)),
        Value::Uuid(id) => id.to_string(),
        Value::Millis(ms) => String::from_utf8_lossy(&iso_millis(ms)).into_owned(),
        Value::Bool(is) => is.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::NanoUsd(nano) => usd(nano),
        Value::Float(number) => format!("{number:?}"),
        Value::Null | Value::Tags(_) | Value::Attempts(_) => String::new(),
    }
}
