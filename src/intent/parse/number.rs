//! How sure a model says it is, as a number from 0 to 1.
//!
//! Pure. Reads numbers, numbers in strings, decimal commas, percentages, ratios and English number
//! words. Does not: guess what "quite sure" may mean; that is 0.

use serde_json::Value;

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// The share of certainty that a value says; 0 where it says none, clamped to 0..1.
pub(crate) fn share(value: &Value) -> f64 {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => spoken(&text.to_lowercase()),
        _ => None,
    };
    number.filter(|n| !n.is_nan()).unwrap_or(0.0).clamp(0.0, 1.0)
}

fn spoken(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || "~≈\"'`".contains(c));
    let percent = ["%", "percent", "per cent"].iter().find_map(|unit| text.strip_suffix(unit));
    if let Some(percent) = percent {
        return one(percent).map(|n| n / 100.0);
    }
    for between in ["/", " out of ", " of "] {
        if let Some((part, whole)) = text.split_once(between) {
            return Some(one(part)? / one(whole).filter(|whole| *whole > 0.0)?);
        }
    }
    one(text)
}

/// One number, in digits or in words.
fn one(text: &str) -> Option<f64> {
    let text = text.trim();
    text.replace(',', ".").parse().ok().or_else(|| words(text))
}

/// `ninety-five`, `one hundred`, `zero point eight five`, `half`.
fn words(text: &str) -> Option<f64> {
    if text == "half" {
        return Some(0.5);
    }
    let mut words = text
        .split([' ', '-'])
        .filter(|word| !word.is_empty() && *word != "and" && *word != "a")
        .peekable();
    words.peek()?;
    let (mut whole, mut digits) = (0.0, None::<f64>);
    for word in words {
        let ones =
            ONES.iter().zip(0u8..).find(|(name, _)| **name == word).map(|(_, n)| f64::from(n));
        match (&mut digits, ones) {
            // After "point" each word is a digit.
            (Some(place), Some(digit)) if digit < 10.0 => {
                *place /= 10.0;
                whole += digit * *place;
            }
            (None, Some(n)) => whole += n,
            (None, None) if word == "point" => digits = Some(1.0),
            (None, None) if word == "hundred" => whole = 100.0 * f64::max(whole, 1.0),
            (None, None) => {
                let tens = TENS.iter().zip(2u8..).find(|(name, _)| **name == word)?.1;
                whole += f64::from(tens) * 10.0;
            }
            (Some(_), _) => return None,
        }
    }
    // Digits added up place by place: 0.85, not 0.8500000000000001.
    Some((whole * 1e9).round() / 1e9)
}
