//! LiteLLM's list: one object, a model's name to its entry, USD by the token, conditions in the
//! names of the keys (`input_cost_per_token_above_200k_tokens_priority`).
//!
//! # Source
//! `model_prices_and_context_window.json` of LiteLLM 1.109.1, read November 2026.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::value::RawValue;
use tollgate_wire::usage::ServiceTier;

use super::{Entry, ImportError, Imported, Wanted, scaled};
use crate::cost::{Price, Rates};

/// Kinds of token, by the beginning of the key.
const KINDS: [(&str, Kind); 8] = [
    ("cache_creation_input_token_cost_above_1hr", Kind::CacheWrite1h),
    ("cache_creation_input_token_cost", Kind::CacheWrite),
    ("cache_read_input_token_cost", Kind::Cached),
    ("input_cost_per_audio_token", Kind::AudioInput),
    ("output_cost_per_audio_token", Kind::AudioOutput),
    ("output_cost_per_reasoning_token", Kind::Reasoning),
    ("input_cost_per_token", Kind::Input),
    ("output_cost_per_token", Kind::Output),
];

/// Beginnings of keys about what is charged beside the tokens of a line, or in ways of serving that
/// no line is for.
const BESIDE: [&str; 16] = [
    "search_context_cost_per_query",
    "google_maps_grounding_cost_per_query",
    "web_search_cost",
    "cache_read_input_audio_token_cost",
    "cache_creation_input_audio_token_cost",
    "cache_read_input_image_token_cost",
    "explicit_cache_read_input_token_cost",
    "cache_creation_input_token_cost_above_12hr",
    "input_cost_per_image",
    "input_cost_per_video",
    "input_cost_per_audio_per_second",
    "input_dbu_cost_per_token",
    "output_dbu_cost_per_token",
    "computer_use_",
    "file_search_cost",
    "code_interpreter_cost",
];
/// Ends of keys about ways of serving that no line is for.
const OTHER_TIERS: [&str; 3] = ["_ultrafast", "_balanced", "_decisions"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Input,
    Output,
    Cached,
    CacheWrite,
    CacheWrite1h,
    AudioInput,
    AudioOutput,
    Reasoning,
}

/// Tier (by its place in [`TIERS`]), bound, kind.
type Key = (usize, u64, Kind);

const TIERS: [(&str, Option<ServiceTier>); 4] = [
    ("", None),
    ("_flex", Some(ServiceTier::Flex)),
    ("_batches", Some(ServiceTier::Batch)),
    ("_priority", Some(ServiceTier::Priority)),
];

pub(crate) fn read(text: &str, wanted: &Wanted) -> Result<Imported, ImportError> {
    let list: BTreeMap<String, BTreeMap<String, &RawValue>> = serde_json::from_str(text)
        .map_err(|error| if error.is_data() { ImportError::Format } else { error.into() })?;
    let mut imported = Imported::default();
    let (mut seen, mut providers) = (HashSet::new(), BTreeSet::new());
    // A bare name says what its maker charges, and comes before the same name with a provider in
    // front.
    let (bare, prefixed): (Vec<_>, Vec<_>) = list.iter().partition(|(name, _)| !name.contains('/'));
    for (name, fields) in bare.into_iter().chain(prefixed) {
        let provider = fields
            .get("litellm_provider")
            .and_then(|p| serde_json::from_str::<String>(p.get()).ok());
        // The first entry explains the others.
        if name == "sample_spec" {
            continue;
        }
        let Some(provider) = provider.as_deref() else {
            if wanted.has_model(name) {
                let unnamed = "it names no provider (`litellm_provider`)".to_owned();
                imported.take(name, Err(unnamed), &mut seen);
            }
            continue;
        };
        providers.insert(provider.to_owned());
        // `groq/llama-3` is asked for as `llama-3` where groq is the provider.
        let model =
            name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        if wanted.has_provider(provider) && wanted.has_model(model) {
            imported.take(name, entry(model, fields, wanted), &mut seen);
        }
    }
    if providers.is_empty() {
        return Err(ImportError::Format);
    }
    imported.providers = providers.into_iter().collect();
    Ok(imported)
}

