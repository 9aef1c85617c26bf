//! The groups of digits that a number may consist of, and what stands between them.

use super::super::View;
use super::super::email::is_local;
use super::sight::{in_form, iso_date};
use super::{DIGITS_MAX, GROUPS_MAX, UNLABELLED_MIN, may_part};
use crate::fold::{BREAK, BULLET, LONG_DASH, SOFT_BREAK};

/// A run of digits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Group {
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Digits up to its end, of the groups that were read with it.
    total: u32,
    /// The separator before it.
    pub(crate) sep: Sep,
}

impl Group {
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(&self) -> usize {
        self.end as usize
    }

    /// Digits up to its end, of the groups that were read with it.
    pub(crate) fn total(&self) -> usize {
        self.total as usize
    }

    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The separator between two groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sep {
    pub(crate) space: bool,
    pub(crate) dash: bool,
    pub(crate) dot: bool,
    pub(crate) slash: bool,
    pub(crate) paren: bool,
    /// A mark that parts groups only where it parts all of them: `_`, `•`; of doubled marks and
    /// wide spaces [`WIDE`].
    pub(crate) odd: u8,
}

/// Three spaces and more, or a mark twice.
const WIDE: u8 = b' ';

/// The groups that were read last: what begins with one of them has the rest of them, which are not
/// read again.
#[derive(Clone, Debug)]
pub(crate) struct LastRead {
    /// Those that count are `groups[first..end]`.
    groups: [Group; KEPT],
    first: usize,
    end: usize,
    /// Odd marks stand between some of them, or a `+` before them, with which more may stand
    /// between groups.
    odd: bool,
}

/// Groups that are kept, so that they have to be moved for a few numbers only.
const KEPT: usize = 4 * GROUPS_MAX;

impl Default for LastRead {
    fn default() -> LastRead {
        LastRead { groups: [Group::default(); KEPT], first: 0, end: 0, odd: false }
    }
}

impl LastRead {
    /// The text is another one.
    pub(crate) fn clear(&mut self) {
        (self.first, self.end) = (0, 0);
    }

    /// Which of the groups begins at `q`, if it is one but the first.
    #[inline]
    fn place(&self, q: usize) -> Option<usize> {
        // Odd marks between groups depend on the first of them.
        let rest = self.groups[..self.end].get(self.first + 1..).filter(|_| !self.odd)?;
        // The next one, mostly.
        let n = rest.iter().take_while(|g| g.start() < q).count();
        rest.get(n).filter(|g| g.start() == q).map(|_| self.first + 1 + n)
    }

    /// Whether a group that was read before begins at `q`.
    pub(crate) fn goes_on(&self, q: usize) -> bool {
        self.place(q).is_some()
    }

    /// Reads groups from the first digit on, which is at `q`. Tells them, and the digits before the
    /// first one that their totals count, too.
    pub(crate) fn read(&mut self, view: &View<'_>, q: usize) -> (&[Group], usize) {
        let plus = view.before(q) == Some(b'+');
        let (mut i, mut sep) = (q, Sep::default());
        let known = self.place(q).filter(|_| !plus);
        match known {
            Some(k) => {
                self.first = k;
                self.groups[k].sep = Sep::default();
                if self.is_item(view, q) {
                    self.end = k + 1;
                    return self.read_ones();
                }
                match self.after(view, plus) {
                    Some(next) => (i, sep) = next,
                    None => return self.read_ones(),
                }
            }
            None => (self.first, self.end, self.odd) = (0, 0, plus),
        }
        if self.first + GROUPS_MAX > KEPT {
            self.groups.copy_within(self.first..self.end, 0);
            (self.first, self.end) = (0, self.end - self.first);
        }
        while self.end - self.first < GROUPS_MAX {
            let start = i;
            while view.at(i).is_some_and(|b| b.is_ascii_digit()) && i - start <= DIGITS_MAX {
                i += 1;
            }
            if i == start {
                break;
            }
            let before = if self.end > self.first { self.groups[self.end - 1].total } else { 0 };
            let total = before + (i - start) as u32;
            self.groups[self.end] = Group { start: start as u32, end: i as u32, total, sep };
            self.odd |= sep.odd != 0;
            self.end += 1;
            if self.end - self.first == 1 && self.is_item(view, q) {
                break;
            }
            match self.after(view, plus) {
                Some(next) => (i, sep) = next,
                None => break,
            }
        }
        self.read_ones()
    }

