//! Writes the turns as `system` and `messages`.

use crate::translate::Target;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonList, JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::marks::Marks;
use crate::translate::media;
use crate::translate::neutral::{
    CacheMark, Media, MediaKind, OpaqueKind, Part, PartKind, Reasoning, Request, Role, Source,
    ToolCall, ToolResult, Turn, Vendor,
};

/// Types of images.
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// The marks of a request, those within results and documents included.
pub(crate) fn marks(request: &Request<'_>, target: &Target<'_>) -> Marks {
    fn count(parts: &[Part<'_>]) -> usize {
        let inner = |part: &Part<'_>| match &part.kind {
            PartKind::ToolResult(result) => count(&result.content),
            PartKind::Media(Media { source: Source::Parts(parts), .. }) => count(parts),
            _ => 0,
        };
        parts.iter().map(|part| usize::from(part.cache.is_some()) + inner(part)).sum()
    }
    let of_parts: usize = request.turns.iter().map(|turn| count(&turn.parts)).sum();
    let of_tools = request.tools.iter().filter(|tool| tool.cache.is_some()).count();
    Marks::new(of_parts + of_tools, target.facts.cache_marks)
}

/// Writes a mark, if it is to be written.
pub(crate) fn write_mark(mark: Option<CacheMark>, object: &mut JsonObject<'_>) {
    let Some(mark) = mark else { return };
    let mut control = object.object("cache_control");
    control.str("type", "ephemeral");
    if mark.is_long() {
        control.str("ttl", "1h");
    }
}

/// Writes `system`: the turn at the beginning, and a line of the translation.
pub(crate) fn system(
    request: &Request<'_>,
    line: Option<&JsonText<'_>>,
    marks: &mut Marks,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    let turn = request.turns.first().filter(|turn| turn.role == Role::System);
    if turn.is_none() && line.is_none() {
        return;
    }
    let mut list = object.list("system");
    for part in turn.iter().flat_map(|turn| &turn.parts) {
        if let PartKind::Text(text) = &part.kind {
            let mut block = list.object();
            write_text(&text.text, &mut block);
            write_mark(marks.next(part.cache, request.names.cache, losses), &mut block);
        }
    }
    if let Some(line) = line {
        write_text(line, &mut list.object());
    }
}

/// Writes `messages`.
pub(crate) fn messages(
    request: &Request<'_>,
    target: &Target<'_>,
    marks: &mut Marks,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    let is_first_system = request.turns.first().is_some_and(|turn| turn.role == Role::System);
    let turns = &request.turns[usize::from(is_first_system)..];
    if !turns.iter().any(|turn| turn.role != Role::System) {
        return Err(Refused::invalid(request.names.list, "at least one user message is required"));
    }
    let mut list = object.list("messages");
    for (index, turn) in turns.iter().enumerate() {
        let is_last = index + 1 == turns.len();
        let mut writer = Writer { request, target, marks, losses };
        writer.turn(turn, is_last, &mut list)?;
    }
    Ok(())
}

fn write_text(text: &JsonText<'_>, block: &mut JsonObject<'_>) {
    block.str("type", "text");
    block.text("text", text);
}

struct Writer<'w, 'a> {
    request: &'w Request<'a>,
    target: &'w Target<'w>,
    marks: &'w mut Marks,
    losses: &'w mut Losses,
}

