//! The rows of ClickHouse for an export.
//!
//! The server sorts, so it is asked for windows of time that hold few rows. The captured texts are
//! joined by the window, because the view `ai_log` would look through all of them.
//!
//! Guarantees: text from outside reaches SQL only as bound values; the rows come as RowBinary, so
//! amounts are exact.

use bytes::Bytes;
use clickhouse::error::Error;
use clickhouse::query::Query;

use super::{ClickHouseReader, LAST_MS, REPORT_TIMEOUT};
use crate::ailog::columns::{COLUMNS, Column, Decoder, NotARow, Value, at};
use crate::ailog::store::measures::Values;
use crate::ailog::store::sqlite::layout::{Home, home};
use crate::bounds::{EXPORT_PAGE_BYTES, EXPORT_PAGE_ROWS};
use crate::report::export::{ExportError, Selection, Sink};
use crate::report::query::{Dim, Place, ReadError, conditions, shadow_sql};

const CREATED_AT: usize = at("created_at");
const ID: usize = at("id");
/// Rows of the first window, and of the smallest one.
const ROWS_FIRST: u64 = 2_000;
const ROWS_MIN: u64 = 100;

/// A part of the stretch that is still to be read.
struct Window {
    from_ms: i64,
    to_ms: i64,
    /// Only rows behind this one.
    after: Option<Place>,
}

/// The end of a page.
struct Page {
    /// Its last row, if there may be more behind it.
    more: Option<Place>,
    rows: u64,
    bytes: usize,
}

impl ClickHouseReader {
    /// The first and the last millisecond of the rows in a stretch.
    pub(crate) fn span(&self, (from, to): (i64, i64)) -> Result<Option<(i64, i64)>, ReadError> {
        let window = Window { from_ms: from, to_ms: to, after: None };
        Ok(self.extent(&window, &[])?.map(|(_, first, last)| (first, last)))
    }

    /// Gives the rows of a selection to `sink`.
    pub(crate) fn export(
        &self,
        selection: &Selection,
        sink: &mut dyn Sink,
    ) -> Result<(), ExportError> {
        let (from_ms, to_ms) = selection.stretch;
        let mut rows_max = ROWS_FIRST;
        let mut windows = vec![Window { from_ms, to_ms, after: None }];
        while let Some(window) = windows.pop() {
            let Some((rows, first, last)) = self.extent(&window, &selection.only)? else {
                continue;
            };
            // Shrinks to the rows: a window may be years.
            let window = Window { from_ms: first, to_ms: last + 1, after: window.after };
            if rows > rows_max && window.to_ms - window.from_ms > 1 {
                let middle = window.from_ms + (window.to_ms - window.from_ms) / 2;
                windows.push(Window { from_ms: middle, to_ms: window.to_ms, after: None });
                windows.push(Window { to_ms: middle, ..window });
                continue;
            }
            let page = self.page_of_rows(&window, &selection.only, sink)?;
            // The next window holds about as many rows as fit a page.
            if let Some(last) = page.more {
                rows_max = page.rows.max(ROWS_MIN);
                let from_ms = last.created_at_ms;
                windows.push(Window { from_ms, to_ms: window.to_ms, after: Some(last) });
            } else if page.bytes < EXPORT_PAGE_BYTES / 2 {
                rows_max = (rows_max * 2).min(EXPORT_PAGE_ROWS as u64);
            }
        }
        Ok(())
    }

    /// The number of rows in a window, and their first and last millisecond; `None` without any.
    fn extent(
        &self,
        window: &Window,
        only: &[(Dim, String)],
    ) -> Result<Option<(u64, i64, i64)>, ReadError> {
        let mut values = Vec::new();
        let sql = format!(
            "SELECT count() AS n, toUnixTimestamp64Milli(min(r.created_at)) AS first, \
             toUnixTimestamp64Milli(max(r.created_at)) AS last FROM ai_rows{} AS r WHERE {}",
            self.all,
            window.sql(only, &mut values)
        );
        let found = self.fetch(self.bound(&sql, &values), REPORT_TIMEOUT)?;
        let number = |name: &str| {
            let value = found.first().and_then(|line| line.get(name)?.as_i64());
            value.ok_or(ReadError::Answer)
        };
        let rows = u64::try_from(number("n")?).unwrap_or(0);
        Ok(if rows == 0 { None } else { Some((rows, number("first")?, number("last")?)) })
    }

    fn bound(&self, sql: &str, values: &[String]) -> Query {
        values.iter().fold(self.client.query(sql), |query, value| query.bind(value))
    }

