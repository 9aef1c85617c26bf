//! The keys of `alerts`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Named, Shape, Size, section, words};
use super::{HOUR, SECOND};
use crate::ids::{OrgId, Secret};

words! {
    /// The condition of a rule.
    AlertOn {
        /// A budget of an organisation is used to a part.
        "budget" => Budget,
        /// Calls of an organisation fail.
        "error_rate" => ErrorRate,
        /// The circuit of a provider is open.
        "breaker_open" => BreakerOpen,
        /// An edit of the policy was refused.
        "policy_rejected" => PolicyRejected,
        /// Rows of the log wait for their store.
        "log_backlog" => LogBacklog,
        /// Rows of the log were lost.
        "log_loss" => LogLoss,
        /// The credential of a provider fails.
        "credential_failing" => CredentialFailing,
    }
}

section! {
    /// Alerts: conditions that are told to webhooks. `tollgate alert test NAME` sends a test.
    RawAlerts {
        /// Where alerts go, each with a name of your own; at most 16.
        webhooks: Named<RawWebhook> = "{}",
            eg "ops: {url: 'https://hooks.example.com/tollgate', secret: '${WEBHOOK_SECRET:-change-me}'}";
        /// Conditions that are told; at most 256 rules.
        rules: Vec<At<RawAlertRule>> = "[]";
    }
}
section! {
    /// A webhook: it gets JSON by POST.
    RawWebhook {
        /// http(s)://host[:port]/path.
        url: String;
        /// Signs each request; best `{file: PATH}`, which is watched. One that begins with whsec_ is
        /// base64 behind that, for verifiers of Standard Webhooks.
        secret: Secret;
    }
}
section! {
    /// A rule.
    RawAlertRule {
        /// Its name in messages and metrics.
        name: String;
        /// The condition: budget, error_rate, breaker_open, policy_rejected, log_backlog, log_loss or
        /// credential_failing.
        on: AlertOn;
        /// Names of webhooks.
        to: Vec<At<String>>;
        /// With `budget` and `error_rate`: this organisation alone. Null: each by itself.
        org: Option<OrgId> = "null", eg "acme";
        /// With `budget`: parts of `usd_per_day` and `usd_per_month` of the organisation, in percent;
        /// each is told once in its day or month.
        at_percent: Vec<At<u32>> = "[80, 100]";
        /// With `error_rate`: share of calls, in percent, above which it is told.
        above_percent: f64 = "5" in 0.0..=100.0;
        /// With `error_rate`: time over which calls are counted.
        window: Duration = "5m" in SECOND..=HOUR;
        /// With `error_rate`: calls within `window` that are needed for the share to count.
        min_calls: u32 = "50" in 1..=1_000_000;
        /// With `log_backlog`: bytes that wait.
        above_bytes: Size<u64> = "64MiB" in 0..=1 << 50;
    }
}
