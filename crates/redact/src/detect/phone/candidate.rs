//! A candidate and what is asked of it: its groups, the words around it, what follows it.

use std::cell::OnceCell;

use super::super::View;
use super::super::words::{Near, Says};
use super::country::SEEN;
use super::edges::joins;
use super::groups::{Groups, Lens, bit, extension, in_address, lens, upto};
use super::separators::{DASH, SPACE, Sep};
use super::{
    Around, HINTED, IDENTIFIER_NEAR, Listed, WORD_AFTER, WORD_BEFORE, WORD_LEN, is_alone,
    is_called, is_expected,
};

/// A candidate and its surroundings.
pub(crate) struct Candidate<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) around: &'a Around<'a>,
    pub(crate) groups: Groups<'a>,
    pub(crate) n: usize,
    pub(crate) start: usize,
    pub(crate) plus: bool,
    /// The first group stands in brackets of its own.
    pub(crate) bracket: bool,
    /// Digits stand before it with only space between.
    pub(crate) digits_before: bool,
    /// Whether anything near may say that it is a number, once it was asked.
    pub(crate) said: OnceCell<bool>,
    /// The word before it, once it was looked for.
    pub(crate) before: OnceCell<Option<Near>>,
    /// The number before it in a list, if there is one, once it was asked.
    pub(crate) list: OnceCell<Option<Listed>>,
}

