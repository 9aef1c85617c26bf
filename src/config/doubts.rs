//! Settings that have no effect or cannot be meant: rules that are never reached, limits that
//! contradict each other, patterns that match everything, secrets in clear.
//!
//! Pure. Works on the values as operators see them, and on the patterns of redaction. Does not:
//! refuse anything; what cannot work is a problem (see `check`), what is risky a warning of `warn`.

use serde_json::Value as Json;

use super::effective::Effective;
use super::sections::{RawPolicy, RawRules};
use crate::glob;

/// The limits that a narrower limit cannot exceed.
const LIMITS: [&str; 5] =
    ["requests_per_minute", "tokens_per_minute", "calls_in_flight", "usd_per_day", "usd_per_month"];
/// Parts of a pattern that stand for any character.
const ANY: &[&str] = &[
    ".",
    "\\w",
    "\\S",
    "\\D",
    "[^ ]",
    "[^\\s]",
    "[\\s\\S]",
    "[\\S\\s]",
    "[\\w\\W]",
    "[\\d\\D]",
    "[a-z]",
    "[A-Z]",
    "[a-zA-Z]",
    "[A-Za-z]",
    "[a-zA-Z0-9]",
    "[A-Za-z0-9]",
    "[0-9a-zA-Z]",
    "\\p{L}",
    ".|\\n",
    "[[:alpha:]]",
    "[[:alnum:]]",
];

/// `key: what is doubtful; what to do` for each.
pub(crate) fn doubts(raw: &RawPolicy, policy: &Json, effective: &Effective) -> Vec<String> {
    let mut list = Vec::new();
    routes(&policy["routing"]["models"], &mut list);
    targets(policy, &mut list);
    limits("limits", &policy["limits"], None, &mut list);
    for (org, own) in policy["limits"]["orgs"].as_object().into_iter().flatten() {
        limits(&format!("limits.orgs.{org}"), own, Some(&policy["limits"]), &mut list);
    }
    rules("redaction", &raw.redaction.value.base, &policy["redaction"], &mut list);
    for (org, own) in &raw.redaction.value.orgs {
        let org = org.as_str();
        let shown = &policy["redaction"]["orgs"][org];
        // Inherited values are reported once.
        let mut of_org = Vec::new();
        rules("redaction", &own.value, shown, &mut of_org);
        let known = |text: &String| list.contains(text);
        let own: Vec<String> = of_org.into_iter().filter(|text| !known(text)).collect();
        let prefix = format!("redaction.orgs.{org}");
        list.extend(own.into_iter().map(|text| text.replacen("redaction", &prefix, 1)));
    }
    // The key of a server on this machine is no secret.
    let is_here = |key: &str| {
        let name = key.strip_prefix("providers.").and_then(|rest| rest.split('.').next());
        let url = name.and_then(|name| policy["providers"][name]["base_url"].as_str());
        let host = url.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
        ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here))
    };
    for setting in effective.secrets_in_clear().filter(|setting| !is_here(&setting.key)) {
        list.push(format!(
            "{}: the secret stands in clear in this file; write ${{NAME}} or {{file: PATH}}, and \
             change the secret if others could read the file",
            setting.key
        ));
    }
    list
}

/// Rules behind a rule that matches all of their models.
fn routes(models: &Json, list: &mut Vec<String>) {
    let patterns: Vec<&str> =
        models.as_array().into_iter().flatten().filter_map(|rule| rule["match"].as_str()).collect();
    for (at, pattern) in patterns.iter().enumerate() {
        // A `*` in the pattern itself is a character that only another `*` matches.
        let before = patterns[..at].iter().position(|earlier| glob::matches(earlier, pattern));
        if let Some(earlier) = before {
            list.push(format!(
                "routing.models[{at}].match: `{pattern}` is never reached, because `{}` before it \
                 matches the same models; move this rule up, or remove it",
                patterns[earlier]
            ));
        }
    }
}

/// Providers that no route leads to.
fn targets(policy: &Json, list: &mut Vec<String>) {
    let name = |to: &Json| match to {
        Json::String(name) => name.clone(),
        to => to["provider"].as_str().unwrap_or_default().to_owned(),
    };
    let routing = &policy["routing"];
    let rules = routing["models"].as_array().into_iter().flatten().map(|rule| &rule["to"]);
    let mut used = vec![policy["intent"]["provider"].as_str().unwrap_or_default().to_owned()];
    for targets in rules.chain([&routing["default"]]) {
        used.extend(targets.as_array().into_iter().flatten().map(name));
    }
    for provider in policy["providers"].as_object().into_iter().flatten().map(|(name, _)| name) {
        if !used.contains(provider) {
            list.push(format!(
                "providers.{provider}: no route leads to this provider; name it in \
                 `routing.default` or in a rule of `routing.models`, or remove it"
            ));
        }
    }
}

