//! The groups of digits that a number may consist of, each of which is read once.
//!
//! Promise: lengths, separators and leading zeros of a candidate's groups stand side by side in a
//! few words, so that most questions about them are one comparison. Does not: say which groups are
//! a number.

use super::super::View;
use super::super::email::is_local;
use super::separators::{
    Before, DASH, DOT, ODD, PAREN, SINGLE, SLASH, SPACE, Sep, no_number, separator,
};
use super::sight::iso_date;
use super::{DIGITS_MAX, GROUPS_MAX, UNLABELLED_MIN};
use crate::fold::SOFT_BREAK;

/// A run of digits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Group {
    start: u32,
    end: u32,
    /// Digits up to its end, of the groups that were read with it.
    total: u32,
    /// The separator before it.
    pub(crate) sep: Sep,
}

impl Group {
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.start as usize
    }

    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.end as usize
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The separators before the groups, and the leading zeros: one byte for each group. An answer has
/// one bit for each group, the lowest of its byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks(u128);

/// The bit of a group.
#[inline]
pub(crate) const fn bit(group: usize) -> u128 {
    1 << (8 * group)
}

/// The bits of the groups after the first one up to `last`.
#[inline]
pub(crate) const fn upto(last: usize) -> u128 {
    const ALL: u128 = u128::from_le_bytes([1; 16]);
    ALL & (bit(last + 1) - 1) & !1
}

/// Set beside the marks of a separator: its group begins with a zero.
const ZERO: u8 = 64;
const _: () = assert!(ZERO > ODD && ODD > PAREN && PAREN > SLASH);

impl Marks {
    #[inline]
    const fn with(self, mark: u8) -> u128 {
        self.0 >> mark.trailing_zeros() & u128::from_le_bytes([1; 16])
    }

    #[inline]
    pub(crate) const fn space(self) -> u128 {
        self.with(SPACE)
    }

    #[inline]
    pub(crate) const fn dash(self) -> u128 {
        self.with(DASH)
    }

    #[inline]
    pub(crate) const fn dot(self) -> u128 {
        self.with(DOT)
    }

    #[inline]
    pub(crate) const fn slash(self) -> u128 {
        self.with(SLASH)
    }

    #[inline]
    pub(crate) const fn paren(self) -> u128 {
        self.with(PAREN)
    }

    #[inline]
    pub(crate) const fn odd(self) -> u128 {
        self.with(ODD)
    }

    #[inline]
    pub(crate) const fn zero(self) -> u128 {
        self.with(ZERO)
    }
}

/// The lengths of groups, one byte for each.
pub(crate) type Lens = u128;

/// These lengths, and the bits in which they stand.
pub(crate) const fn lens(of: &[u8]) -> (Lens, Lens) {
    let (mut all, mut i) = (0, 0);
    while i < of.len() {
        all |= (of[i] as Lens) << (8 * i);
        i += 1;
    }
    (all, (1 << (8 * of.len())) - 1)
}

/// The groups that a number may consist of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups<'a> {
    pub(crate) all: &'a [Group],
    pub(crate) marks: Marks,
    pub(crate) lens: Lens,
    /// Digits that the groups' totals count beside theirs.
    before: usize,
}

impl Groups<'_> {
    /// Digits of the groups up to and with `last`.
    #[inline]
    pub(crate) fn total(&self, last: usize) -> usize {
        self.all[last].total as usize - self.before
    }
}

/// The groups that were read last: what begins with one of them has the rest of them, which are not
/// read again.
#[derive(Clone, Debug)]
pub(crate) struct LastRead {
    /// Those that count are `groups[first..end]`.
    groups: [Group; KEPT],
    first: usize,
    end: usize,
    /// See [`Marks`] and [`Lens`]; what stands after the last group is of others.
    marks: [u8; LENS],
    lens: [u8; LENS],
    /// A `+` stands before them, with which more may stand between groups, or between some of them
    /// as in a form, which depends on the first one.
    odd: bool,
}

/// Groups that are kept, so that they have to be moved for a few numbers only.
const KEPT: usize = 4 * GROUPS_MAX;
/// As many as stand in a [`Lens`] behind the last of them.
const LENS: usize = KEPT + size_of::<Lens>();

impl Default for LastRead {
    fn default() -> LastRead {
        LastRead {
            groups: [Group::default(); KEPT],
            first: 0,
            end: 0,
            marks: [0; LENS],
            lens: [0; LENS],
            odd: false,
        }
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
        if self.odd {
            return None;
        }
        let rest = self.groups[..self.end].get(self.first + 1..)?;
        // The next one, mostly.
        let n = rest.iter().position(|g| g.start() >= q)?;
        (rest[n].start() == q).then_some(self.first + 1 + n)
    }

