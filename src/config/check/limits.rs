//! `redaction`, `limits` and `features`, checked: the sections that organisations may have their own version of.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use super::super::place::{Problems, suggest};
use super::super::policy::{Features, Limits, ModelLimits, MoreLimits, OrgLimits, RedactionPolicy, SharedLimits};
use super::super::raw::{RawFeatures, RawLimits, RawRules};
use super::super::shape::{At, Cap, PerOrg, Usd};
use super::{in_range, label, refuse};
use crate::limit::bucket::Quota;
use crate::limit::caps::Caps;
use crate::money::decimal;
use crate::redact::{CustomSpec, ENTITIES, Rules, RulesError, RulesSpec, TermsSpec};
use crate::route::Glob;

const REQUESTS_PER_MINUTE_MAX: u64 = 10_000_000;
/// `strict` remembers every call of the last minute.
const STRICT_REQUESTS_PER_MINUTE_MAX: u64 = 10_000;

const TOKENS_PER_MINUTE_MAX: u64 = 1_000_000_000_000;
const CALLS_IN_FLIGHT_MAX: u64 = 1_000_000;
/// Up to here a shared store, whose scripts count in doubles, is exact to 10⁻⁹ USD.
const NANO_USD_MAX: u64 = 9_000_000_000_000_000;
/// More would be no limit any more.
const LEASE_PERCENT_MAX: f64 = 10.0;

pub(super) fn limits(raw: &PerOrg<RawLimits>, problems: &mut Problems) -> Option<Limits> {
    let default = quota(&raw.base, problems);
    let shared = shared(&raw.base, problems);
    let more = org_limits(&raw.base, problems);
    let mut orgs = HashMap::with_capacity(raw.orgs.len());
    let (mut shared_orgs, mut more_orgs) = (HashMap::new(), HashMap::new());
    for (org, own) in &raw.orgs {
        orgs.insert(org.clone(), quota(own, problems));
        // What is inherited has been checked, and its problem told, above.
        let shared_own = self::shared(own, problems);
        if shared_own != shared {
            shared_orgs.insert(org.clone(), shared_own);
        }
        more_orgs.insert(org.clone(), org_limits(own, problems));
    }
    let orgs = orgs.into_iter().map(|(org, quota)| Some((org, quota?))).collect::<Option<HashMap<_, _>>>();
    let any = std::iter::once(&more).chain(more_orgs.values()).any(|limits| {
        !limits.models.is_empty() || [limits.all, limits.each_key, limits.each_user].iter().any(|caps| !caps.is_empty())
    });
    let more = any.then(|| Box::new(MoreLimits { default: more, orgs: more_orgs }));
    Some(Limits { default: default?, orgs: orgs?, more, shared, shared_orgs })
}

