//! Local numbers of five or six digits, which only the label right before them shows, and amounts
//! beside telephone words, which are no numbers.
//!
//! Pure. Source: the shortest numbers of `tests/numbers.tsv`, which islands and small territories
//! have.

use super::super::View;
use super::super::words::{Near, Nearby, Says};
use super::candidate::Candidate;
use super::groups::upto;
use super::separators::{DOT, SPACE};
use crate::fold::TELEPHONE;

/// How far before a short number its label may stand.
const LABEL_REACH: usize = 28;
/// How near a label is one of the number's own.
const OWN: usize = 3;
/// Zeros at the end of a number that was rounded.
const ROUND: usize = 6;

/// Words that may stand between a label and its number.
const LINKS: &[&str] = &[
    "number",
    "number is",
    "numbers",
    "no",
    "nr",
    "num",
    "is",
    "at",
    "on",
    "nummer",
    "nummer ist",
    "ist",
    "es",
    "est",
    "numero",
    "numéro",
    "número",
    "номер",
    "č",
    "n",
    "nº",
    "n°",
];

/// Words for what is counted: "1234567 tokens".
const COUNTED: &[&str] = &[
    "accounts",
    "anrufe",
    "appels",
    "bytes",
    "calls",
    "characters",
    "chars",
    "clients",
    "copies",
    "customers",
    "cycles",
    "days",
    "devices",
    "documents",
    "dollars",
    "downloads",
    "edges",
    "employees",
    "entries",
    "eur",
    "euro",
    "euros",
    "events",
    "files",
    "followers",
    "gb",
    "gbp",
    "gebruikers",
    "hits",
    "hours",
    "images",
    "instructions",
    "items",
    "iterations",
    "jobs",
    "kb",
    "keer",
    "klanten",
    "lines",
    "llamadas",
    "mb",
    "members",
    "messages",
    "minutes",
    "ms",
    "msec",
    "nodes",
    "ns",
    "nutzer",
    "operations",
    "ops",
    "pages",
    "parameters",
    "params",
    "people",
    "pixels",
    "points",
    "queries",
    "records",
    "requests",
    "residents",
    "rows",
    "s",
    "samples",
    "sec",
    "seconds",
    "steps",
    "subscribers",
    "tasks",
    "texts",
    "times",
    "tokens",
    "transactions",
    "units",
    "us",
    "usec",
    "usd",
    "users",
    "usuarios",
    "utilisateurs",
    "views",
    "visitors",
    "visits",
    "votes",
    "words",
    "zeilen",
];

/// The last two letters of labels and of links, as one bit for the last in the word of the one
/// before it, by their last five bits.
const ENDINGS: [u32; 32] = {
    let pairs = *b"neelaxleilllobdyonnoerarsmlfjodnhlphtzreennrinuhumnulpmunihpisstesatrors";
    let (mut endings, mut i) = ([0; 32], 0);
    while i + 1 < pairs.len() {
        endings[(pairs[i] & 31) as usize] |= 1 << (pairs[i + 1] & 31);
        i += 2;
    }
    endings
};

/// Whether a label may stand before the short number at `q`, as far as two letters show.
pub(crate) fn may_be_short(text: &[u8], q: usize) -> bool {
    let lo = q.saturating_sub(LABEL_REACH);
    let mut i = q;
    while i > lo && (is_mark(&text[i - 1]) || text[i - 1] == b'(') {
        i -= 1;
        if text[i] == TELEPHONE {
            return true;
        }
    }
    match text[..i] {
        [] => true,
        [.., last] if last >= 0x80 => true,
        [.., before, last] if last.is_ascii_alphabetic() => {
            let known = ENDINGS[usize::from(before & 31)] >> (last & 31) & 1 == 1;
            known && !ends_longer(&text[lo..i])
        }
        _ => false,
    }
}

/// Whether a text ends like "is", "est" or "at", but with a longer word: "request 81234".
fn ends_longer(text: &[u8]) -> bool {
    let mut last = [0; 4];
    let from = text.len().saturating_sub(last.len());
    last[4 - (text.len() - from)..].copy_from_slice(&text[from..]);
    last.make_ascii_lowercase();
    match last {
        [.., before, b'i' | b'e', b's'] | [.., before, b'a', b't'] => before.is_ascii_alphabetic(),
        [before, b'i' | b'e', b's', b't'] => before.is_ascii_alphabetic(),
        [.., b's', b't'] => true,
        _ => false,
    }
}

/// Whether a label stands right before the short number whose digits begin at `q`, or its key is
/// one.
pub(crate) fn is_labelled(
    view: &View<'_>,
    q: usize,
    words: Nearby<'_>,
    hint: Option<Says>,
) -> bool {
    let start = if view.before(q) == Some(b'(') { q - 1 } else { q };
    if !may_be_short(view.text, start) || start > view.lo && !may_be_labelled(view, start, words) {
        return false;
    }
    match words.before(view, start, LABEL_REACH) {
        Some(Near { says: Says::Phone, label: true, gap }) => {
            is_link(&view.text[start - gap..start])
        }
        Some(_) => false,
        None => hint == Some(Says::Phone) && start == 0,
    }
}

