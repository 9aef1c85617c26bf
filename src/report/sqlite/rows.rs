//! The rows of the embedded store for an export.
//!
//! Guarantees: the rows come in the order of the table's key, so nothing is sorted, and each page
//! is a statement of its own that begins behind the row before.

use rusqlite::params_from_iter;
use rusqlite::types::ToSql;

use super::SqliteReader;
use crate::ailog::columns::{COLUMNS, at, iso};
use crate::ailog::store::measures::Values;
use crate::ailog::store::sqlite::former::value_of;
use crate::ailog::store::sqlite::layout::stored_name;
use crate::bounds::{EXPORT_PAGE_BYTES, EXPORT_PAGE_ROWS};
use crate::report::export::{ExportError, Selection, Sink};
use crate::report::query::{Dim, ReadError, conditions, ms_of, shadow_sql};

const CREATED_AT: usize = at("created_at");
const ID: usize = at("id");

/// A place in the order of the rows, as the table has it.
struct Key {
    created_at: String,
    id: String,
}

impl SqliteReader {
    /// The first and the last millisecond of the rows in a stretch.
    pub(crate) fn span(&self, (from, to): (i64, i64)) -> Result<Option<(i64, i64)>, ReadError> {
        let end = |order: &str| {
            format!(
                "(SELECT created_at FROM ai_rows WHERE created_at >= ?1 AND created_at < ?2 \
                 ORDER BY created_at {order} LIMIT 1)"
            )
        };
        let sql = format!("SELECT {}, {}", end("ASC"), end("DESC"));
        let found = self.connection.query_row(&sql, [iso(from), iso(to)], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?))
        })?;
        let ms = |text: Option<String>| text.as_deref().and_then(ms_of);
        Ok(ms(found.0).zip(ms(found.1)))
    }

    /// Gives the rows of a selection to `sink`.
    pub(crate) fn export(
        &self,
        selection: &Selection,
        sink: &mut dyn Sink,
    ) -> Result<(), ExportError> {
        let (from, to) = selection.stretch;
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let sql = page_sql(&selection.only, &mut values);
        let mut after = Some(Key { created_at: iso(from), id: String::new() });
        let to = iso(to);
        while let Some(Key { created_at, id }) = after.take() {
            let bound: [&dyn ToSql; 3] = [&created_at, &id, &to];
            let bound = bound.into_iter().chain(values.iter().map(|value| &**value));
            after = self.page_of_rows(&sql, bound, sink)?;
        }
        Ok(())
    }

    /// Gives a page to `sink`; returns the place of its last row if there may be more.
    fn page_of_rows<'a>(
        &self,
        sql: &str,
        bound: impl Iterator<Item = &'a dyn ToSql>,
        sink: &mut dyn Sink,
    ) -> Result<Option<Key>, ExportError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut found = statement.query(params_from_iter(bound))?;
        let (mut rows, mut bytes, mut at_ms) = (0, 0, None);
        let mut next = None;
        while let Some(row) = found.next()? {
            let mut values = Values::UNKNOWN;
            for (place, column) in COLUMNS.iter().enumerate() {
                let stored = row.get_ref(place)?;
                bytes += stored.as_bytes_or_null().ok().flatten().map_or(8, <[u8]>::len);
                values.set(place, value_of(column, stored));
            }
            sink.take(&values);
            at_ms = Some(values.number(CREATED_AT));
            rows += 1;
            if rows >= EXPORT_PAGE_ROWS || bytes >= EXPORT_PAGE_BYTES {
                next = Some(Key { created_at: row.get(CREATED_AT)?, id: row.get(ID)? });
                break;
            }
        }
        drop(found);
        drop(statement);
        if let Some(at_ms) = at_ms {
            sink.write(at_ms).map_err(ExportError::Write)?;
        }
        Ok(next)
    }
}

/// A page as SQL, with the values of its conditions.
fn page_sql(only: &[(Dim, String)], values: &mut Vec<Box<dyn ToSql>>) -> String {
    let names: Vec<String> = COLUMNS.iter().map(stored_name).collect();
    let mut sql = format!(
        "SELECT {} FROM ai_log WHERE (created_at, id) > (?, ?) AND created_at < ?",
        names.join(", ")
    );
    for (dim, wanted) in conditions(only) {
        let value = match dim {
            Dim::Tag(name) => {
                values.push(Box::new(name.to_string()));
                "coalesce((SELECT t.value FROM json_each(tags) t WHERE t.key = ?), '')".to_owned()
            }
            Dim::Shadow => shadow_sql("shadow", "instr"),
            other => other.column().into_owned(),
        };
        sql.push_str(&format!(" AND {value} IN ({})", vec!["?"; wanted.len()].join(", ")));
        for wanted in wanted {
            values.push(Box::new(wanted.to_owned()));
        }
    }
    sql + " ORDER BY created_at, id"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ailog::tests::{SOON, open, row};

    #[test]
    fn a_page_is_read_in_the_order_of_the_table() {
        let dir = tempfile::tempdir().expect("dir");
        let (log, _) = open(dir.path());
        log.append(&row(1));
        assert!(log.flush(SOON));
        let reader =
            SqliteReader::open(&dir.path().join("tollgate.db")).expect("file").expect("a log");
        let mut values = Vec::new();
        let only = [(Dim::Org, "acme".to_owned()), (Dim::Tag("team".into()), "blue".to_owned())];
        let sql = format!("EXPLAIN QUERY PLAN {}", page_sql(&only, &mut values));
        let mut plan = reader.connection.prepare(&sql).expect("sql");
        let all: [&dyn ToSql; 3] = [&"2026", &"", &"2027"];
        let all = all.into_iter().chain(values.iter().map(|value| &**value));
        let steps = plan.query_map(params_from_iter(all), |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.expect("a plan").map(|step| step.expect("text")).collect();
        assert!(
            steps.iter().any(|step| step.contains("SEARCH r USING PRIMARY KEY")),
            "the page begins behind the row before: {steps:?}"
        );
        assert!(!steps.iter().any(|step| step.contains("B-TREE")), "nothing is sorted: {steps:?}");
    }
}
