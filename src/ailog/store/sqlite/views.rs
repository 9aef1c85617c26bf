//! The views of the embedded store, as SQL that any SQLite tool runs.
//!
//! All of them but `ai_log`, `slowest_calls` and `dearest_calls` read the roll-ups. The names and
//! columns are those of ClickHouse (`config/clickhouse`).
//!
//! Guarantees: a view costs little for columns that a query does not name: percentiles are
//! subqueries of their own, and the captured texts are joined only where they are asked for.

use rusqlite::{Connection, TransactionBehavior};

use super::layout::{Home, home, stored_name};
use crate::ailog::columns::{COLUMNS, Column, Type};
use crate::ailog::store::LimitInForce;
use crate::ailog::store::digest::{ENTRY, ENTRY_BITS};

/// The outcomes that are errors, as SQL.
pub(crate) const ERRORS: &str = "('provider_error', 'timeout', 'refused')";
/// A group of the hour, with its names.
pub(crate) const HOURLY: &str = "ai_hourly h CROSS JOIN ai_groups g ON g.grp = h.grp \
     CROSS JOIN ai_series s ON s.series = g.series";
/// A series of the day, with its names.
pub(crate) const DAILY: &str = "ai_daily d CROSS JOIN ai_series s ON s.series = d.series";
/// The hour of a line of `ai_hourly`.
const HOUR: &str = "h.day || 'T' || printf('%02d', h.hour) || ':00:00Z'";
/// An amount that is unknown where calls have no price and no other one cost anything.
const COST: &str = "CASE WHEN sum(cost_nano_usd) = 0 AND sum(unpriced_calls) > 0 THEN NULL \
     ELSE sum(cost_nano_usd) / 1e9 END";

/// All views.
fn views() -> Vec<(&'static str, String)> {
    vec![
        ("ai_log", ai_log()),
        ("daily_summary", daily_summary()),
        ("hourly", hourly()),
        ("cost_by_org_day", cost_by_org_day()),
        ("cost_by_tag_day", cost_by_tag_day()),
        ("errors_hourly", errors_hourly()),
        ("cache_savings", cache_savings()),
        ("limits_hit", limits_hit()),
        ("budget_used", budget_used()),
        ("tickets_daily", tickets_daily()),
        ("unpriced_models", unpriced_models()),
        ("slowest_calls", slowest_calls()),
        ("dearest_calls", dearest_calls()),
        ("providers_daily", providers_daily()),
        ("provider_health", provider_health()),
        ("retries_saved", retries_saved()),
    ]
}

/// Removes the views that the file has, whichever version made them.
pub(crate) fn dropped(connection: &Connection) -> rusqlite::Result<String> {
    let mut names = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'view'")?;
    let names = names.query_map([], |row| row.get::<_, String>(0))?;
    let ours = |name: &String| views().iter().any(|(view, _)| view == name);
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().filter(ours);
    Ok(names.map(|name| format!("DROP VIEW IF EXISTS {name}; ")).collect())
}

/// Makes the views that the file lacks, or has in another form; all of them if they are dropped
/// before.
pub(crate) fn outdated(connection: &Connection, are_dropped: bool) -> rusqlite::Result<String> {
    let mut find =
        connection.prepare("SELECT 1 FROM sqlite_master WHERE type = 'view' AND sql = ?1")?;
    let mut steps = String::new();
    for (name, sql) in views() {
        let create = format!("CREATE VIEW {name} AS {sql}");
        if are_dropped || !find.exists([&create])? {
            steps.push_str(&format!("DROP VIEW IF EXISTS {name}; {create}; "));
        }
    }
    Ok(steps)
}

