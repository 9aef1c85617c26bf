//! `redaction` and `limits`, checked: the sections that organisations may override.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::policy::{ByOrg, Limits, ModelLimits, OrgLimits, RequestLimits, Routing};
use super::super::reader::place::{Problems, suggest};
use super::super::reader::shape::{At, Cap, PerOrg, Plain as _, Usd};
use super::super::sections::{EntityName, RawLimits, RawRules, RawTerms};
use super::super::words::WordFiles;
use super::label;
use crate::glob::Glob;
use crate::limit::bucket::Quota;
use crate::limit::caps::Caps;
use crate::redact::{
    Action, Compare, CustomSpec, ENTITIES, Names, NamesSpec, Placeholders, Rules, RulesError,
    RulesSpec, TermsSpec,
};

/// `strict` remembers every call of the last minute.
const STRICT_REQUESTS_PER_MINUTE_MAX: u32 = 10_000;

pub(crate) fn limits(raw: &PerOrg<RawLimits>, problems: &mut Problems) -> Option<Limits> {
    // An organisation's own section has the inherited keys, too; a problem with them is the same
    // problem, which is printed once.
    let requests = raw.checked(|raw| request_limits(raw, problems));
    let more = raw.checked(|raw| Some(org_limits(raw, problems)))?;
    let any = more.all().any(|limits| {
        !limits.models.is_empty()
            || [limits.all, limits.each_key, limits.each_user].iter().any(|caps| !caps.is_empty())
    });
    Some(Limits { requests: requests?, more: any.then(|| Box::new(more)) })
}

/// Checks that calls over a budget find a target for the model that they ask for instead.
pub(crate) fn downgrades(raw: &PerOrg<RawLimits>, routing: &Routing, problems: &mut Problems) {
    let all = std::iter::once(&raw.base).chain(raw.orgs.iter().map(|(_, own)| &own.value));
    for guide in all.filter_map(|limits| limits.on_exhausted.value.0.as_ref()) {
        let model = &guide.downgrade.model;
        let is_routed = routing.models.iter().any(|rule| rule.pattern.matches(model.trim()));
        if !is_routed && routing.default.list.is_empty() {
            problems.add(
                &model.at,
                "no provider is configured for this model; give one that `routing` knows",
            );
        }
    }
}

fn request_limits(raw: &RawLimits, problems: &mut Problems) -> Option<RequestLimits> {
    let lease_millipercent = lease_millipercent(raw, problems);
    Some(RequestLimits { quota: quota(raw, problems)?, lease_millipercent, options: raw.plain() })
}

fn lease_millipercent(raw: &RawLimits, problems: &mut Problems) -> u32 {
    let percent = raw.lease_percent.value;
    if percent > 0.0 && raw.strict.value {
        let at = if raw.lease_percent.given { &raw.lease_percent.at } else { &raw.strict.at };
        problems.add(
            at,
            "`strict` allows no call beyond the limit, so nothing can be leased; set \
             `lease_percent: 0`",
        );
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 10000 in the range of the key"
    )]
    let millipercent = (percent * 1000.0).round() as u32;
    millipercent
}

