//! The sums of a replay: what changes for whom, and what could not be judged.
//!
//! Pure. Guarantees: figures count calls, but for `rows` and `judged`; in each respect the judged
//! rows and those of the reasons that name it are all rows.
//!
//! # Bounds
//! `REPLAY_ORGS_MAX` organisations and limits, the rest is in the totals alone;
//! `REPLAY_EXAMPLES_MAX` examples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::logged::{BODY_TRUNCATED, NO_BODY, Reason, VALUE_GONE};
use super::replay::{
    Answer, Dimension, IDENTITY, NO_CALLER, NO_MODEL, REFUSAL_UNKNOWN, USAGE_UNKNOWN,
};
use super::row::LoggedCall;
use crate::bounds::{REPLAY_EXAMPLES_MAX, REPLAY_ORGS_MAX};
use crate::money::usd;

/// Calls by what changes for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) calls: u64,
    pub(crate) refused: u64,
    pub(crate) allowed: u64,
    pub(crate) rerouted: u64,
    pub(crate) redaction_changed: u64,
}

impl Changes {
    fn add(&mut self, other: Changes) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.allowed += other.allowed;
        self.rerouted += other.rerouted;
        self.redaction_changed += other.redaction_changed;
    }

    /// Whether nothing changes.
    pub(crate) fn are_none(&self) -> bool {
        self.refused + self.allowed + self.rerouted + self.redaction_changed == 0
    }

    /// The first change, in a word.
    fn word(&self) -> Option<&'static str> {
        let words = [
            ("refused", self.refused),
            ("allowed", self.allowed),
            ("rerouted", self.rerouted),
            ("redaction_changed", self.redaction_changed),
        ];
        words.into_iter().find(|(_, calls)| *calls > 0).map(|(word, _)| word)
    }
}

#[derive(Clone, Debug, Default)]
struct Unjudged {
    rows: u64,
    calls: u64,
}

/// One row that changes.
#[derive(Clone, Debug)]
struct Example {
    id: String,
    created_at: String,
    org: String,
    change: &'static str,
    limit: String,
}

/// The sums of a replay.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    /// Of all.
    pub(crate) changes: Changes,
    judged: [u64; 3],
    unjudged: BTreeMap<(Reason, Vec<Dimension>), Unjudged>,
    orgs: BTreeMap<String, Changes>,
    limits: BTreeMap<(String, String), u64>,
    /// By organisation, budget and model.
    downgrades: BTreeMap<(String, String, String), u64>,
    examples: Vec<Example>,
    /// Of the rows that would pass and whose cost is known on both sides, in 10⁻⁹ USD.
    cost_before: i128,
    cost_after: i128,
}

impl Tally {
    /// Adds a row. `created_at`: its time as text.
    pub(crate) fn add(
        &mut self,
        row: &LoggedCall<'_>,
        answer: &Answer,
        created_at: impl FnOnce() -> String,
    ) {
        let calls = u64::from(row.calls);
        self.rows += 1;
        let refused: u64 = answer.refused.iter().map(|(_, calls)| calls).sum();
        let if_passed = |changed: bool| if changed { calls - refused.min(calls) } else { 0 };
        let changes = Changes {
            calls,
            refused,
            allowed: answer.allowed,
            rerouted: if_passed(answer.rerouted.is_some()),
            redaction_changed: if_passed(answer.redaction_changed),
        };
        self.changes.add(changes);
        if self.orgs.contains_key(row.org) || self.orgs.len() < REPLAY_ORGS_MAX {
            self.orgs.entry(row.org.to_owned()).or_default().add(changes);
        }
        self.note_unjudged(answer, calls);
        let mut limit = String::new();
        for (refused, calls) in &answer.refused {
            let by = refused.limited_by();
            let by = if by.is_empty() { refused.code.as_str().to_owned() } else { by };
            let key = (row.org.to_owned(), by.clone());
            if self.limits.contains_key(&key) || self.limits.len() < REPLAY_ORGS_MAX {
                *self.limits.entry(key).or_default() += calls;
            }
            limit = by;
        }
        if let Some((model, by, calls)) = &answer.downgraded {
            let key = (row.org.to_owned(), by.clone(), model.to_string());
            if self.downgrades.contains_key(&key) || self.downgrades.len() < REPLAY_ORGS_MAX {
                *self.downgrades.entry(key).or_default() += calls;
            }
            limit.clone_from(by);
        }
        if let (Some(after), Some(before)) = (answer.cost_nano_usd, row.cost_nano_usd) {
            self.cost_after += i128::from(after);
            self.cost_before += i128::from(before);
        }
        let downgraded = answer.downgraded.as_ref().map(|_| "downgraded");
        let change = changes.word().map(|word| match word {
            "rerouted" => downgraded.unwrap_or(word),
            word => word,
        });
        if let Some(change) = change.filter(|_| self.examples.len() < REPLAY_EXAMPLES_MAX) {
            let (id, org) = (row.id.clone(), row.org.to_owned());
            self.examples.push(Example { id, created_at: created_at(), org, change, limit });
        }
    }

