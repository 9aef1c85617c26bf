//! Reads `system` and `messages` into turns.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::translate::carrier::{self, Owner};
use crate::translate::json::{JsonText, List};
use crate::translate::loss::{Losses, Refused};
use crate::translate::media;
use crate::translate::neutral::{
    Arguments, CacheMark, Media, MediaKind, Opaque, OpaqueKind, Part, PartKind, Place, Reasoning,
    Request, Role, SearchResult, Source, TextPart, ToolCall, ToolResult, Turn, Vendor, history,
};
use crate::translate::read::parse;

use super::NAMES;
use super::fields::{self, Block, Body, CacheControl};

const BLOCKS: &str = "messages[].content[].";

/// Reads the system prompt and the messages.
pub(crate) fn read<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let mut reader = Reader { losses, turns: Vec::new(), message: None };
    if let Some(system) = body.system.take() {
        for part in reader.content(system)? {
            reader.push(Role::System, part)?;
        }
    }
    let Some(List(messages)) = body.messages.take() else {
        return Err(Refused::invalid("messages", "`messages` is missing"));
    };
    for (index, json) in messages.into_iter().enumerate() {
        reader.message = Some(u32::try_from(index).unwrap_or(u32::MAX));
        let message: fields::Message<'a> = parse(json, format_args!("messages[{index}]"))?;
        reader.message(message)?;
    }
    request.turns = reader.turns;
    Ok(())
}

/// The cache mark of a block.
pub(crate) fn cache_mark(control: Option<CacheControl<'_>>) -> Option<CacheMark> {
    let ttl = control?.ttl.unwrap_or_default();
    let minutes = match &*ttl.plain() {
        "1h" => Some(60),
        "5m" => Some(5),
        _ => None,
    };
    Some(CacheMark { minutes })
}

struct Reader<'r, 'a> {
    losses: &'r mut Losses,
    turns: Vec<Turn<'a>>,
    /// The index of the message; none in `system`.
    message: Option<u32>,
}

