//! Price lists of others, as lines of `prices:`.
//!
//! Pure. Reads the JSON of two public collections: LiteLLM's `model_prices_and_context_window.json`
//! (`litellm`) and genai-prices' `data.json` (`genai`). Numbers are read as they are written, not
//! by way of a float.
//!
//! Promises: an entry is taken whole or not at all; what is charged in a way that a line cannot say
//! (by the second, by the picture, thinking at a price of its own) is refused by name, with the
//! reason; what is charged beside tokens (searches, pictures that are sent) is left out and
//! counted. Does not: write files, or know which provider of a policy is meant.

mod genai;
mod litellm;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::value::RawValue;
use tollgate_wire::usage::ServiceTier;

use super::Price;
use crate::money::decimal;
use crate::visible::{visible, visible_json};

/// The wanted part of a list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Providers as the list names them.
    pub from: Vec<String>,
    /// Models that match one of these patterns (`*` for any text); all where empty.
    pub models: Vec<String>,
    /// The policy's provider that the lines are for; empty for any.
    pub provider: String,
}

/// The result for a list.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    pub prices: Vec<Price>,
    /// Entries that were wanted.
    pub wanted: usize,
    /// Entries that became lines.
    pub taken: usize,
    /// Entries that were taken, but are charged for more than tokens of text and sound.
    pub charged_beside: usize,
    /// Entries that were taken, but have further names that a pattern with `*` cannot say.
    pub narrowed: usize,
    /// Names of entries that did not become lines, and why.
    pub refused: Vec<(String, String)>,
    /// Providers that the list has.
    pub providers: Vec<String>,
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("neither LiteLLM's model_prices_and_context_window.json nor genai-prices' data.json")]
    Format,
}

/// Reads a list.
///
/// # Errors
/// It is not JSON, or of neither format.
pub fn read(text: &str, wanted: &Wanted) -> Result<Imported, ImportError> {
    match text.trim_start().as_bytes().first() {
        Some(b'[') => genai::read(text, wanted),
        Some(b'{') => litellm::read(text, wanted),
        _ => Err(serde_json::from_str::<&RawValue>(text)
            .map_or_else(ImportError::Json, |_| ImportError::Format)),
    }
}

/// The lines as a policy file.
pub fn yaml(imported: &Imported, source: &str, day: &str) -> String {
    let mut text = format!(
        "# Prices in USD per million tokens, imported from {} on {day}. These lines come before \
            the built-in list.\nprices:\n",
        visible(source)
    );
    for price in &imported.prices {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  - {{{}}}", line(price));
    }
    if imported.prices.is_empty() {
        text.push_str("  []\n");
    }
    text
}

/// One line of YAML, without the keys whose value is the default.
fn line(price: &Price) -> String {
    // A JSON string is a YAML string.
    let quoted = |text: &str| visible_json(&serde_json::Value::from(text).to_string()).into_owned();
    let rates = price.rates;
    let mut keys = Vec::new();
    if !price.provider.is_empty() {
        keys.push(format!("provider: {}", quoted(&price.provider)));
    }
    keys.push(format!("model: {}", quoted(&price.model)));
    if price.above > 0 {
        keys.push(format!("above: {}", price.above));
    }
    keys.extend(price.tier.map(|tier| format!("tier: {}", tier.as_str())));
    keys.extend(price.first_day().map(|day| format!("from: {day}")));
    let amounts = [
        ("input", Some(rates.input)),
        ("cached_input", Some(rates.cached).filter(|n| *n != rates.input)),
        ("cache_write", Some(rates.cache_write).filter(|n| *n != rates.input)),
        ("cache_write_1h", Some(rates.cache_write_1h).filter(|n| *n != rates.cache_write)),
        ("output", Some(rates.output)),
        ("audio_input", rates.audio_input),
        ("audio_output", rates.audio_output),
    ];
    keys.extend(
        amounts.iter().filter_map(|(key, nano)| Some(format!("{key}: {}", decimal((*nano)?)))),
    );
    keys.join(", ")
}

impl Imported {
    /// Takes an entry that was read, or notes why not. The first line for the same calls counts.
    fn take(&mut self, name: &str, read: Result<Entry, String>, seen: &mut HashSet<Conditions>) {
        self.wanted += 1;
        let Entry { prices, charged_beside, narrowed } = match read {
            Ok(entry) => entry,
            Err(why) => return self.refused.push((name.to_owned(), why)),
        };
        let odd = |price: &Price| {
            price.model.is_empty() || price.model.contains("${") || price.model.len() > 256
        };
        if prices.iter().any(odd) {
            return self
                .refused
                .push((name.to_owned(), "its name cannot be written in a policy".to_owned()));
        }
        let fresh: Vec<Price> =
            prices.into_iter().filter(|price| seen.insert(conditions(price))).collect();
        if fresh.is_empty() {
            return self
                .refused
                .push((name.to_owned(), "an earlier entry is for the same calls".to_owned()));
        }
        self.prices.extend(fresh);
        self.taken += 1;
        self.charged_beside += usize::from(charged_beside);
        self.narrowed += usize::from(narrowed);
    }
}

/// Which calls a line is for.
type Conditions = (String, u64, Option<ServiceTier>, i64);

fn conditions(price: &Price) -> Conditions {
    (price.model.clone(), price.above, price.tier, price.from_ms)
}

/// One entry of a list.
struct Entry {
    prices: Vec<Price>,
    charged_beside: bool,
    narrowed: bool,
}

impl Wanted {
    fn has_provider(&self, name: &str) -> bool {
        self.from.iter().any(|from| from == name)
    }

    fn has_model(&self, name: &str) -> bool {
        super::any_matches(&self.models, name)
    }
}

/// A JSON number times a power of ten, as a whole number, rounded half up. Exact: no float in
/// between.
fn scaled(number: &RawValue, power: i32) -> Option<u64> {
    let text = number.get();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 40 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent = exponent.trim_start_matches('+').parse::<i32>().ok()?;
    let shift = exponent.checked_add(power)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = digits.parse().ok()?;
    let value = if shift >= 0 {
        digits.checked_mul(10u128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10u128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => digits.checked_add(divisor / 2)? / divisor,
            None => 0,
        }
    };
    // As much as a policy may say.
    u64::try_from(value).ok().filter(|nano| *nano <= 1_000_000_000_000_000_000)
}
