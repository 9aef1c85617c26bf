//! The record of one call: it gathers the row, and writes it exactly once.
//!
//! Stages 5 and 12 of the walk. A drop guard: if the task of a call is cancelled because its client
//! left, `Drop` writes the row.
//!
//! Guarantees: every record leaves one row, whichever stage ends the call; the limits that the call
//! holds are settled with it. `usage` notes tokens and money, `completed` completes the row. Does
//! not: encode rows or touch files (see `ailog`).

mod completed;
mod usage;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tollgate_wire::estimate::Makes;

use super::answer_out::rewrite::Rewriting;
use super::body_in::{Reserved, Seen};
use super::gateway::Gateway;
use super::guided::Guided;
use super::keeping::Cached;
use super::org_series::OrgSeries;
use super::refusal::Refusal;
use super::shadow::Shadowed;
use super::traces;
use crate::ailog::row::{Outcome, Row};
use crate::ailog::{AiLog, Durable, Pending};
use crate::alerts::pulse::Pulse;
use crate::clock::{Clock, Nanos};
use crate::code::Code;
use crate::config::policy::{Durability, Policy};
use crate::limit::meters::Reservation;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::redact::{Captured, Ledger, Own, Values};
use crate::share::Held;
use crate::upstream::Trail;

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
    /// The budgets' part in this call.
    pub guided: Guided,
    /// The exact cache's part in this call.
    pub cached: Cached,
    /// The redactions in its answer.
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
        let (log, metrics) = (gateway.log.clone(), Arc::clone(&gateway.metrics));
        let longest = policy.alerts.as_deref().and_then(|rules| rules.windows().max());
        let mut record = Record::new(log, metrics, policy, row, (gateway.clock, started));
        record.pulse = longest.map(|longest| (Arc::clone(&gateway.alerts.pulse), longest));
        record.org_series.clone_from(&gateway.org_series);
        record
    }

    fn new(
        log: AiLog,
        metrics: Arc<Metrics>,
        policy: Arc<Policy>,
        row: Row,
        (clock, started): (Clock, Nanos),
    ) -> Record {
        Record {
            log,
            row,
            policy,
            metrics,
            pulse: None,
            org_series: None,
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
            clock,
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

    /// The changes that the answer of this call gets; it was translated if `translated`. Asked
    /// once.
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

    /// Whether the row has been written.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes the row of a refused call.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let left = self.seen.as_deref().is_some_and(|seen| lock(seen).disconnected);
        let outcome = match refusal.outcome() {
            Outcome::ClientError if left => Outcome::ClientDisconnect,
            outcome => outcome,
        };
        let is_left = outcome == Outcome::ClientDisconnect;
        let status = if is_left { CLIENT_CLOSED_REQUEST } else { refusal.status() };
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
mod tests;
