//! Words that say what a number near them is: a telephone, or an identifier of some other kind.
//!
//! Pure. One automaton over all languages. The word nearest to a number decides.

use std::cell::RefCell;
use std::sync::OnceLock;

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::{Builder, DFA};
use aho_corasick::{Anchored, MatchKind, StartKind};

use super::View;
use super::word_leads::Leads;
use super::word_lists::{IDENTIFIER, IN_NAMES, LABELS, NUMBER_IS, OWNERS, PHONE};
use crate::block::{self, Block};
use crate::fold::{TELEPHONE, is_alphanumeric, is_unspaced};

/// The meaning of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Phone,
    /// An order, a ticket, an account …
    Identifier,
}

/// A word near a number: what it says, and how many bytes stand between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Near {
    pub(crate) says: Says,
    pub(crate) gap: usize,
    /// It names a telephone, as a label before a number does.
    pub(crate) label: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    says: Says,
    /// More letters may stand before or after.
    open_left: bool,
    open_right: bool,
    /// Says nothing as a part of a name.
    alone: bool,
    /// Names a telephone.
    label: bool,
    /// One of [`NUMBER_IS`].
    owned: bool,
}

/// The automaton over all words.
#[derive(Debug)]
pub(crate) struct Words {
    automaton: DFA,
    entries: Vec<Entry>,
    /// Bytes of the longest word.
    longest: usize,
    /// For each first letter, by its last five bits, which second ones a word may have; and a word
    /// that may end a longer one. One bit for each, by its last five bits.
    second: [u32; 32],
    endings: [u32; 32],
    /// The same for words that are labels.
    labels: [u32; 32],
    /// The first bytes of words.
    leads: Leads,
    /// Whether a word begins with this byte.
    first: [bool; 256],
}

