//! The text of one string as the detectors see it, and where each piece of it lies in the raw bytes.
//!
//! Pure. Characters come in as the tokenizer tells them, are unescaped further where JSON stands inside the string,
//! folded, and kept in a small window together with the raw span of each. Detectors look at the window around trigger
//! bytes; what they find comes out as [`Op`]s on raw offsets. Promises: the same operations for every way of cutting,
//! because a place is judged only when `AHEAD` bytes after it are here or the string has ended, and never with more than
//! that in view; the window is bounded whatever the string. Does not: write anything.

use std::sync::Arc;

use super::block::{self, Block};
use super::detect::secret::More;
use super::detect::words::Says;
use super::detect::{AHEAD, BEHIND, View, card, data_url, email, ip, phone, secret};
use super::fold::{self, BREAK, Fold, NESTED_QUOTE};
use super::rules::{Compiled, KindId, kind};

/// Longest match of a custom pattern or word that is found for certain, in folded bytes.
pub const CUSTOM_SPAN_MAX: usize = 1024;

/// Folded bytes in the window; then it is looked at and slides on.
const WINDOW: usize = 4096;
/// Runs in the window's map.
const SEGMENTS: usize = 2048;
/// How far windows at fixed places are apart, where custom patterns need them.
const STEP: usize = 1024;
/// Invisible characters that may stand in a row inside a match.
const SKIPPED_MAX: u8 = 8;
/// How many more invisible characters than visible ones a text may have, so that what waits to be judged stays short.
const SKIPPED_AHEAD_MAX: u16 = 512;
/// A base64 string is known by its first bytes.
const BLOB_HEAD: usize = 1024;
/// Shorter strings of base64 characters may be anything.
const BLOB_MIN: usize = 64;
/// A digit this far into a string or less stands under its JSON key.
const HINT_REACH: usize = 48;

const _: () = assert!(STEP + CUSTOM_SPAN_MAX + BEHIND < WINDOW && AHEAD + BEHIND < WINDOW && BLOB_HEAD < WINDOW);
const _: () = assert!(AHEAD <= CUSTOM_SPAN_MAX);

/// What is to be done with the raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Put the replacement of `kind` in their place.
    Replace {
        from: u64,
        to: u64,
        kind: KindId,
        /// How many times what is written has to be escaped.
        escapes: u8,
        /// It stands outside the quotation marks of a JSON text inside the string, and needs its own.
        quote: bool,
    },
    /// Drop the bytes up to `to`: they go on what was replaced before.
    Drop { to: u64 },
}

/// How closely a string is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// With everything that the rules ask for.
    All,
    /// For e-mail addresses only: identifiers and names, where digits mean nothing.
    Names,
}

/// A run of the window and the raw bytes it came from.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// Where it begins in the window.
    at: u32,
    /// Raw bytes of the one character; 0 for a run in which window and raw bytes are alike.
    raw_len: u32,
    raw: u64,
}

/// A match that goes on beyond its fixed part, for any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    None,
    Base64,
    Url,
    Token,
    /// Runs of five dashes seen, and dashes in the present run.
    Pem(u8, u8),
}

/// Undoes escapes of JSON inside a string, as far as they are ones: what is held while it may be the beginning of one.
#[derive(Clone, Copy, Debug, Default)]
struct Unescape {
    /// ASCII all of it.
    chars: [u8; 6],
    n: usize,
    /// Where the first begins, and where each ends, counted from there.
    from: u64,
    ends: [u32; 6],
}

impl Unescape {
    fn push(&mut self, c: u8, from: u64, to: u64) {
        if self.n == 0 {
            self.from = from;
        }
        self.chars[self.n] = c;
        self.ends[self.n] = (to - self.from) as u32;
        self.n += 1;
    }
}

