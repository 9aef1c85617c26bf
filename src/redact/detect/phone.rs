//! Telephone numbers: international ones by their `+` or `00`, national ones by their grouping, bare ones by a
//! telephone word near them.
//!
//! A number is read as groups of digits with short separators between. What looks like one and is not (dates, amounts,
//! addresses of machines, cards, identifiers with their word before them) is left alone.
//!
//! Sources: ITU-T E.164 and its list of country codes; the national groupings as the regulators' pages print them.

use std::cell::OnceCell;

use super::View;
use super::words::{Near, Says, Words};
use crate::redact::fold::is_unspaced;

/// Fewest digits of a number.
pub(in crate::redact) const DIGITS_MIN: usize = 7;
/// Groups that are read of one number.
const GROUPS_MAX: usize = 12;
/// Digits that are read of one number.
const DIGITS_MAX: usize = 20;
/// How far before a number a telephone word may stand.
const WORD_BEFORE: usize = 64;
/// How far after.
const WORD_AFTER: usize = 32;
/// Longest identifier word, in bytes, and the letters of another before it.
const WORD_LEN: usize = 34;
/// How near an identifier word has to stand to take a well-grouped number.
const IDENTIFIER_NEAR: usize = 14;

/// A run of digits.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    start: u32,
    end: u32,
    /// The separator before it.
    sep: Sep,
}

impl Group {
    fn start(&self) -> usize {
        self.start as usize
    }

    fn end(&self) -> usize {
        self.end as usize
    }

    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// What stands between two groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sep {
    space: bool,
    dash: bool,
    dot: bool,
    slash: bool,
    paren: bool,
}

/// What is known of a candidate.
struct Candidate<'a> {
    view: View<'a>,
    words: &'a Words,
    groups: &'a [Group; GROUPS_MAX],
    n: usize,
    start: usize,
    plus: bool,
    /// The first group stands in brackets of its own.
    bracket: bool,
    /// Digits stand before it with only space between.
    digits_before: bool,
    /// The number before it in a list, if there is one.
    list: Option<Listed>,
    hint: Option<Says>,
    /// The word before it, once it was looked for.
    before: OnceCell<Option<Near>>,
}

/// A telephone number right before a candidate: "020 7946 0018 or 07700 900123".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::redact) struct Listed {
    /// Where it ends.
    pub(in crate::redact) end: usize,
    /// How many digits it has.
    pub(in crate::redact) digits: usize,
}

/// Finds the number whose first digit is at `q`. `hint`: what the JSON key of a short string says; `before`: the telephone
/// number that was found last.
pub(in crate::redact) fn find(
    view: &View<'_>,
    q: usize,
    words: &Words,
    hint: Option<Says>,
    before: Option<Listed>,
) -> Option<(usize, usize)> {
    if joined(view.text, view.lo, q) || view.before(q) == Some(b' ') && in_row(view, q) {
        return None;
    }
    // An address is told by fewer bytes than most other things that have too few digits.
    if iso_date(view, q) || address(view, q) || too_few(view, q) {
        return None;
    }
    let mut groups = [Group::default(); GROUPS_MAX];
    let n = read(view, q, &mut groups);
    if groups[..n].iter().map(Group::len).sum::<usize>() < DIGITS_MIN {
        return None;
    }
    let (start, plus, bracket) = prefix(view, q, &groups[..n]);
    let digits_before = left(view, start, plus)?;
    let c = Candidate {
        view: *view,
        words,
        groups: &groups,
        n,
        start,
        plus,
        bracket,
        digits_before,
        list: before.filter(|b| b.end >= view.lo && b.end < start && joins(&view.text[b.end..start])),
        hint,
        before: OnceCell::new(),
    };
    let last = if plus { c.international(0) } else { c.national() }?;
    let end = c.groups[last].end();
    Some((start, extension(view, end).unwrap_or(end)))
}

/// Whether the digit at `q` goes on what stands before it: the most common reason to look no further.
///
/// Apart from [`find`], because it needs no view: text before `lo` does not count.
#[inline]
pub(in crate::redact) fn joined(text: &[u8], lo: usize, q: usize) -> bool {
    if q <= lo {
        return false;
    }
    match text[q - 1] {
        b'-' | b'.' | b',' | b':' => q > lo + 1 && text[q - 2].is_ascii_digit(),
        b => b.is_ascii_alphabetic() || b == b'_',
    }
}

