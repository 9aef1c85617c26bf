//! Costs of deployments as prices, in exact decimals.

use serde_json::{Map, Value as Json, json};

use super::super::findings::Findings;
use super::super::tree::At;
use crate::cost::PriceList;
use crate::money::decimal;

/// Keys of LiteLLM, USD by the token, and those of a price, USD by the million.
const KEYS: &[(&str, &str)] = &[
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cached_input"),
    ("cache_creation_input_token_cost", "cache_write"),
];
/// Decimals of a price.
const DECIMALS: usize = 9;

/// The prices so far.
#[derive(Default)]
pub(crate) struct Prices {
    lines: Vec<Json>,
}

impl Prices {
    /// The price of a deployment, if it says one.
    pub(crate) fn of(
        &mut self,
        at: &At<'_>,
        params: &At<'_>,
        (provider, model): (&str, Option<&str>),
        findings: &mut Findings,
    ) {
        let info = at.get("model_info");
        let mut line = Map::new();
        for (key, to) in KEYS {
            let given = params.get(key).or_else(|| info.as_ref().and_then(|info| info.get(key)));
            let Some(given) = given else { continue };
            let (Some(_), Some((price, is_exact))) = (model, given.raw().and_then(per_million))
            else {
                findings
                    .unsupported(&given, "this is not an amount for a single model; set `prices`");
                continue;
            };
            let to_key = format!("prices[].{to}");
            match is_exact {
                true => findings.exact(&given, &to_key),
                false => findings.approximate(&given, &to_key, "rounded to 10⁻⁹ USD"),
            }
            line.insert((*to).to_owned(), json!(price));
        }
        let base = info.as_ref().and_then(|info| info.get("base_model"));
        if let (Some(base), Some(_)) = (&base, model) {
            let name = base.raw().unwrap_or_default();
            match line.is_empty().then(|| built_in(name)).flatten() {
                Some(known) => {
                    findings.approximate(base, "prices[]", "the built-in price of that model");
                    line = known;
                }
                None => {
                    findings.unsupported(base, "there is no built-in price of it; set `prices`")
                }
            }
        }
        let Some(model) = model.filter(|_| !line.is_empty()) else { return };
        for key in ["input", "output"] {
            line.entry(key).or_insert_with(|| json!("0"));
        }
        line.insert("provider".to_owned(), json!(provider));
        line.insert("model".to_owned(), json!(model));
        let is_known = |known: &Json| known["provider"] == provider && known["model"] == model;
        if !self.lines.iter().any(is_known) {
            self.lines.push(Json::Object(line));
        }
    }

    pub(crate) fn all(self) -> Vec<Json> {
        self.lines
    }
}

/// The built-in price of a model.
fn built_in(model: &str) -> Option<Map<String, Json>> {
    let bare = model.rsplit('/').next().unwrap_or(model);
    let lines = PriceList::built_in_with(Vec::new()).lines();
    let line = lines.iter().rfind(|line| {
        let price = &line.price;
        price.model == bare && price.above == 0 && price.tier.is_none()
    })?;
    let rates = &line.price.rates;
    let mut made = Map::new();
    made.insert("input".to_owned(), json!(decimal(rates.input)));
    made.insert("output".to_owned(), json!(decimal(rates.output)));
    Some(made)
}

/// A decimal times a million, and whether that is exact in the decimals of a price.
fn per_million(text: &str) -> Option<(String, bool)> {
    let text = text.trim();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.trim_start_matches('+').parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The place of the point among the digits.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_add(6)?;
    if !(-30..=18).contains(&point) {
        return None;
    }
    let digits = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(usize::try_from(-point).ok()?))
    } else {
        let point = usize::try_from(point).ok()?;
        let padded = format!("{digits:0<point$}");
        format!("{}.{}", &padded[..point], &padded[point..])
    };
    let (whole, fraction) = digits.split_once('.')?;
    let kept: String = fraction.chars().take(DECIMALS).collect();
    let is_exact = fraction.chars().skip(DECIMALS).all(|c| c == '0');
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let text = format!("{whole}.{kept}");
    Some((text.trim_end_matches('0').trim_end_matches('.').to_owned(), is_exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, expected) in [
            ("0.00000015", ("0.15", true)),
            ("1.5e-07", ("0.15", true)),
            ("6e-7", ("0.6", true)),
            ("0.000010", ("10", true)),
            ("1E-5", ("10", true)),
            ("0", ("0", true)),
            ("0.0", ("0", true)),
            ("2.5", ("2500000", true)),
            ("7.5e-8", ("0.075", true)),
            ("1.2345678912e-3", ("1234.5678912", true)),
            ("1.00000000001e-06", ("1", false)),
        ] {
            let (price, is_exact) = per_million(text).expect(text);
            assert_eq!((price.as_str(), is_exact), expected, "{text}");
        }
        for wrong in ["", "x", "-1", "1e99", "1e", "."] {
            assert_eq!(per_million(wrong), None, "{wrong}");
        }
    }
}
