//! Values with a unit: durations, sizes, and exact amounts.
//!
//! Pure. A reading function takes the text of a scalar and returns the value. Otherwise it returns
//! the rest of a sentence that begins with the value: the reason, a semicolon and the remedy.

use std::time::Duration;

const NOT_A_DURATION: &str =
    "is not a duration; write a whole number and a unit, e.g. 500ms, 5s, 10m or 1h";
const NOT_A_SIZE: &str = "is not a size; write a whole number and a unit, e.g. 16KiB or 1MiB";
pub(crate) const TOO_LARGE: &str = "is too large; write a smaller size";

/// A duration: a whole number and one of `ms s m h d`.
///
/// # Errors
/// The problem, and the correct form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let factor_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err("has no unit; write e.g. 500ms, 5s, 10m or 1h".to_owned()),
        _ => return Err(NOT_A_DURATION.to_owned()),
    };
    let number = whole(number).ok_or(NOT_A_DURATION)?;
    number
        .checked_mul(factor_ms)
        .filter(|ms| *ms <= 36_500 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "is longer than a hundred years; write a shorter duration".to_owned())
}

/// A size in bytes: a whole number and `B KiB MiB GiB` (or `KB MB GB`, in thousands); a bare number
/// is bytes.
///
/// # Errors
/// The problem, and the correct form.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(NOT_A_SIZE.to_owned()),
    };
    let number = whole(number).ok_or(NOT_A_SIZE)?;
    number.checked_mul(factor).ok_or_else(|| TOO_LARGE.to_owned())
}

/// A whole number that is not negative; `_` may group its digits.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let plain = text.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// A decimal that is not negative, in units of 10⁻⁹, exactly.
///
/// # Errors
/// The problem, and the correct form.
pub(crate) fn nano(text: &str) -> Result<u64, String> {
    let hint =
        "write a decimal that is not negative, with at most nine digits after the point, e.g. 2.50";
    let (units, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !plain(units) || !plain(fraction) {
        return Err(format!("is not an amount of USD; {hint}"));
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(format!("is finer than 10⁻⁹ USD; {hint}"));
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().unwrap_or(0);
    units
        .parse::<u64>()
        .ok()
        .and_then(|u| u.checked_mul(1_000_000_000)?.checked_add(nanos))
        .filter(|n| *n <= 1_000_000_000_000_000_000)
        .ok_or_else(|| "is more than a billion USD; write a smaller amount".to_owned())
}

/// A duration in the largest unit that holds it exactly.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// A size in the largest binary unit that holds it exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes}B"),
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use crate::money::decimal;

    #[test]
    fn durations() {
        let table = [
            ("500ms", 500),
            ("5s", 5_000),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("0s", 0),
        ];
        for (text, ms) in table {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 sec",
            "5S",
            "1h30m",
            "99999999999999999999s",
            "40000d",
            "٣s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let table = [
            ("16KiB", 16 << 10),
            ("1MiB", 1 << 20),
            ("100 MiB", 100 << 20),
            ("7", 7),
            ("7B", 7),
            ("1MB", 1_000_000),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "KiB", "-1", "1.5MiB", "1mib", "1TiB", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn shown_values_read_back(n in 0u64..4_000_000_000) {
            prop_assert_eq!(size(&show_size(n)), Ok(n));
            prop_assert_eq!(nano(&decimal(n)), Ok(n));
            prop_assert_eq!(duration(&show_duration(Duration::from_millis(n))), Ok(Duration::from_millis(n)));
        }
    }
}
