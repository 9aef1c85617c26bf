//! The record of one call, from its opening to its one row.
//!
//! Stages 2 and 9 of the walk. Holds the log's [`Recorder`] together with what the other stages know, so that the row is
//! right wherever the walk ends, also when the client leaves and everything is dropped. Does not: write the log itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_wire::estimate::{self, Asked, Makes};
use tollgate_wire::usage::{TokenUsage, UsageSource};

use super::intake::{Reserved, Seen};
use super::refusal::Refusal;
use crate::ailog::row::{Outcome, Row};
use crate::ailog::{Durable, Pending, Recorder};
use crate::bounds::{NANO_USD_PER_CALL_MAX, TOKENS_PER_CALL_MAX};
use crate::clock::{Clock, Nanos};
use crate::code::Code;
use crate::config::policy::{Durability, Policy};
use crate::cost::{Call, output};
use crate::limit::meters::Reservation;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::redact::{Ledger, Redacted, Values};
use crate::share::Held;
use crate::upstream::Trail;

/// One call's record. Dropping it without [`Record::close`] says that the client left, unless told otherwise, or that this process cut the
/// call where it ends.
pub struct Record {
    recorder: Recorder,
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
    seen: Option<Arc<Mutex<Seen>>>,
    /// What was taken out of the request's head.
    head: Ledger,
    trail: Arc<Trail>,
    /// What the call holds of limits until it is over.
    reserved: Option<Box<Reservation>>,
    /// What its provider charges for; nothing if it is free, or charged with another call.
    bills: Option<Makes>,
    /// What placeholders of this call stand for, where they are put back.
    pub values: Option<Values>,
    /// Room for a request body that is kept until the call is over.
    pub held: Option<Held>,
    clock: Clock,
    started: Nanos,
    if_dropped: (u16, Outcome),
    closed: bool,
}

impl Record {
    /// Wraps an armed recorder.
    pub fn new(recorder: Recorder, policy: Arc<Policy>, metrics: Arc<Metrics>, clock: Clock, started: Nanos) -> Record {
        metrics.in_flight.inc();
        let trail = Arc::new(Trail::default());
        let (head, if_dropped) = (Ledger::default(), (499, Outcome::ClientDisconnect));
        Record {
            recorder,
            policy,
            metrics,
            seen: None,
            head,
            trail,
            reserved: None,
            bills: None,
            values: None,
            held: None,
            clock,
            started,
            if_dropped,
            closed: false,
        }
    }

    /// What the row says if the record is dropped: of work that has no client, it is not the client that left.
    pub fn if_dropped(mut self, status: u16, outcome: Outcome) -> Record {
        self.if_dropped = (status, outcome);
        self
    }

    /// The row so far.
    pub fn row(&mut self) -> &mut Row {
        self.recorder.row_mut()
    }

    /// From now on the row follows what is known of this body.
    pub fn follow(&mut self, seen: Arc<Mutex<Seen>>) {
        self.seen = Some(seen);
    }

    /// Until the call is over this is held of its limits; then it is settled on what was used.
    pub fn hold(&mut self, reservation: Reservation) {
        match &mut self.reserved {
            Some(held) => held.absorb(reservation),
            None => self.reserved = Some(Box::new(reservation)),
        }
    }

    /// What the provider of this call charges for.
    pub fn bills(&mut self, makes: Option<Makes>) {
        self.bills = makes;
    }

    /// What was reserved for the answer while the body was still coming: its end is held against it.
    pub fn reserved(&mut self, reserved: Reserved) {
        if let Some(seen) = self.seen() {
            lock(seen).reserved = Some(reserved);
        }
    }

    /// The work goes on under another record, which settles what it holds and is charged for it.
    pub fn hand_over(&mut self, other: &mut Record) {
        other.bills = self.bills.take();
        if let Some(held) = self.reserved.take() {
            other.hold(*held);
        }
    }

    /// How the attempts go.
    pub fn trail(&self) -> Arc<Trail> {
        Arc::clone(&self.trail)
    }

    /// The answer broke off on its way.
    pub fn broke_off(&self, how: &str) {
        self.trail.ended(how, self.clock.now());
    }

