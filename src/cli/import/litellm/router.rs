//! `router_settings` and what of `litellm_settings` stands in its place: retries, timeouts, the
//! breaker, fallbacks and aliases.
//!
//! Pure.

use super::super::findings::Findings;
use super::super::output::Output;
use super::super::tree::At;
use super::models::Models;

/// The two sections, the stronger one first.
pub(crate) struct Sections<'n> {
    pub(crate) router: Option<At<'n>>,
    pub(crate) general: Option<At<'n>>,
}

impl<'n> Sections<'n> {
    /// A key of either section. A weaker one that does not count has its finding.
    fn take(&self, name: &str, findings: &mut Findings) -> Option<At<'n>> {
        let here = self.router.as_ref().and_then(|at| at.get(name));
        let there = self.general.as_ref().and_then(|at| at.get(name));
        if let (Some(_), Some(there)) = (&here, &there) {
            findings.unsupported(there, &format!("`router_settings.{name}` overrides it"));
        }
        here.or(there)
    }
}

/// Groups by another name.
pub(crate) type Aliases = Vec<(String, String)>;

/// Reads both sections.
pub(crate) fn read(
    sections: &Sections<'_>,
    models: &mut Models,
    output: &mut Output,
    findings: &mut Findings,
) -> Aliases {
    retries(sections, output, findings);
    timeouts(sections, output, findings);
    breaker(sections, output, findings);
    store(sections, output, findings);
    fallbacks(sections, models, findings);
    strategy(sections, findings);
    aliases(sections, models, findings)
}

fn retries(sections: &Sections<'_>, output: &mut Output, findings: &mut Findings) {
    if let Some(at) = sections.take("num_retries", findings) {
        match at.number() {
            Some(number) if number <= 10.0 && number.fract() == 0.0 => {
                findings.exact(&at, "retry.max_retries");
                output.set("retry.max_retries", whole(number));
            }
            Some(_) => {
                findings.approximate(&at, "retry.max_retries", "10 is the most here");
                output.set("retry.max_retries", 10);
            }
            None => findings.unsupported(&at, "not a number; set `retry.max_retries`"),
        }
    }
    if let Some(at) = sections.take("retry_after", findings) {
        match at.number() {
            Some(seconds) if seconds > 0.0 => {
                findings.approximate(&at, "retry.base_delay", "it doubles with each retry");
                let ms = whole((seconds.min(60.0) * 1_000.0).round()).max(1);
                output.set("retry.base_delay", format!("{ms}ms"));
                // The longest wait must not be below the first.
                output.set("retry.max_delay", format!("{}ms", ms.max(8_000)));
            }
            _ => findings.approximate(&at, "retry.base_delay", "no wait is not offered here"),
        }
    }
    if let Some(at) = sections.take("retry_policy", findings) {
        findings.unsupported(&at, "retries are the same for all errors that may pass");
    }
}

fn timeouts(sections: &Sections<'_>, output: &mut Output, findings: &mut Findings) {
    for name in ["timeout", "request_timeout"] {
        let Some(at) = sections.take(name, findings) else { continue };
        match at.seconds() {
            Some(time) if !output.has("timeouts.total") => {
                findings.exact(&at, "timeouts.total");
                output.set("timeouts.total", time);
            }
            Some(_) => findings.unsupported(&at, "another timeout counts before it"),
            None => findings.unsupported(&at, "not a number of seconds; set `timeouts.total`"),
        }
    }
    if let Some(at) = sections.take("stream_timeout", findings) {
        match at.seconds() {
            Some(time) => {
                let message = "for calls that are not streamed, too";
                findings.approximate(&at, "timeouts.first_byte", message);
                output.set("timeouts.first_byte", time);
            }
            None => findings.unsupported(&at, "not a number of seconds; set `timeouts.first_byte`"),
        }
    }
}

fn breaker(sections: &Sections<'_>, output: &mut Output, findings: &mut Findings) {
    let to = "breaker.consecutive_failures";
    let per_caller = "failures of one caller in a row; the circuit is the caller's";
    if let Some(at) = sections.take("allowed_fails", findings) {
        let number = at.number().map(|number| whole(number.clamp(0.0, 999_999.0)) + 1);
        match number {
            Some(number) => {
                findings.approximate(&at, to, per_caller);
                output.set(to, number);
            }
            None => findings.unsupported(&at, "not a number; set `breaker.consecutive_failures`"),
        }
    }
    if let Some(at) = sections.take("cooldown_time", findings) {
        match at.number() {
            Some(seconds) => {
                findings.approximate(&at, "breaker.open_for", "then one call tries again");
                let ms = whole((seconds * 1_000.0).clamp(1.0, 3_600_000.0));
                output.set("breaker.open_for", format!("{ms}ms"));
            }
            None => findings.unsupported(&at, "not a number of seconds; set `breaker.open_for`"),
        }
    }
    if let Some(at) = sections.take("disable_cooldowns", findings) {
        if at.switch() == Some(true) {
            findings.approximate(&at, "breaker", "bounds that are hardly ever reached");
            output.set(to, 1_000_000);
            output.set("breaker.error_percent", 100);
        } else {
            findings.exact(&at, "breaker");
        }
    }
    if let Some(at) = sections.take("allowed_fails_policy", findings) {
        findings.unsupported(&at, "failures of all kinds count alike; see `breaker`");
    }
}

