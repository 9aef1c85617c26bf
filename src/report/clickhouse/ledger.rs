//! The costs of ClickHouse, computed again.
//!
//! Guarantees: after a run that ended well, the roll-ups of the stretch have the costs of the rows;
//! an interrupted run is mended by the next one; on a cluster, every server has the new costs
//! before its rows are changed. Does not: change replicated tables if no cluster is configured.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;
use serde_json::{Map, Value};
use tollgate_wire::usage::{ServiceTier, TokenUsage};
use uuid::Uuid;

use super::{ClickHouseReader, LAST_MS};
use crate::ailog::store::clickhouse::is_replicated;
use crate::ailog::store::clickhouse::schema::{Repair, repairs};
use crate::config::policy::ClickHouseOptions;
use crate::money::parse_usd;
use crate::report::ledger::{AMOUNTS, Change, Ledger, StoredCall};
use crate::report::query::ReadError;

/// Rows that repricing reads at once.
const REPRICE_SLICE: u64 = 50_000;
/// Costs of one mutation.
const MUTATION_ROWS_MAX: u64 = 1_000_000;
/// The longest time for one statement of repricing: a mutation of a large table takes long.
const REPRICE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// How often the roll-ups are compared with the rows, and how long it waits in between.
const REPAIR_TRIES: u32 = 3;
const REPAIR_PAUSE: Duration = Duration::from_millis(300);
/// How long a failed run waits for its table to be dropped.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// Repricing: the new costs go into a table of their own, then one mutation takes them over.
///
/// A mutation rewrites two columns of every part it touches, so there is one for many rows. Each
/// server looks the costs up in a `Join` table of its own. On a cluster, they go into a table that
/// is replicated to all servers, and from there into the table of each.
/// Each run has a table of its own, so that two runs do not disturb each other; it is dropped at
/// the end, also of a run that fails.
pub(crate) struct ClickHouseLedger {
    reader: ClickHouseReader,
    database: String,
    /// ` ON CLUSTER …`, or nothing.
    on_cluster: String,
    /// The table of the new costs; `None` if none was created.
    costs: Option<String>,
    /// Costs that wait for their mutation.
    waiting: u64,
    /// The stretch that the run was asked for.
    stretch: Option<(i64, i64)>,
}