    /// Gives the first rows of a window to `sink`.
    fn page_of_rows(
        &self,
        window: &Window,
        only: &[(Dim, String)],
        sink: &mut dyn Sink,
    ) -> Result<Page, ExportError> {
        let mut values = Vec::new();
        let sql = rows_sql(window, only, &mut values, self.all);
        let query = self.bound(&sql, &values);
        let answer = self.runtime.block_on(async {
            let mut cursor = query.fetch_bytes("RowBinary").map_err(ReadError::from)?;
            let mut answer = Vec::new();
            let mut is_cut = false;
            while let Some(part) = in_time(cursor.next()).await? {
                if answer.len() >= EXPORT_PAGE_BYTES && decode(&answer).is_ok() {
                    is_cut = true;
                    break;
                }
                answer.extend_from_slice(&part);
            }
            Ok::<_, ReadError>((answer, is_cut))
        });
        let (answer, is_cut) = answer?;
        let (mut rows, mut rest, mut last) = (0, answer.as_slice(), None);
        while !rest.is_empty() {
            let Ok((row, after)) = decode(rest) else {
                if is_cut {
                    break;
                }
                return Err(ReadError::Answer.into());
            };
            sink.take(&row);
            (rows, rest) = (rows + 1, after);
            last = place(&row);
        }
        let last = last.ok_or(ReadError::Answer)?;
        sink.write(last.created_at_ms).map_err(ExportError::Write)?;
        Ok(Page { more: is_cut.then_some(last), rows, bytes: answer.len() })
    }
}

impl Window {
    /// The window and the conditions as SQL over `r`.
    fn sql(&self, only: &[(Dim, String)], values: &mut Vec<String>) -> String {
        let mut sql = self.within("r");
        if let Some(Place { created_at_ms, id }) = &self.after {
            sql.push_str(&format!(
                " AND (r.created_at, toString(r.id)) > ({}, ?)",
                moment(*created_at_ms)
            ));
            values.push(id.clone());
        }
        for (dim, wanted) in conditions(only) {
            let value = match dim {
                Dim::Tag(name) => {
                    values.push(name.to_string());
                    "r.tags[?]".to_owned()
                }
                Dim::Shadow => shadow_sql("r.shadow", "position"),
                other => format!("toString(r.{})", other.column()),
            };
            sql.push_str(&format!(" AND {value} IN ({})", vec!["?"; wanted.len()].join(", ")));
            values.extend(wanted.into_iter().map(str::to_owned));
        }
        sql
    }

    fn within(&self, table: &str) -> String {
        let (from, to) = (moment(self.from_ms), moment(self.to_ms));
        format!("{table}.created_at >= {from} AND {table}.created_at < {to}")
    }
}

fn moment(ms: i64) -> String {
    format!("fromUnixTimestamp64Milli(toInt64({}), 'UTC')", ms.clamp(0, LAST_MS))
}

/// The columns of rows `r` that are joined with their captured texts `c`.
fn joined_columns() -> String {
    let name = |column: &Column| {
        let table = if home(column) == Home::Capture { 'c' } else { 'r' };
        format!("{table}.{0} AS {0}", column.name)
    };
    COLUMNS.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Rows by their ids, newest first. Marks, for the rows and then for the texts: the first and the
/// last millisecond, and the ids.
pub(crate) fn named_sql(all: &str, limit: usize) -> String {
    let within = "created_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC') AND created_at <= \
         fromUnixTimestamp64Milli(toInt64(?), 'UTC') AND id IN (arrayMap(t -> toUUID(t), ?))";
    format!(
        "SELECT {} FROM (SELECT * FROM ai_rows{all} WHERE {within}) AS r \
         LEFT ANY JOIN (SELECT * FROM ai_captures{all} WHERE {within}) AS c \
         ON c.created_at = r.created_at AND c.id = r.id \
         ORDER BY r.created_at DESC, toString(r.id) DESC LIMIT {limit}",
        joined_columns()
    )
}

/// The rows of a window in their order, with every column.
fn rows_sql(
    window: &Window,
    only: &[(Dim, String)],
    values: &mut Vec<String>,
    all: &str,
) -> String {
    format!(
        "SELECT {} FROM (SELECT * FROM ai_rows{all} AS r WHERE {}) AS r \
         LEFT ANY JOIN (SELECT * FROM ai_captures{all} AS c WHERE {}) AS c \
         ON c.created_at = r.created_at AND c.id = r.id ORDER BY r.created_at, toString(r.id)",
        joined_columns(),
        window.sql(only, values),
        window.within("c")
    )
}

/// The next part of an answer, within the time for a report.
async fn in_time(
    part: impl Future<Output = Result<Option<Bytes>, Error>>,
) -> Result<Option<Bytes>, ReadError> {
    Ok(tokio::time::timeout(REPORT_TIMEOUT, part).await.unwrap_or(Err(Error::TimedOut))?)
}

/// The first row of an answer, and the bytes behind it.
fn decode(answer: &[u8]) -> Result<(Values<'_>, &[u8]), NotARow> {
    let (mut decoder, mut values) = (Decoder::new(answer), Values::UNKNOWN);
    for (place, column) in COLUMNS.iter().enumerate() {
        values.set(place, decoder.next(column.of)?);
    }
    Ok((values, decoder.rest()))
}

fn place(row: &Values<'_>) -> Option<Place> {
    match row.get(ID) {
        Value::Uuid(id) => {
            Some(Place { created_at_ms: row.number(CREATED_AT), id: id.to_string() })
        }
        _ => None,
    }
}
