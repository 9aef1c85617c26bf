//! Reads `messages` into turns.

use serde_json::value::RawValue;

use crate::translate::carrier::{self, Owner};
use crate::translate::json::{JsonText, List, Raw};
use crate::translate::loss::{Losses, Refused};
use crate::translate::media;
use crate::translate::neutral::{
    Arguments, CacheMark, Media, MediaKind, Opaque, OpaqueKind, Part, PartKind, Place, Reasoning,
    Request, Role, Source, TextPart, ToolCall, ToolResult, Vendor, history,
};
use crate::translate::openai::{self, Breakpoint};
use crate::translate::read::parse;

use super::NAMES;
use super::fields::{self, ExtraContent, Message, ThinkingBlock};

const PARTS: &str = "messages[].content[].";

/// Reads the messages.
pub(crate) fn read<'a>(
    messages: Option<List<&'a RawValue>>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let Some(List(messages)) = messages else {
        return Err(Refused::invalid("messages", "`messages` is missing"));
    };
    let mut reader = Reader { request, losses, message: 0, function_call: None };
    for (index, json) in messages.into_iter().enumerate() {
        reader.message = u32::try_from(index).unwrap_or(u32::MAX);
        let message: Message<'a> = parse(json, format_args!("messages[{index}]"))?;
        reader.message(message)?;
    }
    Ok(())
}

struct Reader<'r, 'a> {
    request: &'r mut Request<'a>,
    losses: &'r mut Losses,
    /// The index of the message.
    message: u32,
    /// The id that the last `function_call`, which has none, was given.
    function_call: Option<JsonText<'a>>,
}

