//! The text of one string as the detectors see it, and where each piece of it lies in the raw
//! bytes.
//!
//! Pure. Characters come in as the tokenizer tells them, are unescaped further where JSON stands
//! inside the string, folded, and kept in a small window together with the raw span of each.
//! Detectors look at the window around trigger bytes; what they find comes out as [`Op`]s on raw
//! offsets. Promises: the same operations for every way of cutting, because a place is judged only
//! when `AHEAD` bytes after it are here or the string has ended, and never with more than that in
//! view; the window is bounded whatever the string. Does not: write anything.

mod apply;
mod escapes;
mod forms;
mod harmless;
mod hidden;
mod judge;
mod lookup;
mod markers;
mod nested;
mod over;
mod percent;
mod sealed;
mod tail;
mod take;
mod triggers;
mod window;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use super::bounds::CUSTOM_SPAN_MAX;
use super::detect::words::Says;
use super::detect::{AHEAD, BEHIND, card, phone, words};
use super::names::Reading;
use super::rules::{Compiled, KindId};
pub(crate) use escapes::holds_quoted_at;
pub(crate) use harmless::is_harmless;
pub(crate) use sealed::{Head, Media, is_wide_text};

use escapes::{Nested, Soft, Unescape};
use forms::{PLUS_AHEAD, Pluses};
use judge::{Next, NextSecret};
use markers::NextMarker;
use nested::NestedKeys;
use tail::Tail;
use triggers::Triggers;

/// Folded bytes in the window; then it is looked at and slides on.
const WINDOW: usize = 4096 + 128;
/// Runs in the window's map.
const SEGMENTS: usize = 2048;
/// How far windows at fixed places are apart, where custom patterns need them.
const STEP: usize = 1024;
/// Invisible characters that may stand in a row inside a match.
const SKIPPED_MAX: u8 = 8;
/// How many more invisible characters than visible ones a text may have, so that what waits to be
/// judged stays short.
const SKIPPED_AHEAD_MAX: u16 = 512;
/// A base64 string is known by its first bytes.
const BLOB_HEAD: usize = 1024;
/// Shorter strings of base64 characters may be anything.
const BLOB_MIN: usize = 64;
/// How far before a number it is looked for what it stands in.
const QUOTE_REACH: usize = 512;

/// A digit this far into a string or less stands under its JSON key.
const HINT_REACH: usize = 48;

const _: () = assert!(
    STEP + CUSTOM_SPAN_MAX + BEHIND + PLUS_AHEAD < WINDOW
        && AHEAD + BEHIND + PLUS_AHEAD < WINDOW
        && BLOB_HEAD < WINDOW
);
const _: () = assert!(AHEAD <= CUSTOM_SPAN_MAX);

/// A change to the raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Put the replacement of `kind` in their place.
    Replace {
        from: u64,
        to: u64,
        kind: KindId,
        /// How many times what is written has to be escaped.
        escapes: u8,
        /// It stands outside the quotation marks of a JSON text inside the string and needs its
        /// own, escaped so many times; 0 for none.
        quote: u8,
        /// A digest of the value as it is compared, if it was asked for.
        value: u64,
    },
    /// Drop the bytes up to `to`: they go on what was replaced before.
    Drop { to: u64 },
}

/// How closely a string is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// With everything that the rules ask for.
    All,
    /// For what the gateway knows by itself, not for patterns and words of the policy: a speaker's
    /// name may be the name of a tool, and has to stay the one that the tool is declared with.
    Speaker,
    /// For e-mail addresses and numbers that begin with `+`: identifiers and names, where other
    /// digits mean nothing.
    Names,
}

/// The meaning of base64 in a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Blob {
    /// Text like any other.
    #[default]
    None,
    /// An attachment, to be replaced.
    Replace,
    /// An attachment that is allowed, with what its neighbours say of it; a text in base64 is told
    /// by [`Scanner::head`].
    Allow(Media),
    /// Of the provider's own: patterns and words of the policy are not looked for in it, because a
    /// change would break it.
    Opaque,
}

/// A run of the window and the raw bytes it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Where it begins in the window.
    at: u32,
    /// Raw bytes of the one character; 0 for a run in which window and raw bytes are alike.
    raw_len: u32,
    raw: u64,
    /// The coding of the one character.
    coding: Coding,
}

