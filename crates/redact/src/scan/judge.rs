//! Which detectors are asked at which places of the window, and who is right where two find
//! something.
//!
//! Promise: an answer depends on the bytes around the place alone (`BEHIND` and `AHEAD`), for
//! patterns and words of the policy on those of their span. Does not: change anything.

use aho_corasick::{Anchored, Input, Match};

use super::super::detect::data_url::Rest;
use super::super::detect::places::RUN_MAX;
use super::super::detect::secret::{More, Runs};
use super::super::detect::{
    AHEAD, BEHIND, DETECTORS, Digits, PLACES, View, data_url, email, secret,
};
use super::super::rules::{Compiled, KindId, Terms, kind};
use super::lookup::{next_prefix, whole_word};
use super::tail::Tail;
use super::triggers::{Phone, Triggers};
use super::{Found, Look, Scanner};

/// How far before its trigger a match may begin that is no address: "+(", "data".
const START_BEFORE: usize = 4;
/// The same for other entities with digits: the letters of an identifier, the name of a month.
const NUMBER_BEFORE: usize = 20;

/// How far behind a number the `@` of an address may stand.
const LOCAL_REACH: usize = BEHIND / 4;

/// How far after the prefix of a secret another one is expected.
const NEAR: usize = 128;

/// A pattern's next match, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Next {
    /// It was not looked for.
    #[default]
    Unknown,
    /// None begins in the text at hand.
    Nothing,
    At(Found),
}

impl Next {
    /// A match at `start..to`, if it begins before `limit`. `whole`: it does not end at an end of
    /// the view that is not the end of the string, which is no place where a pattern may anchor or
    /// stop.
    fn of(start: usize, to: usize, kind: KindId, limit: usize, whole: bool) -> Next {
        if start < limit && to > start && whole {
            Next::At(Found { start, end: to, kind, tail: Tail::None })
        } else {
            Next::Nothing
        }
    }

    /// Whether it has to be looked for again from `from` on.
    fn is_passed(&self, from: usize) -> bool {
        match self {
            Next::Unknown => true,
            Next::Nothing => false,
            Next::At(found) => found.start < from,
        }
    }
}

/// The next secret, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct NextSecret {
    found: Option<Found>,
    /// No prefix of one begins before it that was not judged.
    from: usize,
    /// A prefix was met a short way before it, so that more are to be expected.
    near: usize,
    /// The barrier behind which a prefix was looked for.
    barrier: usize,
    runs: Runs,
}

impl NextSecret {
    /// The window slides.
    pub(crate) fn slide(&mut self, by: usize) {
        self.found = self.found.filter(|f| f.start >= by).map(|f| Found {
            start: f.start - by,
            end: f.end - by,
            ..f
        });
        self.from = self.from.saturating_sub(by);
        self.near = self.near.saturating_sub(by);
        self.barrier = self.barrier.saturating_sub(by);
        self.runs = Runs::default();
    }
}

impl Scanner {
    /// The next match whose trigger lies before `limit`.
    pub(crate) fn next(
        &mut self,
        triggers: &mut Triggers,
        limit: usize,
        view_end: usize,
        windowed: bool,
        end: bool,
    ) -> Option<Found> {
        let custom = if windowed { self.next_custom(limit, view_end, end) } else { None };
        // A match that begins after it has to wait until it is taken: it is looked for once, and
        // not after each of them.
        let before = if self.rules.numbers() { NUMBER_BEFORE } else { START_BEFORE };
        let near = custom.map_or(limit, |c| limit.min(c.start + before + 1));
        let built_in = self.built_in(triggers, near, limit, view_end);
        match (built_in, custom) {
            (Some(b), Some(c)) if b.start < c.start => Some(b),
            (b, None) => b,
            (Some(_), c) => c,
            (None, Some(c)) => self.address_over(c.start, limit, view_end).or(custom),
        }
    }

    fn built_in(
        &mut self,
        triggers: &mut Triggers,
        near: usize,
        limit: usize,
        view_end: usize,
    ) -> Option<Found> {
        debug_assert!(self.barrier <= self.cur, "what is judged lies behind the last match");
        let names = self.look == Look::Names;
        // Digits of an id mean nothing.
        let ids = names && !self.window[..view_end].contains(&b'+');
        let secret = if names { None } else { self.next_secret(limit, view_end) };
        let marker = self.next_marker(limit, view_end);
        let first = match (secret, marker) {
            (Some(secret), Some(marker)) if marker.start < secret.start => Some(marker),
            (secret, marker) => secret.or(marker),
        };
        loop {
            let trigger = triggers.peek(&self.window[..view_end], near);
            if let Some(found) = first
                && trigger.is_none_or(|q| found.start <= q)
            {
                return Some(found);
            }
            let q = trigger?;
            let text = &self.window[..view_end];
            let view = View {
                text: &text[..text.len().min(q + AHEAD)],
                lo: self.barrier.max(q.saturating_sub(BEHIND)),
            };
            // Most numbers of a text.
            if text[q].is_ascii_digit()
                && !self.rules.numbers()
                && triggers.phone() == Phone::IfSaid
                && self.is_silent(&view, q)
            {
                triggers.skip();
                continue;
            }
            let found = match text[q] {
                b'@' => self.email(&view, q).map(|address| {
                    let number = self.hidden_number(&view, &address);
                    number.filter(|f| !names || is_international(text, f)).unwrap_or(address)
                }),
                b':' if names => None,
                b':' => colon(&self.rules, &view, q),
                _ if ids => None,
                _ if names => self
                    .number(&view, q, triggers.phone())
                    .filter(|f| f.kind == kind::PHONE && is_international(text, f)),
                _ => self.number(&view, q, triggers.phone()),
            };
            if found.is_some() {
                // A secret that begins before the end of the match was not before its start: it
                // lies inside.
                return found;
            }
            triggers.skip();
        }
    }

