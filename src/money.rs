//! Amounts of money as text: whole numbers of 10⁻⁹ USD.
//!
//! A leaf. Pure. Guarantees: an amount and its text are exactly equal. Does not: compute costs (see
//! `cost`), or use floating point.

const NANO_IN_USD: u64 = 1_000_000_000;

/// The shortest decimal: `0.000195`, `1.5`, `2`.
pub fn decimal(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / NANO_IN_USD, nano % NANO_IN_USD);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A decimal with at least two digits after the point: `0.000195`, `1.50`.
pub fn usd(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    let fraction = format!("{:09}", nano % NANO_IN_USD);
    let digits = fraction.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", nano / NANO_IN_USD, &fraction[..digits])
}

/// The amount of a decimal with at most nine digits after the point.
pub fn parse_usd(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nano =
        if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse::<i64>().ok()? };
    let nano = if whole.starts_with('-') { -nano } else { nano };
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nano)
}

/// A number with its thousands apart: `1,204`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_exactly() {
        for (nano, short, long) in [
            (0, "0", "0.00"),
            (1, "0.000000001", "0.000000001"),
            (195_000, "0.000195", "0.000195"),
            (1_500_000_000, "1.5", "1.50"),
            (20_000_000_000, "20", "20.00"),
        ] {
            assert_eq!((decimal(nano), usd(nano as i64)), (short.to_owned(), long.to_owned()));
            assert_eq!((parse_usd(short), parse_usd(long)), (Some(nano as i64), Some(nano as i64)));
        }
        assert_eq!(
            (usd(-195_000), parse_usd("-0.000195")),
            ("-0.000195".to_owned(), Some(-195_000))
        );
        assert_eq!(
            (parse_usd(""), parse_usd("1.x"), parse_usd("9999999999999")),
            (None, None, None)
        );
    }
}
