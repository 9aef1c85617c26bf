//! Moves the rows of a former layout, in which `ai_log` was one table with all columns.
//!
//! When the file is opened, in slices of one transaction each: the space of a slice is used again
//! by the next one, so the file hardly grows, and an interrupted move is taken up by the next
//! start.
//!
//! Guarantees: each row is moved once, with its captured texts, and summed up once. Does not: keep
//! rows whose time or id is none.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::Writer;
use super::layout::{has_table, stored_name};
use crate::ailog::columns::{COLUMNS, Column, Type, Value};
use crate::ailog::store::measures::Values;

/// Rows of one transaction.
const SLICE: usize = 2_000;
/// Rows between two messages.
const TELL_EVERY: usize = 200_000;

/// Moves all rows, if there are any.
pub(crate) fn move_all(connection: &mut Connection, writer: &mut Writer) -> rusqlite::Result<()> {
    if !has_table(connection, "ai_log_former")? {
        return Ok(());
    }
    let mut moved = 0;
    loop {
        let slice = move_slice(connection, writer)?;
        if slice == 0 {
            connection.execute_batch("DROP TABLE ai_log_former")?;
            tracing::info!(
                event = "layout_moving",
                rows = moved,
                "the rows of the former layout are moved"
            );
            return Ok(());
        }
        if moved / TELL_EVERY != (moved + slice) / TELL_EVERY {
            tracing::info!(
                event = "layout_moving",
                rows = moved + slice,
                "rows of the former layout are being moved"
            );
        }
        moved += slice;
    }
}

/// Moves the oldest rows; returns their number.
fn move_slice(connection: &mut Connection, writer: &mut Writer) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let names: Vec<String> = COLUMNS.iter().map(stored_name).collect();
    let sql = format!(
        "SELECT rowid, {} FROM ai_log_former ORDER BY rowid LIMIT {SLICE}",
        names.join(", ")
    );
    let (mut moved, mut last) = (0, 0_i64);
    {
        let mut insert = transaction.prepare_cached(&writer.insert_row.clone())?;
        let mut select = transaction.prepare_cached(&sql)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let mut values = Values::UNKNOWN;
            for (place, column) in COLUMNS.iter().enumerate() {
                values.set(place, value_of(column, row.get_ref(place + 1)?));
            }
            // Bound values are copies of SQLite's, which the next row overwrites.
            writer.row(&transaction, &mut insert, &values, &mut [None; COLUMNS.len()])?;
            moved += 1;
        }
    }
    writer.rollup.write(&transaction)?;
    transaction.prepare_cached("DELETE FROM ai_log_former WHERE rowid <= ?1")?.execute([last])?;
    transaction.commit()?;
    Ok(moved)
}

/// A stored value as that of an encoded row.
pub(crate) fn value_of<'a>(column: &Column, stored: ValueRef<'a>) -> Value<'a> {
    let text = |text: &'a [u8]| std::str::from_utf8(text).ok();
    match (column.of, stored) {
        (Type::Uuid, ValueRef::Text(id)) => {
            text(id).and_then(|id| Uuid::parse_str(id).ok()).map_or(Value::Text(id), Value::Uuid)
        }
        (Type::Millis, ValueRef::Text(at)) => {
            let at = text(at).and_then(|at| at.parse::<jiff::Timestamp>().ok());
            at.map_or(Value::Millis(0), |at| Value::Millis(at.as_millisecond()))
        }
        (Type::NanoUsd, ValueRef::Integer(nano)) => Value::NanoUsd(nano),
        (Type::Bool, ValueRef::Integer(is)) => Value::Bool(is != 0),
        (Type::OptionalFloat, ValueRef::Integer(number)) => Value::Float(number as f64),
        (_, ValueRef::Integer(number)) => Value::Integer(u64::try_from(number).unwrap_or(0)),
        (_, ValueRef::Real(float)) => Value::Float(float),
        (_, ValueRef::Text(text)) => Value::Text(text),
        (_, ValueRef::Null | ValueRef::Blob(_)) => Value::Null,
    }
}