/// Whether the string holds a JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Nested {
    /// Nothing but white space so far.
    #[default]
    Unknown,
    No,
    Yes,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scanner {
    rules: Arc<Compiled>,
    /// Escapes of the outermost level: 1 in a JSON body, 0 in plain text.
    level: u8,
    window: Vec<u8>,
    segments: Vec<Segment>,
    /// Everything before it is judged.
    cur: usize,
    /// End of the last match.
    barrier: usize,
    /// The last match, if it is a telephone number.
    listed: Option<phone::Listed>,
    /// The window still begins where the string does.
    from_start: bool,
    skipped: u8,
    /// Invisible characters that no visible one has made up for.
    ahead: u16,
    tail: Tail,
    unescape: [Unescape; 2],
    nested: Nested,
    /// Inside quotation marks of the JSON text inside.
    quoted: bool,
    /// The mark was the last character.
    just_opened: bool,
    /// The string inside holds a JSON text itself.
    inner: bool,
    hint: Option<Says>,
    look: Look,
    blob: bool,
    /// The nearest custom match not before `cur`, as far as it was looked for.
    custom: Option<Found>,
    custom_known: bool,
    /// What was found; taken by the caller after each call.
    pub(super) ops: Vec<Op>,
}

/// A match in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    kind: KindId,
    tail: Tail,
}

impl Scanner {
    pub(super) fn new(rules: Arc<Compiled>, level: u8) -> Scanner {
        Scanner {
            rules,
            level,
            // Room for most messages from the start: growing costs more than asking.
            window: Vec::with_capacity(WINDOW / 2),
            segments: Vec::with_capacity(64),
            cur: 0,
            barrier: 0,
            listed: None,
            from_start: true,
            skipped: 0,
            ahead: 0,
            tail: Tail::None,
            unescape: [Unescape::default(); 2],
            nested: Nested::Unknown,
            quoted: false,
            just_opened: false,
            inner: false,
            hint: None,
            look: Look::All,
            blob: false,
            custom: None,
            custom_known: false,
            ops: Vec::new(),
        }
    }

    /// Begins a string. `hint`: what its key says of a number in it; `blob`: base64 in it is an attachment.
    pub(super) fn begin(&mut self, look: Look, hint: Option<Says>, blob: bool) {
        self.window.clear();
        self.segments.clear();
        (self.cur, self.barrier, self.from_start, self.skipped) = (0, 0, true, 0);
        self.ahead = 0;
        (self.tail, self.listed) = (Tail::None, None);
        self.nested = Nested::Unknown;
        (self.quoted, self.just_opened, self.inner) = (false, false, false);
        (self.look, self.hint, self.blob) = (look, hint, blob);
        (self.custom, self.custom_known) = (None, false);
    }

    /// Takes ASCII text that stands unescaped at `at`.
    pub(super) fn plain(&mut self, text: &[u8], at: u64) {
        let mut i = 0;
        while i < text.len() && self.is_slow() {
            self.level(0, Some(char::from(text[i])), at + i as u64, at + i as u64 + 1);
            i += 1;
        }
        while i < text.len() {
            let n = (text.len() - i).min(WINDOW - self.window.len().min(WINDOW - 1));
            self.run(&text[i..i + n], at + i as u64);
            i += n;
            self.make_room();
        }
    }

    /// Whether a string that is `text` from its beginning to its end holds nothing that a detector would be asked about.
    pub(super) fn is_harmless(&self, text: &[u8]) -> bool {
        // In a name digits mean nothing.
        let digits_min = if self.look == Look::Names { u32::MAX } else { phone::DIGITS_MIN as u32 };
        let mut digits = 0;
        !self.blob
            && self.rules.secrets.is_none()
            && !self.rules.has(kind::IP)
            && !self.rules.windowed()
            && (0..text.len()).step_by(block::LEN).all(|at| {
                let block = Block::of(text, at);
                digits += block.digits().count_ones();
                block.marks() == 0 && digits < digits_min
            })
    }

    /// Takes one other character, which stands at `from..to`.
    pub(super) fn char(&mut self, c: Option<char>, from: u64, to: u64) {
        if self.is_slow() || matches!(c, Some('\\' | '"')) {
            self.level(0, c, from, to);
        } else {
            self.fold(c, from, to);
        }
        self.make_room();
    }

