//! The record of one call: it gathers the row, and writes it exactly once.
//!
//! Stages 5 and 12 of the walk. A drop guard: if the task of a call is cancelled because its client
//! left, `Drop` writes the row.
//!
//! Guarantees: every record leaves one row, whichever stage ends the call; the limits that the call
//! holds are settled with it. Does not: encode rows or touch files (see `ailog`).

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_wire::estimate::{self, Asked, Makes};
use tollgate_wire::usage::{TokenUsage, UsageSource};

use super::answer_out::rewrite::Rewriting;
use super::body_in::{Reserved, Seen};
use super::gateway::Gateway;
use super::guided::Guided;
use super::keeping::Cached;
use super::org_series::OrgSeries;
use super::refusal::Refusal;
use super::shadow::{Ended, Shadowed};
use super::{tags, traces};
use crate::ailog::row::{Attempt, CostParts, Outcome, Row};
use crate::ailog::{AiLog, Durable, Pending};
use crate::alerts::pulse::Pulse;
use crate::bounds::{NANO_USD_PER_CALL_MAX, TOKENS_PER_CALL_MAX};
use crate::clock::{Clock, Nanos};
use crate::code::Code;
use crate::config::policy::{Durability, Policy};
use crate::cost::{Call, output};
use crate::limit::meters::Reservation;
use crate::lock::lock;
use crate::metrics::{Metrics, status_label};
use crate::redact::{Captured, Ledger, Own, Values};
use crate::share::Held;
use crate::upstream::{self, Trail};

/// Status of a call whose client left before it had one.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One call's record. Dropping it before [`Record::close`] means that the client left, unless
/// [`Record::if_dropped`] says otherwise, or that this process cut the call when it ended.
#[must_use = "dropping the record writes the row as a client's disconnect"]
pub struct Record {
    log: AiLog,
    row: Row,
    policy: Arc<Policy>,
    metrics: Arc<Metrics>,
    /// Counts the call, with the longest time that a rule looks at; absent without such a rule.
    pulse: Option<(Arc<Pulse>, Duration)>,
    org_series: Option<Arc<OrgSeries>>,
    seen: Option<Arc<Mutex<Seen>>>,
    /// The redactions in the request's head.
    head: Ledger,
    trail: Arc<Trail>,
    /// Limits that the call holds until it is over.
    reserved: Option<Box<Reservation>>,
    /// The work that the provider charges for; `None` if it is free, or charged with another call.
    bills: Option<Makes>,
    /// The values behind the placeholders of this call, if they are restored.
    pub values: Option<Values>,
    /// The values that this call has sent, if those of others are taken out of its answer.
    pub own: Option<Own>,
    /// What budgets have to do with this call.
    pub guided: Guided,
    /// What the exact cache has to do with this call.
    pub cached: Cached,
    /// What was taken out of its answer.
    masked: Ledger,
    /// Memory for a request body that is kept until the call is over.
    pub held: Option<Held>,
    /// The call as the candidate policy judges it.
    shadow: Option<Arc<Mutex<Shadowed>>>,
    clock: Clock,
    started: Nanos,
    /// When the answer that the client gets began.
    first_byte: Option<Nanos>,
    if_dropped: (u16, Outcome),
    work: Work,
    closed: bool,
}

/// How far a call got: it decides whether its row may be folded with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// The call has a row of its own.
    Begun,
    /// It was refused for a limit before any attempt: its row may be folded.
    None,
    /// It was refused at its head: its row may be folded, and its time is not measured.
    NotAdmitted,
}

impl Record {
    /// Opens the record of a call that began at `started` with what `row` says of it.
    pub fn open(gateway: &Gateway, policy: Arc<Policy>, row: Row, started: Nanos) -> Record {
        gateway.metrics.in_flight.inc();
        let longest = policy.alerts.as_deref().and_then(|rules| rules.windows().max());
        let pulse = longest.map(|longest| (Arc::clone(&gateway.alerts.pulse), longest));
        Record {
            log: gateway.log.clone(),
            row,
            policy,
            metrics: Arc::clone(&gateway.metrics),
            pulse,
            org_series: gateway.org_series.clone(),
            seen: None,
            head: Ledger::default(),
            trail: Arc::new(Trail::default()),
            reserved: None,
            bills: None,
            values: None,
            own: None,
            guided: Guided::default(),
            cached: Cached::No,
            masked: Ledger::default(),
            held: None,
            shadow: None,
            clock: gateway.clock,
            started,
            first_byte: None,
            if_dropped: (CLIENT_CLOSED_REQUEST, Outcome::ClientDisconnect),
            work: Work::Begun,
            closed: false,
        }
    }