impl<'a> Reader<'_, 'a> {
    fn message(&mut self, mut message: Message<'a>) -> Result<(), Refused> {
        self.losses.drop_unknown("messages[].", &message.unknown);
        let role = message.role.take().unwrap_or_default();
        let role = role.plain();
        if message.name.is_some() && role != "function" {
            self.losses.drop_field("messages[].name");
        }
        match &*role {
            "system" | "developer" => self.plain(Role::System, message),
            "user" => self.plain(Role::User, message),
            "assistant" => self.assistant(message),
            "tool" | "function" => self.result(message),
            _ => Err(self.refused("has a role that is not known")),
        }
    }

    fn place(&self, part: Option<usize>) -> Place {
        Place { message: Some(self.message), part: part.and_then(|part| u32::try_from(part).ok()) }
    }

    fn push(&mut self, role: Role, part: Part<'a>) {
        history::push(&mut self.request.turns, role, part);
    }

    /// A message that is wrong.
    fn refused(&self, text: &str) -> Refused {
        let name = NAMES.place(self.place(None));
        Refused::invalid(name.clone(), format!("`{name}` {text}"))
    }

    fn plain(&mut self, role: Role, message: Message<'a>) -> Result<(), Refused> {
        for part in self.content(message.content)? {
            let is_text = matches!(part.kind, PartKind::Text(_));
            if role == Role::System && !is_text {
                return Err(self.refused("can only have text"));
            }
            self.push(role, part);
        }
        Ok(())
    }

    fn result(&mut self, message: Message<'a>) -> Result<(), Refused> {
        let mut content = self.content(message.content)?;
        if content.iter().any(|part| !matches!(part.kind, PartKind::Text(_))) {
            return Err(self.refused("is the result of a tool and can only have text"));
        }
        let call_id = match message.tool_call_id.or_else(|| self.function_call.take()) {
            Some(id) => id,
            None => return Err(self.refused("has no `tool_call_id`")),
        };
        let cache = openai::take_marks(&mut content);
        let result = ToolResult { call_id, name: JsonText::default(), content, is_error: false };
        let place = self.place(None);
        self.push(Role::User, Part { kind: PartKind::ToolResult(result), cache, place });
        Ok(())
    }

    fn assistant(&mut self, mut message: Message<'a>) -> Result<(), Refused> {
        if message.audio.is_some() {
            let name = format!("messages[{}].audio", self.message);
            let text = "sound of an earlier answer is kept by the provider that made it";
            return Err(Refused::unsupported(name, text));
        }
        if message.annotations.take().is_some_and(|list| list.json() != "[]") {
            self.losses.drop_field("messages[].annotations");
        }
        if message.reasoning.is_some() && message.reasoning_content.is_none() {
            self.losses.drop_hint("messages[].reasoning");
        }
        let calls = self.calls(&mut message)?;
        let mut thinking = self.thinking(&mut message);
        self.push_thinking(&mut thinking, 0);
        let mut texts = self.content(message.content.take())?;
        if let Some(refusal) = message.refusal.take().filter(|text| !text.is_empty()) {
            let text = TextPart { text: refusal, is_refusal: true, signature: None };
            texts.push(Part::new(PartKind::Text(text), self.place(None)));
        }
        if let Some(signature) = google_signature(message.extra_content.take()) {
            sign_last(&mut texts, signature, self.place(None));
        }
        for part in texts {
            if !matches!(part.kind, PartKind::Text(_)) {
                return Err(self.refused("is of the assistant and can only have text"));
            }
            self.push(Role::Assistant, part);
        }
        let place = self.place(None);
        for (index, call) in calls.into_iter().enumerate() {
            self.push_thinking(&mut thinking, index);
            self.push(Role::Assistant, Part::new(PartKind::ToolCall(call), place));
        }
        self.push_thinking(&mut thinking, usize::MAX);
        Ok(())
    }

    fn calls(&mut self, message: &mut Message<'a>) -> Result<Vec<ToolCall<'a>>, Refused> {
        let mut calls = Vec::new();
        for call in message.tool_calls.take().unwrap_or_default().0 {
            let (name, arguments) = match (call.function, call.custom) {
                (Some(function), _) => {
                    (function.name, Arguments::Text(function.arguments.unwrap_or_default()))
                }
                (None, Some(custom)) => {
                    (custom.name, Arguments::Custom(custom.input.unwrap_or_default()))
                }
                (None, None) => return Err(self.refused("has a call without a function")),
            };
            let (Some(id), Some(name)) = (call.id, name) else {
                return Err(self.refused("has a call without an id or a name"));
            };
            let signature = google_signature(call.extra_content);
            calls.push(ToolCall { id, name, arguments, signature });
        }
        if let Some(function) = message.function_call.take() {
            let id = JsonText::from_plain(format!("call_function_{}", self.message));
            self.function_call = Some(id.clone());
            let Some(name) = function.name else {
                return Err(self.refused("has a call without a name"));
            };
            let arguments = Arguments::Text(function.arguments.unwrap_or_default());
            calls.push(ToolCall { id, name, arguments, signature: None });
        }
        Ok(calls)
    }

    /// The thinking of a message, with the number of calls before each part.
    fn thinking(&mut self, message: &mut Message<'a>) -> Vec<(usize, Reasoning<'a>)> {
        let blocks = message.thinking_blocks.take().unwrap_or_default().0;
        let text = message.reasoning_content.take().filter(|text| !text.is_empty());
        if blocks.is_empty() {
            return text.map(|text| (0, Reasoning { text, opaque: None })).into_iter().collect();
        }
        let mut thinking: Vec<(usize, Reasoning<'a>)> = Vec::new();
        for block in blocks {
            let after = block.after_calls.as_ref().and_then(|number| number.as_u64()).unwrap_or(0);
            thinking.push((usize::try_from(after).unwrap_or(usize::MAX - 1), reasoning(block)));
        }
        thinking.sort_by_key(|(after, _)| *after);
        thinking
    }

    /// Pushes the thinking that stands after at most this number of calls.
    fn push_thinking(&mut self, thinking: &mut Vec<(usize, Reasoning<'a>)>, calls: usize) {
        let place = self.place(None);
        let ready = thinking.iter().take_while(|(after, _)| *after <= calls).count();
        for (_, reasoning) in thinking.drain(..ready) {
            self.push(Role::Assistant, Part::new(PartKind::Reasoning(reasoning), place));
        }
    }

    fn content(&mut self, content: Option<&'a RawValue>) -> Result<Vec<Part<'a>>, Refused> {
        let Some(content) = content else { return Ok(Vec::new()) };
        let name = NAMES.shown(self.place(None));
        match content.get().as_bytes().first() {
            Some(b'"') => {
                let text = TextPart::plain(parse(content, name)?);
                Ok(vec![Part::new(PartKind::Text(text), self.place(None))])
            }
            Some(b'[') => {
                let List(parts): List<fields::Part<'a>> = parse(content, name)?;
                parts.into_iter().enumerate().map(|(at, part)| self.part(part, at)).collect()
            }
            _ => Err(self.refused("has content that is neither text nor a list")),
        }
    }

    fn part(&mut self, part: fields::Part<'a>, at: usize) -> Result<Part<'a>, Refused> {
        let place = self.place(Some(at));
        self.losses.drop_unknown(PARTS, &part.unknown);
        if part.cache_control.is_some() {
            self.losses.drop_hint("messages[].content[].cache_control");
        }
        let cache = match part.breakpoint {
            Some(json) => Some(cache_mark(json, &NAMES.place(place))?),
            None => None,
        };
        let kind = part.kind.clone().unwrap_or_default();
        let refused = |text: &str| {
            let name = NAMES.place(place);
            Refused::invalid(name.clone(), format!("`{name}` {text}"))
        };
        let kind = match (&*kind.plain(), part) {
            ("text", fields::Part { text: Some(text), .. }) => {
                PartKind::Text(TextPart::plain(text))
            }
            ("refusal", fields::Part { refusal: Some(text), .. }) => {
                PartKind::Text(TextPart { text, is_refusal: true, signature: None })
            }
            ("image_url", fields::Part { image_url: Some(image), .. }) => {
                self.image(image, place).map(PartKind::Media)?
            }
            ("file", fields::Part { file: Some(file), .. }) => {
                self.file(file, place).map(PartKind::Media)?
            }
            ("input_audio", fields::Part { input_audio: Some(audio), .. }) => {
                PartKind::Media(audio.media("messages[].content[].input_audio.", self.losses))
            }
            ("text" | "refusal" | "image_url" | "file" | "input_audio", _) => {
                return Err(refused("has nothing under the name of its type"));
            }
            _ => return Err(refused("has a type that is not known")),
        };
        Ok(Part { kind, cache, place })
    }

    fn image(&mut self, image: &'a RawValue, place: Place) -> Result<Media<'a>, Refused> {
        let name = NAMES.place(place);
        let (url, detail) = if image.get().starts_with('"') {
            (parse(image, &name)?, None)
        } else {
            let image: fields::ImageUrl<'a> = parse(image, &name)?;
            self.losses.drop_unknown("messages[].content[].image_url.", &image.unknown);
            (image.url.unwrap_or_default(), image.detail)
        };
        let source = media::source(&url).map_err(|text| Refused::invalid(&*name, text))?;
        let detail = openai::detail(detail.as_ref());
        Ok(Media { detail, ..Media::new(MediaKind::Image, source) })
    }

    fn file(&mut self, file: fields::File<'a>, place: Place) -> Result<Media<'a>, Refused> {
        let name = NAMES.place(place);
        self.losses.drop_unknown("messages[].content[].file.", &file.unknown);
        let source = match (file.file_data, file.file_id) {
            (Some(data), _) => openai::file_data(&data, &name)?,
            (None, Some(id)) => Source::File(id),
            (None, None) => return Err(Refused::invalid(name, "the file has no content")),
        };
        Ok(Media { title: file.filename, ..Media::new(MediaKind::Document, source) })
    }
}

/// A block of thinking. Its signature may be a carrier, of another maker.
fn reasoning<'a>(block: ThinkingBlock<'a>) -> Reasoning<'a> {
    let text = block.thinking.unwrap_or_default();
    let (kind, data) = match (block.data, block.signature) {
        (Some(data), _) => (OpaqueKind::Hidden, Some(data)),
        (None, signature) => (OpaqueKind::Signature, signature),
    };
    let opaque = data.filter(|data| !data.is_empty()).and_then(|data| {
        if !carrier::is_carrier(data.escaped()) {
            return Some(Opaque { vendor: Vendor::Anthropic, kind, data });
        }
        carrier::decode(data.escaped())
            .filter(|(_, owner)| *owner == Owner::Thinking)
            .map(|(opaque, _)| Opaque { kind, ..opaque })
    });
    Reasoning { text, opaque }
}

fn google_signature(extra: Option<ExtraContent<'_>>) -> Option<Opaque<'_>> {
    let data = extra?.google?.thought_signature?;
    let is_empty = data.is_empty();
    let opaque = Opaque { vendor: Vendor::Google, kind: OpaqueKind::Signature, data };
    (!is_empty).then_some(opaque)
}

/// Signs the last text, or an empty one.
fn sign_last<'a>(texts: &mut Vec<Part<'a>>, signature: Opaque<'a>, place: Place) {
    let last = texts.iter_mut().rev().find_map(|part| match &mut part.kind {
        PartKind::Text(text) => Some(text),
        _ => None,
    });
    match last {
        Some(text) => text.signature = Some(signature),
        None => {
            let text = TextPart { signature: Some(signature), ..TextPart::default() };
            texts.push(Part::new(PartKind::Text(text), place));
        }
    }
}

/// A mark of the prompt cache: `{"mode": "explicit", "ttl": "30m"}`.
fn cache_mark(json: &RawValue, place: &str) -> Result<CacheMark, Refused> {
    if !Raw::trusted(json.get()).is_object() {
        return Ok(CacheMark::default());
    }
    parse::<Breakpoint<'_>>(json, place).map(|mark| mark.mark())
}