/// Whether `2024-11-05` or the like stands at `q`.
fn iso_date(view: &View<'_>, q: usize) -> bool {
    let Some(t) = view.text.get(q..).and_then(|t| t.first_chunk::<10>()) else { return false };
    let year = matches!(t[..2], [b'1', b'9'] | [b'2', b'0']) && t[2].is_ascii_digit() && t[3].is_ascii_digit();
    let month = matches!(t[5..7], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2']);
    let day = matches!(t[8..], [b'0' | b'1' | b'2', b'0'..=b'9'] | [b'3', b'0' | b'1']);
    year && month
        && day
        && matches!(t[4], b'-' | b'/' | b'.')
        && t[4] == t[7]
        && !view.at(q + 10).is_some_and(|b| b.is_ascii_digit())
}

/// Whether `192.168.100.200` or the like stands at `q`: what [`Candidate::machine`] says, found sooner.
fn address(view: &View<'_>, q: usize) -> bool {
    // "+ 49" is told from an address further down.
    let spaced = view.before(q) == Some(b' ') && q > view.lo + 1;
    if view.text[view.lo..q].last() == Some(&b'+') || spaced && view.before(q - 1) == Some(b'+') {
        return false;
    }
    let t = &view.text[q..view.text.len().min(q + 16)];
    let (mut octets, mut value, mut len, mut pairs, mut digits) = (0, 0u32, 0, 0, 0);
    for (i, b) in t.iter().enumerate() {
        match b {
            b'0'..=b'9' => {
                value = value * 10 + u32::from(b - b'0');
                (len, digits) = (len + 1, digits + 1);
                if len > 3 || value > 255 {
                    return false;
                }
            }
            b'.' if len > 0 && octets < 3 => {
                pairs += u8::from(len == 2);
                (octets, value, len) = (octets + 1, 0, 0);
            }
            // A dash, a bracket or a digit after it may make it something else.
            b' ' | b'\n' if octets == 3 && len > 0 => {
                let alone = !t.get(i + 1).is_some_and(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'('));
                return alone && pairs + u8::from(len == 2) < 4 && digits < 12;
            }
            _ => return false,
        }
    }
    false
}

/// Whether fewer digits than any number has stand from `q` on with only separators between.
fn too_few(view: &View<'_>, q: usize) -> bool {
    let plus = view.before(q) == Some(b'+');
    let (mut digits, mut last) = (0, 0);
    for (i, b) in view.text[q..view.text.len().min(q + 48)].iter().enumerate() {
        match b {
            // "217 2024-11-05": the date is a thing of its own.
            b' ' if iso_date(view, q + i + 1) => return true,
            b'0'..=b'9' => {
                digits += 1;
                if digits == DIGITS_MIN {
                    return false;
                }
            }
            b'\n' if !(plus || matches!(last, b'-' | b')')) => return true,
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'[' | b']' | b'\n' | 0x80.. => {}
            _ => return true,
        }
        last = *b;
    }
    true
}

/// Whether three or more numbers stand right before `start`: a row of them, not a telephone number.
fn in_row(view: &View<'_>, start: usize) -> bool {
    let mut groups = 0;
    let mut i = start;
    while let Some(b) = view.before(i) {
        if start - i > 24 || !(b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'/')) {
            break;
        }
        groups += usize::from(b.is_ascii_digit() && view.at(i) == Some(b' '));
        i -= 1;
    }
    groups >= 3
}

/// Reads groups from the first digit on.
fn read(view: &View<'_>, q: usize, groups: &mut [Group; GROUPS_MAX]) -> usize {
    let mut n = 0;
    let mut i = q;
    let mut digits = 0;
    let mut sep = Sep::default();
    while n < GROUPS_MAX {
        let start = i;
        while view.at(i).is_some_and(|b| b.is_ascii_digit()) && i - start <= DIGITS_MAX {
            i += 1;
        }
        if i == start {
            break;
        }
        groups[n] = Group { start: start as u32, end: i as u32, sep };
        n += 1;
        digits += i - start;
        if digits > DIGITS_MAX {
            break;
        }
        if n == 1 && i - q == 1 && view.at(i) == Some(b')') && view.before(q) != Some(b'(') {
            // "1) …" numbers a list.
            break;
        }
        match separator(view, i, digits, view.before(q) == Some(b'+')) {
            // "24/7" is no part of a number.
            Some((next, _)) if digits >= 7 && view.text[next..].starts_with(b"24/7") => break,
            Some((next, s)) => (i, sep) = (next, s),
            None => break,
        }
    }
    n
}

