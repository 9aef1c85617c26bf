//! Folding of refused calls: a flood of them costs one row a second and kind, and every call is counted.
//!
//! Stage 9 of the walk. Pure: the shipper's tick is its clock.
//!
//! Promises: the sum of `calls` over the rows that come out is the number of calls that went in. Does not: fold calls that
//! did any work.
//!
//! # Bounds
//! `REFUSED_KINDS_MAX` kinds at once; above it each call has a row of its own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::row::{Outcome, RouteKind, Row};
use crate::bounds::REFUSED_KINDS_MAX;
use crate::code::Code;
use crate::ids::OrgId;

/// What refused calls have in common that are folded into one row.
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
pub(super) struct Fold {
    /// `None`: the kind has its row, nothing was folded since.
    kinds: HashMap<Kind, Option<Row>>,
}

impl Fold {
    /// Takes a refused call; gives it back if it is to be written at once: the first of its kind.
    pub(super) fn take(&mut self, row: Row) -> Option<Row> {
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

    /// Ends the second: the rows that were folded in it. Kinds that were quiet are forgotten.
    pub(super) fn end_second(&mut self) -> Vec<Row> {
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

/// Counts `row` in `folded`; a label in which they differ is no longer known.
fn add(folded: &mut Row, row: &Row) {
    folded.calls = folded.calls.saturating_add(row.calls);
    folded.latency_ms = folded.latency_ms.max(row.latency_ms);
    folded.gateway_us = folded.gateway_us.max(row.gateway_us);
    folded.request_bytes = folded.request_bytes.saturating_add(row.request_bytes);
    folded.response_bytes = folded.response_bytes.saturating_add(row.response_bytes);
    for (mine, other) in [(&mut folded.caller, &row.caller), (&mut folded.provider, &row.provider)] {
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
