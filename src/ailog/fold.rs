//! Folding of refused calls: a flood of them costs one row a second and kind.
//!
//! Stage 12 of the walk. Pure: the time is an argument.
//!
//! Guarantees: the sum of `calls` over the resulting rows is the number of refused calls; caller,
//! model and limit are kept, so that a report by one of them is right; calls that a candidate
//! policy decides otherwise are folded apart. Does not: fold calls that did any work; keep the
//! calls of the current second when the process is killed (the first of each kind is on disk).
//!
//! # Bounds
//! `REFUSED_KINDS_MAX` kinds at once; above it each call has a row of its own.
//! `REFUSED_LABELS_MAX` callers, models and limits of one kind; calls of further ones share a row
//! without them, so that a flood of made-up names costs no more.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::row::{Outcome, RouteKind, Row};
use crate::bounds::{REFUSED_KINDS_MAX, REFUSED_LABELS_MAX};
use crate::clock::Nanos;
use crate::code::Code;
use crate::ids::OrgId;

/// The properties that refused calls share when they are folded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    org: OrgId,
    route: RouteKind,
    outcome: Outcome,
    code: Option<Code>,
    status: u16,
    /// The decision of the candidate policy.
    shadow: String,
}

/// Refused calls of a kind.
#[derive(Debug, Default)]
struct Group {
    named: Vec<Labelled>,
    /// The calls of callers, models and limits beyond the bound.
    others: Option<Row>,
}

/// Refused calls of a kind, caller, model and limit.
#[derive(Debug)]
struct Labelled {
    caller: Arc<str>,
    model: String,
    limited_by: Cow<'static, str>,
    /// `None`: the first call has its own row, none was folded since.
    folded: Option<Row>,
}

impl Group {
    /// Folds a call; returns it if it is the first of its caller, model and limit.
    fn take(&mut self, row: Row) -> Option<Row> {
        let same = |one: &Labelled| {
            one.caller == row.caller && one.model == row.model && one.limited_by == row.limited_by
        };
        let folded = match self.named.iter().position(same) {
            Some(at) => &mut self.named[at].folded,
            None if self.named.len() < REFUSED_LABELS_MAX => {
                let (caller, model) = (Arc::clone(&row.caller), row.model.clone());
                let limited_by = row.limited_by.clone();
                self.named.push(Labelled { caller, model, limited_by, folded: None });
                return Some(row);
            }
            None => &mut self.others,
        };
        match folded {
            Some(folded) => add(folded, &row),
            none => *none = Some(without_bodies(row)),
        }
        None
    }

    /// Hands over the folded rows; forgets labels without calls. Returns whether any
    /// are left.
    fn end_second(&mut self, rows: &mut Vec<Row>) -> bool {
        rows.extend(self.others.take());
        self.named.retain_mut(|one| match one.folded.take() {
            Some(row) => {
                rows.push(row);
                true
            }
            None => false,
        });
        !self.named.is_empty()
    }
}

/// The refusals of the current second.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    kinds: HashMap<Kind, Group>,
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
            shadow: row.shadow.clone(),
        };
        let full = self.kinds.len() >= REFUSED_KINDS_MAX;
        match self.kinds.entry(kind) {
            Entry::Occupied(mut entry) => entry.get_mut().take(row),
            Entry::Vacant(_) if full => Some(row),
            Entry::Vacant(entry) => entry.insert(Group::default()).take(row),
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
        self.kinds.retain(|_, group| group.end_second(&mut rows));
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
    if folded.limited_by != row.limited_by {
        folded.limited_by = Cow::Borrowed("");
    }
    // Several calls are no span.
    (folded.trace_id, folded.span_id, folded.parent_span_id) = (None, None, None);
    folded.traced = None;
    if folded.client != row.client {
        folded.client.clear();
    }
    folded.tags.retain(|tag| row.tags.contains(tag));
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
                    prop_assert!(rows.len() <= 4 * 3);
                    prop_assert!(rows.iter().all(|row| !row.model.is_empty()));
                    rows.iter().map(count).for_each(|(org, calls)| got[org] += calls);
                }
            }
            fold.end_second(Nanos(0)).iter().map(count).for_each(|(org, calls)| got[org] += calls);
            prop_assert_eq!(given, got);
        }
    }

    #[test]
    fn caller_and_model_are_kept_and_bodies_are_not() {
        let mut fold = Fold::default();
        let by = |caller: &str, model: u8| Row { caller: Arc::from(caller), ..refused(0, model) };
        for first in [by("ann", 0), by("ann", 1), by("bob", 1)] {
            assert!(fold.take(first).is_some(), "the first of each has its row at once");
        }
        for _ in 0..3 {
            assert!(fold.take(by("ann", 0)).is_none() && fold.take(by("bob", 1)).is_none());
        }
        let mut rows = fold.end_second(Nanos(0));
        rows.sort_by(|a, b| a.caller.cmp(&b.caller));
        let told: Vec<_> = rows.iter().map(|r| (&*r.caller, r.model.as_str(), r.calls)).collect();
        assert_eq!(told, [("ann", "m0", 3), ("bob", "m1", 3)]);
        assert!(rows.iter().all(|row| row.request.is_none() && row.response.is_none()));
        // Quiet for a second: the next one is a first again.
        assert!(fold.end_second(Nanos(0)).is_empty());
        assert!(fold.take(by("ann", 0)).is_some());
    }

    #[test]
    fn the_limit_is_kept() {
        let mut fold = Fold::default();
        let by = |limit: &'static str| Row { limited_by: Cow::Borrowed(limit), ..refused(0, 0) };
        for limit in ["org:requests_per_minute", "user:usd_per_day"] {
            assert!(fold.take(by(limit)).is_some(), "the first of each has its row at once");
            assert!(fold.take(by(limit)).is_none() && fold.take(by(limit)).is_none());
        }
        let mut rows = fold.end_second(Nanos(0));
        rows.sort_by(|a, b| a.limited_by.cmp(&b.limited_by));
        let told: Vec<_> = rows.iter().map(|r| (&*r.limited_by, r.calls)).collect();
        assert_eq!(told, [("org:requests_per_minute", 2), ("user:usd_per_day", 2)]);
    }

    #[test]
    fn calls_that_a_candidate_decides_otherwise_are_folded_apart() {
        let mut fold = Fold::default();
        let by = |shadow: &str| Row { shadow: shadow.to_owned(), ..refused(0, 0) };
        let allowed = r#"{"version":"0","allowed":true}"#;
        for shadow in ["", allowed, ""] {
            fold.take(by(shadow));
        }
        (0..3).for_each(|_| drop(fold.take(by(allowed))));
        let mut rows = fold.end_second(Nanos(0));
        rows.sort_by(|a, b| a.shadow.cmp(&b.shadow));
        let told: Vec<_> = rows.iter().map(|r| (r.shadow.as_str(), r.calls)).collect();
        assert_eq!(told, [("", 1), (allowed, 3)]);
    }

    #[test]
    fn made_up_names_share_a_row() {
        let mut fold = Fold::default();
        let named = |n: usize| Row { model: format!("m{n}"), ..refused(0, 0) };
        let own = (0..100).filter(|n| fold.take(named(*n)).is_some()).count();
        assert_eq!(own, REFUSED_LABELS_MAX);
        let rows = fold.end_second(Nanos(0));
        let told: Vec<_> = rows.iter().map(|row| (row.model.as_str(), row.calls)).collect();
        assert_eq!(told, [("", 100 - u32::try_from(own).expect("small"))]);
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
