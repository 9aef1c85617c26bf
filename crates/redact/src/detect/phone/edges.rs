//! Where a number may begin: its `+` and brackets, what may stand before it, and lists of numbers.

use super::super::View;
use super::super::words::{Nearby, Says};
use super::WORD_LEN;
use super::groups::Group;
use super::separators::{DASH, SPACE, Sep};
use crate::fold::{BREAK, BULLET, NESTED_QUOTE, SOFT_BREAK, is_alphabetic, is_unspaced};

/// Where the number begins: its `+` and its opening bracket belong to it.
pub(crate) fn prefix(view: &View<'_>, q: usize, groups: &[Group]) -> (usize, bool, bool) {
    let closes = |g: &Group| matches!(view.at(g.end()), Some(b')' | b']')) && g.len() <= 6;
    let own = groups.first().is_some_and(closes);
    if let [first, second, ..] = groups
        && view.before(q) == Some(b'(')
        && matches!(first.len(), 1..=2)
        && second.len() <= 3
        && [Sep::of(SPACE), Sep::of(DASH)].contains(&second.sep)
        && view.at(second.end()) == Some(b')')
    {
        // "(06 1) 123 4567", "(0-312) 34567"
        return (q - 1, false, true);
    }
    match view.before(q) {
        Some(b'+') => {
            // "(+44) 20 …", but not "(+989601)".
            let bracket =
                own && groups.len() > 1 && matches!(view.before(q - 1), Some(b'(' | b'['));
            (q - 1 - usize::from(bracket), true, bracket)
        }
        // "( 415 ) 555 0132"
        Some(b' ')
            if q > view.lo + 1
                && view.before(q - 1) == Some(b'(')
                && groups
                    .first()
                    .is_some_and(|g| g.len() <= 6 && view.text[g.end()..].starts_with(b" )")) =>
        {
            (q - 2, false, true)
        }
        Some(b' ') if q > view.lo + 1 && view.before(q - 1) == Some(b'+') && !sum(view, q - 2) => {
            (q - 2, true, false)
        }
        Some(b'(' | b'[') if own => {
            let plus = view.before(q - 1) == Some(b'+');
            (q - 1 - usize::from(plus), plus, true)
        }
        _ => (q, false, false),
    }
}

/// Whether the `+` at `plus` adds to a number before it.
pub(crate) fn sum(view: &View<'_>, plus: usize) -> bool {
    let mut i = plus;
    while view.before(i) == Some(b' ') {
        i -= 1;
    }
    view.before(i).is_some_and(|b| b.is_ascii_digit())
}

/// Whether `between` goes on a list of numbers.
pub(crate) fn joins(between: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "or",
        "and",
        "oder",
        "und",
        "ou",
        "et",
        "o",
        "y",
        "u",
        "e",
        "of",
        "en",
        "eller",
        "och",
        "og",
        "tai",
        "ja",
        "lub",
        "i",
        "albo",
        "nebo",
        "a",
        "vagy",
        "sau",
        "si",
        "și",
        "или",
        "и",
        "або",
        "та",
        "ή",
        "και",
        "veya",
        "ve",
        "أو",
        "و",
        "או",
        "या",
        "หรือ",
        "hoặc",
        "atau",
        "또는",
        "或",
        "和",
    ];
    if between.len() > 24 {
        return false;
    }
    // A break is any other mark: "、".
    let marks = |b: &u8| {
        matches!(*b, b' ' | b',' | b';' | b'/' | b'|' | b'&' | b'\n' | BREAK | BULLET | SOFT_BREAK)
    };
    let quotes =
        |b: &u8| matches!(*b, b'"' | b'\'' | b'`' | b'[' | b']' | b'(' | b')' | NESTED_QUOTE);
    // "4155550132", "4155550133": the entries of a list, on lines of their own perhaps.
    if between.iter().all(|b| marks(b) || quotes(b) || *b == b'\\' || *b == b'\t') {
        let quoted = between.first().is_some_and(quotes) || between.last().is_some_and(quotes);
        return quoted && between.iter().any(marks)
            || between.len() <= 4 && between.iter().all(marks);
    }
    if between == b" - " || is_item(between) {
        return true;
    }
    let inner =
        match (between.iter().position(|b| !marks(b)), between.iter().rposition(|b| !marks(b))) {
            (Some(from), Some(to)) => &between[from..=to],
            _ => return between.len() <= 4,
        };
    // Most text behind a number begins like none of them.
    let may_begin = inner[0] >= 0x80 || b"oauetnsjliyv".contains(&inner[0].to_ascii_lowercase());
    between.len() <= 14
        && may_begin
        && WORDS.iter().any(|w| inner.eq_ignore_ascii_case(w.as_bytes()))
}

/// Whether `between` ends a line and begins the next item of a list: "\n - ", "\n* ".
fn is_item(between: &[u8]) -> bool {
    let Some(line) = between.strip_prefix(b"\n") else { return false };
    matches!(line.trim_ascii(), [b'-' | b'*' | BULLET]) && line.ends_with(b" ")
}