fn store(sections: &Sections<'_>, output: &mut Output, findings: &mut Findings) {
    let Some(router) = &sections.router else { return };
    let keys = ["redis_url", "redis_host", "redis_port", "redis_password", "redis_db"];
    let given: Vec<At<'_>> = keys.iter().filter_map(|key| router.get(key)).collect();
    if given.is_empty() {
        return;
    }
    for at in &given {
        let message = "here it keeps the counters of limits; LiteLLM shares the state of routing";
        findings.approximate(at, "limits_store", message);
    }
    let text = |key: &str| router.get(key).and_then(|at| at.text());
    if let Some(url) = text("redis_url") {
        output.set("limits_store", url);
    } else if let Some(host) = text("redis_host") {
        let password = text("redis_password").map(|text| format!(":{text}@")).unwrap_or_default();
        let port = text("redis_port").unwrap_or_else(|| "6379".to_owned());
        let database = text("redis_db").map(|text| format!("/{text}")).unwrap_or_default();
        output.set("limits_store", format!("redis://{password}{host}:{port}{database}"));
    }
}

fn fallbacks(sections: &Sections<'_>, models: &mut Models, findings: &mut Findings) {
    if let Some(at) = sections.take("fallbacks", findings) {
        findings.unit(&at);
        let (mut is_exact, mut unknown) = (true, Vec::new());
        for (name, others) in at.list().iter().flat_map(At::entries) {
            let others = others.texts();
            unknown.extend(
                others.iter().filter(|o| !models.groups.iter().any(|g| g.name == **o)).cloned(),
            );
            let single = |name: &str| {
                models.groups.iter().any(|group| group.name == name && group.targets.len() == 1)
            };
            is_exact &=
                others.len() == 1 && others.iter().all(|other| single(other)) && single(name);
            match models.groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.fallbacks.extend(others),
                None => unknown.push(name.to_owned()),
            }
        }
        let to = "routing.models[].to";
        if !unknown.is_empty() {
            let message =
                format!("left out, because they are no models here: {}", unknown.join(", "));
            findings.approximate(&at, to, &message);
        } else if is_exact {
            findings.exact(&at, to);
        } else {
            findings.approximate(&at, to, "later targets; all of a group at once");
        }
    }
    if let Some(at) = sections.take("default_fallbacks", findings) {
        findings.unit(&at);
        findings.approximate(&at, "routing.models[].to", "behind the targets of each rule");
        let others = at.texts();
        for group in &mut models.groups {
            let name = group.name.clone();
            group.fallbacks.extend(others.iter().filter(|other| **other != name).cloned());
        }
    }
    for name in ["context_window_fallbacks", "content_policy_fallbacks"] {
        if let Some(at) = sections.take(name, findings) {
            findings.unsupported(&at, "errors are not told apart by what a provider says in them");
        }
    }
}

fn strategy(sections: &Sections<'_>, findings: &mut Findings) {
    let Some(at) = sections.take("routing_strategy", findings) else { return };
    let to = "routing.models[].to[].weight";
    match at.raw().unwrap_or_default() {
        "simple-shuffle" => findings.approximate(&at, to, "shares instead of chance"),
        "least-busy" => findings.exact(&at, to),
        _ => findings.unsupported(&at, "targets share calls by weight, or are tried in order"),
    }
}

fn aliases(sections: &Sections<'_>, models: &Models, findings: &mut Findings) -> Aliases {
    let Some(at) = sections.take("model_group_alias", findings) else { return Vec::new() };
    let mut aliases = Vec::new();
    for (alias, value) in at.entries() {
        let named = value.get("model").unwrap_or_else(|| value.clone());
        let name = named.text().unwrap_or_default();
        if !models.groups.iter().any(|group| group.name == name) {
            findings.unsupported(&value, "there is no model of this name here");
            continue;
        }
        findings.exact(&named, "routing.models[].match");
        if let Some(hidden) = value.get("hidden") {
            findings.unsupported(&hidden, "`GET /v1/models` lists every rule without a pattern");
        }
        aliases.push((alias.to_owned(), name));
    }
    aliases
}

fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in a range")]
    let whole = number.max(0.0) as u64;
    whole
}