    /// Sets the row's status and outcome if the record is dropped: work without a client is not
    /// left by one.
    pub fn if_dropped(mut self, status: u16, outcome: Outcome) -> Record {
        self.if_dropped = (status, outcome);
        self
    }

    /// The row so far.
    pub fn row(&mut self) -> &mut Row {
        &mut self.row
    }

    /// From now on the row follows this request body.
    pub fn follow(&mut self, seen: Arc<Mutex<Seen>>) {
        self.seen = Some(seen);
    }

    /// The candidate policy judges the call, too.
    pub fn judged_by(mut self, shadow: Option<Arc<Mutex<Shadowed>>>) -> Record {
        self.shadow = shadow;
        self
    }

    /// The call as the candidate policy judges it, if there is one.
    pub fn shadow(&self) -> Option<&Arc<Mutex<Shadowed>>> {
        self.shadow.as_ref()
    }

    /// Notes for the candidate policy what was found in the body.
    pub fn note_body(&self) {
        if let (Some(shadow), Some(seen)) = (&self.shadow, &self.seen) {
            let rules = self.policy.redaction.of(&self.row.org_id);
            lock(shadow).note_body(&lock(seen), rules);
        }
    }

    /// Holds a reservation until the call is over; then it is settled with the usage.
    pub fn hold(&mut self, reservation: Reservation) {
        match &mut self.reserved {
            Some(held) => held.absorb(reservation),
            None => self.reserved = Some(Box::new(reservation)),
        }
    }

    /// Sets the work that the provider of this call charges for.
    pub fn bills(&mut self, makes: Option<Makes>) {
        self.bills = makes;
    }

    /// Notes the reservation for the answer that was made before the body was complete: the end of
    /// the body is checked against it.
    pub fn reserved(&mut self, reserved: Reserved) {
        if let Some(seen) = self.seen() {
            lock(seen).reserved = Some(reserved);
        }
    }

    /// Hands the limits and the charge of this call to another record, under which its work
    /// continues.
    pub fn hand_over(&mut self, other: &mut Record) {
        other.bills = self.bills.take();
        other.row.client.clone_from(&self.row.client);
        other.row.tags.clone_from(&self.row.tags);
        traces::continue_from(&self.row, &mut other.row);
        if let Some(held) = self.reserved.take() {
            other.hold(*held);
        }
        other.shadow = self.shadow.as_ref().map(|shadow| lock(shadow).go_on());
    }

    /// The attempts of this call.
    pub fn trail(&self) -> Arc<Trail> {
        Arc::clone(&self.trail)
    }

    /// Notes that the answer broke off.
    pub fn broke_off(&self, how: &'static str, status: u16) {
        self.trail.ended(how, status, self.clock.now());
    }

    /// Takes over attempts that were made under another record.
    pub fn walk_trail(&mut self, trail: &Arc<Trail>) {
        self.trail = Arc::clone(trail);
    }

    /// The request body as far as it is known, if there is one.
    pub fn seen(&self) -> Option<&Mutex<Seen>> {
        self.seen.as_deref()
    }

    /// Whether the gateway itself asked for the usage event, so that the client must not see it.
    pub fn drop_usage(&self) -> bool {
        self.seen().is_some_and(|seen| lock(seen).facts.usage_injected)
    }

    /// Why the request body broke off, if it did.
    pub fn body_refusal(&self) -> Option<Refusal> {
        self.seen().and_then(|seen| lock(seen).refusal.clone())
    }

    /// Bytes of text for a model that the request body has had so far.
    pub fn text_bytes(&self) -> u64 {
        self.seen().map_or(0, |seen| lock(seen).text_bytes)
    }

    /// Counts redactions in the query or in headers.
    pub fn took_from_head(&mut self, ledger: &Ledger) {
        self.head.absorb(ledger);
    }

    /// Whether the call asked for an answer in JSON.
    pub fn answers_json(&self) -> bool {
        self.seen().is_some_and(|seen| lock(seen).facts.json_answer)
    }

    /// What is done with the answer of this call, which was translated if `translated`. Asked once.
    pub fn rewriting(&mut self, translated: bool) -> Rewriting {
        let json = self.answers_json();
        let values = self.values.take().filter(|values| !values.is_empty());
        let rules = self.policy.redaction.of(&self.row.org_id);
        Rewriting {
            mask: self.own.clone().map(|own| (Arc::clone(rules), own)),
            values: values.map(|values| values.for_json(json).for_translated(translated)),
            translated,
        }
    }

    /// Notes what was taken out of the answer so far.
    pub fn masked(&mut self, ledger: &Ledger) {
        if self.masked != *ledger {
            self.masked = ledger.clone();
        }
    }

