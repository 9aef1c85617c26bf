//! Value added tax identification numbers of the European Union, the United Kingdom and
//! Switzerland: a country's two letters, and a number with its check digits.
//!
//! Sources: European Commission, VIES (forms); the national rules for check digits as python-stdnum
//! lists them. A number of a form that has no check digits needs a word before it.

use super::super::places::{ALL, ANY, DASH, DOT, RUN_MAX, SPACE, after_letters, behind_mark};
use super::super::shape::{Names, luhn, mod_11_10, number, weighted};
use super::super::{Detector, Digits, Span, View};

/// Value added tax identification numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "vat_id",
    digits: Some(find),
    places: &[
        behind_mark(&[3, 4], SPACE | DOT | DASH),
        behind_mark(&[5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, RUN_MAX], ANY),
        after_letters(&[1, 2, 3, 4], ALL, ANY),
    ],
    ..Detector::NEW
};

static WORDS: Names = Names::new(&[
    "vat", "vat id", "ust", "ustid", "mwst", "tva", "iva", "btw", "moms", "nip", "nif", "cif",
    "dph", "dič", "pvn", "pvm", "ddv", "oib", "uid", "afm", "cui", "vies",
]);
/// Characters after the country's letters.
const LEN_MAX: usize = 12;
/// Letters and marks between the beginning and the first digit: "ATU", "CHE-", "ES B".
const BEFORE_MAX: usize = 4;

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    // Most digits do not follow a letter, or a mark behind one.
    let letter = |i: usize| view.before(i).is_some_and(|b| b.is_ascii_uppercase());
    let mark = matches!(view.before(q), Some(b' ' | b'.' | b'-')) && letter(q - 1);
    if !mark && !letter(q) {
        return None;
    }
    let lo = view.lo.max(q.saturating_sub(BEFORE_MAX));
    (lo..q.saturating_sub(1)).find_map(|start| from(view, start))
}

/// The number whose country's letters stand at `start`.
fn from(view: &View<'_>, start: usize) -> Option<Span> {
    let country = view.text.get(start..start + 2)?;
    if !country.iter().all(u8::is_ascii_uppercase)
        || view.before(start).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return None;
    }
    let country = [country[0], country[1]];
    let mut body = [0u8; LEN_MAX];
    let mut ends = [0usize; LEN_MAX + 1];
    let (mut len, mut i) = (0, start + 2);
    loop {
        let apart = matches!(view.at(i), Some(b' ' | b'.' | b'-'));
        let next = i + usize::from(apart);
        let Some(b) = view.at(next) else { break };
        if !(b.is_ascii_digit() || b.is_ascii_uppercase()) || len == LEN_MAX {
            break;
        }
        body[len] = b;
        (len, i) = (len + 1, next + 1);
        ends[len] = i;
    }
    // Words may follow after a space.
    let whole = |end: usize| {
        let goes_on = view.at(end).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let apart = matches!(view.at(end), Some(b'.' | b'-' | b' '))
            && view.at(end + 1).is_some_and(|b| b.is_ascii_digit());
        !goes_on && !apart
    };
    (8..=len).rev().filter(|len| whole(ends[*len])).find_map(|len| {
        let right = match is_right(country, &body[..len]) {
            Some(right) => right,
            None => has_form(country, &body[..len]) && WORDS.call(view, start),
        };
        right.then_some((start, ends[len]))
    })
}

