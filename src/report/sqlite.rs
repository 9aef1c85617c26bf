//! The embedded store, read: reports, rows, and costs computed again.
//!
//! Guarantees: repricing takes one transaction for each slice, so that a gateway that writes at the
//! same time waits for no more than that. Does not: create or migrate the file.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use serde_json::{Map, Value};
use tollgate_wire::usage::{ServiceTier, TokenUsage};

use super::days::Days;
use super::ledger::{Change, Ledger, StoredCall};
use super::query::{
    Dim, Filter, Grouping, Page, Place, ReadError, Spent, Summary, bounds_of, listed, ms_of,
};
use crate::ailog::columns::{COLUMNS, Type, column_list, iso};
use crate::ailog::store::sqlite::open_existing;

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
        let found = open_existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY, READ_PATIENCE)?;
        // A former layout has fewer columns, but enough for a report.
        Ok(found.map(|(connection, _)| SqliteReader { connection }))
    }

    /// Opens the file for repricing; `None` if there is none, or it has no log yet.
    pub(crate) fn open_to_reprice(path: &Path) -> Result<Option<SqliteReader>, ReadError> {
        match open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE, REPRICE_PATIENCE)? {
            None => Ok(None),
            Some((_, 1)) => Err(ReadError::Former),
            Some((connection, _)) => Ok(Some(SqliteReader { connection })),
        }
    }

    pub(crate) fn summary(
        &self,
        from_ms: i64,
        to_ms: i64,
        by: &[Dim],
        days: &Days,
        most: usize,
    ) -> Result<Vec<Summary>, ReadError> {
        let grouping = Grouping::new(by);
        let selected = grouping.selected(by, |dim| match dim {
            Dim::Day => day_of(days),
            other => other.column().to_owned(),
        });
        let Grouping { keys, names, clause } = &grouping;
        let keys = listed(keys.iter().cloned());
        let window = if by.is_empty() { String::new() } else { format!("PARTITION BY {names}") };
        let sql = format!(
            "WITH chosen AS (
                 SELECT {selected} calls, outcome, input_tokens, cached_tokens, output_tokens, \
                 cost_nano_usd,
                        usage_source <> 'none' AND cost_nano_usd IS NULL AS unpriced,
                        redacted_emails + redacted_phones + redacted_other AS redactions, \
                        attachments_dropped, latency_ms
                 FROM ai_log WHERE created_at >= ?1 AND created_at < ?2
             ), ranked AS (
                 SELECT *, row_number() OVER ({window} ORDER BY latency_ms) AS rank, count(*) OVER \
                 ({window}) AS rows
                 FROM chosen
             )
             SELECT {keys} sum(calls),
                    sum(CASE WHEN outcome IN ('provider_error', 'timeout', 'refused') THEN calls \
                    ELSE 0 END),
                    sum(CASE WHEN outcome = 'rate_limited' THEN calls ELSE 0 END),
                    sum(input_tokens), sum(cached_tokens), sum(output_tokens), \
                    coalesce(sum(cost_nano_usd), 0),
                    sum(CASE WHEN unpriced THEN calls ELSE 0 END), sum(redactions), \
                    sum(attachments_dropped),
                    max(CASE WHEN rank = (50 * rows + 99) / 100 THEN latency_ms END),
                    max(CASE WHEN rank = (95 * rows + 99) / 100 THEN latency_ms END),
                    max(CASE WHEN rank = (99 * rows + 99) / 100 THEN latency_ms END)
             FROM ranked {clause} LIMIT {most}"
        );
        let (from, to) = bounds_of(from_ms, to_ms);
        let mut statement = self.connection.prepare(&sql)?;
        let mut found = statement.query([from, to])?;
        let mut lines = Vec::new();
        while let Some(row) = found.next()? {
            let summary = summary_of(row, by.len())?;
            // Without dimensions SQL returns one line even if there is no row.
            if summary.calls > 0 {
                lines.push(summary);
            }
        }
        Ok(lines)
    }

    pub(crate) fn spent(
        &self,
        from_ms: i64,
        to_ms: i64,
        most: usize,
    ) -> Result<Vec<Spent>, ReadError> {
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

    pub(crate) fn page(
        &self,
        filter: &Filter,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let mut conditions = vec!["1".to_owned()];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        for (condition, ms) in
            [("created_at >= ?", filter.from_ms), ("created_at < ?", filter.to_ms)]
        {
            if let Some(ms) = ms {
                conditions.push(condition.to_owned());
                values.push(Box::new(iso(ms)));
            }
        }
        for (column, value) in &filter.equal {
            conditions.push(format!("{column} = ?"));
            values.push(Box::new(value.clone()));
        }
        for (name, value) in &filter.tags {
            let has =
                "EXISTS (SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = ? AND tag.value = ?)";
            conditions.push(has.to_owned());
            values.push(Box::new(name.clone()));
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
            for (at, column) in COLUMNS.iter().enumerate() {
                let value = match row.get_ref(at)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(n) if column.of == Type::Bool => Value::from(n != 0),
                    ValueRef::Integer(n) => Value::from(n),
                    ValueRef::Real(f) => Value::from(f),
                    ValueRef::Text(text) | ValueRef::Blob(text) => {
                        bytes += text.len();
                        if matches!(column.of, Type::Tags | Type::Attempts) {
                            serde_json::from_slice(text).unwrap_or(Value::Null)
                        } else {
                            Value::from(String::from_utf8_lossy(text))
                        }
                    }
                };
                object.insert(column.name.to_owned(), value);
            }
            page.rows.push(object);
        }
        Ok(page)
    }
}

