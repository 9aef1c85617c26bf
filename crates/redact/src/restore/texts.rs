//! The strings of an event, and where they stand in it.
//!
//! Pure. Does not: change them (`event` does), or read the framing of events.

use super::super::json::{Scalar, Sink, Take, Tokenizer};
use crate::RedactError;

/// A string value of an event.
pub(super) struct Text {
    pub(super) frame: usize,
    pub(super) key: String,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) text: String,
    /// It holds half a surrogate pair and cannot be written anew.
    pub(super) broken: bool,
}

/// A container of an event, by number; 0 is the whole.
pub(super) struct Frame {
    pub(super) parent: usize,
    /// The key it stands under; the elements of a list stand under the list's.
    pub(super) key: String,
    pub(super) object: bool,
    /// Values begun.
    pub(super) values: u32,
    /// Its place in a list.
    pub(super) place: u32,
    /// The place that it names itself: `index`, `output_index`, `content_index`.
    pub(super) indexes: Vec<u64>,
    /// Where it begins and ends.
    pub(super) from: usize,
    pub(super) to: usize,
}

/// A list of tokens, which spells a text out, and what it is without them.
pub(super) struct Spelt {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) empty: &'static str,
}

/// The strings of an event.
pub(super) struct Texts<'d> {
    data: &'d [u8],
    pub(super) frames: Vec<Frame>,
    open: Vec<usize>,
    pub(super) texts: Vec<Text>,
    key: String,
    /// The string at hand: where it begins and what it says.
    at: usize,
    text: String,
    broken: bool,
    reading_key: bool,
    number_at: u64,
}

