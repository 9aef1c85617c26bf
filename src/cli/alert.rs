//! `tollgate alert test`: sends a test to a webhook of the configuration.
//!
//! Needs no gateway. Does not: look at rules, or remember anything.

use super::print;
use crate::alerts::Alerts;
use crate::config::policy::Policy;
use crate::failure::Failure;
use crate::metrics::Metrics;

/// Arguments of `tollgate alert`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Send a test message to a webhook, or to the webhooks of a rule
    #[command(after_help = "Example:\n  tollgate alert test ops")]
    Test {
        /// Name of a webhook or a rule
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Sends it, and prints a line for each webhook.
///
/// # Errors
/// There is none of that name, or one did not take it.
pub fn run(args: &Args, policy: &Policy) -> Result<(), Failure> {
    let Command::Test { name } = &args.command;
    let rules = policy.alerts.as_deref();
    let names = || {
        let known = rules.iter().flat_map(|rules| &rules.webhooks).map(|webhook| &*webhook.name);
        known.collect::<Vec<_>>().join(", ")
    };
    let none = || {
        let known = names();
        let known =
            if known.is_empty() { "there is none".to_owned() } else { format!("there is {known}") };
        Failure::User(format!("alerts: no webhook or rule is called `{name}`; {known}"))
    };
    let rules = rules.ok_or_else(none)?;
    let runtime = super::serve::runtime()?;
    let alerts = Alerts::new(std::path::Path::new("."), Metrics::new());
    let tested = runtime.block_on(alerts.test(rules, name, &policy.egress)).ok_or_else(none)?;
    let mut lines = String::new();
    for tested in &tested {
        let told = match &tested.result {
            Ok(status) if tested.is_delivered() => format!("delivered (status {status})"),
            Ok(status) => format!("not delivered: status {status}, and only 2xx is a delivery"),
            Err(error) => format!("not delivered: {error}"),
        };
        lines.push_str(&format!("{}: {told}\n", tested.webhook));
    }
    print::raw(&lines)?;
    if tested.iter().all(crate::alerts::Tested::is_delivered) {
        return Ok(());
    }
    Err(Failure::User(String::new()))
}
