//! The events of a streamed answer with the values of their placeholders put back, wherever a
//! placeholder is cut.
//!
//! Pure. A text that goes on over events (a delta) is a channel: one for each choice, content part
//! and call of a tool. Of each channel at most the beginning of a placeholder is held back; it
//! leaves with the channel's next text, or, where the channel ends, in an event like its last one;
//! and it is known whether its text is within a URL. Promises: an event in which nothing changes
//! leaves with its very bytes; texts that stand whole in one event (`….done`, a completed response)
//! are restored whole. Does not: read the framing of events, or change what `Leaf` calls opaque.

use std::sync::Arc;

use super::super::RedactError;
use super::super::escape::escape;
use super::super::json::{Scalar, Sink, Take, Tokenizer};
use super::{Leaf, Matcher, Table, Values, is_thinking};
use crate::bounds::{RESTORE_CHANNELS_MAX, RESTORE_EVENT_BYTES_MAX};

/// Puts values back in the events of one stream.
pub struct EventRestorer {
    table: Arc<Table>,
    arguments: bool,
    json: bool,
    translated: bool,
    channels: Vec<Channel>,
    /// The last text of a block ended within a URL: the next block may go on with it.
    open_url: bool,
}

/// One event as the caller gets it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Events that go before it.
    pub before: Vec<Extra>,
    /// Its data, where they change.
    pub data: Option<Vec<u8>>,
}

/// An event that the provider did not send: the end of a text that was held back.
#[derive(Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its name, empty where the provider names none.
    pub name: Vec<u8>,
    /// Its data.
    pub data: Vec<u8>,
}

