//! International bank account numbers: a country's length, and the check digits (mod 97).
//!
//! Source: ISO 13616-1 and its registry of lengths.

use super::places::{ALL, ANY, after_letters};
use super::{Detector, Digits, Span, ends_escape, in_word};

/// International bank account numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "iban",
    digits: Some(find),
    places: &[after_letters(&[2, 6], ALL, ANY)],
    ..Detector::NEW
};

/// How many characters an account has, by its country.
const COUNTRIES: &[(u8, &[[u8; 2]])] = &[
    (15, &[*b"NO"]),
    (16, &[*b"BE"]),
    (18, &[*b"DK", *b"FI", *b"FO", *b"GL", *b"NL", *b"SD"]),
    (19, &[*b"MK", *b"SI"]),
    (20, &[*b"AT", *b"BA", *b"EE", *b"KZ", *b"LT", *b"LU", *b"MN", *b"XK"]),
    (21, &[*b"CH", *b"HR", *b"LI", *b"LV"]),
    (22, &[*b"BG", *b"BH", *b"CR", *b"DE", *b"GB", *b"GE", *b"IE", *b"ME", *b"RS", *b"VA"]),
    (23, &[*b"AE", *b"GI", *b"IL", *b"IQ", *b"OM", *b"SO", *b"TL"]),
    (24, &[*b"AD", *b"CZ", *b"ES", *b"MD", *b"PK", *b"RO", *b"SA", *b"SE", *b"SK", *b"TN", *b"VG"]),
    (25, &[*b"LY", *b"PT", *b"ST"]),
    (26, &[*b"IS", *b"TR"]),
    (27, &[*b"BI", *b"DJ", *b"FR", *b"GR", *b"IT", *b"MC", *b"MR", *b"SM"]),
    (28, &[*b"AL", *b"AZ", *b"BY", *b"CY", *b"DO", *b"GT", *b"HU", *b"LB", *b"NI", *b"PL", *b"SV"]),
    (29, &[*b"BR", *b"EG", *b"PS", *b"QA", *b"UA"]),
    (30, &[*b"JO", *b"KW", *b"MU", *b"YE"]),
    (31, &[*b"MT", *b"SC"]),
    (32, &[*b"LC"]),
    (33, &[*b"RU"]),
];

/// The same for each two letters; 0 for those of no country.
static LENGTHS: [u8; 26 * 26] = {
    let (mut lengths, mut row) = ([0; 26 * 26], 0);
    while row < COUNTRIES.len() {
        let (length, countries) = COUNTRIES[row];
        let mut i = 0;
        while i < countries.len() {
            let [first, second] = countries[i];
            lengths[(first - b'A') as usize * 26 + (second - b'A') as usize] = length;
            i += 1;
        }
        row += 1;
    }
    lengths
};

/// The digits are the check digits, after the two letters of the country.
fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let start = q.checked_sub(2)?;
    if start < view.lo || !view.text[start..q].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    // "IBANDE89…", "IBAN_DE89…"
    let name = &view.text[view.lo..start];
    let name = name.strip_suffix(b"_").unwrap_or(name);
    let named = name.len() >= 4 && name[name.len() - 4..].eq_ignore_ascii_case(b"iban");
    if !named
        && view.before(start).is_some_and(|b| b.is_ascii_alphanumeric())
        && !ends_escape(view, start)
    {
        return None;
    }
    let letter = |i: usize| usize::from(view.text[start + i].to_ascii_uppercase() - b'A');
    let length = usize::from(LENGTHS[letter(0) * 26 + letter(1)]);
    if length == 0 {
        return None;
    }
    let mut chars = [0u8; 34];
    let (mut n, mut i, mut spaced) = (0, start, false);
    while n < length {
        match view.at(i) {
            Some(b) if b.is_ascii_alphanumeric() => {
                chars[n] = b.to_ascii_uppercase();
                n += 1;
                spaced = false;
            }
            Some(b' ' | b'-') if !spaced => spaced = true,
            _ => return None,
        }
        i += 1;
    }
    let next = view.at(i);
    if next.is_some_and(|b| b.is_ascii_alphanumeric())
        || !named && view.before(start) == Some(b'_') && in_word(view, start, i)
    {
        return None;
    }
    let rotated = chars[4..length].iter().chain(&chars[..4]);
    // The rest is taken only when the number grows too long.
    let check = rotated.fold(0u64, |m, &b| {
        let m = if m >> 48 == 0 { m } else { m % 97 };
        match b {
            b'0'..=b'9' => m * 10 + u64::from(b - b'0'),
            _ => m * 100 + u64::from(b - b'A') + 10,
        }
    });
    (check % 97 == 1).then_some((start, i))
}
