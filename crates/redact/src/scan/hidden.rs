//! Telephone numbers whose last digits seem to belong to an address, because the character between
//! both is not seen: "+1 415 555 0132", U+200B, "123@bank.com".
//!
//! Promise: asked only about addresses that begin with the end of a number. Does not: look further
//! back than a number is long.

use super::super::detect::{View, phone};
use super::triggers::Phone;
use super::{Found, Scanner};
use crate::detect::words::{Nearby, Says};
use crate::rules::kind;
use crate::scan::HINT_REACH;
use crate::scan::tail::Tail;

/// How far before an address its number may begin.
const REACH: usize = 24;
/// Digits of the address that may be the number's.
const DIGITS: usize = 12;
/// Places at which the number may begin, the first ones.
const STARTS: usize = 3;

impl Scanner {
    /// The number that goes on into the digits with which `address` begins, up to a character that
    /// is not seen. Without it the address would leave the first digits of the number.
    pub(crate) fn hidden_number(&self, view: &View<'_>, address: &Found) -> Option<Found> {
        let (text, at) = (view.text, address.start);
        let is_part = |b: &u8| b.is_ascii_digit() || phone::may_part(*b);
        let goes_on = at > view.lo + 1 && text[at].is_ascii_digit() && is_part(&text[at - 1]);
        if !goes_on || !self.rules.has(kind::PHONE) {
            return None;
        }
        let digits = text[at..].iter().take(DIGITS).take_while(|b| b.is_ascii_digit()).count();
        // A number that goes on to the `@` is the address's: without it a domain would stay.
        let parts =
            |i: &usize| text.get(*i) != Some(&b'@') && self.raw_end(i - 1) != self.raw_start(*i);
        let end = (at + 1..=at + digits).rev().find(parts)?;
        let lo = view.lo.max(at.saturating_sub(REACH));
        let from = text[lo..at].iter().rposition(|b| !is_part(b)).map_or(lo, |i| lo + i + 1);
        let starts = (from..at).filter(|i| {
            text[*i].is_ascii_digit() && (*i == view.lo || !text[i - 1].is_ascii_digit())
        });
        let cut = View { text: &text[..end], lo: view.lo };
        starts.take(STARTS).find_map(|q| {
            let known = &mut phone::LastRead::default();
            let (start, to) =
                self.phone(&cut, q, known, Phone::Yes).filter(|(_, to)| *to == end)?;
            Some(Found { start, end: to, kind: kind::PHONE, tail: Tail::None })
        })
    }

    /// Whether it is known that nothing near `q` says that a telephone number begins there.
    #[inline]
    pub(crate) fn is_silent(&self, view: &View<'_>, q: usize) -> bool {
        let hinted = self.from_start && q < HINT_REACH && self.hint.is_some()
            || self.keys.says_phone(q, HINT_REACH);
        let words = Nearby { words: self.rules.words, seen: &self.words };
        !hinted && phone::is_silent(view, q, words, (self.listed, self.column))
    }

    /// The telephone number whose first digit is at `q`.
    pub(crate) fn phone(
        &self,
        view: &View<'_>,
        q: usize,
        known: &mut phone::LastRead,
        may_be: Phone,
    ) -> Option<(usize, usize)> {
        let hint = if self.from_start && q < HINT_REACH { self.hint } else { None };
        let hint = if self.keys.says_phone(q, HINT_REACH) { Some(Says::Phone) } else { hint };
        let words = Nearby { words: self.rules.words, seen: &self.words };
        let (before, column) = (self.listed, self.column);
        let mut around = phone::Around { words, hint, before, column, is_said: false };
        if may_be == Phone::IfSaid {
            around.is_said = phone::may_be_said(view, q, &around);
            if !around.is_said {
                return None;
            }
        }
        phone::find(view, q, &around, known)
    }
}
