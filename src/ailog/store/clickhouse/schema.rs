//! The ClickHouse schema: SQL from `config/clickhouse`, printed or applied.
//!
//! The scripts make a new database and bring one of this layout up to date. A database of a former
//! layout, in which `ai_log` was the table of all columns, is divided first (see `former`).
//!
//! Guarantees: every statement may be run again, and an interrupted run is taken up by the next
//! one. Gateways write nothing before everything is there that counts their rows: the last column
//! is added last. The retention of an existing table is changed only on request, because a shorter
//! one deletes rows. Does not: delete rows.

mod daily;
mod former;
mod repair;
mod text;

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use super::{exception_code, is_replicated, runtime};
use crate::ailog::columns::{COLUMNS, Column, SCHEMA_VERSION};
use crate::ailog::store::Retention;
use crate::ailog::store::digest::bucket_sql;
use crate::ailog::store::measures::MEASURES;
use crate::ailog::store::sqlite::layout::{self, Home};
use crate::config::policy::ClickHouseOptions;
pub(crate) use daily::{gap_begin, gap_end};
pub(crate) use repair::{Repair, repairs};
pub(crate) use text::{HOURLY_NAMES, percentile, type_of};
use text::{
    capture_columns, definitions, last_column, listed, measure_columns, measure_sums, row_columns,
};

/// The number of the schema in `tollgate_migrations`: it grows with each version of the columns,
/// and with `REVISION` when a script changes.
const VERSION: u32 = REVISION + SCHEMA_VERSION as u32;
const REVISION: u32 = 7;

/// The scripts that are applied, in order.
const SCRIPTS: [&str; 3] = [
    include_str!("../../../../config/clickhouse/001_tables.sql"),
    include_str!("../../../../config/clickhouse/002_rollups.sql"),
    include_str!("../../../../config/clickhouse/003_views.sql"),
];
/// Only printed.
const ROLES: &str = include_str!("../../../../config/clickhouse/004_roles.sql");

/// The longest time for one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest retention in days: the server's DateTime ends in 2106 and wraps after that.
pub(crate) const RETENTION_DAYS_MAX: u32 = 20_000;

/// The outcomes that are errors.
const ERRORS: &str = "('provider_error', 'timeout', 'refused')";

/// The options of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaOptions {
    /// Letters, digits and `_`.
    pub(crate) database: String,
    /// Replicated tables on this cluster (letters, digits, `_`, `-`), which has the macros
    /// `{shard}` and `{replica}`.
    pub(crate) cluster: Option<String>,
    /// ClickHouse deletes older rows.
    pub(crate) retention: Retention,
    /// Whether this changes the retention of tables that exist already.
    pub(crate) changes_retention: bool,
}

/// The result of [`SchemaOptions::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The version of the schema.
    pub(crate) version: u32,
    /// The database had a former version, or none.
    pub(crate) is_new: bool,
    /// How long rows were kept before; `None` if there was no table.
    pub(crate) retention_before: Option<KeptFor>,
    /// How long they are kept now.
    pub(crate) retention: KeptFor,
    /// Several servers share the tables.
    pub(crate) is_replicated: bool,
}

/// When ClickHouse deletes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptFor {
    Days(u32),
    Never,
    /// By a rule of the operator's own.
    Other,
}

/// Why the schema was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("ClickHouse at {url} cannot be reached: {error}")]
    Unreachable { url: String, error: Error },
    #[error("ClickHouse refuses user `{user}`: {error}")]
    Refused { user: String, error: Error },
    #[error("ClickHouse refused {what}: {error}")]
    Statement { what: String, error: Error },
    #[error(
        "ClickHouse at {url} did not finish {what} within {} s; run the command again when it \
         is less busy",
        STATEMENT_TIMEOUT.as_secs()
    )]
    Slow { url: String, what: String },
    #[error("no event queue: {0}")]
    System(#[from] std::io::Error),
}

impl SchemaOptions {
    /// The whole schema of a new database as SQL, with roles.
    pub(crate) fn sql(&self) -> String {
        let parts: Vec<String> =
            SCRIPTS.into_iter().chain([ROLES]).map(|script| self.fill(script)).collect();
        parts.join("\n")
    }