/// How a character is written that is not written as itself or as JSON does it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    #[default]
    None,
    /// `%2B`
    Percent,
    /// `=2B`
    QuotedPrintable,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Scanner {
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
    /// The column of a table in which the last telephone number stands.
    column: Option<phone::Column>,
    /// The window still begins where the string does.
    from_start: bool,
    skipped: u8,
    /// Invisible characters that no visible one has made up for.
    ahead: u16,
    tail: Tail,
    unescape: [Unescape; 2],
    soft: Soft,
    pluses: Pluses,
    /// The character that is being taken was a long escape of JSON.
    undone: bool,
    /// Of the character that is being taken.
    coding: Coding,
    nested: Nested,
    /// Inside quotation marks of the JSON text inside.
    quoted: bool,
    /// The mark was the last character.
    just_opened: bool,
    /// The string inside holds a JSON text itself.
    inner: bool,
    /// The meaning of the keys of the JSON text inside for its values.
    keys: NestedKeys,
    hint: Option<Says>,
    look: Look,
    blob: Blob,
    /// The beginning of a string in a field for attachments, judged; nothing before it is known.
    pub(crate) head: Option<Head>,
    /// The string is a JSON text by its key, even if it is a mere number.
    pub(crate) json: bool,
    /// Text like a placeholder of the call is found, too.
    pub(crate) marks: bool,
    /// Matches are told with a digest.
    pub(crate) digests: bool,
    /// Something is known of the string at hand: what follows.
    looked: bool,
    /// The next matches, as far as they were looked for.
    secret: NextSecret,
    marker: NextMarker,
    terms: Next,
    /// No word begins before it that was not judged.
    terms_from: usize,
    custom: Vec<Next>,
    /// The same of names, with the text as they are compared with it.
    names: Vec<(Next, Reading)>,
    /// Words near numbers.
    words: RefCell<words::Seen>,
    /// The groups of digits that were read last, and the digits of cards.
    groups: RefCell<phone::LastRead>,
    cards: RefCell<card::Row>,
    /// Text that may all belong to one local part.
    local_run: Range<usize>,
    local_facts: over::LocalFacts,
    /// Text behind a number that may be of one local part: where it begins, and how far it was
    /// looked at.
    local_stop: Cell<(usize, usize)>,
    /// The segment that was asked for last.
    segment: Cell<usize>,
    /// Up to where quotation marks of the JSON text inside are counted, and whether that lies
    /// inside a pair of them.
    counted: usize,
    inside: bool,
    /// The string between them holds a JSON text itself.
    inside_inner: bool,
    /// Where the marks stand that open such a string.
    inner_marks: Vec<usize>,
    /// Matches; taken by the caller after each call.
    pub(crate) ops: Vec<Op>,
}

/// A match in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    start: usize,
    end: usize,
    kind: KindId,
    tail: Tail,
}

impl Scanner {
    pub(crate) fn new(rules: Arc<Compiled>, level: u8) -> Scanner {
        Scanner {
            rules,
            level,
            // Room for most messages from the start: growing costs more than asking.
            window: Vec::with_capacity(WINDOW / 2),
            segments: Vec::with_capacity(64),
            cur: 0,
            barrier: 0,
            listed: None,
            column: None,
            from_start: true,
            skipped: 0,
            ahead: 0,
            tail: Tail::None,
            unescape: [Unescape::default(); 2],
            soft: Soft::default(),
            pluses: Pluses::default(),
            undone: false,
            coding: Coding::None,
            nested: Nested::Unknown,
            quoted: false,
            just_opened: false,
            inner: false,
            keys: NestedKeys::default(),
            hint: None,
            look: Look::All,
            blob: Blob::None,
            head: None,
            json: false,
            marks: false,
            digests: false,
            looked: false,
            secret: NextSecret::default(),
            marker: NextMarker::default(),
            terms: Next::Unknown,
            terms_from: 0,
            custom: Vec::new(),
            names: Vec::new(),
            words: RefCell::default(),
            groups: RefCell::default(),
            cards: RefCell::default(),
            local_run: 0..0,
            local_facts: over::LocalFacts::default(),
            local_stop: Cell::default(),
            segment: Cell::new(0),
            counted: 0,
            inside: false,
            inside_inner: false,
            inner_marks: Vec::new(),
            ops: Vec::new(),
        }
    }