/// The separator at `i`, if a digit follows it.
fn separator(view: &View<'_>, mut i: usize, digits: usize, plus: bool) -> Option<(usize, Sep)> {
    let from = i;
    let mut sep = Sep::default();
    let mut spaces = 0;
    loop {
        match view.at(i)? {
            b'0'..=b'9' => return (i > from).then_some((i, sep)),
            // A dot and a space end a sentence, or number a list.
            b' ' if spaces < 2 && !(sep.dot && view.before(i) == Some(b'.')) => {
                spaces += 1;
                sep.space = true;
            }
            b'-' if !sep.dash && !sep.dot => sep.dash = true,
            b'.' if !sep.dot && !sep.dash => sep.dot = true,
            b'/' if !sep.slash => sep.slash = true,
            b'(' | b')' | b'[' | b']' => sep.paren = true,
            // A number may go on after the end of the line only if what stands before it can be no number.
            b'\n' if digits < 7 && spaces == 0 && (plus || matches!(view.before(i), Some(b'-' | b')'))) => {
                spaces = 2;
                sep.space = true;
            }
            // "03ー1234ー5678": the long-vowel mark where a dash is meant.
            0xE3 if !sep.dash && view.char_at(i) == Some('ー') => {
                sep.dash = true;
                i += 2;
            }
            _ => return None,
        }
        i += 1;
        if i - from > 5 {
            return None;
        }
    }
}

/// Where the number begins: its `+` and its opening bracket belong to it.
fn prefix(view: &View<'_>, q: usize, groups: &[Group]) -> (usize, bool, bool) {
    let closes = |g: &Group| matches!(view.at(g.end()), Some(b')' | b']')) && g.len() <= 6;
    let own = groups.first().is_some_and(closes);
    if let [first, second, ..] = groups
        && view.before(q) == Some(b'(')
        && matches!(first.len(), 1..=2)
        && second.len() <= 3
        && second.sep == (Sep { space: true, ..Sep::default() })
        && view.at(second.end()) == Some(b')')
    {
        // "(06 1) 123 4567"
        return (q - 1, false, true);
    }
    match view.before(q) {
        Some(b'+') => {
            let bracket = own && matches!(view.before(q - 1), Some(b'(' | b'['));
            (q - 1 - usize::from(bracket), true, bracket)
        }
        Some(b' ') if q > view.lo + 1 && view.before(q - 1) == Some(b'+') && !sum(view, q - 2) => (q - 2, true, false),
        Some(b'(' | b'[') if own => {
            let plus = view.before(q - 1) == Some(b'+');
            (q - 1 - usize::from(plus), plus, true)
        }
        _ => (q, false, false),
    }
}

/// Whether the `+` at `plus` adds to a number before it.
fn sum(view: &View<'_>, plus: usize) -> bool {
    let mut i = plus;
    while view.before(i) == Some(b' ') {
        i -= 1;
    }
    view.before(i).is_some_and(|b| b.is_ascii_digit())
}

/// Whether `between` goes on a list of numbers.
fn joins(between: &[u8]) -> bool {
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
    let marks = |b: &u8| b" ,;/|&\n".contains(b);
    let inner = match (between.iter().position(|b| !marks(b)), between.iter().rposition(|b| !marks(b))) {
        (Some(from), Some(to)) => &between[from..=to],
        _ => return between.len() <= 4,
    };
    between.len() <= 14 && WORDS.iter().any(|w| inner.eq_ignore_ascii_case(w.as_bytes()))
}

/// Whether a number may begin at `start`; if so, whether digits stand before it with only space between.
fn left(view: &View<'_>, start: usize, plus: bool) -> Option<bool> {
    let Some(b) = view.before(start) else { return Some(false) };
    let further = if start > view.lo + 1 { view.before(start - 1) } else { None };
    let joined = further.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    match b {
        b'0'..=b'9' | b'_' | b'@' | b'%' | b'^' => None,
        b'a'..=b'z' | b'A'..=b'Z' => plus.then_some(false),
        b'#' => (plus || after_label(view, start - 1)).then_some(false),
        b'$' | b'~' => plus.then_some(false),
        b'.' | b',' if further.is_some_and(|b| b.is_ascii_digit()) => (plus && b == b',').then_some(false),
        b':' if further.is_some_and(|b| b.is_ascii_digit()) => plus.then_some(false),
        b'-' if joined => plus.then_some(false),
        b'+' | b'*' | b'<' | b'>' if joined && !plus && further.is_some_and(|b| b.is_ascii_digit()) => None,
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
            Some(digits && !matches!(view.before(i), Some(b'-' | b'.' | b':' | b'/' | b'$')))
        }
        0x80.. => {
            let glued = view.char_before(start).is_some_and(|c| c.is_alphabetic() && !is_unspaced(c));
            (!glued || plus).then_some(false)
        }
        _ => Some(false),
    }
}

