//! Divides the table of a former layout, in which `ai_log` had all columns. The sums by day
//! come later (see `daily`).
//!
//! Guarantees: while it works, gateways cannot write: there is no `ai_log`, and `ai_rows` lacks a
//! column. An interrupted division begins again with empty roll-ups, until the captured columns are
//! gone from `ai_rows`. The table keeps its list of inserts, so a batch that a former gateway sent
//! and another one sends again is still dropped. Does not: keep captured texts that are too old.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use super::{STATEMENT_TIMEOUT, SchemaOptions, execute, in_time, statements};

/// The longest time for a statement that reads the whole log.
const DIVISION_TIMEOUT: Duration = Duration::from_secs(6 * 3_600);

/// The rows copied out of the former table. Partitions are days, and all of them go at once.
const COPIES: &str = "TRUNCATE TABLE `${database}`.ai_captures ${on_cluster};\n\
     TRUNCATE TABLE `${database}`.ai_hourly ${on_cluster};\n\
     DROP VIEW IF EXISTS `${database}`.ai_daily_mv ${on_cluster};\n\
     TRUNCATE TABLE `${database}`.ai_daily ${on_cluster};\n\
     TRUNCATE TABLE `${database}`.ai_daily_gaps ${on_cluster};\n\
     TRUNCATE TABLE `${database}`.ai_tags ${on_cluster};\n\
     INSERT INTO `${database}`.ai_captures (created_at, id, request, response) \
     SELECT r.created_at, r.id, r.request, r.response FROM `${database}`.ai_rows AS r \
     WHERE (r.request IS NOT NULL OR r.response IS NOT NULL) \
     AND r.created_at > now() - INTERVAL ${captures_days} DAY \
     SETTINGS max_partitions_per_insert_block = 0, async_insert = 0, insert_deduplication_token = \
     '${token}';\n\
     INSERT INTO `${database}`.ai_hourly ${hourly_names} ${hourly_of ai_rows} \
     SETTINGS max_partitions_per_insert_block = 0, async_insert = 0, insert_deduplication_token = \
     '${token}';\n\
     INSERT INTO `${database}`.ai_tags ${tags_names} ${tags_of ai_rows} \
     SETTINGS max_partitions_per_insert_block = 0, async_insert = 0, insert_deduplication_token = \
     '${token}';\n\
     ALTER TABLE `${database}`.ai_rows ${on_cluster} DROP COLUMN IF EXISTS request, \
     DROP COLUMN IF EXISTS response, DROP COLUMN IF EXISTS prompt, DROP COLUMN IF EXISTS answer;\n";

impl SchemaOptions {
    /// Makes `ai_rows` and its roll-ups of the table of a former layout, if there is one.
    pub(crate) async fn divide(&self, client: &Client) -> Result<(), Error> {
        if self.has(client, "ai_log", "engine LIKE '%MergeTree'").await? {
            let rename = "RENAME TABLE `${database}`.ai_log TO `${database}`.ai_rows ${on_cluster}";
            execute(client, &self.fill(rename), STATEMENT_TIMEOUT).await?;
        }
        let captured = "(database, name) IN (SELECT database, table FROM system.columns \
             WHERE name = 'request')";
        if !self.has(client, "ai_rows", captured).await? {
            return Ok(());
        }
        let tables = super::SCRIPTS[0];
        for statement in statements(&self.fill(tables)) {
            execute(client, &statement, STATEMENT_TIMEOUT).await?;
        }
        for statement in statements(&self.fill(COPIES)) {
            execute(client, &statement, DIVISION_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Whether there is such a table of this name.
    async fn has(&self, client: &Client, table: &str, condition: &str) -> Result<bool, Error> {
        let sql = format!(
            "SELECT name FROM system.tables WHERE database = '{}' AND name = '{table}' \
             AND {condition}",
            self.database
        );
        let found: Vec<String> =
            in_time(client.query_raw(&sql).fetch_all(), STATEMENT_TIMEOUT).await?;
        Ok(!found.is_empty())
    }
}
