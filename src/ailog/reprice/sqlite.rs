//! Pricing again in the embedded store: a transaction for each slice, so that a gateway that writes waits for no more.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tollgate_wire::usage::{ServiceTier, TokenUsage};

use super::{Change, Ledger, Stored};
use crate::ailog::columns::iso;
use crate::ailog::report::{ReadError, ms_of};
use crate::ailog::sqlite::open_existing;

/// Rows of one transaction.
const SLICE: u64 = 2_000;

pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Opens the file; nothing if there is none, or it has no log yet.
    pub(super) fn open(path: &Path) -> Result<Option<Sqlite>, ReadError> {
        match open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE, Duration::from_secs(30))? {
            None => Ok(None),
            Some((_, 1)) => Err(ReadError::Former),
            Some((connection, _)) => Ok(Some(Sqlite { connection })),
        }
    }
}

impl Ledger for Sqlite {
    fn slice(&self) -> u64 {
        SLICE
    }

    fn extent(&mut self, from_ms: i64, to_ms: i64) -> Result<(u64, i64, i64), ReadError> {
        let sql = "SELECT count(*), coalesce(min(created_at), ''), coalesce(max(created_at), '') FROM ai_log
                   WHERE created_at >= ?1 AND created_at < ?2";
        let (rows, first, last): (i64, String, String) = self
            .connection
            .prepare_cached(sql)?
            .query_row([iso(from_ms), iso(to_ms)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let ms = |text: &str| ms_of(text).unwrap_or(from_ms);
        Ok((u64::try_from(rows).unwrap_or(0), ms(&first), ms(&last)))
    }

    fn rows(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<Stored>, ReadError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, created_at, provider, model, response_model, input_tokens, cached_tokens, cache_write_tokens,
                    cache_write_1h_tokens, output_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens,
                    service_tier, usage_source <> 'none', cost_nano_usd, price_version
             FROM ai_log WHERE created_at >= ?1 AND created_at < ?2",
        )?;
        let rows = statement.query_map([iso(from_ms), iso(to_ms)], |row| {
            let tokens = |at: usize| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
            Ok(Stored {
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
        let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut update =
                transaction.prepare_cached("UPDATE ai_log SET cost_nano_usd = ?2, price_version = ?3 WHERE id = ?1")?;
            for change in changes {
                update.execute((&change.id, change.cost_nano, version))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn finish(&mut self, _version: &str) -> Result<(), ReadError> {
        Ok(())
    }
}
