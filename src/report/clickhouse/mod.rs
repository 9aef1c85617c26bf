//! ClickHouse, read: reports (see `sums`), rows, and costs computed again (see `ledger`).
//!
//! Does not: create or migrate tables, except the temporary one of a repricing run.

mod ledger;
mod rows;
mod sums;

use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::query::Query;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::query::{Filter, Page, Part, Place, Question, ReadError, Spent, Summary};
use crate::ailog::AuditRecord;
use crate::ailog::columns::{COLUMNS, Type};
use crate::ailog::store::clickhouse::schema::all_of;
use crate::ailog::store::clickhouse::{client, runtime};
use crate::config::policy::ClickHouseOptions;
pub(crate) use ledger::ClickHouseLedger;
#[cfg(test)]
pub(crate) use ledger::cluster_statements;

/// The longest time for one report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows that one query names by their ids: a query may have 256 KiB.
const NAMED_ROWS_MAX: usize = 2_000;
/// The last millisecond of DateTime64: the end of the year 2299.
const LAST_MS: i64 = 10_413_791_999_999;

/// A client that only reads.
pub(crate) struct ClickHouseReader {
    client: clickhouse::Client,
    /// The end of the names of tables: on a cluster, of those over all shards.
    all: &'static str,
    runtime: Runtime,
}

impl ClickHouseReader {
    pub(crate) fn new(options: &ClickHouseOptions) -> Result<ClickHouseReader, ReadError> {
        let runtime = runtime()?;
        let client = runtime
            .block_on(client(options))
            // An error in the middle of an answer must not look like its end.
            .with_setting("wait_end_of_query", "1")
            // Both sides of a join are read from all shards.
            .with_setting("distributed_product_mode", "global")
            .with_setting("date_time_output_format", "iso")
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("output_format_json_quote_decimals", "0");
        Ok(ClickHouseReader { client, all: all_of(Some(&options.cluster)), runtime })
    }

    pub(crate) fn summary(
        &self,
        question: &Question<'_>,
        part: &Part,
    ) -> Result<Vec<Summary>, ReadError> {
        let Some((sql, values)) = sums::summary(question, part, self.all) else {
            return Ok(Vec::new());
        };
        let query = values.iter().fold(self.client.query(&sql), |query, value| query.bind(value));
        let lines = self.fetch(query, REPORT_TIMEOUT)?;
        Ok(lines.iter().filter_map(|line| sums::line(line, question.by.len())).collect())
    }

    pub(crate) fn audit(&self, chain: Option<&str>) -> Result<Vec<AuditRecord>, ReadError> {
        let sql = format!(
            "SELECT DISTINCT chain, seq, record, hash FROM policy_audit{} WHERE chain = ? OR ? = 1 \
             ORDER BY chain, seq, hash",
            self.all
        );
        let query = self.client.query(&sql);
        let query = query.bind(chain.unwrap_or_default()).bind(u8::from(chain.is_none()));
        let text = |row: &Map<String, Value>, name: &str| {
            row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let read = |row: &Map<String, Value>| AuditRecord {
            chain: text(row, "chain"),
            seq: row.get("seq").and_then(Value::as_u64).unwrap_or(0),
            record: text(row, "record"),
            hash: text(row, "hash"),
        };
        Ok(self.fetch(query, REPORT_TIMEOUT)?.iter().map(read).collect())
    }

    pub(crate) fn spent(
        &self,
        from_ms: i64,
        to_ms: i64,
        most: usize,
    ) -> Result<Vec<Spent>, ReadError> {
        let Some((sql, _)) = sums::spent((from_ms, to_ms), most, self.all) else {
            return Ok(Vec::new());
        };
        Ok(self
            .fetch(self.client.query_raw(&sql), REPORT_TIMEOUT)?
            .iter()
            .map(sums::cost)
            .collect())
    }

    /// The moment of the row at this place before a moment, counted from the newest.
    pub(crate) fn moment_of(&self, before_ms: i64, place: usize) -> Result<Option<i64>, ReadError> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(created_at) AS ms FROM ai_rows{} WHERE created_at < \
             fromUnixTimestamp64Milli(toInt64(?), 'UTC') ORDER BY created_at DESC LIMIT 1 OFFSET ?",
            self.all
        );
        let query = self.client.query(&sql).bind(before_ms.clamp(0, LAST_MS)).bind(place as u64);
        let found = self.fetch(query, REPORT_TIMEOUT)?;
        Ok(found.first().and_then(|line| line.get("ms")?.as_i64()))
    }

    pub(crate) fn page(
        &self,
        filter: &Filter,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let (mut page, mut left) = (Page::default(), bytes_max);
        for places in self.places(filter, limit)?.chunks(NAMED_ROWS_MAX) {
            let Fetched { rows, bytes, is_cut } = self.named(places, left)?;
            page.rows.extend(rows);
            page.is_cut = is_cut;
            if is_cut {
                break;
            }
            left = left.saturating_sub(bytes);
        }
        Ok(page)
    }

    /// The rows at some places, newest first, until they take `bytes_max` bytes.
    fn named(&self, places: &[Place], bytes_max: usize) -> Result<Fetched, ReadError> {
        let (Some(newest), Some(oldest)) = (places.first(), places.last()) else {
            return Ok(Fetched::default());
        };
        let (newest, oldest) = (newest.created_at_ms, oldest.created_at_ms);
        let ids: Vec<&str> = places.iter().map(|place| place.id.as_str()).collect();
        let sql = rows::named_sql(self.all, places.len());
        let mut query = self.client.query(&sql);
        for _ in ["ai_rows", "ai_captures"] {
            query = query.bind(oldest).bind(newest).bind(&ids);
        }
        let mut fetched = fetch_some(&self.runtime, query, REPORT_TIMEOUT, bytes_max)?;
        for row in &mut fetched.rows {
            // ClickHouse writes a whole number without a point, the embedded store with one.
            for column in &COLUMNS {
                if let (Type::NanoUsd | Type::OptionalFloat, Some(value)) =
                    (column.of, row.get_mut(column.name))
                    && let Some(float) = value.as_f64()
                {
                    *value = Value::from(float);
                }
            }
        }
        Ok(fetched)
    }

    /// The places of the newest rows that a filter lets pass. The other columns are read for these
    /// rows alone: there are many, and some are long.
    fn places(&self, filter: &Filter, limit: usize) -> Result<Vec<Place>, ReadError> {
        let (conditions, wanted) = (conditions(filter), filter.alternatives().1);
        let in_texts = filter.search.as_ref().is_some_and(|search| search.in_texts);
        // The order of the table begins with the day, so the newest days are read first.
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(created_at) AS ms, toString(id) AS text FROM {}{} \
             WHERE {} ORDER BY toDate(created_at) DESC, created_at DESC, toString(id) DESC \
             LIMIT {limit}",
            if in_texts { "ai_log" } else { "ai_rows" },
            self.all,
            conditions.join(" AND ")
        );
        let mut query = self.client.query(&sql);
        for ms in [filter.from_ms, filter.to_ms].into_iter().flatten() {
            query = query.bind(ms.clamp(0, LAST_MS));
        }
        for value in wanted {
            query = query.bind(value);
        }
        if !filter.orgs.is_empty() {
            query = query.bind(&filter.orgs);
        }
        for (tag, value) in &filter.tags {
            query = query.bind(tag.as_str()).bind(tag.as_str()).bind(value.as_str());
        }
        if let Some(search) = &filter.search {
            for _ in search.columns() {
                query = query.bind(search.text.as_str());
            }
        }
        if let Some(Place { created_at_ms, id }) = &filter.behind {
            query = query.bind((*created_at_ms).clamp(0, LAST_MS)).bind(id.as_str());
        }
        let place = |line: &Map<String, Value>| {
            let created_at_ms = line.get("ms")?.as_i64()?;
            Some(Place { created_at_ms, id: line.get("text")?.as_str()?.to_owned() })
        };
        let found = self.fetch(query, REPORT_TIMEOUT)?;
        found.iter().map(|line| place(line).ok_or(ReadError::Answer)).collect()
    }

    /// The rows of an answer, as objects.
    fn fetch(&self, query: Query, timeout: Duration) -> Result<Vec<Map<String, Value>>, ReadError> {
        Ok(fetch_some(&self.runtime, query, timeout, usize::MAX)?.rows)
    }
}

