//! The ClickHouse schema: versioned migrations from `config/clickhouse`, printed or applied.
//!
//! Guarantees: every statement may be run again. `apply` keeps in `tollgate_migrations` which
//! migrations it has run, and runs the others. Does not: drop or rewrite anything; migrations only
//! add. The retention of an existing table is changed only on request, because a shorter one
//! deletes rows.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use super::{exception_code, runtime};
use crate::ailog::columns::{COLUMNS, Column, MIGRATION_OF_VERSION, Type, added_in};
use crate::config::policy::ClickHouseOptions;

/// The migrations that are written by hand, in order. A number is never reused; `row` has those of
/// the columns.
const SCRIPTS: [(u32, &str); 4] = [
    (1, include_str!("../../../../config/clickhouse/001_ai_log.sql")),
    (2, include_str!("../../../../config/clickhouse/002_views.sql")),
    (3, include_str!("../../../../config/clickhouse/003_usage_columns.sql")),
    (4, include_str!("../../../../config/clickhouse/004_deduplication.sql")),
];

/// The migration of a version of the columns that has no script.
const ADDED_COLUMNS: &str = "-- Columns that this version of tollgate adds.\n\n\
     ALTER TABLE `${database}`.ai_log ${on_cluster}\n${added_columns};\n";

/// The longest time for one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest retention in days: the server's DateTime ends in 2106 and wraps after that.
pub(crate) const RETENTION_DAYS_MAX: u32 = 20_000;

/// The options of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaOptions {
    /// Letters, digits and `_`.
    pub(crate) database: String,
    /// Replicated tables on this cluster (letters, digits, `_`, `-`), which has the macros
    /// `{shard}` and `{replica}`.
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
    /// The whole schema as SQL.
    pub(crate) fn sql(&self) -> String {
        let parts: Vec<String> =
            migrations().iter().map(|(_, template)| self.fill(template)).collect();
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
                    Some(192..=194 | 497 | 516) => {
                        ApplyError::Refused { user: server.user.clone(), error }
                    }
                    _ => ApplyError::Statement { what: what.to_owned(), error },
                },
                Error::TimedOut => {
                    ApplyError::Slow { url: server.url.clone(), what: what.to_owned() }
                }
                error => ApplyError::Unreachable { url: server.url.clone(), error },
            };
            let ledger = self.fill(
                "CREATE DATABASE IF NOT EXISTS `${database}` ${on_cluster};\n\
                 CREATE TABLE IF NOT EXISTS `${database}`.tollgate_migrations ${on_cluster}\n\
                 (version UInt32, applied_at DateTime('UTC') DEFAULT now())\n\
                 ENGINE = ${ledger_engine} ORDER BY version COMMENT 'Migrations that tollgate has \
                 run';\n",
            );
            let of_ledger = "the database with its list of migrations";
            for statement in statements(&ledger) {
                execute(&client, &statement).await.map_err(|e| failed(of_ledger, e))?;
            }
            let done = format!(
                "SELECT DISTINCT version FROM \
                `{}`.tollgate_migrations",
                self.database
            );
            let done: Vec<u32> = in_time(client.query_raw(&done).fetch_all())
                .await
                .map_err(|e| failed(of_ledger, e))?;
            let of_retention = "the retention of ai_log";
            let retention_before =
                self.retention(&client).await.map_err(|e| failed(of_retention, e))?;
            let mut run = Vec::new();
            for (version, template) in
                migrations().iter().filter(|(version, _)| !done.contains(version))
            {
                let what = format!("migration {version}");
                for statement in statements(&self.fill(template)) {
                    execute(&client, &statement).await.map_err(|e| failed(&what, e))?;
                }
                let note = format!(
                    "INSERT INTO `{}`.tollgate_migrations (version) VALUES \
                    ({version})",
                    self.database
                );
                execute(&client, &note).await.map_err(|e| failed(&what, e))?;
                run.push(*version);
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
            Ok(Applied { migrations: run, retention_before, retention })
        })
    }

    /// The retention of the existing table; `None` if there is none.
    async fn retention(&self, client: &Client) -> Result<Option<Retention>, Error> {
        let sql = format!(
            "SELECT engine_full FROM system.tables WHERE database = '{}' AND name = 'ai_log'",
            self.database
        );
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
                "replicated_deduplication_window = 100000, replicated_deduplication_window_seconds \
                 = 604800",
            ),
        };
        template
            .replace("${database}", &self.database)
            .replace(
                " ${on_cluster}",
                &if on_cluster.is_empty() { on_cluster } else { format!(" {on_cluster}") },
            )
            .replace("${engine}", &engine)
            .replace("${ledger_engine}", &ledger_engine)
            .replace("${deduplication}", deduplication)
            .replace("${retention_days}", &self.retention_days.to_string())
    }
}

/// Every migration, in order, with the columns that it adds.
fn migrations() -> Vec<(u32, String)> {
    migrations_of(&COLUMNS, &MIGRATION_OF_VERSION)
}

fn migrations_of(columns: &[Column], versions: &[u32]) -> Vec<(u32, String)> {
    let mut scripts: Vec<(u32, &str)> = SCRIPTS.to_vec();
    for migration in versions {
        if !scripts.iter().any(|(number, _)| number == migration) {
            scripts.push((*migration, ADDED_COLUMNS));
        }
    }
    scripts.sort_unstable_by_key(|(number, _)| *number);
    let fill = |(number, script): (u32, &str)| {
        let version = versions.iter().position(|migration| *migration == number);
        let version = version.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(0);
        let added: Vec<&Column> = added_in(columns, version).collect();
        let script = script.replace("${columns}", &definitions(&added, "    "));
        (
            number,
            script
                .replace("${added_columns}", &definitions(&added, "    ADD COLUMN IF NOT EXISTS ")),
        )
    };
    scripts.into_iter().map(fill).collect()
}

