//! The tokens and the money of a call, as its record notes them.
//!
//! Stage 12 of the walk. Guarantees: the row, its cost, the limits and the metrics count the same
//! usage, bounded by [`TOKENS_PER_CALL_MAX`] and [`NANO_USD_PER_CALL_MAX`]; an answer of the cache
//! costs nothing. Does not: read usage from answers or know prices (see `wire` and `cost`).

use std::sync::Arc;

use tollgate_wire::estimate::{self, Asked};
use tollgate_wire::usage::{TokenUsage, UsageSource};

use super::Record;
use crate::ailog::row::{CostParts, Outcome};
use crate::bounds::{NANO_USD_PER_CALL_MAX, TOKENS_PER_CALL_MAX};
use crate::cost::{Call, output};
use crate::lock::lock;

impl Record {
    /// Notes the usage that the provider reported, and its cost.
    pub fn used(&mut self, usage: Option<TokenUsage>, response_model: &str) {
        self.note_usage(usage, UsageSource::Provider, response_model);
    }

    /// Notes the usage of an answer whose provider did not report all of it: an estimate from the
    /// answer's `text_bytes` bytes of text, and from `told`, the usage reported so far.
    pub fn used_about(&mut self, told: Option<TokenUsage>, text_bytes: u64, response_model: &str) {
        let guess = estimate::usage(told, self.text_bytes(), text_bytes);
        self.note_usage(Some(guess), UsageSource::Estimated, response_model);
    }

    fn note_usage(&mut self, usage: Option<TokenUsage>, source: UsageSource, response_model: &str) {
        self.name_model();
        self.name_provider();
        response_model.clone_into(&mut self.row().response_model);
        // The answer of an earlier call costs and uses nothing.
        if let Some(usage) = usage.filter(|_| !self.cached.is_hit()) {
            self.price(usage, source);
        }
    }

    /// Notes usage, and its cost under the policy of the call.
    fn price(&mut self, told: TokenUsage, source: UsageSource) {
        // Limited here once, so that the row, its cost, budgets and metrics agree.
        let usage = told.at_most(TOKENS_PER_CALL_MAX);
        if [usage.input, usage.output] != [told.input, told.output] {
            self.metrics.bound("tokens_per_call");
        }
        let (policy, sent_as) = (Arc::clone(&self.policy), self.trail.model());
        let row = &mut self.row;
        (row.usage, row.usage_source) = (usage, source);
        let asked = self.guided.to.as_deref();
        let cost = |response_model: &str| {
            let (provider, at_ms) = (&row.provider, row.created_at_ms);
            let model = asked.unwrap_or(&row.model);
            policy.prices.of_call(&Call { provider, response_model, model, usage, at_ms })
        };
        // A missing answer names no model, but the request to the provider did.
        let sent_as = sent_as.filter(|_| row.response_model.is_empty());
        let cost = cost(&row.response_model)
            .or_else(|| cost(&sent_as?))
            .map(|cost| cost.at_most(NANO_USD_PER_CALL_MAX));
        row.cost_nano_usd = cost.map(|cost| cost.total);
        row.cost_parts = cost.map(|cost| CostParts {
            input: cost.input,
            cached: cost.cached,
            cache_write: cost.cache_write,
            output: cost.output,
            saved: cost.saved,
        });
        row.price_version = cost.map(|_| Arc::clone(policy.prices.version()));
    }

    /// Estimates the charge of a provider that was at work when the call ended without its answer:
    /// it charges for the input, and for its output until then.
    pub(super) fn charge_work(&mut self, outcome: Outcome) {
        let unanswered =
            matches!(outcome, Outcome::ClientDisconnect | Outcome::Timeout | Outcome::Refused);
        let row = &self.row;
        let told = (row.usage_source == UsageSource::Estimated).then_some(row.usage);
        let is_told = row.usage_source == UsageSource::Provider;
        let Some(makes) = self.bills.filter(|_| unanswered && !is_told) else { return };
        let Some(worked) = self.trail.at_work() else { return };
        let (bound, choices, bytes) = self.seen().map_or((None, 1, 0), |seen| {
            let seen = lock(seen);
            (seen.facts.output_tokens_max, seen.facts.choices, seen.text_bytes)
        });
        let longest = output::longest(&self.row.model);
        let asked = Asked { makes, bound, choices, longest };
        let worked_ms = u64::try_from(worked.as_millis()).unwrap_or(u64::MAX);
        self.price(asked.used_until(told, bytes, worked_ms), UsageSource::Estimated);
    }

    /// The usage with which limits are settled, tokens and money. An answer without known usage
    /// used what was reserved for it; a call that a provider refused, that never reached one, or
    /// that the cache answered, used nothing.
    pub(super) fn used_of_limits(&self, outcome: Outcome, is_hit: bool) -> Option<(u64, u64)> {
        let row = &self.row;
        let cost = u64::try_from(row.cost_nano_usd.unwrap_or(0)).unwrap_or(0);
        match row.usage_source {
            UsageSource::Provider | UsageSource::Estimated => {
                Some((row.usage.input.saturating_add(row.usage.output), cost))
            }
            UsageSource::None if outcome == Outcome::Ok && !is_hit => None,
            UsageSource::None => Some((0, 0)),
        }
    }
}