/// A text that goes on over events.
struct Channel {
    path: String,
    /// The place that the events themselves name.
    indexes: Vec<u64>,
    matcher: Matcher,
    /// The last event, before and after the channel's text.
    name: Vec<u8>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl EventRestorer {
    /// A restorer of these values; what is numbered later is not put back.
    pub fn new(values: &Values) -> EventRestorer {
        let (arguments, json) = (values.arguments, values.json);
        EventRestorer {
            table: values.table(),
            arguments,
            json,
            translated: values.translated,
            channels: Vec::new(),
            open_url: false,
        }
    }

    /// Takes one event.
    pub fn event(&mut self, name: &[u8], data: &[u8]) -> Restored {
        let Some(found) = Texts::of(data) else {
            // "[DONE]", or no JSON: nothing goes on after it.
            return Restored { before: self.end(), data: None };
        };
        let kind = found.kind();
        let mut edits: Vec<Edit> = Vec::new();
        // Texts of a list that stand whole in this event are shown one behind the other.
        let mut open_url = false;
        for text in &found.texts {
            let Some((goes_on, escaped)) = self.class(&found, text, kind) else { continue };
            let mut restored = String::new();
            let mut channel = None;
            if goes_on {
                // Without a channel it is not known what the text goes on: its placeholders stay.
                let Some(i) = self.channel(&found, text, escaped) else { continue };
                let known = &mut self.channels[i];
                if text.broken {
                    text.text.chars().for_each(|c| known.matcher.watch.push(c));
                    continue;
                }
                known.matcher.text(&self.table, &text.text, escaped, &mut restored);
                if !known.indexes.is_empty() {
                    self.open_url = known.matcher.watch.is_in_url();
                }
                if found.ends(&known.path) {
                    known.matcher.end(&mut restored);
                }
                channel = Some(i);
            } else if text.broken {
                continue;
            } else {
                let mut matcher = Matcher::of(escaped || self.json);
                let is_text = text.key == "text";
                if is_text && open_url {
                    matcher.watch.go_on_in_url();
                }
                matcher.text(&self.table, &text.text, escaped, &mut restored);
                if is_text {
                    open_url = matcher.watch.is_in_url();
                }
                matcher.end(&mut restored);
            }
            edits.push(Edit {
                from: text.from,
                to: text.to,
                changed: restored != text.text,
                text: restored,
                channel,
            });
        }
        self.keep(name, data, &mut edits);
        let touched: Vec<usize> = edits.iter().filter_map(|e| e.channel).collect();
        let all = ends_all(kind);
        let mut before = Vec::new();
        for (i, channel) in self.channels.iter_mut().enumerate() {
            if !touched.contains(&i) && (all || found.ends(&channel.path)) {
                before.extend(channel.end());
            }
        }
        // Where an event says of its place, it ends the texts of that place.
        let place = found.frames.first().map_or(&[][..], |f| &f.indexes);
        self.channels.retain(|c| !(found.ends(&c.path) || all && c.indexes.starts_with(place)));
        let data = edits.iter().any(|e| e.changed).then(|| written(data, &edits));
        Restored { before, data }
    }

    /// The stream is over: what is still held back.
    pub fn end(&mut self) -> Vec<Extra> {
        self.channels.drain(..).filter_map(|mut c| c.end()).collect()
    }

    /// Whether the text goes on over events, and whether it is JSON itself; nothing if it stays as
    /// it is.
    fn class(&self, found: &Texts<'_>, text: &Text, kind: &str) -> Option<(bool, bool)> {
        let leaf = Leaf::of(text.key.as_bytes());
        let top = text.frame == 0;
        let under = |name: &str| found.lies_under(text.frame, name);
        let thinks = || {
            let in_thinking = found.around(text.frame).any(|f| is_thinking(f.key.as_bytes()));
            is_thinking(text.key.as_bytes())
                || in_thinking
                || kind.starts_with("response.reasoning")
        };
        if leaf == Leaf::Opaque || self.translated && thinks() {
            return None;
        }
        let delta = top && text.key == "delta";
        // The argument events of the Responses API carry the text under `delta`.
        let raw_input = delta && (kind.contains("_input") || kind.contains("_call"));
        let arguments = leaf == Leaf::Arguments || delta && kind.contains("arguments");
        if (arguments
            || raw_input
            || leaf == Leaf::Input
            || ["input", "arguments", "action", "operation"].into_iter().any(under))
            && !self.arguments
        {
            return None;
        }
        let completion = text.key == "text" && found.frames[text.frame].key == "choices";
        Some((delta || completion || under("delta"), arguments && !under("input")))
    }

    /// The number of the channel of this text; nothing if there are too many.
    fn channel(&mut self, found: &Texts<'_>, text: &Text, is_json: bool) -> Option<usize> {
        let path = found.path(text);
        if let Some(i) = self.channels.iter().position(|c| c.path == path) {
            return Some(i);
        }
        if self.channels.len() == RESTORE_CHANNELS_MAX {
            return None;
        }
        let (name, head, tail) = (Vec::new(), Vec::new(), Vec::new());
        let indexes = found.frames.first().map_or_else(Vec::new, |f| f.indexes.clone());
        let mut matcher = Matcher::of(is_json || self.json);
        if self.open_url && !indexes.is_empty() {
            matcher.watch.go_on_in_url();
        }
        self.channels.push(Channel { path, indexes, matcher, name, head, tail });
        Some(self.channels.len() - 1)
    }

    /// Keeps, for each channel that holds something back, an event it can leave in.
    fn keep(&mut self, name: &[u8], data: &[u8], edits: &mut [Edit]) {
        for i in 0..edits.len() {
            let Some(channel) = edits[i].channel.and_then(|c| self.channels.get_mut(c)) else {
                continue;
            };
            if channel.matcher.held.is_empty() {
                (channel.head, channel.tail) = (Vec::new(), Vec::new());
                continue;
            }
            if data.len() > RESTORE_EVENT_BYTES_MAX {
                channel.matcher.end(&mut edits[i].text);
                edits[i].changed = true;
                continue;
            }
            // The same event, in which the texts of the other channels are empty.
            let emptied = |edits: &[Edit]| -> Vec<Edit> {
                let others = edits.iter().filter(|e| e.channel.is_some());
                others.map(|e| Edit { text: String::new(), changed: true, ..*e }).collect()
            };
            channel.name = name.to_vec();
            let (from, to) = (edits[i].from, edits[i].to);
            channel.head = written(&data[..from], &emptied(&edits[..i]));
            let rest: Vec<Edit> = emptied(&edits[i + 1..])
                .into_iter()
                .map(|e| Edit { from: e.from - to, to: e.to - to, ..e })
                .collect();
            channel.tail = written(&data[to..], &rest);
        }
    }
}

impl Channel {
    /// The held text, in an event of its own.
    fn end(&mut self) -> Option<Extra> {
        if self.matcher.held.is_empty() {
            return None;
        }
        let mut text = String::new();
        self.matcher.end(&mut text);
        let data = [&self.head[..], quoted(&text).as_bytes(), &self.tail].concat();
        Some(Extra { name: std::mem::take(&mut self.name), data })
    }
}

/// New text for a string of an event.
#[derive(Clone)]
struct Edit {
    /// Its first byte and the byte after its last, without the quotation marks.
    from: usize,
    to: usize,
    text: String,
    changed: bool,
    channel: Option<usize>,
}

/// `data` with the edits in it; they are in order.
fn written(data: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut at = 0;
    for edit in edits.iter().filter(|e| e.changed) {
        out.extend_from_slice(&data[at..edit.from]);
        out.extend_from_slice(quoted(&edit.text).as_bytes());
        at = edit.to;
    }
    out.extend_from_slice(&data[at..]);
    out
}

/// `text` as it stands inside a JSON string.
fn quoted(text: &str) -> String {
    escape(text, 1)
}

/// Whether after an event of this `type` no text goes on.
fn ends_all(kind: &str) -> bool {
    const ENDS: [&str; 3] = ["response.completed", "response.incomplete", "response.failed"];
    kind.ends_with(".done") || kind.ends_with("_stop") || kind == "error" || ENDS.contains(&kind)
}

/// A string value of an event.
struct Text {
    frame: usize,
    key: String,
    from: usize,
    to: usize,
    text: String,
    /// It holds half a surrogate pair and cannot be written anew.
    broken: bool,
}

/// A container of an event, by number; 0 is the whole.
struct Frame {
    parent: usize,
    /// The key it stands under; the elements of a list stand under the list's.
    key: String,
    object: bool,
    /// Values begun.
    values: u32,
    /// Its place in a list.
    place: u32,
    /// The place that it names itself: `index`, `output_index`, `content_index`.
    indexes: Vec<u64>,
}

/// The strings of an event.
struct Texts<'d> {
    data: &'d [u8],
    frames: Vec<Frame>,
    open: Vec<usize>,
    texts: Vec<Text>,
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
    fn of(data: &[u8]) -> Option<Texts<'_>> {
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
    fn kind(&self) -> &str {
        self.texts.iter().find(|t| t.frame == 0 && t.key == "type").map_or("", |t| &t.text)
    }