impl Words {
    /// The words, built once: a constant, but for the time it takes.
    pub(crate) fn all() -> Option<&'static Words> {
        static WORDS: OnceLock<Option<Words>> = OnceLock::new();
        WORDS.get_or_init(Words::new).as_ref()
    }

    /// Builds it; nothing if the word list cannot be built, which a test would show.
    fn new() -> Option<Words> {
        let mut patterns: Vec<String> = Vec::new();
        let mut entries = Vec::new();
        let lists = [
            (LABELS, Says::Phone, true),
            (PHONE, Says::Phone, false),
            (IDENTIFIER, Says::Identifier, false),
        ];
        for (list, says, label) in lists {
            for word in list.split_whitespace() {
                let entry = Entry {
                    says,
                    open_left: word.starts_with('*'),
                    open_right: word.ends_with('*'),
                    alone: IN_NAMES.contains(&word),
                    label,
                    owned: NUMBER_IS.contains(&word),
                };
                let word = match word {
                    "☎" => char::from(TELEPHONE).to_string(),
                    _ => word.trim_matches('*').replace('-', " "),
                };
                // The automaton ignores case in ASCII only; a first letter of another script is
                // given both ways.
                let mut capital = word.clone();
                if let Some(first) = word.chars().next().filter(|c| !c.is_ascii()) {
                    capital = first.to_uppercase().chain(word.chars().skip(1)).collect();
                }
                let upper = word.to_uppercase();
                for form in [word.clone(), capital, upper] {
                    if !patterns.iter().any(|p| p.eq_ignore_ascii_case(&form)) {
                        patterns.push(form);
                        entries.push(entry);
                    }
                }
            }
        }
        let mut first = [false; 256];
        for b in patterns.iter().filter_map(|p| p.as_bytes().first()) {
            first[usize::from(b.to_ascii_lowercase())] = true;
            first[usize::from(b.to_ascii_uppercase())] = true;
        }
        let longest = patterns.iter().map(String::len).max()?;
        let (mut second, mut endings, mut labels) = ([0; 32], [0; 32], [0; 32]);
        let mut leads = Leads::default();
        for (entry, word) in entries.iter().zip(&patterns) {
            let [first, rest @ ..] = word.as_bytes() else { continue };
            let bit = rest.first().map_or(u32::MAX, |b| 1 << (b & 31));
            second[usize::from(first & 31)] |= bit;
            endings[usize::from(first & 31)] |= if entry.open_left { bit } else { 0 };
            labels[usize::from(first & 31)] |= if entry.label { bit } else { 0 };
            leads.add(word.as_bytes());
        }
        // Tried where a word may begin: most places of a text are none, and most words are out at
        // their second letter.
        let automaton = Builder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Anchored)
            .build(&patterns)
            .ok()?;
        Some(Words { automaton, entries, longest, second, endings, labels, leads, first })
    }

    /// Whether a word may begin at `i`: after what is no letter, anywhere in a script without
    /// spaces, and where the letters are the first of a word that may end a longer one. Says yes to
    /// more places than are right.
    fn may_begin(&self, text: &[u8], i: usize) -> bool {
        let b = text[i];
        if !self.first[usize::from(b)] {
            return false;
        }
        let (first, bit) = (usize::from(b & 31), 1 << (text.get(i + 1).map_or(0, |b| b & 31)));
        if self.second[first] & bit == 0 {
            return false;
        }
        i == 0
            || !b.is_ascii_alphabetic()
            || !text[i - 1].is_ascii_alphabetic()
            || self.endings[first] & bit != 0
            || camel(text, i)
    }

    /// Whether a word of ASCII letters may be a label, or end with one: "workphone". Says yes to
    /// more than are.
    pub(crate) fn may_be_label(&self, word: &[u8]) -> bool {
        let begins = |from: usize, pairs: &[u32; 32]| match word.get(from..from + 2) {
            Some([first, second]) => pairs[usize::from(first & 31)] >> (second & 31) & 1 == 1,
            _ => false,
        };
        begins(0, &self.labels)
            || (1..word.len()).any(|i| {
                begins(i, &self.endings) || word[i].is_ascii_uppercase() && begins(i, &self.labels)
            })
    }

    /// One bit for each place of the block at `at` where a word may begin, as far as whole blocks
    /// tell: the first letters of words, capitals inside them, the letters of [`ENDING_PAIRS`], and
    /// all that is not ASCII.
    fn may_begin_in(text: &[u8], at: usize) -> u64 {
        let block = Block::of(text, at);
        let letters = block.letters();
        let before = at > 0 && text[at - 1].is_ascii_alphabetic();
        let inside = letters << 1 | u64::from(before);
        let [firsts, seconds] = ENDING_PAIRS;
        // The byte after the block is not seen.
        let endings = block.letters_of(firsts) & (block.letters_of(seconds) >> 1 | 1 << 63);
        letters & (!inside | block.capitals() | endings) | block.leads_or(TELEPHONE)
    }

    /// Tells the words that begin at `start` and where they end, the shortest first. Whether they
    /// stand alone is not asked.
    fn at(&self, text: &[u8], start: usize, mut tell: impl FnMut(usize, Entry)) {
        let dfa = &self.automaton;
        let Ok(mut state) = dfa.start_state(Anchored::Yes) else { return };
        for (i, &b) in text.iter().enumerate().skip(start) {
            state = dfa.next_state(Anchored::Yes, state, b);
            if !dfa.is_special(state) {
                continue;
            }
            if dfa.is_dead(state) {
                return;
            }
            if !dfa.is_match(state) {
                continue;
            }
            let stop = i + 1;
            for word in (0..dfa.match_len(state)).map(|n| dfa.match_pattern(state, n)) {
                // A state also knows the words that end here and began later.
                if dfa.pattern_len(word) == stop - start {
                    tell(stop, self.entries[word.as_usize()]);
                }
            }
        }
    }

    /// Whether a key that says so is about telephones and nothing else, so that it says it of all
    /// that stands under it: `"phone": {"home": …}`, but not `"call": {"started": …}`.
    pub(crate) fn is_strong(&self, key: &[u8]) -> bool {
        const STRONG: &[&[u8]] = &[
            b"phone",
            b"tel",
            b"mobil",
            b"fax",
            b"msisdn",
            b"whatsapp",
            b"handy",
            b"celular",
            b"fono",
        ];
        let begins = |i: usize| match key[i].to_ascii_lowercase() {
            first @ (b'p' | b't' | b'm' | b'f' | b'w' | b'h' | b'c') => STRONG.iter().any(|word| {
                let part = key.get(i..i + word.len());
                first == word[0] && part.is_some_and(|part| part.eq_ignore_ascii_case(word))
            }),
            _ => false,
        };
        !key.is_ascii() || (0..key.len()).any(begins)
    }

    /// Whether a key under one of those is about something else: `"phone": {"verified_at": …}`.
    pub(crate) fn is_neutral(&self, key: &[u8]) -> bool {
        const NEUTRAL: &[&str] = &[
            "at", "time", "date", "ts", "since", "until", "on", "created", "updated", "verified",
            "expires", "ttl", "duration", "key", "hash", "token", "uuid", "price", "cost", "year",
            "imei", "area", "lat", "lng",
        ];
        let part = key.rsplit(|b| !b.is_ascii_alphanumeric()).next().unwrap_or_default();
        let camel = part.iter().rposition(u8::is_ascii_uppercase).map_or(part, |i| &part[i..]);
        [part, camel].iter().any(|p| NEUTRAL.iter().any(|n| p.eq_ignore_ascii_case(n.as_bytes())))
    }

    /// The meaning of a JSON key.
    pub(crate) fn key(&self, key: &[u8]) -> Option<Says> {
        // Twice the longest key, for a space before each letter.
        let mut spaced = [0u8; 128];
        let mut n = 0;
        for (i, &b) in key.iter().take(64).enumerate() {
            if b.is_ascii_uppercase() && i > 0 && key[i - 1].is_ascii_lowercase() {
                spaced[n] = b' ';
                n += 1;
            }
            spaced[n] = if matches!(b, b'_' | b'-' | b'.') { b' ' } else { b };
            n += 1;
        }
        let spaced = &spaced[..n];
        // Most keys hold no word.
        let inside = |i: usize| {
            let (first, next) = (spaced[i], spaced.get(i + 1).map_or(0, |b| b & 31));
            i > 0
                && first.is_ascii_lowercase()
                && spaced[i - 1].is_ascii_alphabetic()
                && self.endings[usize::from(first & 31)] >> next & 1 == 0
        };
        let begins = |i: &usize| self.leads.may_begin(spaced, *i) && self.may_begin(spaced, *i);
        (0..n).filter(|i| !inside(*i)).find(begins)?;
        let view = View { text: spaced, lo: 0 };
        // "documents" are what a model is to rank, not papers of a person.
        if spaced.eq_ignore_ascii_case(b"documents") {
            return None;
        }
        Nearby { words: self, seen: &RefCell::default() }
            .before(&view, spaced.len(), spaced.len())
            .map(|near| near.says)
    }
}

