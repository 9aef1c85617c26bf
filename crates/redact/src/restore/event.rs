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

use super::super::escape::escape;
use super::matcher::{Matcher, Table};
use super::texts::{Text, Texts};
use super::watch::Watch;
use super::{Leaf, Values};
use crate::bounds::{RESTORE_CHANNELS_MAX, RESTORE_EVENT_BYTES_MAX};
use crate::keys::{is_providers_own, is_thinking};
use crate::mask::{Mask, MaskText, Own};
use crate::rules::Compiled;
use crate::{Ledger, Rules};

/// Changes the texts in the events of one stream: puts values back, or takes those of others out.
pub struct EventRestorer {
    edit: Editor,
    /// The answer is translated: the text of its thinking stays as the provider has signed it.
    translated: bool,
    channels: Vec<Channel>,
    /// The last text of a block ended within a URL: the next block may go on with it.
    open_url: bool,
}

/// The treatment of texts.
enum Editor {
    /// Values are put back.
    Restore { table: Arc<Table>, arguments: bool, json: bool },
    /// Values of others are taken out, and counted.
    Mask { rules: Arc<Compiled>, own: Own, ledger: Ledger },
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
    flow: Flow,
    /// Its text is JSON itself.
    escaped: bool,
    /// The last event, before and after the channel's text.
    name: Vec<u8>,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// A text while it is changed.
enum Flow {
    Restore(Matcher),
    Mask(MaskText),
}

impl Flow {
    fn is_idle(&self) -> bool {
        match self {
            Flow::Restore(matcher) => matcher.is_idle(),
            Flow::Mask(text) => text.is_idle(),
        }
    }

    fn watch(&mut self) -> Option<&mut Watch> {
        match self {
            Flow::Restore(matcher) => Some(&mut matcher.watch),
            Flow::Mask(_) => None,
        }
    }
}

impl Editor {
    /// A new text, which is JSON if `escaped`.
    fn flow(&self, escaped: bool) -> Flow {
        match self {
            Editor::Restore { json, .. } => Flow::Restore(Matcher::of(escaped || *json)),
            Editor::Mask { .. } => Flow::Mask(MaskText::of(escaped)),
        }
    }

    /// Takes text, and appends to `out` what is certain.
    fn text(&mut self, flow: &mut Flow, text: &str, escaped: bool, out: &mut String) {
        match (self, flow) {
            (Editor::Restore { table, .. }, Flow::Restore(matcher)) => {
                matcher.text(table, text, escaped, out);
            }
            (Editor::Mask { rules, own, ledger }, Flow::Mask(flow)) => {
                flow.push(&Mask { rules, own }, text, out, ledger);
            }
            _ => {}
        }
    }

    /// The text has ended.
    fn rest(&mut self, flow: &mut Flow, escaped: bool, out: &mut String) {
        match (self, flow) {
            (Editor::Restore { table, .. }, Flow::Restore(matcher)) => {
                matcher.rest(table, escaped, out);
            }
            (Editor::Mask { rules, own, ledger }, Flow::Mask(flow)) => {
                flow.rest(&Mask { rules, own }, out, ledger);
            }
            _ => {}
        }
    }

    fn masks(&self) -> bool {
        matches!(self, Editor::Mask { .. })
    }
}

impl EventRestorer {
    /// A restorer of these values; what gets a placeholder later is not put back.
    pub fn new(values: &Values) -> EventRestorer {
        let (arguments, json) = (values.arguments, values.json);
        let edit = Editor::Restore { table: values.table(), arguments, json };
        EventRestorer::of(edit, values.translated)
    }

    /// Takes values out that the call has not sent. `translated`: the answer was, and its thinking
    /// stays as the provider has signed it.
    pub fn masking(rules: &Rules, own: &Own, translated: bool) -> EventRestorer {
        let (rules, own) = (Arc::clone(&rules.0), own.clone());
        EventRestorer::of(Editor::Mask { rules, own, ledger: Ledger::default() }, translated)
    }

    fn of(edit: Editor, translated: bool) -> EventRestorer {
        EventRestorer { edit, translated, channels: Vec::new(), open_url: false }
    }

    /// The redactions so far.
    pub fn masked(&self) -> Option<&Ledger> {
        match &self.edit {
            Editor::Restore { .. } => None,
            Editor::Mask { ledger, .. } => Some(ledger),
        }
    }

