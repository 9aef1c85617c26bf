//! Writes the turns as `messages`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::translate::Target;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonList, JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::marks::Marks;
use crate::translate::neutral::{
    CacheMark, Media, MediaKind, OpaqueKind, Part, PartKind, Reasoning, Request, Role,
    SearchResult, Source, ToolCall, ToolResult, Turn, Vendor,
};

/// Bytes of a tool's name.
const TOOL_NAME_BYTES_MAX: usize = 64;
/// The rule for names of tools, for a caller.
pub(crate) const NAME_RULE: &str = "a name of a tool has 1 to 64 of A-Z a-z 0-9 _ -";
/// Characters of a document's name.
const NAME_CHARS_MAX: usize = 200;

const IMAGES: [(&str, &str); 4] =
    [("image/jpeg", "jpeg"), ("image/png", "png"), ("image/gif", "gif"), ("image/webp", "webp")];

const DOCUMENTS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/markdown", "md"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
];

/// The marks of a request. After tools only Claude takes some.
pub(crate) fn marks(request: &Request<'_>, target: &Target<'_>) -> Marks {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let of_parts = parts.filter(|part| part.cache.is_some()).count();
    let is_claude = target.facts.vendor == Vendor::Anthropic;
    let of_tools = request.tools.iter().filter(|tool| tool.cache.is_some() && is_claude).count();
    Marks::new(of_parts + of_tools, target.facts.cache_marks)
}

/// Writes a mark after a block, if it is to be written. Only Claude takes one for an hour.
pub(crate) fn write_mark(mark: Option<CacheMark>, target: &Target<'_>, list: &mut JsonList<'_>) {
    let Some(mark) = mark else { return };
    let mut entry = list.object();
    let mut point = entry.object("cachePoint");
    point.str("type", "default");
    if target.facts.vendor == Vendor::Anthropic && mark.is_long() {
        point.str("ttl", "1h");
    }
}

/// Writes `messages`.
pub(crate) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    marks: &mut Marks,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    let is_first_system = request.turns.first().is_some_and(|turn| turn.role == Role::System);
    let turns = &request.turns[usize::from(is_first_system)..];
    let Some(first) = turns.iter().find(|turn| turn.role != Role::System) else {
        return Err(Refused::invalid(request.names.list, "at least one user message is required"));
    };
    let mut list = object.list("messages");
    if first.role == Role::Assistant {
        losses.change_field(request.names.list);
        let mut message = list.object();
        message.str("role", "user");
        message.list("content").object().str("text", ".");
    }
    let mut writer = Writer { request, target, marks, losses, document_names: Vec::new() };
    for (index, turn) in turns.iter().enumerate() {
        let is_last = index + 1 == turns.len();
        writer.turn(turn, is_last, &mut list)?;
    }
    Ok(())
}

struct Writer<'w, 'a> {
    request: &'w Request<'a>,
    target: &'w Target<'w>,
    marks: &'w mut Marks,
    losses: &'w mut Losses,
    /// Names of documents so far: each must be unique.
    document_names: Vec<String>,
}

