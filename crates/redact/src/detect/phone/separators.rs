//! The separators between the groups of digits that may be one number.
//!
//! Promise: a separator that is taken after some digits is taken after fewer of them, too, so that
//! groups once read count for each candidate among them. Does not: look further than a separator
//! and the digits behind it.

use super::super::View;
use super::may_part;
use super::sight::{in_form, iso_date};
use crate::fold::{BREAK, BULLET, LONG_DASH, SOFT_BREAK};

/// Marks that a separator may hold, one bit for each. [`ODD`] is set beside [`Sep::odd`].
pub(crate) const SPACE: u8 = 1;
pub(crate) const DASH: u8 = 2;
pub(crate) const DOT: u8 = 4;
pub(crate) const SLASH: u8 = 8;
pub(crate) const PAREN: u8 = 16;
pub(crate) const ODD: u8 = 32;

/// The separator between two groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sep {
    pub(crate) marks: u8,
    /// A mark that parts groups only where it parts all of them: `_`, `•`; of doubled marks and
    /// wide spaces [`WIDE`].
    pub(crate) odd: u8,
}

impl Sep {
    /// One that holds these marks and no others.
    pub(crate) const fn of(marks: u8) -> Sep {
        Sep { marks, odd: 0 }
    }

    #[inline]
    pub(crate) const fn has(self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn odd(&mut self, mark: u8) {
        (self.marks, self.odd) = (self.marks | ODD, mark);
    }
}

/// Three spaces and more, or a mark twice.
const WIDE: u8 = b' ';

/// The number as far as it was read before a separator.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    /// Where the number's digits begin.
    pub(crate) q: usize,
    pub(crate) digits: usize,
    pub(crate) n: usize,
    /// The odd mark of its first separator.
    pub(crate) odd: u8,
    pub(crate) plus: bool,
}

/// The marks that may stand between two digits by themselves.
pub(crate) static SINGLE: [u8; 256] = {
    let mut single = [0; 256];
    let marks = [
        (b' ', SPACE),
        (b'-', DASH),
        (b'.', DOT),
        (b'/', SLASH),
        (b'(', PAREN),
        (b')', PAREN),
        (b'[', PAREN),
        (b']', PAREN),
    ];
    let mut i = 0;
    while i < marks.len() {
        single[marks[i].0 as usize] = marks[i].1;
        i += 1;
    }
    single
};

/// The separator at `i` and the place behind it, if a digit stands there. It begins with `mark`;
/// [`SINGLE`] has the separators of one byte.
#[inline]
pub(crate) fn separator(
    view: &View<'_>,
    i: usize,
    mark: u8,
    before: Before,
) -> Option<(usize, Sep)> {
    if may_part(mark) { marks(view, i, before) } else { None }
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
            b' ' if (spaces < 2 || wide) && !(sep.has(DOT) && view.before(i) == Some(b'.')) => {
                spaces += 1;
                sep.marks |= SPACE;
                if spaces > 2 {
                    sep.odd(WIDE);
                }
            }
            b'-' | b'.'
                if i > from
                    && view.before(i) == Some(b)
                    && (wide || b == b'-' && !sep.has(SPACE) && digits < 9) =>
            {
                sep.odd(WIDE);
            }
            b'-' | LONG_DASH if !sep.has(DASH) && !sep.has(DOT) => sep.marks |= DASH,
            b'.' if !sep.has(DOT) && !sep.has(DASH) => sep.marks |= DOT,
            b'/' if !sep.has(SLASH) => sep.marks |= SLASH,
            b'/' if wide => sep.odd(WIDE),
            // The classes of a pattern: "[012][0-9]".
            b'[' if view.before(i) == Some(b']') => return None,
            b'(' | b')' | b'[' | b']' => sep.marks |= PAREN,
            // A number may go on after the end of the line only if what stands before it can be no
            // number.
            b'\n'
                if digits < 7
                    && spaces == 0
                    && (plus || matches!(view.before(i), Some(b'-' | b')'))) =>
            {
                spaces = 2;
                sep.marks |= SPACE;
            }
            SOFT_BREAK if i == from && plus => {}
            // A tab stands between the columns of a table, too.
            b'\t' if digits < 9 && spaces == 0 && plus => {
                spaces = 2;
                sep.marks |= SPACE;
            }
            // "03ー1234ー5678": the long-vowel mark where a dash is meant.
            0xE3 if !sep.has(DASH) && view.char_at(i) == Some('ー') => {
                sep.marks |= DASH;
                i += 2;
            }
            _ if is_odd(view, b, before) && (sep.marks & !SPACE == 0 || sep.odd == b) => {
                if sep.has(SPACE) && b != BULLET {
                    return None;
                }
                sep.odd(b);
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

/// Whether the `first` digits at `i` begin something that does not go on a number: a date, a time
/// of day, "24/7", hours in brackets.
pub(crate) fn no_number(view: &View<'_>, i: usize, first: usize, digits: usize) -> bool {
    const SEEN: usize = 12;
    let rest = &view.text[i..view.text.len().min(i + SEEN)];
    let mark = rest.get(first);
    // An opened bracket has to be closed, and brackets stand at the beginning of a number.
    if matches!(view.before(i), Some(b'(' | b'['))
        && (digits >= 8 || !matches!(mark, Some(b')' | b']' | b' ')))
    {
        return true;
    }
    let run = |from: usize| {
        rest.get(from..).map_or(0, |r| r.iter().take_while(|b| b.is_ascii_digit()).count())
    };
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
    other || first == 4 && iso_date(view, i)
}
