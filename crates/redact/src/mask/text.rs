//! One text of an answer that comes in pieces, without the values of others.
//!
//! Pure. The text behind the last word that has ended is held back, and with it numbers that may go
//! on: some forty bytes at most times, [`HELD_MAX`] at the most. Promise: each piece is judged as if
//! the whole text were here, as far as a match ends within the bytes that are held back. Does not:
//! look further back than [`CONTEXT`] bytes.

use std::sync::Arc;

use super::Own;
use crate::Ledger;
use crate::escape::escape;
use crate::rules::{Compiled, KindId, kind};
use crate::scan::{Blob, Look, Op, Scanner};

/// Bytes of text that are held back at the most.
const HELD_MAX: usize = 400;
/// Bytes of text that has left and is looked at again, for the words before a number.
const CONTEXT: usize = 256;
/// A number is held back until so many bytes follow: words behind it say what it is.
const BEHIND_NUMBER: usize = 32;
/// Bytes of a long match by which its end is found.
const HEAD: usize = 96;
/// Longest word without an `@` that may become an address: a local part.
const LOCAL_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct MaskText {
    /// Text that has left, and then text that is held back from `held` on.
    text: String,
    held: usize,
    /// The text is JSON: how its beginning at hand stands to the strings in it.
    json: Option<Json>,
    /// The held text is the beginning of a match whose placeholder has left.
    swallowing: bool,
    /// The beginning of the text has been forgotten.
    cut: bool,
}

/// Where in a JSON text.
#[derive(Clone, Copy, Debug, Default)]
struct Json {
    in_string: bool,
    escaped: bool,
}

impl Json {
    fn pass(&mut self, text: &str) {
        for b in text.bytes() {
            match b {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.in_string,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
        }
    }
}

/// A match in the text at hand.
#[derive(Clone, Copy)]
struct Span {
    from: usize,
    to: usize,
    kind: KindId,
    quote: u8,
    /// It stays.
    own: bool,
}

impl MaskText {
    /// A text that is JSON, if `json`.
    pub(crate) fn of(json: bool) -> MaskText {
        MaskText { json: json.then(Json::default), ..MaskText::default() }
    }

    /// Whether nothing is held back.
    pub(crate) fn is_idle(&self) -> bool {
        self.held == self.text.len()
    }

    /// Takes text and appends to `out` what is certain.
    pub(crate) fn push(
        &mut self,
        mask: &Mask<'_>,
        text: &str,
        out: &mut String,
        ledger: &mut Ledger,
    ) {
        let mut rest = text;
        while !rest.is_empty() {
            let mut n = rest.len().min(2 << 10);
            while !rest.is_char_boundary(n) {
                n -= 1;
            }
            self.text.push_str(&rest[..n]);
            rest = &rest[n..];
            self.run(mask, false, out, ledger);
        }
    }

    /// The text has ended.
    pub(crate) fn rest(&mut self, mask: &Mask<'_>, out: &mut String, ledger: &mut Ledger) {
        if !self.is_idle() {
            self.run(mask, true, out, ledger);
        }
        self.swallowing = false;
    }

    fn run(&mut self, mask: &Mask<'_>, end: bool, out: &mut String, ledger: &mut Ledger) {
        let spans = mask.find(&self.text, self.json.filter(|_| self.cut));
        let len = self.text.len();
        let mut to = if end { len } else { self.hold(mask, &spans) };
        let mut at = self.held;
        if self.swallowing {
            match spans.first().filter(|span| span.from < HEAD) {
                // It goes on.
                Some(span) if !end && span.to == len => return self.swallow(span.from),
                Some(span) => at = span.to,
                None => at = floor(&self.text, HEAD),
            }
            self.swallowing = false;
            self.held = at;
            to = to.max(at);
        }
        let mut swallowed = None;
        for span in spans.iter().filter(|span| span.to > self.held) {
            let goes_on = !end && span.to == len && span.kind != kind::ATTACHMENT && !span.own;
            if goes_on && len - span.from > HELD_MAX {
                // It is too long to be held: its end will be found by its beginning.
                swallowed = Some(span.from);
            } else if span.from >= to {
                break;
            }
            if span.own {
                continue;
            }
            if span.from > at {
                out.push_str(&self.text[at..span.from]);
            }
            mask.write(span, self.json.is_some(), out, ledger);
            at = at.max(span.to);
        }
        if let Some(from) = swallowed {
            self.swallow(from);
            return;
        }
        to = to.max(at);
        out.push_str(&self.text[at.min(to)..to]);
        self.held = to;
        self.forget();
    }

    /// Keeps only the beginning of the match at `from`, which goes on.
    fn swallow(&mut self, from: usize) {
        if let Some(json) = &mut self.json {
            json.pass(&self.text[..from]);
        }
        self.cut |= self.text.drain(..from).next().is_some();
        if self.text.len() > HELD_MAX {
            // The end may have begun.
            let to = floor(&self.text, self.text.len() - HEAD);
            self.text.drain(floor(&self.text, HEAD)..to);
        }
        (self.held, self.swallowing) = (0, true);
    }

