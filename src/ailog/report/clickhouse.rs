//! Reports from ClickHouse.

use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::query::Query;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::{Days, Dim, Filter, Page, Place, ReadError, Spent, Summary, listed, parse_usd};
use crate::ailog::clickhouse::{client, runtime};
use crate::ailog::columns::{COLUMNS, Type, column_list};
use crate::config::policy::ClickHouseOptions;

/// One report may take so long.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The last millisecond of DateTime64: the end of the year 2299.
pub(in crate::ailog) const LAST_MS: i64 = 10_413_791_999_999;

/// A client that only reads.
pub(super) struct ClickHouse {
    client: clickhouse::Client,
    runtime: Runtime,
}

impl ClickHouse {
    pub(super) fn new(options: &ClickHouseOptions) -> Result<ClickHouse, ReadError> {
        let client = client(options)
            // An error in the middle of an answer must not look like its end.
            .with_setting("wait_end_of_query", "1")
            .with_setting("date_time_output_format", "iso")
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("output_format_json_quote_decimals", "0");
        Ok(ClickHouse { client, runtime: runtime()? })
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
            Dim::Day => format!("toString({}) AS {key}", day_of(days)),
            other => format!("toString(l.{}) AS {key}", other.column()),
        }));
        let names = keys.join(", ");
        let grouped = if by.is_empty() { String::new() } else { format!("GROUP BY {names} ORDER BY {names}") };
        let sql = format!(
            "SELECT {selected}
                    sum(l.calls) AS s_calls,
                    sumIf(l.calls, l.outcome IN ('provider_error', 'timeout', 'refused')) AS s_errors,
                    sumIf(l.calls, l.outcome = 'rate_limited') AS s_rate_limited,
                    sum(l.input_tokens) AS s_input, sum(l.cached_tokens) AS s_cached, sum(l.output_tokens) AS s_output,
                    toString(ifNull(sum(l.cost_usd), toDecimal128(0, 9))) AS s_cost,
                    sumIf(l.calls, l.cost_usd IS NULL AND l.usage_source != 'none') AS s_unpriced,
                    sum(l.redacted_emails) + sum(l.redacted_phones) + sum(l.redacted_other) AS s_redactions,
                    sum(l.attachments_dropped) AS s_attachments,
                    arraySort(groupArray(l.latency_ms)) AS s_latencies, count() AS s_rows,
                    s_latencies[intDiv(50 * s_rows + 99, 100)] AS s_p50,
                    s_latencies[intDiv(95 * s_rows + 99, 100)] AS s_p95,
                    s_latencies[intDiv(99 * s_rows + 99, 100)] AS s_p99
             FROM ai_log AS l
             WHERE l.created_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')
               AND l.created_at < fromUnixTimestamp64Milli(toInt64(?), 'UTC')
             {grouped} LIMIT {most}"
        );
        // The sorted latencies are only a step on the way; they stay on the server.
        let outer = format!("SELECT * EXCEPT (s_latencies, s_rows) FROM ({sql})");
        let outer = if by.is_empty() { outer } else { format!("{outer} ORDER BY {names}") };
        let query = self.client.query(&outer).bind(from_ms.clamp(0, LAST_MS)).bind(to_ms.clamp(0, LAST_MS));
        let mut lines = Vec::new();
        for object in self.fetch(query)? {
            let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
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

    pub(super) fn spent(&self, from_ms: i64, to_ms: i64, most: usize) -> Result<Vec<Spent>, ReadError> {
        let query = self.client.query(&format!(
            "SELECT toString(l.org_id) AS s_org, toString(l.caller) AS s_caller, toString(l.model) AS s_model,
                    toString(sum(l.cost_usd)) AS s_cost
             FROM ai_log AS l
             WHERE l.created_at >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')
               AND l.created_at < fromUnixTimestamp64Milli(toInt64(?), 'UTC') AND l.cost_usd > 0
             GROUP BY l.org_id, l.caller, l.model ORDER BY sum(l.cost_usd) DESC LIMIT {most}"
        ));
        let sums = self.fetch(query.bind(from_ms.clamp(0, LAST_MS)).bind(to_ms.clamp(0, LAST_MS)))?;
        let text =
            |sum: &Map<String, Value>, name| sum.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let spent = |sum: &Map<String, Value>| Spent {
            org: text(sum, "s_org"),
            caller: text(sum, "s_caller"),
            model: text(sum, "s_model"),
            nano_usd: parse_usd(&text(sum, "s_cost")).and_then(|nano| u64::try_from(nano).ok()).unwrap_or(0),
        };
        Ok(sums.iter().map(spent).collect())
    }

    pub(super) fn page(&self, filter: &Filter, limit: usize, bytes_max: usize) -> Result<Page, ReadError> {
        let mut conditions = vec!["1".to_owned()];
        for (operator, ms) in [(">=", filter.from_ms), ("<", filter.to_ms)] {
            if ms.is_some() {
                conditions.push(format!("created_at {operator} fromUnixTimestamp64Milli(toInt64(?), 'UTC')"));
            }
        }
        for (column, _) in &filter.equal {
            conditions.push(match *column {
                "id" | "status" => format!("toString({column}) = ?"),
                column => format!("{column} = ?"),
            });
        }
        if filter.behind.is_some() {
            conditions.push("(created_at, toString(id)) < (fromUnixTimestamp64Milli(toInt64(?), 'UTC'), ?)".to_owned());
        }
        let sql = format!(
            "SELECT {} FROM ai_log WHERE {} ORDER BY created_at DESC, toString(id) DESC LIMIT {limit}",
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
        if let Some(Place { created_at_ms, id }) = &filter.behind {
            query = query.bind((*created_at_ms).clamp(0, LAST_MS)).bind(id.as_str());
        }
        let (mut rows, is_cut) = fetch_some(&self.runtime, query, TIMEOUT, bytes_max)?;
        for row in &mut rows {
            // ClickHouse writes a whole number without a point, the embedded store with one.
            for (name, of) in COLUMNS {
                if let (Type::NanoUsd | Type::OptionalFloat, Some(value)) = (of, row.get_mut(name))
                    && let Some(float) = value.as_f64()
                {
                    *value = Value::from(float);
                }
            }
        }
        Ok(Page { rows, is_cut })
    }

    fn fetch(&self, query: Query) -> Result<Vec<Map<String, Value>>, ReadError> {
        fetch(&self.runtime, query, TIMEOUT)
    }
}

/// The rows of an answer, as objects.
///
/// # Errors
/// The server cannot be reached, refuses, or is not done within `timeout`.
pub(in crate::ailog) fn fetch(
    runtime: &Runtime,
    query: Query,
    timeout: Duration,
) -> Result<Vec<Map<String, Value>>, ReadError> {
    Ok(fetch_some(runtime, query, timeout, usize::MAX)?.0)
}

/// The same, and no more rows once they take `bytes_max` bytes. Returns them and whether there are more.
fn fetch_some(
    runtime: &Runtime,
    query: Query,
    timeout: Duration,
    bytes_max: usize,
) -> Result<(Vec<Map<String, Value>>, bool), ReadError> {
    let work = async {
        let (mut cursor, mut answer, mut bytes) = (query.fetch_bytes("JSONEachRow")?, Vec::new(), 0);
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
    let answer = async { tokio::time::timeout(timeout, work).await.unwrap_or(Err(Error::TimedOut)) };
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

/// The day of a row.
fn day_of(days: &Days) -> String {
    days.sql(
        |ms| format!("l.created_at < fromUnixTimestamp64Milli(toInt64({}), 'UTC')", ms.clamp(0, LAST_MS)),
        |offset| match offset {
            0 => "toDate(l.created_at)".to_owned(),
            offset => format!("toDate(l.created_at + toIntervalSecond({offset}))"),
        },
    )
}
