//! genai-prices' list: providers with models, each with a rule for its names, and USD by the
//! million tokens.
//!
//! # Source
//! `prices/data.json` and `data_slim.json` of genai-prices 0.2.3, read November 2026.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Entry, ImportError, Imported, Wanted, scaled};
use crate::cost::{Price, Rates};

#[derive(Deserialize)]
struct Provider<'a> {
    id: String,
    #[serde(borrow)]
    models: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    id: String,
    #[serde(borrow)]
    r#match: &'a RawValue,
    #[serde(borrow)]
    prices: &'a RawValue,
}

/// Which names a model has.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Clause {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<Clause>),
    And(serde::de::IgnoredAny),
}

/// Prices from a day on.
#[derive(Deserialize)]
struct Dated<'a> {
    #[serde(borrow, default)]
    constraint: Option<Constraint<'a>>,
    #[serde(borrow)]
    prices: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Constraint<'a> {
    #[serde(borrow, default)]
    start_date: Option<&'a str>,
}

/// An amount that depends on the length of the prompt.
#[derive(Deserialize)]
struct Tiered<'a> {
    #[serde(borrow)]
    base: &'a RawValue,
    #[serde(borrow)]
    tiers: Vec<Step<'a>>,
}

#[derive(Deserialize)]
struct Step<'a> {
    start: u64,
    #[serde(borrow)]
    price: &'a RawValue,
}

const KINDS: [&str; 7] = [
    "input_mtok",
    "output_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "input_audio_mtok",
    "output_audio_mtok",
];

