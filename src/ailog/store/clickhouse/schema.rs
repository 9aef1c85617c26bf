//! The ClickHouse schema: versioned migrations from `config/clickhouse`, printed or applied.
//!
//! Guarantees: every statement may be run again. `apply` keeps in `tollgate_migrations` which
//! migrations it has run, and runs the others. Does not: drop or rewrite anything; migrations only
//! add. The retention of an existing table is changed only on request, because a shorter one deletes
//! rows.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use super::{exception_code, runtime};
use crate::config::policy::ClickHouseOptions;

/// Every migration, in order. A number is never reused.
const MIGRATIONS: [(u32, &str); 4] = [
    (1, include_str!("../../../../config/clickhouse/001_ai_log.sql")),
    (2, include_str!("../../../../config/clickhouse/002_views.sql")),
    (3, include_str!("../../../../config/clickhouse/003_usage_columns.sql")),
    (4, include_str!("../../../../config/clickhouse/004_deduplication.sql")),
];

/// The longest time for one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest retention in days: the server's DateTime ends in 2106 and wraps after that.
pub(crate) const RETENTION_DAYS_MAX: u32 = 20_000;

/// The options of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaOptions {
    /// Letters, digits and `_`.
    pub(crate) database: String,
    /// Replicated tables on this cluster (letters, digits, `_`, `-`), which has the macros `{shard}`
    /// and `{replica}`.
    pub(crate) cluster: Option<String>,
    /// Rows older than this are deleted by ClickHouse.
    pub(crate) retention_days: u32,
    /// Whether this changes the retention of a table that exists already.
    pub(crate) changes_retention: bool,
}

/// The result of [`SchemaOptions::apply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Migrations that the database had not seen.
    pub(crate) migrations: Vec<u32>,
    /// How long rows were kept before; `None` if there was no table.
    pub(crate) retention_before: Option<Retention>,
    /// How long they are kept now.
    pub(crate) retention: Retention,
}

/// When ClickHouse deletes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
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
    #[error("ClickHouse does not take {what}: {error}")]
    Statement { what: String, error: Error },
    #[error(
        "ClickHouse at {url} was not done with {what} within {} s; run the command again when it is less busy",
        STATEMENT_TIMEOUT.as_secs()
    )]
    Slow { url: String, what: String },
    #[error("no event queue: {0}")]
    System(#[from] std::io::Error),
}

impl SchemaOptions {
    /// The whole schema as SQL.
    pub(crate) fn sql(&self) -> String {
        let parts: Vec<String> = MIGRATIONS.iter().map(|(_, template)| self.fill(template)).collect();
        parts.join("\n")
    }

    /// Creates the database and runs the migrations that it has not seen. May be run again.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub(crate) fn apply(&self, server: &ClickHouseOptions) -> Result<Applied, ApplyError> {
        // The database may not exist yet; every name in the statements is qualified.
        let client = super::client(server).with_database("default");
        runtime()?.block_on(async {
            let failed = |what: &str, error: Error| match error {
                Error::BadResponse(ref text) => match exception_code(text) {
                    Some(192..=194 | 497 | 516) => ApplyError::Refused { user: server.user.clone(), error },
                    _ => ApplyError::Statement { what: what.to_owned(), error },
                },
                Error::TimedOut => ApplyError::Slow { url: server.url.clone(), what: what.to_owned() },
                error => ApplyError::Unreachable { url: server.url.clone(), error },
            };
            let ledger = self.fill(
                "CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};\n\
                 CREATE TABLE IF NOT EXISTS `${database}`.tollgate_migrations ${on_cluster}\n\
                 (version UInt32, applied_at DateTime('UTC') DEFAULT now())\n\
                 ENGINE = ${ledger_engine} ORDER BY version COMMENT 'Migrations that tollgate has run';\n",
            );
            let of_ledger = "the database with its list of migrations";
            for statement in statements(&ledger) {
                execute(&client, &statement).await.map_err(|e| failed(of_ledger, e))?;
            }
            let done = format!("SELECT DISTINCT version FROM `{}`.tollgate_migrations", self.database);
            let done: Vec<u32> =
                in_time(client.query_raw(&done).fetch_all()).await.map_err(|e| failed(of_ledger, e))?;
            let of_retention = "the retention of ai_log";
            let retention_before = self.retention(&client).await.map_err(|e| failed(of_retention, e))?;
            let mut migrations = Vec::new();
            for (version, template) in MIGRATIONS.iter().filter(|(version, _)| !done.contains(version)) {
                let what = format!("migration {version}");
                for statement in statements(&self.fill(template)) {
                    execute(&client, &statement).await.map_err(|e| failed(&what, e))?;
                }
                let note = format!("INSERT INTO `{}`.tollgate_migrations (version) VALUES ({version})", self.database);
                execute(&client, &note).await.map_err(|e| failed(&what, e))?;
                migrations.push(*version);
            }
            let asked_for = Retention::Days(self.retention_days);
            let mut retention = retention_before.unwrap_or(asked_for);
            if self.changes_retention && retention != asked_for {
                let ttl = self.fill(
                    "ALTER TABLE `${database}`.ai_log ${on_cluster} MODIFY TTL \
                     toDateTime(created_at) + INTERVAL ${retention_days} DAY DELETE",
                );
                execute(&client, &ttl).await.map_err(|e| failed(of_retention, e))?;
                retention = asked_for;
            }
            Ok(Applied { migrations, retention_before, retention })
        })
    }

    /// The retention of the existing table; `None` if there is none.
    async fn retention(&self, client: &Client) -> Result<Option<Retention>, Error> {
        let sql =
            format!("SELECT engine_full FROM system.tables WHERE database = '{}' AND name = 'ai_log'", self.database);
        let found: Vec<String> = in_time(client.query_raw(&sql).fetch_all()).await?;
        Ok(found.first().map(|engine| retention_of(engine)))
    }

    fn fill(&self, template: &str) -> String {
        let (on_cluster, engine, ledger_engine, deduplication) = match &self.cluster {
            None => (
                String::new(),
                "MergeTree".to_owned(),
                "MergeTree".to_owned(),
                "non_replicated_deduplication_window = 100000",
            ),
            Some(cluster) => (
                format!("ON CLUSTER '{cluster}'"),
                replicated(&self.database, "ai_log"),
                replicated(&self.database, "tollgate_migrations"),
                "replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800",
            ),
        };
        template
            .replace("${database}", &self.database)
            .replace(" ${on_cluster}", &if on_cluster.is_empty() { on_cluster } else { format!(" {on_cluster}") })
            .replace("${engine}", &engine)
            .replace("${ledger_engine}", &ledger_engine)
            .replace("${deduplication}", deduplication)
            .replace("${retention_days}", &self.retention_days.to_string())
    }
}