fn org_limits(raw: &RawLimits, problems: &mut Problems) -> OrgLimits {
    // An organisation's requests have a quota of their own, which is never off.
    macro_rules! caps {
        ($raw:expr, $requests:expr) => {
            Caps {
                requests: $requests,
                tokens_per_minute: $raw.tokens_per_minute.0.and_then(NonZeroU64::new),
                calls_in_flight: $raw.calls_in_flight.0.and_then(NonZeroU32::new),
                nano_usd_per_day: usd($raw.usd_per_day.value),
                nano_usd_per_month: usd($raw.usd_per_month.value),
            }
        };
        ($raw:expr) => {
            caps!($raw, requests($raw.requests_per_minute.value))
        };
    }
    let all = caps!(raw, None);
    let (each_key, each_user) = (caps!(raw.each_key), caps!(raw.each_user));
    let mut models: Vec<ModelLimits> = Vec::with_capacity(raw.models.len());
    for model in raw.models.iter() {
        let name = model.r#match.trim();
        if name.is_empty() {
            problems
                .add(&model.r#match.at, "empty; give a model, with `*` for any run of characters");
        }
        if models.iter().any(|known| &*known.name == name) {
            problems.add(&model.r#match.at, "given twice; keep one");
        }
        let caps = caps!(model);
        if caps.is_empty() {
            problems.add(
                &model.at,
                "limits nothing; give requests_per_minute, tokens_per_minute, \
                calls_in_flight, usd_per_day or usd_per_month",
            );
        }
        models.push(ModelLimits { pattern: Glob::new(name), name: Arc::from(name), caps });
    }
    let downgrade = raw.on_exhausted.value.0.as_ref().map(|guide| &guide.downgrade.model);
    if let Some(model) = downgrade.filter(|model| model.trim().is_empty()) {
        problems.add(&model.at, "empty; give the name of a model");
    }
    let downgrade = downgrade.map(|model| Arc::from(model.trim()));
    OrgLimits { all, each_key, each_user, models, downgrade }
}

fn requests(given: Cap<u32>) -> Option<Quota> {
    let rate = NonZeroU32::new(given.0?)?;
    Some(Quota::new(rate, rate, false))
}

fn usd(given: Cap<Usd>) -> Option<NonZeroU64> {
    NonZeroU64::new(given.0?.0)
}

fn quota(raw: &RawLimits, problems: &mut Problems) -> Option<Quota> {
    let rate = raw.requests_per_minute.value;
    if raw.strict.value && rate > STRICT_REQUESTS_PER_MINUTE_MAX {
        let at = if raw.requests_per_minute.given {
            &raw.requests_per_minute.at
        } else {
            &raw.strict.at
        };
        problems.add(
            at,
            format!(
                "{rate} is not allowed with `strict`; give 1 to {STRICT_REQUESTS_PER_MINUTE_MAX}"
            ),
        );
    }
    Some(Quota::new(NonZeroU32::new(rate)?, NonZeroU32::new(raw.burst.value)?, raw.strict.value))
}

pub(crate) fn redaction(
    raw: &PerOrg<RawRules>,
    words: &WordFiles,
    problems: &mut Problems,
) -> Option<ByOrg<Arc<Rules>>> {
    let (mut compiled, mut lists) = (Compiled::new(), Lists { words, read: HashMap::new() });
    raw.checked(|raw| rules(raw, &mut lists, &mut compiled, problems))
}

/// Lists of names that were read: organisations that name the same file share it.
struct Lists<'w> {
    words: &'w WordFiles,
    read: HashMap<(PathBuf, Compare), Result<Names, String>>,
}

impl Lists<'_> {
    fn names(&mut self, path: &Path, compare: Compare) -> Result<Names, String> {
        let words = self.words;
        let read = || {
            let names = Names::of_lines(words.text(path)?, compare);
            names.map_err(|error| format!("`{}` {error}", path.display()))
        };
        self.read.entry((path.to_owned(), compare)).or_insert_with(read).clone()
    }
}

/// Compiled rules by their settings: organisations with equal settings share them.
type Compiled = HashMap<RulesSpec, Arc<Rules>>;

fn rules(
    raw: &RawRules,
    lists: &mut Lists<'_>,
    compiled: &mut Compiled,
    problems: &mut Problems,
) -> Option<Arc<Rules>> {
    let spec = spec(raw, lists, problems);
    if let Some(rules) = compiled.get(&spec) {
        return Some(rules.clone());
    }
    let errors = match Rules::compile(&spec) {
        Ok(rules) => return Some(compiled.entry(spec).or_insert(Arc::new(rules)).clone()),
        Err(errors) => errors,
    };
    for error in errors {
        match error {
            RulesError::UnknownEntity(name) => {
                let known = suggest(&name, EntityName::all());
                problems.add(&raw.entities.at, format!("unknown entity; {known}"));
            }
            RulesError::Pattern { index, reason } => {
                problems
                    .add(raw.custom.get(index).map_or(&raw.custom.at, |c| &c.pattern.at), reason);
            }
            RulesError::Allow { index } => {
                let hint = "has no letters or digits, so it can match nothing; give an address, \
                    @domain or a number";
                problems.add(raw.allow.get(index).map_or(&raw.allow.at, |a| &a.at), hint);
            }
            RulesError::Action { index } => {
                let at = raw.actions.0.get(index).map_or(&raw.actions.at, |(name, _)| &name.at);
                problems.add(at, "names no entity, pattern or word list; give one of this policy");
            }
            RulesError::Terms { index, reason } => {
                let list = raw.terms.iter().filter(|terms| is_short(terms)).nth(index);
                problems.add(list.map_or(&raw.terms.at, |t| &t.words.at), reason);
            }
        }
    }
    None
}