pub(crate) fn read(text: &str, wanted: &Wanted) -> Result<Imported, ImportError> {
    let list: Vec<Provider<'_>> = serde_json::from_str(text)
        .map_err(|error| if error.is_data() { ImportError::Format } else { error.into() })?;
    let mut imported = Imported::default();
    let mut seen = HashSet::new();
    imported.providers = list
        .iter()
        .map(|provider| provider.id.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    for provider in list.iter().filter(|provider| wanted.has_provider(&provider.id)) {
        for model in provider.models.iter().filter(|model| wanted.has_model(&model.id)) {
            imported.take(
                &format!("{}/{}", provider.id, model.id),
                entry(model, wanted),
                &mut seen,
            );
        }
    }
    Ok(imported)
}

fn entry(model: &Model<'_>, wanted: &Wanted) -> Result<Entry, String> {
    let mut names = Vec::new();
    let clause =
        serde_json::from_str(model.r#match.get()).map_err(|_| "an unknown rule for its names")?;
    let narrowed = !patterns(clause, &mut names);
    if names.is_empty() {
        // No pattern can say the rule; the model's own name is one of its names in any case.
        names.push(model.id.clone());
    }
    if names.iter().any(|name| name.trim_matches('*').contains('*')) {
        return Err("a `*` in its name".to_owned());
    }
    let by_day: Vec<Dated<'_>> = if model.prices.get().trim_start().starts_with('[') {
        serde_json::from_str(model.prices.get()).map_err(|_| "prices under unknown conditions")?
    } else {
        let prices =
            serde_json::from_str(model.prices.get()).map_err(|_| "prices that cannot be read")?;
        vec![Dated { constraint: None, prices }]
    };
    let mut entry = Entry { prices: Vec::new(), charged_beside: false, narrowed };
    for dated in &by_day {
        let from_ms = match &dated.constraint {
            None => 0,
            Some(Constraint { start_date: Some(day) }) => {
                first_ms(day).ok_or_else(|| format!("`{day}` is no day"))?
            }
            Some(_) => return Err("prices that depend on the time of day".to_owned()),
        };
        let by_length = rates(&dated.prices, &mut entry.charged_beside)?;
        for name in &names {
            entry.prices.extend(by_length.iter().map(|(above, rates)| Price {
                provider: wanted.provider.clone(),
                model: name.clone(),
                above: *above,
                tier: None,
                from_ms,
                rates: *rates,
            }));
        }
    }
    Ok(entry)
}

/// The rates for every length of prompt at which one of them changes.
fn rates(
    prices: &BTreeMap<String, &RawValue>,
    charged_beside: &mut bool,
) -> Result<Vec<(u64, Rates)>, String> {
    let mut steps: BTreeMap<&str, BTreeMap<u64, u64>> = BTreeMap::new();
    for (name, value) in prices.iter().filter(|(_, value)| value.get() != "null") {
        if KINDS.contains(&name.as_str()) {
            steps.insert(name, amounts(value).ok_or_else(|| format!("`{name}` is no amount"))?);
        } else if name.ends_with("_kcount")
            || name.starts_with("cache_")
            || name.starts_with("input_")
        {
            *charged_beside = true;
        } else {
            return Err(format!("`{name}`: a charge that `prices` cannot express"));
        }
    }
    let bounds: BTreeSet<u64> =
        steps.values().flat_map(|by_length| by_length.keys().copied()).collect();
    if !steps.contains_key("input_mtok") {
        return Err("no price by the token of input".to_owned());
    }
    let mut lines = Vec::new();
    for above in bounds {
        let at = |name: &str| Some(*steps.get(name)?.range(..=above).next_back()?.1);
        let input = at("input_mtok").unwrap_or(0);
        let cache_write = at("cache_write_mtok").unwrap_or(input);
        let rates = Rates {
            cached: at("cache_read_mtok").unwrap_or(input),
            cache_write,
            cache_write_1h: at("cache_write_1h_mtok").unwrap_or(cache_write),
            audio_input: at("input_audio_mtok"),
            audio_output: at("output_audio_mtok"),
            ..Rates::of(input, at("output_mtok").unwrap_or(0))
        };
        lines.push((above, rates));
    }
    Ok(lines)
}

/// The amount from each length of prompt on, in 10⁻⁹ USD by the million.
fn amounts(value: &RawValue) -> Option<BTreeMap<u64, u64>> {
    if !value.get().starts_with('{') {
        return Some(BTreeMap::from([(0, scaled(value, 9)?)]));
    }
    let tiered: Tiered<'_> = serde_json::from_str(value.get()).ok()?;
    let mut amounts = BTreeMap::from([(0, scaled(tiered.base, 9)?)]);
    for step in tiered.tiers {
        amounts.insert(step.start, scaled(step.price, 9)?);
    }
    Some(amounts)
}

/// Adds the names of a rule as patterns; says whether these are all of them.
fn patterns(clause: Clause, names: &mut Vec<String>) -> bool {
    match clause {
        Clause::Equals(text) => names.push(text),
        Clause::StartsWith(text) => names.push(text + "*"),
        Clause::EndsWith(text) => names.push(["*", &text].concat()),
        Clause::Contains(text) => names.push(["*", &text, "*"].concat()),
        Clause::Regex(text) => match dated(&text) {
            Some(name) => names.push(name),
            None => return false,
        },
        Clause::Or(clauses) => {
            // Each of them, not only those before the first that cannot be said.
            let said: Vec<bool> =
                clauses.into_iter().map(|clause| patterns(clause, names)).collect();
            return !said.contains(&false);
        }
        Clause::And(_) => return false,
    }
    true
}

/// The pattern for `^name-\d{4}-\d{2}-\d{2}$` and its kin, the regular expressions that the list
/// uses again and again: the dated snapshots of a model, all of this century.
fn dated(regex: &str) -> Option<String> {
    let ends = [r"-\d{4}-\d{2}-\d{2}$", r"-\d{8}$", r"[-@]\d{8}$"];
    let text = regex.strip_prefix('^')?;
    let name = ends.iter().rev().find_map(|end| text.strip_suffix(end))?.replace(r"\.", ".");
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    plain.then(|| name + "-20*")
}

fn first_ms(day: &str) -> Option<i64> {
    let day = day.parse::<jiff::civil::Date>().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}