    /// Creates the database, or brings it up to date. May be run again.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub(crate) fn apply(&self, server: &ClickHouseOptions) -> Result<Applied, ApplyError> {
        // The database may not exist yet; every name in the statements is qualified.
        runtime()?.block_on(async {
            let client = super::client(server).await.with_database("default");
            self.bring_up_to_date(&client, server).await
        })
    }

    async fn bring_up_to_date(
        &self,
        client: &Client,
        server: &ClickHouseOptions,
    ) -> Result<Applied, ApplyError> {
        let failed = |what: &'static str| move |error| failure(server, what, error);
        let of_ledger = "the database with its list of migrations";
        for statement in statements(&self.fill(LEDGER)) {
            execute(client, &statement, STATEMENT_TIMEOUT).await.map_err(failed(of_ledger))?;
        }
        let done = format!("SELECT DISTINCT version FROM `{}`.tollgate_migrations", self.database);
        let done: Vec<u32> = in_time(client.query_raw(&done).fetch_all(), STATEMENT_TIMEOUT)
            .await
            .map_err(failed(of_ledger))?;
        let is_new = !done.contains(&VERSION);
        let of_retention = "the retention of the log";
        let engine = self.engine_of_rows(client).await.map_err(failed(of_retention))?;
        let retention_before = engine.as_deref().map(kept_for);
        if is_new {
            self.divide(client).await.map_err(failed("the division of the former table"))?;
            for statement in SCRIPTS.iter().flat_map(|script| statements(&self.fill(script))) {
                execute(client, &statement, STATEMENT_TIMEOUT)
                    .await
                    .map_err(failed("the schema"))?;
            }
            let note = format!(
                "INSERT INTO `{}`.tollgate_migrations (version) VALUES ({VERSION})",
                self.database
            );
            execute(client, &note, STATEMENT_TIMEOUT).await.map_err(failed(of_ledger))?;
        }
        let asked_for = KeptFor::Days(self.retention.rows);
        let mut retention = retention_before.unwrap_or(asked_for);
        if self.changes_retention && retention_before.is_some() {
            for statement in statements(&self.fill(TTLS)) {
                execute(client, &statement, STATEMENT_TIMEOUT)
                    .await
                    .map_err(failed(of_retention))?;
            }
            retention = asked_for;
        }
        let is_replicated = match &engine {
            Some(engine) => is_replicated(engine),
            None => self.cluster.is_some(),
        };
        self.fill_days(client).await.map_err(failed("the sums by day"))?;
        Ok(Applied { version: VERSION, is_new, retention_before, retention, is_replicated })
    }

    /// The engine of the existing rows with its rules; `None` if there is no table.
    async fn engine_of_rows(&self, client: &Client) -> Result<Option<String>, Error> {
        let sql = format!(
            "SELECT engine_full FROM system.tables WHERE database = '{}' \
             AND name IN ('ai_rows', 'ai_log') AND engine LIKE '%MergeTree' ORDER BY name DESC",
            self.database
        );
        let found: Vec<String> =
            in_time(client.query_raw(&sql).fetch_all(), STATEMENT_TIMEOUT).await?;
        Ok(found.into_iter().next())
    }

    /// A script with its placeholders filled in.
    fn fill(&self, script: &str) -> String {
        let mut out = String::with_capacity(script.len() * 2);
        let mut rest = script;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((placeholder, after)) = after.split_once('}') else { break };
            match self.placeholder(placeholder) {
                // Without a cluster, its place is empty.
                Some(text) if text.is_empty() => {
                    out.push_str(before.strip_suffix(' ').unwrap_or(before));
                }
                Some(text) => out.push_str(&format!("{before}{text}")),
                // In a comment.
                None => out.push_str(&format!("{before}${{{placeholder}}}")),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn placeholder(&self, placeholder: &str) -> Option<String> {
        let (word, argument) = placeholder.split_once(' ').unwrap_or((placeholder, ""));
        let Retention { rows, captures, hourly } = self.retention;
        Some(match word {
            "database" => self.database.clone(),
            "on_cluster" => {
                self.cluster.as_ref().map_or(String::new(), |name| format!("ON CLUSTER '{name}'"))
            }
            "engine" => self.engine(argument),
            "of" => format!("{argument}{}", all_of(self.cluster.as_deref())),
            "distributed" => self.distributed(),
            "deduplication" => self.deduplication().to_owned(),
            "rows_days" => rows.to_string(),
            "captures_days" => captures.to_string(),
            "hourly_days" => hourly.to_string(),
            "errors" => ERRORS.to_owned(),
            "row_columns" => definitions(&row_columns(), "    "),
            "capture_columns" => definitions(&capture_columns(), "    "),
            "added_row_columns" => definitions(&row_columns(), ADD),
            "added_capture_columns" => definitions(&capture_columns(), ADD),
            "last_column" => definitions(&[last_column()], ADD),
            "log_columns" => self.log_columns(),
            "measure_columns" => measure_columns(),
            "hourly_of" => self.hourly_of(argument),
            "hourly_names" => {
                let names =
                    ["hour"].into_iter().chain(HOURLY_NAMES).chain(["category", "priority"]);
                listed(names, &["latency", "first_token", "newest"])
            }
            "daily_of" => self.daily_of(),
            "measures_of" => {
                let named = |name: &str| format!("    {argument}.{name} AS {name}");
                MEASURES.map(|measure| named(measure.name)).join(",\n")
            }
            "gap" if argument == "begin" => self.gap_of(gap_begin),
            "gap" => self.gap_of(gap_end),
            "token" => format!("{:016x}", fastrand::u64(..)),
            "tags_of" => self.tags_of(argument),
            "tags_names" => listed(["day", "org_id", "tag", "value", "outcome"].into_iter(), &[]),
            "cost" => format!(
                "if(sum({argument}.cost_usd) = 0 AND sum({argument}.unpriced_calls) > 0, NULL, \
                 sum({argument}.cost_usd))"
            ),
            "percentile" => {
                let (percent, digest) = argument.split_once(' ')?;
                percentile(percent, digest)
            }
            _ => return None,
        })
    }

    /// The engine of a table; `Aggregating` for that of a roll-up.
    fn engine(&self, table: &str) -> String {
        let (table, kind) = table.split_once(' ').unwrap_or((table, ""));
        match self.cluster {
            None => format!("{kind}MergeTree"),
            Some(_) => format!(
                "Replicated{kind}MergeTree('/clickhouse/tables/{{shard}}/{}/{table}', \
                 '{{replica}}')",
                self.database
            ),
        }
    }

    /// The tables and the view of every column over all shards of the cluster. They hold nothing,
    /// so they are replaced when columns are added.
    fn distributed(&self) -> String {
        let Some(cluster) = &self.cluster else { return String::new() };
        let database = &self.database;
        let table = |name: &str| {
            format!(
                "CREATE OR REPLACE TABLE `{database}`.{name}_all ON CLUSTER '{cluster}'\n\
                 AS `{database}`.{name} ENGINE = Distributed('{cluster}', '{database}', \
                 '{name}');\n"
            )
        };
        DISTRIBUTED.map(table).concat()
    }

    fn deduplication(&self) -> &'static str {
        match self.cluster {
            None => "non_replicated_deduplication_window = 100000",
            Some(_) => {
                "replicated_deduplication_window = 100000, \
                 replicated_deduplication_window_seconds = 604800"
            }
        }
    }

    /// The columns of `ai_log`, in their order.
    fn log_columns(&self) -> String {
        let column = |column: &Column| {
            let name = column.name;
            match layout::home(column) {
                Home::Capture => format!(
                    "    (SELECT c.{name} FROM `{}`.ai_captures AS c \
                     WHERE c.created_at = r.created_at AND c.id = r.id) AS {name}",
                    self.database
                ),
                _ => format!("    r.{name} AS {name}"),
            }
        };
        COLUMNS.iter().map(column).collect::<Vec<_>>().join(",\n")
    }

    /// The sums by hour of a table of rows.
    fn hourly_of(&self, table: &str) -> String {
        let count = |value: &str| {
            let bucket = bucket_sql(value, |by| format!("intDiv({value}, {by})"));
            format!("map(toUInt16(assumeNotNull({bucket})), toUInt64(1))")
        };
        format!(
            "SELECT\n    toStartOfHour(r.created_at) AS hour,\n    {},\n    \
             ifNull(r.category, '') AS category,\n    ifNull(r.priority, '') AS \
             priority,\n{},\n    \
             sumMap({}) AS latency,\n    sumMapIf({}, r.first_token_ms > 0) AS first_token,\n    \
             max(if(r.outcome IN {ERRORS}, concat(replaceOne(toString(r.created_at), ' ', 'T'), \
             'Z ', toString(r.id), ' ', r.request_id), '')) AS newest\nFROM `{}`.{table} AS r\n\
             GROUP BY hour, org_id, model, provider, route, caller, outcome, status, error_code, \
             limited_by, category, priority",
            HOURLY_NAMES.map(|name| format!("r.{name} AS {name}")).join(",\n    "),
            measure_sums(),
            count("r.latency_ms"),
            count("r.first_token_ms"),
            self.database,
        )
    }

    /// The sums by tag and day of a table of rows.
    fn tags_of(&self, table: &str) -> String {
        format!(
            "SELECT\n    toDate(r.created_at) AS day,\n    r.org_id AS org_id,\n    \
             t.1 AS tag,\n    t.2 AS value,\n    r.outcome AS outcome,\n{}\n\
             FROM `{}`.{table} AS r\nARRAY JOIN CAST(r.tags, 'Array(Tuple(String, String))') AS t\n\
             GROUP BY day, org_id, tag, value, outcome",
            measure_sums(),
            self.database,
        )
    }
}