impl<'a> Writer<'_, 'a> {
    fn turn(
        &mut self,
        turn: &Turn<'a>,
        is_last: bool,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        let is_sent = |part: &&Part<'a>| match &part.kind {
            PartKind::Reasoning(reasoning) => self.is_sent(reasoning),
            _ => true,
        };
        let left_out = turn.parts.iter().filter(|part| !is_sent(part)).count();
        if left_out > 0 {
            self.losses.drop_hint("reasoning");
        }
        if left_out == turn.parts.len() {
            return Ok(());
        }
        let mut message = list.object();
        message.str(
            "role",
            match turn.role {
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::System => "system",
            },
        );
        let mut content = message.list("content");
        for (index, part) in turn.parts.iter().enumerate() {
            // White space at the end of an answer that is to be continued is refused.
            let is_end = is_last && turn.role == Role::Assistant && index + 1 == turn.parts.len();
            self.part(part, is_end, &mut content)?;
        }
        Ok(())
    }

    fn is_sent(&self, reasoning: &Reasoning<'_>) -> bool {
        let opaque = reasoning.opaque.as_ref();
        opaque.is_some_and(|opaque| {
            opaque.vendor == Vendor::Anthropic && opaque.vendor == self.target.facts.vendor
        })
    }

    fn part(
        &mut self,
        part: &Part<'a>,
        is_end: bool,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        match &part.kind {
            PartKind::Text(text) => {
                if text.signature.is_some() {
                    self.losses.drop_hint("reasoning");
                }
                if text.text.is_blank() {
                    return Ok(());
                }
                let mut block = list.object();
                if is_end {
                    write_text(&text.text.clone().trim_end(), &mut block);
                } else {
                    write_text(&text.text, &mut block);
                }
                self.mark(part, &mut block);
            }
            PartKind::Media(media) => self.media(media, part, list)?,
            PartKind::ToolCall(call) => {
                let mut block = list.object();
                self.call(call, part, &mut block)?;
                self.mark(part, &mut block);
            }
            PartKind::ToolResult(result) => {
                let mut block = list.object();
                self.result(result, &mut block)?;
                self.mark(part, &mut block);
            }
            PartKind::Reasoning(reasoning) if self.is_sent(reasoning) => {
                write_reasoning(reasoning, &mut list.object());
            }
            PartKind::Reasoning(_) => {}
            PartKind::SearchResult(result) => {
                let mut block = list.object();
                block.str("type", "search_result");
                block.text("title", &result.title);
                block.text("source", &result.source);
                {
                    let mut content = block.list("content");
                    for text in &result.texts {
                        write_text(text, &mut content.object());
                    }
                }
                if result.citations {
                    block.object("citations").bool("enabled", true);
                }
                self.mark(part, &mut block);
            }
        }
        Ok(())
    }

    fn mark(&mut self, part: &Part<'a>, block: &mut JsonObject<'_>) {
        write_mark(self.marks.next(part.cache, self.request.names.cache, self.losses), block);
    }

    fn call(
        &mut self,
        call: &ToolCall<'a>,
        part: &Part<'a>,
        block: &mut JsonObject<'_>,
    ) -> Result<(), Refused> {
        if call.signature.is_some() {
            self.losses.drop_hint("reasoning");
        }
        if !ids::is_tool_name(&call.name, 128) {
            let name = self.request.names.place(part.place);
            return Err(Refused::unsupported(
                name,
                "a name of a tool has 1 to 128 of A-Z a-z 0-9 _ -",
            ));
        }
        block.str("type", "tool_use");
        block.str("id", &ids::fit(&call.id, IdRule::Long, "toolu_"));
        block.text("name", &call.name);
        let (input, is_changed) = call.arguments.as_object_or_raw();
        block.raw("input", &input);
        if is_changed {
            self.losses.change_field(self.request.names.arguments);
        }
        Ok(())
    }

    fn result(
        &mut self,
        result: &ToolResult<'a>,
        block: &mut JsonObject<'_>,
    ) -> Result<(), Refused> {
        block.str("type", "tool_result");
        block.str("tool_use_id", &ids::fit(&result.call_id, IdRule::Long, "toolu_"));
        // Empty results are taken, blank texts in them are not.
        if result.content.iter().all(Part::is_blank_text) {
            block.str("content", "");
        } else {
            let mut content = block.list("content");
            for part in &result.content {
                self.part(part, false, &mut content)?;
            }
        }
        if result.is_error {
            block.bool("is_error", true);
        }
        Ok(())
    }

    fn media(
        &mut self,
        media: &Media<'a>,
        part: &Part<'a>,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        let refused =
            |text: &str| Err(Refused::unsupported(self.request.names.place(part.place), text));
        if media.kind == MediaKind::Audio {
            return refused("the model's provider does not take sound");
        }
        let decoded = match &media.source {
            Source::File(_) => {
                return refused(
                    "files that another provider keeps cannot be used; send the content",
                );
            }
            Source::Base64 { media_type, data } => match (media.kind, &**media_type) {
                (MediaKind::Image, kind) if !IMAGE_TYPES.contains(&kind) => {
                    return refused("the model's provider takes images in JPEG, PNG, GIF and WebP");
                }
                (MediaKind::Document, "text/plain") => match media::decode_text(data) {
                    Some(text) => Some(text),
                    None => return refused("the text of the file is not UTF-8 in base64"),
                },
                (MediaKind::Document, kind) if kind != "application/pdf" => {
                    return refused("the model's provider takes documents in PDF and plain text");
                }
                _ => None,
            },
            _ => None,
        };
        if media.detail.is_some() {
            self.losses.drop_field(self.request.names.detail);
        }
        let mut block = list.object();
        block.str("type", if media.kind == MediaKind::Image { "image" } else { "document" });
        match decoded {
            Some(text) => write_text_source(&text, &mut block),
            None => self.source(&media.source, &mut block)?,
        }
        if media.kind == MediaKind::Document {
            if let Some(title) = &media.title {
                block.text("title", title);
            }
            if let Some(context) = &media.context {
                block.text("context", context);
            }
            if media.citations {
                block.object("citations").bool("enabled", true);
            }
        }
        self.mark(part, &mut block);
        Ok(())
    }

    fn source(&mut self, source: &Source<'a>, block: &mut JsonObject<'_>) -> Result<(), Refused> {
        match source {
            Source::Base64 { media_type, data } => {
                let mut object = block.object("source");
                object.str("type", "base64");
                object.str("media_type", media_type);
                object.text("data", data);
            }
            Source::Text { text, .. } => write_text_source(text, block),
            Source::Url(url) => {
                let mut object = block.object("source");
                object.str("type", "url");
                object.text("url", url);
            }
            Source::Parts(parts) => {
                let mut object = block.object("source");
                object.str("type", "content");
                let mut content = object.list("content");
                for part in parts {
                    self.part(part, false, &mut content)?;
                }
            }
            Source::File(_) => {}
        }
        Ok(())
    }
}

fn write_text_source(text: &JsonText<'_>, block: &mut JsonObject<'_>) {
    let mut object = block.object("source");
    object.str("type", "text");
    object.str("media_type", "text/plain");
    object.text("data", text);
}

/// Thinking of Claude, as it was.
fn write_reasoning(reasoning: &Reasoning<'_>, block: &mut JsonObject<'_>) {
    let Some(opaque) = &reasoning.opaque else { return };
    match opaque.kind {
        OpaqueKind::Signature => {
            block.str("type", "thinking");
            block.text("thinking", &reasoning.text);
            block.text("signature", &opaque.data);
        }
        OpaqueKind::Hidden => {
            block.str("type", "redacted_thinking");
            block.text("data", &opaque.data);
        }
    }
}
