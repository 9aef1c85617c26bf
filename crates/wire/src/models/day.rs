//! Seconds since 1970 as text, and back. Without leap seconds, as Unix counts.
//!
//! # Source
//! RFC 3339; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

const DAY: u64 = 86_400;
/// Days from the first of March of the year 0 to the first day of 1970.
const BEFORE_1970: u64 = 719_468;
/// Days of 400 years.
const ERA: u64 = 146_097;

/// `2026-11-30T01:02:03Z`. Times after the year 9999 are its last second.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let seconds = seconds.min(253_402_300_799);
    let days = seconds / DAY + BEFORE_1970;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months begin with March.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let second = seconds % DAY;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The seconds of a time in UTC, without its fraction; nothing for any other text.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_time = bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T');
    let is_utc = text.ends_with('Z') || text.ends_with("+00:00");
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day) && year >= 1970;
    if !(is_time && is_utc && is_real && hour < 24 && minute < 60 && second < 61) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_era = year % 400;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year / 400 * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some((days - BEFORE_1970) * DAY + hour * 3_600 + minute * 60 + second)
}
