//! ClickHouse, read: reports, rows, and costs computed again.
//!
//! Does not: create or migrate tables, except the temporary one of a repricing run.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;
use clickhouse::query::Query;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tollgate_wire::usage::{ServiceTier, TokenUsage};
use uuid::Uuid;

use super::days::Days;
use super::ledger::{Change, Ledger, StoredCall};
use super::query::{Dim, Filter, Grouping, Page, Place, ReadError, Spent, Summary};
use crate::ailog::columns::{COLUMNS, Type, column_list};
use crate::ailog::store::clickhouse::{client, runtime};
use crate::config::policy::ClickHouseOptions;
use crate::money::parse_usd;

/// The longest time for one report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(60);
/// Rows that repricing reads at once.
const REPRICE_SLICE: u64 = 50_000;
/// Costs of one mutation.
const MUTATION_ROWS_MAX: u64 = 1_000_000;
/// The longest time for one statement of repricing: a mutation of a large table takes long.
const REPRICE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How long a failed run waits for its table to be dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);
/// The last millisecond of DateTime64: the end of the year 2299.
const LAST_MS: i64 = 10_413_791_999_999;

/// A client that only reads.
pub(crate) struct ClickHouseReader {
    client: clickhouse::Client,
    runtime: Runtime,
}

impl ClickHouseReader {
    pub(crate) fn new(options: &ClickHouseOptions) -> Result<ClickHouseReader, ReadError> {
        let client = client(options)
            // An error in the middle of an answer must not look like its end.
            .with_setting("wait_end_of_query", "1")
            .with_setting("date_time_output_format", "iso")
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("output_format_json_quote_decimals", "0");
        Ok(ClickHouseReader { client, runtime: runtime()? })
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
            Dim::Day => format!("toString({})", day_of(days)),
            other => format!("toString(l.{})", other.column()),
        });
        let Grouping { keys, names, clause } = &grouping;
        let sql = format!(
            "SELECT {selected}
                    sum(l.calls) AS s_calls,
                    sumIf(l.calls, l.outcome IN ('provider_error', 'timeout', 'refused')) AS \
                    s_errors,
                    sumIf(l.calls, l.outcome = 'rate_limited') AS s_rate_limited,
                    sum(l.input_tokens) AS s_input, sum(l.cached_tokens) AS s_cached, \
                    sum(l.output_tokens) AS s_output,
                    toString(ifNull(sum(l.cost_usd), toDecimal128(0, 9))) AS s_cost,
                    sumIf(l.calls, l.cost_usd IS NULL AND l.usage_source != 'none') AS s_unpriced,
                    sum(l.redacted_emails) + sum(l.redacted_phones) + sum(l.redacted_other) AS \
                    s_redactions,
                    sum(l.attachments_dropped) AS s_attachments,
                    arraySort(groupArray(l.latency_ms)) AS s_latencies, count() AS s_rows,
                    s_latencies[intDiv(50 * s_rows + 99, 100)] AS s_p50,
                    s_latencies[intDiv(95 * s_rows + 99, 100)] AS s_p95,
                    s_latencies[intDiv(99 * s_rows + 99, 100)] AS s_p99
             FROM ai_log AS l
             WHERE l.created_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')
               AND l.created_at < fromUnixTimestamp64Milli(toInt64(?), 'UTC')
             {clause} LIMIT {most}"
        );
        // The sorted latencies are only a step on the way; they stay on the server.
        let outer = format!("SELECT * EXCEPT (s_latencies, s_rows) FROM ({sql})");
        let outer = if by.is_empty() { outer } else { format!("{outer} ORDER BY {names}") };
        let query =
            self.client.query(&outer).bind(from_ms.clamp(0, LAST_MS)).bind(to_ms.clamp(0, LAST_MS));
        let mut lines = Vec::new();
        for object in self.fetch(query, REPORT_TIMEOUT)? {
            let text = |name: &str| {
                object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let count = |name: &str| object.get(name).and_then(Value::as_u64).unwrap_or(0);
            let summary = Summary {
                key: keys.iter().map(|k| text(k)).collect(),
                calls: count("s_calls"),
                errors: count("s_errors"),
                rate_limited: count("s_rate_limited"),
                input_tokens: count("s_input"),
                cached_tokens: count("s_cached"),
                output_tokens: count("s_output"),
                cost_nano_usd: parse_usd(&text("s_cost")).unwrap_or(0),
                unpriced: count("s_unpriced"),
                redactions: count("s_redactions"),
                attachments_dropped: count("s_attachments"),
                p50_ms: count("s_p50"),
                p95_ms: count("s_p95"),
                p99_ms: count("s_p99"),
            };
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
        let query = self.client.query(&format!(
            "SELECT toString(l.org_id) AS s_org, toString(l.caller) AS s_caller, toString(l.model) \
             AS s_model,
                    toString(sum(l.cost_usd)) AS s_cost
             FROM ai_log AS l
             WHERE l.created_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')
               AND l.created_at < fromUnixTimestamp64Milli(toInt64(?), 'UTC') AND l.cost_usd > 0
             GROUP BY l.org_id, l.caller, l.model ORDER BY sum(l.cost_usd) DESC LIMIT {most}"
        ));
        let sums = self.fetch(
            query.bind(from_ms.clamp(0, LAST_MS)).bind(to_ms.clamp(0, LAST_MS)),
            REPORT_TIMEOUT,
        )?;
        let text = |sum: &Map<String, Value>, name| {
            sum.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let spent = |sum: &Map<String, Value>| Spent {
            org: text(sum, "s_org"),
            caller: text(sum, "s_caller"),
            model: text(sum, "s_model"),
            nano_usd: parse_usd(&text(sum, "s_cost"))
                .and_then(|nano| u64::try_from(nano).ok())
                .unwrap_or(0),
        };
        Ok(sums.iter().map(spent).collect())
    }

    pub(crate) fn page(
        &self,
        filter: &Filter,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        let mut conditions = vec!["1".to_owned()];
        for (operator, ms) in [(">=", filter.from_ms), ("<", filter.to_ms)] {
            if ms.is_some() {
                conditions.push(format!(
                    "created_at {operator} fromUnixTimestamp64Milli(toInt64(?), 'UTC')"
                ));
            }
        }
        for (column, _) in &filter.equal {
            conditions.push(match *column {
                "id" | "status" => format!("toString({column}) = ?"),
                column => format!("{column} = ?"),
            });
        }
        filter.tags.iter().for_each(|_| conditions.push("tags[?] = ?".to_owned()));
        if filter.behind.is_some() {
            conditions.push(
                "(created_at, toString(id)) < (fromUnixTimestamp64Milli(toInt64(?), 'UTC'), ?)"
                    .to_owned(),
            );
        }
        let sql = format!(
            "SELECT {} FROM ai_log WHERE {} ORDER BY created_at DESC, toString(id) DESC LIMIT \
             {limit}",
            column_list(),
            conditions.join(" AND ")
        );
        let mut query = self.client.query(&sql);
        for ms in [filter.from_ms, filter.to_ms].into_iter().flatten() {
            query = query.bind(ms.clamp(0, LAST_MS));
        }
        for (_, value) in &filter.equal {
            query = query.bind(value.as_str());
        }
        for (name, value) in &filter.tags {
            query = query.bind(name.as_str()).bind(value.as_str());
        }
        if let Some(Place { created_at_ms, id }) = &filter.behind {
            query = query.bind((*created_at_ms).clamp(0, LAST_MS)).bind(id.as_str());
        }
        let (mut rows, is_cut) = fetch_some(&self.runtime, query, REPORT_TIMEOUT, bytes_max)?;
        for row in &mut rows {
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
        Ok(Page { rows, is_cut })
    }

    /// The rows of an answer, as objects.
    fn fetch(&self, query: Query, timeout: Duration) -> Result<Vec<Map<String, Value>>, ReadError> {
        Ok(fetch_some(&self.runtime, query, timeout, usize::MAX)?.0)
    }
}

/// The rows of an answer, as objects, but no more once they take `bytes_max` bytes; and whether
/// there are more.
///
/// # Errors
/// The server cannot be reached, refuses, or needs longer than `timeout`.
fn fetch_some(
    runtime: &Runtime,
    query: Query,
    timeout: Duration,
    bytes_max: usize,
) -> Result<(Vec<Map<String, Value>>, bool), ReadError> {
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
    let mut taken = 0;
    let mut rows = Vec::new();
    for line in answer.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        if taken >= bytes_max {
            is_cut = true;
            break;
        }
        taken += line.len();
        rows.push(serde_json::from_slice(line).map_err(|_| ReadError::Answer)?);
    }
    Ok((rows, is_cut))
}

/// Repricing: the new costs go into a table of their own, then one mutation takes them over.
///
/// A mutation rewrites two columns of every part it touches, so there is one for many rows. On a
/// cluster it would need that table on every server: any table but a plain MergeTree is refused.
/// Each run has a table of its own, so that two runs do not disturb each other; it is dropped at
/// the end, also of a run that fails.
pub(crate) struct ClickHouseLedger {
    reader: ClickHouseReader,
    database: String,
    /// The table of the new costs; `None` if none was created.
    costs: Option<String>,
    /// Costs that wait for their mutation.
    waiting: u64,
}

impl ClickHouseLedger {
    pub(crate) fn open(
        options: &ClickHouseOptions,
        dry_run: bool,
    ) -> Result<ClickHouseLedger, ReadError> {
        let reader = ClickHouseReader::new(options)?;
        let database = options.database.clone();
        let mut ledger = ClickHouseLedger { reader, database, costs: None, waiting: 0 };
        if !dry_run {
            let found = ledger.fetch(
                "SELECT engine FROM system.tables WHERE database = currentDatabase() AND \
                    name = 'ai_log'",
            )?;
            let engine = found.first().and_then(|row| row.get("engine")).and_then(Value::as_str);
            let engine = engine.ok_or(ReadError::NoSchema)?;
            if !engine.ends_with("MergeTree")
                || engine.starts_with("Replicated")
                || engine.starts_with("Shared")
            {
                return Err(ReadError::NotHere { engine: engine.to_owned() });
            }
            let costs = format!("tollgate_reprice_{:016x}", fastrand::u64(..));
            ledger.execute(&format!(
                "CREATE TABLE {costs} (id UUID, cost_usd Decimal(18, 9)) ENGINE = Join(ANY, LEFT, \
                 id)
                 COMMENT 'Costs that a running tollgate reprice is about to take over'"
            ))?;
            ledger.costs = Some(costs);
        }
        Ok(ledger)
    }

    /// The table of the new costs. A dry run has none, and changes nothing.
    fn costs(&self) -> &str {
        self.costs.as_deref().unwrap_or_default()
    }

    fn execute(&self, sql: &str) -> Result<(), ReadError> {
        let work = self.reader.client.query_raw(sql).execute();
        let done = async {
            tokio::time::timeout(REPRICE_TIMEOUT, work).await.unwrap_or(Err(Error::TimedOut))
        };
        Ok(self.reader.runtime.block_on(done)?)
    }

    fn fetch(&self, sql: &str) -> Result<Vec<Map<String, Value>>, ReadError> {
        self.reader.fetch(self.reader.client.query_raw(sql), REPRICE_TIMEOUT)
    }

    fn mutate(&mut self, version: &str) -> Result<(), ReadError> {
        if self.waiting == 0 {
            return Ok(());
        }
        let costs = self.costs();
        // The version is digits, dots and letters of our own making; the database's name is one of
        // letters and digits.
        self.execute(&format!(
            "ALTER TABLE ai_log UPDATE cost_usd = joinGet('{}.{costs}', 'cost_usd', id), \
             price_version = '{version}'
             WHERE id IN (SELECT id FROM {costs}) SETTINGS mutations_sync = 2",
            self.database
        ))?;
        self.execute(&format!("TRUNCATE TABLE {costs}"))?;
        self.waiting = 0;
        Ok(())
    }
}

/// The window as a condition. Numbers only.
fn within(from_ms: i64, to_ms: i64) -> String {
    let (from_ms, to_ms) = (from_ms.clamp(0, LAST_MS), to_ms.clamp(0, LAST_MS));
    format!(
        "created_at >= fromUnixTimestamp64Milli(toInt64({from_ms}), 'UTC')
         AND created_at < fromUnixTimestamp64Milli(toInt64({to_ms}), 'UTC')"
    )
}

impl Ledger for ClickHouseLedger {
    fn slice(&self) -> u64 {
        REPRICE_SLICE
    }

    fn extent(&mut self, from_ms: i64, to_ms: i64) -> Result<(u64, i64, i64), ReadError> {
        let found = self.fetch(&format!(
            "SELECT count() AS rows, toUnixTimestamp64Milli(min(created_at)) AS first,
                    toUnixTimestamp64Milli(max(created_at)) AS last FROM ai_log WHERE {}",
            within(from_ms, to_ms)
        ))?;
        let number = |name: &str| {
            found.first().and_then(|row| row.get(name)).and_then(Value::as_i64).unwrap_or(0)
        };
        Ok((u64::try_from(number("rows")).unwrap_or(0), number("first"), number("last")))
    }

    fn rows(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<StoredCall>, ReadError> {
        let found = self.fetch(&format!(
            "SELECT toString(id) AS r_id, toUnixTimestamp64Milli(created_at) AS r_at, \
             toString(provider) AS r_provider,
                    toString(model) AS r_model, toString(response_model) AS r_response_model, \
                    input_tokens, cached_tokens,
                    cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, \
                    audio_input_tokens,
                    audio_output_tokens, toString(service_tier) AS r_tier, toString(usage_source) \
                    AS r_source,
                    toString(cost_usd) AS r_cost, toString(price_version) AS r_version
             FROM ai_log WHERE {}",
            within(from_ms, to_ms)
        ))?;
        let stored = |row: &Map<String, Value>| {
            let text =
                |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let tokens =
                |name: &str| row.get(name).and_then(Value::as_u64).ok_or(ReadError::Answer);
            Ok(StoredCall {
                id: text("r_id"),
                at_ms: row.get("r_at").and_then(Value::as_i64).ok_or(ReadError::Answer)?,
                provider: text("r_provider"),
                model: text("r_model"),
                response_model: text("r_response_model"),
                usage: TokenUsage {
                    input: tokens("input_tokens")?,
                    cached: tokens("cached_tokens")?,
                    cache_write: tokens("cache_write_tokens")?,
                    cache_write_1h: tokens("cache_write_1h_tokens")?,
                    output: tokens("output_tokens")?,
                    reasoning: tokens("reasoning_tokens")?,
                    audio_input: tokens("audio_input_tokens")?,
                    audio_output: tokens("audio_output_tokens")?,
                    tier: ServiceTier::named(&text("r_tier")),
                },
                has_usage: text("r_source") != "none",
                cost_nano: row.get("r_cost").and_then(Value::as_str).and_then(parse_usd),
                price_version: text("r_version"),
            })
        };
        found.iter().map(stored).collect()
    }

    fn change(&mut self, changes: &[Change], version: &str) -> Result<(), ReadError> {
        let mut body = Vec::with_capacity(changes.len() * 24);
        for change in changes {
            let id = Uuid::parse_str(&change.id).map_err(|_| ReadError::Answer)?;
            let (high, low) = id.as_u64_pair();
            body.extend_from_slice(&high.to_le_bytes());
            body.extend_from_slice(&low.to_le_bytes());
            body.extend_from_slice(&change.cost_nano.to_le_bytes());
        }
        let mut insert = self
            .reader
            .client
            .insert_formatted_with(format!(
                "INSERT INTO {} (id, cost_usd) FORMAT RowBinary",
                self.costs()
            ))
            .with_setting("async_insert", "0");
        let work = async {
            insert.send(Bytes::from(body)).await?;
            insert.end().await
        };
        let done = async {
            tokio::time::timeout(REPRICE_TIMEOUT, work).await.unwrap_or(Err(Error::TimedOut))
        };
        self.reader.runtime.block_on(done)?;
        self.waiting += changes.len() as u64;
        if self.waiting >= MUTATION_ROWS_MAX { self.mutate(version) } else { Ok(()) }
    }

    fn finish(&mut self, version: &str) -> Result<(), ReadError> {
        self.mutate(version)?;
        match self.costs.take() {
            Some(costs) => self.execute(&format!("DROP TABLE {costs}")),
            None => Ok(()),
        }
    }
}

impl Drop for ClickHouseLedger {
    fn drop(&mut self) {
        let Some(costs) = self.costs.take() else { return };
        let drop_it = self.reader.client.query_raw(&format!("DROP TABLE IF EXISTS {costs}"));
        let work = async { tokio::time::timeout(DROP_TIMEOUT, drop_it.execute()).await };
        if !matches!(self.reader.runtime.block_on(work), Ok(Ok(()))) {
            tracing::warn!(table = costs, "the list of new costs was not dropped; it may be");
        }
    }
}

/// The day of a row.
fn day_of(days: &Days) -> String {
    days.sql(
        |ms| {
            format!(
                "l.created_at < fromUnixTimestamp64Milli(toInt64({}), 'UTC')",
                ms.clamp(0, LAST_MS)
            )
        },
        |offset| match offset {
            0 => "toDate(l.created_at)".to_owned(),
            offset => format!("toDate(l.created_at + toIntervalSecond({offset}))"),
        },
    )
}