    /// The value of `x-tollgate-redactions`: `email=1,phone=2`, only kinds that occurred; e-mail
    /// and phone first, then the others by name.
    pub fn redactions(&self) -> String {
        let body = self.seen.as_ref().map(|seen| lock(seen));
        if self.head.is_empty() && body.as_ref().is_none_or(|seen| seen.ledger.is_empty()) {
            return String::new();
        }
        let mut all = self.head.clone();
        if let Some(seen) = body {
            all.absorb(&seen.ledger);
        }
        let rank = |kind: &str| ["email", "phone"].iter().position(|k| *k == kind).unwrap_or(2);
        all.counts.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
        let mut parts: Vec<String> =
            all.counts.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        if all.attachments > 0 {
            parts.push(format!("attachment={}", all.attachments));
        }
        parts.join(",")
    }

    /// Notes the time until the provider's first byte.
    pub fn first_byte(&mut self, now: Nanos) {
        let elapsed = now.since(self.started);
        self.row().ttfb_ms = millis(elapsed);
        self.first_byte = Some(now);
        self.metrics.time_to_first_byte.observe(elapsed.as_secs_f64());
    }

    /// Notes that a stream has its first text.
    pub fn first_token(&mut self) {
        self.row.first_token_ms = millis(self.clock.now().since(self.started)).max(1);
    }

    /// Notes how the answer ended.
    pub fn answer_ended(&mut self, finish_reason: Cow<'static, str>, tool_calls: u16) {
        (self.row.finish_reason, self.row.tool_calls) = (finish_reason, tool_calls);
    }

