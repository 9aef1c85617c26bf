//! The groupings of the world's numbers: which groups of a candidate are a telephone number.

use super::super::words::Says;
use super::candidate::Candidate;
use super::country::{Lengths, country};
use super::groups::{bit, lens, upto};
use super::separators::{PAREN, SLASH, Sep};
use super::{WORD_AFTER, WORD_BEFORE};
use crate::fold::{BREAK, BULLET, NESTED_QUOTE};

/// Fewest digits of a number behind an exit code.
const EXIT_MIN: usize = 9;
/// Fewest digits of bare numbers that only a space parts: "4155550132 4155550133".
const TWICE_MIN: usize = 10;
/// How near a telephone word stands before a number that is grouped like a date of birth.
const CALLED_NEAR: usize = 20;

impl Candidate<'_> {
    /// The last group of an international number whose country code begins in group `first`, after
    /// `+`.
    pub(crate) fn international(&self, first: usize) -> Option<usize> {
        let (digits, known) = self.first_digits(first, 0);
        let lengths = country(&digits[..known])?;
        // "+44 07700 900123": the trunk prefix was left in.
        let marks = self.groups.marks;
        let trunk = self.groups.all[first].len() <= 3
            && marks.zero() & !marks.paren() & bit(first + 1) != 0;
        self.extent(first, lengths, usize::from(trunk), 0)
    }

    /// The longest run of groups from `first` on that is complete: `skip` digits of a prefix, then
    /// as many as `lengths` allow, or with a trunk prefix `trunk` more.
    pub(crate) fn extent(
        &self,
        first: usize,
        lengths: Lengths,
        trunk: usize,
        skip: usize,
    ) -> Option<usize> {
        let max = lengths.max() + trunk + skip;
        let marks = self.groups.marks;
        let brackets = marks.zero() & marks.paren();
        let mut total = 0;
        let mut best = None;
        for (last, g) in self.groups.all.iter().enumerate().skip(first) {
            // "(0)": the trunk prefix that is not dialled from abroad.
            let zero = g.len() == 1 && brackets & bit(last) != 0 && last > first;
            if !zero {
                total += g.len();
            }
            // Another number may follow where this one might still go on: "+49 30 901820 / 0171
            // 1234567".
            let other =
                best.is_some() && last > first && self.is_zero(last) && self.parted(last - 1);
            if total > max || other {
                break;
            }
            let fits = total.checked_sub(skip).is_some_and(|total| {
                lengths.fits(total) || trunk > 0 && lengths.fits(total - trunk)
            });
            // "+1 555-0132"
            let short =
                || max == 11 && total == 8 + skip && self.shape(first, const { lens(&[1, 3, 4]) });
            if !fits && !short() {
                continue;
            }
            // "+49 30 901820 10am", but "+33 6 12 34 56 78et".
            let other = best.is_some()
                && (self.counts(last)
                    || self.view.at(g.end()).is_some_and(|b| b.is_ascii_alphabetic())
                        && (g.len() < 2 || g.len() != self.groups.all[last - 1].len())
                        && g.len() < 4);
            if !other && (self.right(last, true) || self.decimals_follow(last, max)) {
                best = Some(last);
            }
        }
        best
    }

    /// Whether the digits behind a dot would make a number of more than `max` digits: they belong to
    /// something else.
    fn decimals_follow(&self, last: usize, max: usize) -> bool {
        let end = self.groups.all[last].end();
        let digits =
            |from: usize| self.view.text[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.plus && self.view.at(end) == Some(b'.') && {
            let more = digits(end + 1);
            more > 0 && self.total(last) + more > max
        }
    }

    /// All of a number with `+` whose length its country does not know, where a telephone word
    /// speaks of it: no part of it may stay.
    pub(crate) fn called_from_abroad(&self) -> Option<usize> {
        let (digits, known) = self.first_digits(0, 0);
        country(&digits[..known])?;
        let fits = |last: &usize| (8..=15).contains(&self.total(*last)) && self.right(*last, false);
        let last = (0..self.n).rev().find(fits)?;
        (self.marks_are_usual(last) && self.called(CALLED_NEAR)).then_some(last)
    }

    /// Whether no odd mark parts the groups up to `last`.
    pub(crate) fn marks_are_usual(&self, last: usize) -> bool {
        self.groups.marks.odd() & upto(last) == 0
    }

    /// A plus that is not of the number: it glues it to what was taken out before, or stands before
    /// `00`.
    pub(crate) fn after_match(&self) -> Option<usize> {
        if self.text(0).starts_with(b"00") {
            self.exit_code()
        } else if self.start == self.view.lo && self.start > 0 {
            self.national()
        } else {
            None
        }
    }

    pub(crate) fn national(&self) -> Option<usize> {
        let exit_code = self.exit_code();
        let grouped = if exit_code.is_some() || !self.is_shaped() {
            None
        } else {
            let grouped = self
                .north_america()
                .or_else(|| self.trunk().filter(|last| !self.birth_date(*last)));
            grouped.or_else(|| self.grouped())
        };
        if exit_code.is_none() && grouped.is_none() && !self.may_be_called() {
            return None;
        }
        if self.date() || self.machine() || self.digits_before && self.in_account() {
            return None;
        }
        if exit_code.is_some() {
            return exit_code;
        }
        let marks = self.groups.marks;
        // Digits before it with a space between: the front of a longer row of digits, unless its
        // own separators differ.
        let grouped = grouped.filter(|last| {
            let inside = upto(*last);
            !self.digits_before
                || self.bracket
                || marks.space() & !marks.paren() & inside == 0 && marks.dot() & inside != inside
        });
        // "phone=415+555+0132": only where a word says so, or it is a sum; "415--555--0132", but
        // not "197520--198594".
        let grouped = grouped.filter(|last| {
            let groups = &self.groups.all[1..=*last];
            marks.odd() & upto(*last) == 0
                || *last > 1
                    && groups.iter().all(|g| g.sep.odd == groups[0].sep.odd && g.sep.odd != b'+')
        });
        match grouped {
            Some(last)
                if self.identifier()
                    && !(self.is_dialled_in_america(last) && self.has_label_of_its_own()) =>
            {
                None
            }
            Some(last) => Some(last),
            None => self.by_word(),
        }
    }

    /// `00` and `011` before a country code.
    pub(crate) fn exit_code(&self) -> Option<usize> {
        let first = self.text(0);
        let skip = match first {
            b"0011" if self.n > 1 => 4,
            _ if first.starts_with(b"00") => 2,
            b"011" if self.n > 1 => 3,
            _ => return None,
        };
        let (digits, known) = self.first_digits(0, skip);
        let digits = &digits[..known];
        let lengths = country(digits)?;
        // Rows of numbers with leading zeros: "0061 0061".
        let row = self.n > 1
            && (self.groups.all[1].len() >= 4 || self.groups.all[1].len() == first.len())
            && self.text(1).starts_with(b"00");
        // Where nothing is said the word before it is looked for last.
        if row || !self.is_silent() && self.identifier() {
            return None;
        }
        let inside = upto(self.n - 1);
        if self.groups.marks.paren() & inside == inside {
            // Bare digits: a number of a length that the country has, or a telephone word.
            let total = first.len().saturating_sub(2);
            // North America: area codes and exchanges begin with 2 to 9.
            let america = |i: usize| first.get(i).is_some_and(|d| *d >= b'2');
            let fits = total >= EXIT_MIN
                && lengths.fits(total)
                && (digits[0] != b'1' || america(3) && america(6));
            if self.n == 1 && !fits && !self.phone_word(0, WORD_BEFORE, true) {
                return None;
            }
        }
        let last =
            self.extent(0, lengths, 0, skip).filter(|last| self.total(*last) >= EXIT_MIN + skip)?;
        (!self.identifier()).then_some(last)
    }

    /// 3-3-4 with or without a leading 1: the North American plan, and others of that shape.
    pub(crate) fn north_america(&self) -> Option<usize> {
        let marks = self.groups.marks;
        let one = self.groups.all[0].len() == 1 && self.digit(0, 0) == b'1';
        let first = usize::from(one);
        let last = first + 2;
        if self.shape(first, const { lens(&[3, 3, 4]) }) && self.digit(first, 0) >= b'2' {
            // Not "pp. 821-823 (2012)" and "512/768/1024".
            let sep = self.groups.all[last].sep;
            let apart = sep.has(PAREN) || sep == Sep::of(SLASH) || self.clause(first);
            if !(apart && (first > 0 || !self.bracket)) && self.right(last, self.tight(last)) {
                return Some(last);
            }
        }
        let area = self.bracket || one && marks.paren() & bit(1) != 0;
        let last = first + 1;
        (area
            && self.shape(first, const { lens(&[3, 7]) })
            && self.digit(first, 0) >= b'2'
            && self.right(last, true))
        .then_some(last)
    }

    /// Whether the groups up to `last` are an area code, an exchange and a line as North America
    /// writes them.
    fn is_dialled_in_america(&self, last: usize) -> bool {
        let Some(area) = last.checked_sub(2) else { return false };
        let one =
            area == 0 || area == 1 && self.groups.all[0].len() == 1 && self.digit(0, 0) == b'1';
        let written = self.groups.marks.dash() | self.groups.marks.paren();
        let inside = upto(last) & !upto(area);
        one && self.shape(area, const { lens(&[3, 3, 4]) })
            && self.digit(area, 0) >= b'2'
            && self.digit(area + 1, 0) >= b'2'
            && written & inside == inside
    }

    /// Whether no plain space stands inside the groups up to `last`, so that a space ends the
    /// number.
    pub(crate) fn tight(&self, last: usize) -> bool {
        let marks = self.groups.marks;
        marks.space() & !marks.paren() & !marks.dash() & upto(last) == 0
    }

    /// A trunk prefix 0 and an area code: `030 1234567`, `06 12 34 56 78`, `(02) 9876 5432`.
    pub(crate) fn trunk(&self) -> Option<usize> {
        let first = self.text(0);
        let zero = first.len() >= 2 && first[0] == b'0' && first[1] != b'0' && first.len() <= 6
            || first == b"0" && self.bracket
            || self.is_apart() && !self.is_zero(1);
        if !zero || self.n < 2 || self.social_security() || self.postal() {
            return None;
        }
        let marks = self.groups.marks;
        // "[*0209.0020.0002]"
        if marks.dot() & bit(1) != 0 && self.text(1).starts_with(b"00") {
            return None;
        }
        let all = self.groups.all;
        // So many groups of two digits.
        let (two, _) = const { lens(&[2; 16 - 1]) };
        let pairs = (self.groups.lens ^ two).trailing_zeros() as usize / 8;
        let mut best = None;
        for last in 1..self.n {
            let total = self.total(last);
            // Another number, or another in brackets.
            let other = last > 1 && marks.zero() & (marks.slash() | marks.paren()) & bit(last) != 0;
            if total > 12 || other && self.total(last - 1) >= 8 {
                break;
            }
            if total < 8 {
                continue;
            }
            let short =
                total == 8 && (self.bracket || marks.slash() & bit(1) != 0) && all[last].len() > 2;
            if best.is_some() && self.counts(last) {
                break;
            }
            if total >= 9 && self.another(last) {
                return Some(last);
            }
            if total == 8 && !short {
                continue;
            }
            let inside = upto(last);
            let all_pairs = pairs > last && total != 10;
            let dotted = marks.dot() & inside == inside && !(pairs > last || all[0].len() >= 3);
            // "030 901820 10117 Berlin": what follows is grouped otherwise.
            let ends = last + 1 < self.n
                && self.total(last + 1) > 12
                && all[last + 1].len() >= 3
                && all[last + 1].len() != all[last].len();
            if (9..=12).contains(&total)
                && !all_pairs
                && !dotted
                && self.right(last, self.tight(last) || ends)
                || short && self.right(last, false)
            {
                best = Some(last);
            }
        }
        best
    }

    /// Groupings of countries without a trunk prefix that are like nothing else.
    pub(crate) fn grouped(&self) -> Option<usize> {
        let marks = self.groups.marks;
        let d = self.digit(0, 0);
        let dash = |i: usize| marks.dash() & bit(i) != 0;
        let year = |i: usize| matches!(self.text(i), [b'1', b'9', _, _] | [b'2', b'0', _, _]);
        // No shape begins with another one.
        let (shape, fits) = match self.groups.lens.to_le_bytes() {
            // Brazil: 11 91234-5678.
            [2, 5, 4, ..] => (3, self.n > 2 && self.digit(1, 0) == b'9' && d != b'0'),
            // Mexico: 55 1234 5678; Brazil: 11 3123-4567; Argentina: 11 1234-5678.
            [2, 4, 4, ..] => (
                3,
                self.n > 2
                    && !(year(1) && year(2))
                    && (self.bracket
                        || dash(2) && !dash(1)
                        || matches!(self.text(0), b"33" | b"55" | b"56" | b"81")),
            ),
            // China: 138 1234 5678.
            [3, 4, 4, ..] => (3, d == b'1' && self.digit(0, 1) >= b'3'),
            [3, 8, ..] => (2, self.bracket && d != b'0'),
            [2, 3, 4, 4, ..] => (4, self.text(0) == b"86" && self.digit(1, 0) == b'1'),
            // India: 98765 43210.
            [5, 5, ..] => (2, d >= b'6' && (self.n < 2 || marks.space() & bit(1) != 0 || dash(1))),
            // Russia: 8 (495) 123-45-67, 8 800 555 35 35.
            [1, 3, 3, 2, 2, ..] => (5, matches!(d, b'0' | b'7' | b'8')),
            // Ukraine and others: 0 800 123 456; Lithuania: 8 612 34567; Thailand: 0-2123-4567.
            [1, 3, 3, 3, ..] => (
                4,
                matches!(self.text(0), b"0" | b"1")
                    && matches!(self.text(1), b"700" | b"800" | b"900"),
            ),
            [1, 3, 5, ..] => {
                (3, matches!(d, b'0' | b'8') && self.n > 1 && self.digit(1, 0) == b'6')
            }
            [1, 4, 4, ..] => (3, d == b'0' && dash(2) && dash(1) || self.bracket && d >= b'2'),
            [1, 1, 3, 4, ..] => (4, self.bracket && d == b'8'),
            // Lebanon: 03 123 456.
            [2, 3, 3, ..] => (3, d == b'0' && self.digit(0, 1) != b'0' && !self.digits_before),
            // Malaysia: 1-300-88-1234.
            [1, 3, 2, 4, ..] => (4, d == b'1' && matches!(self.text(1), b"300" | b"700" | b"800")),
            [1, 3, 3, 4, ..] => (4, matches!(d, b'7' | b'8') && self.digit(1, 0) >= b'3'),
            [1, 3, 7, ..] => (
                3,
                matches!(d, b'7' | b'8')
                    && self.digit(1, 0) >= b'3'
                    && self.n > 1
                    && marks.paren() & bit(1) != 0,
            ),
            [3, 3, 2, 2, ..] => (4, self.n > 3 && (self.bracket || dash(2) && dash(3))),
            // Spain, Poland, Switzerland: 912 34 56 78, 91 234 56 78.
            [3, 2, 2, 2, ..] => (4, d >= b'5'),
            [2, 3, 2, 2, ..] => (4, d >= b'1'),
            // Spain, Poland, Portugal, Czechia: 601-234-567.
            [3, 3, 3, ..] => (3, self.n > 2 && d >= b'5' && dash(1) && dash(2)),
            // Service numbers: 1300 123 456, 1800 123 4567.
            [4, 3, 3, ..] => (3, matches!(self.text(0), b"1300" | b"1800" | b"1860" | b"0800")),
            [4, 3, 4, ..] => (3, matches!(self.text(0), b"1300" | b"1800" | b"1860")),
            _ => (0, false),
        };
        if fits && self.right(shape - 1, self.tight(shape - 1)) {
            return Some(shape - 1);
        }
        if year(0) { None } else { self.after_area_code() }
    }

    /// An area code in brackets before a number: (11) 4321-1234.
    fn after_area_code(&self) -> Option<usize> {
        // "[1234] [1234]" are two things.
        let brackets = |from: usize| self.view.at(from) == Some(b']');
        if !self.bracket
            || !(2..=5).contains(&self.groups.all[0].len())
            || self.n > 1
                && brackets(self.groups.all[0].end())
                && brackets(self.groups.all[1].end())
        {
            return None;
        }
        (1..self.n)
            .rev()
            .find(|&last| (8..=12).contains(&self.total(last)) && self.right(last, false))
    }

    /// Anything of the right length beside a telephone word.
    pub(crate) fn by_word(&self) -> Option<usize> {
        if self.n == 1
            && (7..=15).contains(&self.total(0))
            && self.is_link()
            && self.right(0, false)
        {
            return Some(0);
        }
        let is_row = self.digits_before
            && self.around.hint.is_none()
            && self.before().is_none_or(|n| n.gap > 24);
        if is_row {
            return None;
        }
        (0..self.n).rev().find(|&last| {
            let total = self.total(last);
            if !(7..=14).contains(&total)
                || self.groups.marks.odd() & upto(last) != 0
                    && self.groups.all[1..=last].iter().any(|g| !matches!(g.sep.odd, 0 | b'+'))
            {
                return false;
            }
            let reach = if total < 9 { 28 } else { WORD_BEFORE };
            if !self.right(last, false) {
                return false;
            }
            let no_number = last == 0 && self.epoch()
                || self.years(last)
                || self.version()
                || self.birth_date(last) && !self.called(CALLED_NEAR) && self.list().is_none()
                || self.decimal(last)
                || last == 0 && self.is_count()
                || self.is_round(last);
            !no_number
                && (self.listed(last)
                    || last == 0 && self.is_in_column() && !self.identifier()
                    || self.phone_word(last, reach, total >= 8) && !(total < 9 && self.far_off()))
        })
    }

    /// Whether anything near may say that it is a telephone number: what [`Candidate::by_word`]
    /// asks for each group.
    fn may_be_called(&self) -> bool {
        if self.is_link() || self.list().is_some() || self.is_in_column() {
            return true;
        }
        if self.is_silent() {
            return false;
        }
        let before = self.before();
        let says = |says: Says, reach: usize| {
            before.is_some_and(|near| near.says == says && near.gap <= reach)
        };
        if says(Says::Phone, WORD_BEFORE) {
            return true;
        }
        if says(Says::Identifier, WORD_BEFORE / 2) {
            return false;
        }
        match self.around.hint {
            Some(says) => says == Says::Phone,
            None => {
                let (first, last) = (&self.groups.all[0], &self.groups.all[self.n - 1]);
                self.around.words.may_say_phone(self.view, first.end(), last.end() + WORD_AFTER)
            }
        }
    }

    /// Whether it goes on a list of telephone numbers; bare digits have to be as many as those
    /// before.
    pub(crate) fn listed(&self, last: usize) -> bool {
        let Some(list) = self.list() else { return false };
        let (before, after) =
            (self.view.before(self.start), self.view.at(self.groups.all[last].end()));
        let quoted = |b: Option<u8>| matches!(b, Some(b'"' | b'\'' | b'`' | b'\\' | NESTED_QUOTE));
        // Between quotation marks nothing but the number: not "03/08/04 03/09/04 03/10/04".
        if quoted(before) && !quoted(after) {
            return false;
        }
        let apart = matches!(before, Some(b'/' | BREAK | BULLET))
            || before == Some(b' ') && list.digits >= TWICE_MIN;
        let column = list.end + 1 == self.start && !apart;
        let bare = last == 0 && !list.bracketed && (list.digits != self.total(0) || column);
        !bare && !self.identifier()
    }

    /// Whether another number, or a Brazilian postal code's name, stands between the word before
    /// and this short one.
    pub(crate) fn far_off(&self) -> bool {
        let Some(near) = self.before() else { return false };
        let word = &self.view.text[..self.start - near.gap];
        let cep = self.shape(0, const { lens(&[5, 3]) })
            && word.len() >= 3
            && word[word.len() - 3..].eq_ignore_ascii_case(b"cep");
        cep || self.n == 1
            && self.view.text[self.start - near.gap..self.start].iter().any(u8::is_ascii_digit)
    }
}