    fn read_ones(&self) -> (&[Group], usize) {
        let groups = &self.groups[self.first..self.end];
        (groups, groups.first().map_or(0, |g| g.total() - g.len()))
    }

    /// "1) …" numbers a list.
    fn is_item(&self, view: &View<'_>, q: usize) -> bool {
        let first = &self.groups[self.first];
        first.len() == 1
            && view.at(first.end()) == Some(b')')
            && !matches!(view.before(q), Some(b'(' | b'+'))
    }

    /// Where the next group begins, and what stands before it.
    fn after(&self, view: &View<'_>, plus: bool) -> Option<(usize, Sep)> {
        let (first, last) = (&self.groups[self.first], &self.groups[self.end - 1]);
        let digits = last.total() + first.len() - first.total();
        let n = self.end - self.first;
        if digits > DIGITS_MAX || n == GROUPS_MAX {
            return None;
        }
        let odd = if n > 1 { self.groups[self.first + 1].sep.odd } else { 0 };
        // "24/7" is no part of a number.
        separator(view, last.end(), Before { q: first.start(), digits, n, odd, plus })
            .filter(|(next, _)| digits < 7 || !no_number(view, *next, digits))
    }
}

/// Whether something begins at `i` that does not go on a number: a date, a time of day, "24/7",
/// hours in brackets.
fn no_number(view: &View<'_>, i: usize, digits: usize) -> bool {
    let rest = &view.text[i..view.text.len().min(i + 12)];
    let run = |from: usize| {
        rest.get(from..).map_or(0, |r| r.iter().take_while(|b| b.is_ascii_digit()).count())
    };
    let first = run(0);
    let mark = rest.get(first);
    let other = match mark {
        Some(b':') => first <= 2 && run(first + 1) == 2,
        Some(b'.' | b'/') if first <= 2 => {
            let second = run(first + 1);
            (1..=2).contains(&second)
                && rest.get(first + 1 + second) == mark
                && run(first + second + 2) == 4
                || rest.starts_with(b"24/7")
        }
        _ => false,
    };
    // An opened bracket has to be closed, and brackets stand at the beginning of a number.
    let bracket = matches!(view.before(i), Some(b'(' | b'['));
    let hours = bracket && (digits >= 8 || !matches!(mark, Some(b')' | b']' | b' ')));
    other || hours || first == 4 && iso_date(view, i)
}

/// Whether a date follows after a space before there are enough digits: "217 2024-11-05". The date
/// is a thing of its own.
pub(crate) fn a_date_follows(view: &View<'_>, groups: &[Group], before: usize) -> bool {
    groups.windows(2).take_while(|pair| pair[0].total() - before < UNLABELLED_MIN).any(|pair| {
        let next = &pair[1];
        next.len() == 4 && view.before(next.start()) == Some(b' ') && iso_date(view, next.start())
    })
}

/// The number as far as it was read before a separator.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    /// Where the number's digits begin.
    q: usize,
    digits: usize,
    n: usize,
    /// The odd mark of its first separator.
    odd: u8,
    plus: bool,
}

/// A separator of one mark with a digit behind it: most are.
fn one_mark(text: &[u8]) -> Option<Sep> {
    let [mark, b'0'..=b'9', ..] = text else { return None };
    let mut sep = Sep::default();
    match mark {
        b' ' => sep.space = true,
        b'-' => sep.dash = true,
        b'.' => sep.dot = true,
        b'/' => sep.slash = true,
        b'(' | b')' | b'[' | b']' => sep.paren = true,
        _ => return None,
    }
    Some(sep)
}

/// The separator at `i`, if a digit follows it.
fn separator(view: &View<'_>, i: usize, before: Before) -> Option<(usize, Sep)> {
    let rest = view.text.get(i..)?;
    if let Some(sep) = one_mark(rest) {
        return Some((i + 1, sep));
    }
    if may_part(*rest.first()?) { marks(view, i, before) } else { None }
}