impl ClickHouseLedger {
    pub(crate) fn open(
        options: &ClickHouseOptions,
        dry_run: bool,
    ) -> Result<ClickHouseLedger, ReadError> {
        let reader = ClickHouseReader::new(options)?;
        let database = options.database.clone();
        let on_cluster = match options.cluster.as_str() {
            "" => String::new(),
            name => format!(" ON CLUSTER '{name}'"),
        };
        let mut ledger = ClickHouseLedger {
            reader,
            database,
            on_cluster,
            costs: None,
            waiting: 0,
            stretch: None,
        };
        if !dry_run {
            let found = ledger.fetch(
                "SELECT engine FROM system.tables WHERE database = currentDatabase() AND \
                    name = 'ai_rows'",
            )?;
            let engine = found.first().and_then(|row| row.get("engine")).and_then(Value::as_str);
            let engine = engine.ok_or(ReadError::NoSchema)?;
            let shared = is_replicated(engine) && ledger.on_cluster.is_empty();
            if !engine.ends_with("MergeTree") || shared {
                return Err(ReadError::NotHere { engine: engine.to_owned() });
            }
            let costs = format!("tollgate_reprice_{:016x}", fastrand::u64(..));
            ledger.execute(&create(&costs, &ledger.on_cluster, &ledger.database))?;
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

    /// Gives the roll-ups of the stretch the sums of its rows.
    fn repair(&self) -> Result<(), ReadError> {
        let Some((from_ms, to_ms)) = self.stretch else { return Ok(()) };
        let moment =
            |ms: i64| format!("fromUnixTimestamp64Milli(toInt64({}), 'UTC')", ms.clamp(0, LAST_MS));
        for Repair { insert, behind } in repairs(&moment(from_ms), &moment(to_ms), self.reader.all)
        {
            for _ in 0..REPAIR_TRIES {
                self.execute(&insert)?;
                // Rows that a gateway inserts just now are in the roll-up a moment later.
                let found = self.fetch(&behind)?;
                let behind = found.first().and_then(|line| line.get("n")).and_then(Value::as_u64);
                if behind.unwrap_or(0) == 0 {
                    break;
                }
                std::thread::sleep(REPAIR_PAUSE);
            }
        }
        Ok(())
    }

    fn mutate(&mut self, version: &str) -> Result<(), ReadError> {
        if self.waiting == 0 {
            return Ok(());
        }
        for statement in mutation(self.costs(), &self.on_cluster, &self.database, version) {
            self.execute(&statement)?;
        }
        self.waiting = 0;
        Ok(())
    }
}

/// The fields of a lookup of the costs.
fn amounts() -> String {
    let amounts = AMOUNTS.map(|(name, _)| format!("{name} Decimal(18, 9)"));
    format!("id UUID, {}", amounts.join(", "))
}

/// Makes the table of the new costs. On a cluster all servers of all shards are its replicas.
fn create(costs: &str, on_cluster: &str, database: &str) -> String {
    let engine = match on_cluster {
        "" => "Join(ANY, LEFT, id)".to_owned(),
        _ => format!(
            "ReplicatedMergeTree('/clickhouse/tables/{database}/{costs}', '{{shard}}-{{replica}}') \
             ORDER BY id"
        ),
    };
    format!(
        "CREATE TABLE {database}.{costs}{on_cluster} ({}) ENGINE = {engine} COMMENT 'Costs that a \
         running tollgate reprice is about to take over'",
        amounts()
    )
}

/// The statements that take the new costs over. The version is digits, dots and letters of our own
/// making; the database's name is one of letters and digits.
fn mutation(costs: &str, on_cluster: &str, database: &str, version: &str) -> Vec<String> {
    let on_each = !on_cluster.is_empty();
    let lookup = if on_each { format!("{costs}_lookup") } else { costs.to_owned() };
    let change = AMOUNTS
        .map(|(name, _)| format!("{name} = joinGet('{database}.{lookup}', '{name}', id)"))
        .join(", ");
    // Every server has the same costs, so that the lookup gives the same on all of them.
    let allowed = if on_each { ", allow_nondeterministic_mutations = 1" } else { "" };
    let mut statements = vec![
        format!(
            "ALTER TABLE {database}.ai_rows{on_cluster} UPDATE {change}, price_version = \
             '{version}' WHERE id IN (SELECT id FROM {database}.{lookup}) SETTINGS mutations_sync = \
             2{allowed}"
        ),
        format!("TRUNCATE TABLE {database}.{costs}{on_cluster}"),
    ];
    if on_each {
        let names = AMOUNTS.map(|(name, _)| name).join(", ");
        statements.insert(0, format!("SYSTEM SYNC REPLICA{on_cluster} {database}.{costs}"));
        statements.insert(
            1,
            format!(
                "CREATE TABLE {database}.{lookup}{on_cluster} ({}) ENGINE = Join(ANY, LEFT, id) AS \
                 SELECT id, {names} FROM {database}.{costs}",
                amounts()
            ),
        );
        statements.push(format!("DROP TABLE {database}.{lookup}{on_cluster}"));
    }
    statements
}

/// The statements of a run on a cluster.
#[cfg(test)]
pub(crate) fn cluster_statements(database: &str, costs: &str, cluster: &str) -> Vec<String> {
    let on_cluster = format!(" ON CLUSTER '{cluster}'");
    let mut statements = vec![create(costs, &on_cluster, database)];
    statements.extend(mutation(costs, &on_cluster, database, "1"));
    statements
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
        // The first stretch is the whole one; others are its halves.
        self.stretch.get_or_insert((from_ms, to_ms));
        let found = self.fetch(&format!(
            "SELECT count() AS rows, toUnixTimestamp64Milli(min(created_at)) AS first,
                    toUnixTimestamp64Milli(max(created_at)) AS last FROM ai_rows{} WHERE {}",
            self.reader.all,
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
             FROM ai_rows{} WHERE {}",
            self.reader.all,
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
        let mut body = Vec::with_capacity(changes.len() * 64);
        for change in changes {
            let id = Uuid::parse_str(&change.id).map_err(|_| ReadError::Answer)?;
            let (high, low) = id.as_u64_pair();
            body.extend_from_slice(&high.to_le_bytes());
            body.extend_from_slice(&low.to_le_bytes());
            for (_, amount) in AMOUNTS {
                body.extend_from_slice(&amount(&change.cost).to_le_bytes());
            }
        }
        let mut insert = self
            .reader
            .client
            .insert_formatted_with(format!(
                "INSERT INTO {} (id, {}) FORMAT RowBinary",
                self.costs(),
                AMOUNTS.map(|(name, _)| name).join(", ")
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
        self.repair()?;
        match self.costs.take() {
            Some(costs) => self.execute(&format!("DROP TABLE {costs}{}", self.on_cluster)),
            None => Ok(()),
        }
    }
}

impl Drop for ClickHouseLedger {
    fn drop(&mut self) {
        let Some(costs) = self.costs.take() else { return };
        let of_cluster = if self.on_cluster.is_empty() { None } else { Some("_lookup") };
        let (client, on_cluster) = (&self.reader.client, &self.on_cluster);
        let drop_it = async {
            for end in [Some(""), of_cluster].into_iter().flatten() {
                let sql = format!("DROP TABLE IF EXISTS {costs}{end}{on_cluster}");
                client.query_raw(&sql).execute().await?;
            }
            Ok::<_, Error>(())
        };
        let work = async { tokio::time::timeout(DROP_TIMEOUT, drop_it).await };
        if !matches!(self.reader.runtime.block_on(work), Ok(Ok(()))) {
            tracing::warn!(
                event = "reprice_list_left",
                table = costs,
                "the list of new costs was not dropped; it may be"
            );
        }
    }
}
