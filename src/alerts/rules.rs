//! The verdicts of a policy's rules on the facts of a moment.
//!
//! Pure. Guarantees: a budget's threshold is found once for each period, by a claim whose name has
//! the rule, the organisation, the limit, the period and the threshold; every other condition has
//! one claim while it holds. A rate of too few calls says nothing, so it neither fires nor
//! recovers. Does not: remember claims (see `book`), or send.

use std::time::Duration;

use super::message::Message;
use super::pulse::Rate;
use crate::config::policy::{AlertRule, AlertRules, Condition};
use crate::ids::OrgId;

/// The facts of a gateway at a moment.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    pub budgets: Vec<Budget>,
    /// The calls of organisations in each window that a rule names.
    pub rates: Vec<(Duration, Vec<Rate>)>,
    /// Providers whose circuit is open, or not.
    pub breakers: Vec<(String, bool)>,
    /// Providers whose credential fails, or does not.
    pub credentials: Vec<(String, bool)>,
    /// The files hold an edit that was refused.
    pub policy_rejected: bool,
    /// Bytes of the log that are not stored.
    pub backlog_bytes: u64,
    /// Rows lost since the last look.
    pub lost_rows: u64,
    /// `SEQ:HASH` of the last record of the audit.
    pub audit_head: Option<String>,
}

/// A budget of an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    pub org: OrgId,
    /// `usd_per_day`
    pub limit: &'static str,
    /// `2026-11-30`, `2026-11`
    pub period: String,
    pub spent_nano_usd: u64,
    pub limit_nano_usd: u64,
}

/// The verdict of a rule.
#[derive(Clone, Debug)]
pub struct Finding<'r> {
    pub rule: &'r AlertRule,
    /// The name under which this is remembered.
    pub claim: String,
    /// Whether the condition holds.
    pub holds: bool,
    pub message: Message,
}

impl Finding<'_> {
    /// Whether it is found once in a period, by all gateways together.
    pub fn is_of_period(&self) -> bool {
        matches!(self.rule.on, Condition::Budget { .. })
    }
}

/// Everything that the rules say.
pub fn judge<'r>(rules: &'r AlertRules, facts: &Facts) -> Vec<Finding<'r>> {
    let mut found = Vec::new();
    for rule in &rules.rules {
        match &rule.on {
            Condition::Budget { at_percent } => budget(rule, at_percent, facts, &mut found),
            Condition::ErrorRate { above_percent, window, min_calls } => {
                let rates = facts.rates.iter().find(|(of, _)| of == window);
                for rate in rates.map_or(&[][..], |(_, rates)| rates) {
                    let is_meant = rule.org.as_ref().is_none_or(|org| *org == rate.org);
                    if is_meant && rate.calls >= u64::from(*min_calls) {
                        found.push(error_rate(rule, *above_percent, *window, rate, facts));
                    }
                }
            }
            Condition::BreakerOpen => {
                for (provider, is_open) in &facts.breakers {
                    let text = format!("the circuit of provider {provider} is open");
                    found.push(of_provider(rule, provider, *is_open, text, facts));
                }
            }
            Condition::CredentialFailing => {
                for (provider, fails) in &facts.credentials {
                    let text = format!("the credential of provider {provider} fails");
                    found.push(of_provider(rule, provider, *fails, text, facts));
                }
            }
            Condition::PolicyRejected => {
                let text = "an edit of the policy was refused; the former one stays in force";
                let holds = facts.policy_rejected;
                found.push(plain(rule, holds, (f64::from(u8::from(holds)), 1.0), text, facts));
            }
            Condition::LogBacklog { above_bytes } => {
                let values = (float(facts.backlog_bytes), float(*above_bytes));
                let text = "rows of the log wait for their store";
                found.push(plain(rule, facts.backlog_bytes > *above_bytes, values, text, facts));
            }
            Condition::LogLoss => {
                let lost = facts.lost_rows;
                let text = "rows of the log were lost";
                found.push(plain(rule, lost > 0, (float(lost), 0.0), text, facts));
            }
        }
    }
    found
}

fn budget<'r>(
    rule: &'r AlertRule,
    at_percent: &[u32],
    facts: &Facts,
    found: &mut Vec<Finding<'r>>,
) {
    let is_meant = |budget: &&Budget| rule.org.as_ref().is_none_or(|org| *org == budget.org);
    for budget in facts.budgets.iter().filter(is_meant) {
        let Budget { org, limit, period, spent_nano_usd, limit_nano_usd } = budget;
        for threshold in at_percent {
            let (spent, most) = (u128::from(*spent_nano_usd), u128::from(*limit_nano_usd));
            if spent * 100 < most * u128::from(*threshold) {
                continue;
            }
            let value = float(*spent_nano_usd) * 100.0 / float(*limit_nano_usd).max(1.0);
            let text = format!("{org} has used {value:.0} % of {limit}");
            let mut message = message(rule, facts, (value, f64::from(*threshold)), text);
            org.as_str().clone_into(&mut message.org);
            message.period.clone_from(period);
            let claim = format!("budget|{}|{org}|{limit}|{period}|{threshold}", rule.name);
            found.push(Finding { rule, claim, holds: true, message });
        }
    }
}

