//! Numbers with a form or check digits of their own: payment cards (Luhn), IBANs (mod 97), US
//! social security numbers.
//!
//! Sources: ISO/IEC 7812-1, ISO 13616-1, SSA randomization (area, group and serial that are never
//! issued).

use super::View;

/// Digits with single spaces or dashes between them, as far as they were read, so that a row of
/// them is not read again from each of its groups on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    digits: Vec<Digit>,
    /// Where the row goes on that was read up to here.
    next: usize,
    /// The first digit that was not passed.
    first: usize,
}

/// Digits that are kept after they are passed.
const PASSED_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Digit {
    at: usize,
    value: u8,
    /// Luhn's sums of those before it, where it counts once and where it counts twice.
    sums: [u32; 2],
}

impl Row {
    /// The text is another one.
    pub(crate) fn clear(&mut self) {
        self.digits.clear();
        (self.next, self.first) = (0, 0);
    }

    /// At most so many digits from `q` on.
    fn read(&mut self, view: &View<'_>, q: usize, max: usize) -> &[Digit] {
        while self.digits.get(self.first).is_some_and(|d| d.at < q) {
            self.first += 1;
        }
        if self.first >= PASSED_MAX {
            self.digits.drain(..self.first);
            self.first = 0;
        }
        if self.digits.get(self.first).is_none_or(|d| d.at != q) {
            self.clear();
            self.next = q;
        }
        while self.digits.len() - self.first < max {
            let apart = !self.digits.is_empty() && matches!(view.at(self.next), Some(b' ' | b'-'));
            let at = self.next + usize::from(apart);
            let Some(b @ b'0'..=b'9') = view.at(at) else { break };
            let value = b - b'0';
            let sums = self.digits.last().map_or([0; 2], Digit::sums_after);
            self.digits.push(Digit { at, value, sums });
            self.next = at + 1;
        }
        let digits = &self.digits[self.first..];
        &digits[..digits.len().min(max)]
    }
}

impl Digit {
    /// The sums of those before the next one: there it is the other way round.
    fn sums_after(&self) -> [u32; 2] {
        let (once, twice) =
            (u32::from(self.value), u32::from(self.value * 2 / 10 + self.value * 2 % 10));
        // Where the next one counts once this one counts twice.
        [self.sums[1] + twice, self.sums[0] + once]
    }
}

fn glued(view: &View<'_>, start: usize, end: usize) -> bool {
    let word = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let left = word(view.before(start))
        || matches!(view.before(start), Some(b'.' | b'-'))
            && start > view.lo + 1
            && word(view.before(start - 1));
    let right =
        word(view.at(end)) || matches!(view.at(end), Some(b'.' | b'-')) && word(view.at(end + 1));
    left || right
}

/// Whether what stands at `q` begins like a payment card: an issuer's first digit, and 13 digits
/// with single separators are at least so many bytes of digits and separators.
pub(crate) fn may_be_card(view: &View<'_>, q: usize) -> bool {
    let rest = &view.text[q..];
    matches!(rest.first(), Some(b'2'..=b'6' | b'8'))
        && rest
            .first_chunk::<13>()
            .is_some_and(|t| t.iter().all(|b| matches!(b, b'0'..=b'9' | b' ' | b'-')))
}

/// A payment card whose first digit is at `q`: 13 to 19 digits, a known issuer's prefix, Luhn.
pub(crate) fn card(view: &View<'_>, q: usize, row: &mut Row) -> Option<(usize, usize)> {
    let digits = row.read(view, q, 20);
    let prefix = digits.iter().take(4).fold(0u32, |p, d| p * 10 + u32::from(d.value));
    let lengths: &[usize] = match prefix {
        3400..=3499 | 3700..=3799 => &[15],
        3000..=3059 | 3600..=3699 | 3800..=3999 => &[14, 16],
        4000..=4999 => &[19, 16, 13],
        2221..=2720 | 5100..=5599 => &[16],
        3528..=3589 | 6000..=6999 | 5000..=5099 | 8100..=8199 => &[19, 18, 17, 16],
        _ => return None,
    };
    lengths.iter().filter(|len| **len <= digits.len()).find_map(|&len| {
        let digits = &digits[..len];
        let end = digits[len - 1].at + 1;
        (luhn(digits) && !glued(view, q, end)).then_some((q, end))
    })
}

/// Whether the check digit is right and they are not all the same.
fn luhn(digits: &[Digit]) -> bool {
    let [first, .., last] = digits else { return false };
    // The last one counts once, the one before it twice, and so on.
    let after = last.sums_after()[1];
    let before = first.sums[(digits.len() + 1) % 2];
    (after - before).is_multiple_of(10) && digits.iter().any(|d| d.value != first.value)
}

/// A US social security number whose first digit is at `q`: 3-2-4 with one kind of separator, or
/// nine digits that are called one.
pub(crate) fn ssn(view: &View<'_>, q: usize) -> Option<(usize, usize)> {
    let t = &view.text[q..];
    let (group_at, serial_at, len) = match t {
        [_, _, _, b'-', _, _, b'-', ..] | [_, _, _, b' ', _, _, b' ', ..] => (4, 7, 11),
        _ => (3, 5, 9),
    };
    let number = |from: usize, to: usize| {
        let digits = t.get(from..to)?;
        digits
            .iter()
            .try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    let area = number(0, 3)?;
    let (group, serial) = (number(group_at, group_at + 2)?, number(serial_at, len)?);
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    (issued && !glued(view, q, q + len) && (len == 11 || called_ssn(view, q)))
        .then_some((q, q + len))
}

/// Whether the words right before `q` name a social security number.
fn called_ssn(view: &View<'_>, q: usize) -> bool {
    /// How far before the number its name may end.
    const NEAR: usize = 12;
    let from = view.lo.max(q.saturating_sub(NEAR + b"social security".len()));
    let before = &view.text[from..q];
    [&b"ssn"[..], b"social security"].iter().any(|name| {
        before.windows(name.len()).enumerate().any(|(i, w)| {
            let letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphabetic);
            let alone = !letter(i.checked_sub(1).and_then(|i| before.get(i)))
                && !letter(before.get(i + name.len()));
            w.eq_ignore_ascii_case(name) && alone && before.len() - i - name.len() <= NEAR
        })
    })
}

/// An IBAN whose check digits begin at `q`, after the two letters of its country.
pub(crate) fn iban(view: &View<'_>, q: usize) -> Option<(usize, usize)> {
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