    /// Takes one event.
    pub fn event(&mut self, name: &[u8], data: &[u8]) -> Restored {
        let Some(found) = Texts::of(data) else {
            // "[DONE]", or no JSON: nothing goes on after it.
            return Restored { before: self.end(), data: self.no_json(data) };
        };
        let kind = found.kind();
        let mut edits: Vec<Edit> = Vec::new();
        // Texts of a list that stand whole in this event are shown one behind the other.
        let mut open_url = false;
        for text in &found.texts {
            let Some((goes_on, escaped)) = self.class(&found, text, kind) else { continue };
            let edit = match (goes_on, text.broken) {
                (true, _) => self.going_on(&found, text, escaped),
                (false, true) => self.unreadable(text),
                (false, false) => Some(self.whole(text, escaped, &mut open_url)),
            };
            edits.extend(edit);
        }
        if self.edit.masks() {
            edits.extend(found.spelt().map(|spelt| Edit {
                from: spelt.from,
                to: spelt.to,
                text: String::new(),
                changed: true,
                channel: None,
                raw: Some(spelt.empty),
            }));
            edits.sort_by_key(|edit| edit.from);
        }
        self.keep(name, data, &mut edits);
        let touched: Vec<usize> = edits.iter().filter_map(|e| e.channel).collect();
        let all = ends_all(kind);
        // An answer that failed has broken off: what is held may be the beginning of a value.
        let broke = self.edit.masks() && found.fails();
        if broke {
            self.channels.clear();
        }
        let mut before = Vec::new();
        for (i, channel) in self.channels.iter_mut().enumerate() {
            if !touched.contains(&i) && (all || found.ends(&channel.path)) {
                before.extend(channel.end(&mut self.edit));
            }
        }
        // Where an event says of its place, it ends the texts of that place.
        let place = found.frames.first().map_or(&[][..], |f| &f.indexes);
        self.channels.retain(|c| !(found.ends(&c.path) || all && c.indexes.starts_with(place)));
        let data = edits.iter().any(|e| e.changed).then(|| written(data, &edits));
        Restored { before, data }
    }

    /// A text that goes on over events.
    fn going_on(&mut self, found: &Texts<'_>, text: &Text, escaped: bool) -> Option<Edit> {
        // Without a channel it is not known what the text goes on: its placeholders stay.
        let Some(i) = self.channel(found, text, escaped) else { return self.unreadable(text) };
        let known = &mut self.channels[i];
        if text.broken
            && let Some(watch) = known.flow.watch()
        {
            text.text.chars().for_each(|c| watch.push(c));
            return None;
        }
        let mut restored = String::new();
        self.edit.text(&mut known.flow, &text.text, escaped, &mut restored);
        if let Some(watch) = known.flow.watch().filter(|_| !known.indexes.is_empty()) {
            self.open_url = watch.is_in_url();
        }
        if found.ends(&known.path) {
            self.edit.rest(&mut known.flow, escaped, &mut restored);
        }
        Some(Edit::of(text, restored, Some(i)))
    }

    /// A text that stands whole in its event.
    fn whole(&mut self, text: &Text, escaped: bool, open_url: &mut bool) -> Edit {
        let (mut flow, mut restored) = (self.edit.flow(escaped), String::new());
        let is_text = text.key == "text";
        if let Some(watch) = flow.watch().filter(|_| is_text && *open_url) {
            watch.go_on_in_url();
        }
        self.edit.text(&mut flow, &text.text, escaped, &mut restored);
        if let Some(watch) = flow.watch().filter(|_| is_text) {
            *open_url = watch.is_in_url();
        }
        self.edit.rest(&mut flow, escaped, &mut restored);
        Edit::of(text, restored, None)
    }

    /// A text that cannot be changed stays, unless values are to be taken out of it.
    fn unreadable(&self, text: &Text) -> Option<Edit> {
        self.edit.masks().then(|| Edit::of(text, String::new(), None))
    }

    /// The data of an event that is no JSON, where they change.
    fn no_json(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        if !self.edit.masks() || data == b"[DONE]" {
            return None;
        }
        let text = String::from_utf8_lossy(data);
        let (mut flow, mut masked) = (self.edit.flow(false), String::new());
        self.edit.text(&mut flow, &text, false, &mut masked);
        self.edit.rest(&mut flow, false, &mut masked);
        (masked.as_bytes() != data).then(|| masked.into_bytes())
    }

