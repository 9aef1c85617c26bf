//! International bank account numbers: a country's length, and the check digits (mod 97).
//!
//! Source: ISO 13616-1 and its registry of lengths.

use super::places::{ALL, ANY, after_letters};
use super::{Detector, Digits, Span};

/// International bank account numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "iban",
    digits: Some(find),
    places: &[after_letters(&[2], ALL, ANY)],
    ..Detector::NEW
};

/// The digits are the check digits, after the two letters of the country.
fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let start = q.checked_sub(2)?;
    if start < view.lo || !view.text[start..q].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    if view.before(start).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let length =
        match &[view.text[start].to_ascii_uppercase(), view.text[start + 1].to_ascii_uppercase()] {
            b"NO" => 15,
            b"BE" => 16,
            b"DK" | b"FI" | b"FO" | b"GL" | b"NL" | b"SD" => 18,
            b"MK" | b"SI" => 19,
            b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"MN" | b"XK" => 20,
            b"CH" | b"HR" | b"LI" | b"LV" => 21,
            b"BG" | b"BH" | b"CR" | b"DE" | b"GB" | b"GE" | b"IE" | b"ME" | b"RS" | b"VA" => 22,
            b"AE" | b"GI" | b"IL" | b"IQ" | b"OM" | b"SO" | b"TL" => 23,
            b"AD" | b"CZ" | b"ES" | b"MD" | b"PK" | b"RO" | b"SA" | b"SE" | b"SK" | b"TN"
            | b"VG" => 24,
            b"LY" | b"PT" | b"ST" => 25,
            b"IS" | b"TR" => 26,
            b"BI" | b"DJ" | b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" => 27,
            b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL"
            | b"SV" => 28,
            b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
            b"JO" | b"KW" | b"MU" | b"YE" => 30,
            b"MT" | b"SC" => 31,
            b"LC" => 32,
            b"RU" => 33,
            _ => return None,
        };
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
    if view.at(i).is_some_and(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let rotated = chars[4..length].iter().chain(&chars[..4]);
    let check = rotated.fold(0u32, |m, &b| match b {
        b'0'..=b'9' => (m * 10 + u32::from(b - b'0')) % 97,
        _ => (m * 100 + u32::from(b - b'A') + 10) % 97,
    });
    (check == 1).then_some((start, i))
}
