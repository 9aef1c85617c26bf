//! Reports from the embedded store.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value};

use super::{Days, Dim, Filter, Page, Place, ReadError, Spent, Summary, bounds_of, listed};
use crate::ailog::columns::{COLUMNS, Type, column_list, iso};
use crate::ailog::sqlite::open_existing;

/// A connection that only reads.
pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file; nothing if there is none, or it has no log yet.
    pub(super) fn open(path: &Path) -> Result<Option<Sqlite>, ReadError> {
        let found = open_existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::from_secs(5))?;
        // A former layout has fewer columns; what they are not asked for can be read.
        Ok(found.map(|(connection, _)| Sqlite { connection }))
    }

    pub(super) fn summary(
        &self,
        from_ms: i64,
        to_ms: i64,
        by: &[Dim],
        days: &Days,
        most: usize,
    ) -> Result<Vec<Summary>, ReadError> {
        let keys: Vec<String> = (0..by.len()).map(|i| format!("k{i}")).collect();
        let selected = listed(by.iter().zip(&keys).map(|(dim, key)| match dim {
            Dim::Day => format!("{} AS {key}", day_of(days)),
            other => format!("{} AS {key}", other.column()),
        }));
        let (keys, names) = (listed(keys.iter().cloned()), keys.join(", "));
        let window = if by.is_empty() { String::new() } else { format!("PARTITION BY {names}") };
        let grouped = if by.is_empty() { String::new() } else { format!("GROUP BY {names} ORDER BY {names}") };
        let sql = format!(
            "WITH chosen AS (
                 SELECT {selected} calls, outcome, input_tokens, cached_tokens, output_tokens, cost_nano_usd,
                        usage_source <> 'none' AND cost_nano_usd IS NULL AS unpriced,
                        redacted_emails + redacted_phones + redacted_other AS redactions, attachments_dropped, latency_ms
                 FROM ai_log WHERE created_at >= ?1 AND created_at < ?2
             ), ranked AS (
                 SELECT *, row_number() OVER ({window} ORDER BY latency_ms) AS rank, count(*) OVER ({window}) AS rows
                 FROM chosen
             )
             SELECT {keys} sum(calls),
                    sum(CASE WHEN outcome IN ('provider_error', 'timeout', 'refused') THEN calls ELSE 0 END),
                    sum(CASE WHEN outcome = 'rate_limited' THEN calls ELSE 0 END),
                    sum(input_tokens), sum(cached_tokens), sum(output_tokens), coalesce(sum(cost_nano_usd), 0),
                    sum(CASE WHEN unpriced THEN calls ELSE 0 END), sum(redactions), sum(attachments_dropped),
                    max(CASE WHEN rank = (50 * rows + 99) / 100 THEN latency_ms END),
                    max(CASE WHEN rank = (95 * rows + 99) / 100 THEN latency_ms END),
                    max(CASE WHEN rank = (99 * rows + 99) / 100 THEN latency_ms END)
             FROM ranked {grouped} LIMIT {most}"
        );
        let (from, to) = bounds_of(from_ms, to_ms);
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = statement.query([from, to])?;
        let mut lines = Vec::new();
        while let Some(row) = found.next()? {
            let number = |at: usize| row.get::<_, Option<i64>>(by.len() + at).map(|n| n.unwrap_or(0));
            let count = |at: usize| number(at).map(|n| u64::try_from(n).unwrap_or(0));
            let summary = Summary {
                key: (0..by.len()).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?,
                calls: count(0)?,
                errors: count(1)?,
                rate_limited: count(2)?,
                input_tokens: count(3)?,
                cached_tokens: count(4)?,
                output_tokens: count(5)?,
                cost_nano_usd: number(6)?,
                unpriced: count(7)?,
                redactions: count(8)?,
                attachments_dropped: count(9)?,
                p50_ms: count(10)?,
                p95_ms: count(11)?,
                p99_ms: count(12)?,
            };
            // Without dimensions SQL gives one line even where there is no row.
            if summary.calls > 0 {
                lines.push(summary);
            }
        }
        Ok(lines)
    }

    pub(super) fn spent(&self, from_ms: i64, to_ms: i64, most: usize) -> Result<Vec<Spent>, ReadError> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT org_id, caller, model, sum(cost_nano_usd) FROM ai_log
             WHERE created_at >= ?1 AND created_at < ?2 AND cost_nano_usd > 0
             GROUP BY org_id, caller, model ORDER BY 4 DESC LIMIT {most}"
        ))?;
        let (from, to) = bounds_of(from_ms, to_ms);
        let sums = statement.query_map([from, to], |row| {
            let nano_usd = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
            Ok(Spent { org: row.get(0)?, caller: row.get(1)?, model: row.get(2)?, nano_usd })
        })?;
        Ok(sums.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn page(&self, filter: &Filter, limit: usize, bytes_max: usize) -> Result<Page, ReadError> {
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        for (condition, ms) in [("created_at >= ?", filter.from_ms), ("created_at < ?", filter.to_ms)] {
            if let Some(ms) = ms {
                conditions.push(condition.to_owned());
                values.push(Box::new(iso(ms)));
            }
        }
        for (column, value) in &filter.equal {
            conditions.push(format!("{column} = ?"));
            values.push(Box::new(value.clone()));
        }
        if let Some(Place { created_at_ms, id }) = &filter.behind {
            conditions.push("(created_at, id) < (?, ?)".to_owned());
            values.push(Box::new(iso(*created_at_ms)));
            values.push(Box::new(id.clone()));
        }
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
            let mut object = Map::new();
            for (at, (name, of)) in COLUMNS.iter().enumerate() {
                let value = match row.get_ref(at)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(n) if *of == Type::Bool => Value::from(n != 0),
                    ValueRef::Integer(n) => Value::from(n),
                    ValueRef::Real(f) => Value::from(f),
                    ValueRef::Text(text) | ValueRef::Blob(text) => {
                        bytes += text.len();
                        Value::from(String::from_utf8_lossy(text))
                    }
                };
                object.insert((*name).to_owned(), value);
            }
            page.rows.push(object);
        }
        Ok(page)
    }
}

/// The day of a row. Times are texts of one form, so that they compare as they stand.
fn day_of(days: &Days) -> String {
    days.sql(
        |ms| format!("created_at < '{}'", iso(ms)),
        |offset| match offset {
            0 => "substr(created_at, 1, 10)".to_owned(),
            offset => format!("date(created_at, '{offset:+} seconds')"),
        },
    )
}
