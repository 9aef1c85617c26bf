//! `redaction`, `limits` and `features`, checked: the sections that organisations may have their own version of.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::super::place::{Problems, suggest};
use super::super::policy::{Features, Limits, RedactionPolicy};
use super::super::raw::{RawFeatures, RawLimits, RawRules};
use super::super::shape::{At, PerOrg};
use super::{in_range, label};
use crate::limit::bucket::Quota;
use crate::redact::{CustomSpec, ENTITIES, Rules, RulesError, RulesSpec, TermsSpec};

const REQUESTS_PER_MINUTE_MAX: u64 = 10_000_000;
/// `strict` remembers every call of the last minute.
const STRICT_REQUESTS_PER_MINUTE_MAX: u64 = 10_000;

pub(super) fn limits(raw: &PerOrg<RawLimits>, problems: &mut Problems) -> Option<Limits> {
    let default = quota(&raw.base, problems);
    let mut orgs = HashMap::with_capacity(raw.orgs.len());
    for (org, own) in &raw.orgs {
        orgs.insert(org.clone(), quota(own, problems));
    }
    let orgs = orgs.into_iter().map(|(org, quota)| Some((org, quota?))).collect::<Option<HashMap<_, _>>>();
    Some(Limits { default: default?, orgs: orgs? })
}

fn quota(raw: &RawLimits, problems: &mut Problems) -> Option<Quota> {
    let most = if raw.strict.value { STRICT_REQUESTS_PER_MINUTE_MAX } else { REQUESTS_PER_MINUTE_MAX };
    let rate = in_range(&raw.requests_per_minute, 1..=most, problems);
    let burst = in_range(&raw.burst, 1..=REQUESTS_PER_MINUTE_MAX, problems);
    Some(Quota::new(NonZeroU32::new(rate?)?, NonZeroU32::new(burst?)?, raw.strict.value))
}

pub(super) fn features(raw: &PerOrg<RawFeatures>) -> Features {
    Features {
        ai_intent_enabled: raw.base.ai_intent_enabled.value,
        ai_intent_orgs: raw.orgs.iter().map(|(org, own)| (org.clone(), own.ai_intent_enabled.value)).collect(),
    }
}

pub(super) fn redaction(raw: &PerOrg<RawRules>, problems: &mut Problems) -> Option<RedactionPolicy> {
    let mut compiled = Compiled::new();
    let default = rules(&raw.base, &mut compiled, problems);
    let mut orgs = HashMap::with_capacity(raw.orgs.len());
    for (org, own) in &raw.orgs {
        orgs.insert(org.clone(), rules(own, &mut compiled, problems));
    }
    let orgs = orgs.into_iter().map(|(org, rules)| Some((org, rules?))).collect::<Option<HashMap<_, _>>>();
    Some(RedactionPolicy { default: default?, orgs: orgs? })
}

/// Rules that were compiled, by what they say: organisations that say the same share them.
type Compiled = HashMap<String, Arc<Rules>>;

fn rules(raw: &RawRules, compiled: &mut Compiled, problems: &mut Problems) -> Option<Arc<Rules>> {
    let spec = spec(raw, problems);
    let says = format!("{spec:?}");
    if let Some(rules) = compiled.get(&says) {
        return Some(rules.clone());
    }
    let errors = match Rules::compile(&spec) {
        Ok(rules) => return Some(compiled.entry(says).or_insert(Arc::new(rules)).clone()),
        Err(errors) => errors,
    };
    for error in errors {
        match error {
            RulesError::UnknownEntity(name) => {
                problems.add(&raw.entities.at, format!("no entity that can be found: {name}"));
            }
            RulesError::Pattern { index, reason } => {
                problems.add(raw.custom.get(index).map_or(&raw.custom.at, |c| &c.pattern.at), reason);
            }
            RulesError::Terms { index, reason } => {
                problems.add(raw.terms.get(index).map_or(&raw.terms.at, |t| &t.words.at), reason);
            }
        }
    }
    None
}

/// What the rules say; names are checked here, patterns and words where they are compiled.
fn spec(raw: &RawRules, problems: &mut Problems) -> RulesSpec {
    let mut entities: Vec<&At<String>> = Vec::new();
    for entity in raw.entities.iter() {
        if !ENTITIES.contains(&entity.value.as_str()) {
            let hint = suggest(entity, ENTITIES.iter().copied());
            problems.add(&entity.at, format!("no entity that can be found; {hint}"));
        } else if entities.iter().any(|known| known.value == entity.value) {
            problems.add(&entity.at, "given twice; keep one");
        } else {
            entities.push(entity);
        }
    }
    let mut names: Vec<&str> = ENTITIES.to_vec();
    let own_names = raw.custom.iter().map(|c| &c.name).chain(raw.terms.iter().map(|t| &t.name));
    for name in own_names {
        label(name, &name.at, problems);
        if names.contains(&name.value.as_str()) {
            problems.add(&name.at, "the name of another entity, pattern or word list; take a new one");
        }
        names.push(&name.value);
    }
    if raw.restore.value {
        problems.add(
            &raw.restore.at,
            "placeholders are not put back in answers by this version; set false (they stay in the answer as they are)",
        );
    }
    RulesSpec {
        entities: entities.iter().map(|e| e.value.clone()).collect(),
        attachments: raw.attachments.value,
        restore: raw.restore.value,
        custom: raw
            .custom
            .iter()
            .map(|c| CustomSpec {
                name: c.name.value.clone(),
                pattern: c.pattern.value.clone(),
                replacement: replacement(&c.replacement, &c.name),
            })
            .collect(),
        terms: raw
            .terms
            .iter()
            .map(|t| TermsSpec {
                name: t.name.value.clone(),
                words: t.words.iter().map(|w| w.value.clone()).collect(),
                replacement: replacement(&t.replacement, &t.name),
            })
            .collect(),
    }
}

/// What stands in the place of a match: as given, else in the form of the built-in entities.
fn replacement(given: &At<Option<String>>, name: &str) -> String {
    given.value.clone().unwrap_or_else(|| format!("[REDACTED_{}]", name.to_uppercase()))
}