/// The first two letters of the words that may end a longer one, in small letters: the first ones,
/// and the second ones.
const ENDING_PAIRS: [[u8; 3]; 2] = [*b"ptf", *b"hea"];

/// How far before a number a telephone word may stand.
pub(crate) const WORD_BEFORE: usize = 64;

/// How far apart two places may be so that the words between them are looked for as well.
const GAP_MAX: usize = 16;

/// Bytes that may stand before the first digit of a number and belong to it.
const PREFIX_MAX: usize = 8;

/// How far words are looked for beyond what is asked for, and where they were looked for before.
const LOOK_AHEAD: usize = 64;
const LOOK_FAR: usize = 192;

/// Words that are kept after they are passed.
const KEPT_MAX: usize = 256;

/// The words in a stretch of text, as far as they were looked for, so that each is looked for once
/// and not for each number near it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    from: usize,
    to: usize,
    /// In the order in which they begin.
    words: Vec<Place>,
    /// Where those for telephones begin.
    phones: Vec<usize>,
    /// No word for telephones begins between these.
    silent: (usize, usize),
    /// Where one does that was asked about last, counted from 1.
    spoken: usize,
}

/// A word, whether or not it stands alone.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    stop: usize,
    entry: Entry,
}

impl Seen {
    /// The text is another one.
    pub(crate) fn clear(&mut self) {
        (self.from, self.to, self.silent, self.spoken) = (0, 0, (0, 0), 0);
        self.words.clear();
        self.phones.clear();
    }

