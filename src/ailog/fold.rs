//! Folding of refused calls: a flood of them costs one row a second and kind.
//!
//! Stage 12 of the walk. Pure: the time is an argument.
//!
//! Guarantees: the sum of `calls` over the resulting rows is the number of refused calls. Does not:
//! fold calls that did any work; keep the calls of the current second when the process is killed
//! (the first of each kind is on disk).
//!
//! # Bounds
//! `REFUSED_KINDS_MAX` kinds at once; above it each call has a row of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::row::{Outcome, RouteKind, Row};
use crate::bounds::REFUSED_KINDS_MAX;
use crate::clock::Nanos;
use crate::code::Code;
use crate::ids::OrgId;

/// The properties that refused calls share when they are folded into one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    org: OrgId,
    route: RouteKind,
    outcome: Outcome,
    code: Option<Code>,
    status: u16,
}

/// The refusals of the current second.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// `None`: the first call of the kind has its own row, none was folded since.
    kinds: HashMap<Kind, Option<Row>>,
    /// When the current second began.
    since: Nanos,
}

/// How long calls are folded before they become a row.
pub(crate) const FOLD_FOR: Duration = Duration::from_secs(1);

impl Fold {
    /// Folds a refused call; returns it if it must be written at once: the first of its kind.
    pub(crate) fn take(&mut self, row: Row) -> Option<Row> {
        let kind = Kind {
            org: row.org_id.clone(),
            route: row.route,
            outcome: row.outcome,
            code: row.error_code,
            status: row.status,
        };
        let full = self.kinds.len() >= REFUSED_KINDS_MAX;
        match self.kinds.entry(kind) {
            Entry::Occupied(mut entry) => {
                match entry.get_mut() {
                    Some(folded) => add(folded, &row),
                    none => *none = Some(without_bodies(row)),
                }
                None
            }
            Entry::Vacant(_) if full => Some(row),
            Entry::Vacant(entry) => {
                entry.insert(None);
                Some(row)
            }
        }
    }

    /// Whether the current second is over.
    pub(crate) fn is_due(&self, now: Nanos) -> bool {
        now.since(self.since) >= FOLD_FOR
    }

    /// Ends the second: returns the rows folded in it, and forgets the kinds without calls.
    pub(crate) fn end_second(&mut self, now: Nanos) -> Vec<Row> {
        self.since = now;
        let mut rows = Vec::new();
        self.kinds.retain(|_, folded| match folded.take() {
            Some(row) => {
                rows.push(row);
                true
            }
            None => false,
        });
        rows
    }
}

/// Counts `row` in `folded`; a label in which they differ becomes empty.
fn add(folded: &mut Row, row: &Row) {
    folded.calls = folded.calls.saturating_add(row.calls);
    folded.latency_ms = folded.latency_ms.max(row.latency_ms);
    folded.gateway_us = folded.gateway_us.max(row.gateway_us);
    folded.request_bytes = folded.request_bytes.saturating_add(row.request_bytes);
    folded.response_bytes = folded.response_bytes.saturating_add(row.response_bytes);
    for (mine, other) in [(&mut folded.caller, &row.caller), (&mut folded.provider, &row.provider)]
    {
        if mine != other {
            *mine = Arc::from("");
        }
    }
    if folded.endpoint != row.endpoint {
        folded.endpoint = Cow::Borrowed("");
    }
    if folded.model != row.model {
        folded.model.clear();
    }
}

fn without_bodies(mut row: Row) -> Row {
    row.request = None;
    row.response = None;
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ailog::tests::row;
    use proptest::prelude::*;

    fn refused(org: u8, model: u8) -> Row {
        let mut row = row(4);
        (row.outcome, row.error_code, row.calls) =
            (Outcome::RateLimited, Some(Code::RateLimitExceeded), 1);
        row.org_id = OrgId::new(&format!("org{org}")).expect("org");
        row.model = format!("m{model}");
        row
    }

    proptest! {
        /// In any order: every call is in exactly one row of its organisation, and no second has
        /// more than one folded row of a kind.
        #[test]
        fn every_call_is_counted(calls in proptest::collection::vec((0u8..4, 0u8..3, any::<bool>()), 0..300)) {
            let mut fold = Fold::default();
            let (mut given, mut got) = ([0u32; 4], [0u32; 4]);
            let count = |row: &Row| (usize::from(row.org_id.as_str().as_bytes()[3] - b'0'), row.calls);
            for (n, (org, model, second_ends)) in calls.into_iter().enumerate() {
                given[usize::from(org)] += 1;
                if let Some(row) = fold.take(refused(org, model)) {
                    let (org, calls) = count(&row);
                    got[org] += calls;
                }
                if second_ends {
                    let rows = fold.end_second(Nanos(n as u64));
                    prop_assert!(rows.len() <= 4);
                    rows.iter().map(count).for_each(|(org, calls)| got[org] += calls);
                }
            }
            fold.end_second(Nanos(0)).iter().map(count).for_each(|(org, calls)| got[org] += calls);
            prop_assert_eq!(given, got);
        }
    }

    #[test]
    fn what_differs_is_not_known_and_bodies_are_not_kept() {
        let mut fold = Fold::default();
        assert!(fold.take(refused(0, 0)).is_some());
        assert!(fold.take(refused(0, 1)).is_none() && fold.take(refused(0, 2)).is_none());
        let rows = fold.end_second(Nanos(0));
        assert_eq!((rows.len(), rows[0].calls, rows[0].model.as_str()), (1, 2, ""));
        assert!(rows[0].request.is_none() && rows[0].response.is_none());
        // Quiet for a second: the next one is a first again.
        assert!(fold.end_second(Nanos(0)).is_empty());
        assert!(fold.take(refused(0, 0)).is_some());
    }

    #[test]
    fn more_kinds_than_the_bound_have_rows_of_their_own() {
        let mut fold = Fold::default();
        let mut row = refused(0, 0);
        for n in 0..REFUSED_KINDS_MAX + 10 {
            row.org_id = OrgId::new(&format!("o{n}")).expect("org");
            assert!(fold.take(row.clone()).is_some());
        }
        assert!(fold.take(row).is_some(), "not folded, and not lost");
        assert_eq!(fold.kinds.len(), REFUSED_KINDS_MAX);
    }
}