    /// Takes text that is not ASCII and stands unescaped at `at`.
    pub(super) fn wide(&mut self, text: &str, at: u64) {
        // Letters are seen as they stand; runs of them go into the window at once.
        let mut from = 0;
        for (i, c) in text.char_indices() {
            let slow = self.is_slow();
            if !slow && fold::fold(c) == Fold::Keep && i - from < WINDOW / 4 {
                continue;
            }
            if i > from {
                self.run(&text.as_bytes()[from..i], at + from as u64);
                self.make_room();
            }
            let to = i + c.len_utf8();
            if slow {
                self.level(0, Some(c), at + i as u64, at + to as u64);
            } else {
                self.fold(Some(c), at + i as u64, at + to as u64);
            }
            from = to;
            self.make_room();
        }
        if from < text.len() {
            self.run(&text.as_bytes()[from..], at + from as u64);
            self.make_room();
        }
    }

    /// Takes text that is not escaped and stands at `base`.
    pub(super) fn text(&mut self, text: &str, base: u64) {
        let mut i = 0;
        while i < text.len() {
            let n = text.as_bytes()[i..]
                .iter()
                .take_while(|b| b.is_ascii() && !matches!(b, b'\\' | b'"' | 0..=0x1F))
                .count();
            if n > 0 {
                self.plain(&text.as_bytes()[i..i + n], base + i as u64);
                i += n;
            } else if let Some(c) = text[i..].chars().next().filter(char::is_ascii) {
                self.char(Some(c), base + i as u64, base + i as u64 + 1);
                i += 1;
            } else {
                let n = text.as_bytes()[i..].iter().position(u8::is_ascii).unwrap_or(text.len() - i);
                self.wide(&text[i..i + n], base + i as u64);
                i += n;
            }
        }
    }

    /// The string has ended.
    pub(super) fn end(&mut self) {
        self.flush(0);
        self.flush(1);
        self.scan(true);
    }

    /// Bytes of text kept to look at.
    pub(super) fn held_bytes(&self) -> usize {
        self.window.len()
    }

    /// Raw bytes before this offset may leave. `told`: how far characters have been told.
    pub(super) fn safe(&mut self, told: u64) -> u64 {
        self.scan(false);
        let held = self.barrier.max(self.cur.saturating_sub(BEHIND));
        let pending = self.unescape.iter().filter(|u| u.n > 0).map(|u| u.from).min().unwrap_or(told).min(told);
        if held < self.window.len() { self.raw_start(held).min(pending) } else { pending }
    }

    // ---- unescaping and folding --------------------------------------------------------------------------------

    /// Whether the next character has to be looked at one by one.
    fn is_slow(&self) -> bool {
        self.unescape[0].n > 0 || self.unescape[1].n > 0 || self.nested == Nested::Unknown || self.just_opened
    }

