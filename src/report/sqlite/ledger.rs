//! The costs of the embedded store, computed again.
//!
//! Guarantees: a slice of rows and their roll-ups change in one transaction, so that a gateway that
//! writes at the same time waits for no more than that, and the sums are always those of the rows.

use rusqlite::{TransactionBehavior, params};
use tollgate_wire::usage::{ServiceTier, TokenUsage};

use super::{REPRICE_SLICE, SqliteReader};
use crate::ailog::columns::{COLUMNS, Value, iso};
use crate::ailog::store::measures::{Sums, Values};
use crate::ailog::store::sqlite::former::value_of;
use crate::ailog::store::sqlite::groups::Group;
use crate::ailog::store::sqlite::layout::{Home, home, stored_name};
use crate::ailog::store::sqlite::rollup::{Hour, Rollup};
use crate::report::ledger::{AMOUNTS, Change, Ledger, StoredCall};
use crate::report::query::{ReadError, ms_of};

/// The places of the columns of a row without its captured texts.
fn row_places() -> impl Iterator<Item = usize> {
    let columns = COLUMNS.iter().enumerate();
    columns.filter(|(_, column)| home(column) != Home::Capture).map(|(place, _)| place)
}

/// Selects a row by its time and id.
fn row_sql() -> String {
    let names: Vec<String> = row_places().map(|place| stored_name(&COLUMNS[place])).collect();
    format!(
        "SELECT grp, series, {} FROM ai_rows JOIN ai_groups USING (grp) JOIN ai_series \
         USING (series) WHERE created_at = ?1 AND id = ?2",
        names.join(", ")
    )
}

impl Ledger for SqliteReader {
    fn slice(&self) -> u64 {
        REPRICE_SLICE
    }

    fn extent(&mut self, from_ms: i64, to_ms: i64) -> Result<(u64, i64, i64), ReadError> {
        let sql = "SELECT count(*), coalesce(min(created_at), ''), coalesce(max(created_at), '') \
            FROM ai_log
                   WHERE created_at >= ?1 AND created_at < ?2";
        let (rows, first, last): (i64, String, String) =
            self.connection.prepare_cached(sql)?.query_row([iso(from_ms), iso(to_ms)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let ms = |text: &str| ms_of(text).unwrap_or(from_ms);
        Ok((u64::try_from(rows).unwrap_or(0), ms(&first), ms(&last)))
    }

    fn rows(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<StoredCall>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, created_at, provider, model, response_model, input_tokens, cached_tokens, \
             cache_write_tokens,
                    cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, \
                    audio_output_tokens,
                    service_tier, usage_source <> 'none', cost_nano_usd, price_version
             FROM ai_log WHERE created_at >= ?1 AND created_at < ?2",
        )?;
        let rows = statement.query_map([iso(from_ms), iso(to_ms)], |row| {
            let tokens = |at: usize| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(StoredCall {
                id: row.get(0)?,
                at_ms: ms_of(&row.get::<_, String>(1)?).unwrap_or(from_ms),
                provider: row.get(2)?,
                model: row.get(3)?,
                response_model: row.get(4)?,
                usage: TokenUsage {
                    input: tokens(5)?,
                    cached: tokens(6)?,
                    cache_write: tokens(7)?,
                    cache_write_1h: tokens(8)?,
                    output: tokens(9)?,
                    reasoning: tokens(10)?,
                    audio_input: tokens(11)?,
                    audio_output: tokens(12)?,
                    tier: ServiceTier::named(&row.get::<_, String>(13)?),
                },
                has_usage: row.get(14)?,
                cost_nano: row.get(15)?,
                price_version: row.get(16)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn change(&mut self, changes: &[Change], version: &str) -> Result<(), ReadError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rollup = Rollup::default();
        for change in changes {
            let key = (iso(change.at_ms), &change.id);
            let mut find = transaction.prepare_cached(&row_sql())?;
            let mut found = find.query((&key.0, key.1))?;
            // Retention may have deleted it meanwhile.
            let Some(row) = found.next()? else { continue };
            let group = Group { number: row.get(0)?, series: row.get(1)? };
            let mut values = Values::UNKNOWN;
            for (at, place) in row_places().enumerate() {
                values.set(place, value_of(&COLUMNS[place], row.get_ref(at + 2)?));
            }
            let mut before = Sums::default();
            before.add(&values);
            for (name, amount) in AMOUNTS {
                if let Some(place) = COLUMNS.iter().position(|column| column.name == name) {
                    values.set(place, Value::NanoUsd(amount(&change.cost)));
                }
            }
            let mut after = Sums::default();
            after.add(&values);
            rollup.add_change(Hour::of(&values), group, &values, &after.minus(&before));
            let [total, input, cached, write, output, saved] =
                AMOUNTS.map(|(_, amount)| amount(&change.cost));
            transaction
                .prepare_cached(
                    "UPDATE ai_rows SET price_version = ?3, cost_nano_usd = ?4,
                     input_cost_nano_usd = ?5, cached_cost_nano_usd = ?6,
                     cache_write_cost_nano_usd = ?7, output_cost_nano_usd = ?8,
                     saved_by_cache_nano_usd = ?9 WHERE created_at = ?1 AND id = ?2",
                )?
                .execute(params![
                    key.0, key.1, version, total, input, cached, write, output, saved
                ])?;
        }
        rollup.write(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    fn finish(&mut self, _version: &str) -> Result<(), ReadError> {
        Ok(())
    }
}
