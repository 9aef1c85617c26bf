//! Payment cards: 12 to 19 digits with an issuer's prefix and Luhn's check digit.
//!
//! Source: ISO/IEC 7812-1.

use super::places::{DASH, NO_LETTER, SPACE, digits};
use super::{Detector, Digits, Span, View, glued};

/// Payment cards.
pub(crate) const DETECTOR: Detector = Detector {
    name: "credit_card",
    digits: Some(find),
    places: &[digits(&[4], SPACE | DASH), digits(&[12, 13, 14, 15, 16, 17, 18, 19], NO_LETTER)],
    ..Detector::NEW
};

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

/// Whether what stands at `q` begins like a payment card: an issuer's first digit, and 12 digits
/// with single separators are at least so many bytes of digits and separators.
fn may_be_card(view: &View<'_>, q: usize) -> bool {
    let rest = &view.text[q..];
    matches!(rest.first(), Some(b'1'..=b'6' | b'8'))
        && rest
            .first_chunk::<12>()
            .is_some_and(|t| t.iter().all(|b| matches!(b, b'0'..=b'9' | b' ' | b'-')))
}

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if !may_be_card(view, q) {
        return None;
    }
    let mut row = at.cards.borrow_mut();
    let digits = row.read(view, q, 20);
    let prefix = digits.iter().take(4).fold(0u32, |p, d| p * 10 + u32::from(d.value));
    let lengths: &[usize] = match prefix {
        3400..=3499 | 3700..=3799 | 1800 | 2131 => &[15],
        3000..=3059 | 3600..=3699 | 3800..=3999 => &[14, 16],
        4000..=4999 => &[19, 16, 13],
        2221..=2720 | 5100..=5599 => &[16],
        // Maestro has shorter ones, too.
        5000..=5099 | 5600..=5899 | 6304 | 6390 | 6700..=6799 => &[19, 18, 17, 16, 15, 14, 13, 12],
        3500..=3599 | 6000..=6999 | 8100..=8199 => &[19, 18, 17, 16],
        _ => return None,
    };
    lengths.iter().filter(|len| **len <= digits.len()).find_map(|&len| {
        let digits = &digits[..len];
        let end = digits[len - 1].at + 1;
        (luhn(digits) && is_grouped(digits) && !glued(view, q, end)).then_some((q, end))
    })
}

/// Whether the digits stand together or in groups as on a card: four, and then two to six. Not
/// "2 3 4 5 6 …" and the columns of a table.
fn is_grouped(digits: &[Digit]) -> bool {
    let (mut groups, mut len) = (0, 1);
    for pair in digits.windows(2) {
        if pair[1].at == pair[0].at + 1 {
            len += 1;
            continue;
        }
        if groups == 0 && len != 4 || !(2..=6).contains(&len) {
            return false;
        }
        (groups, len) = (groups + 1, 1);
    }
    groups == 0 || (2..=6).contains(&len)
}

/// Whether the check digit is right and they are not all the same.
fn luhn(digits: &[Digit]) -> bool {
    let [first, .., last] = digits else { return false };
    // The last one counts once, the one before it twice, and so on.
    let after = last.sums_after()[1];
    let before = first.sums[(digits.len() + 1) % 2];
    (after - before).is_multiple_of(10) && digits.iter().any(|d| d.value != first.value)
}