    fn note_unjudged(&mut self, answer: &Answer, calls: u64) {
        for (judged, dimension) in self.judged.iter_mut().zip(Dimension::ALL) {
            let is_known = answer.unjudged.iter().all(|(unjudged, _)| *unjudged != dimension);
            *judged += u64::from(is_known);
        }
        let mut reasons: Vec<Reason> = answer.unjudged.iter().map(|(_, reason)| *reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            let of = answer.unjudged.iter().filter(|(_, why)| *why == reason);
            let of: Vec<Dimension> = of.map(|(dimension, _)| *dimension).collect();
            let unjudged = self.unjudged.entry((reason, of)).or_default();
            unjudged.rows += 1;
            unjudged.calls += calls;
        }
    }

    /// The document of `--format json`.
    pub(crate) fn to_json(&self, policy: &str, (from, to): (&str, &str)) -> Value {
        let changes = |changes: &Changes| {
            json!({
                "refused": changes.refused,
                "allowed": changes.allowed,
                "rerouted": changes.rerouted,
                "redaction_changed": changes.redaction_changed,
            })
        };
        let orgs = self.orgs.iter().map(|(org, of)| {
            let mut object = json!({"org_id": org, "calls": of.calls});
            if let (Some(object), Value::Object(of)) = (object.as_object_mut(), changes(of)) {
                object.extend(of);
            }
            object
        });
        let unjudged = self.unjudged.iter().map(|((reason, of), unjudged)| {
            json!({
                "reason": reason,
                "of": of.iter().map(|dimension| dimension.as_str()).collect::<Vec<_>>(),
                "rows": unjudged.rows,
                "calls": unjudged.calls,
                "message": message(reason),
            })
        });
        let limits = self.limits.iter().map(
            |((org, limit), refused)| json!({"org_id": org, "limit": limit, "refused": refused}),
        );
        let downgrades = self.downgrades.iter().map(|((org, limit, model), calls)| {
            json!({"org_id": org, "limit": limit, "model": model, "calls": calls})
        });
        let examples = self.examples.iter().map(|one| {
            json!({
                "id": one.id,
                "created_at": one.created_at,
                "org_id": one.org,
                "change": one.change,
                "limit": (!one.limit.is_empty()).then_some(&one.limit),
            })
        });
        json!({
            "version": 1,
            "policy": policy,
            "from": from,
            "to": to,
            "rows": self.rows,
            "calls": self.changes.calls,
            "judged": {
                "limits": self.judged[0],
                "routing": self.judged[1],
                "redaction": self.judged[2],
            },
            "unjudged": unjudged.collect::<Vec<_>>(),
            "changes": changes(&self.changes),
            "orgs": orgs.collect::<Vec<_>>(),
            "limits": limits.collect::<Vec<_>>(),
            "downgrades": downgrades.collect::<Vec<_>>(),
            "examples": examples.collect::<Vec<_>>(),
            "cost_usd": {"before": dollars(self.cost_before), "after": dollars(self.cost_after)},
        })
    }

