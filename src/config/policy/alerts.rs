//! Alerts, checked: what is watched, and where it is told.
//!
//! Level 2 of the map. Does not: watch or tell (`alerts` does).

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::ids::{OrgId, Secret};

/// The rules of alerts, and the webhooks that get them.
#[derive(Debug)]
pub struct AlertRules {
    pub webhooks: Vec<Webhook>,
    pub rules: Vec<AlertRule>,
}

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub name: Arc<str>,
    pub url: Uri,
    pub secret: Secret,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct AlertRule {
    pub name: Arc<str>,
    pub on: Condition,
    /// `None`: each organisation by itself.
    pub org: Option<OrgId>,
    /// Names of webhooks.
    pub to: Vec<Arc<str>>,
}

/// The condition of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Budget { at_percent: Vec<u32> },
    ErrorRate { above_percent: f64, window: Duration, min_calls: u32 },
    BreakerOpen,
    PolicyRejected,
    LogBacklog { above_bytes: u64 },
    LogLoss,
    CredentialFailing,
}

impl Condition {
    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Condition::Budget { .. } => "budget",
            Condition::ErrorRate { .. } => "error_rate",
            Condition::BreakerOpen => "breaker_open",
            Condition::PolicyRejected => "policy_rejected",
            Condition::LogBacklog { .. } => "log_backlog",
            Condition::LogLoss => "log_loss",
            Condition::CredentialFailing => "credential_failing",
        }
    }
}

impl AlertRules {
    /// The webhook of that name.
    pub fn webhook(&self, name: &str) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| *webhook.name == *name)
    }

    /// The windows of all rules about rates.
    pub fn windows(&self) -> impl Iterator<Item = Duration> {
        self.rules.iter().filter_map(|rule| match rule.on {
            Condition::ErrorRate { window, .. } => Some(window),
            _ => None,
        })
    }

    /// Whether a rule has this condition.
    pub fn watches(&self, is_it: impl Fn(&Condition) -> bool) -> bool {
        self.rules.iter().any(|rule| is_it(&rule.on))
    }
}
