//! Telephone numbers: international ones by their `+` or `00`, national ones by their grouping,
//! bare ones by a telephone word near them.
//!
//! A number is read as groups of digits with short separators between. What looks like one and is
//! not (dates, amounts, addresses of machines, cards, identifiers with their word before them) is
//! left alone.
//!
//! Sources: ITU-T E.164 and its list of country codes; the national groupings as the regulators'
//! pages print them.

mod candidate;
mod column;
mod country;
mod edges;
mod groups;
mod local;
mod separators;
mod shapes;
mod sight;
mod vetoes;

use std::cell::OnceCell;

use super::words::{Nearby, Says, WORD_BEFORE};
use super::{Detector, View};
use crate::fold::{BREAK, BULLET, LONG_DASH, SOFT_BREAK};
use candidate::Candidate;
pub(crate) use column::Column;
use edges::{after_glued_label, escaped, left, prefix};
pub(crate) use groups::LastRead;
use groups::{a_date_follows, extension};
use local::is_labelled;
pub(crate) use local::may_be_short;
use sight::{address, in_row, iso_date};

/// Telephone numbers: the scanner asks [`find`] where digits begin, after all others.
pub(crate) const DETECTOR: Detector = Detector { name: "phone", ..Detector::NEW };

/// Fewest digits of a number.
pub(crate) const DIGITS_MIN: usize = 5;
/// Fewest digits of one that no label stands before.
pub(crate) const UNLABELLED_MIN: usize = 7;
/// Groups that are read of one number.
const GROUPS_MAX: usize = 12;
/// Digits that are read of one number.
const DIGITS_MAX: usize = 20;
/// How far after.
const WORD_AFTER: usize = 32;
/// Longest identifier word, in bytes, and the letters of another before it.
const WORD_LEN: usize = 34;
/// How near an identifier word has to stand to take a well-grouped number.
const IDENTIFIER_NEAR: usize = 14;

/// A number begins this near to where a value does that its key calls an identifier.
const HINTED: usize = 8;

/// A telephone number right before a candidate: "020 7946 0018 or 07700 900123".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Where it ends.
    pub(crate) end: usize,
    /// How many digits it has.
    pub(crate) digits: usize,
    /// It stands in a list in brackets: `["4155550132", …`.
    pub(crate) bracketed: bool,
}

/// Everything that is known of a place beside its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    pub(crate) words: Nearby<'a>,
    /// The meaning of the JSON key of a short string.
    pub(crate) hint: Option<Says>,
    /// The telephone number that was found last.
    pub(crate) before: Option<Listed>,
    /// The column of a table in which a telephone number was found last.
    pub(crate) column: Option<Column>,
    /// It is known that something near may say that a number begins there.
    pub(crate) is_said: bool,
}

/// Finds the number whose first digit is at `q`.
pub(crate) fn find(
    view: &View<'_>,
    q: usize,
    around: &Around<'_>,
    known: &mut LastRead,
) -> Option<(usize, usize)> {
    if joined(view.text, view.lo, q) {
        return None;
    }
    let groups = known.read(view, q);
    let digits = groups.total(groups.all.len() - 1);
    let short = digits < UNLABELLED_MIN;
    if digits < DIGITS_MIN
        || short && view.before(q) != Some(b'+') && !is_labelled(view, q, around.words, around.hint)
    {
        return None;
    }
    let (start, plus, bracket) = prefix(view, q, groups.all);
    let mut c = Candidate {
        view,
        around,
        groups,
        n: groups.all.len(),
        start,
        plus,
        bracket,
        digits_before: false,
        said: OnceCell::new(),
        before: OnceCell::new(),
        list: OnceCell::new(),
    };
    // Most candidates have neither the groups of a number nor a word that says it.
    let is_silent = || c.is_silent() && !c.is_link() && c.list().is_none();
    if !short && !plus && !c.is_shaped() && is_silent() {
        return None;
    }
    if view.before(q) == Some(b' ') && in_row(view, q)
        || iso_date(view, q)
        || address(view, q)
        || a_date_follows(view, &groups)
    {
        return None;
    }
    c.digits_before = match left(view, start, plus, around.words) {
        Some(digits_before) => digits_before,
        None if c.stands_apart() => false,
        None => return None,
    };
    let last = match plus {
        true => c.international(0).or_else(|| c.after_match()).or_else(|| c.called_from_abroad()),
        false if short => c.local(),
        false => c.national(),
    }?;
    if !may_be_alone(view, q) && !c.is_said() {
        return None;
    }
    let end = c.groups.all[last].end();
    // "(40108)": the brackets are not the number's.
    let around_all = bracket && last == 0 && !plus && matches!(view.at(end), Some(b')' | b']'));
    Some((if around_all { q } else { start }, extension(view, end).unwrap_or(end)))
}