    /// Notes the time spent in the gateway itself.
    pub fn own_time(&mut self, own: Duration) {
        self.row().gateway_us = u32::try_from(own.as_micros()).unwrap_or(u32::MAX);
        self.metrics.overhead.observe(own.as_secs_f64());
    }

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
    fn charge_work(&mut self, outcome: Outcome) {
        let unanswered =
            matches!(outcome, Outcome::ClientDisconnect | Outcome::Timeout | Outcome::Refused);
        let row = &mut self.row;
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
    pub fn answered(&mut self, kept: Captured) {
        let row = self.row();
        (row.response, row.answer) = (kept.body, kept.text);
        row.truncated |= kept.is_cut;
    }

    /// Writes the row: the call is over. Only the first call has an effect.
    pub fn close(&mut self, status: u16, outcome: Outcome, code: Option<Code>) {
        if !self.end(status, outcome, code) {
            return;
        }
        if self.work == Work::Begun {
            self.log.append(&self.row);
        } else {
            self.log.append_refused(self.row.clone());
        }
    }

    /// Writes the row in one write with the rows of other calls that end now. The answer may be
    /// sent when the result is ready.
    pub fn close_soon(
        &mut self,
        status: u16,
        outcome: Outcome,
        code: Option<Code>,
    ) -> Option<Pending> {
        self.end(status, outcome, code).then(|| self.log.append_soon(&self.row))
    }

    /// Waits until the rows written so far are on the disk itself, if the policy demands it before
    /// the end of an answer.
    pub fn durable(&self) -> Option<Durable> {
        (self.policy.ailog.durability == Durability::Power).then(|| self.log.durable())
    }

    /// Completes the row; returns whether the call had not ended before.
    fn end(&mut self, status: u16, outcome: Outcome, code: Option<Code>) -> bool {
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

    /// The usage with which limits are settled, tokens and money. An answer without known usage
    /// used what was reserved for it; a call that a provider refused, that never reached one, or that
    /// the cache answered, used nothing.
    fn used_of_limits(&self, outcome: Outcome, is_hit: bool) -> Option<(u64, u64)> {
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

    /// Whether the row has been written.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes the row of a refused call.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let left = self.seen.as_deref().is_some_and(|seen| lock(seen).disconnected);
        let outcome = match refusal.code.outcome() {
            Outcome::ClientError if left => Outcome::ClientDisconnect,
            outcome => outcome,
        };
        let is_left = outcome == Outcome::ClientDisconnect;
        let status = if is_left { CLIENT_CLOSED_REQUEST } else { refusal.code.status() };
        self.row.limited_by.clone_from(&refusal.limited_by);
        // One of a flood, perhaps.
        if self.work == Work::Begun && outcome == Outcome::RateLimited && self.trail.attempts() == 0
        {
            self.work = Work::None;
        }
        self.close(status, outcome, Some(refusal.code));
    }

    /// Writes the row of a call that is refused at its head.
    pub fn refuse_at_head(mut self, refusal: &Refusal) {
        self.work = Work::NotAdmitted;
        self.refuse(refusal);
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
            tags::of_body(&self.policy, &capture, &mut row.tags);
            if self.policy.ailog.capture_request {
                let kept = capture.finish();
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

impl Drop for Record {
    fn drop(&mut self) {
        if !self.closed {
            let is_cut = self.log.is_cutting();
            let (status, outcome) = if is_cut { (503, Outcome::Refused) } else { self.if_dropped };
            self.close(status, outcome, None);
        }
    }
}

/// Whole milliseconds, at most what the column holds.
pub fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ailog::Options;
    use crate::ailog::row::RouteKind;
    use crate::config::load;
    use crate::config::policy::StoreKind;
    use crate::ids::{OrgId, RequestId};

    /// Long enough for a busy machine; reached only by a failure.
    const SOON: Duration = Duration::from_secs(60);

    fn log(dir: &Path) -> (AiLog, Arc<Metrics>) {
        let metrics = Metrics::new();
        let log = AiLog::open(Options::new(dir, 0), StoreKind::Embedded, Arc::clone(&metrics));
        (log.expect("log"), metrics)
    }

    fn record(log: &AiLog, metrics: &Arc<Metrics>) -> Record {
        let file = tempfile::NamedTempFile::with_suffix(".yaml").expect("file");
        std::fs::write(&file, "auth: {accept: [anonymous]}").expect("a policy");
        let policy = Arc::new(load(Some(file.path())).expect("a policy").policy);
        let (org, id) = (OrgId::anonymous(), RequestId::random());
        let clock = Clock::start();
        Record {
            log: log.clone(),
            row: Row::begin(
                clock.wall_ms(),
                org,
                RouteKind::Proxy,
                id,
                Arc::clone(&policy.version),
            ),
            policy,
            metrics: Arc::clone(metrics),
            pulse: None,
            org_series: None,
            seen: None,
            head: Ledger::default(),
            trail: Arc::default(),
            reserved: None,
            bills: None,
            values: None,
            own: None,
            guided: Guided::default(),
            cached: Cached::No,
            masked: Ledger::default(),
            held: None,
            shadow: None,
            clock,
            started: clock.now(),
            first_byte: None,
            if_dropped: (CLIENT_CLOSED_REQUEST, Outcome::ClientDisconnect),
            work: Work::Begun,
            closed: false,
        }
    }

    fn rows(dir: &Path, condition: &str) -> i64 {
        let database = rusqlite::Connection::open(dir.join("tollgate.db")).expect("database");
        let sql = format!("SELECT coalesce(sum(calls), 0) FROM ai_log WHERE {condition}");
        database.query_row(&sql, [], |row| row.get(0)).expect("a number")
    }

    #[test]
    fn each_record_leaves_one_row() {
        let dir = tempfile::tempdir().expect("dir");
        let (log, metrics) = log(dir.path());
        let mut closed = record(&log, &metrics);
        closed.close(200, Outcome::Ok, None);
        closed.close(503, Outcome::Refused, None);
        drop(closed);
        drop(record(&log, &metrics));
        drop(record(&log, &metrics).if_dropped(503, Outcome::Refused));
        log.cut_calls();
        drop(record(&log, &metrics));
        log.close(SOON);
        assert_eq!(rows(dir.path(), "1"), 4);
        assert_eq!(rows(dir.path(), "status = 200 AND outcome = 'ok'"), 1);
        assert_eq!(rows(dir.path(), "status = 499 AND outcome = 'client_disconnect'"), 1);
        assert_eq!(rows(dir.path(), "status = 503 AND outcome = 'refused'"), 2);
    }

    #[test]
    fn refusals_are_folded_only_before_any_work() {
        let dir = tempfile::tempdir().expect("dir");
        let (log, metrics) = log(dir.path());
        let limited = Refusal::new(Code::RateLimitExceeded, "slow down");
        let overloaded = Refusal::new(Code::Overloaded, "full");
        for (refusal, work) in [(&limited, Work::None), (&overloaded, Work::Begun)] {
            for _ in 0..3 {
                record(&log, &metrics).refuse_at_head(refusal);
            }
            let mut record = record(&log, &metrics);
            record.refuse(refusal);
            assert_eq!(record.work, work, "{refusal:?}");
        }
        log.close(SOON);
        assert_eq!(rows(dir.path(), "outcome = 'rate_limited' AND status = 429"), 4);
        assert_eq!(rows(dir.path(), "outcome = 'refused' AND status = 503"), 4);
        let histogram = metrics.request_duration.with_label_values(&["proxy"]);
        assert_eq!(
            histogram.get_sample_count(),
            2,
            "the time of a refusal at the head is not measured"
        );
    }
}
