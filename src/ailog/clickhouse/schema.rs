//! The ClickHouse schema: versioned migrations out of `config/clickhouse`, printed or applied.
//!
//! Every statement may be run again. `apply` keeps in `tollgate_migrations` which it has run, and runs those that are new.
//! Does not: drop or rewrite anything; migrations only add.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use super::{exception_code, runtime};
use crate::config::policy::ClickHouseOptions;

/// Every migration, in order. A number is never reused.
const MIGRATIONS: [(u32, &str); 3] = [
    (1, include_str!("../../../config/clickhouse/001_ai_log.sql")),
    (2, include_str!("../../../config/clickhouse/002_views.sql")),
    (3, include_str!("../../../config/clickhouse/003_usage_columns.sql")),
];

/// One statement may take so long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// How the schema is made out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaOptions {
    /// Letters, digits and `_`.
    pub(crate) database: String,
    /// Replicated tables on this cluster (letters, digits, `_`, `-`), which has the macros `{shard}` and `{replica}`.
    pub(crate) cluster: Option<String>,
    /// Rows older than this are deleted by ClickHouse.
    pub(crate) retention_days: u32,
}

/// Why the schema was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error("ClickHouse at {url} cannot be reached: {error}")]
    Unreachable { url: String, error: Error },
    #[error("ClickHouse refuses user `{user}`: {error}")]
    Refused { user: String, error: Error },
    #[error("ClickHouse does not take migration {version}: {error}")]
    Statement { version: u32, error: Error },
    #[error("no event queue: {0}")]
    System(#[from] std::io::Error),
}

impl SchemaOptions {
    /// The whole schema as SQL.
    pub(crate) fn sql(&self) -> String {
        let parts: Vec<String> = MIGRATIONS.iter().map(|(_, template)| self.fill(template)).collect();
        parts.join("\n")
    }

    /// Creates the database and runs the migrations that it has not seen; returns their numbers. May be run again.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub(crate) fn apply(&self, server: &ClickHouseOptions) -> Result<Vec<u32>, ApplyError> {
        // The database may not be there yet; every name in the statements is qualified.
        let client = super::client(server).with_database("default");
        runtime()?.block_on(async {
            let failed = |version: u32, error: Error| match error {
                Error::BadResponse(ref text) => match exception_code(text) {
                    Some(192..=194 | 497 | 516) => ApplyError::Refused { user: server.user.clone(), error },
                    _ => ApplyError::Statement { version, error },
                },
                error => ApplyError::Unreachable { url: server.url.clone(), error },
            };
            let ledger = self.fill(
                "CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};\n\
                 CREATE TABLE IF NOT EXISTS `${database}`.tollgate_migrations ${on_cluster}\n\
                 (version UInt32, applied_at DateTime('UTC') DEFAULT now())\n\
                 ENGINE = ${ledger_engine} ORDER BY version COMMENT 'Migrations that tollgate has run';\n",
            );
            for statement in statements(&ledger) {
                execute(&client, &statement).await.map_err(|e| failed(0, e))?;
            }
            let done: Vec<u32> = client
                .query_raw(&format!("SELECT DISTINCT version FROM `{}`.tollgate_migrations", self.database))
                .fetch_all()
                .await
                .map_err(|e| failed(0, e))?;
            let mut applied = Vec::new();
            for (version, template) in MIGRATIONS.iter().filter(|(version, _)| !done.contains(version)) {
                for statement in statements(&self.fill(template)) {
                    execute(&client, &statement).await.map_err(|e| failed(*version, e))?;
                }
                let note = format!("INSERT INTO `{}`.tollgate_migrations (version) VALUES ({version})", self.database);
                execute(&client, &note).await.map_err(|e| failed(*version, e))?;
                applied.push(*version);
            }
            // The policy's retention may have changed since the table was made.
            let ttl = self.fill(
                "ALTER TABLE `${database}`.ai_log ${on_cluster} MODIFY TTL \
                 toDateTime(created_at) + INTERVAL ${retention_days} DAY DELETE",
            );
            execute(&client, &ttl).await.map_err(|e| failed(0, e))?;
            Ok(applied)
        })
    }

    fn fill(&self, template: &str) -> String {
        let (on_cluster, engine, ledger_engine, deduplication) = match &self.cluster {
            None => (
                String::new(),
                "MergeTree".to_owned(),
                "MergeTree".to_owned(),
                "non_replicated_deduplication_window = 10000",
            ),
            Some(cluster) => (
                format!("ON CLUSTER '{cluster}'"),
                replicated(&self.database, "ai_log"),
                replicated(&self.database, "tollgate_migrations"),
                "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800",
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
pub(in crate::ailog) fn statements(script: &str) -> Vec<String> {
    let code: Vec<&str> = script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n").split(";\n").map(|s| s.trim().trim_end_matches(';').to_owned()).filter(|s| !s.is_empty()).collect()
}

async fn execute(client: &Client, statement: &str) -> Result<(), Error> {
    let work = client.query_raw(statement).execute();
    tokio::time::timeout(STATEMENT_TIMEOUT, work).await.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ailog::columns::{COLUMNS, COLUMNS_OF_1};

    fn options(cluster: Option<&str>) -> SchemaOptions {
        SchemaOptions { database: "d".into(), cluster: cluster.map(str::to_owned), retention_days: 90 }
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