    /// Begins a string. `hint`: what its key says of a number in it; `blob`: what base64 in it is.
    pub(crate) fn begin(&mut self, look: Look, hint: Option<Says>, blob: Blob) {
        self.window.clear();
        self.segments.clear();
        (self.cur, self.barrier, self.from_start, self.skipped) = (0, 0, true, 0);
        self.ahead = 0;
        (self.tail, self.listed, self.column) = (Tail::None, None, None);
        self.pluses = Pluses::default();
        self.nested = Nested::Unknown;
        (self.quoted, self.just_opened, self.inner) = (false, false, false);
        self.keys.clear();
        (self.look, self.hint, self.blob) = (look, hint, blob);
        self.inner_marks.clear();
        if std::mem::take(&mut self.looked) {
            self.secret = NextSecret::default();
            self.marker = NextMarker::default();
            self.words.get_mut().clear();
            self.groups.get_mut().clear();
            self.cards.get_mut().clear();
            self.names.iter_mut().for_each(|(_, reading)| reading.clear());
            self.local_run = 0..0;
            self.local_facts.clear();
            self.terms_from = 0;
            self.segment.set(0);
            self.local_stop.set((0, 0));
        }
        (self.counted, self.inside, self.inside_inner) = (0, false, false);
        (self.head, self.json) = (None, false);
    }

    /// The string has ended.
    pub(crate) fn end(&mut self) {
        if self.unescape[0].n > 0 || self.unescape[1].n > 0 {
            self.flush(0);
            self.flush(1);
        }
        self.flush_soft();
        self.scan(true);
    }

    /// Bytes of text kept to look at.
    pub(crate) fn held_bytes(&self) -> usize {
        self.window.len()
    }

    /// Raw bytes before this offset may leave. `told`: how far characters have been told.
    pub(crate) fn safe(&mut self, told: u64) -> u64 {
        self.scan(false);
        let held = self.barrier.max(self.cur.saturating_sub(BEHIND));
        let held_back =
            self.unescape.iter().filter(|u| u.n > 0).map(|u| u.from).chain(self.soft.from());
        let pending = held_back.min().unwrap_or(told).min(told);
        let len = self.window.len();
        if self.tail != Tail::None && held > 0 {
            // Invisible characters go with what follows them, if the match takes that.
            self.raw_end(held - 1).min(pending)
        } else if held < len {
            self.raw_start(held).min(pending)
        } else {
            pending
        }
    }

    /// Judges what can be judged.
    fn scan(&mut self, end: bool) {
        if self.window.is_empty() {
            return;
        }
        self.looked = true;
        if self.blob != Blob::None && self.from_start && self.cur == 0 {
            if !end && self.window.len() < BLOB_HEAD {
                return;
            }
            self.judge_head();
        }
        self.see_spaces(end);
        let windowed = self.rules.windowed() && self.look == Look::All;
        loop {
            if self.tail != Tail::None && !self.eat_tail(end) {
                return;
            }
            let len = self.window.len();
            let (limit, view_end, last) = if windowed {
                let full = self.cur + STEP + CUSTOM_SPAN_MAX;
                if len >= full + PLUS_AHEAD {
                    (self.cur + STEP, full, false)
                } else {
                    (len, len, true)
                }
            } else {
                (if end { len } else { len.saturating_sub(AHEAD + PLUS_AHEAD) }, len, true)
            };
            if windowed && last && !end || self.cur >= limit {
                return;
            }
            self.terms = Next::Unknown;
            self.custom.clear();
            self.custom.resize(self.rules.custom.len(), Next::Unknown);
            self.names.resize_with(self.rules.names.len(), Default::default);
            for (known, reading) in &mut self.names {
                *known = Next::Unknown;
                reading.go_on();
            }
            let mut triggers = Triggers::new(self.barrier, self.cur, &self.rules);
            while self.cur < limit {
                match self.next(&mut triggers, limit, view_end, windowed, end && last) {
                    Some(found) => {
                        self.apply(found);
                        if self.tail != Tail::None && !self.eat_tail(end) {
                            return;
                        }
                        triggers.pass(&self.window[..view_end], self.cur);
                    }
                    None => self.cur = limit,
                }
            }
            if last {
                return;
            }
        }
    }
}
