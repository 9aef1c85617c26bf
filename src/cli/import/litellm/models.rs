//! `model_list`: deployments become targets, groups become rules.
//!
//! Pure.

use serde_json::{Map, Value as Json, json};

use super::super::findings::Findings;
use super::super::output::Output;
use super::super::tree::At;
use super::prices::Prices;
use super::providers::{Names, Params, provider, vendor};

/// A deployment that can be used here.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    provider: String,
    /// As the provider knows it; `None` for any.
    model: Option<String>,
    first_byte: Option<String>,
    weight: Option<f64>,
    order: Option<f64>,
}

/// A group of deployments.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
    /// Groups that are asked when these fail.
    pub(crate) fallbacks: Vec<String>,
}

/// The groups in their order, and what a switch in one of them means for all.
#[derive(Default)]
pub(crate) struct Models {
    pub(crate) groups: Vec<Group>,
    pub(crate) drops_params: Option<bool>,
}

/// Keys of a deployment that mean nothing here, and what to do instead.
const NOT_HERE: &[(&str, &str)] = &[
    ("max_retries", "retries are the same for all targets; see `retry.max_retries`"),
    ("tags", "Tollgate does not route by tags; give the model a name of its own"),
    ("itpm", "a provider's capacity is not limited here; see `limits` for those of callers"),
    ("otpm", "a provider's capacity is not limited here; see `limits` for those of callers"),
    ("max_parallel_requests", "a provider's capacity is not limited here"),
    ("max_budget", "money is limited for callers, not for providers; see `limits`"),
    ("budget_duration", "money is limited for callers, not for providers; see `limits`"),
    ("azure_ad_token", "a token ends; use `auth: {type: entra}` with a secret or an identity"),
    ("aws_role_name", "use `auth.credentials: web_identity`, or keys of the role"),
    ("aws_session_name", "use `auth.credentials: web_identity`, or keys of the role"),
    ("aws_profile_name", "profiles of AWS are not read; give keys or `auth.credentials`"),
    ("mock_response", "run `tollgate mock` for answers without a provider"),
    ("organization", "set the header at the application, and name it in `forward_headers`"),
    ("extra_headers", "applications set headers; see `providers.*.forward_headers`"),
];
const DEFAULTS: &str = "this is a default of requests; set it in the application";
const DEFAULT_KEYS: &[&str] = &[
    "temperature",
    "max_tokens",
    "seed",
    "stop",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
];

/// The settings that deployments share.
#[derive(Default)]
pub(crate) struct Shared<'n> {
    /// Credentials by name.
    pub(crate) credentials: Vec<(String, At<'n>)>,
    pub(crate) names: Names,
    pub(crate) prices: Prices,
}

/// Reads all deployments.
pub(crate) fn read<'n>(list: &At<'n>, shared: &mut Shared<'n>, findings: &mut Findings) -> Models {
    let mut models = Models::default();
    for at in list.list() {
        let Some(params) = at.get("litellm_params").filter(At::is_map) else {
            findings.unsupported(&at, "there are no `litellm_params`; the model is left out");
            continue;
        };
        let Some(name) = at.get("model_name").and_then(|name| Some((name.clone(), name.text()?)))
        else {
            findings.unsupported(&at, "there is no `model_name`; the model is left out");
            continue;
        };
        if let Some(target) = deployment(&at, &name.1, params, shared, findings) {
            findings.exact(&name.0, "routing.models[].match");
            if let Some(drops) = target.1 {
                models.drops_params = Some(drops);
            }
            match models.groups.iter_mut().find(|group| group.name == name.1) {
                Some(group) => group.targets.push(target.0),
                None => models.groups.push(Group {
                    name: name.1,
                    targets: vec![target.0],
                    fallbacks: Vec::new(),
                }),
            }
        }
    }
    share(list, &models.groups, findings);
    models
}