fn error_rate<'r>(
    rule: &'r AlertRule,
    above_percent: f64,
    window: Duration,
    rate: &Rate,
    facts: &Facts,
) -> Finding<'r> {
    let value = float(rate.errors) * 100.0 / float(rate.calls).max(1.0);
    let Rate { org, calls, errors } = rate;
    let text = format!("{errors} of {calls} calls of {org} failed");
    let mut message = message(rule, facts, (value, above_percent), text);
    org.as_str().clone_into(&mut message.org);
    message.period = format!("{}s", window.as_secs());
    let claim = format!("error_rate|{}|{org}", rule.name);
    Finding { rule, claim, holds: value > above_percent, message }
}

fn of_provider<'r>(
    rule: &'r AlertRule,
    provider: &str,
    holds: bool,
    text: String,
    facts: &Facts,
) -> Finding<'r> {
    let mut message = message(rule, facts, (f64::from(u8::from(holds)), 1.0), text);
    message.provider = Some(provider.to_owned());
    let claim = format!("{}|{}|{provider}", rule.on.as_str(), rule.name);
    Finding { rule, claim, holds, message }
}

fn plain<'r>(
    rule: &'r AlertRule,
    holds: bool,
    values: (f64, f64),
    text: &str,
    facts: &Facts,
) -> Finding<'r> {
    let message = message(rule, facts, values, text.to_owned());
    Finding { rule, claim: format!("{}|{}|", rule.on.as_str(), rule.name), holds, message }
}

fn message(
    rule: &AlertRule,
    facts: &Facts,
    (value, threshold): (f64, f64),
    text: String,
) -> Message {
    Message {
        alert: rule.on.as_str(),
        rule: rule.name.to_string(),
        org: String::new(),
        value: (value * 100.0).round() / 100.0,
        threshold,
        period: String::new(),
        at_ms: facts.now_ms,
        provider: None,
        audit_head: facts.audit_head.clone(),
        text,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn org(name: &str) -> OrgId {
        OrgId::new(name).expect("name")
    }

    fn rules(on: Condition, of: Option<&str>) -> AlertRules {
        let rule =
            AlertRule { name: Arc::from("r"), on, org: of.map(org), to: vec![Arc::from("ops")] };
        AlertRules { webhooks: vec![], rules: vec![rule] }
    }

    fn claims(rules: &AlertRules, facts: &Facts) -> Vec<(String, bool)> {
        judge(rules, facts).into_iter().map(|found| (found.claim, found.holds)).collect()
    }

    #[test]
    fn budgets_are_found_at_each_threshold_of_each_period() {
        let budget = |name: &str, spent, limit| Budget {
            org: org(name),
            limit,
            period: if limit == "usd_per_day" { "2026-11-30" } else { "2026-11" }.to_owned(),
            spent_nano_usd: spent,
            limit_nano_usd: 1_000,
        };
        let facts = Facts {
            budgets: vec![
                budget("a", 799, "usd_per_day"),
                budget("b", 800, "usd_per_day"),
                budget("b", 2_000, "usd_per_month"),
            ],
            ..Facts::default()
        };
        let on = Condition::Budget { at_percent: vec![80, 100] };
        let all = rules(on.clone(), None);
        let found: Vec<String> = claims(&all, &facts).into_iter().map(|(claim, _)| claim).collect();
        let expected = [
            "budget|r|b|usd_per_day|2026-11-30|80",
            "budget|r|b|usd_per_month|2026-11|80",
            "budget|r|b|usd_per_month|2026-11|100",
        ];
        assert_eq!(found, expected);
        assert!(claims(&rules(on, Some("a")), &facts).is_empty());
        let message = &judge(&all, &facts)[2].message;
        assert_eq!((message.value, message.threshold), (200.0, 100.0));
        assert_eq!((&*message.org, &*message.period), ("b", "2026-11"));
        assert_eq!(message.text, "b has used 200 % of usd_per_month");
    }

    #[test]
    fn a_rate_needs_enough_calls() {
        let window = Duration::from_secs(300);
        let rate = |name, calls, errors| Rate { org: org(name), calls, errors };
        let rates = vec![rate("few", 9, 9), rate("good", 100, 5), rate("bad", 100, 6)];
        let facts = Facts { rates: vec![(window, rates)], ..Facts::default() };
        let on = Condition::ErrorRate { above_percent: 5.0, window, min_calls: 10 };
        let expected =
            [("error_rate|r|good".to_owned(), false), ("error_rate|r|bad".to_owned(), true)];
        assert_eq!(claims(&rules(on, None), &facts), expected);
    }

    #[test]
    fn other_conditions_hold_or_do_not() {
        let facts = Facts {
            breakers: vec![("one".into(), true), ("two".into(), false)],
            credentials: vec![("one".into(), false)],
            policy_rejected: true,
            backlog_bytes: 10,
            lost_rows: 0,
            ..Facts::default()
        };
        for (on, expected) in [
            (
                Condition::BreakerOpen,
                vec![("breaker_open|r|one", true), ("breaker_open|r|two", false)],
            ),
            (Condition::CredentialFailing, vec![("credential_failing|r|one", false)]),
            (Condition::PolicyRejected, vec![("policy_rejected|r|", true)]),
            (Condition::LogBacklog { above_bytes: 9 }, vec![("log_backlog|r|", true)]),
            (Condition::LogBacklog { above_bytes: 10 }, vec![("log_backlog|r|", false)]),
            (Condition::LogLoss, vec![("log_loss|r|", false)]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(c, h)| (c.to_owned(), h)).collect();
            assert_eq!(claims(&rules(on, None), &facts), expected);
        }
    }
}
