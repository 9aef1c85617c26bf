//! What the candidate policy would have done otherwise, once a call is over.
//!
//! Stage 12 of the walk. Guarantees: its counters are settled by the usage of the real call. Does
//! not: judge (see the file above).

use std::sync::Arc;

use super::Shadowed;
use crate::ailog::row::Row;
use crate::clock::Nanos;
use crate::code::Code;
use crate::cost::Call;
use crate::judge::targets::Named;
use crate::judge::verdict::{Difference, Refused, Word, is_of_policy};
use crate::limit::meters::Reservation;
use crate::upstream::Trail;

impl Shadowed {
    /// The call is over: settles what it holds, and says what differs; nothing if another row tells
    /// it, or no policy decided about the call. `used`: as the limits in
    /// force are settled, tokens and money.
    pub fn end(&mut self, ended: &Ended<'_>, used: Option<(u64, u64)>) -> Option<(Word, String)> {
        let row = ended.row;
        self.shadow.read(row.request_bytes.max(u64::from(row.prompt_chars)), self.is_second);
        if row.error_code == Some(Code::Overloaded) && ended.is_at_head {
            // No policy decided about it.
            self.held.take().into_iter().for_each(Reservation::undo);
            return None;
        }
        let in_force = row.error_code.filter(|code| is_of_policy(*code, &row.limited_by));
        if let Some(held) = self.held.take() {
            let used = if in_force.is_some() { Some((0, 0)) } else { used };
            let cost = |used| if used == (0, 0) { 0 } else { self.cost(row) };
            held.settle(used.map(|used| (used.0, cost(used))), ended.now);
        }
        if self.is_silent {
            return None;
        }
        let difference = self.difference(ended, in_force);
        Some((difference.word(), difference.to_json(&self.candidate.policy.version)))
    }

    fn difference(&mut self, ended: &Ended<'_>, in_force: Option<Code>) -> Difference {
        let unjudged = std::mem::take(&mut self.unjudged);
        let judged = Difference { unjudged, ..Difference::default() };
        let by_body = self.redactions.as_ref().and_then(|(_, judged)| judged.refused);
        let refused = self.refused.take().or(by_body.map(Refused::by));
        match (refused, in_force) {
            (Some(refused), None) => return Difference { refused: Some(refused), ..judged },
            (Some(_), Some(_)) => return judged,
            (None, Some(code)) => {
                // The body was not read to its end.
                let is_same = match code {
                    Code::AttachmentsNotAllowed => self.rules().rejects_attachments(),
                    _ => false,
                };
                return Difference { allowed: !is_same, ..judged };
            }
            (None, None) => {}
        }
        let redacted = self.redactions.take().filter(|(done, judged)| done.counts != judged.counts);
        let redacted = redacted.map(|(_, judged)| judged.counts);
        let target = self.elsewhere(ended);
        let downgraded = self.downgraded.take().zip(self.exhausted.take());
        let downgraded = downgraded.filter(|_| target.is_some());
        Difference { redacted, target, downgraded, ..judged }
    }

    /// The candidate's first choice, if it is another than the target that was asked first.
    fn elsewhere(&mut self, ended: &Ended<'_>) -> Option<Named> {
        let (in_force, candidate) = self.target.take()?;
        let first = ended.trail.first()?;
        // Over a budget in force, the call asked for another model than the client.
        let was = ended.row.downgraded.as_ref();
        let is_same = match (was.is_empty(), &self.downgraded) {
            (true, _) => in_force.contains(&(Arc::clone(&first), candidate.1.clone())),
            (false, Some(model)) => *was == **model,
            (false, None) => false,
        };
        (candidate.0 != first || !is_same).then_some(candidate)
    }

    /// The cost of the call, by the candidate's prices at its target.
    fn cost(&self, row: &Row) -> u64 {
        let prices = &self.candidate.policy.prices;
        let (usage, at_ms) = (row.usage, row.created_at_ms);
        let elsewhere = self.target.as_ref().map(|(_, target)| target);
        let is_other = self.downgraded.is_some() || !row.downgraded.is_empty();
        let elsewhere = elsewhere.filter(|(provider, _)| is_other || *provider != row.provider);
        let model = self.downgraded.as_deref().unwrap_or(&row.model);
        let cost = match elsewhere {
            None => {
                let (provider, response_model) = (&row.provider, row.response_model.as_str());
                prices.of_call(&Call { provider, response_model, model, usage, at_ms })
            }
            Some((provider, named)) => {
                prices.of_call(&Call { provider, response_model: named, model, usage, at_ms })
            }
        };
        cost.map_or(0, |cost| u64::try_from(cost.total).unwrap_or(0))
    }
}

/// A call that is over.
pub struct Ended<'a> {
    pub row: &'a Row,
    pub trail: &'a Trail,
    pub now: Nanos,
    /// It was refused before any work.
    pub is_at_head: bool,
}