/// Whether the check digits are right; nothing if a number of this form has none.
fn is_right(country: [u8; 2], body: &[u8]) -> Option<bool> {
    if let Some(number) = digits(body) {
        return of_digits(country, number.get(..body.len())?);
    }
    match (&country, body) {
        (b"AT", [b'U', rest @ ..]) => with_digits(rest, 8, |d| {
            let sum: u32 = (0..7)
                .map(|i| u32::from(if i % 2 == 1 { d[i] / 5 + d[i] * 2 % 10 } else { d[i] }))
                .sum();
            (96 - sum) % 10 == u32::from(d[7])
        }),
        (b"NL", [number @ .., b'B', a, b]) if a.is_ascii_digit() && b.is_ascii_digit() => {
            let old = with_digits(number, 9, |d| {
                weighted(d, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11 == u32::from(d[8])
            })?;
            Some(old || mod_97(&country, body) == 1)
        }
        (b"ES", [first, middle @ .., last]) => spain(*first, middle, *last),
        (b"IE", [number @ .., last]) if number.len() == 7 => {
            with_digits(number, 7, |d| *last == ireland(d, 0))
        }
        (b"IE", [number @ .., last, more @ b'A'..=b'I']) => {
            with_digits(number, 7, |d| *last == ireland(d, u32::from(more - b'A' + 1)))
        }
        (b"CY", [number @ .., last]) => with_digits(number, 8, |d| {
            const TURNED: [u8; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
            let sum: u32 = (0..8)
                .map(|i| u32::from(if i % 2 == 0 { TURNED[usize::from(d[i])] } else { d[i] }))
                .sum();
            *last == b'A' + (sum % 26) as u8
        }),
        (b"FR", [_, _, rest @ ..]) => with_digits(rest, 9, luhn),
        (b"CH", [b'E', rest @ ..]) => with_digits(rest, 9, |d| {
            11 - weighted(d, &[5, 4, 3, 2, 7, 6, 5, 4]) % 11
                == if d[8] == 0 { 11 } else { d[8].into() }
        }),
        _ => Some(false),
    }
}

/// Numbers that have digits alone.
fn of_digits(country: [u8; 2], d: &[u8]) -> Option<bool> {
    let last = || d.last().map_or(0, |d| u32::from(*d));
    let sum = |weights: &[u32]| weighted(d, weights);
    // 11 minus the rest, where ten and eleven are these.
    let eleven = |weights: &[u32], ten: u32, eleven: u32| match 11 - sum(weights) % 11 {
        11 => eleven,
        10 => ten,
        check => check,
    };
    let right = match (&country, d.len()) {
        (b"DE", 9) | (b"HR", 11) => mod_11_10(d),
        (b"IT", 11) => luhn(d),
        (b"FR", 11) => {
            let company = number(&d[2..]);
            luhn(&d[2..]) && (12 + 3 * (company % 97)) % 97 == number(&d[..2])
        }
        (b"BE", 10) => d[0] < 2 && 97 - number(&d[..8]) % 97 == number(&d[8..]),
        (b"BG", 9) => match sum(&[1, 2, 3, 4, 5, 6, 7, 8]) % 11 {
            10 => sum(&[3, 4, 5, 6, 7, 8, 9, 10]) % 11 % 10 == last(),
            check => check == last(),
        },
        (b"CZ", 8) => eleven(&[8, 7, 6, 5, 4, 3, 2], 0, 1) == last(),
        (b"DK", 8) => sum(&[2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11),
        (b"EE", 9) => sum(&[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10),
        (b"FI", 8) => eleven(&[7, 9, 10, 5, 8, 4, 2], 10, 0) == last(),
        (b"EL", 9) => sum(&[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == last(),
        (b"HU", 8) => sum(&[9, 7, 3, 1, 9, 7, 3, 1]).is_multiple_of(10),
        (b"LV", 11) => d[0] > 3 && sum(&[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]) % 11 == 3,
        (b"LT", 9) => match sum(&[1, 2, 3, 4, 5, 6, 7, 8]) % 11 {
            10 => sum(&[3, 4, 5, 6, 7, 8, 9, 1]) % 11 % 10 == last(),
            check => check == last(),
        },
        (b"LU", 8) => number(&d[..6]) % 89 == number(&d[6..]),
        (b"MT", 8) => 37 - sum(&[3, 4, 6, 7, 8, 9]) % 37 == number(&d[6..]) as u32,
        (b"PL", 10) => sum(&[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == last(),
        (b"PT", 9) => eleven(&[9, 8, 7, 6, 5, 4, 3, 2], 0, 0) == last(),
        (b"SK", 10) => number(d).is_multiple_of(11),
        (b"SI", 8) => eleven(&[8, 7, 6, 5, 4, 3, 2], 0, 11) == last(),
        (b"SE", 12) => d.ends_with(&[0, 1]) && luhn(&d[..10]),
        (b"GB" | b"XI", 9 | 12) => {
            let sum = sum(&[8, 7, 6, 5, 4, 3, 2]) + number(&d[7..9]) as u32;
            sum.is_multiple_of(97) || (sum + 55).is_multiple_of(97)
        }
        (b"RO", 8..=10) => {
            let weights = &[7, 5, 3, 2, 1, 7, 5, 3, 2][10 - d.len()..];
            sum(weights) * 10 % 11 % 10 == last()
        }
        _ => return None,
    };
    Some(right)
}

/// Whether a number of this country may look so, where it has no check digits.
fn has_form(country: [u8; 2], body: &[u8]) -> bool {
    let digits = body.iter().all(u8::is_ascii_digit);
    matches!((&country, body.len()), (b"BG" | b"CZ", 9 | 10) | (b"LT", 12)) && digits
}

/// All characters, if they are digits.
fn digits(body: &[u8]) -> Option<[u8; LEN_MAX]> {
    let mut digits = [0; LEN_MAX];
    for (digit, b) in digits.iter_mut().zip(body) {
        *digit = b.checked_sub(b'0').filter(|d| *d <= 9)?;
    }
    Some(digits)
}

/// The verdict of `right` on `count` digits; a body of another form is wrong.
fn with_digits(body: &[u8], count: usize, right: impl Fn(&[u8]) -> bool) -> Option<bool> {
    let digits = digits(body).filter(|_| body.len() == count);
    Some(digits.is_some_and(|digits| right(&digits[..count])))
}

/// The check letter of seven digits in Ireland, and of the letter behind it.
fn ireland(d: &[u8], more: u32) -> u8 {
    let sum = weighted(d, &[8, 7, 6, 5, 4, 3, 2]) + 9 * more;
    b"WABCDEFGHIJKLMNOPQRSTUV"[sum as usize % 23]
}

/// Persons' numbers are those of their identity cards; companies' have a letter and seven digits.
fn spain(first: u8, middle: &[u8], last: u8) -> Option<bool> {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    with_digits(middle, 7, |d| {
        let person = match first {
            b'0'..=b'9' => Some(u64::from(first - b'0')),
            b'X'..=b'Z' => Some(u64::from(first - b'X')),
            b'K' | b'L' | b'M' => Some(0),
            _ => None,
        };
        if let Some(first) = person {
            return last == LETTERS[((first * 10_000_000 + number(d)) % 23) as usize];
        }
        let sum: u32 = (0..7)
            .map(|i| u32::from(if i % 2 == 0 { d[i] * 2 / 10 + d[i] * 2 % 10 } else { d[i] }))
            .sum();
        let check = (10 - sum % 10) % 10;
        b"ABCDEFGHJNPQRSUVW".contains(&first)
            && (u32::from(last) == u32::from(b'0') + check || last == b"JABCDEFGHI"[check as usize])
    })
}

/// The rest by 97 of a number in which letters count from ten on (ISO 7064, MOD 97-10).
fn mod_97(country: &[u8], body: &[u8]) -> u32 {
    country.iter().chain(body).fold(0, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        _ => (rest * 100 + u32::from(b - b'A') + 10) % 97,
    })
}

#[cfg(test)]
#[test]
fn numbers_of_every_country() {
    super::super::shape::check(
        "vat_id",
        &[
            "USt-IdNr. «DE136695976», «ATU13585627», «BE0776091951», «BG175074752».",
            "«HR33392005961» «CY10259033P» «CZ25123891» «DK13585628» «EE100931558» «FI20774740»",
            "«FR40303265045», «FRK7399859412», «EL094259216», «HU12892312», «IE6433435F».",
            "«IT00743110157» «LV40003521600» «LT119511515» «LU15027442» «MT11679112»",
            "«NL004495445B01» «NL123456789B13» «PL8567346215» «PT501964843» «RO18547290»",
            "«SK2022749619» «SI50223054» «ES54362315K» «ESX2482300W» «ESJ99216582»",
            "«SE123456789701»",
            "VAT «GB 980 780 684», «XI980780684», «DE 136 695 976», MWST «CHE-100.155.212»",
            "VAT «CZ7103192745», CZ710319274 x",
            "DE136695978 IT00743110158 FR41303265045 GB802311781 XDE136695976 DE1366959760",
            "US123456789, at DE 12, NL 004495446B01",
        ],
    );
}