fn entry(
    model: &str,
    fields: &BTreeMap<String, &RawValue>,
    wanted: &Wanted,
) -> Result<Entry, String> {
    let (mut amounts, mut charged_beside): (BTreeMap<Key, u64>, bool) = (BTreeMap::new(), false);
    for (name, value) in fields.iter().filter(|(name, _)| name.contains("cost")) {
        if let Some(key) = parse(name) {
            // USD by the token → 10⁻⁹ USD by the million.
            let nano = scaled(value, 15)
                .ok_or_else(|| format!("`{name}` is {}, which is not an amount", value.get()))?;
            amounts.insert(key, nano);
        } else if BESIDE.iter().any(|b| name.starts_with(b))
            || OTHER_TIERS.iter().any(|e| name.ends_with(e))
        {
            charged_beside = true;
        } else if name == "input_cost_per_token_cache_hit" {
            let nano = scaled(value, 15)
                .ok_or_else(|| format!("`{name}` is {}, which is not an amount", value.get()))?;
            amounts.entry((0, 0, Kind::Cached)).or_insert(nano);
        } else if value.get() != "0" && value.get() != "0.0" {
            return Err(format!("`{name}`: a charge that `prices` cannot express"));
        }
    }
    let get = |tier: usize, above: u64, kind: Kind| amounts.get(&(tier, above, kind)).copied();
    let input = get(0, 0, Kind::Input).ok_or("no price by the token of input")?;
    let output = get(0, 0, Kind::Output).unwrap_or(0);
    if amounts.iter().any(|((tier, above, kind), n)| {
        *kind == Kind::Reasoning && Some(*n) != get(*tier, *above, Kind::Output)
    }) {
        return Err("thinking has a price of its own".to_owned());
    }
    // Fine-tuned models are asked for with their owner and number behind the name.
    let model = if model.starts_with("ft:") { format!("{model}*") } else { model.to_owned() };
    let lines: BTreeSet<(usize, u64)> =
        amounts.keys().map(|(tier, above, _)| (*tier, *above)).collect();
    let mut prices = Vec::new();
    for (tier, above) in lines {
        // A way of serving has to have both main prices, else nothing is known of it.
        let main = get(tier, 0, Kind::Input).is_some()
            && (get(tier, 0, Kind::Output).is_some() || output == 0);
        if !main {
            charged_beside = true;
            continue;
        }
        // A kind that a condition does not name costs as much as without it: first without the
        // bound, then without the tier.
        let of = |kind: Kind| {
            let without = [(tier, above), (tier, 0), (0, above), (0, 0)];
            without.into_iter().find_map(|(tier, above)| get(tier, above, kind))
        };
        // A kind that no condition names costs as much as the kind that it belongs to.
        let input = of(Kind::Input).unwrap_or(input);
        let cache_write = of(Kind::CacheWrite).unwrap_or(input);
        let rates = Rates {
            cached: of(Kind::Cached).unwrap_or(input),
            cache_write,
            cache_write_1h: of(Kind::CacheWrite1h).unwrap_or(cache_write),
            audio_input: of(Kind::AudioInput),
            audio_output: of(Kind::AudioOutput),
            ..Rates::of(input, of(Kind::Output).unwrap_or(0))
        };
        let (provider, model) = (wanted.provider.clone(), model.clone());
        prices.push(Price { provider, model, above, tier: TIERS[tier].1, from_ms: 0, rates });
    }
    Ok(Entry { prices, charged_beside, narrowed: false })
}

/// `input_cost_per_token_above_200k_tokens_priority` → what, above what, in which tier.
fn parse(name: &str) -> Option<Key> {
    let (kind, mut rest) =
        KINDS.iter().find_map(|(begin, kind)| Some((*kind, name.strip_prefix(begin)?)))?;
    let mut above = 0;
    if let Some((thousands, after)) =
        rest.strip_prefix("_above_").and_then(|rest| rest.split_once("k_tokens"))
    {
        above = thousands.parse::<u64>().ok()?.checked_mul(1_000)?;
        rest = after;
    }
    TIERS.iter().position(|(end, _)| *end == rest).map(|tier| (tier, above, kind))
}