/// The columns as SQL, one on each line, aligned.
fn definitions(columns: &[&Column], prefix: &str) -> String {
    let width =
        |of: fn(&Column) -> &str| columns.iter().map(|column| of(column).len()).max().unwrap_or(0);
    let (name_width, type_width) =
        (width(|column| column.name), width(|column| type_of(column.of)));
    let define = |column: &&Column| {
        let (name, of, doc) = (column.name, type_of(column.of), column.doc.replace('\'', "''"));
        let codec = codec_of(column.of);
        format!("{prefix}{name:name_width$} {of:type_width$} COMMENT '{doc}'{codec}")
    };
    columns.iter().map(define).collect::<Vec<_>>().join(",\n")
}

/// The type of a column in ClickHouse.
pub(crate) const fn type_of(of: Type) -> &'static str {
    match of {
        Type::Uuid => "UUID",
        Type::Millis => "DateTime64(3, 'UTC')",
        Type::Text => "String",
        Type::Label => "LowCardinality(String)",
        Type::Bool => "Bool",
        Type::U8 => "UInt8",
        Type::U16 => "UInt16",
        Type::U32 => "UInt32",
        Type::U64 => "UInt64",
        Type::NanoUsd => "Nullable(Decimal(18, 9))",
        Type::OptionalText => "Nullable(String)",
        Type::OptionalLabel => "LowCardinality(Nullable(String))",
        Type::OptionalFloat => "Nullable(Float64)",
        Type::Tags => "Map(LowCardinality(String), String)",
        Type::Attempts => {
            "Array(Tuple(provider String, status UInt16, error LowCardinality(String), ms UInt32))"
        }
    }
}

/// How ClickHouse compresses a column, as the end of its definition.
const fn codec_of(of: Type) -> &'static str {
    match of {
        Type::Millis => " CODEC(DoubleDelta, ZSTD(1))",
        Type::Text | Type::U16 | Type::NanoUsd | Type::Tags | Type::Attempts => " CODEC(ZSTD(1))",
        Type::OptionalText => " CODEC(ZSTD(3))",
        Type::U32 | Type::U64 => " CODEC(T64, ZSTD(1))",
        Type::Uuid
        | Type::Label
        | Type::Bool
        | Type::U8
        | Type::OptionalLabel
        | Type::OptionalFloat => "",
    }
}

fn replicated(database: &str, table: &str) -> String {
    format!("ReplicatedMergeTree('/clickhouse/tables/{{shard}}/{database}/{table}', '{{replica}}')")
}

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
fn retention_of(engine: &str) -> Retention {
    let Some((_, rule)) = engine.split_once(" TTL ") else { return Retention::Never };
    let rule =
        rule.split_once(" SETTINGS ").map_or(rule, |(rule, _)| rule).trim_end_matches(" DELETE");
    let days = rule
        .strip_prefix("toDateTime(created_at) + toIntervalDay(")
        .and_then(|rest| rest.strip_suffix(')'));
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
        let of = |rule: &str| {
            retention_of(&format!(
                "MergeTree PARTITION BY m ORDER BY (a, b){rule} SETTINGS g = 8192"
            ))
        };
        assert_eq!(of(" TTL toDateTime(created_at) + toIntervalDay(730)"), Retention::Days(730));
        assert_eq!(of(""), Retention::Never);
        for other in [
            " TTL toDateTime(created_at) + toIntervalMonth(3)",
            " TTL toDateTime(created_at) + toIntervalDay(7), toDateTime(created_at) + \
                toIntervalDay(1) TO VOLUME 'cold'",
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
            assert_eq!(
                sql.matches("ON CLUSTER 'main'").count(),
                on_cluster,
                "every statement runs on the cluster"
            );
        }
        assert!(
            options(Some("main")).sql().contains(
                "ReplicatedMergeTree('/clickhouse/tables/{shard}/d/ai_log', '{replica}')"
            )
        );
        assert!(options(None).sql().contains("ENGINE = MergeTree\n"));
    }

    #[test]
    fn every_column_is_in_one_migration() {
        let migrations = migrations();
        for Column { name, of, since, .. } in COLUMNS {
            let definition = format!("{name} ");
            let defines = |line: &&str| {
                let line = line.trim_start();
                let line = line.strip_prefix("ADD COLUMN IF NOT EXISTS ").unwrap_or(line);
                line.starts_with(&definition) && line.contains(" COMMENT '")
            };
            let places = migrations
                .iter()
                .flat_map(|(number, sql)| sql.lines().filter(defines).map(move |_| *number));
            let expected = MIGRATION_OF_VERSION[usize::from(since) - 1];
            assert_eq!(places.collect::<Vec<_>>(), [expected], "{name} {of:?}");
        }
    }

    #[test]
    fn columns_of_a_new_version_get_a_migration() {
        let [first, .., last] = COLUMNS;
        let new =
            Column { name: "cache", of: Type::OptionalLabel, since: 5, doc: "the answer's own" };
        let migrations = migrations_of(&[first, last, new], &[1, 3, 5, 6, 9]);
        assert_eq!(
            migrations.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 9]
        );
        let expected = "-- Columns that this version of tollgate adds.\n\nALTER TABLE \
            `d`.ai_log\n    \
                        ADD COLUMN IF NOT EXISTS cache LowCardinality(Nullable(String)) COMMENT \
                        'the answer''s own';\n";
        assert_eq!(options(None).fill(&migrations[6].1), expected);
        assert!(
            migrations[0].1.contains("\n    id UUID COMMENT '")
                && !migrations[2].1.contains(" cache ")
        );
    }
}