    /// A line of an event that is no data, where it changes.
    pub fn line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        self.no_json(line)
    }

    /// The stream is over: what is still held back.
    pub fn end(&mut self) -> Vec<Extra> {
        let EventRestorer { edit, channels, .. } = self;
        channels.drain(..).filter_map(|mut c| c.end(edit)).collect()
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
        if self.translated && thinks() {
            return None;
        }
        let delta = top && text.key == "delta";
        // The argument events of the Responses API carry the text under `delta`.
        let raw_input = delta && (kind.contains("_input") || kind.contains("_call"));
        let arguments = leaf == Leaf::Arguments || delta && kind.contains("arguments");
        match &self.edit {
            Editor::Restore { arguments: wanted, .. } => {
                let input = ["input", "arguments", "action", "operation"].into_iter().any(under);
                let is_input = arguments || raw_input || leaf == Leaf::Input || input;
                if leaf == Leaf::Opaque || is_input && !wanted {
                    return None;
                }
            }
            Editor::Mask { .. } => {
                if is_providers_own(text.key.as_bytes()) || under("logprobs") {
                    return None;
                }
            }
        }
        let completion = text.key == "text" && found.frames[text.frame].key == "choices";
        Some((delta || completion || under("delta"), arguments && !under("input")))
    }

    /// The number of the channel of this text; nothing if there are too many.
    fn channel(&mut self, found: &Texts<'_>, text: &Text, escaped: bool) -> Option<usize> {
        let path = found.path(text);
        if let Some(i) = self.channels.iter().position(|c| c.path == path) {
            return Some(i);
        }
        if self.channels.len() == RESTORE_CHANNELS_MAX {
            return None;
        }
        let (name, head, tail) = (Vec::new(), Vec::new(), Vec::new());
        let indexes = found.frames.first().map_or_else(Vec::new, |f| f.indexes.clone());
        let mut flow = self.edit.flow(escaped);
        if let Some(watch) = flow.watch().filter(|_| self.open_url && !indexes.is_empty()) {
            watch.go_on_in_url();
        }
        self.channels.push(Channel { path, indexes, flow, escaped, name, head, tail });
        Some(self.channels.len() - 1)
    }

    /// Keeps, for each channel that holds something back, an event it can leave in.
    fn keep(&mut self, name: &[u8], data: &[u8], edits: &mut [Edit]) {
        for i in 0..edits.len() {
            let Some(channel) = edits[i].channel.and_then(|c| self.channels.get_mut(c)) else {
                continue;
            };
            if channel.flow.is_idle() {
                (channel.head, channel.tail) = (Vec::new(), Vec::new());
                continue;
            }
            // Text that holds values of others waits, however long its event is without it.
            let long = data.len() - (edits[i].to - edits[i].from) > RESTORE_EVENT_BYTES_MAX;
            if long && !self.edit.masks() {
                self.edit.rest(&mut channel.flow, channel.escaped, &mut edits[i].text);
                edits[i].changed = true;
                continue;
            }
            // The same event, in which the texts of the other channels are empty.
            let emptied = |edits: &[Edit]| -> Vec<Edit> {
                let others = edits.iter().filter(|e| e.channel.is_some() || e.raw.is_some());
                others.map(|e| Edit { text: String::new(), changed: true, ..e.clone() }).collect()
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
    fn end(&mut self, edit: &mut Editor) -> Option<Extra> {
        if self.flow.is_idle() {
            return None;
        }
        let mut text = String::new();
        edit.rest(&mut self.flow, self.escaped, &mut text);
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
    /// It is no string, and this takes its place.
    raw: Option<&'static str>,
}

impl Edit {
    fn of(old: &Text, text: String, channel: Option<usize>) -> Edit {
        let changed = text != old.text || old.broken;
        Edit { from: old.from, to: old.to, changed, text, channel, raw: None }
    }
}

/// `data` with the edits in it; they are in order.
fn written(data: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut at = 0;
    for edit in edits.iter().filter(|e| e.changed) {
        out.extend_from_slice(&data[at..edit.from]);
        match edit.raw {
            Some(raw) => out.extend_from_slice(raw.as_bytes()),
            None => out.extend_from_slice(quoted(&edit.text).as_bytes()),
        }
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
