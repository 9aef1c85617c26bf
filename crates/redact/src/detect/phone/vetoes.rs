//! Text that is grouped like a telephone number and is none: dates, times since 1970, addresses of
//! machines, cards.

use super::super::words::Says;
use super::candidate::Candidate;
use super::groups::{lens, upto};
use super::separators::{DASH, DOT, PAREN, SPACE, Sep};

impl Candidate<'_> {
    /// Seconds since 1970 or an article's number, where no telephone word stands right before them.
    pub(crate) fn epoch(&self) -> bool {
        let number = self.text(0);
        let seconds = number.len() == 10 && matches!(number, [b'1', b'5'..=b'9', ..]);
        (seconds || number.len() == 13)
            && self.around.hint != Some(Says::Phone)
            && !self.before().is_some_and(|near| {
                near.says == Says::Phone && near.gap <= if seconds { 3 } else { 12 }
            })
    }

    /// "Boston, MA 02110-1301"; a telephone number is written so, too, but then a word says it.
    pub(crate) fn postal(&self) -> bool {
        self.n == 2
            && self.shape(0, const { lens(&[5, 4]) })
            && self.groups.all[1].sep == Sep::of(DASH)
    }

    /// 078-05-1120
    pub(crate) fn social_security(&self) -> bool {
        if !self.shape(0, const { lens(&[3, 2, 4]) }) {
            return false;
        }
        let [_, first, second, ..] = self.groups.all else { return false };
        let sep = first.sep;
        sep == second.sep && (sep.has(DASH) || self.n == 3 && sep.has(SPACE))
    }

    /// A date of birth and a serial number: 010190-1234, 900101-1234, 010190 12345.
    pub(crate) fn birth_date(&self, last: usize) -> bool {
        let norway = self.shape(0, const { lens(&[6, 5]) });
        if last != 1
            || !norway
                && (!self.shape(0, const { lens(&[6, 4]) }) || !self.groups.all[1].sep.has(DASH))
        {
            return false;
        }
        let two = |i: usize| {
            u32::from(self.digit(0, i) - b'0') * 10 + u32::from(self.digit(0, i + 1) - b'0')
        };
        (1..=12).contains(&two(2)) && ((1..=31).contains(&two(0)) || (1..=31).contains(&two(4)))
    }

    /// A clause of the United States' acquisition regulations: "252.227-7013".
    pub(crate) fn clause(&self, first: usize) -> bool {
        let [area, exchange, line] = [0, 1, 2].map(|i| &self.groups.all[first + i]);
        self.text(first) == b"252"
            && self.view.text[exchange.start()..].starts_with(b"2")
            && area.len() == 3
            && exchange.sep == Sep::of(DOT)
            && line.sep == Sep::of(DASH)
    }

    /// A version: "10.5.0 (4123)".
    pub(crate) fn version(&self) -> bool {
        let dots = self.groups.marks.dot() & !self.groups.marks.space();
        self.n > 2
            && dots & upto(2) == upto(2)
            && (0..3).all(|i| self.groups.all[i].len() <= 2)
            && (0..3).any(|i| self.groups.all[i].len() == 1)
    }

    /// `2019-2020`
    pub(crate) fn years(&self, last: usize) -> bool {
        last == 1
            && self.shape(0, const { lens(&[4, 4]) })
            && (0..2).all(|i| matches!(self.text(i), [b'1', b'9', _, _] | [b'2', b'0', _, _]))
    }

    /// A date, or a date and a time: 2024-11-05, 05.11.2024, 05/11/24 …
    pub(crate) fn date(&self) -> bool {
        let number = |i: usize| self.text(i).iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
        let year = |i: usize| (1900..2100).contains(&number(i));
        let month_day = |a: usize, b: usize| {
            (1..=12).contains(&number(a)) && (1..=31).contains(&number(b))
                || (1..=31).contains(&number(a)) && (1..=12).contains(&number(b))
        };
        if self.n < 3 {
            // 20241105 and 20241105-123301
            let compact = matches!(self.groups.all[0].len(), 8 | 14);
            let t = self.text(0);
            return compact
                && (t.starts_with(b"19") || t.starts_with(b"20"))
                && matches!(t[4..6], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2'])
                && matches!(t[6..8], [b'0', b'1'..=b'9'] | [b'1' | b'2', _] | [b'3', b'0' | b'1']);
        }
        let [first, second, third, ..] = self.groups.all else { return false };
        let short = |i: usize| self.groups.all[i].len() <= 2;
        second.sep == third.sep
            && !second.sep.has(PAREN)
            && (first.len() == 4 && short(1) && short(2) && year(0) && month_day(1, 2)
                || third.len() == 4 && short(0) && short(1) && year(2) && month_day(0, 1))
    }

    /// The address of a machine (192.168.100.200), or a payment card.
    pub(crate) fn machine(&self) -> bool {
        let marks = self.groups.marks;
        let others = marks.space() | marks.dash() | marks.slash() | marks.paren() | marks.odd();
        let first = upto(3);
        if self.n >= 4 && marks.dot() & first == first && others & first == 0 && self.total(3) < 12
        {
            let octet = |i: usize| {
                self.groups.all[i].len() <= 3
                    && self.text(i).iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0')) <= 255
            };
            if (0..4).all(octet) && self.lens().filter(|len| *len == 2).count() < 4 {
                return true;
            }
        }
        !self.bracket
            && self.n >= 3
            && (self.shape(0, const { lens(&[4, 4, 4, 4]) })
                || self.shape(0, const { lens(&[4, 6, 5]) }))
            && marks.slash() == 0
    }
}