/// Whether a number may begin at `start`; if so, whether digits stand before it with only space
/// between.
pub(crate) fn left(view: &View<'_>, start: usize, plus: bool, words: Nearby<'_>) -> Option<bool> {
    let Some(b) = view.before(start) else { return Some(false) };
    let further = if start > view.lo + 1 { view.before(start - 1) } else { None };
    let joined = further.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    // "__415-555-0132__", "~~415-555-0132~~"
    if matches!(b, b'_' | b'~')
        && further == Some(b)
        && !view.before(start - 2).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return Some(false);
    }
    // One mark after what was taken out.
    if view.lo > 0
        && start == view.lo + 1
        && matches!(b, b'#' | b'$' | b'^' | b'~' | b'@' | b'+' | b'*' | b'=')
    {
        return Some(false);
    }
    match b {
        b'0'..=b'9' => None,
        b'@' | b'%' | b'^' => plus.then_some(false),
        b'_' => (plus || !joined).then_some(false),
        b'a'..=b'z' | b'A'..=b'Z' => {
            // "1.1498e+6141851462" is an amount.
            let exponent =
                b | 0x20 == b'e' && further.is_some_and(|b| b.is_ascii_digit() || b == b'.');
            let apart =
                after_glued_label(view.text, view.lo, start) || escaped(view.text, view.lo, start);
            (plus && !exponent || apart).then_some(false)
        }
        b'#' => (plus || after_label(view, start - 1)).then_some(false),
        b'$' => plus.then_some(false),
        b'~' => (plus || matches!(view.at(start), Some(b'0' | b'('))).then_some(false),
        b'.' | b',' if further.is_some_and(|b| b.is_ascii_digit()) => {
            (plus && b == b',').then_some(false)
        }
        b':' if further.is_some_and(|b| b.is_ascii_digit()) => plus.then_some(false),
        // " .094 5.024": the decimals of a number.
        b'.' if !plus
            && !joined
            && further != Some(b'.')
            && further.map_or(view.lo == 0, |b| b < 0x80) =>
        {
            None
        }
        b'-' if joined => {
            (plus || after_glued_label(view.text, view.lo, start - 1)).then_some(false)
        }
        b'+' | b'*' | b'<' | b'>'
            if joined && !plus && further.is_some_and(|b| b.is_ascii_digit()) =>
        {
            None
        }
        b'/' if joined => (plus || view.text[view.lo..start].ends_with(b"wa.me/")).then_some(false),
        b' ' => {
            let mut i = start - 1;
            while view.before(i) == Some(b' ') {
                i -= 1;
            }
            // A date, a time or an address of a machine before it is no part of it.
            while view.before(i).is_some_and(|b| b.is_ascii_digit()) && view.at(i) != Some(b'+') {
                i -= 1;
            }
            let digits = view.at(i).is_some_and(|b| b.is_ascii_digit());
            Some(
                digits
                    && !matches!(
                        view.before(i),
                        Some(b'-' | b'.' | b',' | b':' | b'/' | b'$' | b'#')
                    ),
            )
        }
        0x80.. => {
            let glued = view.char_before(start).is_some_and(|c| {
                is_alphabetic(c) && !is_unspaced(c) && !is_glued_preposition(view, start, c)
            });
            // "هاتف0501234567": a telephone word without a space after it.
            let label = || {
                words
                    .before(view, start, WORD_LEN)
                    .is_some_and(|n| n.gap == 0 && n.says == Says::Phone)
            };
            (!glued || plus || label()).then_some(false)
        }
        _ => Some(false),
    }
}

/// Whether `c`, which ends before `start`, is a preposition that Hebrew joins to the next word:
/// "ל050-1234567".
fn is_glued_preposition(view: &View<'_>, start: usize, c: char) -> bool {
    matches!(c, 'ל' | 'ב' | 'מ' | 'ה' | 'ו')
        && view.char_before(start - c.len_utf8()).is_none_or(|c| !is_alphabetic(c))
}

/// Whether what stands before `end` is a label that takes a number sign: "phone #…".
pub(crate) fn after_label(view: &View<'_>, end: usize) -> bool {
    let before = view.text[view.lo..end].trim_ascii_end();
    [&b"phone"[..], b"ph", b"tel", b"fax", b"mobile", b"cell"].iter().any(|label| {
        before.len() >= label.len()
            && before[before.len() - label.len()..].eq_ignore_ascii_case(label)
    })
}

/// Whether the letter before `end` is an escape that was left as it is: "\\n030 901820".
#[inline]
pub(crate) fn escaped(text: &[u8], lo: usize, end: usize) -> bool {
    matches!(text[lo..end].last_chunk(), Some([b'\\', b'n' | b'r' | b't']))
}

/// Whether a telephone label is glued before `end`: "TEL03-1234-5678", "Fax030901820". Asked
/// wherever a digit follows a letter, so the last two letters decide first.
#[inline]
pub(crate) fn after_glued_label(text: &[u8], lo: usize, end: usize) -> bool {
    let Some(two) = text[lo..end].last_chunk::<2>() else { return false };
    let labels: &[&[u8]] = match [two[0] | 0x20, two[1] | 0x20] {
        [b'e', b'l'] => &[b"tel"],
        [b'a', b'x'] => &[b"fax", b"telefax"],
        [b'n', b'e'] => &[b"phone", b"telephone"],
        [b'o', b'n'] => &[b"fon", b"telefon"],
        [b'l', b'l'] => &[b"cell"],
        [b'l', b'e'] => &[b"mobile"],
        [b'o', b'b'] => &[b"mob"],
        _ => return false,
    };
    let before = &text[lo..end];
    labels.iter().any(|label| {
        let alone = |from: usize| from == 0 || !before[from - 1].is_ascii_alphabetic();
        before
            .len()
            .checked_sub(label.len())
            .is_some_and(|from| before[from..].eq_ignore_ascii_case(label) && alone(from))
    })
}