impl Texts<'_> {
    /// The strings of `data`; nothing if it is no JSON object.
    pub(super) fn of(data: &[u8]) -> Option<Texts<'_>> {
        if data.first() != Some(&b'{') {
            return None;
        }
        let mut texts = Texts {
            data,
            frames: Vec::new(),
            open: Vec::new(),
            texts: Vec::new(),
            key: String::new(),
            at: 0,
            text: String::new(),
            broken: false,
            reading_key: false,
            number_at: 0,
        };
        let mut tokenizer = Tokenizer::new();
        let whole = tokenizer.push(data, &mut texts).and_then(|()| tokenizer.finish(&mut texts));
        whole.is_ok().then_some(texts)
    }

    /// The event's own `type`.
    pub(super) fn kind(&self) -> &str {
        self.texts.iter().find(|t| t.frame == 0 && t.key == "type").map_or("", |t| &t.text)
    }

    /// Whether it says that the answer has failed.
    pub(super) fn fails(&self) -> bool {
        matches!(self.kind(), "error" | "response.failed")
            || self.frames.iter().skip(1).any(|f| f.parent == 0 && f.key == "error")
    }

    /// Whether a container or one around it stands under `name`.
    pub(super) fn lies_under(&self, frame: usize, name: &str) -> bool {
        self.around(frame).any(|f| f.key == name)
    }

    pub(super) fn around(&self, frame: usize) -> impl Iterator<Item = &Frame> {
        let mut next = Some(frame);
        std::iter::from_fn(move || {
            let at = next?;
            next = (at > 0).then(|| self.frames[at].parent);
            self.frames.get(at)
        })
    }

    /// Where a text stands, by what the event says of its places.
    pub(super) fn path(&self, text: &Text) -> String {
        let mut path = self.path_of(text.frame);
        path.push('.');
        path.push_str(&text.key);
        path
    }

    fn path_of(&self, frame: usize) -> String {
        let mut parts: Vec<String> = Vec::new();
        for f in self.around(frame) {
            if f.indexes.is_empty() {
                parts.push(format!("{}#{}", f.key, f.place));
            } else {
                parts.push(format!("{}#{:?}", f.key, f.indexes));
            }
        }
        parts.reverse();
        parts.join(".")
    }

    /// Whether this event ends the text at `path`: its choice has a reason to finish.
    pub(super) fn ends(&self, path: &str) -> bool {
        self.texts.iter().filter(|t| t.key == "finish_reason").any(|t| {
            path.strip_prefix(&self.path_of(t.frame)).is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// Lists of tokens, which spell a text out.
    pub(super) fn spelt(&self) -> impl Iterator<Item = Spelt> + '_ {
        let is = |f: &Frame| f.key == "logprobs" && f.values > 0;
        let outer = move |(i, f): &(usize, &Frame)| {
            *i > 0 && is(f) && !self.frames.get(f.parent).is_some_and(is)
        };
        self.frames.iter().enumerate().filter(outer).map(|(_, f)| Spelt {
            from: f.from,
            to: f.to,
            empty: if f.object { "null" } else { "[]" },
        })
    }

    fn top(&mut self) -> Option<&mut Frame> {
        self.open.last().and_then(|i| self.frames.get_mut(*i))
    }
}

impl Sink for Texts<'_> {
    fn open(&mut self, object: bool, at: u64) -> Result<(), RedactError> {
        let parent = self.open.last().copied().unwrap_or(0);
        let place = self.top().map_or(0, |f| {
            f.values += 1;
            if f.object { 0 } else { f.values - 1 }
        });
        let key = match self.frames.get(parent) {
            Some(list) if !list.object => list.key.clone(),
            Some(_) => self.key.clone(),
            None => String::new(),
        };
        self.open.push(self.frames.len());
        let from = at as usize;
        let indexes = Vec::new();
        self.frames.push(Frame { parent, key, object, values: 0, place, indexes, from, to: from });
        Ok(())
    }

    fn close(&mut self, at: u64) -> Result<(), RedactError> {
        if let Some(frame) = self.open.pop().and_then(|i| self.frames.get_mut(i)) {
            frame.to = at as usize + 1;
        }
        Ok(())
    }

    fn string(&mut self, key: bool, at: u64) -> Result<Take, RedactError> {
        self.reading_key = key;
        self.at = at as usize + 1;
        self.text.clear();
        self.broken = false;
        Ok(Take::Text)
    }

    fn plain(&mut self, text: &[u8], _at: u64, _whole: bool) -> Result<(), RedactError> {
        // It is ASCII.
        self.text.push_str(std::str::from_utf8(text).unwrap_or_default());
        Ok(())
    }

    fn wide(&mut self, text: &str, _at: u64) -> Result<(), RedactError> {
        self.text.push_str(text);
        Ok(())
    }

    fn char(&mut self, c: Option<char>, _from: u64, _to: u64) -> Result<(), RedactError> {
        self.broken |= c.is_none();
        self.text.extend(c);
        Ok(())
    }

    fn string_end(&mut self, at: u64) -> Result<(), RedactError> {
        let text = std::mem::take(&mut self.text);
        if self.reading_key {
            self.key = text;
            return Ok(());
        }
        let frame = self.open.last().copied().unwrap_or(0);
        if let Some(f) = self.top() {
            f.values += 1;
        }
        let key = match self.frames.get(frame) {
            Some(list) if !list.object => list.key.clone(),
            _ => self.key.clone(),
        };
        self.texts.push(Text {
            frame,
            key,
            from: self.at,
            to: at as usize,
            text,
            broken: self.broken,
        });
        Ok(())
    }

    fn scalar(&mut self, at: u64) -> Result<Take, RedactError> {
        self.number_at = at;
        if let Some(f) = self.top() {
            f.values += 1;
        }
        Ok(Take::Skip)
    }

    fn scalar_end(&mut self, scalar: Scalar, to: u64) -> Result<(), RedactError> {
        if scalar == Scalar::Number
            && matches!(self.key.as_str(), "index" | "output_index" | "content_index")
        {
            let digits = &self.data[self.number_at as usize..to as usize];
            let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
            if let (Some(number), Some(frame)) = (number, self.top())
                && frame.object
            {
                frame.indexes.push(number);
            }
        }
        Ok(())
    }
}