/// One deployment; and its `drop_params`.
fn deployment<'n>(
    at: &At<'n>,
    name: &str,
    own: At<'n>,
    shared: &mut Shared<'n>,
    findings: &mut Findings,
) -> Option<(Target, Option<bool>)> {
    let model_at = own.get("model");
    let Some((model_at, model)) = model_at.and_then(|at| Some((at.clone(), at.raw()?.to_owned())))
    else {
        findings.unsupported(at, "there is no `model`; the model is left out");
        return None;
    };
    let custom = own.get("custom_llm_provider");
    let Some((vendor, rest)) = vendor(&model, custom.as_ref().and_then(At::raw)) else {
        let prefix = model.split('/').next().unwrap_or_default();
        findings.unsupported(
            at,
            &format!("there is no provider `{prefix}` here; the model is left out"),
        );
        return None;
    };
    if rest.contains('*') && rest != name && name != "*" && rest != "*" {
        findings
            .unsupported(at, "the pattern changes the name of the model; the model is left out");
        return None;
    }
    if rest == "*" && name.contains('/') {
        let message = "names with a prefix are not changed here; use the names of the provider, \
            and `match` without the prefix";
        findings.unsupported(at, message);
        return None;
    }
    let (params, wish) = with_credential(own.clone(), vendor.name(), &shared.credentials, findings);
    let made = provider(vendor, &rest, &params, findings)?;
    if let Some(custom) = custom {
        findings.exact(&custom, "providers.*.kind");
    }
    findings.exact(&model_at, "routing.models[].to[].model");
    let provider = shared.names.of(made.provider, &wish);
    let model = Some(made.model).filter(|model| !model.contains('*'));
    shared.prices.of(at, &own, (&provider, model.as_deref()), findings);
    let mut target = Target { provider, model, first_byte: None, weight: None, order: None };
    let drops = others(&own, &mut target, findings);
    Some((target, drops))
}

/// The parameters that say nothing of the provider; returns `drop_params`.
fn others(own: &At<'_>, target: &mut Target, findings: &mut Findings) -> Option<bool> {
    let mut drops = None;
    for (key, at) in own.entries() {
        match key {
            "timeout" | "stream_timeout" => {
                if let Some(seconds) = at.seconds() {
                    let to = "routing.models[].to[].timeouts.first_byte";
                    findings.approximate(
                        &at,
                        to,
                        "it is the longest time to the head of the answer",
                    );
                    target.first_byte = Some(seconds);
                }
            }
            "weight" => target.weight = at.number(),
            "order" => target.order = at.number(),
            "drop_params" => drops = drop_params(&at, findings),
            _ if DEFAULT_KEYS.contains(&key) => findings.unsupported(&at, DEFAULTS),
            _ => {
                if let Some((_, message)) = NOT_HERE.iter().find(|(known, _)| *known == key) {
                    findings.unsupported(&at, message);
                }
            }
        }
    }
    drops
}

/// `drop_params` as `routing.on_loss`.
pub(crate) fn drop_params(at: &At<'_>, findings: &mut Findings) -> Option<bool> {
    let drops = at.switch()?;
    let message =
        "it holds for all models, and for fields that a target of another format cannot express";
    findings.approximate(at, "routing.on_loss", message);
    Some(drops)
}