impl<'a> Reader<'_, 'a> {
    fn message(&mut self, message: fields::Message<'a>) -> Result<(), Refused> {
        self.losses.drop_unknown("messages[].", &message.unknown);
        let role = match &*message.role.unwrap_or_default().plain() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(self.wrong(None, "has a role that is not known")),
        };
        let Some(content) = message.content else {
            return Err(self.wrong(None, "has no content"));
        };
        let parts = self.content(content)?;
        let mut parts = parts.into_iter().peekable();
        while let Some(mut part) = parts.next() {
            // A carrier stands before the call, or after the text, to which it belongs.
            if let PartKind::Reasoning(reasoning) = &mut part.kind
                && let Some((opaque, owner)) = carried(reasoning)
            {
                let owner_part = match owner {
                    Owner::Call => parts.peek_mut().map(|part| &mut part.kind),
                    Owner::Text => self
                        .turns
                        .last_mut()
                        .and_then(|turn| turn.parts.last_mut())
                        .map(|part| &mut part.kind),
                    Owner::Thinking => None,
                };
                match owner_part {
                    Some(PartKind::ToolCall(call)) => call.signature = Some(opaque),
                    Some(PartKind::Text(text)) => text.signature = Some(opaque),
                    _ => self.losses.drop_hint("reasoning"),
                }
                continue;
            }
            self.push(role, part)?;
        }
        Ok(())
    }

    fn push(&mut self, role: Role, part: Part<'a>) -> Result<(), Refused> {
        let fits = match (&part.kind, role) {
            (PartKind::Text(_), _) => true,
            (PartKind::ToolCall(_) | PartKind::Reasoning(_), role) => role == Role::Assistant,
            (PartKind::ToolResult(_) | PartKind::SearchResult(_), role) => role == Role::User,
            (PartKind::Media(_), role) => role != Role::System,
        };
        if !fits {
            return Err(self.wrong(part.place.part, "has a type that its role does not have"));
        }
        history::push(&mut self.turns, role, part);
        Ok(())
    }

    fn place(&self, part: Option<u32>) -> Place {
        Place { message: self.message, part }
    }

    /// A message or a block that is wrong.
    fn wrong(&self, part: Option<u32>, text: &str) -> Refused {
        let name = NAMES.place(self.place(part));
        Refused::invalid(name.clone(), format!("`{name}` {text}"))
    }

    /// A string, or a list of blocks.
    fn content(&mut self, content: &'a RawValue) -> Result<Vec<Part<'a>>, Refused> {
        let name = NAMES.shown(self.place(None));
        match content.get().as_bytes().first() {
            Some(b'"') => {
                let text = TextPart::plain(parse(content, name)?);
                Ok(vec![Part::new(PartKind::Text(text), self.place(None))])
            }
            Some(b'[') => {
                let List(blocks): List<Block<'a>> = parse(content, name)?;
                let mut parts = Vec::with_capacity(blocks.len());
                for (at, block) in blocks.into_iter().enumerate() {
                    let place = self.place(u32::try_from(at).ok());
                    parts.extend(self.block(block, place, false)?);
                }
                Ok(parts)
            }
            _ => Err(self.wrong(None, "has content that is neither text nor a list")),
        }
    }

    /// Reads a block; nothing, if it is left out. `is_inner`: it stands in a tool's result or in a
    /// document.
    fn block(
        &mut self,
        mut block: Block<'a>,
        place: Place,
        is_inner: bool,
    ) -> Result<Option<Part<'a>>, Refused> {
        self.losses.drop_unknown(BLOCKS, &block.unknown);
        let cache = cache_mark(block.cache_control.take());
        let kind = block.kind.take().unwrap_or_default();
        let nothing = |reader: &Self| reader.wrong(place.part, "lacks the content of its type");
        let kind = match &*kind.plain() {
            "text" => {
                if block.citations.take().is_some_and(|list| list.get() != "[]") {
                    self.losses.drop_field("messages[].content[].citations");
                }
                let text = block.text.take().ok_or_else(|| nothing(self))?;
                PartKind::Text(TextPart::plain(text))
            }
            "image" => PartKind::Media(self.media(MediaKind::Image, block, place)?),
            "document" => PartKind::Media(self.media(MediaKind::Document, block, place)?),
            "search_result" => self.search_result(block, place)?,
            "tool_reference" if is_inner => {
                self.losses.drop_field("messages[].content[].content[].tool_reference");
                return Ok(None);
            }
            "tool_use" if !is_inner => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(self.wrong(place.part, "has no id or no name"));
                };
                let arguments = match block.input {
                    Some(input) if input.is_object() => Arguments::Object(input),
                    Some(_) => return Err(self.wrong(place.part, "has an input that is no object")),
                    None => Arguments::Text(JsonText::default()),
                };
                PartKind::ToolCall(ToolCall { id, name, arguments, signature: None })
            }
            "tool_result" if !is_inner => self.result(block, place)?,
            "thinking" if !is_inner => {
                let text = block.thinking.unwrap_or_default();
                let opaque = opaque(OpaqueKind::Signature, block.signature);
                PartKind::Reasoning(Reasoning { text, opaque })
            }
            "redacted_thinking" if !is_inner => {
                let opaque = opaque(OpaqueKind::Hidden, block.data);
                PartKind::Reasoning(Reasoning { text: JsonText::default(), opaque })
            }
            other => {
                let name = NAMES.place(place);
                let text = format!(
                    "`{name}` has the type `{other}`, which the model's provider does not know"
                );
                return Err(Refused::unsupported(name, text));
            }
        };
        Ok(Some(Part { kind, cache, place }))
    }

    fn result(&mut self, block: Block<'a>, place: Place) -> Result<PartKind<'a>, Refused> {
        let Some(call_id) = block.tool_use_id else {
            return Err(self.wrong(place.part, "has no `tool_use_id`"));
        };
        let content = match block.content {
            Some(content) => self.inner(content, place)?,
            None => Vec::new(),
        };
        let is_error = block.is_error.unwrap_or(false);
        Ok(PartKind::ToolResult(ToolResult {
            call_id,
            name: JsonText::default(),
            content,
            is_error,
        }))
    }

    /// The content of a result or a document: a string, or texts, media and search results.
    fn inner(&mut self, content: &'a RawValue, place: Place) -> Result<Vec<Part<'a>>, Refused> {
        let name = NAMES.place(place);
        if content.get().starts_with('"') {
            let text = TextPart::plain(parse(content, &name)?);
            return Ok(vec![Part::new(PartKind::Text(text), place)]);
        }
        let List(blocks): List<Block<'a>> = parse(content, &name)?;
        let mut parts = Vec::with_capacity(blocks.len());
        for block in blocks {
            parts.extend(self.block(block, place, true)?);
        }
        Ok(parts)
    }

    fn search_result(&mut self, block: Block<'a>, place: Place) -> Result<PartKind<'a>, Refused> {
        let mut texts = Vec::new();
        if let Some(content) = block.content {
            let name = NAMES.place(place);
            let List(blocks): List<Block<'a>> = parse(content, &name)?;
            texts.extend(blocks.into_iter().filter_map(|block| block.text));
        }
        Ok(PartKind::SearchResult(SearchResult {
            title: block.title.unwrap_or_default(),
            source: match block.source {
                Some(json) => parse(json, NAMES.shown(place))?,
                None => JsonText::default(),
            },
            texts,
            citations: wants_citations(block.citations),
        }))
    }

    fn media(
        &mut self,
        kind: MediaKind,
        block: Block<'a>,
        place: Place,
    ) -> Result<Media<'a>, Refused> {
        let name = NAMES.place(place);
        let Some(source) = block.source else {
            return Err(self.wrong(place.part, "has no source"));
        };
        let source: fields::Source<'a> = parse(source, &name)?;
        self.losses.drop_unknown("messages[].content[].source.", &source.unknown);
        let media_type = media::media_type(&source.media_type.unwrap_or_default().plain());
        let missing = || Refused::invalid(&*name, format!("`{name}` has a source without content"));
        let source = match &*source.kind.unwrap_or_default().plain() {
            "base64" => {
                let data = source.data.ok_or_else(missing)?.without_space();
                Source::Base64 { media_type: Cow::Owned(media_type), data }
            }
            "text" => {
                let text = source.data.ok_or_else(missing)?;
                Source::Text { media_type: Cow::Borrowed("text/plain"), text }
            }
            "url" => Source::Url(source.url.ok_or_else(missing)?),
            "file" => Source::File(source.file_id.ok_or_else(missing)?),
            "content" => Source::Parts(self.inner(source.content.ok_or_else(missing)?, place)?),
            _ => return Err(self.wrong(place.part, "has a source of a type that is not known")),
        };
        let citations = wants_citations(block.citations);
        let (title, context) = (block.title, block.context);
        Ok(Media { title, context, citations, ..Media::new(kind, source) })
    }
}

/// The opaque data of a block: Claude's own, or what a carrier holds. A carrier that cannot be read
/// is none.
fn opaque(kind: OpaqueKind, data: Option<JsonText<'_>>) -> Option<Opaque<'_>> {
    let data = data.filter(|data| !data.is_empty())?;
    if carrier::is_carrier(data.escaped()) {
        return carrier::decode(data.escaped()).map(|(opaque, owner)| match owner {
            Owner::Thinking => Opaque { kind, ..opaque },
            // Taken apart by `carried`, by the carrier itself.
            Owner::Call | Owner::Text => Opaque { kind, data, ..opaque },
        });
    }
    Some(Opaque { vendor: Vendor::Anthropic, kind, data })
}

/// The data of a carrier that belongs to another part.
fn carried<'a>(reasoning: &Reasoning<'a>) -> Option<(Opaque<'a>, Owner)> {
    let opaque = reasoning.opaque.as_ref().filter(|_| reasoning.text.is_empty())?;
    carrier::decode(opaque.data.escaped()).filter(|(_, owner)| *owner != Owner::Thinking)
}

fn wants_citations(json: Option<&RawValue>) -> bool {
    let citations = json.and_then(|json| parse::<fields::Citations<'_>>(json, "").ok());
    citations.and_then(|citations| citations.enabled).unwrap_or(false)
}