fn shared(raw: &RawLimits, problems: &mut Problems) -> SharedLimits {
    let percent = raw.lease_percent.value;
    if !(0.0..=LEASE_PERCENT_MAX).contains(&percent) {
        refuse(&raw.lease_percent.at, percent, format!("give 0 to {LEASE_PERCENT_MAX}"), problems);
    }
    if percent > 0.0 && raw.strict.value {
        let at = if raw.lease_percent.given { &raw.lease_percent.at } else { &raw.strict.at };
        problems.add(at, "strict allows no call too many, so nothing can be leased; set lease_percent: 0");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10000 after the check above")]
    let lease_millipercent = (percent.clamp(0.0, LEASE_PERCENT_MAX) * 1000.0).round() as u32;
    SharedLimits { fail: raw.fail.value, lease_millipercent }
}

fn org_limits(raw: &RawLimits, problems: &mut Problems) -> OrgLimits {
    // An organisation's requests have a quota of their own, which is never off.
    let all = Caps {
        requests: None,
        tokens_per_minute: tokens(&raw.tokens_per_minute, problems),
        calls_in_flight: in_flight(&raw.calls_in_flight, problems),
        nano_usd_per_day: usd(&raw.usd_per_day, problems),
        nano_usd_per_month: usd(&raw.usd_per_month, problems),
    };
    macro_rules! caps {
        ($raw:expr) => {
            Caps {
                requests: requests(&$raw.requests_per_minute, problems),
                tokens_per_minute: tokens(&$raw.tokens_per_minute, problems),
                calls_in_flight: in_flight(&$raw.calls_in_flight, problems),
                nano_usd_per_day: usd(&$raw.usd_per_day, problems),
                nano_usd_per_month: usd(&$raw.usd_per_month, problems),
            }
        };
    }
    let (each_key, each_user) = (caps!(raw.each_key), caps!(raw.each_user));
    let mut models: Vec<ModelLimits> = Vec::with_capacity(raw.models.len());
    for model in raw.models.iter() {
        let name = model.r#match.trim();
        if name.is_empty() {
            problems.add(&model.r#match.at, "empty; give a model, with `*` for any run of characters");
        }
        if models.iter().any(|known| &*known.name == name) {
            problems.add(&model.r#match.at, "given twice; keep one");
        }
        let caps = caps!(model);
        if caps.is_empty() {
            problems.add(&model.at, "limits nothing; give requests_per_minute, tokens_per_minute, calls_in_flight, usd_per_day or usd_per_month");
        }
        models.push(ModelLimits { pattern: Glob::new(name), name: Arc::from(name), caps });
    }
    OrgLimits { all, each_key, each_user, models }
}

fn requests(given: &At<Cap<u64>>, problems: &mut Problems) -> Option<Quota> {
    let rate = NonZeroU32::new(u32::try_from(capped(given, REQUESTS_PER_MINUTE_MAX, problems)?).ok()?)?;
    Some(Quota::new(rate, rate, false))
}

fn tokens(given: &At<Cap<u64>>, problems: &mut Problems) -> Option<NonZeroU64> {
    NonZeroU64::new(capped(given, TOKENS_PER_MINUTE_MAX, problems)?)
}

fn in_flight(given: &At<Cap<u64>>, problems: &mut Problems) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(capped(given, CALLS_IN_FLIGHT_MAX, problems)?).ok()?)
}

/// A limit of 1 to `most`; `None` where it is off, or wrong.
fn capped(given: &At<Cap<u64>>, most: u64, problems: &mut Problems) -> Option<u64> {
    let value = given.value.0?;
    if !(1..=most).contains(&value) {
        refuse(&given.at, value, format!("give 1 to {most}, or `off`"), problems);
        return None;
    }
    Some(value)
}

fn usd(given: &At<Cap<Usd>>, problems: &mut Problems) -> Option<NonZeroU64> {
    let Usd(nano) = given.value.0?;
    if !(1..=NANO_USD_MAX).contains(&nano) {
        let remedy = format!("give more than 0 and at most {}, or `off`", decimal(NANO_USD_MAX));
        refuse(&given.at, decimal(nano), remedy, problems);
        return None;
    }
    NonZeroU64::new(nano)
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
            RulesError::Allow { index } => {
                let hint = "say nothing that could stay; give an address, @domain or a number";
                problems.add(raw.allow.get(index).map_or(&raw.allow.at, |a| &a.at), hint);
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
    if raw.restore_arguments.value && !raw.restore.value {
        problems
            .add(&raw.restore_arguments.at, "nothing is put back without `restore: true`; set that, or leave this out");
    }
    RulesSpec {
        entities: entities.iter().map(|e| e.value.clone()).collect(),
        attachments: raw.attachments.value,
        restore: raw.restore.value,
        restore_arguments: raw.restore_arguments.value,
        allow: raw.allow.iter().map(|value| value.value.clone()).collect(),
        custom: raw
            .custom
            .iter()
            .map(|c| CustomSpec {
                name: c.name.value.clone(),
                pattern: c.pattern.value.0.clone(),
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
