//! Values of a row as parameters of SQL.
//!
//! Guarantees: text is bound without a copy of ours and without checking its UTF-8 again.

use rusqlite::Statement;
use rusqlite::types::{Null, ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

use crate::ailog::columns::{Value, iso_millis};

/// A value as a parameter.
pub(crate) struct Bound<'a>(pub(crate) Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Value::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text)),
            Value::Bool(is) => ToSqlOutput::from(is),
            Value::Integer(n) => ToSqlOutput::from(i64::try_from(n).unwrap_or(i64::MAX)),
            Value::NanoUsd(nano) => ToSqlOutput::from(nano),
            Value::Float(float) => ToSqlOutput::from(float),
            Value::Uuid(id) => ToSqlOutput::from(id.to_string()),
            Value::Millis(ms) => {
                ToSqlOutput::from(String::from_utf8_lossy(&iso_millis(ms)).into_owned())
            }
            Value::Tags(tags) => ToSqlOutput::from(tags.to_json().to_string()),
            Value::Attempts(attempts) => ToSqlOutput::from(attempts.to_json().to_string()),
        })
    }
}

/// Text that is known to be UTF-8.
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Binds a value to the parameter at this place, which begins at 1.
pub(crate) fn bind(
    statement: &mut Statement<'_>,
    at: usize,
    value: Value<'_>,
) -> rusqlite::Result<()> {
    match value {
        Value::Null => statement.raw_bind_parameter(at, Null),
        Value::Uuid(id) => {
            let mut text = Uuid::encode_buffer();
            statement
                .raw_bind_parameter(at, Text(id.hyphenated().encode_lower(&mut text).as_bytes()))
        }
        Value::Millis(ms) => statement.raw_bind_parameter(at, Text(&iso_millis(ms))),
        Value::Text(text) => statement.raw_bind_parameter(at, Text(text)),
        Value::Bool(is) => statement.raw_bind_parameter(at, is),
        Value::Integer(n) => statement.raw_bind_parameter(at, i64::try_from(n).unwrap_or(i64::MAX)),
        Value::NanoUsd(nano) => statement.raw_bind_parameter(at, nano),
        Value::Float(float) => statement.raw_bind_parameter(at, float),
        Value::Tags(tags) if tags.is_empty() => statement.raw_bind_parameter(at, "{}"),
        Value::Tags(tags) => statement.raw_bind_parameter(at, tags.to_json().to_string()),
        Value::Attempts(attempts) if attempts.is_empty() => statement.raw_bind_parameter(at, "[]"),
        Value::Attempts(attempts) => {
            statement.raw_bind_parameter(at, attempts.to_json().to_string())
        }
    }
}
