//! The embedded store, read: reports (see `sums`), rows, and costs computed again (see `ledger`).
//!
//! Does not: create or migrate the file.

mod digest;
mod grouped;
mod ledger;
mod parts;
mod percentiles;
mod rows;
mod sums;

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::query::{Filter, Page, Part, Place, Question, ReadError, Spent, Summary, ms_of};
use crate::ailog::AuditRecord;
use crate::ailog::columns::{COLUMNS, Type, column_list, iso};
use crate::ailog::store::sqlite::layout::{GROUPED, SERIES, USER_VERSION, has_table};
use crate::ailog::store::sqlite::{open_existing, rollup};

/// How long a report waits for a locked file.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// How long repricing waits for a locked file.
const REPRICE_PATIENCE: Duration = Duration::from_secs(30);
/// Rows of one transaction of repricing.
const REPRICE_SLICE: u64 = 2_000;

/// A connection to the embedded store.
pub(crate) struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    /// Opens the file for reading; `None` if there is none, or it has no log yet.
    pub(crate) fn open(path: &Path) -> Result<Option<SqliteReader>, ReadError> {
        SqliteReader::of_this_layout(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READ_PATIENCE)
    }

    /// Opens the file for repricing; `None` if there is none, or it has no log yet.
    pub(crate) fn open_to_reprice(path: &Path) -> Result<Option<SqliteReader>, ReadError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let opened = SqliteReader::of_this_layout(path, flags, REPRICE_PATIENCE)?;
        if let Some(reader) = &opened {
            rollup::prepare(&reader.connection)?;
        }
        Ok(opened)
    }

    fn of_this_layout(
        path: &Path,
        flags: OpenFlags,
        patience: Duration,
    ) -> Result<Option<SqliteReader>, ReadError> {
        match open_existing(path, flags, patience)? {
            None => Ok(None),
            Some((connection, layout)) if layout == USER_VERSION => {
                Ok(Some(SqliteReader { connection }))
            }
            Some(_) => Err(ReadError::Former),
        }
    }

    pub(crate) fn summary(
        &self,
        question: &Question<'_>,
        part: &Part,
    ) -> Result<Vec<Summary>, ReadError> {
        sums::summary(&self.connection, question, part)
    }

    pub(crate) fn audit(&self, chain: Option<&str>) -> Result<Vec<AuditRecord>, ReadError> {
        if !has_table(&self.connection, "policy_audit")? {
            return Ok(Vec::new());
        }
        let mut statement = self.connection.prepare(
            "SELECT chain, seq, record, hash FROM policy_audit WHERE chain = ?1 OR ?1 IS NULL \
             ORDER BY chain, seq, hash",
        )?;
        // Somebody may have put anything there, so nothing is expected.
        let text = |row: &rusqlite::Row<'_>, at: usize| -> rusqlite::Result<String> {
            Ok(match row.get_ref(at)? {
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
                _ => String::new(),
            })
        };
        let read = |row: &rusqlite::Row<'_>| {
            let seq = row.get::<_, i64>(1).ok().and_then(|seq| u64::try_from(seq).ok());
            Ok(AuditRecord {
                chain: text(row, 0)?,
                seq: seq.unwrap_or(0),
                record: text(row, 2)?,
                hash: text(row, 3)?,
            })
        };
        let records = statement.query_map([chain], read)?.collect::<rusqlite::Result<_>>()?;
        Ok(records)
    }

    pub(crate) fn spent(
        &self,
        from_ms: i64,
        to_ms: i64,
        most: usize,
    ) -> Result<Vec<Spent>, ReadError> {
        sums::spent(&self.connection, (from_ms, to_ms), most)
    }

    /// The moment of the row at this place before a moment, counted from the newest.
    pub(crate) fn moment_of(&self, before_ms: i64, place: usize) -> Result<Option<i64>, ReadError> {
        let sql = "SELECT created_at FROM ai_rows WHERE created_at < ?1 \
                   ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?2";
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let found =
            self.connection.query_row(sql, (iso(before_ms), place), |row| row.get::<_, String>(0));
        Ok(found.optional()?.as_deref().and_then(ms_of))
    }

    /// Whether any row has these names, without a look at the rows.
    fn has_groups(&self, filter: &Filter) -> Result<bool, ReadError> {
        let (columns, wanted) = filter.alternatives();
        let (mut conditions, mut values) = (vec!["1".to_owned()], Vec::new());
        let mut rest = wanted.into_iter();
        for (column, count) in columns {
            let of_column: Vec<&str> = rest.by_ref().take(count).collect();
            if SERIES.contains(&column) || GROUPED.contains(&column) {
                conditions.push(format!("{column} IN ({})", vec!["?"; count].join(", ")));
                values.extend(of_column);
            }
        }
        if !filter.orgs.is_empty() {
            conditions.push(format!("org_id IN ({})", vec!["?"; filter.orgs.len()].join(", ")));
            values.extend(filter.orgs.iter().map(String::as_str));
        }
        let sql = format!(
            "SELECT 1 FROM ai_groups g JOIN ai_series s ON s.series = g.series WHERE {} LIMIT 1",
            conditions.join(" AND ")
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(values.is_empty() || statement.exists(rusqlite::params_from_iter(values))?)
    }

    pub(crate) fn page(
        &self,
        filter: &Filter,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        // The rows are in the order of their time, and an id tells when it was made.
        let mut ids = filter.equal.iter().filter(|(column, _)| *column == "id");
        let id = ids.next().filter(|_| ids.next().is_none());
        let made_ms = id.and_then(|(_, id)| made_ms(id)).filter(|_| filter.from_ms.is_none());
        if let Some(made_ms) = made_ms {
            let (from_ms, to_ms) = (Some(made_ms), Some(made_ms + 1));
            let page = self.page(&Filter { from_ms, to_ms, ..filter.clone() }, limit, bytes_max)?;
            if !page.rows.is_empty() {
                return Ok(page);
            }
        }
        if !self.has_groups(filter)? {
            return Ok(Page::default());
        }
        let (conditions, values) = conditions(filter);
        let sql = format!(
            "SELECT {} FROM ai_log WHERE {} ORDER BY created_at DESC, id DESC LIMIT {limit}",
            column_list(),
            conditions.join(" AND ")
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = statement.query(rusqlite::params_from_iter(values))?;
        let (mut page, mut bytes) = (Page::default(), 0);
        while let Some(row) = found.next()? {
            if bytes >= bytes_max {
                page.is_cut = true;
                break;
            }
            page.rows.push(object(row, &mut bytes)?);
        }
        Ok(page)
    }
}

/// The conditions of a filter, and the values for their marks.
fn conditions(filter: &Filter) -> (Vec<String>, Vec<Box<dyn ToSql>>) {
    let mut conditions = vec!["1".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    for (condition, ms) in [("created_at >= ?", filter.from_ms), ("created_at < ?", filter.to_ms)] {
        if let Some(ms) = ms {
            conditions.push(condition.to_owned());
            values.push(Box::new(iso(ms)));
        }
    }
    let (columns, wanted) = filter.alternatives();
    for (column, count) in columns {
        conditions.push(format!("{column} IN ({})", vec!["?"; count].join(", ")));
    }
    values.extend(wanted.into_iter().map(|v| Box::new(v.to_owned()) as Box<dyn ToSql>));
    if !filter.orgs.is_empty() {
        let places = vec!["?"; filter.orgs.len()].join(", ");
        conditions.push(format!("org_id IN ({places})"));
        values.extend(filter.orgs.iter().map(|org| Box::new(org.clone()) as Box<dyn ToSql>));
    }
    for (tag, value) in &filter.tags {
        conditions.push(
            "EXISTS (SELECT 1 FROM json_each(tags) t WHERE t.key = ? AND t.value = ?)".to_owned(),
        );
        values.push(Box::new(tag.clone()));
        values.push(Box::new(value.clone()));
    }
    if let Some(search) = &filter.search {
        let has = search.columns().map(|column| format!("{column} LIKE ? ESCAPE '\\'"));
        conditions.push(format!("({})", has.collect::<Vec<_>>().join(" OR ")));
        let pattern = like(&search.text);
        values.extend(search.columns().map(|_| Box::new(pattern.clone()) as Box<dyn ToSql>));
    }
    if let Some(Place { created_at_ms, id }) = &filter.behind {
        conditions.push("(created_at, id) < (?, ?)".to_owned());
        values.push(Box::new(iso(*created_at_ms)));
        values.push(Box::new(id.clone()));
    }
    (conditions, values)
}

/// A row as an object; the bytes of its texts are added.
fn object(row: &rusqlite::Row<'_>, bytes: &mut usize) -> rusqlite::Result<Map<String, Value>> {
    let mut object = Map::new();
    for (at, column) in COLUMNS.iter().enumerate() {
        let value = match row.get_ref(at)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(n) if column.of == Type::Bool => Value::from(n != 0),
            ValueRef::Integer(n) => Value::from(n),
            ValueRef::Real(f) => Value::from(f),
            ValueRef::Text(text) | ValueRef::Blob(text) => {
                *bytes += text.len();
                if matches!(column.of, Type::Tags | Type::Attempts) {
                    serde_json::from_slice(text).unwrap_or(Value::Null)
                } else {
                    Value::from(String::from_utf8_lossy(text))
                }
            }
        };
        object.insert(column.name.to_owned(), value);
    }
    Ok(object)
}

/// A pattern of `LIKE` that fits all texts with this one in them.
fn like(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// When an id was made, if it tells.
fn made_ms(id: &str) -> Option<i64> {
    let (seconds, nanos) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    i64::try_from(seconds * 1_000 + u64::from(nanos / 1_000_000)).ok()
}
