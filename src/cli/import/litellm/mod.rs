//! From a configuration of LiteLLM's proxy to a policy.
//!
//! Pure. Guarantees: every key of the input has a finding; the policy passes `check` once the
//! variables are set that it names. Does not: read LiteLLM's database, which has its keys.
//!
//! # Source
//! LiteLLM's pages `config_settings`, `configs`, `load_balancing`, `reliability`, `token_auth`,
//! `users` and `guardrails/pii_masking_v2`, read November 2026.

mod guardrails;
mod models;
mod prices;
mod providers;
mod router;
mod settings;

use serde_json::json;

use super::findings::{Finding, Findings};
use super::output::Output;
use super::tree::At;
use crate::config::Node;
use models::Shared;
use router::Sections;

/// The policy and what became of each key; `None` without a `model_list`.
pub(crate) fn import(node: &Node) -> Option<(Output, Vec<Finding>)> {
    let top = At::top(node);
    let list = top.get("model_list").filter(|list| !list.list().is_empty())?;
    let (mut output, mut findings) = (Output::default(), Findings::default());
    let mut shared = Shared { credentials: credentials(&top, &mut findings), ..Shared::default() };
    let mut models = models::read(&list, &mut shared, &mut findings);
    models::weigh(&list, &mut models);
    let sections =
        Sections { router: top.get("router_settings"), general: top.get("litellm_settings") };
    let aliases = router::read(&sections, &mut models, &mut output, &mut findings);
    if let Some(at) = &sections.general {
        settings::of_litellm(at, &mut models, &mut output, &mut findings);
    }
    let environment = top.get("environment_variables");
    settings::of_general(
        top.get("general_settings").as_ref(),
        environment.as_ref(),
        &mut output,
        &mut findings,
    );
    if let Some(at) = top.get("guardrails") {
        guardrails::read(&at, &mut output, &mut findings);
    }
    if let Some(drops) = models.drops_params {
        output.set("routing.on_loss", if drops { "note" } else { "refuse" });
    }
    models::write(&models, &aliases, &mut output);
    let prices = shared.prices.all();
    if !prices.is_empty() {
        output.set("prices", json!(prices));
    }
    for (name, provider) in shared.names.all() {
        output.set(&format!("providers.{name}"), provider);
    }
    Some((output, findings.finish(&top)))
}

/// The named credentials.
fn credentials<'n>(top: &At<'n>, findings: &mut Findings) -> Vec<(String, At<'n>)> {
    let Some(list) = top.get("credential_list") else { return Vec::new() };
    let mut found = Vec::new();
    for at in list.list() {
        let (Some(name), Some(values)) = (at.get("credential_name"), at.get("credential_values"))
        else {
            continue;
        };
        findings.exact(&name, "providers");
        found.push((name.text().unwrap_or_default(), values));
    }
    found
}