    /// The lines of `--format table`.
    pub(crate) fn to_text(&self, policy: &str, (from, to): (&str, &str)) -> String {
        let mut text = format!(
            "policy {policy} asked about {} rows, {} calls, {from} to {to}\n\
             one process counts all calls here, so shared limits and strict windows are \
             approximations\n\n",
            self.rows, self.changes.calls
        );
        let heads = ["org_id", "calls", "refused", "allowed", "rerouted", "redaction_changed"];
        let mut lines: Vec<[String; 6]> = vec![heads.map(str::to_owned)];
        let total = ("total".to_owned(), self.changes);
        let orgs = self.orgs.iter().map(|(org, changes)| (org.clone(), *changes));
        for (org, of) in orgs.chain([total]) {
            let figures = [of.calls, of.refused, of.allowed, of.rerouted, of.redaction_changed];
            let mut line =
                [org, String::new(), String::new(), String::new(), String::new(), String::new()];
            for (cell, figure) in line[1..].iter_mut().zip(figures) {
                *cell = figure.to_string();
            }
            lines.push(line);
        }
        let width =
            |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        for line in &lines {
            text.push_str(&format!("{:<width$}", line[0], width = widths[0]));
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                text.push_str(&format!("  {cell:>width$}"));
            }
            text.push('\n');
        }
        if !self.limits.is_empty() {
            text.push_str("\nrefused by\n");
        }
        for ((org, limit), refused) in &self.limits {
            text.push_str(&format!("  {org}  {limit}: {refused} calls\n"));
        }
        if !self.downgrades.is_empty() {
            text.push_str("\ndowngraded by\n");
        }
        for ((org, limit, model), calls) in &self.downgrades {
            text.push_str(&format!("  {org}  {limit}: {calls} calls downgraded to {model}\n"));
        }
        text.push_str(&format!(
            "\ncost of the calls that pass: {} USD as logged, {} USD under this policy\n",
            dollars(self.cost_before),
            dollars(self.cost_after)
        ));
        text.push_str("\njudged rows: ");
        let judged = self.judged.iter().zip(Dimension::ALL);
        let judged: Vec<String> =
            judged.map(|(rows, of)| format!("{} {rows}", of.as_str())).collect();
        text.push_str(&judged.join(", "));
        for ((reason, of), unjudged) in &self.unjudged {
            let of: Vec<&str> = of.iter().map(|dimension| dimension.as_str()).collect();
            text.push_str(&format!(
                "\nnot judged ({}): {} rows, {} calls: {reason}: {}",
                of.join(", "),
                unjudged.rows,
                unjudged.calls,
                message(reason)
            ));
        }
        text
    }
}

fn dollars(nano: i128) -> String {
    usd(i64::try_from(nano).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX }))
}

/// Why a row cannot be judged, in a sentence.
fn message(reason: Reason) -> &'static str {
    match reason {
        NO_BODY => "the request was not captured or not read, so new matches in it are not known",
        BODY_TRUNCATED => "the captured request is cut; raise `ailog.capture` to judge later calls",
        VALUE_GONE => "the rules for a value that was taken out differ, and the value is gone",
        NO_CALLER => "calls of several callers were folded into one row, and each has a limit",
        NO_MODEL => "the call was refused before its body, and so its model, was read",
        USAGE_UNKNOWN => "tokens and cost of these calls are not known, and the policy limits them",
        REFUSAL_UNKNOWN => "the rows do not say why the endpoint or the model was refused",
        IDENTITY => "credentials are not logged, and the policy accepts others",
        _ => "not known",
    }
}