    pub(crate) fn email(&self, view: &View<'_>, q: usize) -> Option<Found> {
        if !self.rules.has(kind::EMAIL) {
            return None;
        }
        email::find(view, q, !self.is_quoted_printable(q)).map(|(start, end)| Found {
            start,
            end,
            kind: kind::EMAIL,
            tail: Tail::None,
        })
    }

    /// The match that begins with the digit at `q`.
    fn number(&self, view: &View<'_>, q: usize, may_be: Phone) -> Option<Found> {
        let rules = &*self.rules;
        let found = |hit: Option<(usize, usize)>, kind| {
            hit.map(|(start, end)| Found { start, end, kind, tail: Tail::None })
        };
        let mut number = None;
        if rules.numbers() {
            let digits = view.text[q..].iter().take(RUN_MAX);
            let run = digits.take_while(|b| b.is_ascii_digit()).count();
            let mut asked = PLACES.at(view, q, run) & rules.at_digits;
            let at = Digits { view, q, run, cards: &self.cards };
            while asked != 0 && number.is_none() {
                let n = asked.trailing_zeros() as usize;
                asked &= asked - 1;
                number = found(DETECTORS[n].digits.and_then(|find| find(&at)), n as KindId);
            }
        }
        if number.is_none() && may_be != Phone::No && rules.has(kind::PHONE) {
            let known = &mut self.groups.borrow_mut();
            number = found(self.phone(view, q, known, may_be), kind::PHONE);
        }
        let number = number?;
        let email = Some(self.local_end(view, number.end))
            .filter(|&at| at - number.end < LOCAL_REACH && view.at(at) == Some(b'@'))
            .and_then(|at| Some((at, self.email(view, at)?)));
        Some(match email {
            // "4155550132@example.com": an address beats a number inside its local part.
            Some((_, email)) if email.start <= number.start => email,
            // Both: "+44 20 7946 0958'jane@example.com" is a number and, after it, an address; of
            // "+44 20 7946 0958@example.com" the address has the last digits.
            Some((at, email)) if email.start < number.end => {
                let rest = View { text: view.text, lo: number.end };
                if self.email(&rest, at).is_some() {
                    number
                } else {
                    let front = &view.text[number.start..email.start];
                    let end = front
                        .iter()
                        .rposition(u8::is_ascii_digit)
                        .map_or(email.end, |n| number.start + n + 1);
                    Found { end, ..number }
                }
            }
            _ => number,
        })
    }

