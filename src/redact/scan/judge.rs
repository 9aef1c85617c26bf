//! Which detectors are asked at which places of the window, and who is right where two find something.
//!
//! Promise: an answer depends on the bytes around the place alone (`BEHIND` and `AHEAD`), for patterns and words of the
//! policy on those of their span. Does not: change anything.

use super::super::detect::secret::More;
use super::super::detect::{AHEAD, BEHIND, View, card, data_url, email, ip, phone, secret};
use super::super::fold;
use super::super::rules::{Compiled, KindId, kind};
use super::tail::Tail;
use super::triggers::Triggers;
use super::{Found, HINT_REACH, Look, Scanner};

impl Scanner {
    pub(super) fn built_in(&self, limit: usize, view_end: usize) -> Option<Found> {
        let rules = &*self.rules;
        let text = &self.window[..view_end];
        let names = self.look == Look::Names;
        let mut secret = if names { None } else { self.next_secret(self.cur, limit, view_end) };
        debug_assert!(self.barrier <= self.cur, "what is judged lies behind the last match");
        let mut triggers = Triggers {
            text,
            limit,
            barrier: self.barrier,
            ip: rules.has(kind::IP),
            numbers: rules.numbers,
            block: self.cur.wrapping_sub(64),
            mask: 0,
            ahead: None,
        };
        loop {
            let trigger = triggers.next();
            if let Some(found) = secret
                && trigger.is_none_or(|q| found.start <= q)
            {
                return Some(found);
            }
            let q = trigger?;
            let view =
                View { text: &text[..text.len().min(q + AHEAD)], lo: self.barrier.max(q.saturating_sub(BEHIND)) };
            let found = match text[q] {
                b'@' | b'%' => self.email(&view, q),
                b':' if names => None,
                b':' => colon(rules, &view, q),
                _ if names => None,
                _ => self.number(&view, q),
            };
            if found.is_some() {
                // A secret that begins before the end of the match was not before its start: it lies inside.
                return found;
            }
            // It would have come before this trigger.
            secret = secret.filter(|s| s.start > q);
        }
    }

    fn email(&self, view: &View<'_>, q: usize) -> Option<Found> {
        let rest = &view.text[q..];
        let width = match rest {
            [b'@', ..] => 1,
            [b'%', b'4', b'0', ..] => 3,
            [b'%', b'2', b'5', b'4', b'0', ..] => 5,
            _ => return None,
        };
        if !self.rules.has(kind::EMAIL) {
            return None;
        }
        email::find(view, q, width).map(|(start, end)| Found { start, end, kind: kind::EMAIL, tail: Tail::None })
    }

    /// What begins with the digit at `q`.
    fn number(&self, view: &View<'_>, q: usize) -> Option<Found> {
        let rules = &*self.rules;
        let found =
            |hit: Option<(usize, usize)>, kind| hit.map(|(start, end)| Found { start, end, kind, tail: Tail::None });
        let mut number = None;
        if rules.numbers && rules.has(kind::IBAN) {
            number = found(card::iban(view, q), kind::IBAN);
        }
        if rules.numbers && number.is_none() && rules.has(kind::CREDIT_CARD) {
            number = found(card::card(view, q), kind::CREDIT_CARD);
        }
        if rules.numbers && number.is_none() && rules.has(kind::US_SSN) {
            number = found(card::ssn(view, q), kind::US_SSN);
        }
        if rules.numbers && number.is_none() && rules.has(kind::IP) {
            number = found(ip::v4(view, q), kind::IP);
        }
        if number.is_none() && rules.has(kind::PHONE) {
            let hint = if self.from_start && q < HINT_REACH { self.hint } else { None };
            number = found(phone::find(view, q, rules.words, hint, self.listed), kind::PHONE);
        }
        let number = number?;
        // An address beats a number inside its local part.
        let at = view.text[number.end..]
            .iter()
            .take(BEHIND / 4)
            .position(|b| !(b.is_ascii_alphanumeric() || b"._%+-'".contains(b)))
            .map(|n| number.end + n)
            .filter(|&i| view.text[i] == b'@')
            .and_then(|i| self.email(view, i))
            .filter(|email| email.start < number.end);
        Some(at.unwrap_or(number))
    }

    /// The first secret that begins in `from..limit`.
    fn next_secret(&self, from: usize, limit: usize, view_end: usize) -> Option<Found> {
        let automaton = self.rules.secrets.as_ref()?;
        let mut from = from.max(self.barrier);
        loop {
            let hit = automaton.find(self.window[..view_end].get(from..)?)?;
            let start = from + hit.start();
            if start >= limit {
                return None;
            }
            let view = View {
                text: &self.window[..view_end.min(start + AHEAD)],
                lo: self.barrier.max(start.saturating_sub(1)),
            };
            if let Some((end, more)) = secret::find(&view, start, hit.pattern().as_usize()) {
                let tail = match more {
                    More::Token => Tail::Token,
                    More::Pem => Tail::Pem(0, 0),
                    More::Nothing => Tail::None,
                };
                return Some(Found { start, end, kind: kind::API_KEY, tail });
            }
            from = start + 1;
        }
    }

    /// The nearest match of the policy's own patterns and words that begins in `cur..limit`.
    pub(super) fn next_custom(&self, limit: usize, view_end: usize, end: bool) -> Option<Found> {
        let from = self.cur.max(self.barrier);
        let text = &self.window[..view_end];
        // An end of the view that is not the end of the string is no place where a pattern may anchor or stop.
        let whole = |to: usize| end || to < view_end;
        let mut best: Option<Found> = None;
        let mut offer = |start: usize, to: usize, kind: KindId| {
            if start < limit && to > start && whole(to) && best.is_none_or(|b| start < b.start) {
                best = Some(Found { start, end: to, kind, tail: Tail::None });
            }
        };
        if let Some((automaton, kinds)) = &self.rules.terms {
            let mut at = from;
            while let Some(hit) = text.get(at..).and_then(|t| automaton.find(t)) {
                let (start, to) = (at + hit.start(), at + hit.end());
                let view = View { text, lo: self.barrier };
                let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() && !fold::is_unspaced(c));
                let inside = letter(view.char_before(start)) && letter(view.char_at(start))
                    || letter(view.char_at(to)) && letter(view.char_before(to));
                if !inside {
                    offer(start, to, kinds[hit.pattern().as_usize()]);
                    break;
                }
                at = start + 1;
            }
        }
        for (kind, regex) in &self.rules.custom {
            let lo = if self.from_start { 0 } else { from.saturating_sub(4) };
            if let Some(hit) = regex.find_at(&text[lo..], from - lo) {
                offer(lo + hit.start(), lo + hit.end(), *kind);
            }
        }
        best
    }
}

/// What stands around a colon.
fn colon(rules: &Compiled, view: &View<'_>, q: usize) -> Option<Found> {
    if rules.has(kind::ATTACHMENT)
        && let Some((start, end, base64)) = data_url::find(view, q)
    {
        let tail = if base64 { Tail::Base64 } else { Tail::Url };
        return Some(Found { start, end, kind: kind::ATTACHMENT, tail });
    }
    if !rules.has(kind::IP) {
        return None;
    }
    ip::v6(view, q).map(|(start, end)| Found { start, end, kind: kind::IP, tail: Tail::None })
}