/// Whether the word before `start` may be a label or stand behind one: most words are neither, as
/// their first letters show.
fn may_be_labelled(view: &View<'_>, start: usize, words: Nearby<'_>) -> bool {
    let text = &view.text[view.lo.max(start.saturating_sub(LABEL_REACH))..start];
    let Some(end) = text.iter().rposition(|b| !is_mark(b)) else { return text.len() < LABEL_REACH };
    if text[end + 1..].contains(&TELEPHONE) {
        return true;
    }
    let text = &text[..=end];
    let len = text.iter().rev().take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &text[text.len() - len..];
    text[end] >= 0x80
        || words.words.may_be_label(word)
        || LINKS.iter().any(|link| word.eq_ignore_ascii_case(link.as_bytes()))
}

/// Whether `b` may stand between a label and its number.
fn is_mark(b: &u8) -> bool {
    matches!(*b, b' ' | b':' | b'.' | b'=' | b'#' | b'*' | b'_' | b'"' | b'\'' | b'`' | b'-')
        || *b < b' ' && *b != b'\n'
}

/// Whether what stands between a label and a number joins them.
fn is_link(between: &[u8]) -> bool {
    let from = between.iter().position(|b| !is_mark(b)).unwrap_or(between.len());
    let to = between.iter().rposition(|b| !is_mark(b)).map_or(from, |i| i + 1);
    let word = &between[from..to];
    word.is_empty() || LINKS.iter().any(|link| word.eq_ignore_ascii_case(link.as_bytes()))
}

impl Candidate<'_> {
    /// All groups, if they are a local number: a label stands before them.
    pub(crate) fn local(&self) -> Option<usize> {
        let last = self.n - 1;
        let number = |i: usize| self.text(i).iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
        let marks = self.groups.marks;
        let inside = upto(last);
        let year =
            (0..self.n).any(|i| self.groups.all[i].len() == 4 && (1900..2100).contains(&number(i)));
        // "05.11.24"
        let dots = last > 0 && marks.dot() & inside == inside;
        let date =
            dots && self.n == 3 && (1..=31).contains(&number(0)) && (1..=12).contains(&number(1));
        let decimal = dots && self.n == 2;
        let round = last == 0 && self.text(0).ends_with(b"000");
        let other = marks.slash() | marks.odd() != 0
            || year
            || date
            || decimal
            || round
            || self.digits_before;
        (!other && self.right(last, false) && !self.counts_things(last)).then_some(last)
    }

    /// Whether a telephone word stands right before the number.
    pub(crate) fn called(&self, reach: usize) -> bool {
        self.before().is_some_and(|near| near.says == Says::Phone && near.gap <= reach)
    }

    /// Whether it is a number with decimals: 0.57721566.
    pub(crate) fn decimal(&self, last: usize) -> bool {
        let [first, second, ..] = self.groups.all else { return false };
        last == 1
            && first.len() == 1
            && second.len() >= 5
            && second.sep.has(DOT)
            && !second.sep.has(SPACE)
            && self.around.hint.is_none()
    }

    /// Whether bare digits count something: "1234567 tokens", or are a round number. A label of
    /// their own makes a number of them.
    pub(crate) fn is_count(&self) -> bool {
        let own = self.before().is_some_and(|near| near.label && near.gap <= OWN);
        let zeros = self.text(0).iter().rev().take_while(|d| **d == b'0').count();
        !own && self.around.hint.is_none()
            && (zeros >= ROUND || self.counts_things(0) || self.begins_another_line())
    }

    /// Whether the groups up to `last` are a round amount: "10 000 000".
    pub(crate) fn is_round(&self, last: usize) -> bool {
        last > 1
            && self.groups.marks.space() & upto(last) == upto(last)
            && (1..=last).all(|i| self.text(i) == b"000")
    }

    /// Whether seven or eight digits begin an item or a line, and the telephone word stands in
    /// another line that does not lead to them: "fix tool call\n- 1157340: …".
    fn begins_another_line(&self) -> bool {
        let Some(near) = self.before() else { return false };
        let between = &self.view.text[self.start - near.gap..self.start];
        let Some(end) = between.iter().position(|b| *b == b'\n') else { return false };
        let leads = between[..end].trim_ascii_end().last() == Some(&b':');
        self.total(0) < 9 && !leads && self.view.at(self.groups.all[0].end()) == Some(b':')
    }

    /// Whether the word after group `last` says that things are counted.
    fn counts_things(&self, last: usize) -> bool {
        let rest =
            self.view.text[self.groups.all[last].end()..].strip_prefix(b" ").unwrap_or_default();
        let len = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        len > 0 && COUNTED.iter().any(|word| rest[..len].eq_ignore_ascii_case(word.as_bytes()))
    }
}