/// Every column of a row, wherever it is.
fn ai_log() -> String {
    let table = |column: &Column| match home(column) {
        Home::Series => 's',
        Home::Group => 'g',
        Home::Capture => 'c',
        Home::Row => 'r',
    };
    // The nearest double of a whole number of 10⁻⁹ USD: right to the last of nine digits up to
    // millions.
    let columns = COLUMNS.iter().map(|column| match (table(column), column.name, column.of) {
        (table, name, Type::NanoUsd) => {
            format!("{table}.{} / 1e9 AS {name}", stored_name(column))
        }
        (table, name, _) => format!("{table}.{name} AS {name}"),
    });
    let amounts = COLUMNS.iter().filter(|column| column.of == Type::NanoUsd).map(stored_name);
    let selected = columns.chain(amounts.map(|name| format!("r.{name} AS {name}")));
    format!(
        "SELECT {} FROM ai_rows r CROSS JOIN ai_groups g ON g.grp = r.grp \
         CROSS JOIN ai_series s ON s.series = g.series \
         LEFT JOIN ai_captures c ON c.capture = r.capture",
        selected.collect::<Vec<_>>().join(", ")
    )
}

/// The calls with one of these outcomes.
fn calls_of(outcomes: &str) -> String {
    format!("sum(CASE WHEN outcome IN {outcomes} THEN calls ELSE 0 END)")
}

/// A percentile by nearest rank: `digest` is a text of entries, or NULL, and `count` is the number
/// of their values.
pub(crate) fn percentile(percent: u8, digest: &str, count: &str) -> String {
    format!(
        "(SELECT CASE WHEN b < 128 THEN b ELSE \
         ((b % 64 + 64) << (b / 64 - 1)) + (1 << (b / 64 - 1)) / 2 END \
         FROM (SELECT q.bucket AS b, sum(sum(q.n)) OVER (ORDER BY q.bucket) AS upto \
         FROM (SELECT j.value & {} AS bucket, j.value >> {ENTRY_BITS} AS n \
         FROM json_each('[' || {digest} || ']') j) q GROUP BY q.bucket) \
         WHERE upto >= ({percent} * {count} + 99) / 100 ORDER BY b LIMIT 1)",
        ENTRY - 1
    )
}

/// Percentiles of the latency, and of the time to the first token, of the digests that `x` has
/// gathered.
fn percentiles(first_tokens: bool) -> String {
    let latency = [50, 95, 99].map(|percent| {
        format!("{} AS p{percent}_ms", percentile(percent, "x.latency_digest", "x.row_count"))
    });
    let first = [50, 95].map(|percent| {
        let value = percentile(percent, "x.first_token_digest", "x.first_tokens");
        format!("{value} AS first_token_p{percent}_ms")
    });
    let first = first.into_iter().filter(|_| first_tokens);
    latency.into_iter().chain(first).collect::<Vec<_>>().join(", ")
}

/// The digests of a group of sums.
const GATHERED: &str = "group_concat(latency_digest) AS latency_digest, \
     group_concat(first_token_digest) AS first_token_digest";

fn daily_summary() -> String {
    format!(
        "SELECT x.day AS day, s.org_id AS org_id, s.provider AS provider, s.model AS model, \
         s.route AS route, x.calls AS calls, x.errors AS errors, \
         x.errors * 1.0 / x.calls AS error_rate, x.rate_limited AS rate_limited, \
         x.input_tokens AS input_tokens, x.output_tokens AS output_tokens, \
         x.cost_usd AS cost_usd, {} FROM (SELECT day, series, sum(calls) AS calls, \
         {} AS errors, {} AS rate_limited, sum(input_tokens) AS input_tokens, \
         sum(output_tokens) AS output_tokens, {COST} AS cost_usd, \
         sum(row_count) AS row_count, {GATHERED} FROM ai_daily GROUP BY day, series) x \
         CROSS JOIN ai_series s ON s.series = x.series",
        percentiles(false),
        calls_of(ERRORS),
        calls_of("('rate_limited')"),
    )
}