impl<'a> Writer<'_, 'a> {
    fn refused(&self, part: &Part<'_>, text: &str) -> Refused {
        Refused::unsupported(self.request.names.place(part.place), text)
    }

    fn turn(
        &mut self,
        turn: &Turn<'a>,
        is_last: bool,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
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
        let documents = self.document_names.len();
        for (index, part) in turn.parts.iter().enumerate() {
            // White space at the end of an answer that is to be continued is refused.
            let is_end = is_last && turn.role == Role::Assistant && index + 1 == turn.parts.len();
            self.part(part, turn.role, is_end, &mut content)?;
            let mark = self.marks.next(part.cache, self.request.names.cache, self.losses);
            write_mark(mark, self.target, &mut content);
        }
        let is_text = |part: &Part<'_>| matches!(part.kind, PartKind::Text(_));
        if self.document_names.len() > documents && !turn.parts.iter().any(is_text) {
            // A document without text beside it is refused.
            self.losses.change_field(self.request.names.list);
            content.object().str("text", ".");
        }
        Ok(())
    }

    fn part(
        &mut self,
        part: &Part<'a>,
        role: Role,
        is_end: bool,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        match &part.kind {
            PartKind::Text(text) if is_end => {
                list.object().text("text", &text.text.clone().trim_end());
            }
            PartKind::Text(text) => list.object().text("text", &text.text),
            PartKind::Media(media) => {
                if role != Role::User {
                    let text = "the model's provider takes media of the user only";
                    return Err(self.refused(part, text));
                }
                self.media(media, part, false, list)?;
            }
            PartKind::ToolCall(call) => {
                let mut block = list.object();
                self.call(call, part, &mut block.object("toolUse"))?;
            }
            PartKind::ToolResult(result) => {
                let mut block = list.object();
                self.result(result, &mut block.object("toolResult"))?;
            }
            PartKind::Reasoning(reasoning) => {
                let mut block = list.object();
                write_reasoning(reasoning, &mut block.object("reasoningContent"));
            }
            PartKind::SearchResult(result) => write_search_result(result, list),
        }
        Ok(())
    }

    fn call(
        &mut self,
        call: &ToolCall<'a>,
        part: &Part<'a>,
        block: &mut JsonObject<'_>,
    ) -> Result<(), Refused> {
        if !is_name(&call.name) {
            return Err(self.refused(part, NAME_RULE));
        }
        block.str("toolUseId", &ids::fit(&call.id, IdRule::Bedrock, "tooluse_"));
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
        block.str("toolUseId", &ids::fit(&result.call_id, IdRule::Bedrock, "tooluse_"));
        {
            let mut content = block.list("content");
            for part in &result.content {
                if part.is_marked() {
                    // Marks stand between blocks, not within a result.
                    self.losses.drop_hint(self.request.names.cache);
                }
                if !part.is_blank_text() {
                    self.inner(part, &mut content)?;
                }
            }
            if result.content.iter().all(Part::is_blank_text) {
                // An empty list is refused, and an empty error, too.
                let text = if result.is_error { "error" } else { "" };
                content.object().str("text", text);
            }
        }
        if result.is_error {
            block.str("status", "error");
        }
        Ok(())
    }

    /// A part of a result.
    fn inner(&mut self, part: &Part<'a>, list: &mut JsonList<'_>) -> Result<(), Refused> {
        match &part.kind {
            PartKind::Text(text) => list.object().text("text", &text.text),
            PartKind::SearchResult(result) => write_search_result(result, list),
            PartKind::Media(media) => self.media(media, part, true, list)?,
            PartKind::ToolCall(_) | PartKind::ToolResult(_) | PartKind::Reasoning(_) => {}
        }
        Ok(())
    }

    fn media(
        &mut self,
        media: &Media<'a>,
        part: &Part<'a>,
        is_inner: bool,
        list: &mut JsonList<'_>,
    ) -> Result<(), Refused> {
        if media.detail.is_some() {
            self.losses.drop_field(self.request.names.detail);
        }
        match (media.kind, &media.source) {
            (_, Source::File(_)) => {
                let text = "files that another provider keeps cannot be used; send the content";
                Err(self.refused(part, text))
            }
            (_, Source::Url(_)) => {
                let text = "the model's provider does not take files by their address; send the \
                            content";
                Err(self.refused(part, text))
            }
            (_, Source::Parts(parts)) => {
                if media.citations {
                    self.losses.drop_field(self.request.names.citations);
                }
                if media.context.is_some() {
                    self.losses.drop_field(self.request.names.context);
                }
                if media.title.is_some() {
                    self.losses.drop_field(self.request.names.title);
                }
                if parts.iter().any(Part::is_marked) {
                    self.losses.drop_hint(self.request.names.cache);
                }
                parts.iter().try_for_each(|part| self.inner(part, list))
            }
            (MediaKind::Image, Source::Base64 { media_type, data }) => {
                let Some(format) = format_of(media_type, &IMAGES) else {
                    let text = "the model's provider takes images in JPEG, PNG, GIF and WebP";
                    return Err(self.refused(part, text));
                };
                let mut block = list.object();
                write_bytes(format, data.escaped(), &mut block.object("image"));
                Ok(())
            }
            (MediaKind::Audio, Source::Base64 { media_type, data }) if !is_inner => {
                let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
                let mut block = list.object();
                write_bytes(format, data.escaped(), &mut block.object("audio"));
                Ok(())
            }
            (MediaKind::Document, Source::Base64 { media_type, data }) => {
                let Some(format) = format_of(media_type, &DOCUMENTS) else {
                    let text = "the model's provider takes documents in PDF, plain text, CSV, \
                                HTML, Markdown, Word and Excel";
                    return Err(self.refused(part, text));
                };
                self.document(media, format, data.escaped(), list);
                Ok(())
            }
            (_, Source::Text { text, .. }) => {
                let data = STANDARD.encode(text.plain().as_bytes());
                self.document(media, "txt", &data, list);
                Ok(())
            }
            (MediaKind::Audio, Source::Base64 { .. }) => {
                Err(self.refused(part, "the result of a tool cannot have sound"))
            }
        }
    }

    fn document(&mut self, media: &Media<'a>, format: &str, data: &str, list: &mut JsonList<'_>) {
        let name = self.document_name(media.title.as_ref());
        let mut block = list.object();
        let mut document = block.object("document");
        document.str("name", &name);
        write_bytes(format, data, &mut document);
        if let Some(context) = &media.context {
            document.text("context", context);
        }
        if media.citations {
            document.object("citations").bool("enabled", true);
        }
        self.document_names.push(name);
    }

    /// The title in the characters that are taken, and unique.
    fn document_name(&self, title: Option<&JsonText<'_>>) -> String {
        let plain = title.map(JsonText::plain).unwrap_or_default();
        let name = fitting_name(&plain);
        let mut unique = name.clone();
        let mut number = 1;
        while self.document_names.contains(&unique) {
            number += 1;
            unique = format!("{name} {number}");
        }
        unique
    }
}

