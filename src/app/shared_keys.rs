//! Gateway keys made at run time, exchanged with other replicas through the limits store.
//!
//! Guarantees: a change here or there is in force everywhere within a second while the store can be
//! asked; a store that has lost its data gets the keys again from each replica; a revoked key stays
//! revoked in whatever order replicas speak. Does not: wait for the store before a key is in force
//! here.
//!
//! # Bounds
//! At most [`WRITTEN_AT_ONCE`] records are written at once.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::keys::{Keys, KeysError, Record};
use crate::limit::redis::Shared;

/// How often the store is asked whether something has changed.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Records of one write.
const WRITTEN_AT_ONCE: usize = 256;
/// No version of the store.
const UNKNOWN: i64 = -1;

/// Exchanges keys until `stop`.
pub(crate) async fn follow(keys: Arc<Keys>, shared: Arc<Shared>, stop: CancellationToken) {
    let mut known = UNKNOWN;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            exchanged = exchange(&keys, &shared, known) => known = exchanged,
        }
        tokio::select! {
            () = stop.cancelled() => return,
            // New entries are compared with all entries in the store.
            () = keys.changed() => known = UNKNOWN,
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
    }
}

/// Takes over and tells what is new. Returns the version of the store that is known now.
async fn exchange(keys: &Arc<Keys>, shared: &Shared, known: i64) -> i64 {
    let Ok((version, list)) = shared.keys(known, &[]).await else { return known };
    if version == known {
        return known;
    }
    let others: Vec<Record> =
        list.chunks_exact(2).filter_map(|pair| serde_json::from_str(&pair[1]).ok()).collect();
    let merging = Arc::clone(keys);
    let merged = tokio::task::spawn_blocking(move || merging.merge(&others)).await;
    let missing = match merged {
        Ok(Ok(missing)) => missing,
        Ok(Err(error)) => return failed(&error, known),
        Err(_) => return known,
    };
    for some in missing.chunks(WRITTEN_AT_ONCE) {
        let written: Vec<(String, String)> = some
            .iter()
            .filter_map(|record| Some((record.sha256.clone(), serde_json::to_string(record).ok()?)))
            .collect();
        if shared.keys(version, &written).await.is_err() {
            return UNKNOWN;
        }
    }
    if missing.is_empty() { version } else { UNKNOWN }
}

fn failed(error: &KeysError, known: i64) -> i64 {
    tracing::warn!(
        event = "shared_keys_not_stored",
        %error, "keys of other replicas cannot be stored; trying again");
    known
}
