//! A JSON answer with the values of its placeholders put back, as it streams.
//!
//! Pure. Promises: any way of cutting gives the same bytes; bytes outside placeholders leave as
//! they came; an answer that is no JSON passes unchanged from where that shows. Does not: change
//! keys, ids, URLs, or what the provider has signed; change arguments of tool calls unless the
//! policy says so.

use std::sync::Arc;

use bytes::Bytes;

use super::super::escape::escape;
use super::super::json::{Scalar, Sink, Take, Tokenizer};
use super::super::out::Out;
use super::super::{RedactError, Redacted};
use super::matcher::{Matcher, Table, Told};
use super::{Leaf, Values};
use crate::keys::is_thinking;

/// Bytes of a key that are kept to recognise it.
const KEY_MAX: usize = 64;

/// Puts values back in one answer, piece by piece.
pub struct BodyRestorer {
    tokenizer: Tokenizer,
    strings: Strings,
    /// It is no JSON: the rest passes.
    failed: bool,
}

impl BodyRestorer {
    /// A restorer of these values; what is numbered later is not put back.
    pub fn new(values: &Values) -> BodyRestorer {
        BodyRestorer {
            tokenizer: Tokenizer::new(),
            strings: Strings {
                table: values.table(),
                arguments: values.arguments,
                json: values.json,
                translated: values.translated,
                out: Out::default(),
                matcher: Matcher::default(),
                frames: Vec::new(),
                key: None,
                escapes: 1,
                open_url: None,
            },
            failed: false,
        }
    }

    /// The whole of an answer.
    pub fn whole(values: &Values, answer: &Bytes) -> Bytes {
        let mut restorer = BodyRestorer::new(values);
        let mut out = Vec::new();
        restorer.push(answer.clone(), &mut out);
        restorer.finish(&mut out);
        if let [one] = &out[..] {
            return one.clone();
        }
        Bytes::from(out.concat())
    }

    /// Takes the next piece and appends to `out` what the caller gets.
    pub fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) {
        if self.failed {
            out.push(piece);
            return;
        }
        self.strings.out.begin(piece.clone());
        self.failed = self.tokenizer.push(&piece, &mut self.strings).is_err();
        let told = self.tokenizer.told_to();
        let safe = match self.strings.matcher.held_from() {
            _ if self.failed => self.strings.out.end_of_piece(),
            Some(from) => told.min(from),
            None => told,
        };
        self.leave(safe, out);
    }

    /// Says that the answer is complete, or broke off; appends the rest to `out`.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) {
        let end = self.strings.out.end_of_piece();
        self.leave(end, out);
    }

    fn leave(&mut self, safe: u64, out: &mut Vec<Bytes>) {
        // The writer is the redactor's; what comes out of it here is for the caller alone and
        // leaves as plain bytes.
        let mut pieces = Vec::new();
        self.strings.out.end(safe, &mut pieces);
        out.extend(pieces.into_iter().map(Redacted::into_bytes));
    }
}

/// An open container.
#[derive(Clone, Copy)]
struct Frame {
    leaf: Leaf,
    /// It is, or lies in, the arguments of a call.
    input: bool,
    /// The key at hand is `text`: such strings of a list are shown one behind the other.
    is_text: bool,
    /// The value at hand is thinking of a translated answer, or lies in it.
    thinks: bool,
    /// It lies in such thinking.
    in_thinking: bool,
}

/// Looks at the strings of the answer.
struct Strings {
    table: Arc<Table>,
    arguments: bool,
    json: bool,
    translated: bool,
    out: Out,
    matcher: Matcher,
    frames: Vec<Frame>,
    /// The key at hand, up to the length of those that matter.
    key: Option<Vec<u8>>,
    /// How many times a value is escaped in the string at hand.
    escapes: u8,
    /// So deep stands a text that ended within a URL: the next one there may go on with it.
    open_url: Option<usize>,
}

impl Strings {
    fn step(&mut self, c: Option<char>, from: u64, to: u64) {
        // Half a surrogate pair is in no placeholder.
        let (c, out, escapes) = (c.unwrap_or('\0'), &mut self.out, self.escapes);
        self.matcher.push(&self.table, c, (from, to), &mut |told| put(out, &told, escapes));
    }
}

