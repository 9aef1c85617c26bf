//! Calls, tokens and cost of each organisation as metrics (`metrics.per_org`).
//!
//! Stage 12 of the walk. Guarantees: the sum over all organisations is the sum of all calls. Does
//! not: anything while the key is off.
//!
//! # Bounds
//! The first `METRIC_ORGS_MAX` organisations since the start have series of their own; further ones
//! share those of `(other)`, which no organisation can be called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use prometheus::{Counter, IntCounter};

use crate::ailog::row::Row;
use crate::bounds::METRIC_ORGS_MAX;
use crate::ids::OrgId;
use crate::metrics::Metrics;

const OTHER: &str = "(other)";

/// The series of all organisations.
pub struct OrgSeries {
    metrics: Arc<Metrics>,
    of: DashMap<OrgId, Arc<Series>>,
    count: AtomicUsize,
    others: Arc<Series>,
}

/// The series of one.
struct Series {
    calls: IntCounter,
    cost: Counter,
    /// Input, cached, output, reasoning.
    tokens: [IntCounter; 4],
}

impl Series {
    fn new(metrics: &Metrics, org: &str) -> Series {
        let tokens = |direction| metrics.org_tokens.with_label_values(&[org, direction]);
        Series {
            calls: metrics.org_requests.with_label_values(&[org]),
            cost: metrics.org_cost_usd.with_label_values(&[org]),
            tokens: ["input", "cached", "output", "reasoning"].map(tokens),
        }
    }
}

impl OrgSeries {
    /// No organisation yet.
    pub fn new(metrics: &Arc<Metrics>) -> OrgSeries {
        OrgSeries {
            metrics: Arc::clone(metrics),
            of: DashMap::new(),
            count: AtomicUsize::new(0),
            others: Arc::new(Series::new(metrics, OTHER)),
        }
    }

    /// Counts a call that has ended.
    pub fn count(&self, row: &Row) {
        let series = self.series(&row.org_id);
        series.calls.inc();
        let usage = &row.usage;
        let figures = [usage.input, usage.cached, usage.output, usage.reasoning];
        for (counter, figure) in series.tokens.iter().zip(figures) {
            counter.inc_by(figure);
        }
        if let Some(nano) = row.cost_nano_usd {
            #[expect(clippy::cast_precision_loss, reason = "a counter for dashboards")]
            series.cost.inc_by((nano.max(0) as f64) / 1e9);
        }
    }

    fn series(&self, org: &OrgId) -> Arc<Series> {
        if let Some(series) = self.of.get(org) {
            return Arc::clone(&series);
        }
        if self.count.load(Ordering::Relaxed) >= METRIC_ORGS_MAX {
            return Arc::clone(&self.others);
        }
        match self.of.entry(org.clone()) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                if self.count.fetch_add(1, Ordering::Relaxed) >= METRIC_ORGS_MAX {
                    return Arc::clone(&self.others);
                }
                let series = Arc::new(Series::new(&self.metrics, org.as_str()));
                Arc::clone(&entry.insert(series))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ailog::tests::row;

    #[test]
    fn a_hundred_thousand_organisations_keep_the_page_short_and_the_sums_right() {
        let metrics = Metrics::new();
        let series = OrgSeries::new(&metrics);
        let (mut calls, mut input, mut nano) = (0, 0, 0);
        for n in 0..100_000 {
            let mut row = row(n);
            row.org_id = OrgId::new(&format!("org-{n}")).expect("an organisation");
            row.model = format!("model-{n}");
            series.count(&row);
            calls += 1;
            input += row.usage.input;
            nano += row.cost_nano_usd.unwrap_or(0);
        }
        let text = metrics.text();
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!((2_400..5_000).contains(&lines), "{lines} series");
        let sum = |name: &str| -> f64 {
            let of = text.lines().filter(|line| line.starts_with(name));
            of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        assert_eq!(sum("tollgate_org_requests_total"), f64::from(calls));
        let found = text.lines().filter(|line| {
            line.starts_with("tollgate_org_tokens_total") && line.contains("\"input\"")
        });
        let found: f64 =
            found.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        assert_eq!(found, input as f64);
        assert!((sum("tollgate_org_cost_usd_total") - nano as f64 / 1e9).abs() < 0.01);
    }
}