    /// Looks for the words that begin in `from..to`, as far as they are not known.
    #[inline]
    fn look(&mut self, words: &Words, text: &[u8], from: usize, to: usize) {
        if from < self.from || to > self.to {
            self.look_further(words, text, from, to);
        }
    }

    fn look_further(&mut self, words: &Words, text: &[u8], from: usize, to: usize) {
        if from < self.from || from > self.to + GAP_MAX {
            // A little more, so that a `+` or a bracket before the number does not make it begin
            // anew.
            let from = from.saturating_sub(PREFIX_MAX);
            (self.from, self.to) = (from, from);
            self.words.clear();
            self.phones.clear();
        }
        if self.words.len() > KEPT_MAX {
            self.words.drain(..self.words.partition_point(|w| w.start < from));
            self.phones.drain(..self.phones.partition_point(|start| *start < from));
            self.from = from;
        }
        let until = to.min(text.len());
        let mut at = self.to;
        while at < until {
            let here = u64::MAX >> (block::LEN - (until - at).min(block::LEN));
            let mut starts = Words::may_begin_in(text, at) & here;
            while starts != 0 {
                let start = at + starts.trailing_zeros() as usize;
                starts &= starts - 1;
                if words.leads.may_begin(text, start) && words.may_begin(text, start) {
                    self.add(words, text, start);
                }
            }
            at += block::LEN;
        }
        self.to = self.to.max(to);
    }

    /// Takes the words that begin at `start`.
    fn add(&mut self, words: &Words, text: &[u8], start: usize) {
        words.at(text, start, |stop, entry| {
            self.words.push(Place { start, stop, entry });
            if entry.says == Says::Phone {
                self.phones.push(start);
            }
        });
    }

    /// Whether a telephone word begins in `from..to`, as far as it was looked for.
    fn has_phone(&mut self, from: usize, to: usize) -> bool {
        let before = self.phones.partition_point(|start| *start < to);
        let last = before.checked_sub(1).map(|last| self.phones[last]);
        self.spoken = last.filter(|start| *start >= from).map_or(self.spoken, |start| start + 1);
        last.is_some_and(|start| start >= from)
    }

    /// The stretch around `from..to`, which has no telephone word, that has none either.
    fn silence(&self, from: usize, to: usize) -> (usize, usize) {
        let after = self.phones.partition_point(|start| *start < to);
        let before = after.checked_sub(1).map_or(self.from, |i| self.phones[i] + 1);
        let next = self.phones.get(after).map_or(self.to, |start| self.to.min(*start));
        (before.max(self.from).min(from), next.max(to))
    }

    /// Those that begin before `to`, and those from there on.
    fn split(&self, to: usize) -> (&[Place], &[Place]) {
        self.words.split_at(self.words.partition_point(|w| w.start < to))
    }
}

/// Words, and those of the text at hand that are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nearby<'a> {
    pub(crate) words: &'a Words,
    /// Of the text of every view that is asked about, until it is cleared.
    pub(crate) seen: &'a RefCell<Seen>,
}