    /// Reads groups from the first digit on, which is at `q`.
    pub(crate) fn read(&mut self, view: &View<'_>, q: usize) -> Groups<'_> {
        let plus = view.before(q) == Some(b'+');
        match self.place(q).filter(|_| !plus) {
            Some(place) => self.first = place,
            None => {
                (self.first, self.end, self.odd) = (0, 0, plus);
                self.add(view, q, digits_at(view, q), (Sep::default(), 0));
            }
        }
        if self.is_item(view, q) {
            return self.first(1);
        }
        if self.first + GROUPS_MAX > KEPT {
            self.make_room();
        }
        self.go_on(view, plus);
        self.first(self.end - self.first)
    }

    /// Reads the groups that go on those at hand.
    #[inline]
    fn go_on(&mut self, view: &View<'_>, plus: bool) {
        let (text, first) = (view.text, self.groups[self.first]);
        let before = first.total as usize - first.len();
        let Group { mut end, mut total, .. } = self.groups[self.end - 1];
        while self.end - self.first < GROUPS_MAX {
            let digits = total as usize - before;
            let Some(&mark) = text.get(end as usize).filter(|_| digits <= DIGITS_MAX) else {
                break;
            };
            // Most separators have one mark.
            let single = SINGLE[usize::from(mark)];
            let (start, sep) =
                if single != 0 && matches!(text.get(end as usize + 1), Some(b'0'..=b'9')) {
                    (end as usize + 1, Sep::of(single))
                } else {
                    let n = self.end - self.first;
                    let odd = if n > 1 { self.groups[self.first + 1].sep.odd } else { 0 };
                    let before = Before { q: first.start(), digits, n, odd, plus };
                    match separator(view, end as usize, mark, before) {
                        Some(next) => next,
                        None => break,
                    }
                };
            let len = digits_at(view, start);
            // "24/7" is no part of a number.
            if digits >= UNLABELLED_MIN && no_number(view, start, len, digits) {
                break;
            }
            self.add(view, start, len, (sep, total));
            (end, total) = ((start + len) as u32, total + len as u32);
        }
    }

    /// Takes the group of `len` digits that begins at `start`, with the separator and the number of
    /// digits before it.
    #[inline(always)]
    fn add(&mut self, view: &View<'_>, start: usize, len: usize, (sep, total): (Sep, u32)) {
        let (n, end) = (self.end, (start + len) as u32);
        self.groups[n] = Group { start: start as u32, end, total: total + len as u32, sep };
        self.lens[n] = len as u8;
        self.marks[n] = sep.marks | if view.text[start] == b'0' { ZERO } else { 0 };
        self.odd |= sep.odd == b'+';
        self.end += 1;
    }

    /// Those from the first one on, of which there are `n`.
    #[inline]
    fn first(&self, n: usize) -> Groups<'_> {
        let all = &self.groups[self.first..self.first + n];
        let bytes = |of: &[u8; LENS]| {
            let bytes = of[self.first..].first_chunk().map_or(0, |b| Lens::from_le_bytes(*b));
            bytes & (bit(n) - 1)
        };
        Groups {
            all,
            // The first one has no separator.
            marks: Marks(bytes(&self.marks) & !Lens::from(!ZERO)),
            lens: bytes(&self.lens),
            before: all.first().map_or(0, |g| g.total as usize - g.len()),
        }
    }

    /// Forgets those before the first one.
    #[cold]
    fn make_room(&mut self) {
        let all = self.first..self.end;
        self.groups.copy_within(all.clone(), 0);
        self.lens.copy_within(all.clone(), 0);
        self.marks.copy_within(all.clone(), 0);
        (self.first, self.end) = (0, all.len());
    }

    /// "1) …" numbers a list.
    #[inline]
    fn is_item(&self, view: &View<'_>, q: usize) -> bool {
        let first = &self.groups[self.first];
        first.len() == 1
            && view.at(first.end()) == Some(b')')
            && !matches!(view.before(q), Some(b'(' | b'+'))
    }
}

/// How many digits stand at `i`, as far as they are read.
#[inline(always)]
fn digits_at(view: &View<'_>, i: usize) -> usize {
    let rest = &view.text[i..view.text.len().min(i + DIGITS_MAX + 1)];
    rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len())
}

/// Whether a date follows after a space before there are enough digits: "217 2024-11-05". The date
/// is a thing of its own.
pub(crate) fn a_date_follows(view: &View<'_>, groups: &Groups<'_>) -> bool {
    let next = (1..groups.all.len()).take_while(|next| groups.total(next - 1) < UNLABELLED_MIN);
    next.map(|next| &groups.all[next]).any(|next| {
        next.len() == 4
            && matches!(view.before(next.start()), Some(b' ' | b'('))
            && iso_date(view, next.start())
    })
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
