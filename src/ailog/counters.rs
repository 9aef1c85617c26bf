//! The counters of the log, looked up once.
//!
//! A leaf of this room. Does not: decide when a row is counted.

use std::sync::Arc;

use prometheus::IntCounter;

use crate::metrics::Metrics;

/// `tollgate_log_rows_total`, one counter for each `result`; and all other series of the gateway.
pub(crate) struct Counters {
    pub(crate) written: IntCounter,
    pub(crate) stored: IntCounter,
    pub(crate) lost: IntCounter,
    pub(crate) dead_letter: IntCounter,
    /// The disk did not take the sync, so these rows may not be on it.
    pub(crate) suspect: IntCounter,
    /// Older than the retention before the store took them.
    pub(crate) expired: IntCounter,
    /// The end of the process cut their write off.
    pub(crate) unfinished: IntCounter,
    pub(crate) metrics: Arc<Metrics>,
}

impl Counters {
    /// The counters in `metrics`.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Counters {
        let of = |result: &str| metrics.log_rows.with_label_values(&[result]);
        Counters {
            written: of("written"),
            stored: of("stored"),
            lost: of("lost"),
            dead_letter: of("dead_letter"),
            suspect: of("suspect"),
            expired: of("expired"),
            unfinished: of("unfinished"),
            metrics,
        }
    }
}