/// Whether what stands before `end` is a label that takes a number sign: "phone #…".
fn after_label(view: &View<'_>, end: usize) -> bool {
    let before = view.text[view.lo..end].trim_ascii_end();
    [&b"phone"[..], b"ph", b"tel", b"fax", b"mobile", b"cell"]
        .iter()
        .any(|label| before.len() >= label.len() && before[before.len() - label.len()..].eq_ignore_ascii_case(label))
}

impl Candidate<'_> {
    fn lens(&self) -> impl Iterator<Item = usize> + '_ {
        self.groups[..self.n].iter().map(Group::len)
    }

    /// The word nearest before the number.
    fn before(&self) -> Option<Near> {
        *self.before.get_or_init(|| self.words.before(&self.view, self.start, WORD_BEFORE))
    }

    fn digit(&self, group: usize, i: usize) -> u8 {
        self.view.text[self.groups[group].start() + i]
    }

    fn text(&self, group: usize) -> &[u8] {
        &self.view.text[self.groups[group].start()..self.groups[group].end()]
    }

    /// Digits of the groups up to and with `last`.
    fn total(&self, last: usize) -> usize {
        self.groups[..=last].iter().map(Group::len).sum()
    }

    /// Whether the groups have these lengths from `first` on.
    fn shape(&self, first: usize, lens: &[usize]) -> bool {
        self.n >= first + lens.len() && self.groups[first..].iter().zip(lens).all(|(g, len)| g.len() == *len)
    }

    /// Whether an identifier word stands right before the number.
    fn identifier(&self) -> bool {
        // No identifier word is longer than what is looked at beyond its distance; the word found there is the nearest.
        if self.before.get().is_none() {
            match self.words.before(&self.view, self.start, IDENTIFIER_NEAR + WORD_LEN) {
                None if self.hint != Some(Says::Identifier) => return false,
                None => {}
                near => _ = self.before.set(near),
            }
        }
        match self.before() {
            Some(near) => near.says == Says::Identifier && near.gap <= IDENTIFIER_NEAR && !self.sentence_ends(near.gap),
            None => self.hint == Some(Says::Identifier),
        }
    }

    fn sentence_ends(&self, gap: usize) -> bool {
        let between = &self.view.text[self.start - gap..self.start];
        // "no." and the like end no sentence.
        let short = |i: usize| between[..i].iter().rev().take_while(|b| b.is_ascii_alphabetic()).count() <= 3;
        let ends =
            |(i, w): (usize, &[u8])| w[1] == b' ' && (matches!(w[0], b'!' | b'?' | b';') || w[0] == b'.' && !short(i));
        between.windows(2).enumerate().any(ends) && between.len() > 4 || between.contains(&b'\n')
    }

    /// Whether a telephone word stands near: before within `reach`, or (for `after`) after the number.
    fn phone_word(&self, last: usize, reach: usize, after: bool) -> bool {
        match self.before() {
            Some(near) if near.says == Says::Phone && near.gap <= reach => true,
            Some(near) if near.says == Says::Identifier && near.gap <= WORD_BEFORE / 2 => false,
            _ if self.hint.is_some() => self.hint == Some(Says::Phone),
            _ => {
                after
                    && self
                        .words
                        .after(&self.view, self.groups[last].end(), WORD_AFTER)
                        .is_some_and(|near| near.says == Says::Phone)
            }
        }
    }

    /// Whether the number may end with group `last`. `more`: a further group after a space is another number.
    fn right(&self, last: usize, more: bool) -> bool {
        let end = self.groups[last].end();
        let digit_follows = last + 1 < self.n;
        let Some(b) = self.view.at(end) else { return true };
        let next = self.view.at(end + 1);
        let next_alnum = next.is_some_and(|b| b.is_ascii_alphanumeric());
        match b {
            b'0'..=b'9' | b'_' | b'%' | b'@' | b'=' => false,
            b'a'..=b'z' | b'A'..=b'Z' => extension(&self.view, end).is_some(),
            b' ' | b'(' | b'[' => !digit_follows || more || self.another(last),
            b'-' | b'~' => !next_alnum,
            b'.' => !next.is_some_and(|b| b.is_ascii_digit()),
            b':' => self.plus || !next.is_some_and(|b| b.is_ascii_digit()),
            b',' => self.plus || !next.is_some_and(|b| b.is_ascii_digit()) || !self.decimals(end + 1),
            _ => true,
        }
    }

    /// Whether the groups after `last` are another number of the same shape.
    fn another(&self, last: usize) -> bool {
        let n = last + 1;
        n > 1
            && self.n >= 2 * n
            && (0..n).all(|i| self.groups[i].len() == self.groups[n + i].len())
            && self.total(last) >= 8
            && !(0..n).all(|i| self.groups[i].len() == self.groups[0].len())
    }

    /// Whether one or two digits and no more stand at `i`.
    fn decimals(&self, i: usize) -> bool {
        let n = self.view.text[i..].iter().take_while(|b| b.is_ascii_digit()).count();
        n <= 2
    }

    /// The last group of an international number whose country code begins in group `first`, after `+`.
    fn international(&self, first: usize) -> Option<usize> {
        let mut digits = [0u8; 4];
        let mut known = 0;
        for &b in self.groups[first..self.n].iter().flat_map(|g| &self.view.text[g.start()..g.end()]).take(4) {
            digits[known] = b;
            known += 1;
        }
        self.extent(first, country(&digits[..known])?, 0)
    }

    /// The longest run of groups from `first` on that is complete: `skip` digits of a prefix, then what `country` allows.
    fn extent(&self, first: usize, (min, max): (usize, usize), skip: usize) -> Option<usize> {
        let mut total = 0;
        let mut best = None;
        for last in first..self.n {
            let g = self.groups[last];
            // "(0)": the trunk prefix that is not dialled from abroad.
            let trunk = g.len() == 1 && self.digit(last, 0) == b'0' && g.sep.paren && last > first;
            if !trunk {
                total += g.len();
            }
            if total > max + skip {
                break;
            }
            let short = max == 11 && total == 8 + skip && self.shape(first, &[1, 3, 4]);
            if (total >= min + skip || short) && self.right(last, true) {
                best = Some(last);
            }
        }
        best
    }

    fn national(&self) -> Option<usize> {
        if self.date() || self.machine() {
            return None;
        }
        if let Some(last) = self.exit_code() {
            return Some(last);
        }
        let grouped = self.north_america().or_else(|| self.trunk().filter(|last| !self.birth_date(*last)));
        let grouped = grouped.or_else(|| self.grouped());
        // Digits before it with a space between: the front of a longer row of digits, unless its own separators differ.
        let grouped = grouped.filter(|last| {
            let inside = &self.groups[1..=*last];
            !self.digits_before
                || self.bracket
                || !inside.iter().any(|g| g.sep.space && !g.sep.paren) && !inside.iter().all(|g| g.sep.dot)
        });
        match grouped {
            Some(_) if self.identifier() => None,
            Some(last) => Some(last),
            None => self.by_word(),
        }
    }

    /// `00` and `011` before a country code.
    fn exit_code(&self) -> Option<usize> {
        let first = self.text(0);
        let skip = match first {
            _ if first.starts_with(b"00") => 2,
            b"011" if self.n > 1 => 3,
            _ => return None,
        };
        let digits: Vec<u8> = self.groups[..self.n]
            .iter()
            .flat_map(|g| self.view.text[g.start()..g.end()].iter().copied())
            .skip(skip)
            .take(4)
            .collect();
        let (min, max) = country(&digits)?;
        if self.identifier() {
            return None;
        }
        if self.n == 1 || self.groups[1..self.n].iter().all(|g| g.sep.paren) {
            // Bare digits: only a country whose numbers have one length, or a telephone word.
            let total = first.len().saturating_sub(2);
            let exact = total + 1 >= max && total <= max && digits.first() != Some(&b'1');
            if self.n == 1 && !exact && !self.phone_word(0, WORD_BEFORE, true) {
                return None;
            }
        }
        self.extent(0, (min.max(9), max), skip)
    }

    /// 3-3-4 with or without a leading 1: the North American plan, and others of that shape.
    fn north_america(&self) -> Option<usize> {
        let one = self.groups[0].len() == 1 && self.digit(0, 0) == b'1';
        let first = usize::from(one);
        let last = first + 2;
        if self.shape(first, &[3, 3, 4]) && self.digit(first, 0) >= b'2' && self.right(last, self.tight(last)) {
            return Some(last);
        }
        let area = self.bracket || one && self.groups[1].sep.paren;
        let last = first + 1;
        (area && self.shape(first, &[3, 7]) && self.digit(first, 0) >= b'2' && self.right(last, true)).then_some(last)
    }

    /// Whether no plain space stands inside the groups up to `last`, so that a space ends the number.
    fn tight(&self, last: usize) -> bool {
        !self.groups[1..=last].iter().any(|g| g.sep.space && !g.sep.paren && !g.sep.dash)
    }

    /// A trunk prefix 0 and an area code: `030 1234567`, `06 12 34 56 78`, `(02) 9876 5432`.
    fn trunk(&self) -> Option<usize> {
        let first = self.text(0);
        let zero = first.len() >= 2 && first[0] == b'0' && first[1] != b'0' && first.len() <= 6
            || first == b"0" && self.bracket;
        if !zero || self.n < 2 {
            return None;
        }
        let pairs = self.lens().take_while(|len| *len == 2).count();
        let mut best = None;
        for last in 1..self.n {
            let total = self.total(last);
            if total > 12 {
                break;
            }
            let short = total == 8 && (self.bracket || self.groups[1].sep.slash) && self.groups[last].len() > 2;
            let all_pairs = pairs > last && total != 10;
            let dotted =
                self.groups[1..=last].iter().all(|g| g.sep.dot) && !(pairs > last || self.groups[0].len() >= 3);
            if (9..=12).contains(&total) && !all_pairs && !dotted && self.right(last, self.tight(last))
                || short && self.right(last, false)
            {
                best = Some(last);
            }
        }
        best
    }

    /// Groupings of countries without a trunk prefix that are like nothing else.
    fn grouped(&self) -> Option<usize> {
        let g = &self.groups;
        let d = self.digit(0, 0);
        let dash = |i: usize| g[i].sep.dash;
        let year = |i: usize| matches!(self.text(i), [b'1', b'9', _, _] | [b'2', b'0', _, _]);
        let shapes: &[(&[usize], bool)] = &[
            // Brazil: 11 91234-5678.
            (&[2, 5, 4], self.n > 2 && self.digit(1, 0) == b'9' && d != b'0'),
            // Mexico: 55 1234 5678; Brazil: 11 3123-4567; Argentina: 11 1234-5678.
            (
                &[2, 4, 4],
                self.n > 2
                    && !(year(1) && year(2))
                    && (self.bracket || dash(2) && !dash(1) || matches!(self.text(0), b"33" | b"55" | b"56" | b"81")),
            ),
            // China: 138 1234 5678.
            (&[3, 4, 4], d == b'1' && self.digit(0, 1) >= b'3'),
            (&[3, 8], self.bracket && d != b'0'),
            (&[2, 3, 4, 4], self.text(0) == b"86" && self.digit(1, 0) == b'1'),
            // India: 98765 43210.
            (&[5, 5], d >= b'6' && (self.n < 2 || g[1].sep.space || dash(1))),
            // Russia: 8 (495) 123-45-67, 8 800 555 35 35.
            (&[1, 3, 3, 2, 2], matches!(d, b'0' | b'7' | b'8')),
            (&[1, 3, 3, 4], matches!(d, b'7' | b'8') && self.digit(1, 0) >= b'3'),
            (&[1, 3, 7], matches!(d, b'7' | b'8') && self.digit(1, 0) >= b'3' && self.n > 1 && g[1].sep.paren),
            (&[3, 3, 2, 2], self.n > 3 && (self.bracket || dash(2) && dash(3))),
            // Spain, Poland, Switzerland: 912 34 56 78, 91 234 56 78.
            (&[3, 2, 2, 2], d >= b'5'),
            (&[2, 3, 2, 2], d >= b'1'),
            // Spain, Poland, Portugal, Czechia: 601-234-567.
            (&[3, 3, 3], self.n > 2 && d >= b'5' && dash(1) && dash(2)),
            // Service numbers: 1300 123 456, 1800 123 4567.
            (&[4, 3, 3], matches!(self.text(0), b"1300" | b"1800" | b"1860" | b"0800")),
            (&[4, 3, 4], matches!(self.text(0), b"1300" | b"1800" | b"1860")),
        ];
        for (lens, fits) in shapes {
            let last = lens.len() - 1;
            if self.shape(0, lens) && *fits && self.right(last, self.tight(last)) {
                return Some(last);
            }
        }
        // An area code in brackets before a number: (11) 4321-1234.
        if self.bracket && (2..=5).contains(&g[0].len()) && !(g[0].len() == 4 && year(0)) {
            return (1..self.n).rev().find(|&last| (8..=12).contains(&self.total(last)) && self.right(last, false));
        }
        None
    }

    /// Anything of the right length beside a telephone word.
    fn by_word(&self) -> Option<usize> {
        let before = &self.view.text[self.view.lo..self.start];
        if self.n == 1
            && (before.ends_with(b"wa.me/") || before.ends_with(b"phone=") || before.ends_with(b"tel:"))
            && (7..=15).contains(&self.total(0))
            && self.right(0, false)
        {
            return Some(0);
        }
        (0..self.n).rev().find(|&last| {
            let total = self.total(last);
            let reach = if total < 9 { 28 } else { WORD_BEFORE };
            let after = total >= 8;
            (7..=13).contains(&total)
                && self.right(last, false)
                && !(last == 0 && self.epoch())
                && !self.years(last)
                && !self.birth_date(last)
                && !(self.digits_before && self.hint.is_none() && self.before().is_none_or(|n| n.gap > 24))
                && (self.listed(last) || self.phone_word(last, reach, after) && !(total < 9 && self.far_off()))
        })
    }

    /// Whether it goes on a list of telephone numbers; bare digits have to be as many as those before.
    fn listed(&self, last: usize) -> bool {
        let Some(list) = self.list else { return false };
        let bare = last == 0 && (list.digits != self.total(0) || list.end + 1 == self.start);
        !bare && !self.identifier()
    }

    /// Whether another number, or a Brazilian postal code's name, stands between the word before and this short one.
    fn far_off(&self) -> bool {
        let Some(near) = self.before() else { return false };
        let word = &self.view.text[..self.start - near.gap];
        let cep = self.shape(0, &[5, 3]) && word.len() >= 3 && word[word.len() - 3..].eq_ignore_ascii_case(b"cep");
        cep || self.n == 1 && self.view.text[self.start - near.gap..self.start].iter().any(u8::is_ascii_digit)
    }

    /// Seconds since 1970 or an article's number, where no telephone word stands right before them.
    fn epoch(&self) -> bool {
        let number = self.text(0);
        let seconds = number.len() == 10 && matches!(number, [b'1', b'5'..=b'9', ..]);
        (seconds || number.len() == 13)
            && self.hint != Some(Says::Phone)
            && !self.before().is_some_and(|near| near.says == Says::Phone && near.gap <= if seconds { 3 } else { 12 })
    }

    /// A date of birth and a serial number: 010190-1234, 900101-1234.
    fn birth_date(&self, last: usize) -> bool {
        if last != 1 || !self.shape(0, &[6, 4]) || !self.groups[1].sep.dash {
            return false;
        }
        let two = |i: usize| u32::from(self.digit(0, i) - b'0') * 10 + u32::from(self.digit(0, i + 1) - b'0');
        (1..=12).contains(&two(2)) && ((1..=31).contains(&two(0)) || (1..=31).contains(&two(4)))
    }

    /// `2019-2020`
    fn years(&self, last: usize) -> bool {
        last == 1
            && self.shape(0, &[4, 4])
            && (0..2).all(|i| matches!(self.text(i), [b'1', b'9', _, _] | [b'2', b'0', _, _]))
    }

    /// A date, or a date and a time: 2024-11-05, 05.11.2024, 05/11/24 …
    fn date(&self) -> bool {
        let number = |i: usize| self.text(i).iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
        let year = |i: usize| (1900..2100).contains(&number(i));
        let month_day = |a: usize, b: usize| {
            (1..=12).contains(&number(a)) && (1..=31).contains(&number(b))
                || (1..=31).contains(&number(a)) && (1..=12).contains(&number(b))
        };
        if self.n < 3 {
            // 20241105 and 20241105-123301
            let compact = self.groups[0].len() == 8 || self.groups[0].len() == 14;
            let t = self.text(0);
            return compact
                && (t.starts_with(b"19") || t.starts_with(b"20"))
                && matches!(t[4..6], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2'])
                && matches!(t[6..8], [b'0', b'1'..=b'9'] | [b'1' | b'2', _] | [b'3', b'0' | b'1']);
        }
        let same = self.groups[1].sep == self.groups[2].sep && !self.groups[1].sep.paren;
        let short = |i: usize| self.groups[i].len() <= 2;
        same && (self.groups[0].len() == 4 && year(0) && short(1) && short(2) && month_day(1, 2)
            || self.groups[2].len() == 4 && year(2) && short(0) && short(1) && month_day(0, 1))
    }

    /// The address of a machine (192.168.100.200), or a payment card.
    fn machine(&self) -> bool {
        let octet = |i: usize| {
            self.groups[i].len() <= 3 && self.text(i).iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0')) <= 255
        };
        let dots = |i: usize| self.groups[i].sep == Sep { dot: true, ..Sep::default() };
        let pairs = self.lens().filter(|len| *len == 2).count();
        if self.n >= 4 && (0..4).all(octet) && (1..4).all(dots) && pairs < 4 && self.total(3) < 12 {
            return true;
        }
        let lens: Vec<usize> = self.lens().collect();
        lens.starts_with(&[4, 4, 4, 4]) || lens.starts_with(&[4, 6, 5])
    }
}

