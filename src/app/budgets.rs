//! Budgets go on where an earlier process left off: what was spent in this day and month is read
//! from the log's own rows.
//!
//! Once, when the policy first limits money. Promises: with the embedded store, budgets that the
//! policy has at start are known before the first call; rows that only the write-ahead log holds
//! are stored first. With ClickHouse calls do not wait for it: budgets begin at zero and what was
//! spent is added when it answers. Does not: read for a shared `limits_store`, which keeps budgets
//! itself.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::ailog::AiLog;
use crate::bounds::BUDGET_ROWS_MAX;
use crate::config::policy::{Settings, StoreKind};
use crate::limit::calendar::Date;
use crate::limit::meters::moment;
use crate::pipeline::gateway::Gateway;
use crate::report::Reader;

/// The time that rows of an earlier run may take to be stored.
const STORED_WITHIN: Duration = Duration::from_secs(10);
/// How often the policy is looked at for its first budget.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a store that does not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Reads what was spent before the first call of this process, if that can be had at once; whether
/// there is nothing left to do for [`follow`].
pub(crate) async fn at_start(gateway: &Arc<Gateway>, log: &AiLog, settings: &Settings) -> bool {
    if gateway.counters.shared.is_some() {
        return true;
    }
    if !limited(gateway) || !matches!(settings.store, StoreKind::Embedded) {
        return false;
    }
    let read = read(gateway, log, settings, gateway.clock.wall_ms()).await;
    if let Err(reason) = &read {
        tracing::warn!(
            event = "budgets_unknown",
            reason,
            "earlier spending cannot be read; budgets begin at zero until it can"
        );
    }
    read.is_ok()
}

/// Waits until the policy limits money, and reads until it succeeds.
pub(crate) async fn follow(
    gateway: Arc<Gateway>,
    log: AiLog,
    settings: Settings,
    stop: CancellationToken,
) {
    let mut counted_since = None;
    let mut told = false;
    loop {
        let mut pause = LOOK_EVERY;
        if limited(&gateway) {
            // Calls count themselves from the moment that the policy with the budget was loaded.
            let since = *counted_since.get_or_insert_with(|| gateway.policy.load().loaded_at_ms);
            match read(&gateway, &log, &settings, since).await {
                Ok(()) => return,
                Err(reason) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            event = "budgets_unknown",
                            reason,
                            "earlier spending cannot be read; budgets begin at zero until it can"
                        );
                    }
                    pause = ASK_AGAIN;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn limited(gateway: &Gateway) -> bool {
    gateway.policy.load().limits.have_budgets()
}

/// Adds what calls that began before `until_ms` spent.
async fn read(
    gateway: &Arc<Gateway>,
    log: &AiLog,
    settings: &Settings,
    until_ms: i64,
) -> Result<(), String> {
    let date = Date::at(until_ms);
    let (log, store, data_dir) =
        (log.clone(), settings.store.clone(), settings.options.data_dir.clone());
    let reading = tokio::task::spawn_blocking(move || {
        if !log.flush(STORED_WITHIN) {
            return Err("rows of the last run are still being stored".to_owned());
        }
        let reader = Reader::open(&store, &data_dir).map_err(|error| error.to_string())?;
        let spent =
            |from| reader.spent(from, until_ms, BUDGET_ROWS_MAX).map_err(|error| error.to_string());
        Ok((spent(date.day_start_ms())?, spent(date.month_start_ms())?))
    });
    let (day, month) = reading.await.map_err(|_| "internal error while reading".to_owned())??;
    let at = moment(gateway.clock.now(), until_ms);
    gateway.counters.spent_before(&gateway.policy.load(), at, &day, &month);
    tracing::debug!(
        event = "budgets_continued",
        sums = day.len() + month.len(),
        "budgets continue from the log"
    );
    Ok(())
}
