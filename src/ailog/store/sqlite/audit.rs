//! The table `policy_audit`: the second copy of the audit.
//!
//! Guarantees: a record that is there is never changed; what was kept is on the disk. Does not:
//! check the chain (see the room `audit`).

use rusqlite::{Connection, TransactionBehavior};

use crate::ailog::store::AuditRecord;

/// The table. A chain that continues behind a cut end has two records of one number.
pub(crate) const TABLE: &str = "CREATE TABLE policy_audit (chain TEXT NOT NULL, \
     seq INTEGER NOT NULL, record TEXT NOT NULL, hash TEXT NOT NULL, \
     PRIMARY KEY (chain, seq, hash)) WITHOUT ROWID;";

/// Keeps records.
pub(crate) fn keep(connection: &mut Connection, records: &[AuditRecord]) -> rusqlite::Result<()> {
    let before: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    connection.execute_batch("PRAGMA synchronous = FULL")?;
    let kept = insert(connection, records);
    connection.execute_batch(&format!("PRAGMA synchronous = {before}"))?;
    kept
}

fn insert(connection: &mut Connection, records: &[AuditRecord]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT OR IGNORE INTO policy_audit (chain, seq, record, hash) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for AuditRecord { chain, seq, record, hash } in records {
            let seq = i64::try_from(*seq).unwrap_or(i64::MAX);
            insert.execute((chain, seq, record, hash))?;
        }
    }
    transaction.commit()
}