    /// Forgets text that has left and is too far behind.
    fn forget(&mut self) {
        let from = floor(&self.text, self.held.saturating_sub(CONTEXT));
        if let Some(json) = &mut self.json {
            json.pass(&self.text[..from]);
        }
        self.cut |= self.text.drain(..from).next().is_some();
        self.held -= from;
    }

    /// From where on the text is held back.
    fn hold(&self, mask: &Mask<'_>, spans: &[Span]) -> usize {
        let (text, len) = (&self.text, self.text.len());
        let mut from = last_word(text, self.held);
        if text[from..].len() > LOCAL_MAX && !text[from..].contains(['@', '%', '＠']) {
            from = len - LOCAL_MAX;
        }
        from = from.min(last_number(text, self.held));
        if mask.rules.windowed() {
            from = from.min(len.saturating_sub(HELD_MAX)).max(self.held);
        }
        // The head of a private key has spaces in it.
        let near = floor(text, len.saturating_sub(HEAD));
        from = from.min(text[near..].find("-----").map_or(len, |dashes| near + dashes));
        from = floor(text, from.max(len.saturating_sub(HELD_MAX)));
        // No match is cut.
        for span in spans.iter().rev() {
            if span.from < from && (span.to > from || span.to == len) {
                let whole = span.own && span.kind == kind::ATTACHMENT;
                let ended = span.to < len && span.to - span.from > CONTEXT / 2;
                from = if whole || ended { span.to } else { span.from };
            }
        }
        from.max(self.held)
    }
}

/// The last place up to `at` that is not within a character.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Where the last word begins that has not ended.
fn last_word(text: &str, from: usize) -> usize {
    // The line of quoted-printable text goes on.
    let ends = |(i, c): &(usize, char)| c.is_whitespace() && !text[..*i].ends_with('=');
    let space = text[from..].char_indices().map(|(i, c)| (from + i, c)).rev().find(ends);
    space.map_or(from, |(i, c)| i + c.len_utf8())
}

/// Where the last number begins that may go on, or of which it is not yet known what it is.
fn last_number(text: &str, from: usize) -> usize {
    let near = text.len().saturating_sub(BEHIND_NUMBER).max(from);
    let mut begins = text.len();
    let mut end = text.len();
    // Words from the end on; those of a number are held with it.
    while end > from {
        let word = text[..end].trim_end();
        if word.len() <= from || begins == text.len() && word.len() <= near {
            break;
        }
        let start = word[from..]
            .rfind(char::is_whitespace)
            .map_or(from, |i| from + i + word[from + i..].chars().next().map_or(1, char::len_utf8));
        let part = &word[start..];
        let is_number = part.contains(char::is_numeric) || matches!(part, "+" | "(" | "+(");
        // A short word may stand within a number: "ext."
        let parts = part.len() > 4 && part.contains(char::is_alphanumeric);
        if is_number {
            begins = start;
        } else if parts && begins < text.len() {
            break;
        }
        end = start;
    }
    begins
}

/// The kinds that are masked, and how.
pub(crate) struct Mask<'m> {
    pub(crate) rules: &'m Arc<Compiled>,
    pub(crate) own: &'m Own,
}

impl Mask<'_> {
    /// The matches in a text, in order. `json`: it is JSON, from within there on.
    fn find(&self, text: &str, json: Option<Json>) -> Vec<Span> {
        let mut scanner = Scanner::new(Arc::clone(self.rules), 0);
        scanner.digests = true;
        scanner.begin(Look::All, None, Blob::None);
        let before = match json {
            Some(Json { in_string: true, .. }) => "{\"\":\"",
            Some(_) => "{",
            None => "",
        };
        let mut spans: Vec<Span> = Vec::new();
        let mut take = |scanner: &mut Scanner| {
            for op in scanner.ops.drain(..) {
                match op {
                    Op::Replace { from, to, kind, quote, value, .. } => {
                        let stays = !self.rules.masks(kind) || self.own.has(value);
                        let place = |at: u64| (at as usize).saturating_sub(before.len());
                        let (from, to) = (place(from), place(to));
                        spans.push(Span { from, to, kind, quote, own: stays });
                    }
                    Op::Drop { to } => {
                        if let Some(last) = spans.last_mut() {
                            last.to = (to as usize).saturating_sub(before.len());
                        }
                    }
                }
            }
        };
        scanner.text(before, 0);
        scanner.text(text, before.len() as u64);
        take(&mut scanner);
        scanner.end();
        take(&mut scanner);
        spans
    }

    fn write(&self, span: &Span, json: bool, out: &mut String, ledger: &mut Ledger) {
        let what = &self.rules.kinds[usize::from(span.kind)];
        let mark = match span.quote {
            0 => "",
            1 => "\"",
            _ => "\\\"",
        };
        out.push_str(mark);
        out.push_str(&escape(&what.replacement, u8::from(json)));
        out.push_str(mark);
        ledger.add_at(&mut 0, &what.name);
    }
}