fn replicated(database: &str, table: &str) -> String {
    format!("ReplicatedMergeTree('/clickhouse/tables/{{shard}}/{database}/{table}', '{{replica}}')")
}

/// The statements of a script; comments are whole lines.
pub(crate) fn statements(script: &str) -> Vec<String> {
    let code: Vec<&str> = script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n").split(";\n").map(|s| s.trim().trim_end_matches(';').to_owned()).filter(|s| !s.is_empty()).collect()
}

/// The retention in the engine's description, as the server writes it.
fn retention_of(engine: &str) -> Retention {
    let Some((_, rule)) = engine.split_once(" TTL ") else { return Retention::Never };
    let rule = rule.split_once(" SETTINGS ").map_or(rule, |(rule, _)| rule).trim_end_matches(" DELETE");
    let days = rule.strip_prefix("toDateTime(created_at) + toIntervalDay(").and_then(|rest| rest.strip_suffix(')'));
    days.and_then(|days| days.parse().ok()).map_or(Retention::Other, Retention::Days)
}

async fn execute(client: &Client, statement: &str) -> Result<(), Error> {
    in_time(client.query_raw(statement).execute()).await
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(STATEMENT_TIMEOUT, work).await.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ailog::columns::{COLUMNS, COLUMNS_OF_1};

    fn options(cluster: Option<&str>) -> SchemaOptions {
        SchemaOptions {
            database: "d".into(),
            cluster: cluster.map(str::to_owned),
            retention_days: 90,
            changes_retention: false,
        }
    }

    #[test]
    fn a_retention_is_read_as_the_server_writes_it() {
        let of =
            |rule: &str| retention_of(&format!("MergeTree PARTITION BY m ORDER BY (a, b){rule} SETTINGS g = 8192"));
        assert_eq!(of(" TTL toDateTime(created_at) + toIntervalDay(730)"), Retention::Days(730));
        assert_eq!(of(""), Retention::Never);
        for other in [
            " TTL toDateTime(created_at) + toIntervalMonth(3)",
            " TTL toDateTime(created_at) + toIntervalDay(7), toDateTime(created_at) + toIntervalDay(1) TO VOLUME 'cold'",
        ] {
            assert_eq!(of(other), Retention::Other, "{other}");
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        for cluster in [None, Some("main")] {
            let sql = options(cluster).sql();
            assert!(!sql.replace("(${...})", "").contains("${"), "{sql}");
            let on_cluster = cluster.map_or(0, |_| statements(&sql).len());
            assert_eq!(sql.matches("ON CLUSTER 'main'").count(), on_cluster, "every statement runs on the cluster");
        }
        assert!(
            options(Some("main"))
                .sql()
                .contains("ReplicatedMergeTree('/clickhouse/tables/{shard}/d/ai_log', '{replica}')")
        );
        assert!(options(None).sql().contains("ENGINE = MergeTree\n"));
    }

    #[test]
    fn every_column_is_documented() {
        for (at, (name, _)) in COLUMNS.iter().enumerate() {
            let (sql, begin) = if at < COLUMNS_OF_1 {
                (MIGRATIONS[0].1, format!("{name} "))
            } else {
                (MIGRATIONS[2].1, format!("ADD COLUMN IF NOT EXISTS {name} "))
            };
            let line = sql.lines().map(str::trim_start).find(|l| l.starts_with(&begin)).expect(name);
            assert!(line.contains(" COMMENT '"), "{line}");
        }
    }
}