    /// Passes a character through the unescaping of level `k` on to the next.
    fn level(&mut self, k: usize, c: Option<char>, from: u64, to: u64) {
        let Some(unescape) = self.unescape.get_mut(k) else { return self.fold(c, from, to) };
        let full = if k == 0 { self.nested == Nested::Yes } else { self.inner };
        match (unescape.n, c) {
            (0, Some('\\')) => unescape.push(b'\\', from, to),
            (0, _) if k == 0 => self.first_level(c, from, to),
            (0, _) => self.level(k + 1, c, from, to),
            (1, Some('u')) => unescape.push(b'u', from, to),
            (1, Some(e @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't'))) if full => {
                let c = match e {
                    'b' | 'f' => '\u{8}',
                    'n' | 'r' => '\n',
                    't' => '\t',
                    other => other,
                };
                self.unescaped(k, Some(c), to);
            }
            (n, Some(h)) if n >= 2 && h.is_ascii_hexdigit() => {
                unescape.push(h as u8, from, to);
                if n == 5 {
                    let digits = unescape.chars[2..].iter();
                    let code = digits.fold(0, |v, h| v << 4 | char::from(*h).to_digit(16).unwrap_or(0));
                    self.unescaped(k, char::from_u32(code), to);
                }
            }
            _ => {
                self.flush(k);
                self.level(k, c, from, to);
            }
        }
    }

    /// An escape of level `k` is complete and stands for `c`.
    fn unescaped(&mut self, k: usize, c: Option<char>, to: u64) {
        self.unescape[k].n = 0;
        self.just_opened &= k > 0;
        self.level(k + 1, c, self.unescape[k].from, to);
    }

    /// What was held as the beginning of an escape is none.
    fn flush(&mut self, k: usize) {
        let held = self.unescape[k];
        self.unescape[k].n = 0;
        self.just_opened &= k > 0 || held.n == 0;
        let mut from = held.from;
        for (c, end) in held.chars.iter().zip(held.ends).take(held.n) {
            let to = held.from + u64::from(end);
            self.level(k + 1, Some(char::from(*c)), from, to);
            from = to;
        }
    }

    /// A character of the first level that is no escape: what shows whether JSON stands in the string.
    fn first_level(&mut self, c: Option<char>, from: u64, to: u64) {
        if self.nested == Nested::Unknown && !matches!(c, Some(' ' | '\n' | '\r' | '\t')) {
            self.nested = if matches!(c, Some('{' | '[')) { Nested::Yes } else { Nested::No };
        }
        if self.nested == Nested::Yes && c == Some('"') {
            self.flush(1);
            self.quoted = !self.quoted;
            self.just_opened = self.quoted;
            self.inner = false;
            return self.byte(NESTED_QUOTE, from, to);
        }
        if self.just_opened {
            self.just_opened = false;
            self.inner = matches!(c, Some('{' | '['));
        }
        self.level(1, c, from, to);
    }

    fn fold(&mut self, c: Option<char>, from: u64, to: u64) {
        let Some(c) = c else { return self.byte(BREAK, from, to) };
        match fold::fold(c) {
            Fold::Byte(b) => self.byte(b, from, to),
            Fold::Keep => {
                let mut utf8 = [0; 4];
                let utf8 = c.encode_utf8(&mut utf8).as_bytes();
                if utf8.len() as u64 == to - from {
                    self.run(utf8, from);
                } else {
                    self.segment(from, (to - from) as u32);
                    self.window.extend_from_slice(utf8);
                }
                self.seen(1);
            }
            Fold::Skip if self.skipped < SKIPPED_MAX && self.ahead < SKIPPED_AHEAD_MAX => {
                self.skipped += 1;
                self.ahead += 1;
            }
            Fold::Skip => self.byte(BREAK, from, to),
        }
    }

    /// Visible text was taken, at least so many characters.
    fn seen(&mut self, chars: usize) {
        self.skipped = 0;
        self.ahead = self.ahead.saturating_sub(chars.min(usize::from(SKIPPED_AHEAD_MAX)) as u16);
    }

    fn byte(&mut self, b: u8, from: u64, to: u64) {
        self.seen(1);
        self.segment(from, (to - from) as u32);
        self.window.push(b);
    }

    /// A run in which window and raw bytes are alike.
    fn run(&mut self, text: &[u8], raw: u64) {
        self.seen(text.len());
        let goes_on = self
            .segments
            .last()
            .is_some_and(|s| s.raw_len == 0 && s.raw + (self.window.len() as u64 - u64::from(s.at)) == raw);
        if !goes_on {
            self.segment(raw, 0);
        }
        self.window.extend_from_slice(text);
    }

    fn segment(&mut self, raw: u64, raw_len: u32) {
        self.segments.push(Segment { at: self.window.len() as u32, raw_len, raw });
    }

    // ---- where window bytes lie in the raw bytes ---------------------------------------------------------------

    fn segment_of(&self, i: usize) -> Segment {
        let after = self.segments.partition_point(|s| s.at as usize <= i);
        self.segments[after.saturating_sub(1)]
    }

    fn raw_start(&self, i: usize) -> u64 {
        let s = self.segment_of(i);
        if s.raw_len == 0 { s.raw + (i as u64 - u64::from(s.at)) } else { s.raw }
    }

    /// Where the character ends of which `i` is the last byte.
    fn raw_end(&self, i: usize) -> u64 {
        let s = self.segment_of(i);
        if s.raw_len == 0 { s.raw + (i as u64 - u64::from(s.at)) + 1 } else { s.raw + u64::from(s.raw_len) }
    }

    // ---- looking -----------------------------------------------------------------------------------------------

    /// Looks at the window when it is full, and lets it slide.
    fn make_room(&mut self) {
        if self.window.len() < WINDOW && self.segments.len() < SEGMENTS {
            return;
        }
        self.scan(false);
        let drop = self.cur.saturating_sub(BEHIND);
        if drop == 0 {
            return;
        }
        let after = self.segments.partition_point(|s| s.at as usize <= drop);
        self.segments.drain(..after.saturating_sub(1));
        if let Some(first) = self.segments.first_mut()
            && first.raw_len == 0
        {
            first.raw += drop as u64 - u64::from(first.at);
            first.at = drop as u32;
        }
        for s in &mut self.segments {
            s.at = s.at.saturating_sub(drop as u32);
        }
        self.window.drain(..drop);
        self.cur -= drop;
        self.barrier = self.barrier.saturating_sub(drop);
        self.listed = self.listed.filter(|l| l.end >= drop).map(|l| phone::Listed { end: l.end - drop, ..l });
        self.from_start = false;
        self.custom_known = false;
    }

    /// Judges what can be judged.
    fn scan(&mut self, end: bool) {
        if self.blob && self.from_start && self.cur == 0 {
            if !end && self.window.len() < BLOB_HEAD {
                return;
            }
            self.blob = false;
            let head = &self.window[..self.window.len().min(BLOB_HEAD)];
            if head.len() >= BLOB_MIN && head.iter().all(|b| is_base64(*b)) {
                let found = Found { start: 0, end: head.len(), kind: kind::ATTACHMENT, tail: Tail::Base64 };
                self.apply(found);
            }
        }
        let windowed = self.rules.windowed() && self.look == Look::All;
        loop {
            if self.tail != Tail::None && !self.eat_tail(end) {
                return;
            }
            let len = self.window.len();
            let (limit, view_end, last) = if windowed {
                let full = self.cur + STEP + CUSTOM_SPAN_MAX;
                if len >= full { (self.cur + STEP, full, false) } else { (len, len, true) }
            } else {
                (if end { len } else { len.saturating_sub(AHEAD) }, len, true)
            };
            if windowed && last && !end || self.cur >= limit {
                return;
            }
            self.custom_known = false;
            while self.cur < limit {
                match self.next(limit, view_end, windowed, end && last) {
                    Some(found) => {
                        self.apply(found);
                        if self.tail != Tail::None && !self.eat_tail(end) {
                            return;
                        }
                    }
                    None => self.cur = limit,
                }
            }
            if last {
                return;
            }
        }
    }

    /// The next match whose trigger lies before `limit`.
    fn next(&mut self, limit: usize, view_end: usize, windowed: bool, end: bool) -> Option<Found> {
        let built_in = self.built_in(limit, view_end);
        if !windowed {
            return built_in;
        }
        if !self.custom_known || self.custom.is_some_and(|c| c.start < self.barrier) {
            self.custom = self.next_custom(limit, view_end, end);
            self.custom_known = true;
        }
        match (built_in, self.custom) {
            (Some(b), Some(c)) if b.start < c.start => Some(b),
            (b, None) => b,
            (_, c) => c,
        }
    }

    fn built_in(&self, limit: usize, view_end: usize) -> Option<Found> {
        let rules = &*self.rules;
        let text = &self.window[..view_end];
        let names = self.look == Look::Names;
        let mut secret = if names { None } else { self.next_secret(self.cur, limit, view_end) };
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
    fn next_custom(&self, limit: usize, view_end: usize, end: bool) -> Option<Found> {
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

    /// Notes a match.
    fn apply(&mut self, found: Found) {
        self.listed = (found.kind == kind::PHONE).then(|| phone::Listed {
            end: found.end,
            digits: self.window[found.start..found.end].iter().filter(|b| b.is_ascii_digit()).count(),
        });
        if found.kind < kind::API_KEY && self.rules.allows(&self.window[found.start..found.end]) {
            (self.barrier, self.cur) = (found.end, found.end);
            return;
        }
        let (mut quote, mut escapes) = (false, self.level);
        if self.nested == Nested::Yes {
            let marks = self.window[found.start..].iter().filter(|b| **b == NESTED_QUOTE).count();
            let inside = self.quoted ^ (marks % 2 == 1);
            escapes += u8::from(inside) + u8::from(inside && self.inner);
            // A number under a key of the JSON text inside: what takes its place is a string.
            let mut before = self.window[..found.start].iter().rev().filter(|b| **b != b' ' && **b != b'\n');
            quote = !inside && before.next() == Some(&b':') && before.next() == Some(&NESTED_QUOTE);
        }
        let (from, to) = (self.raw_start(found.start), self.raw_end(found.end - 1));
        self.ops.push(Op::Replace { from, to, kind: found.kind, escapes, quote });
        (self.barrier, self.cur, self.tail) = (found.end, found.end, found.tail);
    }

    /// Drops what goes on the last match; whether its end is here.
    fn eat_tail(&mut self, end: bool) -> bool {
        let from = self.cur;
        let mut i = from;
        while let Some(&b) = self.window.get(i) {
            // A dot belongs to a token only if the token goes on after it.
            if self.tail == Tail::Token && b == b'.' {
                match self.window.get(i + 1) {
                    None if !end => break,
                    Some(b) if secret::is_token(*b) && *b != b'.' => {}
                    _ => {
                        self.tail = Tail::None;
                        break;
                    }
                }
            }
            let goes_on = match &mut self.tail {
                Tail::None => false,
                Tail::Base64 => is_base64(b),
                Tail::Url => b > b' ' && b < 0x7F && !b"\"'<>)]}`\\".contains(&b),
                Tail::Token => secret::is_token(b),
                Tail::Pem(runs, dashes) => eat_pem(runs, dashes, b),
            };
            if !goes_on {
                self.tail = Tail::None;
                break;
            }
            i += 1;
        }
        if i > from {
            self.ops.push(Op::Drop { to: self.raw_end(i - 1) });
            (self.barrier, self.cur) = (i, i);
        }
        self.tail == Tail::None
    }
}

/// Whether `b` still belongs to a PEM block after its first line.
fn eat_pem(runs: &mut u8, dashes: &mut u8, b: u8) -> bool {
    if *runs >= 2 {
        return false;
    }
    if b == b'-' {
        *dashes += 1;
        if *dashes == 5 {
            *runs += 1;
            *dashes = 0;
        }
        return true;
    }
    *dashes = 0;
    // Spaces only in the last line.
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b':' | b',') || b == b' ' && *runs > 0
}

