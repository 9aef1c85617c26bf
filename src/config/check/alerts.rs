//! `alerts`, checked.

use std::sync::Arc;

use http::Uri;

use super::super::policy::{AlertRule, AlertRules, Condition, Webhook};
use super::super::reader::place::{Place, Problems, suggest};
use super::super::reader::shape::At;
use super::super::sections::{AlertOn, RawAlertRule, RawAlerts};
use super::{distinct, label, port_fits};
use crate::bounds::{ALERT_RULES_MAX, WEBHOOKS_MAX};

/// `None` if there is nothing to watch and nowhere to tell it.
pub(crate) fn alerts(raw: &RawAlerts, problems: &mut Problems) -> Option<Box<AlertRules>> {
    let mut webhooks = Vec::new();
    for (name, given) in &raw.webhooks.0 {
        label(name, &name.at, problems);
        if given.secret.value.is_empty() {
            problems.add(&given.secret.at, "empty; give the secret that signs requests");
        }
        if let Some(url) = url(&given.url, problems) {
            let (name, secret) = (Arc::from(name.value.as_str()), given.secret.value.clone());
            webhooks.push(Webhook { name, url, secret });
        }
    }
    if raw.webhooks.0.len() > WEBHOOKS_MAX {
        problems.add(&raw.webhooks.at, format!("more than {WEBHOOKS_MAX}; keep fewer"));
    }
    if raw.rules.len() > ALERT_RULES_MAX {
        problems.add(
            &raw.rules.at,
            format!("more than {ALERT_RULES_MAX}; keep fewer: one without `org` watches all"),
        );
    }
    let mut rules: Vec<AlertRule> = Vec::new();
    for given in raw.rules.iter() {
        name(&given.name, &rules, problems);
        let to = to(given, raw, problems);
        let on = condition(given, problems);
        let name = Arc::from(given.name.trim());
        rules.push(AlertRule { name, on, org: given.org.value.clone(), to });
    }
    (!webhooks.is_empty() || !rules.is_empty()).then(|| Box::new(AlertRules { webhooks, rules }))
}

fn name(given: &At<String>, rules: &[AlertRule], problems: &mut Problems) {
    let name = given.trim();
    let fits = (1..=64).contains(&name.len()) && name.chars().all(|c| !c.is_control() && c != '|');
    if !fits {
        problems.add(&given.at, "not a usable name; give 1 to 64 bytes of text without `|`");
    }
    if rules.iter().any(|rule| *rule.name == *name) {
        problems.add(&given.at, "the name of an earlier rule; give another one");
    }
}

fn to(given: &RawAlertRule, raw: &RawAlerts, problems: &mut Problems) -> Vec<Arc<str>> {
    distinct(&given.to, problems);
    if given.to.value.is_empty() {
        problems.add(&given.to.at, "names no webhook; give one of `alerts.webhooks`");
    }
    for webhook in given.to.iter() {
        let mut known = raw.webhooks.0.iter().map(|(name, _)| name.value.as_str());
        if !known.clone().any(|name| name == webhook.value) {
            let hint = match known.next() {
                None => "there is none; give it in `alerts.webhooks`".to_owned(),
                Some(first) => suggest(&webhook.value, std::iter::once(first).chain(known)),
            };
            problems.add(&webhook.at, format!("not the name of a webhook; {hint}"));
        }
    }
    given.to.iter().map(|webhook| Arc::from(webhook.value.as_str())).collect()
}

/// The condition; keys of others are problems.
fn condition(given: &RawAlertRule, problems: &mut Problems) -> Condition {
    let on = given.on.value;
    let keys: [(&str, &Place, bool, &[AlertOn]); 6] = [
        ("org", &given.org.at, given.org.given, &[AlertOn::Budget, AlertOn::ErrorRate]),
        ("at_percent", &given.at_percent.at, given.at_percent.given, &[AlertOn::Budget]),
        (
            "above_percent",
            &given.above_percent.at,
            given.above_percent.given,
            &[AlertOn::ErrorRate],
        ),
        ("window", &given.window.at, given.window.given, &[AlertOn::ErrorRate]),
        ("min_calls", &given.min_calls.at, given.min_calls.given, &[AlertOn::ErrorRate]),
        ("above_bytes", &given.above_bytes.at, given.above_bytes.given, &[AlertOn::LogBacklog]),
    ];
    for (key, at, is_given, of) in keys {
        if is_given && !of.contains(&on) {
            problems.add(at, format!("`{key}` says nothing to this condition; remove it"));
        }
    }
    match on {
        AlertOn::Budget => {
            distinct(&given.at_percent, problems);
            if given.at_percent.value.is_empty() {
                problems.add(&given.at_percent.at, "empty; give parts in percent, e.g. [80, 100]");
            }
            for percent in given.at_percent.iter().filter(|p| !(1..=1_000).contains(&p.value)) {
                problems.add(&percent.at, "not allowed; give 1 to 1000 percent");
            }
            Condition::Budget { at_percent: given.at_percent.iter().map(|p| p.value).collect() }
        }
        AlertOn::ErrorRate => Condition::ErrorRate {
            above_percent: given.above_percent.value,
            window: given.window.value,
            min_calls: given.min_calls.value,
        },
        AlertOn::BreakerOpen => Condition::BreakerOpen,
        AlertOn::PolicyRejected => Condition::PolicyRejected,
        AlertOn::LogBacklog => Condition::LogBacklog { above_bytes: given.above_bytes.value.0 },
        AlertOn::LogLoss => Condition::LogLoss,
        AlertOn::CredentialFailing => Condition::CredentialFailing,
    }
}

fn url(given: &At<String>, problems: &mut Problems) -> Option<Uri> {
    let url = given.trim().parse::<Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|a| !a.as_str().contains('@'))
            && port_fits(url)
    });
    if url.is_none() {
        let reason = "not the address of a webhook; give http(s)://host[:port]/path without user and \
            password";
        problems.add(&given.at, reason);
    }
    url
}
