//! The end of a call: its record completes the row and counts it.
//!
//! Stage 12 of the walk. Guarantees: a call is completed once; limits are settled with the usage of
//! the row. Does not: write the row (see `ailog`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tollgate_wire::usage::UsageSource;

use super::{Record, Work, millis};
use crate::ailog::row::{Attempt, Outcome};
use crate::clock::Nanos;
use crate::code::Code;
use crate::lock::lock;
use crate::metrics::status_label;
use crate::pipeline::shadow::Ended;
use crate::pipeline::{tags, traces};
use crate::redact::Ledger;
use crate::upstream;

impl Record {
    /// Completes the row; returns whether the call had not ended before.
    pub(super) fn end(&mut self, status: u16, outcome: Outcome, code: Option<Code>) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.settle();
        let row = &mut self.row;
        row.status = status;
        row.outcome = outcome;
        row.error_code = code;
        if outcome == Outcome::ProviderRateLimited {
            row.limited_by = Cow::Borrowed("provider");
        }
        self.charge_work(outcome);
        let is_hit = self.cached.is_hit();
        self.cached.end(&mut self.row, outcome);
        let used = self.used_of_limits(outcome, is_hit);
        if let Some(held) = self.reserved.take() {
            held.settle(used, self.clock.now());
        }
        self.end_shadow(used);
        let now = self.clock.now();
        self.list_attempts(status, now);
        let elapsed = now.since(self.started);
        if let Some(traced) = &mut self.row.traced {
            traced.took_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        }
        if self.work != Work::NotAdmitted {
            self.row.latency_ms = millis(elapsed);
        }
        if let Some((pulse, longest)) = &self.pulse {
            let failed =
                matches!(outcome, Outcome::ProviderError | Outcome::Timeout | Outcome::Refused);
            pulse.note(&self.row.org_id, (self.row.calls, failed), self.clock.wall_ms(), *longest);
        }
        self.count(elapsed);
        true
    }

    /// Tells the row what the candidate policy would have decided.
    fn end_shadow(&mut self, used: Option<(u64, u64)>) {
        let Some(shadow) = self.shadow.take() else { return };
        let ended = Ended {
            row: &self.row,
            trail: &self.trail,
            now: self.clock.now(),
            is_at_head: self.work == Work::NotAdmitted,
        };
        let told = lock(&shadow).end(&ended, used);
        if let Some((word, json)) = told {
            self.metrics.shadow_decisions.with_label_values(&[word.as_str()]).inc();
            self.row.shadow = json;
        }
    }

    pub(super) fn name_model(&mut self) {
        let model = self.seen.as_deref().and_then(|seen| lock(seen).facts.model.clone());
        if let Some(model) = model {
            self.row().model = model;
        }
    }

    pub(super) fn name_provider(&mut self) {
        let trail = Arc::clone(&self.trail);
        let row = self.row();
        row.attempts = trail.attempts();
        let (provider, detail) = trail.told();
        row.attempts_detail = detail;
        if let Some(provider) = provider {
            row.provider = Arc::clone(&provider.name);
        }
    }

    /// Copies the attempts into the row, one by one.
    fn list_attempts(&mut self, status: u16, now: Nanos) {
        if self.trail.attempts() == 0 {
            return;
        }
        let answered = self.first_byte.map(|at| (status, at));
        let row = |attempt: upstream::Attempt| Attempt {
            provider: Arc::clone(&attempt.provider.name),
            status: attempt.status,
            error: attempt.error,
            ms: attempt.ms,
        };
        let all = self.trail.attempts_log(answered, now);
        if let Some(traced) = &mut self.row.traced {
            traced.attempts = traces::attempts(&all, self.started, self.first_byte);
        }
        self.row.attempts_log = all.into_iter().map(row).collect();
    }

    /// Copies the attempts and the request body's figures into the row.
    fn settle(&mut self) {
        self.row.answer_masked = self.masked.total();
        for (kind, count) in &self.masked.counts {
            self.metrics.answers_masked.with_label_values(&[&**kind]).inc_by(u64::from(*count));
        }
        self.name_provider();
        self.name_model();
        let Some(seen) = self.seen.clone() else {
            let head = std::mem::take(&mut self.head);
            self.note_ledger(&head);
            return;
        };
        self.note_body();
        let (ledger, capture) = {
            let mut seen = lock(&seen);
            let row = &mut self.row;
            row.request_bytes = seen.bytes;
            row.stream |= seen.facts.stream;
            row.stop_requested = seen.facts.stops;
            // The largest number stands for no bound.
            row.max_tokens = seen.facts.output_tokens_max.unwrap_or(0).try_into().unwrap_or(0);
            row.prompt_chars = seen.text_chars.try_into().unwrap_or(u32::MAX);
            (std::mem::take(&mut seen.ledger), seen.capture.take())
        };
        if let Some(capture) = capture {
            let row = &mut self.row;
            let kept = capture.finish();
            tags::of_body(&self.policy, &kept, &mut row.tags);
            if self.policy.ailog.capture_request {
                (row.request, row.prompt) = (kept.body, kept.text);
                row.truncated |= kept.is_cut;
            }
        }
        let head = std::mem::take(&mut self.head);
        self.note_ledger(&ledger);
        self.note_ledger(&head);
    }

    fn note_ledger(&mut self, ledger: &Ledger) {
        self.note_actions(ledger);
        let row = &mut self.row;
        for (kind, count) in &ledger.counts {
            match &**kind {
                "email" => row.redacted_emails += count,
                "phone" => row.redacted_phones += count,
                _ => row.redacted_other += count,
            }
            // Names of custom patterns come from the policy, so the label has a bounded set of
            // values.
            self.metrics.redactions.with_label_values(&[&**kind]).inc_by(u64::from(*count));
        }
        row.attachments_dropped += ledger.attachments;
        self.metrics.attachments_dropped.inc_by(u64::from(ledger.attachments));
    }

    /// Notes what was done with matches besides placeholders.
    fn note_actions(&mut self, ledger: &Ledger) {
        let rules = self.policy.redaction.of(&self.row.org_id);
        let rejected = rules.rejected(ledger);
        let left = ledger.left.iter().map(|(kind, n)| ("count", &**kind, *n));
        let removed = (ledger.messages > 0).then_some(("drop_message", "", ledger.messages));
        let rejected = rejected.iter().map(|kind| ("reject", &**kind, ledger.count(kind)));
        for (action, kind, count) in left.chain(removed).chain(rejected) {
            let counter = &self.metrics.redaction_actions;
            counter.with_label_values(&[action, kind]).inc_by(u64::from(count));
            let all = &mut self.row.redaction_actions;
            let comma = if all.is_empty() { "" } else { "," };
            let colon = if kind.is_empty() { "" } else { ":" };
            all.push_str(&format!("{comma}{action}{colon}{kind}={count}"));
        }
    }

    fn count(&mut self, elapsed: Duration) {
        let (row, metrics) = (&self.row, &self.metrics);
        metrics.in_flight.dec();
        let (route, outcome) = (row.route.as_str(), row.outcome.as_str());
        metrics.requests.with_label_values(&[route, status_label(row.status), outcome]).inc();
        if self.work != Work::NotAdmitted {
            metrics.request_duration.with_label_values(&[route]).observe(elapsed.as_secs_f64());
        }
        if row.usage_source != UsageSource::None {
            let usage = row.usage;
            for (direction, count) in [
                ("input", usage.input),
                ("cached", usage.cached),
                ("output", usage.output),
                ("reasoning", usage.reasoning),
            ] {
                if count > 0 {
                    metrics.tokens.with_label_values(&[&*row.provider, direction]).inc_by(count);
                }
            }
        }
        if let Some(series) = &self.org_series {
            series.count(row);
        }
        if let Some(nano) = row.cost_nano_usd {
            // For dashboards only: the row keeps the exact integer.
            #[expect(clippy::cast_precision_loss, reason = "a gauge for dashboards")]
            metrics.cost_usd.inc_by((nano.max(0) as f64) / 1e9);
        }
    }
}