    /// The attempts were made on another record's behalf first: from now on they are this one's.
    pub fn walk_trail(&mut self, trail: &Arc<Trail>) {
        self.trail = Arc::clone(trail);
    }

    /// What is known of the request body, where there is one.
    pub fn seen(&self) -> Option<&Mutex<Seen>> {
        self.seen.as_deref()
    }

    /// The usage event was asked for by the gateway, so the client must not see it.
    pub fn drop_usage(&self) -> bool {
        self.seen().is_some_and(|seen| lock(seen).facts.usage_injected)
    }

    /// Why the request body broke, where it did.
    pub fn body_refusal(&self) -> Option<Refusal> {
        self.seen().and_then(|seen| lock(seen).refusal.clone())
    }

    /// Bytes of text for a model that the request body has had so far.
    pub fn text_bytes(&self) -> u64 {
        self.seen().map_or(0, |seen| lock(seen).text_bytes)
    }

    /// Counts what was taken out of the query or of headers.
    pub fn took_from_head(&mut self, ledger: &Ledger) {
        self.head.absorb(ledger);
    }

    /// Whether the call asked for an answer in JSON.
    pub fn answers_json(&self) -> bool {
        self.seen().is_some_and(|seen| lock(seen).facts.json_answer)
    }

    /// The value of `x-tollgate-redactions`: `email=1,phone=2`, only kinds that occurred; e-mail and phone first, then the
    /// others by name.
    pub fn redactions(&self) -> String {
        let mut all = self.head.clone();
        if let Some(seen) = &self.seen {
            all.absorb(&lock(seen).ledger);
        }
        let rank = |kind: &str| ["email", "phone"].iter().position(|k| *k == kind).unwrap_or(2);
        all.counts.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        let mut parts: Vec<String> = all.counts.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        if all.attachments > 0 {
            parts.push(format!("attachment={}", all.attachments));
        }
        parts.join(",")
    }

    /// Notes the time until the provider's first byte.
    pub fn first_byte(&mut self, now: Nanos) {
        let elapsed = now.since(self.started);
        self.row().ttfb_ms = millis(elapsed);
        self.metrics.time_to_first_byte.observe(elapsed.as_secs_f64());
    }

    /// Notes the time spent in the gateway itself.
    pub fn own_time(&mut self, own: Duration) {
        self.row().gateway_us = u32::try_from(own.as_micros()).unwrap_or(u32::MAX);
        self.metrics.overhead.observe(own.as_secs_f64());
    }

    /// Notes what the provider said was used, and what that costs.
    pub fn used(&mut self, usage: Option<TokenUsage>, response_model: &str) {
        self.note_usage(usage, UsageSource::Provider, response_model);
    }

    /// The same of an answer whose provider has not said what all of it used: it is guessed from the answer's
    /// `text_bytes` bytes of text, and from `told`, what was said so far.
    pub fn used_about(&mut self, told: Option<TokenUsage>, text_bytes: u64, response_model: &str) {
        let guess = estimate::usage(told, self.text_bytes(), text_bytes);
        self.note_usage(Some(guess), UsageSource::Estimated, response_model);
    }

    fn note_usage(&mut self, usage: Option<TokenUsage>, source: UsageSource, response_model: &str) {
        self.name_model();
        self.name_provider();
        response_model.clone_into(&mut self.row().response_model);
        if let Some(usage) = usage {
            self.price(usage, source);
        }
    }

    /// Notes usage, and what it costs by the policy that the call was made under.
    fn price(&mut self, told: TokenUsage, source: UsageSource) {
        // Cut here once, so that the row, its cost, budgets and metrics believe the same.
        let usage = told.at_most(TOKENS_PER_CALL_MAX);
        if [usage.input, usage.output] != [told.input, told.output] {
            self.metrics.bound("tokens_per_call");
        }
        let (policy, sent_as) = (Arc::clone(&self.policy), self.trail.model());
        let row = self.recorder.row_mut();
        (row.usage, row.usage_source) = (usage, source);
        let cost = |response_model: &str| {
            let (provider, model, at_ms) = (&row.provider, &row.model, row.created_at_ms);
            policy.prices.of_call(&Call { provider, response_model, model, usage, at_ms })
        };
        // An answer that did not come has no name for its model, but the provider was asked by one.
        let sent_as = sent_as.filter(|_| row.response_model.is_empty());
        let cost = cost(&row.response_model).or_else(|| cost(&sent_as?)).map(|nano| nano.min(NANO_USD_PER_CALL_MAX));
        row.cost_nano_usd = cost;
        row.price_version = cost.map(|_| Arc::clone(policy.prices.version()));
    }