/// Classes of bytes: may stand between two groups of digits that are one number (of what is not
/// ASCII only `ー`), and those of them that stand between the groups of most numbers; digits.
const PARTS: u8 = 1;
const BETWEEN: u8 = 2;
const DIGIT: u8 = 4;
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut b = 0;
    while b < 256 {
        class[b] = match b as u8 {
            b'0'..=b'9' => DIGIT,
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'[' | b']' | b'\n' | b'\t' | LONG_DASH
            | 0xE3 | 0x83 | 0xBC => PARTS | BETWEEN,
            b'_' | b'*' | b'~' | b'|' | b'\'' | b'^' | b'+' | BULLET | BREAK | SOFT_BREAK => PARTS,
            _ => 0,
        };
        b += 1;
    }
    class
};

/// Whether a byte may stand between two groups of digits that are one number.
#[inline]
pub(crate) fn may_part(b: u8) -> bool {
    CLASS[usize::from(b)] & PARTS != 0
}

/// Bytes that [`run`] counts.
const RUN_MAX: usize = 8;

/// How many bytes of these classes stand from `from` on, at most [`RUN_MAX`].
#[inline]
fn run(text: &[u8], from: usize, class: u8) -> usize {
    let mut i = from;
    while i < text.len() && i - from < RUN_MAX && CLASS[usize::from(text[i])] & class != 0 {
        i += 1;
    }
    i - from
}

/// Whether a number is expected at `q`, because its key says so or it goes on a list or a column.
fn is_expected(
    view: &View<'_>,
    q: usize,
    hint: Option<Says>,
    before: Option<Listed>,
    column: Option<Column>,
) -> bool {
    /// Bytes between a number and the one before it in a list, and its own `+` and brackets.
    const LIST_MAX: usize = 20;
    hint == Some(Says::Phone)
        || before.is_some_and(|b| b.end + LIST_MAX >= q)
        || column.is_some_and(|column| column.may_be_at(view.text, q))
}

/// Whether a telephone word stands near `q`. Says yes to more than is one.
fn is_called(view: &View<'_>, q: usize, words: Nearby<'_>) -> bool {
    let (from, to) = word_reach(q);
    words.may_say_phone(view, from, to)
}

/// Whether anything near `q` may say that a number begins there. Without it, digits that
/// [`may_stand_alone`] refuses are no number.
pub(crate) fn may_be_said(view: &View<'_>, q: usize, around: &Around<'_>) -> bool {
    let Around { words, hint, before, column, .. } = *around;
    if is_expected(view, q, hint, before, column) {
        return true;
    }
    let (from, to) = word_reach(q);
    // Fewer bytes decide about a date or an address than about unknown words.
    if !words.are_known(view, from, to) && (iso_date(view, q) || address(view, q)) {
        return false;
    }
    words.may_say_phone(view, from, to)
}

/// Whether it is known that nothing near `q` says so, but for a key. Says no where words were not
/// looked for.
#[inline]
pub(crate) fn is_silent(
    view: &View<'_>,
    q: usize,
    words: Nearby<'_>,
    (before, column): (Option<Listed>, Option<Column>),
) -> bool {
    let (from, to) = word_reach(q);
    !is_expected(view, q, None, before, column) && words.are_silent(view, from, to)
}

/// Whether the digit at `q` may begin a number that no word stands near.
fn may_be_alone(view: &View<'_>, q: usize) -> bool {
    let text = view.text;
    let first = run(text, q, DIGIT);
    let gap = run(text, q + first, BETWEEN);
    let second = run(text, q + first + gap, DIGIT);
    let spaced = view.before(q) == Some(b' ') && q > view.lo + 1;
    let shaped = shaped(text, q, [first, gap, second]);
    let hopeful = match if spaced { view.before(q - 1) } else { view.before(q) } {
        Some(b'+' | b'b' | b'B') => true,
        // The group in brackets, if they are closed.
        Some(b'(' | b'[') => may_be_in_brackets(text, q, first, second),
        _ => false,
    };
    hopeful || shaped || text[q] == b'0' && zero_begins(view, q, [first, gap, second])
}