/// An amount or a number, unless the limit is off.
fn amount(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// Limits that another one makes pointless. `base`: those of all organisations, which are told
/// themselves.
fn limits(path: &str, own: &Json, base: Option<&Json>, list: &mut Vec<String>) {
    let mut add = |keys: [&[&str]; 2], text: String| {
        let at = |json: &Json, keys: &[&str]| {
            keys.iter().fold(json.clone(), |json, key| match key.parse::<usize>() {
                Ok(index) => json[index].clone(),
                Err(_) => json[*key].clone(),
            })
        };
        let is_inherited =
            base.is_some_and(|base| keys.iter().all(|keys| at(own, keys) == at(base, keys)));
        if !is_inherited {
            list.push(text);
        }
    };
    for limit in LIMITS {
        let Some(whole) = amount(&own[limit]) else { continue };
        for part in ["each_key", "each_user"] {
            if amount(&own[part][limit]).is_some_and(|part| part > whole) {
                let text = format!(
                    "{path}.{part}.{limit}: {} is never reached, because `{path}.{limit}` is {} for \
                     all callers together; lower it, or set it to off",
                    shown(&own[part][limit]),
                    shown(&own[limit])
                );
                add([&[part, limit], &[limit]], text);
            }
        }
        for (at, model) in own["models"].as_array().into_iter().flatten().enumerate() {
            if amount(&model[limit]).is_some_and(|part| part > whole) {
                let text = format!(
                    "{path}.models[{at}].{limit}: {} is never reached, because `{path}.{limit}` is \
                     {} for all models together; lower it, or set it to off",
                    shown(&model[limit]),
                    shown(&own[limit])
                );
                add([&["models", &at.to_string(), limit], &[limit]], text);
            }
        }
    }
    if let (Some(day), Some(month)) = (amount(&own["usd_per_day"]), amount(&own["usd_per_month"]))
        && day > month
    {
        let text = format!(
            "{path}.usd_per_day: {} a day is more than the {} of a whole month; lower it, or raise \
             `usd_per_month`",
            shown(&own["usd_per_day"]),
            shown(&own["usd_per_month"])
        );
        add([&["usd_per_day"], &["usd_per_month"]], text);
    }
    if own["strict"] == Json::Bool(true)
        && amount(&own["burst"]) > amount(&own["requests_per_minute"])
    {
        let text = format!(
            "{path}.burst: {} is never reached, because `strict` lets no more than {} calls pass in \
             a minute; lower it, or remove `strict`",
            shown(&own["burst"]),
            shown(&own["requests_per_minute"])
        );
        add([&["burst"], &["requests_per_minute"]], text);
    }
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Entities that an action makes pointless, and patterns that match everything.
fn rules(path: &str, raw: &RawRules, shown: &Json, list: &mut Vec<String>) {
    let entities: Vec<&str> = raw.entities.value.iter().map(|entity| &*entity.value.0).collect();
    for (at, entity) in entities.iter().enumerate() {
        if shown["actions"][entity] == "count" {
            list.push(format!(
                "{path}.entities[{at}]: `{entity}` is only counted and reaches the provider, \
                    because \
                 `{path}.actions.{entity}` is count; remove that action, or the entity here"
            ));
        }
    }
    let masks = |entity: &&str| shown["actions"].get(entity).is_none_or(|action| *action == "mask");
    if raw.restore.value && !entities.is_empty() && !entities.iter().any(masks) {
        list.push(format!(
            "{path}.restore: nothing is restored, because `{path}.actions` masks none of the \
                entities; \
             remove this key, or an action"
        ));
    }
    for (at, custom) in raw.custom.value.iter().enumerate() {
        if matches_everything(&custom.pattern.value.0) {
            list.push(format!(
                "{path}.custom[{at}].pattern: it matches every word, so nothing of a prompt is left; \
                 write what the values have in common, such as TCK-[0-9]{{6}}"
            ));
        }
    }
}

/// Whether a pattern stands for any text, however it is written.
fn matches_everything(pattern: &str) -> bool {
    let mut rest = pattern.trim();
    loop {
        let before = rest;
        for (open, close) in [("(?:", ")"), ("(", ")")] {
            if let Some(inner) = rest.strip_prefix(open).and_then(|rest| rest.strip_suffix(close))
                && !inner.contains(['(', ')'])
            {
                rest = inner;
            }
        }
        for flags in ["(?i)", "(?s)", "(?is)", "(?si)", "(?u)", "^", "\\b", "\\A"] {
            rest = rest.strip_prefix(flags).unwrap_or(rest);
        }
        for end in ["+?", "*?", "+", "*", "$", "\\b", "\\z", "{1,}", "{0,}"] {
            // `\\+` is a plus sign.
            rest = rest.strip_suffix(end).filter(|rest| !rest.ends_with('\\')).unwrap_or(rest);
        }
        if rest == before {
            return ANY.contains(&rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_for_everything_are_known_in_many_forms() {
        for pattern in [
            ".",
            ".+",
            ".*",
            "^.*$",
            "(.+)",
            "(?s).+",
            "\\w+",
            "\\b\\w+\\b",
            "\\S+",
            "[\\s\\S]+",
            "(?i)[a-z]+",
            "[A-Za-z0-9]{1,}",
            "(?:.|\\n)+",
            "^(\\w+)$",
            "[^\\s]+?",
        ] {
            assert!(matches_everything(pattern), "{pattern}");
        }
        for pattern in
            ["TCK-[0-9]{6}", "\\d+", "[a-z]+@x", "\\.+", "a.+", ".{40}", "[A-Z]{3}", "\\w+-\\d+"]
        {
            assert!(!matches_everything(pattern), "{pattern}");
        }
    }
}