/// Puts a value in the place of its placeholder; all else stays as it is.
fn put(out: &mut Out, told: &Told<'_>, escapes: u8) {
    if let Told::Value { from, to, value } = *told {
        out.advance(from);
        out.skip(to);
        out.write(escape(value, escapes).as_bytes());
    }
}

impl Sink for Strings {
    fn open(&mut self, _object: bool, _at: u64) -> Result<(), RedactError> {
        let input = self
            .frames
            .last()
            .is_some_and(|f| f.input || matches!(f.leaf, Leaf::Input | Leaf::Arguments));
        // The elements of a list stand under the list's key.
        let leaf = self.frames.last().map_or(Leaf::Text, |f| f.leaf);
        let thinks = self.frames.last().is_some_and(|f| f.thinks);
        self.frames.push(Frame { leaf, input, is_text: false, thinks, in_thinking: thinks });
        Ok(())
    }

    fn close(&mut self, _at: u64) -> Result<(), RedactError> {
        self.frames.pop();
        Ok(())
    }

    fn string(&mut self, key: bool, _at: u64) -> Result<Take, RedactError> {
        if key {
            self.key = Some(Vec::new());
            return Ok(Take::Text);
        }
        let outside = Frame {
            leaf: Leaf::Text,
            input: false,
            is_text: false,
            thinks: false,
            in_thinking: false,
        };
        let frame = self.frames.last().copied().unwrap_or(outside);
        let in_arguments = frame.input || matches!(frame.leaf, Leaf::Input | Leaf::Arguments);
        if frame.leaf == Leaf::Opaque || frame.thinks || in_arguments && !self.arguments {
            return Ok(Take::Skip);
        }
        let is_json = frame.leaf == Leaf::Arguments && !frame.input;
        self.escapes = if is_json { 2 } else { 1 };
        self.matcher = Matcher::of(is_json || self.json);
        if frame.is_text && self.open_url == Some(self.frames.len()) {
            self.matcher.watch.go_on_in_url();
        }
        Ok(Take::Text)
    }

    fn plain(&mut self, text: &[u8], at: u64, _whole: bool) -> Result<(), RedactError> {
        if let Some(key) = &mut self.key {
            key.extend_from_slice(&text[..text.len().min(KEY_MAX.saturating_sub(key.len()))]);
            return Ok(());
        }
        let mut i = 0;
        while i < text.len() {
            i += self.matcher.skip(&self.table, &text[i..]);
            if let Some(b) = text.get(i) {
                let from = at + i as u64;
                self.step(Some(char::from(*b)), from, from + 1);
                i += 1;
            }
        }
        Ok(())
    }

    fn wide(&mut self, text: &str, at: u64) -> Result<(), RedactError> {
        if let Some(key) = &mut self.key {
            // No key that matters has such letters, or needs an escape.
            key.truncate(KEY_MAX - 1);
            key.push(b'\\');
        } else {
            for (i, c) in text.char_indices() {
                self.step(Some(c), at + i as u64, at + (i + c.len_utf8()) as u64);
            }
        }
        Ok(())
    }

    fn char(&mut self, c: Option<char>, from: u64, to: u64) -> Result<(), RedactError> {
        if let Some(key) = &mut self.key {
            key.truncate(KEY_MAX - 1);
            key.push(b'\\');
            return Ok(());
        }
        self.step(c, from, to);
        Ok(())
    }

    fn string_end(&mut self, _at: u64) -> Result<(), RedactError> {
        match (self.key.take(), self.frames.last_mut()) {
            (Some(key), Some(frame)) => {
                frame.leaf = Leaf::of(&key);
                frame.thinks = frame.in_thinking || self.translated && is_thinking(&key);
                frame.is_text = key == b"text";
            }
            (Some(_), None) => {}
            (None, frame) => {
                if frame.is_some_and(|f| f.is_text) {
                    self.open_url = self.matcher.watch.is_in_url().then_some(self.frames.len());
                }
                let (out, escapes) = (&mut self.out, self.escapes);
                self.matcher.end(&self.table, &mut |told| put(out, &told, escapes));
            }
        }
        Ok(())
    }

    fn scalar(&mut self, _at: u64) -> Result<Take, RedactError> {
        Ok(Take::Skip)
    }

    fn scalar_end(&mut self, _scalar: Scalar, _to: u64) -> Result<(), RedactError> {
        Ok(())
    }
}