    /// Where what stands from `from` on ends that may go on as the local part of an address; it is
    /// read once.
    fn local_end(&self, view: &View<'_>, from: usize) -> usize {
        let (begin, mut end) = self.local_stop.get();
        if !(begin..=end).contains(&from) {
            end = from;
        }
        let is_local = |b: &u8| {
            b.is_ascii_alphanumeric() || matches!(*b, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
        };
        let rest = view.text.get(end..view.text.len().min(from + LOCAL_REACH)).unwrap_or_default();
        end += rest.iter().take_while(|b| is_local(b)).count();
        self.local_stop.set((from, end));
        end
    }

    /// The first secret that begins between the last match and `limit`.
    #[inline(never)]
    fn next_secret(&mut self, limit: usize, view_end: usize) -> Option<Found> {
        let prefixes = self.rules.secrets.as_ref()?;
        let text = &self.window[..view_end];
        let (known, barrier, rules) = (&mut self.secret, self.barrier, &*self.rules);
        known.found = known.found.filter(|found| found.start >= self.cur);
        let mut judge = |start: usize, pattern: usize| {
            let kind = rules.kind_of_secret(pattern)?;
            let view = View {
                text: &text[..text.len().min(start + AHEAD)],
                lo: barrier.max(start.saturating_sub(2)),
            };
            let (end, more) = secret::find(&view, start, pattern, &mut known.runs)?;
            let tail = match more {
                More::Token => Tail::Token,
                More::Pem => Tail::Pem(0, 0),
                More::Nothing => Tail::None,
            };
            Some(Found { start, end, kind, tail })
        };
        // A prefix that was none because of a letter before it may be one behind a match; it stands
        // before the secret that is known.
        if barrier > known.barrier
            && barrier < known.from
            && barrier < limit
            && prefixes.pairs.may_begin_with(text[barrier])
        {
            let behind = Input::new(text).range(barrier..).anchored(Anchored::Yes);
            if let Some(found) =
                prefixes.near.find(behind).and_then(|hit| judge(barrier, hit.pattern().as_usize()))
            {
                return Some(found);
            }
        }
        known.barrier = barrier;
        if let Some(found) = known.found {
            return (found.start < limit).then_some(found);
        }
        let mut from = known.from.max(self.cur);
        loop {
            let hit;
            (hit, from) = next_prefix(prefixes, text, from, known.near);
            let Some(hit) = hit else {
                // The beginning of a prefix may stand at the end.
                known.from = from.max((view_end + 1).saturating_sub(secret::PREFIX_MAX));
                return None;
            };
            known.from = hit.start();
            known.near = hit.start() + NEAR;
            if hit.start() >= limit {
                return None;
            }
            if let Some(found) = judge(hit.start(), hit.pattern().as_usize()) {
                known.found = Some(found);
                return Some(found);
            }
            from = hit.start() + 1;
            known.from = from;
        }
    }

    /// The nearest match of the policy's own patterns and words that begins between the last match
    /// and `limit`. Each is looked for again only when its match is passed.
    fn next_custom(&mut self, limit: usize, view_end: usize, end: bool) -> Option<Found> {
        self.next_term(limit, view_end, end);
        let from = self.cur;
        let text = &self.window[..view_end];
        for ((kind, regex), known) in self.rules.custom.iter().zip(&mut self.custom) {
            if known.is_passed(from) {
                let lo = if self.from_start { 0 } else { from.saturating_sub(4) };
                *known = match regex.find_at(&text[lo..], from - lo) {
                    Some(hit) => {
                        let (start, to) = (lo + hit.start(), lo + hit.end());
                        Next::of(start, to, *kind, limit, end || to < view_end)
                    }
                    None => Next::Nothing,
                };
            }
        }
        for ((kind, names), (known, reading)) in self.rules.names.iter().zip(&mut self.names) {
            if known.is_passed(from) {
                *known = match names.find(text, from..limit.min(view_end), reading) {
                    Some((start, to)) => Next::of(start, to, *kind, limit, end || to < view_end),
                    None => Next::Nothing,
                };
            }
        }
        let mut best = None;
        let names = self.names.iter().map(|(known, _)| known);
        for known in [&self.terms].into_iter().chain(&self.custom).chain(names) {
            if let Next::At(found) = known
                && best.is_none_or(|b: Found| found.start < b.start)
            {
                best = Some(*found);
            }
        }
        best
    }

    /// Looks for the next word of the policy's lists, if the last one was passed.
    fn next_term(&mut self, limit: usize, view_end: usize, end: bool) {
        let Some(terms @ Terms { automaton, kinds, longest, pairs }) = &self.rules.terms else {
            return;
        };
        let from = self.cur;
        let text = &self.window[..view_end];
        let view = View { text, lo: self.barrier };
        let hit = |hit: Match| {
            let kind = kinds[hit.pattern().as_usize()];
            Next::of(hit.start(), hit.end(), kind, limit, end || hit.end() < view_end)
        };
        if self.terms.is_passed(from) {
            // None begins before it but one that was a part of another word: see below.
            let mut at = if from == self.barrier { from } else { from.max(self.terms_from) };
            // A word that begins before the limit ends before it.
            let until = view_end.min(limit + longest);
            self.terms = loop {
                match terms.find(text, at.min(until), until) {
                    None => {
                        self.terms_from = at.max((until + 1).saturating_sub(*longest));
                        break Next::Nothing;
                    }
                    Some(found) if found.start() >= limit => {
                        self.terms_from = limit;
                        break Next::Nothing;
                    }
                    Some(found) => match whole_word(automaton, &view, found) {
                        Some(word) => {
                            self.terms_from = word.start();
                            break hit(word);
                        }
                        None => at = found.start() + 1,
                    },
                }
            };
        } else if from == self.barrier && from < view_end && pairs.may_begin_with(text[from]) {
            // A word that was a part of one that is taken out now.
            let behind = Input::new(text).range(from..).anchored(Anchored::Yes);
            let found = automaton.find(behind);
            if let Some(word) = found.and_then(|found| whole_word(automaton, &view, found)) {
                self.terms = hit(word);
            }
        }
    }
}

/// Whether a number begins with a plus.
fn is_international(text: &[u8], found: &Found) -> bool {
    text[found.start..found.end].iter().find(|b| **b != b'(') == Some(&b'+')
}

/// The match around a colon.
fn colon(rules: &Compiled, view: &View<'_>, q: usize) -> Option<Found> {
    if rules.has(kind::ATTACHMENT)
        && let Some((start, end, rest)) = data_url::find(view, q)
    {
        let tail = match rest {
            Rest::Base64 => Tail::base64((end - start) as u16),
            Rest::Text => Tail::Url,
            Rest::Head => Tail::Head(0),
        };
        return Some(Found { start, end, kind: kind::ATTACHMENT, tail });
    }
    rules.at_colon.iter().find_map(|(kind, find)| {
        let (start, end) = find(view, q)?;
        Some(Found { start, end, kind: *kind, tail: Tail::None })
    })
}
