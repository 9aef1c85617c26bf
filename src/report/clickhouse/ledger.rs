//! The costs of ClickHouse, computed again.
//!
//! Guarantees: after a run that ended well, the roll-ups of the stretch have the costs of the rows;
//! an interrupted run is mended by the next one. Does not: work on a cluster.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;
use serde_json::{Map, Value};
use tollgate_wire::usage::{ServiceTier, TokenUsage};
use uuid::Uuid;

use super::{ClickHouseReader, LAST_MS};
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
        let mut ledger =
            ClickHouseLedger { reader, database, costs: None, waiting: 0, stretch: None };
        if !dry_run {
            let found = ledger.fetch(
                "SELECT engine FROM system.tables WHERE database = currentDatabase() AND \
                    name = 'ai_rows'",
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
            let amounts = AMOUNTS.map(|(name, _)| format!("{name} Decimal(18, 9)")).join(", ");
            ledger.execute(&format!(
                "CREATE TABLE {costs} (id UUID, {amounts}) ENGINE = Join(ANY, LEFT, \
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

    /// Gives the roll-ups of the stretch the sums of its rows.
    fn repair(&self) -> Result<(), ReadError> {
        let Some((from_ms, to_ms)) = self.stretch else { return Ok(()) };
        let moment =
            |ms: i64| format!("fromUnixTimestamp64Milli(toInt64({}), 'UTC')", ms.clamp(0, LAST_MS));
        for Repair { insert, behind } in repairs(&moment(from_ms), &moment(to_ms)) {
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
        let costs = self.costs();
        // The version is digits, dots and letters of our own making; the database's name is one of
        // letters and digits.
        self.execute(&format!(
            "ALTER TABLE ai_rows UPDATE {}, price_version = '{version}'
             WHERE id IN (SELECT id FROM {costs}) SETTINGS mutations_sync = 2",
            AMOUNTS
                .map(|(name, _)| format!(
                    "{name} = joinGet('{}.{costs}', '{name}', id)",
                    self.database
                ))
                .join(", "),
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
        // The first stretch is the whole one; others are its halves.
        self.stretch.get_or_insert((from_ms, to_ms));
        let found = self.fetch(&format!(
            "SELECT count() AS rows, toUnixTimestamp64Milli(min(created_at)) AS first,
                    toUnixTimestamp64Milli(max(created_at)) AS last FROM ai_rows WHERE {}",
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
             FROM ai_rows WHERE {}",
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