    /// Whether a container or one around it stands under `name`.
    fn lies_under(&self, frame: usize, name: &str) -> bool {
        self.around(frame).any(|f| f.key == name)
    }

    fn around(&self, frame: usize) -> impl Iterator<Item = &Frame> {
        let mut next = Some(frame);
        std::iter::from_fn(move || {
            let at = next?;
            next = (at > 0).then(|| self.frames[at].parent);
            self.frames.get(at)
        })
    }

    /// Where a text stands, by what the event says of its places.
    fn path(&self, text: &Text) -> String {
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
    fn ends(&self, path: &str) -> bool {
        self.texts.iter().filter(|t| t.key == "finish_reason").any(|t| {
            path.strip_prefix(&self.path_of(t.frame)).is_some_and(|rest| rest.starts_with('.'))
        })
    }

    fn top(&mut self) -> Option<&mut Frame> {
        self.open.last().and_then(|i| self.frames.get_mut(*i))
    }
}

impl Sink for Texts<'_> {
    fn open(&mut self, object: bool, _at: u64) -> Result<(), RedactError> {
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
        self.frames.push(Frame { parent, key, object, values: 0, place, indexes: Vec::new() });
        Ok(())
    }

    fn close(&mut self, _at: u64) -> Result<(), RedactError> {
        self.open.pop();
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