fn hourly() -> String {
    format!(
        "SELECT {} AS hour, x.day AS day, s.org_id AS org_id, x.caller AS caller, \
         s.provider AS provider, s.model AS model, s.route AS route, x.outcome AS outcome, \
         x.calls AS calls, x.errors AS errors, x.input_tokens AS input_tokens, \
         x.cached_tokens AS cached_tokens, x.output_tokens AS output_tokens, \
         x.cost_usd AS cost_usd, x.unpriced_calls AS unpriced_calls, {} \
         FROM (SELECT day, hour, series, caller, outcome, sum(calls) AS calls, {} AS errors, \
         sum(input_tokens) AS input_tokens, sum(cached_tokens) AS cached_tokens, \
         sum(output_tokens) AS output_tokens, {COST} AS cost_usd, \
         sum(unpriced_calls) AS unpriced_calls, sum(row_count) AS row_count, \
         sum(first_tokens) AS first_tokens, {GATHERED} \
         FROM ai_hourly h CROSS JOIN ai_groups g ON g.grp = h.grp \
         GROUP BY day, hour, series, caller, outcome) x \
         CROSS JOIN ai_series s ON s.series = x.series",
        HOUR.replace("h.", "x."),
        percentiles(true),
        calls_of(ERRORS),
    )
}

fn cost_by_org_day() -> String {
    format!(
        "SELECT d.day AS day, s.org_id AS org_id, sum(calls) AS calls, {COST} AS cost_usd, \
         sum(input_tokens) + sum(output_tokens) AS tokens, \
         sum(unpriced_calls) AS unpriced_calls FROM {DAILY} GROUP BY d.day, s.org_id"
    )
}

fn cost_by_tag_day() -> String {
    format!(
        "SELECT day, org_id, tag, value, sum(calls) AS calls, {} AS errors, \
         {COST} AS cost_usd, sum(input_tokens) + sum(output_tokens) AS tokens, \
         sum(unpriced_calls) AS unpriced_calls FROM ai_tags GROUP BY day, org_id, tag, value",
        calls_of(ERRORS),
    )
}

fn errors_hourly() -> String {
    let key = "h.day, h.hour, s.org_id, s.provider, s.model";
    format!(
        "SELECT hour, org_id, provider, model, outcome, status, error_code, calls, \
         last_request_id, all_calls, calls * 1.0 / all_calls AS error_rate \
         FROM (SELECT {HOUR} AS hour, s.org_id AS org_id, s.provider AS provider, \
         s.model AS model, g.outcome AS outcome, g.status AS status, \
         g.error_code AS error_code, sum(h.calls) AS calls, \
         substr(max(h.newest), 63) AS last_request_id, \
         sum(sum(h.calls)) OVER (PARTITION BY {key}) AS all_calls \
         FROM {HOURLY} GROUP BY {key}, g.outcome, g.status, g.error_code) \
         WHERE outcome IN {ERRORS}"
    )
}

fn cache_savings() -> String {
    format!(
        "SELECT d.day AS day, s.org_id AS org_id, s.provider AS provider, s.model AS model, \
         sum(calls) AS calls, sum(input_tokens) AS input_tokens, \
         sum(cached_tokens) AS cached_tokens, \
         sum(cached_tokens) * 100.0 / sum(input_tokens) AS cached_percent, \
         {COST} AS cost_usd, sum(saved_by_cache_nano_usd) / 1e9 AS saved_by_cache_usd \
         FROM {DAILY} GROUP BY d.day, s.org_id, s.provider, s.model HAVING sum(input_tokens) > 0"
    )
}

fn limits_hit() -> String {
    format!(
        "SELECT {HOUR} AS hour, h.day AS day, s.org_id AS org_id, g.caller AS caller, \
         s.provider AS provider, s.model AS model, g.limited_by AS limited_by, \
         sum(h.calls) AS calls FROM {HOURLY} WHERE g.limited_by <> '' \
         GROUP BY h.day, h.hour, s.org_id, g.caller, s.provider, s.model, g.limited_by"
    )
}