    /// A provider that was at work when the call ended without its answer charges for it all the same: the input, and what
    /// it has written until then.
    fn charge_work(&mut self, outcome: Outcome) {
        let unanswered = matches!(outcome, Outcome::ClientDisconnect | Outcome::Timeout | Outcome::Refused);
        let row = self.recorder.row_mut();
        let told = (row.usage_source == UsageSource::Estimated).then_some(row.usage);
        let is_told = row.usage_source == UsageSource::Provider;
        let longest = output::longest(&row.model);
        let Some(makes) = self.bills.filter(|_| unanswered && !is_told) else { return };
        let Some(worked) = self.trail.at_work() else { return };
        let (bound, choices, bytes) = self.seen().map_or((None, 1, 0), |seen| {
            let seen = lock(seen);
            (seen.facts.output_tokens_max, seen.facts.choices, seen.text_bytes)
        });
        let asked = Asked { makes, bound, choices, longest };
        let worked_ms = u64::try_from(worked.as_millis()).unwrap_or(u64::MAX);
        self.price(asked.used_until(told, bytes, worked_ms), UsageSource::Estimated);
    }

    /// Keeps the redacted answer.
    pub fn answered(&mut self, response: Redacted, cut: bool) {
        let row = self.row();
        row.response = Some(response);
        row.truncated |= cut;
    }

    /// Writes the row: the call is over. The first call counts; later ones change nothing.
    pub fn close(&mut self, status: u16, outcome: Outcome, code: Option<Code>) {
        if self.end(status, outcome, code) {
            self.recorder.close();
        }
    }

    /// The same, in one write with the rows of other calls that end now. The answer may go out when the result is ready.
    pub fn close_soon(&mut self, status: u16, outcome: Outcome, code: Option<Code>) -> Option<Pending> {
        if self.end(status, outcome, code) { self.recorder.close_soon() } else { None }
    }

    /// What the end of the answer has to wait for, where the policy says so: rows on the disk itself.
    pub fn durable(&self) -> Option<Durable> {
        (self.policy.ailog.durability == Durability::Power).then(|| self.recorder.durable())
    }