/// Whether the lengths of the first three groups are those of a number that needs no word and no
/// prefix: what [`Candidate::north_america`] and [`Candidate::grouped`] take, and more. The bytes
/// of the first group, which begins at `q`, of what follows it and of the next group are told.
fn shaped(text: &[u8], q: usize, [first, gap, second]: [usize; 3]) -> bool {
    if !matches!((first, second), (1, 3 | 4) | (2, 3..=5) | (3, 2..=4) | (4, 3) | (5, 5)) {
        return false;
    }
    let end = q + first + gap + second;
    let gap_after = run(text, end, BETWEEN);
    let third = run(text, end + gap_after, DIGIT);
    let apart = matches!((first, second, third), (3, 3, 3))
        && matches!(text[end], b'(' | b')' | b'[' | b']');
    fits([first, second, third], text[q]) && !apart
}

/// Whether groups of these lengths, of which the first begins with `digit`, are those of a number
/// that needs no word.
const fn fits([first, second, third]: [usize; 3], digit: u8) -> bool {
    match (first, second) {
        (1, 3) => matches!(third, 2 | 3 | 5 | 7) && matches!(digit, b'0' | b'1' | b'7' | b'8'),
        (2, 3) => matches!(third, 2..=4),
        (3, 2) => third == 2 && digit >= b'5',
        (3, 3) => matches!(third, 2 | 4) || third == 3 && digit >= b'5',
        (3, 4) => third == 4 && digit == b'1',
        (4, 3) => matches!(third, 3 | 4) && matches!(digit, b'0' | b'1'),
        (5, 5) => digit >= b'6',
        (1 | 2, 4) | (2, 5) => third == 4,
        _ => false,
    }
}

/// Longest group of [`ALONE`].
const LEN_MAX: usize = 7;

/// For the lengths of three groups which first digits [`fits`], one bit for each.
static ALONE: [u16; 1 << 9] = {
    let mut alone = [0; 1 << 9];
    let mut lens = 0;
    while lens < 1 << 9 {
        let mut digit = 0;
        while digit < 10 {
            if fits([lens >> 6, lens >> 3 & 7, lens & 7], b'0' + digit) {
                alone[lens] |= 1 << digit;
            }
            digit += 1;
        }
        lens += 1;
    }
    alone
};

/// Whether groups of these lengths, of which the first begins with `digit`, are those of a number
/// that needs no word.
#[inline]
fn is_alone(lens: [usize; 3], digit: u8) -> bool {
    let [first, second, third] = lens.map(|len| len.min(LEN_MAX));
    ALONE[first << 6 | second << 3 | third] >> (digit - b'0') & 1 == 1
}

/// Whether a number that begins at `q` may be one without a word near it, by what stands right
/// before it and by the lengths of its first groups. Says yes to more than are.
#[inline]
pub(crate) fn may_stand_alone(text: &[u8], q: usize, lens: [u32; 3]) -> bool {
    let lens = lens.map(|len| len as usize);
    let digit = text[q];
    let before = |n: usize| q.checked_sub(n).map_or(0, |i| text[i]);
    let last = if before(1) == b' ' { before(2) } else { before(1) };
    match last {
        b'+' | b'b' | b'B' => return true,
        b'(' | b'[' if may_be_in_brackets(text, q, lens[0], lens[1]) => return true,
        _ => {}
    }
    digit == b'0' && zero_may_begin(text, q, lens[0]) || is_alone(lens, digit)
}

/// Whether the `first` digits at `q`, which an opening bracket stands before, may be an area code
/// in brackets: "(415) 555 0132", "(06 1) 123 4567". The next group has `second` digits.
#[inline]
fn may_be_in_brackets(text: &[u8], q: usize, first: usize, second: usize) -> bool {
    let closes =
        !matches!(text.get(q + first), Some(b'0'..=b'9' | b'(' | b'[' | b'.' | b'-' | b'/'));
    closes
        && match (first, text[q]) {
            (2..=5, _) | (_, b'0') => true,
            (1, d) => second == 1 && d == b'8',
            _ => false,
        }
}