/// Of the patterns of models that an organisation has (those of `*` without any limits of its own)
/// the first that matches counts.
fn budget_of_models() -> String {
    let spent = |period: &str, since: &str| {
        format!(
            "SELECT '{period}' AS period, {since} AS day, s.org_id AS org_id, s.model AS model, \
             sum(cost_nano_usd) AS nano FROM {DAILY} GROUP BY 2, 3, 4"
        )
    };
    let spent =
        [spent("day", "d.day"), spent("month", "substr(d.day, 1, 7) || '-01'")].join(" UNION ALL ");
    format!(
        "SELECT m.period AS period, m.day AS day, m.org_id AS org_id, 'model' AS scope, \
         m.name AS name, l.limit_nano_usd AS limit_nano, sum(m.nano) AS nano FROM \
         (SELECT p.*, (SELECT l.name FROM ai_limits l WHERE l.org_id = p.list \
         AND l.scope = 'model' AND l.period = p.period AND p.model GLOB \
         replace(replace(l.name, '[', '[[]'), '?', '[?]') ORDER BY l.place LIMIT 1) AS name \
         FROM (SELECT *, CASE WHEN EXISTS (SELECT 1 FROM ai_limits o WHERE o.org_id = q.org_id \
         AND o.scope = 'org') THEN q.org_id ELSE '*' END AS list FROM ({spent}) q) p) m \
         JOIN ai_limits l ON l.org_id = m.list AND l.scope = 'model' AND l.name = m.name \
         AND l.period = m.period GROUP BY m.period, m.day, m.org_id, m.name"
    )
}

/// The lines of an organisation count before those of `*`, also those that lift a limit.
fn budget_used() -> String {
    let spent = |period: &str, of_caller: bool| {
        let (table, day, caller) =
            if of_caller { (HOURLY, "h.day", "g.caller") } else { (DAILY, "d.day", "NULL") };
        let since = match period {
            "day" => day.to_owned(),
            _ => format!("substr({day}, 1, 7) || '-01'"),
        };
        format!(
            "SELECT '{period}' AS period, {since} AS day, s.org_id AS org_id, \
             {caller} AS caller, sum(cost_nano_usd) AS nano FROM {table} GROUP BY 2, 3, 4"
        )
    };
    let spent = [("day", false), ("month", false), ("day", true), ("month", true)]
        .map(|(period, of_caller)| spent(period, of_caller))
        .join(" UNION ALL ");
    let limit = |scope: &str, name: &str, org: &str| {
        format!(
            "(SELECT limit_nano_usd FROM ai_limits l WHERE l.org_id = {org} \
             AND l.scope = '{scope}' AND l.name = {name} AND l.period = p.period)"
        )
    };
    let limits = [
        limit("key", "p.caller", "p.org_id"),
        limit("user", "'*'", "p.org_id"),
        limit("user", "'*'", "'*'"),
    ]
    .join(", ");
    let is_key = "EXISTS (SELECT 1 FROM ai_limits l WHERE l.org_id = p.org_id \
         AND l.scope = 'key' AND l.name = p.caller)";
    format!(
        "SELECT period, day, org_id, scope, name, limit_nano / 1e9 AS limit_usd, \
         nano / 1e9 AS spent_usd, nano * 100.0 / limit_nano AS used_percent \
         FROM (SELECT p.period AS period, p.day AS day, p.org_id AS org_id, \
         CASE WHEN p.caller IS NULL THEN 'org' WHEN {is_key} THEN 'key' ELSE 'user' END \
         AS scope, coalesce(p.caller, '') AS name, \
         CASE WHEN p.caller IS NULL THEN coalesce({}, {}) ELSE coalesce({limits}) END \
         AS limit_nano, p.nano AS nano FROM ({spent}) p UNION ALL {}) WHERE limit_nano > 0",
        limit("org", "''", "p.org_id"),
        limit("org", "''", "'*'"),
        budget_of_models(),
    )
}

fn tickets_daily() -> String {
    format!(
        "SELECT h.day AS day, s.org_id AS org_id, g.category AS category, \
         g.priority AS priority, sum(calls) AS tickets, \
         sum(confidence_millionths) / 1e6 / nullif(sum(confidences), 0) AS mean_confidence, \
         {COST} AS cost_usd FROM {HOURLY} WHERE s.route = 'intent' AND g.outcome = 'ok' \
         GROUP BY h.day, s.org_id, g.category, g.priority"
    )
}