impl Nearby<'_> {
    /// The word nearest before `end`, looking at most `reach` bytes back; of two that end there the
    /// longer.
    pub(crate) fn before(&self, view: &View<'_>, end: usize, reach: usize) -> Option<Near> {
        let from = view.lo.max(end.saturating_sub(reach));
        let text = &view.text[from..end];
        let mut seen = self.seen.borrow_mut();
        seen.look(self.words, view.text, end.saturating_sub(reach.max(WORD_BEFORE)), end);
        let mut nearest: Option<(usize, Entry)> = None;
        let out = |nearest: Option<(usize, Entry)>, start: usize| {
            nearest.is_some_and(|(stop, _)| start + self.words.longest < stop)
        };
        for word in seen.split(end).0.iter().rev() {
            if word.start <= from || out(nearest, word.start - from) {
                break;
            }
            let (start, stop) = (word.start - from, word.stop.wrapping_sub(from));
            if stop <= text.len()
                && nearest.is_none_or(|(nearest, _)| stop >= nearest)
                && bounded(text, start, stop, word.entry)
            {
                nearest = Some((stop, word.entry));
            }
        }
        // Where the text is cut off a word may begin that is a part of another one.
        if !text.is_empty() && !out(nearest, 0) && self.words.may_begin(text, 0) {
            self.words.at(text, 0, |stop, entry| {
                if nearest.is_none_or(|(nearest, _)| stop >= nearest)
                    && bounded(text, 0, stop, entry)
                {
                    nearest = Some((stop, entry));
                }
            });
        }
        nearest.map(|(stop, entry)| Near {
            says: entry.says,
            gap: text.len() - stop,
            label: entry.label,
        })
    }

    /// The meaning of the word that ends first after the number that ends before `start`, looking
    /// at most `reach` bytes on and not past the line.
    pub(crate) fn after(&self, view: &View<'_>, start: usize, reach: usize) -> Option<Says> {
        let text = &view.text[start..view.text.len().min(start + reach)];
        let text = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
        let mut seen = self.seen.borrow_mut();
        seen.look(self.words, view.text, start, start + text.len());
        let mut first: Option<(usize, Says)> = None;
        for word in seen.split(start).1 {
            let (from, stop) = (word.start - start, word.stop - start);
            if from >= text.len() || first.is_some_and(|(first, _)| first <= from) {
                break;
            }
            if stop <= text.len()
                && first.is_none_or(|(first, _)| stop < first)
                && bounded(text, from, stop, word.entry)
            {
                first = Some((stop, word.entry.says));
            }
        }
        first.map(|(_, says)| says)
    }

    /// Whether it was looked for words in `from..to` before: [`Nearby::may_say_phone`] takes little.
    pub(crate) fn are_known(&self, view: &View<'_>, from: usize, to: usize) -> bool {
        let seen = self.seen.borrow();
        seen.from <= from && to.min(view.text.len()) <= seen.to
    }

    /// Whether a telephone word may begin in `from..to`.
    #[inline]
    pub(crate) fn may_say_phone(&self, view: &View<'_>, from: usize, to: usize) -> bool {
        let to = to.min(view.text.len());
        let Seen { silent, spoken, .. } = *self.seen.borrow();
        spoken > from && spoken <= to
            || (from < silent.0 || to > silent.1) && self.look_for_phones(view, from, to)
            || self.may_be_cut(view, from, to)
    }

    /// Whether it is known that none does.
    #[inline]
    pub(crate) fn are_silent(&self, view: &View<'_>, from: usize, to: usize) -> bool {
        let to = to.min(view.text.len());
        let silent = self.seen.borrow().silent;
        from >= silent.0 && to <= silent.1 && !self.may_be_cut(view, from, to)
    }

    /// Whether a part of a telephone word may begin where the text is cut off.
    #[inline]
    fn may_be_cut(&self, view: &View<'_>, from: usize, to: usize) -> bool {
        let cut = view.lo.max(from);
        cut < to
            && cut > 0
            && self.words.first[usize::from(view.text[cut])]
            && self.words.leads.may_begin(view.text, cut)
            && self.is_cut(view, cut)
    }

    /// Whether a part of a word that begins at `cut` is one for telephones.
    #[cold]
    fn is_cut(&self, view: &View<'_>, cut: usize) -> bool {
        let mut says = false;
        self.words.at(view.text, cut, |_, entry| says |= entry.says == Says::Phone);
        says
    }

    fn look_for_phones(&self, view: &View<'_>, from: usize, to: usize) -> bool {
        let mut seen = self.seen.borrow_mut();
        if seen.from > from || seen.to < to {
            // Some way further, so that the next number finds it done; not so far that a word may
            // be cut off.
            let goes_on = seen.from <= from && from <= seen.to;
            let ahead = if goes_on { LOOK_FAR } else { LOOK_AHEAD };
            let room = view.text.len().saturating_sub(self.words.longest);
            let further = (to + ahead).min(room);
            seen.look(self.words, view.text, from, further.max(to));
        }
        if seen.has_phone(from, to) {
            return true;
        }
        seen.silent = seen.silence(from, to);
        false
    }
}

