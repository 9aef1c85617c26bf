//! Deletes what is older than its time: rows, captured texts and roll-ups, each by a time of its
//! own.
//!
//! Guarantees: a slice is small, so that new rows are stored between two of them. Does not: shrink
//! the file; SQLite uses the space again.

use rusqlite::{Connection, OptionalExtension};

use super::first_capture_of;
use crate::ailog::columns::iso;
use crate::ailog::store::Keep;

/// Rows that are deleted at once.
const SLICE: usize = 500;

/// Deletes some of what is too old; returns whether there is more.
pub(crate) fn delete_some(connection: &Connection, keep: &Keep) -> rusqlite::Result<bool> {
    if let Some(before) = keep.captures_from_ms.max(keep.rows_from_ms) {
        let sql = "DELETE FROM ai_captures WHERE capture IN
            (SELECT capture FROM ai_captures WHERE capture < ?1 ORDER BY capture LIMIT ?2)";
        let deleted =
            connection.prepare_cached(sql)?.execute((first_capture_of(before), SLICE as i64))?;
        if deleted == SLICE {
            return Ok(true);
        }
    }
    if let Some(before) = keep.rows_from_ms
        && delete_rows(connection, &iso(before))?
    {
        return Ok(true);
    }
    if let Some(before) = keep.hours_from_ms {
        let day = iso(before)[..10].to_owned();
        for table in ["ai_hourly", "ai_daily", "ai_tags"] {
            if delete_day(connection, table, &day)? {
                return Ok(true);
            }
        }
        if let Some(rows_from_ms) = keep.rows_from_ms {
            let unused = day.min(iso(rows_from_ms)[..10].to_owned());
            connection
                .prepare_cached("DELETE FROM ai_groups WHERE last_day < ?1")?
                .execute([&unused])?;
        }
    }
    Ok(false)
}

/// Deletes some of the rows before a time; returns whether there are more.
fn delete_rows(connection: &Connection, before: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT created_at FROM ai_rows WHERE created_at < ?1 ORDER BY created_at
        LIMIT 1 OFFSET ?2";
    let end: Option<String> = connection
        .prepare_cached(sql)?
        .query_row((before, SLICE as i64), |row| row.get(0))
        .optional()?;
    // The row at the end is of the next slice, and so are those of its millisecond.
    let slice = end.as_deref().unwrap_or(before);
    let deleted =
        connection.prepare_cached("DELETE FROM ai_rows WHERE created_at < ?1")?.execute([slice])?;
    if deleted == 0
        && let Some(end) = &end
    {
        // More than a slice of one millisecond.
        connection.prepare_cached("DELETE FROM ai_rows WHERE created_at <= ?1")?.execute([end])?;
    }
    Ok(end.is_some())
}

/// Deletes the oldest day of a roll-up if it is before the given one; returns whether it was.
fn delete_day(connection: &Connection, table: &str, before: &str) -> rusqlite::Result<bool> {
    let sql =
        format!("DELETE FROM {table} WHERE day = (SELECT min(day) FROM {table}) AND day < ?1");
    Ok(connection.prepare_cached(&sql)?.execute([before])? > 0)
}