fn unpriced_models() -> String {
    format!(
        "SELECT d.day AS day, s.org_id AS org_id, s.provider AS provider, s.model AS model, \
         sum(unpriced_calls) AS calls, sum(unpriced_tokens) AS tokens FROM {DAILY} \
         GROUP BY d.day, s.org_id, s.provider, s.model HAVING sum(unpriced_calls) > 0"
    )
}

fn slowest_calls() -> String {
    "SELECT substr(created_at, 1, 10) AS day, created_at, org_id, caller, provider, model, \
     route, outcome, latency_ms, ttfb_ms, first_token_ms, gateway_us, attempts, request_id, \
     prompt FROM ai_log WHERE attempts > 0"
        .to_owned()
}

fn dearest_calls() -> String {
    "SELECT substr(created_at, 1, 10) AS day, created_at, org_id, caller, provider, model, \
     input_tokens, cached_tokens, output_tokens, cost_usd, saved_by_cache_usd, tags, \
     request_id, prompt, answer FROM ai_log WHERE cost_nano_usd > 0"
        .to_owned()
}

fn providers_daily() -> String {
    format!(
        "SELECT x.day AS day, x.provider AS provider, x.calls AS calls, x.errors AS errors, \
         x.errors * 1.0 / x.calls AS error_rate, x.cost_usd AS cost_usd, {} \
         FROM (SELECT d.day AS day, s.provider AS provider, sum(calls) AS calls, \
         {} AS errors, {COST} AS cost_usd, sum(row_count) AS row_count, \
         sum(first_tokens) AS first_tokens, {GATHERED} FROM {DAILY} WHERE s.provider <> '' \
         GROUP BY d.day, s.provider) x",
        percentiles(true),
        calls_of(ERRORS),
    )
}

fn provider_health() -> String {
    format!(
        "SELECT {} AS hour, x.day AS day, x.provider AS provider, x.model AS model, \
         x.calls AS calls, x.errors AS errors, x.errors * 1.0 / x.calls AS error_rate, \
         x.rate_limited AS rate_limited, x.timeouts AS timeouts, \
         x.retried_calls AS retried_calls, {} FROM (SELECT h.day AS day, h.hour AS hour, \
         s.provider AS provider, s.model AS model, sum(calls) AS calls, {} AS errors, \
         {} AS rate_limited, {} AS timeouts, sum(retried_calls) AS retried_calls, \
         sum(row_count) AS row_count, sum(first_tokens) AS first_tokens, {GATHERED} \
         FROM {HOURLY} WHERE s.provider <> '' \
         GROUP BY h.day, h.hour, s.provider, s.model) x",
        HOUR.replace("h.", "x."),
        percentiles(true),
        calls_of(ERRORS),
        calls_of("('provider_rate_limited')"),
        calls_of("('timeout')"),
    )
}

fn retries_saved() -> String {
    format!(
        "SELECT d.day AS day, s.org_id AS org_id, s.provider AS provider, s.model AS model, \
         sum(calls) AS calls, sum(retried_calls) AS retried_calls, \
         sum(saved_calls) AS saved_calls, \
         sum(saved_calls) * 100.0 / sum(retried_calls) AS saved_percent FROM {DAILY} \
         GROUP BY d.day, s.org_id, s.provider, s.model HAVING sum(retried_calls) > 0"
    )
}

/// Keeps the limits in force in place of those before.
pub(crate) fn keep_limits(
    connection: &mut Connection,
    limits: &[LimitInForce],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM ai_limits", [])?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT OR REPLACE INTO ai_limits (org_id, scope, name, period, limit_nano_usd, place)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for limit in limits {
            let nano_usd = i64::try_from(limit.nano_usd).unwrap_or(i64::MAX);
            let LimitInForce { org, scope, name, place, period, .. } = limit;
            insert.execute((org, scope, name, period, nano_usd, place))?;
        }
    }
    transaction.commit()
}