/// The meaning of a statement's failure for the operator.
fn failure(server: &ClickHouseOptions, what: &str, error: Error) -> ApplyError {
    match error {
        Error::BadResponse(ref text) => match exception_code(text) {
            Some(192..=194 | 497 | 516) => ApplyError::Refused { user: server.user.clone(), error },
            _ => ApplyError::Statement { what: what.to_owned(), error },
        },
        Error::TimedOut => ApplyError::Slow { url: server.urls.join(", "), what: what.to_owned() },
        error => ApplyError::Unreachable { url: server.urls.join(", "), error },
    }
}

/// The database, and the list of the schema's versions that it had.
const LEDGER: &str = "CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};\n\
     CREATE TABLE IF NOT EXISTS `${database}`.tollgate_migrations ${on_cluster}\n\
     (version UInt32, applied_at DateTime('UTC') DEFAULT now())\n\
     ENGINE = ${engine tollgate_migrations} ORDER BY version COMMENT 'Versions of the schema that \
     tollgate has applied';\n";

/// Changes of the retention.
const TTLS: &str = "ALTER TABLE `${database}`.ai_rows ${on_cluster} MODIFY TTL \
     toDateTime(created_at) + INTERVAL ${rows_days} DAY DELETE;\n\
     ALTER TABLE `${database}`.ai_captures ${on_cluster} MODIFY TTL \
     toDateTime(created_at) + INTERVAL ${captures_days} DAY DELETE;\n\
     ALTER TABLE `${database}`.ai_hourly ${on_cluster} MODIFY TTL \
     hour + INTERVAL ${hourly_days} DAY DELETE;\n\
     ALTER TABLE `${database}`.ai_daily ${on_cluster} MODIFY TTL \
     day + INTERVAL ${hourly_days} DAY DELETE;\n\
     ALTER TABLE `${database}`.ai_tags ${on_cluster} MODIFY TTL \
     day + INTERVAL ${hourly_days} DAY DELETE;\n";