/// Whether a word in a name of a program begins at `i`: "contactPhone".
fn camel(text: &[u8], i: usize) -> bool {
    i >= 2 && text[i].is_ascii_uppercase() && text[i - 2..i].iter().all(u8::is_ascii_lowercase)
}

/// Whether the hit stands alone: no letter before or after it that would make it part of another
/// word.
fn bounded(text: &[u8], start: usize, stop: usize, entry: Entry) -> bool {
    if entry.owned && !owned(&text[..start]) {
        return false;
    }
    let view = View { text, lo: 0 };
    let letter = |c: Option<char>| {
        c.is_some_and(|c| is_alphanumeric(c) && !c.is_ascii_digit() && !is_unspaced(c))
    };
    // Most words and their neighbours are ASCII.
    let (before, first, after) = (view.before(start), view.at(start), view.at(stop));
    let before = before.filter(|_| !camel(text, start));
    if [before, first, after].iter().all(|b| b.is_none_or(|b| b < 0x80)) {
        let letter = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphabetic());
        // "SQ_RING", "ring_size", "a.txt"
        let name = entry.alone && (matches!(before, Some(b'_' | b'.')) || after == Some(b'_'));
        return (entry.open_left || !letter(before))
            && (entry.open_right || !letter(after))
            && !name;
    }
    let own = view.char_at(start).is_some_and(is_unspaced);
    own || (entry.open_left || !letter(view.char_before(start)))
        && (entry.open_right || !letter(view.char_at(stop)))
}

/// Whether a number of which `before` speaks may be that of a telephone: "my number is".
fn owned(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'\'' || *b >= 0x80;
    let from = before.iter().rposition(|b| !part(b)).map_or(0, |i| i + 1);
    let word = &before[from..];
    word.is_empty()
        || word.ends_with(b"'s")
        || word.ends_with(b"'")
        || OWNERS.iter().any(|owner| word.eq_ignore_ascii_case(owner.as_bytes()))
}

#[cfg(test)]
#[test]
fn no_word_begins_where_blocks_show_none() {
    let words = Words::all().expect("the words");
    for list in [LABELS, PHONE, IDENTIFIER] {
        for word in list.split_whitespace().filter(|w| *w != "☎") {
            for form in [word.to_owned(), word.to_uppercase()] {
                for before in ["", " ", "1", "x", "X", "é"] {
                    let bare = form.trim_matches('*').replace('-', " ");
                    for from in [0, 60, 63] {
                        let text = format!("{}{before}{bare}", ".".repeat(from));
                        let (text, start) = (text.as_bytes(), from + before.len());
                        let block = Words::may_begin_in(text, start - start % block::LEN);
                        let told = block >> (start % block::LEN) & 1 == 1;
                        assert!(told || !words.may_begin(text, start), "{before}{word} at {from}");
                        assert!(words.leads.may_begin(text, start), "{before}{word} at {from}");
                    }
                }
            }
        }
    }
}