/// A separator of several marks, or of a rare one.
fn marks(view: &View<'_>, mut i: usize, before: Before) -> Option<(usize, Sep)> {
    let mut sep = Sep::default();
    let Before { digits, plus, .. } = before;
    let from = i;
    let mut spaces = 0;
    // A column of a table is as wide.
    let wide = plus && (digits < 9 || before.odd == WIDE);
    loop {
        let b = view.at(i)?;
        match b {
            b'0'..=b'9' => return (i > from).then_some((i, sep)),
            // A dot and a space end a sentence, or number a list.
            b' ' if (spaces < 2 || wide) && !(sep.dot && view.before(i) == Some(b'.')) => {
                spaces += 1;
                sep.space = true;
                if spaces > 2 {
                    sep.odd = WIDE;
                }
            }
            b'-' | b'.'
                if i > from
                    && view.before(i) == Some(b)
                    && (wide || b == b'-' && !sep.space && digits < 9) =>
            {
                sep.odd = WIDE;
            }
            b'-' | LONG_DASH if !sep.dash && !sep.dot => sep.dash = true,
            b'.' if !sep.dot && !sep.dash => sep.dot = true,
            b'/' if !sep.slash => sep.slash = true,
            b'/' if wide => sep.odd = WIDE,
            b'(' | b')' | b'[' | b']' => sep.paren = true,
            // A number may go on after the end of the line only if what stands before it can be no
            // number.
            b'\n'
                if digits < 7
                    && spaces == 0
                    && (plus || matches!(view.before(i), Some(b'-' | b')'))) =>
            {
                spaces = 2;
                sep.space = true;
            }
            SOFT_BREAK if i == from && plus => {}
            // A tab stands between the columns of a table, too.
            b'\t' if digits < 9 && spaces == 0 && plus => {
                spaces = 2;
                sep.space = true;
            }
            // "03ー1234ー5678": the long-vowel mark where a dash is meant.
            0xE3 if !sep.dash && view.char_at(i) == Some('ー') => {
                sep.dash = true;
                i += 2;
            }
            _ if is_odd(view, b, before)
                && (sep == Sep { space: sep.space, ..Sep::default() } || sep.odd == b) =>
            {
                if sep.space && b != BULLET {
                    return None;
                }
                sep.odd = b;
            }
            _ => return None,
        }
        i += 1;
        if i - from > 5 {
            return None;
        }
    }
}

/// Whether `b` may part the groups of this number: each of them by the same mark, from the first
/// on.
fn is_odd(view: &View<'_>, b: u8, before: Before) -> bool {
    let own = before.odd == b || before.n == 1 && before.digits < 7;
    own && match b {
        b'+' => in_form(view, before.q),
        b'_' | b'*' | b'~' | b'|' | b'\'' | b'^' | BULLET | BREAK => before.plus,
        _ => false,
    }
}

/// Where a marked extension after a number ends: `ext. 12`, `x12`, `, extension 345`.
pub(crate) fn extension(view: &View<'_>, end: usize) -> Option<usize> {
    let mut i = end;
    while i - end < 2 && matches!(view.at(i), Some(b' ' | b',' | b';')) {
        i += 1;
    }
    let marks: &[&str] = match view.at(i)?.to_ascii_lowercase() {
        b'e' => &["extension", "extn", "ext"],
        b'x' => &["x"],
        b'd' => &["durchwahl"],
        b'p' => &["poste"],
        b'r' => &["ramal"],
        b'a' => &["anexo"],
        0xD0 => &["доб"],
        0xE5 => &["内線"],
        _ => return None,
    };
    let rest = view.text.get(i..)?;
    let mark = marks.iter().find(|m| {
        rest.len() > m.len()
            && rest[m.len() - 1].eq_ignore_ascii_case(&m.as_bytes()[m.len() - 1])
            && rest[..m.len()].eq_ignore_ascii_case(m.as_bytes())
    })?;
    i += mark.len();
    let after = i;
    while i - after < 2 && matches!(view.at(i), Some(b' ' | b'.' | b':' | b'#')) {
        i += 1;
    }
    let digits = view.text[i..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = !view.at(i + digits).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    ((1..=6).contains(&digits) && whole && !in_address(view, i + digits)).then_some(i + digits)
}

/// Whether what ends at `i` goes on to an `@`: "x123@example.com" is an address, not an extension.
pub(crate) fn in_address(view: &View<'_>, i: usize) -> bool {
    let rest = &view.text[i..view.text.len().min(i + 64)];
    rest.iter().find(|b| !(is_local(**b) || **b == SOFT_BREAK)) == Some(&b'@')
}