fn is_base64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'\n' | b'%')
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

/// Bytes around which a detector has to look, one after the other.
struct Triggers<'a> {
    text: &'a [u8],
    limit: usize,
    barrier: usize,
    ip: bool,
    numbers: bool,
    /// The block at hand, and which of its bytes are still to be told.
    block: usize,
    mask: u64,
    /// What is known of the next block.
    ahead: Option<Seen>,
}

/// What matters of a block before it is looked at more closely.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    digits: u64,
    marks: u64,
}

impl Triggers<'_> {
    fn next(&mut self) -> Option<usize> {
        let digits_min = if self.ip { 4 } else { phone::DIGITS_MIN as u32 };
        loop {
            if self.mask != 0 {
                let q = self.block + self.mask.trailing_zeros() as usize;
                self.mask &= self.mask - 1;
                if q >= self.limit {
                    return None;
                }
                match self.text[q] {
                    b'%' if !matches!(self.text.get(q + 1), Some(b'4' | b'2')) => continue,
                    b':' if !self.ip && (q == 0 || self.text[q - 1] | 0x20 != b'a') => continue,
                    b'0'..=b'9' if !self.numbers && phone::joined(self.text, self.barrier, q) => continue,
                    _ => return Some(q),
                }
            }
            // `block` is the block before, or 64 before the first.
            let i = self.block.wrapping_add(block::LEN);
            if i >= self.limit {
                return None;
            }
            let here = self.ahead.take().unwrap_or_else(|| self.look(i));
            let next = if i + block::LEN < self.text.len() { self.look(i + block::LEN) } else { Seen::default() };
            self.mask = here.marks;
            let enough = || here.digits.count_ones() + next.digits.count_ones() >= digits_min;
            if here.digits != 0 && (has_seven(here.digits) || enough()) {
                self.mask |= self.starts(i, here.digits, next.digits);
            }
            self.ahead = Some(next);
            self.block = i;
        }
    }

    #[inline(always)]
    fn look(&self, i: usize) -> Seen {
        let block = Block::of(self.text, i);
        Seen { digits: block.digits(), marks: block.marks() }
    }

    /// One bit for the first digit of each run in the block at `i`, as far as a number may begin there.
    fn starts(&self, i: usize, digits: u64, next_digits: u64) -> u64 {
        let before = i > 0 && i != self.barrier && self.text[i - 1].is_ascii_digit();
        let mut starts = digits & !(digits << 1 | u64::from(before));
        if self.barrier > i && self.barrier < i + block::LEN {
            starts |= digits & 1 << (self.barrier - i);
        }
        if self.numbers || starts == 0 { starts } else { self.long_enough(i, digits, next_digits, starts) }
    }

    /// Those of `starts` from which on there are as many digits as a telephone number has, with nothing but separators
    /// between.
    fn long_enough(&self, i: usize, digits: u64, next_digits: u64, starts: u64) -> u64 {
        let block = Block::of(self.text, i);
        let number = block.in_number();
        // A group of digits that goes on the one before it is no start (see `phone::joined`). What stands before the barrier
        // does not count, and what stands before the block is not seen here.
        let joined = if self.barrier <= i { block.joints() << 1 & digits << 2 } else { 0 };
        let starts = starts & !joined;
        // Seven bytes of a number from here on, as far as this block tells: most starts are out by this alone.
        let two = number & (number >> 1 | 1 << 63);
        let four = two & (two >> 2 | 3 << 62);
        let mut left = starts & four & (four >> 3 | 7 << 61);
        let mut long = 0;
        while left != 0 {
            let q = left.trailing_zeros();
            left &= left - 1;
            let from_here = digits >> q;
            let run = (!number >> q).trailing_zeros();
            let enough = if q + run < 64 {
                has_seven(from_here & ((1 << run) - 1))
            } else {
                // The run goes on in the next block.
                has_seven(from_here)
                    || from_here.count_ones() + self.leading(i + block::LEN, next_digits) >= phone::DIGITS_MIN as u32
            };
            long |= u64::from(enough) << q;
        }
        long
    }

    /// How many of `digits`, those of the block at `i`, go on a number that began before it.
    fn leading(&self, i: usize, digits: u64) -> u32 {
        if digits == 0 {
            return 0;
        }
        let run = Block::of(self.text, i).in_number().trailing_ones();
        (digits & u64::MAX.checked_shr(64 - run).unwrap_or(0)).count_ones()
    }
}

/// Whether at least as many bits are set as a telephone number has digits; sooner known than their number.
#[inline(always)]
fn has_seven(mut bits: u64) -> bool {
    for _ in 1..phone::DIGITS_MIN {
        bits &= bits.wrapping_sub(1);
    }
    bits != 0
}