/// The conditions of a filter. Their values are bound in the same order.
fn conditions(filter: &Filter) -> Vec<String> {
    let mut conditions = vec!["1".to_owned()];
    for (operator, ms) in [(">=", filter.from_ms), ("<", filter.to_ms)] {
        if ms.is_some() {
            conditions
                .push(format!("created_at {operator} fromUnixTimestamp64Milli(toInt64(?), 'UTC')"));
        }
    }
    let (columns, _) = filter.alternatives();
    for (column, count) in columns {
        let marks = vec!["?"; count].join(", ");
        conditions.push(match column {
            "id" | "status" => format!("toString({column}) IN ({marks})"),
            column => format!("{column} IN ({marks})"),
        });
    }
    if !filter.orgs.is_empty() {
        conditions.push("has(?, org_id)".to_owned());
    }
    for _ in &filter.tags {
        conditions.push("mapContains(tags, ?) AND tags[?] = ?".to_owned());
    }
    if let Some(search) = &filter.search {
        let has = search.columns().map(|column| {
            let text = if column == "tags" { "toString(tags)" } else { column };
            let text = if column == "id" { "toString(id)" } else { text };
            format!("positionCaseInsensitive(ifNull(toString({text}), ''), ?) > 0")
        });
        conditions.push(format!("({})", has.collect::<Vec<_>>().join(" OR ")));
    }
    if filter.behind.is_some() {
        conditions.push(
            "(created_at, toString(id)) < (fromUnixTimestamp64Milli(toInt64(?), 'UTC'), ?)"
                .to_owned(),
        );
    }
    conditions
}

/// Rows of an answer, as objects.
#[derive(Default)]
struct Fetched {
    rows: Vec<Map<String, Value>>,
    /// Their length in the answer.
    bytes: usize,
    /// There are more.
    is_cut: bool,
}

/// The rows of an answer, but no more once they take `bytes_max` bytes.
///
/// # Errors
/// The server cannot be reached, refuses, or needs longer than `timeout`.
fn fetch_some(
    runtime: &Runtime,
    query: Query,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Fetched, ReadError> {
    let work = async {
        let (mut cursor, mut answer, mut bytes) =
            (query.fetch_bytes("JSONEachRow")?, Vec::new(), 0);
        let mut is_cut = false;
        while let Some(part) = cursor.next().await? {
            if bytes >= bytes_max {
                is_cut = true;
                break;
            }
            answer.extend_from_slice(&part);
            // Whole rows count.
            bytes = answer.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        }
        if is_cut {
            answer.truncate(bytes);
        }
        Ok((answer, is_cut))
    };
    let answer =
        async { tokio::time::timeout(timeout, work).await.unwrap_or(Err(Error::TimedOut)) };
    let (answer, mut is_cut) = runtime.block_on(answer)?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for line in answer.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        if bytes >= bytes_max {
            is_cut = true;
            break;
        }
        bytes += line.len();
        rows.push(serde_json::from_slice(line).map_err(|_| ReadError::Answer)?);
    }
    Ok(Fetched { rows, bytes, is_cut })
}