/// The tables that a cluster also has over all its shards.
const DISTRIBUTED: [&str; 9] = [
    "ai_rows",
    "ai_captures",
    "ai_hourly",
    "ai_daily",
    "ai_daily_gaps",
    "ai_tags",
    "ai_limits",
    "policy_audit",
    "ai_log",
];

/// The end of the names that are read: on a cluster, those over all shards.
pub(crate) fn all_of(cluster: Option<&str>) -> &'static str {
    if cluster.is_some_and(|name| !name.is_empty()) { "_all" } else { "" }
}

/// The beginning of a line that adds a column.
const ADD: &str = "    ADD COLUMN IF NOT EXISTS ";

/// The statements of a script; comments are whole lines.
pub(crate) fn statements(script: &str) -> Vec<String> {
    let code: Vec<&str> =
        script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n")
        .split(";\n")
        .map(|s| s.trim().trim_end_matches(';').to_owned())
        .filter(|s| !s.is_empty())
        .collect()
}

/// The retention in the engine's description, as the server writes it.
fn kept_for(engine: &str) -> KeptFor {
    let Some((_, rule)) = engine.split_once(" TTL ") else { return KeptFor::Never };
    let rule =
        rule.split_once(" SETTINGS ").map_or(rule, |(rule, _)| rule).trim_end_matches(" DELETE");
    let days = rule
        .strip_prefix("toDateTime(created_at) + toIntervalDay(")
        .and_then(|rest| rest.strip_suffix(')'));
    days.and_then(|days| days.parse().ok()).map_or(KeptFor::Other, KeptFor::Days)
}

async fn execute(client: &Client, statement: &str, timeout: Duration) -> Result<(), Error> {
    in_time(client.query_raw(statement).execute(), timeout).await
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, Error>>,
    timeout: Duration,
) -> Result<T, Error> {
    tokio::time::timeout(timeout, work).await.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests;