/// The rules; names are checked here, patterns and words where they are compiled.
fn spec(raw: &RawRules, lists: &mut Lists<'_>, problems: &mut Problems) -> RulesSpec {
    let mut entities: Vec<&At<EntityName>> = Vec::new();
    for entity in raw.entities.iter() {
        if !EntityName::all().any(|name| name == entity.value.0) {
            let hint = suggest(&entity.value.0, EntityName::all());
            problems.add(&entity.at, format!("unknown entity; {hint}"));
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
            problems.add(
                &name.at,
                "already the name of an entity, a pattern or a word list; give \
                    another name",
            );
        }
        names.push(&name.value);
    }
    if raw.restore_arguments.value && !raw.restore.value {
        problems.add(
            &raw.restore_arguments.at,
            "without `restore: true` no value is restored; set that, or remove this key",
        );
    }
    RulesSpec {
        placeholders: placeholders(raw, problems),
        actions: actions(raw, &names, problems),
        entities: entities.iter().map(|e| e.value.0.clone()).collect(),
        custom: raw
            .custom
            .iter()
            .map(|c| CustomSpec {
                name: c.name.value.clone(),
                pattern: c.pattern.value.0.clone(),
                replacement: replacement(&c.replacement, &c.name),
            })
            .collect(),
        names: raw.terms.iter().filter_map(|t| long_list(t, lists, problems)).collect(),
        terms: raw
            .terms
            .iter()
            .filter(|terms| is_short(terms))
            .map(|t| TermsSpec {
                name: t.name.value.clone(),
                words: t.words.iter().map(|w| w.value.clone()).collect(),
                replacement: replacement(&t.replacement, &t.name),
            })
            .collect(),
        ..raw.plain()
    }
}

/// How the words of a list are compared.
fn compare(terms: &RawTerms) -> Compare {
    Compare { case: terms.case.value, whole_words: terms.whole_words.value }
}

/// Whether a list is in the policy itself and compared as by default.
fn is_short(terms: &RawTerms) -> bool {
    terms.words_file.value.is_none() && compare(terms) == Compare::default()
}

/// A word list that is a file of its own, or is not compared as by default.
fn long_list(raw: &RawTerms, lists: &mut Lists<'_>, problems: &mut Problems) -> Option<NamesSpec> {
    let (compare, file) = (compare(raw), &raw.words_file);
    let (at, names) = match &file.value {
        Some(_) if !raw.words.value.is_empty() => {
            problems.add(&file.at, "a list has `words` or `words_file`; remove one of them");
            return None;
        }
        Some(path) => (&file.at, lists.names(path, compare)),
        None if compare == Compare::default() => return None,
        None => {
            let words: Vec<&str> = raw.words.value.iter().map(|w| w.value.as_str()).collect();
            let names = Names::of_lines(&words.join("\n"), compare);
            (&raw.words.at, names.map_err(|error| error.to_string()))
        }
    };
    let replacement = replacement(&raw.replacement, &raw.name);
    match names {
        Ok(names) => Some(NamesSpec { name: raw.name.value.clone(), names, replacement }),
        Err(reason) => {
            problems.add(at, reason);
            None
        }
    }
}

/// The actions, each of a kind in `names`.
fn actions(raw: &RawRules, names: &[&str], problems: &mut Problems) -> Vec<(String, Action)> {
    let mut actions: Vec<(String, Action)> = Vec::new();
    for (name, action) in &raw.actions.0 {
        if names.contains(&name.value.as_str()) {
            actions.push((name.value.clone(), action.value));
        } else {
            let known = suggest(&name.value, names.iter().copied());
            problems.add(&name.at, format!("names no entity, pattern or word list; {known}"));
        }
    }
    actions
}

/// How placeholders are written: numbers at least, where values are put back.
fn placeholders(raw: &RawRules, problems: &mut Problems) -> Placeholders {
    let given = &raw.placeholders;
    if !raw.restore.value || given.value != Placeholders::Plain {
        return given.value;
    }
    if given.given {
        problems.add(
            &given.at,
            "plain placeholders cannot be restored; give numbered or stable, or remove `restore`",
        );
    }
    Placeholders::Numbered
}

/// The text in the place of a match: as given, else in the form of the built-in entities.
fn replacement(given: &At<Option<String>>, name: &str) -> String {
    given.value.clone().unwrap_or_else(|| format!("[REDACTED_{}]", name.to_uppercase()))
}