fn format_of(media_type: &str, known: &[(&str, &'static str)]) -> Option<&'static str> {
    known.iter().find(|(name, _)| *name == media_type).map(|(_, format)| *format)
}

/// Writes base64 in this format.
fn write_bytes(format: &str, data: &str, object: &mut JsonObject<'_>) {
    object.str("format", format);
    object.object("source").str("bytes", data);
}

/// A name of letters, digits, single blanks and `-()[]`; other characters become `-`. Leaves room
/// for a number.
fn fitting_name(title: &str) -> String {
    let mut name = String::new();
    for c in title.trim().chars().take(NAME_CHARS_MAX - 8) {
        let c = match c {
            c if c.is_ascii_alphanumeric() || "-()[]".contains(c) => c,
            c if c.is_whitespace() => ' ',
            _ => '-',
        };
        if !(c == ' ' && name.ends_with(' ')) {
            name.push(c);
        }
    }
    if name.is_empty() { "document".to_owned() } else { name }
}

/// Thinking of the model, as it was.
fn write_reasoning(reasoning: &Reasoning<'_>, block: &mut JsonObject<'_>) {
    match &reasoning.opaque {
        Some(opaque) if opaque.kind == OpaqueKind::Hidden => {
            block.text("redactedContent", &opaque.data);
        }
        opaque => {
            let mut text = block.object("reasoningText");
            text.text("text", &reasoning.text);
            if let Some(opaque) = opaque {
                text.text("signature", &opaque.data);
            }
        }
    }
}

fn write_search_result(found: &SearchResult<'_>, list: &mut JsonList<'_>) {
    let mut block = list.object();
    let mut result = block.object("searchResult");
    result.text("source", &found.source);
    result.text("title", &found.title);
    {
        let mut content = result.list("content");
        found.texts.iter().for_each(|text| content.object().text("text", text));
    }
    result.object("citations").bool("enabled", found.citations);
}

/// Whether Bedrock takes this name of a tool.
pub(crate) fn is_name(name: &JsonText<'_>) -> bool {
    ids::is_tool_name(name, TOOL_NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_documents() {
        for (title, expected) in [
            ("report (1).pdf", "report (1)-pdf"),
            ("  a \t b_c ", "a b-c"),
            ("", "document"),
            (" ", "document"),
            ("Jahresbericht é", "Jahresbericht -"),
        ] {
            assert_eq!(fitting_name(title), expected, "{title:?}");
        }
        assert_eq!(fitting_name(&"x".repeat(500)).len(), NAME_CHARS_MAX - 8);
    }
}