/// One line of a summary; `keys` columns stand before the sums.
fn summary_of(row: &rusqlite::Row<'_>, keys: usize) -> rusqlite::Result<Summary> {
    let number = |at: usize| row.get::<_, Option<i64>>(keys + at).map(|n| n.unwrap_or(0));
    let count = |at: usize| number(at).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(Summary {
        key: (0..keys).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?,
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
    })
}

impl Ledger for SqliteReader {
    fn slice(&self) -> u64 {
        REPRICE_SLICE
    }

    fn extent(&mut self, from_ms: i64, to_ms: i64) -> Result<(u64, i64, i64), ReadError> {
        let sql = "SELECT count(*), coalesce(min(created_at), ''), coalesce(max(created_at), '') \
            FROM ai_log
                   WHERE created_at >= ?1 AND created_at < ?2";
        let (rows, first, last): (i64, String, String) =
            self.connection.prepare_cached(sql)?.query_row([iso(from_ms), iso(to_ms)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let ms = |text: &str| ms_of(text).unwrap_or(from_ms);
        Ok((u64::try_from(rows).unwrap_or(0), ms(&first), ms(&last)))
    }

    fn rows(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<StoredCall>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, created_at, provider, model, response_model, input_tokens, cached_tokens, \
             cache_write_tokens,
                    cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, \
                    audio_output_tokens,
                    service_tier, usage_source <> 'none', cost_nano_usd, price_version
             FROM ai_log WHERE created_at >= ?1 AND created_at < ?2",
        )?;
        let rows = statement.query_map([iso(from_ms), iso(to_ms)], |row| {
            let tokens = |at: usize| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(StoredCall {
                id: row.get(0)?,
                at_ms: ms_of(&row.get::<_, String>(1)?).unwrap_or(from_ms),
                provider: row.get(2)?,
                model: row.get(3)?,
                response_model: row.get(4)?,
                usage: TokenUsage {
                    input: tokens(5)?,
                    cached: tokens(6)?,
                    cache_write: tokens(7)?,
                    cache_write_1h: tokens(8)?,
                    output: tokens(9)?,
                    reasoning: tokens(10)?,
                    audio_input: tokens(11)?,
                    audio_output: tokens(12)?,
                    tier: ServiceTier::named(&row.get::<_, String>(13)?),
                },
                has_usage: row.get(14)?,
                cost_nano: row.get(15)?,
                price_version: row.get(16)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn change(&mut self, changes: &[Change], version: &str) -> Result<(), ReadError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut update = transaction.prepare_cached(
                "UPDATE ai_log SET cost_nano_usd = ?2, price_version = ?3 WHERE id = ?1",
            )?;
            for change in changes {
                update.execute((&change.id, change.cost_nano, version))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn finish(&mut self, _version: &str) -> Result<(), ReadError> {
        Ok(())
    }
}

/// SQL for the day of a row. Times are texts of one form, so they compare as texts.
fn day_of(days: &Days) -> String {
    days.sql(
        |ms| format!("created_at < '{}'", iso(ms)),
        |offset| match offset {
            0 => "substr(created_at, 1, 10)".to_owned(),
            offset => format!("date(created_at, '{offset:+} seconds')"),
        },
    )
}