    /// Whether the call had not ended before.
    fn end(&mut self, status: u16, outcome: Outcome, code: Option<Code>) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.settle();
        let row = self.recorder.row_mut();
        row.status = status;
        row.outcome = outcome;
        row.error_code = code;
        self.charge_work(outcome);
        self.settle_limits(outcome);
        self.count();
        true
    }

    /// What was reserved becomes what was used. An answer of which the use is not known used what was reserved for it; a
    /// call that the provider refused, or that never reached one, used nothing.
    fn settle_limits(&mut self, outcome: Outcome) {
        let Some(held) = self.reserved.take() else { return };
        let row = self.recorder.row_mut();
        let cost = u64::try_from(row.cost_nano_usd.unwrap_or(0)).unwrap_or(0);
        let used = match row.usage_source {
            UsageSource::Provider | UsageSource::Estimated => {
                Some((row.usage.input.saturating_add(row.usage.output), cost))
            }
            UsageSource::None if outcome == Outcome::Ok => None,
            UsageSource::None => Some((0, 0)),
        };
        held.settle(used, self.clock.now());
    }

    /// Whether the row has been written.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes the row of a refused call.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let outcome = match refusal.code {
            Code::RateLimitExceeded => Outcome::RateLimited,
            Code::RedactionFailed | Code::Internal | Code::Overloaded => Outcome::Refused,
            Code::ProviderUnavailable => Outcome::ProviderError,
            Code::ProviderTimeout => Outcome::Timeout,
            _ if self.seen.as_deref().is_some_and(|s| lock(s).disconnected) => Outcome::ClientDisconnect,
            Code::InvalidJson
            | Code::InvalidRequest
            | Code::MissingToken
            | Code::InvalidToken
            | Code::FeatureDisabled
            | Code::EndpointNotAllowed
            | Code::OrgMissing
            | Code::NotFound
            | Code::ModelNotFound
            | Code::MethodNotAllowed
            | Code::RequestTimeout
            | Code::BodyTooLarge
            | Code::HeadersTooLarge
            | Code::AttachmentsNotAllowed
            | Code::UnsupportedMediaType => Outcome::ClientError,
        };
        let status = if outcome == Outcome::ClientDisconnect { 499 } else { refusal.code.status() };
        // Refused for a limit before any work: one of a flood, perhaps.
        if outcome == Outcome::RateLimited && self.trail.attempts() == 0 {
            self.recorder.fold();
        }
        self.close(status, outcome, Some(refusal.code));
    }

    fn name_model(&mut self) {
        let model = self.seen.as_deref().and_then(|seen| lock(seen).facts.model.clone());
        if let Some(model) = model {
            self.row().model = model;
        }
    }

    fn name_provider(&mut self) {
        let trail = Arc::clone(&self.trail);
        let row = self.row();
        row.attempts = trail.attempts();
        let (provider, detail) = trail.told();
        row.attempts_detail = detail;
        if let Some(provider) = provider {
            row.provider = Arc::clone(&provider.name);
        }
    }

    /// Takes over what is known of the attempts and the request body.
    fn settle(&mut self) {
        self.name_provider();
        self.name_model();
        let Some(seen) = self.seen.clone() else {
            let head = std::mem::take(&mut self.head);
            self.note_ledger(&head);
            return;
        };
        let (ledger, pieces, cut) = {
            let mut seen = lock(&seen);
            let row = self.recorder.row_mut();
            row.request_bytes = seen.bytes;
            row.stream |= seen.facts.stream;
            (std::mem::take(&mut seen.ledger), std::mem::take(&mut seen.capture), seen.cut)
        };
        let keep = self.policy.ailog.capture_request;
        let row = self.recorder.row_mut();
        row.request = keep.then(|| Redacted::concat(pieces));
        row.truncated |= keep && cut;
        let head = std::mem::take(&mut self.head);
        self.note_ledger(&ledger);
        self.note_ledger(&head);
    }

    fn note_ledger(&mut self, ledger: &Ledger) {
        let row = self.recorder.row_mut();
        for (kind, count) in &ledger.counts {
            match &**kind {
                "email" => row.redacted_emails += count,
                "phone" => row.redacted_phones += count,
                _ => row.redacted_other += count,
            }
            // Names of custom patterns come from the policy, so the label stays within the configuration.
            self.metrics.redactions.with_label_values(&[&**kind]).inc_by(u64::from(*count));
        }
        row.attachments_dropped += ledger.attachments;
        self.metrics.attachments_dropped.inc_by(u64::from(ledger.attachments));
    }

    fn count(&mut self) {
        let row = self.recorder.row_mut();
        let metrics = &self.metrics;
        metrics.in_flight.dec();
        let (route, outcome) = (row.route.as_str(), row.outcome.as_str());
        metrics.requests.with_label_values(&[route, status_label(row.status), outcome]).inc();
        let elapsed = self.clock.now().since(self.started);
        metrics.request_duration.with_label_values(&[route]).observe(elapsed.as_secs_f64());
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
        if let Some(nano) = row.cost_nano_usd {
            // Shown, not billed: the row keeps the exact integer.
            #[expect(clippy::cast_precision_loss, reason = "a gauge for dashboards")]
            metrics.cost_usd.inc_by((nano.max(0) as f64) / 1e9);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.closed {
            let (status, outcome) = if self.recorder.is_cut() { (503, Outcome::Refused) } else { self.if_dropped };
            self.close(status, outcome, None);
        }
    }
}

/// Whole milliseconds, at most what the column holds.
pub fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

/// A status as a metric label, without making text for the usual ones; odd ones share a label.
pub fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        499 => "499",
        500 => "500",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