/// The parameters with those of the credential that they name, and the name of the provider.
fn with_credential<'n>(
    own: At<'n>,
    vendor: &str,
    credentials: &[(String, At<'n>)],
    findings: &mut Findings,
) -> (Params<'n>, String) {
    let Some(named) = own.get("litellm_credential_name") else {
        return (Params { own, shared: None }, vendor.to_owned());
    };
    let name = named.text().unwrap_or_default();
    let mut found = credentials.iter().filter(|(known, _)| *known == name);
    match (found.next(), found.next()) {
        (Some((_, values)), None) => {
            let is_overridden = values.entries().iter().any(|(key, _)| own.get(key).is_some());
            if is_overridden {
                let message = "values of the model override those of the credential";
                findings.approximate(&named, "providers", message);
            } else {
                findings.exact(&named, "providers");
            }
            (Params { own, shared: Some(values.clone()) }, name)
        }
        (None, _) => {
            findings.unsupported(&named, "there is no credential of this name; the model has none");
            (Params { own, shared: None }, vendor.to_owned())
        }
        (Some(_), Some(_)) => {
            findings.unsupported(&named, "several credentials have this name; the model has none");
            (Params { own, shared: None }, vendor.to_owned())
        }
    }
}

/// The meaning of `rpm`, `tpm`, `weight` and `order`: shares of a group.
fn share(list: &At<'_>, groups: &[Group], findings: &mut Findings) {
    for at in list.list() {
        let name = at.get("model_name").and_then(|at| at.text()).unwrap_or_default();
        let Some(group) = groups.iter().find(|group| group.name == name) else { continue };
        let Some(params) = at.get("litellm_params") else { continue };
        let to = "routing.models[].to[].weight";
        let is_alone = group.targets.len() < 2;
        for key in ["rpm", "tpm"] {
            let Some(at) = params.get(key) else { continue };
            if is_alone {
                let message = "a provider's capacity is not limited here; see `limits` for callers";
                findings.unsupported(&at, message);
            } else {
                findings.approximate(&at, to, "it is a share of the calls, not a limit");
            }
        }
        if let Some(at) = params.get("weight") {
            findings.exact(&at, to);
        }
        if let Some(at) = params.get("order") {
            findings.approximate(
                &at,
                to,
                "later targets get only calls that failed at earlier ones",
            );
        }
    }
}

/// The capacity of each deployment, as its weight.
pub(crate) fn weigh(list: &At<'_>, models: &mut Models) {
    let capacities: Vec<(String, Option<f64>, Option<f64>)> = list
        .list()
        .iter()
        .filter_map(|at| {
            let params = at.get("litellm_params")?;
            let number = |key: &str| params.get(key).and_then(|at| at.number());
            Some((at.get("model_name")?.text()?, number("rpm"), number("tpm")))
        })
        .collect();
    for group in &mut models.groups {
        let of_group: Vec<_> = capacities.iter().filter(|(name, ..)| *name == group.name).collect();
        // Some of them may have been left out; then none can be told apart.
        if of_group.len() != group.targets.len() || group.targets.iter().any(|t| t.weight.is_some())
        {
            continue;
        }
        for pick in [1, 2] {
            let numbers: Option<Vec<f64>> =
                of_group.iter().map(|(_, rpm, tpm)| if pick == 1 { *rpm } else { *tpm }).collect();
            if let Some(numbers) = numbers {
                for (target, number) in group.targets.iter_mut().zip(numbers) {
                    target.weight = Some(number);
                }
                break;
            }
        }
    }
}

/// Writes the rules: exact names first, then patterns in their order.
pub(crate) fn write(models: &Models, aliases: &[(String, String)], output: &mut Output) {
    let mut groups: Vec<(String, &Group)> =
        models.groups.iter().map(|group| (group.name.clone(), group)).collect();
    for (alias, name) in aliases {
        if let Some(group) = models.groups.iter().find(|group| group.name == *name) {
            groups.retain(|(known, _)| known != alias);
            groups.push((alias.clone(), group));
        }
    }
    groups.sort_by_key(|(name, _)| name.contains('*'));
    let rules: Vec<Json> = groups
        .into_iter()
        .map(|(name, group)| json!({"match": name, "to": targets(&name, group, &models.groups)}))
        .collect();
    output.set("routing.models", rules);
    output.set("routing.default", json!([]));
}

/// The targets of a group, and those of its fallbacks behind them.
fn targets(name: &str, group: &Group, groups: &[Group]) -> Vec<Json> {
    let weights = weights(&group.targets);
    let later: Vec<&Target> = group
        .fallbacks
        .iter()
        .filter_map(|name| groups.iter().find(|group| group.name == *name))
        .flat_map(|group| &group.targets)
        .collect();
    let own = group.targets.iter().zip(&weights).map(|(target, weight)| {
        let weight = Some(*weight).filter(|_| weights.len() > 1);
        shown(target, name, weight)
    });
    let own: Vec<Json> = own.collect();
    let later = later.into_iter().map(|target| {
        let weight = Some(0).filter(|_| weights.len() > 1);
        shown(target, name, weight)
    });
    let mut all = own;
    for target in later {
        if !all.contains(&target) {
            all.push(target);
        }
    }
    all
}

fn shown(target: &Target, name: &str, weight: Option<u64>) -> Json {
    let mut made = Map::new();
    made.insert("provider".to_owned(), json!(target.provider));
    if let Some(model) = target.model.as_ref().filter(|model| *model != name) {
        made.insert("model".to_owned(), json!(model));
    }
    if let Some(weight) = weight {
        made.insert("weight".to_owned(), json!(weight));
    }
    if let Some(time) = &target.first_byte {
        made.insert("timeouts".to_owned(), json!({"first_byte": time}));
    }
    if made.len() == 1 { json!(target.provider) } else { Json::Object(made) }
}

/// Whole weights. Only the first order takes calls at once.
fn weights(targets: &[Target]) -> Vec<u64> {
    const MOST: f64 = 1_000.0;
    let first = targets.iter().filter_map(|target| target.order).fold(f64::INFINITY, f64::min);
    let given: Vec<f64> = targets.iter().map(|target| target.weight.unwrap_or(1.0)).collect();
    let most = given.iter().copied().fold(0.0, f64::max);
    let are_small = given.iter().all(|weight| weight.fract() == 0.0 && *weight <= MOST);
    let whole = |weight: f64| {
        let scaled =
            if are_small || most == 0.0 { weight } else { (weight / most * MOST).max(1.0) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 1,000"
        )]
        let rounded = scaled.round() as u64;
        rounded
    };
    let shares = targets.iter().zip(given).map(|(target, weight)| {
        let is_later = first.is_finite() && target.order.is_none_or(|order| order > first);
        if is_later { 0 } else { whole(weight) }
    });
    let shares: Vec<u64> = shares.collect();
    // One has to take calls.
    if shares.iter().all(|share| *share == 0) { vec![1; shares.len()] } else { shares }
}