impl Candidate<'_> {
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> + '_ {
        self.groups.all.iter().map(|g| g.len())
    }

    /// The word nearest before the number.
    pub(crate) fn before(&self) -> Option<Near> {
        let words = self.around.words;
        *self.before.get_or_init(|| words.before(self.view, self.start, WORD_BEFORE))
    }

    /// The number that goes before it on a list.
    pub(crate) fn list(&self) -> Option<Listed> {
        *self.list.get_or_init(|| {
            let (view, start) = (self.view, self.start);
            let goes_on =
                |b: &Listed| b.end >= view.lo && b.end < start && joins(&view.text[b.end..start]);
            self.around.before.filter(goes_on)
        })
    }

    /// Whether its first group stands in the column in which the last number did, and is as long.
    pub(crate) fn is_in_column(&self) -> bool {
        self.around.column.is_some_and(|column| {
            column.digits == self.groups.all[0].len() && column.is_at(self.view.text, self.start)
        })
    }

    /// Whether its key, a list or a word near it may say that it is a telephone number.
    pub(crate) fn is_said(&self) -> bool {
        *self.said.get_or_init(|| {
            let q = self.groups.all[0].start();
            let Around { words, hint, before, column, is_said } = *self.around;
            is_said
                || is_expected(self.view, q, hint, before, column)
                || is_called(self.view, q, words)
        })
    }

    /// Whether it is known that nothing says so, without a look for the word right before it. A
    /// mark before the first digit moves the reach of words.
    pub(crate) fn is_silent(&self) -> bool {
        self.start == self.groups.all[0].start() && !self.is_said()
    }

    /// Whether its groups or its brackets may be those of a number that needs no word.
    pub(crate) fn is_shaped(&self) -> bool {
        let first = self.text(0);
        let [a, b, c, ..] = self.groups.lens.to_le_bytes().map(usize::from);
        let zero = || match first {
            [b'0'] => self.is_apart(),
            [b'0', b'0', ..] => true,
            [b'0', rest @ ..] => rest.len() < 6,
            _ => false,
        };
        self.bracket && (matches!(a, 2..=5) || first == b"0" || (a, b) == (1, 1))
            || zero()
            || is_alone([a, b, c], first[0])
    }

    /// Whether its own shape is enough although a digit or a word is joined to it: an area code in
    /// brackets or with dashes, a trunk prefix and separators, or a `+` and groups.
    pub(crate) fn stands_apart(&self) -> bool {
        let joint = self.view.before(self.start);
        if self.plus {
            // "1.+44 20 7946 0958", "Berlin 10115+49 30 901820"
            return match joint {
                Some(b'.') => true,
                Some(b'0'..=b'9') => self.n > 2 && self.marks_are_usual(self.n - 1),
                _ => false,
            };
        }
        let america = self.n > 2
            && self.shape(0, const { lens(&[3, 3, 4]) })
            && self.digit(0, 0) >= b'2'
            && self.digit(1, 0) >= b'2';
        if self.bracket {
            return america && self.groups.all[2].sep == Sep::of(DASH)
                || self.is_zero(0) && self.trunk().is_some();
        }
        let dashed = america
            && self.groups.all[1].sep == Sep::of(DASH)
            && self.groups.all[2].sep == Sep::of(DASH);
        match joint {
            Some(b',' | b':') => dashed || self.trunk().is_some(),
            Some(b'/') => dashed && self.follows_one_word(),
            _ => false,
        }
    }

    /// Whether a word and a slash stand before it, and nothing more of a path: "Home/415-555-0132".
    fn follows_one_word(&self) -> bool {
        let text = &self.view.text[self.view.lo..self.start];
        let word = text.iter().rev().skip(1).take_while(|b| b.is_ascii_alphabetic()).count();
        word > 1 && matches!(text.iter().rev().nth(word + 1), None | Some(b' ' | b'\n'))
    }

    /// Whether a link leads to it: "wa.me/…", "phone=…", "tel:…".
    pub(crate) fn is_link(&self) -> bool {
        let text = &self.view.text[self.view.lo..self.start];
        matches!(text.last(), Some(b'/' | b'=' | b':'))
            && [&b"wa.me/"[..], b"phone=", b"tel:"].iter().any(|link| text.ends_with(link))
    }

    /// "0 30 / 90 18 20"
    pub(crate) fn is_apart(&self) -> bool {
        let marks = self.groups.marks;
        self.n > 2
            && self.text(0) == b"0"
            && marks.space() & bit(1) != 0
            && marks.slash() & bit(2) != 0
    }

    #[inline]
    pub(crate) fn digit(&self, group: usize, i: usize) -> u8 {
        self.view.text[self.groups.all[group].start() + i]
    }

    #[inline]
    pub(crate) fn text(&self, group: usize) -> &[u8] {
        &self.view.text[self.groups.all[group].start()..self.groups.all[group].end()]
    }

    /// Digits of the groups up to and with `last`.
    #[inline]
    pub(crate) fn total(&self, last: usize) -> usize {
        self.groups.total(last)
    }

    /// Whether group `last` begins with a zero.
    #[inline]
    pub(crate) fn is_zero(&self, group: usize) -> bool {
        self.groups.marks.zero() & bit(group) != 0
    }

    /// The first digits from group `first` on, without `skip` of them, and how many there are.
    pub(crate) fn first_digits(&self, first: usize, mut skip: usize) -> ([u8; SEEN], usize) {
        let (mut digits, mut n) = ([0; SEEN], 0);
        for group in &self.groups.all[first..] {
            let text = &self.view.text[group.start()..group.end()];
            let left_out = skip.min(text.len());
            skip -= left_out;
            let text = &text[left_out..text.len().min(left_out + SEEN - n)];
            for b in text {
                digits[n] = *b;
                n += 1;
            }
            if n == SEEN {
                break;
            }
        }
        (digits, n)
    }

    /// Whether the groups have these lengths from `first` on; see [`lens`].
    #[inline]
    pub(crate) fn shape(&self, first: usize, (lens, bits): (Lens, Lens)) -> bool {
        self.groups.lens >> (8 * first) & bits == lens
    }

    /// Whether an identifier word stands right before the number.
    pub(crate) fn identifier(&self) -> bool {
        let (words, hint) = (self.around.words, self.around.hint);
        // No identifier word is longer than what is looked at beyond its distance; the word found
        // there is the nearest.
        if self.before.get().is_none() {
            match words.before(self.view, self.start, IDENTIFIER_NEAR + WORD_LEN) {
                None if hint != Some(Says::Identifier) => return false,
                None => {}
                near => _ = self.before.set(near),
            }
        }
        match self.before() {
            Some(near) => {
                near.says == Says::Identifier
                    && near.gap <= IDENTIFIER_NEAR
                    && !self.sentence_ends(near.gap)
                    && !self.named_another(near.gap)
            }
            // A key speaks of a value that begins with the number.
            None => hint == Some(Says::Identifier) && self.start < HINTED,
        }
    }

    /// Whether the word before has a number of its own: "id 7: 030 901820".
    fn named_another(&self, gap: usize) -> bool {
        let between = &self.view.text[self.start - gap..self.start];
        between.windows(2).any(|w| w[0].is_ascii_digit() && matches!(w[1], b':' | b',' | b';'))
    }

    /// Whether a label stands between the word before and the number, which the number belongs to:
    /// "Reference record: 415-555-0132", but not "Case number: 415-555-0132".
    pub(crate) fn has_label_of_its_own(&self) -> bool {
        const NUMBER: [&str; 6] = ["number", "nummer", "numero", "numer", "code", "ident"];
        let Some(near) = self.before() else { return false };
        let between = &self.view.text[self.start - near.gap..self.start];
        let Some(colon) = between.iter().rposition(|b| *b == b':') else { return false };
        let is_letter = |b: &&u8| b.is_ascii_alphabetic();
        let letters = between[..colon].iter().rev().take_while(is_letter).count();
        let label = &between[colon - letters..colon];
        letters >= 4 && !NUMBER.iter().any(|word| label.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub(crate) fn sentence_ends(&self, gap: usize) -> bool {
        let between = &self.view.text[self.start - gap..self.start];
        // "no." and the like end no sentence.
        let short = |i: usize| {
            between[..i].iter().rev().take_while(|b| b.is_ascii_alphabetic()).count() <= 3
        };
        let ends = |(i, w): (usize, &[u8])| {
            w[1] == b' ' && (matches!(w[0], b'!' | b'?' | b';') || w[0] == b'.' && !short(i))
        };
        between.windows(2).enumerate().any(ends) && between.len() > 4 || between.contains(&b'\n')
    }

    /// Whether a telephone word stands near: before within `reach`, or (for `after`) after the
    /// number.
    pub(crate) fn phone_word(&self, last: usize, reach: usize, after: bool) -> bool {
        match self.before() {
            Some(near) if near.says == Says::Phone && near.gap <= reach => true,
            Some(near) if near.says == Says::Identifier && near.gap <= WORD_BEFORE / 2 => false,
            _ if self.around.hint.is_some() => self.around.hint == Some(Says::Phone),
            _ => {
                let end = self.groups.all[last].end();
                after && self.around.words.after(self.view, end, WORD_AFTER) == Some(Says::Phone)
            }
        }
    }

    /// Whether the number may end with group `last`. `more`: a further group after a space is
    /// another number.
    pub(crate) fn right(&self, last: usize, more: bool) -> bool {
        let end = self.groups.all[last].end();
        let digit_follows = last + 1 < self.n;
        let Some(b) = self.view.at(end) else { return true };
        let next = self.view.at(end + 1);
        let next_alnum = next.is_some_and(|b| b.is_ascii_alphanumeric());
        let ends = match b {
            b'0'..=b'9' => return false,
            b'%' => self.plus,
            b'=' => self.plus || last > 0 || self.text(0).starts_with(b"00"),
            // "sip:+14155550132@host": what is an address was found before.
            b'@' => return self.plus || !next_alnum,
            b'_' => self.plus || last > 1 || !next_alnum,
            // Words glued behind a number that is certain.
            b'a'..=b'z' | b'A'..=b'Z' => {
                let word = &self.view.text[end..self.view.text.len().min(end + 3)];
                self.plus && last > 1
                    || self.glued(end, last)
                    || extension(self.view, end).is_some()
                    || [&b"tel"[..], b"fax"].iter().any(|label| word.eq_ignore_ascii_case(label))
            }
            b' ' | b'(' | b'[' | b'\t' => {
                !digit_follows
                    || more
                    || self.parted(last)
                    || self.counts(last + 1)
                    || self.another(last)
                    || b == b' ' && self.twice(last, next == Some(b' '))
            }
            // "+1 415 555 0132-0134" is a row of numbers, and words may follow a dash.
            b'-' | b'~' => {
                !next_alnum
                    || self.plus && (more || !next.is_some_and(|b| b.is_ascii_digit()))
                    || self.word_follows(end + 1, last)
            }
            b'.' => !next.is_some_and(|b| b.is_ascii_digit()),
            b':' => self.plus || !next.is_some_and(|b| b.is_ascii_digit()),
            b',' => {
                self.plus
                    || !next.is_some_and(|b| b.is_ascii_digit())
                    || !self.amount(last)
                    || !self.decimals(end + 1)
            }
            _ => true,
        };
        // An address is glued behind it: "06 12 34 56 78-jane@example.com".
        ends || in_address(self.view, end + usize::from(matches!(b, b':' | b',')))
    }

    /// Whether a word is glued behind a number that ends at `end`: "+14155550132and". Hex digits
    /// are none.
    fn glued(&self, end: usize, last: usize) -> bool {
        if !self.plus && last < 2 {
            return false;
        }
        let rest = &self.view.text[end..self.view.text.len().min(end + 24)];
        let (mut hex, mut digits, mut len) = (true, false, 0);
        for b in rest.iter().take_while(|b| b.is_ascii_alphanumeric()) {
            hex &= b.is_ascii_hexdigit();
            digits |= b.is_ascii_digit();
            len += 1;
            if self.plus && !hex || !self.plus && digits {
                return self.plus;
            }
        }
        if self.plus { !(hex && digits) } else { len > 1 && !hex }
    }

    /// Whether a word and nothing more is joined to a number by the dash before `from`:
    /// "415-555-0132-Fax". Hex digits are none.
    fn word_follows(&self, from: usize, last: usize) -> bool {
        const LABELS: &[&[u8]] =
            &[b"fax", b"tel", b"phone", b"mobile", b"cell", b"home", b"work", b"office", b"mobil"];
        let rest = &self.view.text[from..self.view.text.len().min(from + 24)];
        let len = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (word, rest) = rest.split_at(len);
        let whole = !rest.first().is_some_and(|b| b.is_ascii_digit() || b"-_/@".contains(b));
        whole
            && (LABELS.iter().any(|label| word.eq_ignore_ascii_case(label))
                || last > 0
                    && len > 1
                    && self.total(last) >= 9
                    && !word.iter().all(u8::is_ascii_hexdigit))
    }

    /// Whether the groups after `last` are another number of the same shape.
    pub(crate) fn another(&self, last: usize) -> bool {
        let n = last + 1;
        if n == 1 && self.n > 1 {
            // "4155550132 4155550133"
            let [first, second] = [0, 1].map(|i| self.groups.all[i].len());
            return first == second && first >= 9 && self.groups.all[1].sep == Sep::of(SPACE);
        }
        if n < 2 || self.n < 2 * n || self.total(last) < 8 {
            return false;
        }
        let lens = self.groups.lens;
        let all = (1 << (8 * n)) - 1;
        // As often as there are groups: the length of the first one.
        let alike = Lens::from_le_bytes([lens as u8; 16]);
        (lens ^ lens >> (8 * n)) & all == 0 && (lens ^ alike) & all != 0
    }

    /// Whether all groups are two numbers of the same shape, of which `last` ends the first: behind
    /// a wide space, or both with a trunk prefix. Rows of ascending numbers are none.
    fn twice(&self, last: usize, wide: bool) -> bool {
        let n = last + 1;
        if n < 2 || self.n != 2 * n || self.total(last) < 8 {
            return false;
        }
        let same = (self.groups.lens ^ self.groups.lens >> (8 * n)) & ((1 << (8 * n)) - 1) == 0;
        let ascends = (1..self.n).all(|i| self.text(i - 1) < self.text(i));
        same && !ascends && (wide || self.is_zero(0) && self.is_zero(n))
    }

    /// Whether another number follows after a slash or a dash with spaces, which are not the
    /// number's own separators: "030 901820 / 0171 1234567".
    #[inline]
    pub(crate) fn parted(&self, last: usize) -> bool {
        let marks = self.groups.marks;
        let apart = marks.space() & (marks.slash() | marks.dash());
        apart & bit(last + 1) != 0 && self.total(last) >= 7 && apart & upto(last) == 0
    }

    /// Whether the group is a number of things after a telephone number: "0171 1234567 3 times".
    pub(crate) fn counts(&self, group: usize) -> bool {
        let [before, g] = &self.groups.all[group - 1..=group] else { return false };
        g.len() <= 2
            && g.sep == Sep::of(SPACE)
            && (before.len() >= 4 || g.len() == 1 && before.len() == 3)
            && self.view.at(g.end()) == Some(b' ')
            && self.view.at(g.end() + 1).is_some_and(|b| b.is_ascii_alphabetic())
    }

    /// Whether the groups up to `last` may be the thousands of an amount.
    pub(crate) fn amount(&self, last: usize) -> bool {
        let marks = self.groups.marks;
        // No amount begins with a zero and more.
        let zero = self.is_zero(0) && self.groups.all[0].len() > 1 && last > 0;
        (marks.dash() | marks.paren() | marks.slash()) & upto(last) == 0
            && !zero
            && self.groups.all[1..=last].iter().all(|g| g.len() == 3)
    }

    /// Whether the number goes on an account's (IBAN), in groups of four: "DE89 3704 0044 …".
    pub(crate) fn in_account(&self) -> bool {
        let text = &self.view.text[self.view.lo..self.start];
        let mut end = text.len();
        for _ in 0..8 {
            let Some(group) = text[..end].last_chunk::<5>() else { return false };
            if group[4] != b' '
                || !group[..4].iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
            {
                return false;
            }
            if group[..2].iter().all(u8::is_ascii_uppercase)
                && group[2..4].iter().all(u8::is_ascii_digit)
            {
                return true;
            }
            end -= 5;
        }
        false
    }

    /// Whether one or two digits and no more stand at `i`.
    pub(crate) fn decimals(&self, i: usize) -> bool {
        let n = self.view.text[i..].iter().take_while(|b| b.is_ascii_digit()).count();
        n <= 2
    }
}