/// Whether the zero at `q`, which begins a group of `first` digits, may be an exit code or a trunk
/// prefix.
#[inline]
fn zero_may_begin(text: &[u8], q: usize, first: usize) -> bool {
    match first {
        1 => text[q + 1] == b' ' || !text.get(q + 2).is_some_and(u8::is_ascii_digit),
        2.. if text[q + 1] == b'0' => {
            let gap = if first > 2 { 0 } else { run(text, q + 2, BETWEEN) };
            matches!(text.get(q + 2 + gap), Some(b'1'..=b'9'))
        }
        _ => first <= 6,
    }
}

/// Whether the zero at `q` may begin a number: an exit code, or a trunk prefix that does not stand
/// in brackets. The bytes of its group, of what follows it and of the next group are told.
fn zero_begins(view: &View<'_>, q: usize, [first, gap, second]: [usize; 3]) -> bool {
    let text = view.text;
    let next = if first > 2 { text.get(q + 2) } else { text.get(q + first + gap) };
    match first {
        // "0 30 / 90 18 20"
        1 => {
            let end = q + 1 + gap + second;
            second > 0
                && text[q + 1..q + 1 + gap].contains(&b' ')
                && text[end..end + run(text, end, BETWEEN)].contains(&b'/')
        }
        2.. if text[q + 1] == b'0' => {
            // Rows of numbers with leading zeros: "0061 0061".
            let row = first < RUN_MAX && second >= 4 && text[q + first + gap..].starts_with(b"00");
            !row && next.is_some_and(|b| matches!(b, b'1'..=b'9'))
        }
        2..=6 => second > 0,
        _ => false,
    }
}

/// Where a word may begin that matters to the number whose first digit is at `q`.
fn word_reach(q: usize) -> (usize, usize) {
    /// How far from its first digit on a number may reach.
    const REACH: usize = 128;
    (q.saturating_sub(WORD_BEFORE), q + REACH + WORD_AFTER)
}

/// Whether the digit at `q` goes on what stands before it: the most common reason to look no
/// further.
///
/// Apart from [`find`], because it needs no view: text before `lo` does not count.
#[inline(always)]
pub(crate) fn joined(text: &[u8], lo: usize, q: usize) -> bool {
    if q <= lo {
        return false;
    }
    match text[q - 1] {
        b'-' | b'.' => q > lo + 1 && text[q - 2].is_ascii_digit(),
        b',' | b':' => q > lo + 1 && text[q - 2].is_ascii_digit() && !may_be_apart(text, q),
        // "_415-555-0132_": emphasis.
        b'_' => q > lo + 1 && text[q - 2].is_ascii_alphanumeric(),
        // The last two bytes rule out nearly every word.
        b if b.is_ascii_alphabetic() => {
            q < lo + 2 || !may_be_label(text[q - 2], b) || !labelled(text, lo, q)
        }
        _ => false,
    }
}

/// Whether the digits at `q` may begin a number although a comma or a colon and a digit stand before
/// them, as in a field of a table: an area code and a dash, or a trunk prefix.
#[inline]
pub(crate) fn may_be_apart(text: &[u8], q: usize) -> bool {
    match text.get(q..q + 8) {
        Some([b'0', b'1'..=b'9', b'0'..=b'9', ..]) => true,
        // Not "12:07:15" and "3,05 12".
        Some([b'0', b'1'..=b'9', b' ' | b'-', b'0'..=b'9', b'0'..=b'9', ..]) => true,
        Some([b'2'..=b'9', _, _, b'-', _, _, _, b'-']) => true,
        _ => false,
    }
}

/// Whether these two bytes may end a label that is glued to a number, or an escape.
#[inline(always)]
fn may_be_label(before: u8, last: u8) -> bool {
    match last | 0x20 {
        b'l' => matches!(before | 0x20, b'e' | b'l'),
        b'x' => before | 0x20 == b'a',
        b'e' => matches!(before | 0x20, b'n' | b'l'),
        b'n' => matches!(before | 0x20, b'o' | b'|'),
        b'b' => before | 0x20 == b'o',
        b'r' | b't' => before == b'\\',
        _ => false,
    }
}

/// Whether the letter before `q` ends one of those.
#[cold]
fn labelled(text: &[u8], lo: usize, q: usize) -> bool {
    after_glued_label(text, lo, q) || escaped(text, lo, q)
}