/// Fewest and most digits of an international number, its country code counted; nothing for a code that does not exist.
fn country(digits: &[u8]) -> Option<(usize, usize)> {
    let n = |k: usize| digits.get(..k)?.iter().try_fold(0u32, |n, d| Some(n * 10 + u32::from(d.checked_sub(b'0')?)));
    let one = n(1)?;
    if one == 0 {
        return None;
    }
    if one == 1 {
        return Some((11, 11));
    }
    if one == 7 {
        return Some((11, 11));
    }
    let two = n(2)?;
    let max = match two {
        20 => 12,
        27 | 31 | 33 | 34 | 41 | 48 | 51 | 56 | 61 | 66 | 93 | 94 => 11,
        30 | 44 | 52 | 57 | 58 | 60 | 63 | 64 | 81 | 82 | 84 | 90 | 91 | 92 | 95 | 98 => 12,
        32 | 36 | 40 | 46 => 11,
        39 | 43 | 54 | 55 | 86 => 13,
        45 | 47 | 53 | 65 => 10,
        49 | 62 => 14,
        _ => 0,
    };
    if max > 0 {
        return Some((if two == 52 || two == 39 { 10 } else { 9 }, if two == 52 { 13 } else { max }));
    }
    let max = match n(3)? {
        354 => 10,
        370..=374 | 216 | 386 | 852 | 853 | 961 | 965 | 973 | 974 => 11,
        234 | 358 | 856 | 880 | 964 | 967 | 977 => 13,
        // Codes that are not assigned.
        210
        | 214
        | 215
        | 217
        | 219
        | 259
        | 280..=289
        | 292..=296
        | 384
        | 388
        | 422
        | 424..=429
        | 693..=699
        | 801..=807
        | 809..=849
        | 851
        | 854
        | 857..=869
        | 871..=877
        | 879
        | 884
        | 885
        | 887
        | 889
        | 969
        | 978
        | 990
        | 991
        | 997
        | 999 => return None,
        _ => 12,
    };
    Some((9, max))
}

/// Where a marked extension after a number ends: `ext. 12`, `x12`, `, extension 345`.
fn extension(view: &View<'_>, end: usize) -> Option<usize> {
    const MARKS: &[&str] = &["extension", "extn", "ext", "x", "durchwahl", "poste", "доб", "ramal", "anexo", "内線"];
    let mut i = end;
    while i - end < 2 && matches!(view.at(i), Some(b' ' | b',' | b';')) {
        i += 1;
    }
    let rest = view.text.get(i..)?;
    let mark = MARKS.iter().find(|m| rest.len() > m.len() && rest[..m.len()].eq_ignore_ascii_case(m.as_bytes()))?;
    i += mark.len();
    let after = i;
    while i - after < 2 && matches!(view.at(i), Some(b' ' | b'.' | b':' | b'#')) {
        i += 1;
    }
    let digits = view.text[i..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = !view.at(i + digits).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    ((1..=6).contains(&digits) && whole).then_some(i + digits)
}
